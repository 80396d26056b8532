"""Events of scenes are counted here: how many are noticed, at how many false alarms, by the rules in force and along
the thresholds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from auricle.errors import ConfigError
from auricle.hearing.hearer import Hearer, Reported
from auricle.judge import budget, scoring
from auricle.judge import evaluate as evaluates
from auricle.judge.evaluate import Heard
from auricle.judge.scoring import Tally
from auricle.judge.truth import Event, with_wholes
from auricle.model.bundle import Bundle

RULES = ("decision", "thresholds", "smoothings_ms", "hystereses", "min_durations_ms")
LAGS = ("onset_lag_samples", "offset_lag_samples", "lags")
"""The fields of a card, and of its timing, that say how to decide."""
TAIL = 6
"""From how many of the highest thresholds with false alarms a rate is extrapolated."""

Lots = Sequence[tuple[Hearer, Sequence[Heard]]]
"""What several bundles heard, each with its hearer: models of one recipe, each on what it was not trained on."""


def with_rules_of(bundle: Bundle, other: Bundle) -> Bundle:
    """Return the same network, deciding by another bundle's card.

    Raises:
        ConfigError: the two have other labels.
    """
    if bundle.labels != other.labels:
        raise ConfigError([f"--rules: {other.path} has other labels than {bundle.path}"])
    lags = {name: getattr(other.card.timing, name) for name in LAGS}
    rules = {name: getattr(other.card, name) for name in RULES}
    timing = msgspec.structs.replace(bundle.card.timing, **lags)
    return dataclasses.replace(bundle, card=msgspec.structs.replace(bundle.card, timing=timing, **rules))


@dataclass(frozen=True, slots=True)
class Point:
    """Says what a threshold gives: true events noticed, and false alarms."""

    threshold: float
    noticed: int
    alarms: int


@dataclass(slots=True)
class LabelFound:
    """Says what was found of a label; ``points`` by threshold, rising, everything else of its rule as it is in
    force."""

    true: int = 0
    noticed: int = 0
    alarms: int = 0
    delays_s: list[float] = dataclasses.field(default_factory=list)
    segment_f1: float = math.nan
    points: list[Point] = dataclasses.field(default_factory=list)

    def recall_at(self, per_hour: float, hours: float) -> float:
        """Return the highest share noticed with at most so many false alarms an hour; nan without true events."""
        if not self.true:
            return math.nan
        allowed = math.floor(per_hour * hours + 1e-9)
        return max((p.noticed for p in self.points if p.alarms <= allowed), default=0) / self.true

    def extrapolated(self, per_hour: float, hours: float) -> float:
        """Return the share noticed at a rate that the hours are too few to show.

        The logarithm of the rate is taken for a straight line over the threshold's log-odds, through the highest
        thresholds that still gave false alarms, each weighed by their number. nan where there are not two of them.
        """
        inside = [p for p in self.points if p.threshold < 1]
        with_alarms = [p for p in inside if p.alarms][-TAIL:]
        if not self.true or len(with_alarms) < 2:
            return math.nan
        count = np.asarray([p.alarms for p in with_alarms], np.float64)
        slope, level = np.polyfit(_log_odds(with_alarms), np.log(count / hours), 1, w=np.sqrt(count))
        if slope >= 0:
            return math.nan
        wanted = (math.log(per_hour) - level) / slope
        return float(np.interp(wanted, _log_odds(inside), [p.noticed for p in inside])) / self.true


def _log_odds(points: Sequence[Point]) -> list[float]:
    return [math.log(p.threshold / (1 - p.threshold)) for p in points]


@dataclass(frozen=True)
class Found:
    """Says what was found of the labels that were judged, in so many hours; in ``hours_without_events`` nothing
    happened."""

    labels: Mapping[str, LabelFound]
    hours: float
    hours_without_events: float
    recordings: int

    @property
    def true(self) -> int:
        """Return how many events there were in all."""
        return sum(label.true for label in self.labels.values())

    @property
    def noticed(self) -> int:
        """Return how many events were noticed."""
        return sum(label.noticed for label in self.labels.values())

    @property
    def alarms(self) -> int:
        """Return how many false alarms there were of all these labels."""
        return sum(label.alarms for label in self.labels.values())

    @property
    def delay_s(self) -> float:
        """Return the median from an event's onset to its message; nan where there was none."""
        late = [delay for label in self.labels.values() for delay in label.delays_s]
        return float(np.median(late)) if late else math.nan

    @property
    def segment_f1(self) -> float:
        """Return the mean segment F1 over the labels that occur."""
        return _mean([label.segment_f1 for label in self.labels.values() if label.true])

    def recall_at(self, per_hour: float) -> float:
        """Return the mean over the labels that occur of what each notices with at most so many false alarms an hour of
        its own."""
        return _mean([label.recall_at(per_hour, self.hours) for label in self.labels.values() if label.true])

    def extrapolated(self, per_hour: float) -> float:
        """Return the mean share noticed at a rate that the hours are too few to show, over the labels where that can be
        told."""
        told = [label.extrapolated(per_hour, self.hours) for label in self.labels.values()]
        return _mean([share for share in told if not math.isnan(share)])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def find(lots: Lots, labels: Sequence[str]) -> Found:
    """Judge some labels; those that a model does not have are left out.

    What comes near an event of a label that the alarmed one contains is no false alarm: a siren is an alarm.
    """
    known = [label for label in labels if all(label in hearer.labels for hearer, _ in lots)]
    found = {label: LabelFound() for label in known}
    segments = Tally(known)
    for hearer, heard in lots:
        for item in heard:
            truth = [event for event in item.truth if event.label in known]
            reported = [event for event in hearer.decide(item.hearing) if event.label in known]
            segments.add_segments(truth, reported, item.hearing.samples / hearer.rate)
            for label, late in scoring.delays(truth, reported).items():
                found[label].delays_s += late
            for label, (true, noticed, alarms) in _counts(hearer, item, reported, known).items():
                mine = found[label]
                mine.true, mine.noticed, mine.alarms = mine.true + true, mine.noticed + noticed, mine.alarms + alarms
    for label, mine in found.items():
        mine.segment_f1 = segments.per_label[label].f1
    for threshold in budget.THRESHOLDS:
        for label, (noticed, alarms) in _at(lots, known, threshold).items():
            found[label].points.append(Point(threshold, noticed, alarms))
    items = [(hearer, item) for hearer, heard in lots for item in heard]
    return Found(
        found,
        sum(hearer.hours([item.hearing]) for hearer, item in items),
        sum(hearer.hours([item.hearing]) for hearer, item in items if item.negative),
        len(items),
    )


