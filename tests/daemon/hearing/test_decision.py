"""The rules that make events out of scores, one claim a test; time is counted in samples."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.hearing.decision import Change, Detector, Rule

RULE = Rule(threshold=0.5, hysteresis=0.1, min_duration_samples=0, refractory_samples=0)
SPAN, HOP = 1000, 100


def detector(rule: Rule = RULE, **more: int) -> Detector:
    """One label beside a background that never raises an event."""
    lags = {"onset_lag": 0, "offset_lag": 0, "update_samples": 10_000, **more}
    return Detector(["dog", "background"], {"dog": rule}, span=SPAN, hop=HOP, **lags)


def rows(*scores: float) -> np.ndarray:
    """Scores of the label; the background has the rest."""
    return np.array([[s, 1 - s] for s in scores], np.float32)


def told(changes: list[Change]) -> list[tuple[str, int]]:
    """Phase, and the decision's number."""
    return [(change.phase, (change.at - SPAN) // HOP) for change in changes]


def test_threshold_and_hysteresis() -> None:
    """An event begins at the threshold and ends below threshold minus hysteresis, not between."""
    changes = detector().process(rows(0.49, 0.5, 0.45, 0.4, 0.39, 0.49))
    assert told(changes) == [("onset", 1), ("offset", 4)]


def test_a_threshold_is_met_by_the_score_that_prints_the_same() -> None:
    """0.6 as float32 passes a threshold of 0.6, and 0.9 - 0.8 leaves 0.1 inside the hysteresis."""
    changes = detector(Rule(0.6, 0.1, 0, 0)).process(rows(0.6, 0.5, 0.49))
    assert told(changes) == [("onset", 0), ("offset", 2)]


def test_minimum_duration() -> None:
    """What does not last is no event; what does is told once it has lasted, and dated back to its beginning."""
    d = detector(Rule(0.5, 0.1, 200, 0))
    changes = d.process(rows(0.9, 0.9, 0.0, 0.9, 0.9, 0.9, 0.0))
    assert told(changes) == [("onset", 5), ("offset", 6)]
    assert changes[0].onset == SPAN + 3 * HOP


def test_refractory_time() -> None:
    """After an event its label is deaf for as long as the rule says, counted from the decision that ended it."""
    d = detector(Rule(0.5, 0.1, 0, 300))
    changes = d.process(rows(0.9, 0.0, 0.9, 0.9, 0.9, 0.9))
    assert told(changes) == [("onset", 0), ("offset", 1), ("onset", 4)]


def test_background_never_raises_an_event() -> None:
    """A label without a rule stays silent however sure it is."""
    assert detector().process(rows(0.0, 0.0, 0.0)) == []


def test_lags_date_back_but_never_before_the_segment_nor_into_the_event_before() -> None:
    """Onset and offset are moved by their lags, within the segment, and events of a label never overlap."""
    d = detector(onset_lag=700, offset_lag=100)
    changes = d.process(rows(0.9, 0.0, 0.9, 0.0))
    first, ended, second, _ = changes
    assert first.onset == SPAN - 700
    assert ended.offset == SPAN + HOP - 100
    assert second.onset == ended.offset
    early = Detector(["dog"], {"dog": RULE}, span=10, hop=10, onset_lag=50, offset_lag=50, update_samples=10_000)
    assert early.process(np.array([[0.9]], np.float32))[0].onset == 0


def test_updates_come_at_their_interval() -> None:
    """While an event lasts it is told again every interval, with the peak so far."""
    d = detector(update_samples=200)
    changes = d.process(rows(0.6, 0.9, 0.7, 0.7, 0.7, 0.7))
    assert told(changes) == [("onset", 0), ("update", 2), ("update", 4)]
    assert [round(change.peak, 6) for change in changes] == [0.6, 0.9, 0.9]


def test_closing_ends_what_is_open_and_nothing_else() -> None:
    """The segment's end closes events that were told, with its cause; a run too short to be told leaves no trace."""
    d = detector(Rule(0.5, 0.1, 200, 0))
    d.process(rows(0.9, 0.9))
    assert d.close(5000, "gap") == []
    d.reset()
    d.process(rows(0.9, 0.9, 0.9))
    (change,) = d.close(5000, "gap")
    assert (change.phase, change.offset, change.cause) == ("offset", 5000, "gap")
    assert d.open == []


def test_other_rules_hold_from_the_next_row_on() -> None:
    """A threshold changed while running decides the very next row."""
    d = detector()
    assert told(d.process(rows(0.45))) == []
    d.configure({"dog": Rule(0.4, 0.1, 0, 0)})
    assert told(d.process(rows(0.45))) == [("onset", 1)]


@given(
    scores=st.lists(st.sampled_from([0.0, 0.3, 0.42, 0.5, 0.7, 1.0]), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    rule=st.builds(
        Rule,
        threshold=st.sampled_from([0.3, 0.5]),
        hysteresis=st.sampled_from([0.0, 0.1]),
        min_duration_samples=st.sampled_from([0, 100, 250]),
        refractory_samples=st.sampled_from([0, 150, 300]),
    ),
)
@settings(max_examples=300, deadline=None)
def test_every_onset_has_one_offset_however_rows_are_cut(scores: list[float], cuts: list[int], rule: Rule) -> None:
    """Onsets and offsets alternate, in order, and do not depend on how many rows come at once."""
    whole = detector(rule, onset_lag=150, offset_lag=50, update_samples=300)
    changes = whole.process(rows(*scores).reshape(-1, 2)) + whole.close(100_000, "end")
    phases = [change.phase for change in changes if change.phase != "update"]
    assert phases == ["onset", "offset"] * (len(phases) // 2)
    ends = [p for c in changes if c.phase == "offset" for p in (c.onset, c.offset)]
    assert ends == sorted(ends)
    parts = detector(rule, onset_lag=150, offset_lag=50, update_samples=300)
    edges = [0, *sorted(min(c, len(scores)) for c in cuts), len(scores)]
    cut = [c for a, b in pairwise(edges) for c in parts.process(rows(*scores[a:b]).reshape(-1, 2))]
    assert cut + parts.close(100_000, "end") == changes


def test_a_label_may_have_lags_of_its_own() -> None:
    """An event is back-dated by its label's own lags where they are known, else by those of all."""
    lags = {"onset_lag": 100, "offset_lag": 50, "update_samples": 10_000}
    both = Detector(["dog", "cat"], {"dog": replace(RULE, lags=(300, 150)), "cat": RULE}, span=SPAN, hop=HOP, **lags)
    changes = both.process(np.array([[0, 0], [0, 0], [0, 0], [0.9, 0.9], [0.9, 0.9], [0, 0]], np.float32))
    found = {change.label: (change.onset, change.offset) for change in changes if change.phase == "offset"}
    assert found == {"dog": (1300 - 300, 1500 - 150), "cat": (1300 - 100, 1500 - 50)}
