"""These are the figures that `evaluate` reports."""

from __future__ import annotations

import msgspec

from auricle import messages


class Alarms(msgspec.Struct):
    """Counts false alarms: how many in how many hours, the rate, and its exact 95 % Poisson interval; all an hour."""

    count: int
    hours: float
    per_hour: float | None
    low: float | None
    high: float | None


class Figures(msgspec.Struct):
    """Holds the figures of a label, or over all; null where there is nothing to judge. Over all, F1 is the mean over
    the true labels."""

    true: int
    reported: int
    noticed: int
    event_f1: float | None
    event_f1_with_offset: float | None
    segment_f1: float | None
    delay_s: float | None
    false_alarms: Alarms


class Point(msgspec.Struct):
    """Holds a point of a curve: every label at this threshold."""

    threshold: float
    precision: float | None
    recall: float | None
    false_alarms_per_hour: float | None


class Evaluation(msgspec.Struct, kw_only=True):
    """Holds what `evaluate` reports."""

    model: messages.Model
    recordings: int
    hours: float
    hours_without_events: float
    unknown_labels: list[str]
    overall: Figures
    event_error_rate: float | None
    event_error_rate_with_offset: float | None
    segment_error_rate: float | None
    event_f1_micro: float | None
    segment_f1_micro: float | None
    labels: dict[str, Figures]
    """Of a hundred labels at most all; of more those that occurred or were reported."""
    others: int
    """How many labels are not among these: there was nothing of them."""
    curve: list[Point]
    curves: dict[str, list[Point]]
