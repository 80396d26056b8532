"""The figures of a detector, held against sed_eval and scipy, which have them from elsewhere."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from auricle.hearing.hearer import Reported
from auricle.judge.scoring import (
    Counts,
    Tally,
    delays,
    false_alarms,
    noticed,
    poisson_bound,
    poisson_interval,
)
from auricle.judge.truth import Event

LABELS = ["dog", "cat", "owl"]


@pytest.fixture(scope="module")
def sed_eval() -> Any:
    """The reference; it warns of numpy's and pkg_resources' past on import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sed_eval")


def drawn(rng: np.random.Generator, n: int, like: list[Event] | None = None) -> list[Event]:
    """Events at random; with ``like``, most of them near one of those, some under another label."""
    events = []
    for _ in range(n):
        onset, length = rng.uniform(0, 50), rng.uniform(0.05, 4)
        label = LABELS[rng.integers(3)]
        if like and rng.random() < 0.8:
            near = like[rng.integers(len(like))]
            onset, length = abs(near.onset_s + rng.normal(0, 0.15)), near.offset_s - near.onset_s + rng.normal(0, 0.4)
            label = near.label if rng.random() < 0.8 else label
        events.append(Event(onset, onset + max(length, 0.01), label))
    return events


def rows(events: list[Event]) -> list[dict[str, object]]:
    """As sed_eval takes them."""
    return [
        {"event_label": e.label, "event_onset": e.onset_s, "event_offset": e.offset_s, "filename": "a"} for e in events
    ]


def assert_macro_f1_of(tally: Tally, reference: Any) -> None:
    """The mean over labels is sed_eval's, but for labels never reported: it leaves them out, we count 0."""
    said = [counts for counts in tally.per_label.values() if counts.reported]
    theirs = reference.results_class_wise_average_metrics()["f_measure"]["f_measure"]
    assert sum(counts.f1 for counts in said) / len(said) == pytest.approx(theirs, abs=1e-9)
    assert tally.macro_f1 == pytest.approx(theirs * len(said) / len(LABELS), abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("offsets", [False, True])
def test_event_based_figures_are_those_of_sed_eval(sed_eval: Any, seed: int, offsets: bool) -> None:
    """Two recordings at random: hits, F1 and error rate by label and over all are sed_eval's (optimal matching)."""
    rng = np.random.default_rng(seed)
    reference = sed_eval.sound_event.EventBasedMetrics(
        LABELS, evaluate_onset=True, evaluate_offset=offsets, t_collar=0.2, percentage_of_length=0.5
    )
    tally = Tally(LABELS)
    for _ in range(2):
        truth = drawn(rng, 40)
        reported = drawn(rng, int(rng.integers(1, 60)), truth)
        reference.evaluate(rows(truth), rows(reported))
        tally.add_events(truth, reported, offsets=offsets)
    overall = reference.results_overall_metrics()
    assert tally.overall.f1 == pytest.approx(overall["f_measure"]["f_measure"], abs=1e-9)
    for label in LABELS:
        theirs, ours = reference.class_wise[label], tally.per_label[label]
        assert (ours.true, ours.reported, ours.hits) == (theirs["Nref"], theirs["Nsys"], theirs["Ntp"])
    errors = tally.substitutions + tally.deletions + tally.insertions
    assert tally.error_rate == errors / tally.overall.true
    # Which of several best matchings is taken decides what is left to be a substitution: a few may differ.
    assert tally.error_rate == pytest.approx(overall["error_rate"]["error_rate"], abs=0.05)
    assert_macro_f1_of(tally, reference)


@pytest.mark.parametrize("seed", range(12))
def test_segment_based_figures_are_those_of_sed_eval(sed_eval: Any, seed: int) -> None:
    """The same over segments of a second: F1, error rate and its three parts."""
    rng = np.random.default_rng(100 + seed)
    reference = sed_eval.sound_event.SegmentBasedMetrics(LABELS, time_resolution=1.0)
    tally = Tally(LABELS)
    for _ in range(2):
        truth = drawn(rng, 20)
        reported = drawn(rng, int(rng.integers(1, 30)), truth)
        reference.evaluate(rows(truth), rows(reported), evaluated_length_seconds=60.5)
        tally.add_segments(truth, reported, 60.5)
    overall = reference.overall
    assert (tally.substitutions, tally.deletions, tally.insertions) == (overall["S"], overall["D"], overall["I"])
    assert tally.overall.hits == overall["Ntp"]
    assert tally.error_rate == pytest.approx(reference.results_overall_metrics()["error_rate"]["error_rate"], abs=1e-9)
    assert_macro_f1_of(tally, reference)


def test_the_collar_holds_its_edge() -> None:
    """An onset exactly as far off as the collar fits, the next float does not; so does an offset at half the length."""
    true = [Event(1.0, 2.0, "dog")]
    for onset, offset, offsets, hits in (
        (1.25, 2.0, False, 1),
        (math.nextafter(1.25, 2), 2.0, False, 0),
        (1.0, 2.5, True, 1),
        (1.0, math.nextafter(2.5, 3), True, 0),
    ):
        tally = Tally(LABELS)
        tally.add_events(true, [Event(onset, offset, "dog")], offsets=offsets, collar_s=0.25)
        assert tally.overall.hits == hits


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=7))
def test_as_many_pairs_as_can_be(drawn_events: list[tuple[int, bool]]) -> None:
    """The hits are those of the best of all ways to pair, tried one by one."""
    true = [Event(t / 10, t / 10 + 1, "dog") for t, mine in drawn_events if mine]
    said = [Event(t / 10, t / 10 + 1, "dog") for t, mine in drawn_events if not mine]

    def best(i: int, free: tuple[Event, ...]) -> int:
        if i == len(true):
            return 0
        paired = (
            1 + best(i + 1, (*free[:j], *free[j + 1 :]))
            for j, other in enumerate(free)
            if abs(true[i].onset_s - other.onset_s) <= 0.2
        )
        return max(best(i + 1, free), *paired, 0)

    tally = Tally(["dog"])
    tally.add_events(true, said, offsets=False)
    assert tally.overall.hits == best(0, tuple(said))


