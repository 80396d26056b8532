"""What a bundle ships with: lags measured on its decisions, thresholds under a budget, both written into its card."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from auricle import config
from auricle.errors import ConfigError
from auricle.hearing.decision import Rule
from auricle.hearing.hearer import Hearer, Hearing
from auricle.judge.evaluate import Heard
from auricle.judge.truth import Event
from auricle.model import bundle
from auricle_build.judge import thresholds
from auricle_build.judge.alarms import Quiet

RULE = Rule(0.5, 0.1, 1600, 8000)


@pytest.fixture
def esc10(tmp_path: Path) -> bundle.Bundle:
    """A copy of the default model."""
    shutil.copytree(bundle.find("esc10"), tmp_path / "esc10")
    return bundle.load(str(tmp_path / "esc10"))


def late(hearer: Hearer, label: str, onset_lag_s: float, offset_lag_s: float, n: int) -> Heard:
    """Events every 20 s, 4 s long, whose scores speak late by so much."""
    seconds = 20.0 * n + 20
    rows = (round(seconds * hearer.rate) - hearer.span) // hearer.hop + 1
    at = (hearer.span + np.arange(rows) * hearer.hop) / hearer.rate
    scores = np.zeros((rows, len(hearer.bundle.labels)), np.float32)
    true = [Event(20.0 * (i + 1), 20.0 * (i + 1) + 4.0, label) for i in range(n)]
    for event in true:
        over = (at >= event.onset_s + onset_lag_s) & (at < event.offset_s + offset_lag_s)
        scores[over, hearer.bundle.labels.index(label)] = 0.9
    return Heard(Hearing("made", scores, round(seconds * hearer.rate)), true)


def test_lags_are_what_makes_onsets_unbiased(esc10: bundle.Bundle) -> None:
    """Measured to one decision hop; with them in the card, the same decisions are dated right; rare labels get none."""
    cfg = config.load(None, environ={}, overrides={"decision.threshold": 0.5, "decision.min_duration_ms": 100})
    bare = Hearer(thresholds.with_timing(esc10, 0, 0), cfg.decision, cfg.gate)
    heard = [late(bare, "rain", 1.1, 0.5, 8), late(bare, "dog_bark", 0.7, 1.1, 8), late(bare, "sneeze", 0.4, 0.4, 3)]
    onset, offset, lags = thresholds.measure_lags(bare, heard, bare.rules)
    assert set(lags) == {"rain", "dog_bark"}
    hop_s = bare.hop / bare.rate
    for label, wanted in (("rain", (1.1, 0.5)), ("dog_bark", (0.7, 1.1))):
        assert np.array(lags[label]) / bare.rate == pytest.approx(np.array(wanted), abs=hop_s)
    assert (onset / bare.rate, offset / bare.rate) == pytest.approx((0.9, 0.8), abs=hop_s)
    slow = [late(bare, "rain", 2.5, 0.5, 8)]
    assert thresholds.measure_lags(bare, slow, bare.rules)[0] == bare.span, "no longer than a decision hears"
    usual = dataclasses.replace(esc10, card=msgspec.structs.replace(esc10.card, thresholds={}, min_durations_ms={}))
    dated = Hearer(thresholds.with_timing(usual, onset, offset, lags), config.Decision(), config.Gate())
    for item in heard[:2]:
        errors = [
            said.onset_s - true.onset_s for said, true in zip(dated.decide(item.hearing), item.truth, strict=True)
        ]
        assert abs(np.median(errors)) <= hop_s / 2 + 1e-3
    with pytest.raises(ConfigError, match="no lag can be measured"):
        thresholds.measure_lags(bare, heard[2:], bare.rules)


def test_the_card_is_written_and_holds(esc10: bundle.Bundle) -> None:
    """Thresholds, lags and figures are in the card that the daemon loads; the network's files are as they were."""
    lags = (20000, 9000, {"rain": (24000, 8000)})
    shipped = thresholds.Shipped({"rain": 0.9, "dog_bark": 0.85}, {"rain": 1200.0}, lags, {"hours": 1.5})
    written = thresholds.write(esc10, shipped)
    assert written.card.thresholds == {"rain": 0.9, "dog_bark": 0.85}
    assert written.card.min_durations_ms == {"rain": 1200.0}
    timing = written.card.timing
    assert timing.lags == {"rain": (24000, 8000), "dog_bark": (20000, 9000)}
    assert timing.onset_lag_samples == esc10.card.timing.onset_lag_samples, "for rules of one's own"
    assert written.raw["figures"]["detector"] == {"hours": 1.5}
    assert written.card.files == esc10.card.files
    assert written.hash != esc10.hash
    assert thresholds.write(written, shipped).hash == written.hash, "written again, it is the same"


def test_clips_kept_aside_are_heard_as_they_are(esc10: bundle.Bundle, tmp_path: Path) -> None:
    """A fold's kept scores become negatives of the daemon's own smoothing; another file is told to be none."""
    hearer = Hearer(esc10, config.Decision(), config.Gate())
    windows = np.zeros((20, len(esc10.labels)), np.float32)
    windows[10:] = 0.5
    np.savez(tmp_path / "judged.npz", **Quiet(["ambient"], [windows]).arrays())
    (item,) = thresholds._kept_aside(tmp_path / "judged.npz", hearer)
    span = len(windows) - len(item.hearing.scores) + 1
    assert item.negative
    assert span == round(200 / 80), "smoothed over 200 ms of 80 ms hops"
    np.testing.assert_allclose(item.hearing.scores[:, 0], np.convolve(windows[:, 0], np.ones(span) / span, "valid"))
    (tmp_path / "other.npz").write_bytes(b"none")
    with pytest.raises(ConfigError, match=r"other\.npz is no judged"):
        thresholds._kept_aside(tmp_path / "other.npz", hearer)


def test_models_of_other_labels_cannot_judge(esc10: bundle.Bundle, tmp_path: Path) -> None:
    """A judge with other labels is refused before anything is heard."""
    other = dataclasses.replace(esc10, card=msgspec.structs.replace(esc10.card, labels=["a", "b"]))
    with pytest.raises(ConfigError, match="other labels"):
        thresholds.choose(esc10, [(other, tmp_path)], (), per_hour=0.1, cache=None, say=print)
