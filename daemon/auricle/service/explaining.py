"""This gathers what a lane remembers of a time, for those who ask why there was an event, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from auricle import messages
from auricle.errors import UsageError
from auricle.hearing.lane import Lane
from auricle.hearing.recall import Decided, Standing
from auricle.messages.questions import AskExplain, Decision, Explained, RuleReport

MOST_S = 120
"""The longest time that one question may ask about."""
TOP = 5
"""So many labels are told of, those with the highest scores, unless some are asked for."""


def explained(lanes: Sequence[Lane], question: AskExplain, who: Mapping[str, Any]) -> Explained:
    """Return what is remembered.

    Args:
        who: says whose answer it is.

    Raises:
        UsageError: there is no such source or label, or the time is none.
    """
    lane = _lane(lanes, question.source)
    try:
        first_us, last_us = messages.microseconds(question.since), messages.microseconds(question.until)
    except (ValueError, OverflowError) as e:
        raise UsageError(f"since, until: {e}; use a time such as 2026-03-01T06:30:00Z") from None
    if not 0 <= last_us - first_us <= 1_000_000 * MOST_S:
        raise UsageError(f"until: give a time after since, by {MOST_S} s at most")
    recall = lane.recall
    rows = [] if recall is None else recall.between(first_us, last_us)
    labels = _labels(rows, rows[-1].standing.labels if rows else lane.ear.labels, question.labels)
    standing = rows[-1].standing if rows else None
    since_us = None if recall is None else recall.since_us
    return Explained(
        **who,
        source=lane.name,
        model=lane.model,
        gate=rows[-1].gate if rows else None,
        remembered=None if since_us is None else messages.rfc3339(since_us),
        rules={} if standing is None else {label: _rule(standing, label) for label in labels},
        decisions=[_decision(row, labels) for row in rows],
        news=[
            told
            for told in (() if recall is None else recall.news)
            if messages.microseconds(told.t) <= last_us and _end_us(told) >= first_us
        ],
    )


def _lane(lanes: Sequence[Lane], source: str | None) -> Lane:
    known = ", ".join(lane.name for lane in lanes)
    if source is None:
        if len(lanes) != 1:
            raise UsageError(f"source: say which one: {known}")
        return lanes[0]
    for lane in lanes:
        if lane.name == source:
            return lane
    raise UsageError(f"source: there is none called {source[:40]!r}; use one of {known}")


def _labels(rows: Sequence[Decided], names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the labels to tell of: as wanted, else the highest and those that were held back, highest first."""
    if wanted:
        for label in wanted:
            if label not in names:
                raise UsageError(f"labels: the source's model has no label {label!r}")
        return list(wanted)
    if not rows:
        return []
    peaks = np.max([row.scores for row in rows if row.standing.labels == names], axis=0)
    order = [names[i] for i in np.argsort(-peaks, kind="stable").tolist()]
    held = {label for row in rows for label in row.held_back}
    return [label for i, label in enumerate(order) if i < TOP or label in held]


def _rule(standing: Standing, label: str) -> RuleReport | None:
    rule = standing.rules.get(label)
    if rule is None:
        return None
    rate = standing.rate
    return RuleReport(
        threshold=rule.threshold,
        hysteresis=rule.hysteresis,
        min_duration_s=round(rule.min_duration_samples / rate, 6),
        refractory_s=round(rule.refractory_samples / rate, 6),
        smoothing_s=round(standing.means[list(standing.labels).index(label)] * standing.hop / rate, 6),
    )


def _decision(row: Decided, labels: Sequence[str]) -> Decision:
    place = {label: i for i, label in enumerate(row.standing.labels)}
    return Decision(
        t=messages.rfc3339(row.t_us),
        sample=row.sample,
        level_dbfs=round(row.level_dbfs, 2),
        scores={label: round(float(row.scores[place[label]]), 6) for label in labels if label in place},
        held_back={label: why for label, why in row.held_back.items() if label in labels},
    )


def _end_us(told: messages.Gap | messages.Status) -> int:
    lasts_s = told.duration_s if isinstance(told, messages.Gap) else 0.0
    return messages.microseconds(told.t) + round(1e6 * lasts_s)
