"""The cross-validation's page and figures, from folds that were measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="missing here: the build extra")

from auricle.model import bundle as bundles
from auricle_build.grammar import read
from auricle_build.judge import alarms
from auricle_build.judge.alarms import Quiet
from auricle_build.judge.evaluate import Judgement
from auricle_build.reports import crossval, report

RECIPE = Path("esc10")


def fold(number: int, wrong: int) -> crossval.Fold:
    """Two clips of each label and two of background, of which ``wrong`` events are taken for the next label."""
    labels = read.load(RECIPE).names
    truth = np.repeat(np.arange(11), 2)
    found = truth.copy()
    found[:wrong] = (found[:wrong] + 1) % 10
    scores = 0.1 * np.ones((22, 11), np.float32) / 11 + 0.9 * np.eye(11, dtype=np.float32)[found]
    judged = Judgement(labels, "background", truth, scores, ())
    windows = np.zeros((22500, 11), np.float32)  # half an hour
    windows[:, 3], windows[:, 10] = 0.625, 0.375
    return crossval.Fold(number, 100, judged, judged, judged, Quiet(["speech"], [windows]))


def test_page_tells_folds_accuracy_and_false_alarms(tmp_path: Path) -> None:
    """Each measured fold has its line, all have one together, folds not measured are said, the picture is there."""
    measured, opened = [fold(1, 0), fold(4, 2)], bundles.load("esc10")
    told = alarms.count(opened, alarms.joined([f.quiet for f in measured]))
    page = crossval.write(read.load(RECIPE), measured, [1, 2, 3, 4], tmp_path, told, told).read_text()
    assert "| 1 | 100 | 20 | 100.0 % | 100.0 % | 100.0 % | 100.0 % |" in page
    assert "| 4 | 100 | 20 | 90.0 % | 90.0 % | 90.0 % | 90.0 % |" in page
    assert "| all |  | 40 | 95.0 % |" in page
    assert "Not measured: fold 2, 3." in page
    assert page.count("| speech | 1 | 2 | 2 | dog_bark 2 |") == 2, "at 0.5, and at what ships"
    assert (tmp_path / "images" / "models-esc10.png").stat().st_size > 5000
    assert len(page.splitlines()) < 80


def test_folds_come_back_as_they_were_kept(tmp_path: Path) -> None:
    """What was measured once is read again, and stands in the card in the same figures."""
    kept = fold(4, 2)
    kept.save(tmp_path / "judged.npz")
    back = crossval.Fold.load(tmp_path / "judged.npz", kept.int8.labels, "background")
    np.testing.assert_array_equal(back.int8.scores, kept.int8.scores, strict=True)
    np.testing.assert_array_equal(back.quiet.windows[0], kept.quiet.windows[0], strict=True)
    assert back.quiet.origins == kept.quiet.origins
    stated = crossval.stated([back], {})["held_out"]
    assert stated["int8"]["accuracy"] == 0.9
    assert stated["int8"]["by_fold"] == [0.9]
    assert crossval.stated([], {}) == {}


def test_operations_are_counted_by_hand() -> None:
    """Two layers whose multiplications can be counted on paper."""
    from auricle_build.grammar import trunk
    from auricle_build.grammar.kinds import Layer

    ops = trunk.plan([Layer("conv", (2, 2), (2, 2), 3), Layer("separable", (1, 2), (1, 1), 4)], 4)
    # 8 frames: 4 x 2 cells of 2*2*1*3, then 4 x 1 cells of 2*3 and of 3*4, then 4 columns of 4, and 4 by 5 labels
    assert report.operations(ops, 8, 4, 4, 5) == 4 * 2 * 12 + 4 * 6 + 4 * 12 + 4 * 4 + 4 * 5


def test_alarms_follow_the_daemons_rules() -> None:
    """Half an hour of one label's full score is one event, the same of background none; hours are of decisions."""
    opened = bundles.load("esc10")
    loud, quiet = np.zeros((22500, 11), np.float32), np.zeros((22500, 11), np.float32)
    loud[:, 3] = quiet[:, 10] = 1.0
    counted = alarms.count(opened, Quiet(["made", "made"], [loud, quiet]))
    assert counted == {"made": {"hours": 1.0, "events": 1, "per_hour": 1.0, "labels": {opened.labels[3]: 1}}}
