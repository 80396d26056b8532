"""The rules that make events out of scores, one claim a test; time is counted in samples."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

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


# Labels that contain each other.

HOUSE = ["police", "smoke", "siren", "alarm", "dog"]
CONTAINED = {"siren": {"police"}, "alarm": {"police", "siren", "smoke"}}


def house(rules: dict[str, Rule] | None = None, contained: Any = None, **more: int) -> Detector:
    """Labels of a house, under one rule unless told."""
    lags = {"onset_lag": 0, "offset_lag": 0, "update_samples": 10_000, **more}
    own = dict.fromkeys(HOUSE, RULE) | (rules or {})
    return Detector(HOUSE, own, span=SPAN, hop=HOP, contained=CONTAINED if contained is None else contained, **lags)


def rows_of(**scores: str) -> np.ndarray:
    """Rows from a drawing of each label's score: `#` is 0.9, `-` 0.45 (within the hysteresis), anything else 0."""
    n = max(map(len, scores.values()))
    found = np.zeros((n, len(HOUSE)), np.float32)
    for label, drawn in scores.items():
        found[: len(drawn), HOUSE.index(label)] = [{"#": 0.9, "-": 0.45}.get(mark, 0.0) for mark in drawn]
    return found


def events(changes: list[Change]) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Phase, label, the decision's number and what it is too."""
    return [(c.phase, c.label, (c.at - SPAN) // HOP, c.also) for c in changes]


SLOW = Rule(0.5, 0.1, 200, 0)
"""An event after two hops."""


def test_the_specific_one_first() -> None:
    """While the siren's event is open the alarm raises none, however sure it is; the event says that it is one too."""
    changes = house().process(rows_of(siren=" #### ", alarm="  ###"))
    assert events(changes) == [("onset", "siren", 1, ()), ("offset", "siren", 5, ("alarm",))]


def test_both_at_once() -> None:
    """One sound that passes both thresholds at one decision is one event, the specific one's."""
    changes = house().process(rows_of(siren="###", alarm="### "))
    assert events(changes) == [("onset", "siren", 0, ("alarm",)), ("offset", "siren", 3, ("alarm",))]


def test_the_containing_one_first_but_not_told() -> None:
    """An alarm that has not lasted long enough when the siren passes its threshold waits for what the siren becomes."""
    both = {"alarm": SLOW, "siren": SLOW}
    changes = house(both).process(rows_of(alarm="########", siren=" ####### "))
    assert events(changes) == [("onset", "siren", 3, ("alarm",)), ("offset", "siren", 8, ("alarm",))]


def test_the_containing_one_first_and_told() -> None:
    """An alarm that was told before the siren was heard goes on; the siren is an event of its own that says so."""
    changes = house().process(rows_of(alarm="######## ", siren="  ### "))
    assert events(changes) == [
        ("onset", "alarm", 0, ()),
        ("onset", "siren", 2, ("alarm",)),
        ("offset", "siren", 5, ("alarm",)),
        ("offset", "alarm", 8, ()),
    ]


def test_a_specific_one_that_is_too_short_leaves_the_sound_to_the_containing_one() -> None:
    """A siren of one decision is no event: the alarm is told then, dated back to where it began."""
    changes = house({"siren": SLOW}).process(rows_of(alarm="#### ", siren="# "))
    assert events(changes) == [("onset", "alarm", 1, ()), ("offset", "alarm", 4, ())]
    assert changes[0].onset == SPAN


def test_a_containing_one_that_falls_later_is_no_event() -> None:
    """After the siren's event the alarm is deaf as after one of its own, and for its offset lag longer."""
    quiet = {"alarm": Rule(0.5, 0.1, 0, 200), "siren": Rule(0.5, 0.1, 0, 0)}
    lags = {"offset_lag": 100}
    lingers = house(quiet, **lags).process(rows_of(siren="##", alarm="#####  "))
    assert events(lingers) == [("onset", "siren", 0, ("alarm",)), ("offset", "siren", 2, ("alarm",))]
    goes_on = house(quiet, **lags).process(rows_of(siren="##", alarm="########  "))
    assert events(goes_on)[2:] == [("onset", "alarm", 5, ()), ("offset", "alarm", 8, ())]
    assert goes_on[2].onset >= goes_on[1].offset  # type: ignore[operator]
    # What the specific one's own refractory time keeps quiet is not told as the other either.
    barks = {"siren": Rule(0.5, 0.1, 0, 400)}
    again = house(barks).process(rows_of(siren="## ### ", alarm="## ### "))
    assert events(again) == [("onset", "siren", 0, ("alarm",)), ("offset", "siren", 2, ("alarm",))]


def test_labels_that_contain_what_contains_others() -> None:
    """Of three that lie in one another the innermost is told, and says both others."""
    changes = house().process(rows_of(police=" ##", siren=" ## ", alarm=" ## "))
    assert events(changes) == [("onset", "police", 1, ("siren", "alarm")), ("offset", "police", 3, ("siren", "alarm"))]
    without = house().process(rows_of(siren="## ", alarm="## "))
    assert events(without) == [("onset", "siren", 0, ("alarm",)), ("offset", "siren", 2, ("alarm",))]


def test_two_of_one_kind_are_two_events() -> None:
    """A siren and a smoke alarm at once are two sounds; what contains both is not told while either goes on."""
    changes = house().process(rows_of(siren="###  ", smoke=" #### ", alarm="#####"))
    assert events(changes) == [
        ("onset", "siren", 0, ("alarm",)),
        ("onset", "smoke", 1, ("alarm",)),
        ("offset", "siren", 3, ("alarm",)),
        ("offset", "smoke", 5, ("alarm",)),
    ]


def test_why_a_label_above_its_threshold_has_no_event() -> None:
    """At every decision: not lasted yet, too soon after the one before, or told as what it contains."""
    rules = {"dog": Rule(0.5, 0.1, 100, 300), "siren": SLOW}
    d = house(rules)
    d.process(rows_of(dog="##  # ", siren=" ###  ", alarm=" ##  ", smoke="-"))
    assert {(at - SPAN) // HOP: why for at, why in d.held_back.items()} == {
        0: {"dog": "short"},
        1: {"siren": "short", "alarm": "in:siren"},
        2: {"siren": "short", "alarm": "in:siren"},
        4: {"dog": "refractory"},
    }
    assert d.process(rows_of(dog="#")) == []
    assert list(d.held_back.values()) == [{"dog": "short"}]
    d.process(rows_of(dog=" "))
    assert d.held_back == {}


LEVELS = st.sampled_from([0.0, 0.42, 0.5, 0.9])
RULES = st.builds(
    Rule,
    threshold=st.just(0.5),
    hysteresis=st.sampled_from([0.0, 0.1]),
    min_duration_samples=st.sampled_from([0, 100, 250]),
    refractory_samples=st.sampled_from([0, 150, 300]),
    lags=st.none() | st.tuples(st.integers(0, 900), st.integers(0, 900)),
)


@given(
    scores=st.lists(st.tuples(*[LEVELS] * len(HOUSE)), max_size=40),
    rules=st.fixed_dictionaries(dict.fromkeys(HOUSE, RULES)),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    tail=st.integers(0, 250),
)
@settings(max_examples=400, deadline=None)
def test_one_sound_is_one_event_and_no_event_is_without_length(
    scores: list[tuple[float, ...]], rules: dict[str, Rule], cuts: list[int], tail: int
) -> None:
    """Whatever the scores, the rules and the lags: an offset comes after its onset, by a hop at least; events of one
    label follow each other; no event begins while what its label contains is above its threshold or has an event;
    labels that contain nothing are told as if nothing contained them; and how rows are cut changes nothing.
    """
    given = np.array(scores, np.float32).reshape(-1, len(HOUSE))
    whole = house(rules, update_samples=300)
    changes = whole.process(given)
    held_back = dict(whole.held_back)
    end = SPAN + (len(given) - 1) * HOP + tail if len(given) else tail
    changes += whole.close(end, "end")
    open_now: set[str] = set()
    last: dict[str, int] = {}
    for c in changes:
        assert c.lasted >= HOP
        assert c.onset <= c.at
        if c.phase == "onset":
            row = given[(c.at - SPAN) // HOP]
            inside = CONTAINED.get(c.label, set())
            assert not open_now & inside
            assert all(row[HOUSE.index(part)] < 0.5 for part in inside)
            assert c.onset >= last.get(c.label, 0)
            open_now.add(c.label)
        if c.phase == "offset":
            assert c.offset is not None
            assert c.offset - c.onset == c.lasted
            assert c.label in open_now
            open_now.remove(c.label)
            last[c.label] = c.offset
        assert set(c.also) <= {outer for outer, inside in CONTAINED.items() if c.label in inside}
    assert not open_now
    apart = house(rules, contained={}, update_samples=300)
    alone = apart.process(given) + apart.close(end, "end")
    innermost = {"police", "smoke", "dog"}
    assert [replace(c, also=()) for c in changes if c.label in innermost] == [c for c in alone if c.label in innermost]
    edges = [0, *sorted(min(c, len(given)) for c in cuts), len(given)]
    parts, cut, told_back = house(rules, update_samples=300), [], {}
    for a, b in pairwise(edges):
        cut += parts.process(given[a:b])
        told_back |= parts.held_back
    assert cut + parts.close(end, "end") == changes
    assert told_back == held_back


def test_an_event_that_is_over_within_its_lag_lasts_a_hop() -> None:
    """A sound whose offset lag is longer than the event leaves one decision hop, not nothing; so does one that the end
    of the recording cuts off at once."""
    d = detector(replace(RULE, lags=(0, 900)))
    onset, offset = d.process(rows(0.9, 0.0))
    assert (onset.lasted, offset.onset, offset.offset, offset.lasted) == (HOP, SPAN, SPAN + HOP, HOP)
    d = detector()
    d.process(rows(0.9))
    (closed,) = d.close(SPAN, "end")
    assert (closed.onset, closed.offset, closed.lasted) == (SPAN, SPAN + HOP, HOP)
