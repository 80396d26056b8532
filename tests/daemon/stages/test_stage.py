"""The laws of a stage hold for every stage between sample and score, alone and in a row, under any cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle import config
from auricle.hearing import pipeline
from auricle.hearing.decision import Smoother
from auricle.model import bundle
from auricle.model.classifier import classifier, window_classifier
from auricle.stages.level import Level
from auricle.stages.stage import Pipeline, Slices, Stage
from helpers import laws
from helpers.sounds import varied

SOUND = varied(4.0)
ROWS = np.random.default_rng(1).normal(size=(300, 64)).astype(np.float32) * 20 - 40
SCORES = np.random.default_rng(2).random((100, 11)).astype(np.float32)

cuts = st.lists(st.integers(0, 5000), max_size=30)


@pytest.mark.parametrize(("span", "hop"), [(1, 1), (512, 160), (512, 512), (160, 512), (3, 1), (7, 1000)])
@given(sizes=cuts)
@settings(max_examples=25, deadline=None)
def test_slices_obey_the_laws(span: int, hop: int, sizes: list[int]) -> None:
    """Slices obey cut, count and reset, also where the hop passes items over."""
    laws.hold(lambda: Slices(span, hop), SOUND[:20_000], sizes)


@given(sizes=st.lists(st.integers(0, 40), max_size=30))
@settings(max_examples=25, deadline=None)
def test_slices_of_rows_obey_the_laws(sizes: list[int]) -> None:
    """The same class cuts windows out of feature rows."""
    laws.hold(lambda: Slices(50, 8), ROWS, sizes)


@pytest.mark.parametrize("lengths", [[1, 1, 1], [2, 2, 2], [5, 5, 5], [1, 1, 4], [7, 2, 3], [9, 2, 9]], ids=str)
@given(sizes=st.lists(st.integers(0, 20), max_size=30))
@settings(max_examples=25, deadline=None)
def test_smoother_obeys_the_laws(lengths: list[int], sizes: list[int]) -> None:
    """The moving means over decisions obey cut, count and reset, one length or several."""
    laws.hold(lambda: Smoother(lengths), SCORES[:, : len(lengths)], sizes)


def test_every_label_has_a_mean_of_its_own() -> None:
    """A label's score is its mean over its own number of rows; of rows before the first one there is nothing in it."""
    scores = np.float32([[0.5, 0.5, 1.0], [1.0, 1.0, 0.25], [0.0, 0.0, 0.25], [0.5, 0.5, 0.5]])
    wanted = [[0.25, 0.5, 0.25], [0.75, 1.0, 0.3125], [0.5, 0.0, 0.375], [0.25, 0.5, 0.5]]
    np.testing.assert_array_equal(Smoother([2, 1, 4]).process(scores), np.float32(wanted))
    np.testing.assert_array_equal(Smoother([2, 2, 2]).process(scores), (scores[:-1] + scores[1:]) / 2)


@given(sizes=cuts)
@settings(max_examples=25, deadline=None)
def test_level_obeys_the_laws(sizes: list[int]) -> None:
    """The level beside a pipeline gives a row at each of its decisions."""
    laws.hold(lambda: Level(span=32_352, hop=1280), SOUND, sizes)
    laws.hold(lambda: Level(span=1000, hop=1700), SOUND, sizes)


def test_the_level_between_windows_with_pauses_counts_nothing_of_the_pauses() -> None:
    """Where a hop is longer than the window, the level is that of the window alone, from the first one on."""
    sound = np.concatenate([np.full(10, 0.5), np.ones(20), np.full(10, 0.5), np.ones(20)]).astype(np.float32)
    levels = Level(span=10, hop=30).process(sound)
    np.testing.assert_allclose(levels, [20 * np.log10(0.5)] * 2, atol=1e-5)


@pytest.fixture(scope="module")
def esc10() -> bundle.Bundle:
    """The default model."""
    return bundle.load("esc10")


def _stages(model: bundle.Bundle) -> dict[str, Callable[[], Stage]]:
    decision, gate = config.Decision(), config.Gate()
    return {
        "scorer": lambda: pipeline.scorer(model, decision, gate).stages,
        "smoothed": lambda: Pipeline(
            [pipeline.scorer(model, decision, gate).stages, pipeline.smoother(model, decision)]
        ),
    }


@pytest.mark.parametrize("kind", ["scorer", "smoothed"])
def test_samples_to_scores_obey_the_laws(esc10: bundle.Bundle, kind: str) -> None:
    """From samples to scores, the whole path is one stage under the same laws."""
    make = _stages(esc10)[kind]
    whole, _ = laws.run(make(), [SOUND])
    assert len(whole) > 10
    rng = np.random.default_rng(3)
    for _ in range(5):
        laws.hold(make, SOUND, list(rng.integers(0, 9000, 12)), whole=whole)
    laws.hold(make, SOUND, [1] * 700, whole=whole)


@pytest.mark.parametrize("make", [classifier, window_classifier])
def test_classifiers_obey_the_laws(esc10: bundle.Bundle, make: Callable[[bundle.Bundle, int], Pipeline]) -> None:
    """The network on every decision hop, stateful or not, gives the same scores however the rows come."""
    rng = np.random.default_rng(4)
    rows = pipeline.front_end_of(esc10, config.Gate()).process(SOUND)
    for _ in range(5):
        laws.hold(lambda: make(esc10, 8), rows, list(rng.integers(0, 90, 12)))


def test_a_pipelines_extent_follows_by_arithmetic() -> None:
    """hop, span and lead of stages in a row are those that the samples show."""
    row = Pipeline([Slices(512, 160), Slices(50, 8)])
    assert (row.hop, row.span, row.lead) == (1280, 512 + 49 * 160, 256 + 25 * 160)


@pytest.mark.parametrize(("span", "hop"), [(0, 1), (1, 0), (-1, 5)])
def test_slices_that_cannot_be_are_refused(span: int, hop: int) -> None:
    """A slice of nothing, or one that never moves on, is refused with its values."""
    with pytest.raises(ValueError, match=f"{span} and {hop}"):
        Slices(span, hop)
