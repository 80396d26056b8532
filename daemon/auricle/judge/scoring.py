"""A detector is scored here: events and segments against the truth, false alarms an hour, delay. Numpy alone."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from auricle.hearing.hearer import Reported
from auricle.judge.truth import Event

COLLAR_S = 0.2
"""How far an onset may lie from the true one, and an offset at least."""
OFFSET_SHARE = 0.5
"""An offset may lie as far off as this share of the true event's length, where that is more than the collar."""
NEAR_S = 0.5
"""An event that comes nowhere nearer than this to a true one of its label is a false alarm."""

Said: TypeAlias = Event | Reported
"""An event that somebody says there is; those of the daemon also say when they were reported."""


@dataclass(slots=True)
class Counts:
    """Counts events, or segments in which there are some: how many are true, how many reported, how many both."""

    true: int = 0
    reported: int = 0
    hits: int = 0

    @property
    def precision(self) -> float:
        """Return the share of what was reported that is true; nan where nothing was."""
        return self.hits / self.reported if self.reported else math.nan

    @property
    def recall(self) -> float:
        """Return the share of what is true that was reported; nan where nothing is."""
        return self.hits / self.true if self.true else math.nan

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall; nan where nothing is and nothing was reported."""
        return 2 * self.hits / (self.true + self.reported) if self.true + self.reported else math.nan

    def add(self, true: int, reported: int, hits: int) -> None:
        """Count more."""
        self.true += true
        self.reported += reported
        self.hits += hits


@dataclass(slots=True)
class Tally:
    """Counts by label, and the errors over all labels as Mesaros, Heittola and Virtanen (2016) define them.

    Recordings are added one after the other; then the figures can be read.
    """

    labels: Sequence[str]
    per_label: dict[str, Counts] = field(default_factory=dict)
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __post_init__(self) -> None:
        self.per_label = {label: Counts() for label in self.labels}

    @property
    def overall(self) -> Counts:
        """Return the counts of all labels together."""
        total = Counts()
        for counts in self.per_label.values():
            total.add(counts.true, counts.reported, counts.hits)
        return total

    @property
    def macro_f1(self) -> float:
        """Return the mean F1 over the labels that the truth has; nan where it has none."""
        found = [counts.f1 for counts in self.per_label.values() if counts.true]
        return sum(found) / len(found) if found else math.nan

    @property
    def error_rate(self) -> float:
        """Return substitutions, deletions and insertions for each true event; nan without one. May exceed 1."""
        true = self.overall.true
        return (self.substitutions + self.deletions + self.insertions) / true if true else math.nan

    def add_events(
        self, truth: Sequence[Event], reported: Sequence[Said], *, offsets: bool, collar_s: float = COLLAR_S
    ) -> None:
        """Count one recording event by event: as many pairs of equal label as can be within the collar.

        Args:
            offsets: whether the offset must fit as well, within the collar or half of the true event's length.
        """

        def fits(true: Event, said: Said) -> bool:
            if not abs(true.onset_s - said.onset_s) <= collar_s:
                return False
            leeway = max(collar_s, OFFSET_SHARE * (true.offset_s - true.onset_s))
            return not offsets or abs(true.offset_s - said.offset_s) <= leeway

        left_true, left_said, hits = [], [], 0
        for label in self.labels:
            true = sorted(event for event in truth if event.label == label)
            said = sorted(event for event in reported if event.label == label)
            pairs = match(true, said, fits, collar_s)
            self.per_label[label].add(len(true), len(said), len(pairs))
            hits += len(pairs)
            left_true += [event for i, event in enumerate(true) if i not in pairs]
            taken = set(pairs.values())
            left_said += [event for i, event in enumerate(said) if i not in taken]
        # What is left of both and fits but for its label is one error, not two.
        substituted = 0
        for event in sorted(left_true):
            wrong = next((i for i, other in enumerate(left_said) if fits(event, other)), None)
            if wrong is not None:
                del left_said[wrong]
                substituted += 1
        self.substitutions += substituted
        self.deletions += len(left_true) - substituted
        self.insertions += len(left_said)

    def add_segments(
        self, truth: Sequence[Event], reported: Sequence[Said], length_s: float, *, segment_s: float = 1.0
    ) -> None:
        """Count one recording of ``length_s`` in segments of ``segment_s``: a label is in a segment or not."""
        n = math.ceil(length_s / segment_s)
        true, said = (_roll(events, self.labels, n, segment_s) for events in (truth, reported))
        both = true & said
        for i, label in enumerate(self.labels):
            self.per_label[label].add(int(true[:, i].sum()), int(said[:, i].sum()), int(both[:, i].sum()))
        n_true, n_said, n_both = (roll.sum(axis=1, dtype=np.int64) for roll in (true, said, both))
        self.substitutions += int((np.minimum(n_true, n_said) - n_both).sum())
        self.deletions += int(np.maximum(n_true - n_said, 0).sum())
        self.insertions += int(np.maximum(n_said - n_true, 0).sum())


def _roll(events: Iterable[Said], labels: Sequence[str], n: int, segment_s: float) -> NDArray[np.bool_]:
    roll = np.zeros((n, len(labels)), np.bool_)
    columns = {label: i for i, label in enumerate(labels)}
    for event in events:
        if event.label in columns:
            first, last = math.floor(event.onset_s / segment_s), math.ceil(event.offset_s / segment_s)
            roll[first:last, columns[event.label]] = True
    return roll


def match(
    true: Sequence[Event], said: Sequence[Said], fits: Callable[[Event, Said], bool], reach_s: float
) -> dict[int, int]:
    """Match as many pairs as can be, each event in one at most (Kuhn 1955, by augmenting paths).

    Args:
        true, said: by onset.
        fits: whether two may be a pair; asked of those whose onsets lie within ``reach_s``.

    Returns:
        index into ``true`` -> index into ``said``.
    """
    onsets = [event.onset_s for event in said]
    near: list[list[int]] = []
    for event in true:
        # A little wider: `fits` has the last word on the edge.
        first = bisect_left(onsets, event.onset_s - reach_s - 1e-6)
        last = bisect_left(onsets, event.onset_s + reach_s + 1e-6)
        near.append([j for j in range(first, last) if fits(event, said[j])])
    owner: dict[int, int] = {}

    def place(i: int, seen: set[int]) -> bool:
        for j in near[i]:
            if j not in seen:
                seen.add(j)
                if j not in owner or place(owner[j], seen):
                    owner[j] = i
                    return True
        return False

    for i in range(len(true)):
        place(i, set())
    return {i: j for j, i in owner.items()}


def _near(true: Event, said: Said) -> bool:
    return said.onset_s <= true.offset_s + NEAR_S and said.offset_s >= true.onset_s - NEAR_S


def false_alarms(truth: Sequence[Event], reported: Sequence[Reported]) -> list[Reported]:
    """Return the reported events that come nowhere near a true one of their label."""
    return [said for said in reported if not any(true.label == said.label and _near(true, said) for true in truth)]


def noticed(truth: Sequence[Event], reported: Sequence[Reported]) -> list[Event]:
    """Return the true events that a reported one of their label comes near to."""
    return [true for true in truth if any(true.label == said.label and _near(true, said) for said in reported)]


def delays(truth: Sequence[Event], reported: Sequence[Reported]) -> dict[str, list[float]]:
    """Return the seconds from the true onset to the first onset message that comes while the event lasts, or just
    after, by label.

    True events during which no message comes are left out.
    """
    found: dict[str, list[float]] = {}
    for true in truth:
        told = [
            said.at_s - true.onset_s
            for said in reported
            if said.label == true.label and true.onset_s <= said.at_s <= true.offset_s + 2 * NEAR_S
        ]
        if told:
            found.setdefault(true.label, []).append(min(told))
    return found


def _log_pmf(k: int) -> Callable[[float], NDArray[np.float64]]:
    """Return a function that gives, for a mean, the logarithms of the Poisson probabilities of 0 to ``k``."""
    i = np.arange(k + 1, dtype=np.float64)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(i[1:]))))
    return lambda mean: np.asarray(i * math.log(mean) - mean - log_factorial)


def _mean_for(k: int, probability: float) -> float:
    """Return the mean of the Poisson law under which at most ``k`` come with this probability, by bisection."""
    log_pmf = _log_pmf(k)
    wanted = math.log(probability)

    def log_cdf(mean: float) -> float:
        terms = log_pmf(mean)
        top = float(terms.max())
        return top + math.log(float(np.exp(terms - top).sum()))

    low, high = 0.0, k + 1.0
    while log_cdf(high) > wanted:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if log_cdf(middle) > wanted else (low, middle)
    return high


def poisson_interval(n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for the mean of a count (Garwood 1936); divide it by the hours for a rate."""
    tail = (1 - confidence) / 2
    # At least n come with probability `tail`: at most n - 1 come with the rest.
    return (_mean_for(n - 1, 1 - tail) if n else 0.0), _mean_for(n, tail)


def poisson_bound(n: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound for the mean of a count: 3.0 where nothing came (the rule of three)."""
    return _mean_for(n, 1 - confidence)


def prediction_interval(counts: Sequence[int], confidence: float = 0.95) -> tuple[float, float]:
    """Return the fewest and the most events that as many hours again should bring, if these came in stretches alike.

    The rate is as likely as the count makes it (Jeffreys' prior), so that the next count is negative binomial.
    Where alarms come in clumps (Pearson's chi-square over its degrees of freedom above 1), clumps are counted instead.
    """
    total, n = sum(counts), len(counts)
    mean = total / n
    spread = sum((count - mean) ** 2 for count in counts) / mean / (n - 1) if total and n > 1 else 1.0
    clump = max(1.0, spread)
    tail, shape = (1 - confidence) / 2, total / clump + 0.5
    # With as many hours before as after, success has probability a half.
    log_p, below, i = -shape * math.log(2), 0.0, 0
    low: int | None = None
    while True:
        below += math.exp(log_p)
        if low is None and below > tail:
            low = i
        if below >= 1 - tail:
            return (low or 0) * clump, i * clump
        log_p += math.log((i + shape) / (i + 1) / 2)
        i += 1
