"""What a bundle ships with: lags measured on its decisions, thresholds under a budget, both written into its card."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from auricle import config
from auricle.errors import ConfigError
from auricle.hearing import pipeline
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


SHORT_MS, LONG_MS = 80.0, 1600.0
DOG = [Event(20.0 * i, 20.0 * i + 0.6, "dog_bark") for i in range(1, 10)]
RAIN = [Event(60.0 * i + 5, 60.0 * i + 17, "rain") for i in range(1, 9)]
SNEEZE = [Event(30.0 * i + 10, 30.0 * i + 11, "sneeze") for i in range(1, 13)]


def made_up(hearer: Hearer) -> Heard:
    """Ten minutes of scores that are not smoothed.

    Barks are over in half a second. Rain is never clear, and clicks are taken for it, clearer but brief. Of twelve
    sneezes every other one is faint, fainter than what is mistaken for one eight times.
    """
    labels, seconds = hearer.bundle.labels, 600.0
    rows = (round(seconds * hearer.rate) - hearer.span) // hearer.hop + 1
    at = (hearer.span + np.arange(rows) * hearer.hop) / hearer.rate
    scores = np.zeros((rows, len(labels)), np.float32)

    def said(label: str, onset_s: float, offset_s: float, score: float) -> None:
        scores[(at >= onset_s) & (at < offset_s), labels.index(label)] = score

    for event in DOG:
        said("dog_bark", event.onset_s + 0.1, event.offset_s, 0.9)
    for event in RAIN:
        said("rain", event.onset_s + 0.2, event.offset_s, 0.6)
    for i in range(60):
        said("rain", 10.0 * i + 1, 10.0 * i + 1.4, 0.97)
    for i, event in enumerate(SNEEZE):
        said("sneeze", event.onset_s + 0.1, event.offset_s, 0.95 if i % 2 else 0.5)
    for i in range(8):
        said("sneeze", 60.0 * i + 90, 60.0 * i + 91, 0.8)
    return Heard(Hearing("made", scores, round(seconds * hearer.rate)), sorted([*DOG, *RAIN, *SNEEZE]))


def chosen(esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch, **told: Any) -> thresholds.Shipped:
    """What is chosen for the made-up scores."""
    monkeypatch.setattr(thresholds.evaluates, "gather", lambda hearer, *_: ([made_up(hearer)], []))
    return thresholds.choose(esc10, [(esc10, Path("none"))], (), cache=None, say=lambda _: None, **told)


def test_each_label_gets_the_smoothing_that_is_best_for_it(
    esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bark is lost in a long mean, rain is told from clicks only by one: each gets its own, and the daemon has both.

    With the short one alone, the same budget leaves no rain.
    """
    found = chosen(esc10, monkeypatch, per_hour=0.0, smoothings_ms=(SHORT_MS, LONG_MS))
    assert found.smoothings_ms["dog_bark"] == SHORT_MS
    assert found.smoothings_ms["rain"] == LONG_MS
    scenes = found.figures["scenes_and_negatives"]
    assert (scenes["false_alarms"], scenes["recall"]["dog_bark"], scenes["recall"]["rain"]) == (0, 1.0, 1.0)
    short = chosen(esc10, monkeypatch, per_hour=0.0, smoothings_ms=(SHORT_MS,))
    assert short.figures["scenes_and_negatives"]["recall"]["rain"] == 0.0
    written = thresholds.write(esc10, found)
    assert written.card.smoothings_ms == found.smoothings_ms
    stages = pipeline.smoother(written, config.Decision())
    lengths = dict(zip(written.labels, stages.lengths, strict=True))
    assert (lengths["dog_bark"], lengths["rain"]) == (1, 20)


def test_each_label_keeps_a_budget_of_its_own(esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all together may raise many false alarms, none may raise more than its own share: for eight faint sneezes
    more than an hour's budget is not spent."""
    loose = chosen(esc10, monkeypatch, per_hour=600.0, smoothings_ms=(SHORT_MS,))
    tight = chosen(esc10, monkeypatch, per_hour=600.0, per_label=12.0, smoothings_ms=(SHORT_MS,))
    told = [found.figures["scenes_and_negatives"] for found in (loose, tight)]
    assert told[0]["false_alarms_by_label"]["sneeze"] == 8
    assert told[0]["recall"]["sneeze"] == 1.0
    hours = told[1]["hours"]
    assert all(n <= 12.0 * hours for n in told[1]["false_alarms_by_label"].values())
    assert told[1]["recall"]["sneeze"] == 0.5
    assert tight.thresholds["sneeze"] > 0.8 >= loose.thresholds["sneeze"]


def test_each_label_gets_the_hysteresis_that_keeps_one_sound_one_event(
    esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A saw whose score falters is told once, not at every recovery; a clear one keeps what is usual.
    It is written into the card, and the daemon decides by it."""

    def heard(hearer: Hearer) -> Heard:
        labels, seconds = hearer.bundle.labels, 600.0
        rows = (round(seconds * hearer.rate) - hearer.span) // hearer.hop + 1
        at = (hearer.span + np.arange(rows) * hearer.hop) / hearer.rate
        scores = np.zeros((rows, len(labels)), np.float32)
        saws = [Event(60.0 * i, 60.0 * i + 20.0, "chainsaw") for i in range(1, 9)]
        for event in saws:
            over = (at >= event.onset_s + 0.1) & (at < event.offset_s)
            faltering = over & ((at - event.onset_s) % 8 > 4)
            scores[over, labels.index("chainsaw")] = 0.9
            scores[faltering, labels.index("chainsaw")] = 0.62
            mistaken = (at >= event.onset_s + 30) & (at < event.onset_s + 33)
            scores[mistaken, labels.index("chainsaw")] = 0.7
        for event in RAIN:
            over = (at >= event.onset_s + 0.2) & (at < event.offset_s)
            scores[over, labels.index("rain")] = 0.9
        return Heard(Hearing("made", scores, round(seconds * hearer.rate)), sorted([*saws, *RAIN]))

    monkeypatch.setattr(thresholds.evaluates, "gather", lambda hearer, *_: ([heard(hearer)], []))
    found = thresholds.choose(
        esc10, [(esc10, Path("none"))], (), per_hour=0.0, smoothings_ms=(SHORT_MS,), cache=None, say=lambda _: None
    )
    assert found.thresholds["chainsaw"] > 0.7
    assert found.hystereses["chainsaw"] == 0.3
    assert found.hystereses["rain"] == 0.1
    written = thresholds.write(esc10, found)
    assert written.card.hystereses == found.hystereses
    hearer = Hearer(written, config.Decision(), config.Gate())
    reported = hearer.decide(heard(hearer).hearing)
    assert [event.label for event in reported].count("chainsaw") == 8


def test_without_smoothings_none_is_written(esc10: bundle.Bundle) -> None:
    """A card without `smoothings_ms` stays so where but one was tried."""
    shipped = thresholds.Shipped({"rain": 0.9}, {}, {}, (20000, 9000, {}), {})
    assert "smoothings_ms" not in thresholds.write(esc10, shipped).raw


def test_the_card_is_written_and_holds(esc10: bundle.Bundle) -> None:
    """Thresholds, lags and figures are in the card that the daemon loads; the network's files are as they were."""
    lags = (20000, 9000, {"rain": (24000, 8000)})
    shipped = thresholds.Shipped({"rain": 0.9, "dog_bark": 0.85}, {"rain": 1200.0}, {}, lags, {"hours": 1.5})
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