def test_what_cannot_be_said_is_nan() -> None:
    """No truth and no report: neither precision nor recall nor F1 nor error rate are figures, and none is invented."""
    empty = Counts()
    assert all(math.isnan(value) for value in (empty.precision, empty.recall, empty.f1))
    assert math.isnan(Tally(LABELS).macro_f1)
    assert math.isnan(Tally(LABELS).error_rate)
    tally = Tally(LABELS)
    tally.add_events([Event(0, 1, "dog")], [Event(0, 1, "dog"), Event(5, 6, "cat")], offsets=True)
    assert tally.macro_f1 == 1.0, "a label that the truth does not have is in no mean"


def said(onset: float, offset: float, label: str, at: float) -> Reported:
    return Reported(onset, offset, label, at, 0.9)


def test_false_alarms_and_what_was_noticed() -> None:
    """An event near a true one of its label is none, wherever in it; another label's, or one far off, is."""
    truth = [Event(10, 20, "dog")]
    inside, early, late = said(14, 15, "dog", 15), said(8, 9.5, "dog", 9), said(20.5, 22, "dog", 21)
    other, far = said(14, 15, "cat", 15), said(20.6, 22, "dog", 21)
    assert false_alarms(truth, [inside, early, late, other, far]) == [other, far]
    assert noticed(truth, [far, other]) == []
    assert noticed(truth, [late]) == truth
    assert false_alarms([], [inside]) == [inside]


def test_delays_count_from_the_onset_to_the_first_message() -> None:
    """The first message after the onset counts; one from before it, or none at all, is no delay."""
    truth = [Event(10, 12, "dog"), Event(30, 31, "dog"), Event(50, 52, "owl")]
    reported = [
        said(9, 12, "dog", 9.5),
        said(10, 11, "dog", 10.75),
        said(11.5, 12, "dog", 11.9),
        said(50, 51, "cat", 51),
    ]
    assert delays(truth, reported) == {"dog": [0.75]}


@pytest.mark.parametrize("n", [0, 1, 2, 7, 50, 1234])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_poisson_interval_is_exact(n: int, confidence: float) -> None:
    """It is Garwood's, by the chi-square distribution as scipy has it; nothing heard bounds the rate by three."""
    tail = (1 - confidence) / 2
    low = chi2.ppf(tail, 2 * n) / 2 if n else 0.0
    assert poisson_interval(n, confidence) == pytest.approx((low, chi2.ppf(1 - tail, 2 * n + 2) / 2), rel=1e-9)
    assert poisson_bound(n, confidence) == pytest.approx(chi2.ppf(confidence, 2 * n + 2) / 2, rel=1e-9)
    assert poisson_bound(0) == pytest.approx(-math.log(0.05))
