"""A picture of a recording shows what is in it, where it is, however long it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auricle import config
from auricle.commands import show
from auricle.commands.synth import scene
from auricle.errors import UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge import plots
from auricle.judge.portrait import PICTURE, Detail, portray
from auricle.judge.truth import Event
from auricle.model import bundle
from helpers.sounds import RATE, write


@pytest.fixture(scope="module")
def hearer() -> Hearer:
    """The rules under which scenes have events."""
    cfg = config.load(None, environ={}, overrides={"decision.threshold": 0.12, "decision.hysteresis": 0.05})
    return Hearer(bundle.load("esc10"), cfg.decision, cfg.gate)


@pytest.mark.parametrize("columns", [1600, 16])
def test_a_tone_stands_at_its_place(tmp_path: Path, hearer: Hearer, columns: int) -> None:
    """Half a second of 3 kHz at full scale, two seconds in: its band is 0 dB there and nothing elsewhere, its level -3;
    in few columns, each of many frames, as in many."""
    sound = np.zeros(4 * 48_000, np.float32)
    sound[2 * 48_000 : 5 * 24_000] = np.sin(2 * np.pi * 3_000 * np.arange(24_000) / 48_000)
    found = portray(str(write(tmp_path / "a.wav", sound, 48_000, "FLOAT")), hearer, None, Detail(columns, 256, 6))
    assert (found.duration_s, found.top_hz) == (4.0, 24_000.0)
    assert found.spectrogram.shape == (PICTURE.bands, len(found.level))
    assert len(found.level) < 2 * columns
    band, column = np.unravel_index(found.spectrogram.argmax(), found.spectrogram.shape)
    assert abs((band + 0.5) * found.top_hz / PICTURE.bands - 3_000) < 2 * found.top_hz / PICTURE.bands
    assert 2.0 <= (column + 0.5) * found.column_s <= 2.5
    assert found.spectrogram.max() == pytest.approx(0.0, abs=1.0)
    assert found.level.max() == pytest.approx(-3.0, abs=0.6)
    assert found.level[[0, -1]] == pytest.approx(-120.0, abs=1e-3)


def test_scores_events_and_truth_are_those_of_the_daemon(tmp_path: Path, hearer: Hearer) -> None:
    """Curves are the smoothed scores at their times, of what is reported or true first, then of the nearest to their
    thresholds; events are what it decides."""
    sound, _ = scene(["rain", "clock_tick"], RATE, sound_s=3.0, pause_s=1.0)
    path = str(write(tmp_path / "a.wav", sound))
    known = [Event(1.0, 4.0, "rain")]
    found = portray(path, hearer, known)
    hearing = hearer.hear(path)
    assert list(found.events) == hearer.decide(hearing) != []
    assert found.truth == known
    first = found.curves[0]
    np.testing.assert_array_equal(first.scores, hearing.scores[:, hearer.bundle.labels.index(first.label)])
    assert first.times_s[0] == hearer.span / RATE
    assert first.times_s[1] - first.times_s[0] == pytest.approx(hearer.hop / RATE)
    asked = {"rain", *(event.label for event in found.events)}
    order = [(curve.label not in asked, curve.threshold - curve.scores.max()) for curve in found.curves]
    assert order == sorted(order)
    assert sum(not later for later, _ in order) == len(asked)
    short = portray(str(write(tmp_path / "b.wav", sound[:200])), hearer)
    assert (len(short.curves), short.spectrogram.shape) == (0, (PICTURE.bands, 1))


def test_a_row_a_label(tmp_path: Path, hearer: Hearer) -> None:
    """Events have the row of their label, in the order in which labels begin; of too many the last share one."""
    path = str(write(tmp_path / "a.wav", np.zeros(RATE, np.float32)))
    many = [Event(at / 20, 0.9, f"label {at}") for at in reversed(range(15))]
    rows = plots.rows(portray(path, hearer, many))
    assert rows == [*(f"label {at}" for at in range(plots.MOST_ROWS - 1)), plots.OTHERS]
    assert plots.rows(portray(path, hearer, many[-2:])) == ["label 0", "label 1"]


def test_the_command_draws_it(
    tmp_path: Path, require: Callable[[bool, str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """A picture is written; of a recording cut short as far as it goes, with a line and exit code 1."""
    require(importlib.util.find_spec("matplotlib") is not None, "matplotlib, extra plot")
    sound, _ = scene(["rain"], RATE, sound_s=3.0, pause_s=1.0)
    path = write(tmp_path / "a.wav", sound)
    (tmp_path / "a.txt").write_text("1\t4\train\n")
    assert show.command(str(path), tmp_path / "a.png", truth_file=tmp_path / "a.txt") == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    path.write_bytes(path.read_bytes()[:100_000])
    assert show.command(str(path), tmp_path / "b.png") == 1
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
    assert "cut short" in capfd.readouterr().err
    with pytest.raises(UsageError, match=r"a\.txt has no form of a picture; use \.png"):
        show.command(str(path), tmp_path / "a.txt")
