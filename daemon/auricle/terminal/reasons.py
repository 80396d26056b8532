"""Why there was an event, or none, is put into words here, from what a daemon remembers and what its history holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from auricle import messages
from auricle.client import Event, Explained
from auricle.messages.questions import Decision, RuleReport
from auricle.terminal import text

LINES = 40
"""The longest table of decisions; of more, each line is the highest of several."""
COLUMNS = 5
"""The labels that a table has room for."""


def told(found: Explained, events: Sequence[Event], first: str, last: str) -> Iterator[str]:
    """Yield lines for a person: by what was decided, the decisions, and for each label why there was an event or none.

    Args:
        events: of the source in this time, each the newest message about it.
        first, last: the time, RFC 3339.
    """
    model = "no model" if found.model is None else f"model {found.model.name}"
    yield f"{found.source}, {_clock(first)} to {_clock(last)} on {first[:10]} (UTC), {model}"
    if not found.decisions:
        yield _nothing(found, first)
    else:
        yield f"noise gate {found.gate}; {len(found.decisions)} decisions"
        yield from _table(found)
    for each in sorted(found.news, key=lambda each: each.t):
        yield f"{_clock(each.t)}  {_news(each)}"
    labels = list(dict.fromkeys([*found.rules, *(event.label for event in events)]))
    for label in labels:
        yield f"{label}: {why(label, found, [event for event in events if event.label == label])}"


def why(label: str, found: Explained, events: Sequence[Event]) -> str:
    """Say why there was an event of a label, or none.

    Args:
        events: of the label.
    """
    if events:
        return "; ".join(_event(event) for event in events)
    rule = found.rules.get(label)
    if rule is None:
        return "it raises no events: the model's background, or left out by decision.only or decision.except"
    rows = [row for row in found.decisions if label in row.scores]
    peak = max(rows, key=lambda row: row.scores[label])
    held = [row for row in rows if label in row.held_back]
    if held:
        reasons = dict.fromkeys(row.held_back[label] for row in held)
        said = [_held(reason, _stretches(label, reason, found), rule) for reason in reasons]
        return f"no event. {'; '.join(said)}"
    if peak.scores[label] >= rule.threshold:
        return f"{_peak(label, peak)}, its threshold is {rule.threshold:.2f}: an event, which the history does not hold"
    return f"no event. {_peak(label, peak)}, below its threshold of {rule.threshold:.2f}"


def _table(found: Explained) -> Iterator[str]:
    labels = list(found.rules)[:COLUMNS]
    width = max(len("12:34:56.78"), *(len(label) for label in labels))
    yield "  ".join([f"{'':11}", "   dBFS", *(f"{label:>{width}}" for label in labels)])
    rules = [found.rules[label] for label in labels]
    for name in ("threshold", "smoothing_s", "min_duration_s", "refractory_s"):
        cells = ["-" if rule is None else f"{getattr(rule, name):.2f}" for rule in rules]
        yield "  ".join([f"{name:20}", *(f"{cell:>{width}}" for cell in cells)])
    each = -(-len(found.decisions) // LINES)
    if each > 1:
        yield f"each line is the highest of {each} decisions"
    for i in range(0, len(found.decisions), each):
        yield _line(found.decisions[i : i + each], labels, width)


def _line(rows: Sequence[Decision], labels: Sequence[str], width: int) -> str:
    cells = []
    for label in labels:
        held = next((f" {row.held_back[label]}" for row in rows if label in row.held_back), "")
        score = max((row.scores[label] for row in rows if label in row.scores), default=None)
        cells.append(f"{'-' if score is None else f'{score:.2f}{held}':>{width}}")
    return "  ".join([_clock(rows[0].t), f"{max(row.level_dbfs for row in rows):7.1f}", *cells])


def _nothing(found: Explained, first: str) -> str:
    if found.remembered is None:
        return "no decisions are remembered: nothing was heard yet, or explain.keep_min is 0"
    if messages.microseconds(found.remembered) > messages.microseconds(first):
        return f"decisions are remembered from {found.remembered[:10]} {_clock(found.remembered)} on (explain.keep_min)"
    return "no decision was made in this time: the source was not heard"


def _stretches(label: str, reason: str, found: Explained) -> list[list[Decision]]:
    """Return the decisions that held a label back for this reason, those that follow each other together."""
    by = groupby(found.decisions, lambda row: row.held_back.get(label) == reason)
    return [list(rows) for held, rows in by if held]


def _held(reason: str, stretches: Sequence[Sequence[Decision]], rule: RuleReport) -> str:
    rows = max(stretches, key=lambda each: messages.microseconds(each[-1].t) - messages.microseconds(each[0].t))
    often = "" if len(stretches) == 1 else f"{len(stretches)} times, the longest "
    span = f"above its threshold of {rule.threshold:.2f} {often}from {_clock(rows[0].t)} to {_clock(rows[-1].t)}"
    match reason:
        case "short":
            return f"{span}, not for the {rule.min_duration_s:g} s that it must last (min_duration_ms)"
        case "refractory":
            return f"{span}, sooner than {rule.refractory_s:g} s after an event (refractory_ms)"
    return f"{span}, told as {reason.removeprefix('in:')}, which it contains"


def _peak(label: str, row: Decision) -> str:
    return f"Its highest score was {row.scores[label]:.2f} at {_clock(row.t)}"


def _event(event: Event) -> str:
    lasted = "goes on" if event.offset is None else f"{event.duration_s:.2f} s"
    return f"an event from {_clock(event.onset)}, {lasted}, peak {event.peak:.2f}{text.also(event)} ({event.id})"


def _news(each: messages.Gap | messages.Status) -> str:
    if isinstance(each, messages.Gap):
        return f"{each.duration_s:.3f} s were not heard ({each.cause})"
    return each.state + (f": {each.detail}" if each.detail else "")


def _clock(time: str) -> str:
    return time[11:22]
