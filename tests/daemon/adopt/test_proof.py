"""A recording of a known sound proves a network, or does not."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.adopt.proof import proof

NAMES = ["yes", "no", "up", "down"]


@pytest.mark.parametrize(
    ("scores", "wanted", "held"),
    [
        ([0.9, 0.05, 0.03, 0.02], 0, True),
        ([0.9, 0.3, 0.0, 0.0], 1, True),  # the second place of four, and well heard
        ([1.0, 0.0, 0.0, 0.0], 1, False),  # the second place, at nothing
        ([0.9, 0.08, 0.0, 0.0], 1, False),  # next to nothing
        ([0.9, 0.8, 0.7, 0.0], 2, False),  # the lower half of four
        ([0.0, 0.0, 0.0, 0.0], 0, False),  # nothing is heard
    ],
)
def test_a_label_must_be_among_the_best_and_heard(scores: list[float], wanted: int, held: bool) -> None:
    """Of four labels the first two places prove, if their score is a tenth of the highest at least."""
    found = proof(np.asarray(scores, np.float32), NAMES, wanted)
    assert found.held == held
    assert len(found.best) == 3


def test_of_many_labels_the_third_place_proves() -> None:
    """Of ten labels the first three places prove, of two only the first."""
    scores = np.asarray([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05], np.float32)
    assert [proof(scores, [str(n) for n in range(10)], n).held for n in range(5)] == [True, True, True, False, False]
    assert [proof(np.asarray([0.9, 0.8], np.float32), ["a", "b"], n).held for n in range(2)] == [True, False]