def _counts(
    hearer: Hearer, item: Heard, reported: Sequence[Reported], labels: Sequence[str]
) -> dict[str, tuple[int, int, int]]:
    """Count by label: true events, those noticed, false alarms."""
    meant = with_wholes(item.truth, hearer.contained)
    lots: list[Sequence[Event | Reported]] = [
        item.truth,
        scoring.noticed(item.truth, reported),
        scoring.false_alarms(meant, reported),
    ]
    counted = [[event.label for event in lot] for lot in lots]
    return {label: (counted[0].count(label), counted[1].count(label), counted[2].count(label)) for label in labels}


def _at(lots: Lots, labels: Sequence[str], threshold: float) -> dict[str, tuple[int, int]]:
    """Count by label: events noticed and false alarms at a threshold, each label by itself."""
    total = dict.fromkeys(labels, (0, 0))
    for hearer, heard in lots:
        rules = evaluates.at_threshold({label: hearer.rules[label] for label in labels}, threshold)
        for item in heard:
            counts = _counts(hearer, item, hearer.decide(item.hearing, rules, apart=True), labels)
            total = {
                label: (noticed + counts[label][1], alarms + counts[label][2])
                for label, (noticed, alarms) in total.items()
            }
    return total


def share_interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); of a share of none nothing is known."""
    if not n:
        return 0.0, 1.0
    centre, spread = hits / n + z * z / (2 * n), z * math.sqrt(hits * (n - hits) / n / n / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
