"""Scores that mean what they say: what was wrong with logits is found again, and few windows change little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.errors import ConfigError
from auricle_build.judge import calibration
from auricle_build.judge.calibration import Bin, UnseenWindows


def windows(scale: list[float], shift: list[float], n: int, seed: int = 0) -> UnseenWindows:
    """Labels that are there as often as the sigmoid of ``scale * logit + shift`` says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.0, 2.0, (n, len(scale))).astype(np.float32)
    p = 1.0 / (1.0 + np.exp(-(logits * scale + shift)))
    return UnseenWindows(logits, (rng.random(p.shape) < p).astype(np.float32), np.ones_like(logits))


def test_scale_and_shift_are_found_again() -> None:
    """Of 8000 windows, within a tenth; a label without recordings stays as it is, whatever is in the windows."""
    scale, shift = [1.6, 0.6, 1.0, 3.0], [-0.8, 1.2, 0.0, 2.0]
    made = windows(scale, shift, 8000)
    found = calibration.fit(made, [True, True, True, False])
    np.testing.assert_allclose(found[0], [*scale[:3], 1.0], rtol=0, atol=0.1)
    np.testing.assert_allclose(found[1], [*shift[:3], 0.0], rtol=0, atol=0.1)
    assert (found[0][3], found[1][3]) == (1.0, 0.0)
    taught = [True, True, True, False]
    before = calibration.error(calibration.reliability(made, taught, np.ones(4, np.float32), np.zeros(4, np.float32)))
    after = calibration.error(calibration.reliability(made, taught, *found))
    assert before > 0.05
    assert after < 0.01


def test_few_windows_change_little() -> None:
    """Three windows move scale and shift by less than a third of what a thousand do, unsure ones not at all."""
    wrong = [3.0], [2.0]
    few, many = (calibration.fit(windows(*wrong, n), [True]) for n in (3, 1000))
    for found, told, neutral in zip(few, many, (1.0, 0.0), strict=True):
        assert abs(found[0] - neutral) < abs(told[0] - neutral) / 3
    made = windows(*wrong, 1000)
    unsure = UnseenWindows(made.logits, made.y, np.zeros_like(made.weight))
    assert [part.tolist() for part in calibration.fit(unsure, [True])] == [[1.0], [0.0]]


def test_a_scale_never_turns_a_label_round() -> None:
    """Where logits speak against the truth, the scale is held at a fifth."""
    scale, _ = calibration.fit(windows([-2.0], [0.0], 2000), [True])
    assert scale[0] == np.float32(0.2)


def logit(score: float) -> float:
    return float(np.log(score / (1.0 - score)))


def test_the_reliability_table_by_hand() -> None:
    """Four windows at 0.25, of which one holds the label, two at 0.75 of which one does, one at 1 that does: an error
    of (4 * 0 + 2 * 0.25 + 1 * 0) / 7. Unsure windows and labels without recordings are not counted."""
    scores = [0.25] * 4 + [0.75] * 2
    said = np.asarray([[logit(s), 0.0] for s in scores] + [[40.0, 0.0], [logit(0.55), 0.0]], np.float32)
    y = np.asarray([1, 0, 0, 0, 1, 0, 1, 0], np.float32)
    weight = np.asarray([1, 1, 1, 1, 1, 0.6, 1, 0.3], np.float32)
    made = UnseenWindows(said, np.stack([y, y], axis=1), np.stack([weight, weight], axis=1))
    neutral: Any = np.ones(2, np.float32), np.zeros(2, np.float32)
    found = calibration.reliability(made, [True, False], *neutral)
    assert [(round(b.low, 1), round(b.high, 1), b.count) for b in found] == [
        (0.2, 0.3, 4),
        (0.7, 0.8, 2),
        (0.9, 1.0, 1),
    ]
    assert [(b.score, b.held) for b in found] == [
        (pytest.approx(0.25), 0.25),
        (pytest.approx(0.75), 0.5),
        (pytest.approx(1.0), 1.0),
    ]
    assert calibration.error(found) == pytest.approx(0.5 / 7, abs=1e-6)
    doubled = calibration.reliability(made, [True, False], np.full(2, 2, np.float32), np.zeros(2, np.float32))
    assert doubled[0].score == pytest.approx(0.1, abs=1e-6), "of 0.25, twice the logit is 0.1"


def test_an_error_of_nothing_is_none() -> None:
    """Without windows there is no bin, and no error; with two bins it is their mean, by count."""
    assert calibration.error([]) == 0.0
    assert calibration.error([Bin(0.0, 0.1, 3, 0.05, 0.0), Bin(0.9, 1.0, 1, 0.95, 0.5)]) == pytest.approx(0.15)


def test_windows_are_kept_and_joined(tmp_path: Path) -> None:
    """What is read is what was kept; several lots follow each other; another file is told to be none, in one line."""
    one, other = windows([1.0, 1.0], [0.0, 0.0], 5), windows([1.0, 1.0], [0.0, 0.0], 3, seed=1)
    one.save(tmp_path / "aside.npz")
    joined = UnseenWindows.joined([UnseenWindows.load(tmp_path / "aside.npz"), other])
    for name in ("logits", "y", "weight"):
        np.testing.assert_array_equal(
            getattr(joined, name), np.concatenate([getattr(one, name), getattr(other, name)]), strict=True
        )
    np.savez(tmp_path / "other.npz", x=1)
    (tmp_path / "text.npz").write_text("none")
    for name in ("other.npz", "text.npz", "none.npz"):
        with pytest.raises(ConfigError, match=rf"{name}: no windows of a fold kept aside: ") as caught:
            UnseenWindows.load(tmp_path / name)
        assert len(caught.value.lines()) == 1


def lot(seed: int, scale: float, shift: float, n: int = 4000) -> UnseenWindows:
    """Two labels whose logits, multiplied and shifted so, would mean what they say; the second is never there."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.0, 2.0, (n, 2)).astype(np.float32)
    y = (rng.random((n, 2)) < 1 / (1 + np.exp(-true))).astype(np.float32)
    y[:, 1] = 0.0
    return UnseenWindows(((true - shift) / scale).astype(np.float32), y, np.ones_like(y))


def test_each_lot_is_calibrated_by_the_others() -> None:
    """Lots that err alike mend each other; one that errs otherwise gains nothing by its own windows."""
    alike = [lot(seed, 0.5, 1.5) for seed in (1, 2, 3)]
    before, after = calibration.crossed(alike)
    assert calibration.error(before) > 0.1
    assert calibration.error(after) < 0.02
    assert sum(each.count for each in after) == 12_000, "of the label that is there; of the other nothing is known"
    strange = lot(9, 1.0, -3.0)
    _, after = calibration.crossed([alike[0], strange])
    told = []
    for mine, other in ((alike[0], strange), (strange, alike[0])):
        scale, shift = calibration.fit(other, [True, False])
        told.append(calibration.reliability(mine, [True, False], scale, shift))
    assert sum(each.count for bins in told for each in bins) == sum(each.count for each in after)
    top = [bins[-1] for bins in told]
    mean = sum(each.count * each.score for each in top) / sum(each.count for each in top)
    assert after[-1].score == pytest.approx(mean, abs=1e-5)
    assert calibration.error(after) > 0.1
