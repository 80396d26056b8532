"""Rules of every label are chosen here for a budget of false alarms: what there is to choose from, the choice, and what
to expect."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from auricle.hearing.decision import Rule
from auricle.hearing.hearer import Hearer, Progress
from auricle.judge import scoring
from auricle.judge.evaluate import Heard
from auricle.judge.scoring import Tally
from auricle.judge.truth import with_wholes

THRESHOLDS = (
    *(n / 20 for n in range(4, 18)),
    0.88,
    0.9,
    0.92,
    0.94,
    0.95,
    0.96,
    0.97,
    0.98,
    0.985,
    0.99,
    0.993,
    0.996,
    1.0,
)
"""The thresholds that are tried. int8 scores end at 255/256, so that 1 silences a label."""
DURATIONS_MS = (100.0, 300.0, 600.0)
HYSTERESES = (0.05, 0.1, 0.2, 0.3)
FOLDS = 5
MARGINS = (0, 1, 2)
"""By how many thresholds the choice may be made stricter: more would cost the recall of every label."""
_MOST_ALARMS = 2000


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """Says what a label's rule gives on the recordings: false alarms in each stretch, true events, those noticed.

    ``smoothing_ms`` says how long the scores were averaged, where several lengths were tried.
    """

    rule: Rule
    alarms_in: tuple[int, ...]
    true: int
    noticed: int
    onset_f1: float
    smoothing_ms: float | None = None

    @property
    def alarms(self) -> int:
        """Return the false alarms in all stretches."""
        return sum(self.alarms_in)

    @property
    def recall(self) -> float | None:
        """Return the share of the true events noticed; None without truth."""
        return self.noticed / self.true if self.true else None


Outcomes = Mapping[str, Sequence[Outcome]]


class Stretches:
    """Divides the recordings into stretches that are taken for independent: each recording, long ones in parts.

    Args:
        hearer: knows the rate.
        heard: the recordings.
    """

    def __init__(self, hearer: Hearer, heard: Sequence[Heard]) -> None:
        lengths_s = [item.hearing.samples / hearer.rate for item in heard]
        self.longest_s = max(60.0, sum(lengths_s) / 40)
        parts = [max(1, round(length / self.longest_s)) for length in lengths_s]
        self._first = np.concatenate(([0], np.cumsum(parts)))
        self._part_s = [length / n for length, n in zip(lengths_s, parts, strict=True)]
        self._parts = parts
        self.hours: list[float] = np.repeat(np.array(self._part_s) / 3600, parts).tolist()
        """The hours of each stretch."""

    def __len__(self) -> int:
        return len(self.hours)

    def of(self, recording: int, at_s: float) -> int:
        """Return the stretch of a moment in a recording."""
        part = int(at_s / self._part_s[recording]) if self._part_s[recording] else 0
        return int(self._first[recording]) + min(part, self._parts[recording] - 1)


def outcomes(hearer: Hearer, heard: Sequence[Heard], rules: Mapping[str, Rule]) -> dict[str, Outcome]:
    """Find what each rule gives; the rules do not see each other, so that all are tried in one replay. Labels without
    a rule are left out.

    A label that contains others is judged by what it would report without them, and theirs are its true events too.
    """
    tally = Tally(hearer.labels)
    stretches = Stretches(hearer, heard)
    alarms = {label: [0] * len(stretches) for label in hearer.labels}
    noticed = dict.fromkeys(hearer.labels, 0)
    contained = hearer.contained
    for i, item in enumerate(heard):
        reported = hearer.decide(item.hearing, rules, apart=True)
        truth = with_wholes(item.truth, contained)
        tally.add_events(truth, reported, offsets=False)
        for event in scoring.false_alarms(truth, reported):
            alarms[event.label][stretches.of(i, event.onset_s)] += 1
        for true in scoring.noticed(truth, reported):
            noticed[true.label] += 1
    return {
        label: Outcome(rules[label], tuple(alarms[label]), counts.true, noticed[label], counts.f1)
        for label, counts in tally.per_label.items()
        if label in rules
    }


def sweep(
    hearer: Hearer,
    heard: Sequence[Heard],
    progress: Progress | None = None,
    *,
    durations_ms: Sequence[float] = DURATIONS_MS,
) -> dict[str, list[Outcome]]:
    """Try every threshold with every minimum duration, for every label, at the hysteresis in force.

    The rules in force are among them: a label that raises no alarm may stay as it is.
    """
    thresholds = sorted({rule.threshold for rule in hearer.rules.values()}.union(THRESHOLDS))
    in_force = {rule.min_duration_samples for rule in hearer.rules.values()}
    durations = sorted(in_force.union(round(ms * hearer.rate / 1000) for ms in durations_ms))
    found: dict[str, list[Outcome]] = {label: [] for label in hearer.labels}
    tried = [(threshold, duration) for threshold in thresholds for duration in durations]
    for i, (threshold, duration) in enumerate(tried, start=1):
        rules = {
            label: _otherwise(
                rule,
                threshold=threshold,
                hysteresis=min(rule.hysteresis, threshold / 2),
                min_duration_samples=duration,
            )
            for label, rule in hearer.rules.items()
        }
        for label, outcome in outcomes(hearer, heard, rules).items():
            found[label].append(outcome)
        if progress is not None:
            progress(i / len(tried))
    return found


def _otherwise(rule: Rule, **changes: float) -> Rule:
    """Return a rule with changes; lags that were measured under the rule before do not hold under it."""
    other = dataclasses.replace(rule, **changes)  # type: ignore[arg-type]
    return rule if other == rule else dataclasses.replace(other, lags=None)


def choose(
    tried: Outcomes, in_force: Mapping[str, Rule], hours: float, per_hour: float, own: Mapping[str, float]
) -> dict[str, Outcome]:
    """Choose an outcome for every label so that together they notice most while the false alarms stay within the
    budget.

    Of a label whose truth is known the recall counts; of another how low its threshold is. Neither that threshold nor
    the minimum duration is ever lowered below the one in force: what it would notice, and what it would mistake, nobody
    has shown.

    Args:
        hours: heard in all.
        per_hour: false alarms of all labels together.
        own: a tighter budget for single labels.
    """
    most = min(_allowed(per_hour, hours), _MOST_ALARMS)
    best: list[tuple[float, dict[str, Outcome]]] = [(0.0, {})] * (most + 1)
    for label, options in tried.items():
        limit = min(most, _allowed(own[label], hours)) if label in own else most
        steps = _frontier(options, in_force[label], limit)
        # The knapsack, exactly: best[k] holds the labels so far with at most k alarms.
        grown: list[tuple[float, dict[str, Outcome]]] = []
        for k in range(most + 1):
            value, step = max(
                ((best[k - o.alarms][0] + worth, o) for worth, o in steps if o.alarms <= k), key=lambda pair: pair[0]
            )
            grown.append((value, {**best[k - step.alarms][1], label: step}))
        best = grown
    return best[most][1]


def _allowed(per_hour: float, hours: float) -> int:
    # A hair more, so that 0.5 an hour in 2 h is one in spite of rounding.
    return math.floor(per_hour * hours + 1e-9)


def _frontier(options: Sequence[Outcome], now: Rule, limit: int) -> list[tuple[float, Outcome]]:
    """Return for every number of alarms the best outcome, with its worth; none that more alarms do not improve."""

    def worth(o: Outcome) -> float:
        return 1 - o.rule.threshold if o.recall is None else o.recall

    def better(o: Outcome) -> tuple[float, ...]:
        # Of equals: the better onsets, then a rule that something may pass, then the shortest duration and the shortest
        # smoothing, then the higher threshold.
        onset = 0.0 if math.isnan(o.onset_f1) else round(o.onset_f1, 3)
        shortest = -o.rule.min_duration_samples, -(o.smoothing_ms or 0.0)
        return worth(o), onset, o.rule.threshold < 1, *shortest, o.rule.threshold

    allowed = [
        o
        for o in options
        if o.alarms <= limit
        and (
            o.true
            or o.rule.threshold == 1
            or (o.rule.threshold >= now.threshold and o.rule.min_duration_samples >= now.min_duration_samples)
        )
    ]
    found: list[tuple[float, Outcome]] = []
    for alarms in sorted({o.alarms for o in allowed}):
        top = max((o for o in allowed if o.alarms == alarms), key=better)
        if not found or better(top) > better(found[-1][1]):
            found.append((worth(top), top))
    return found


def settle(hearer: Hearer, heard: Sequence[Heard], chosen: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Try other hystereses at the chosen thresholds: taken where the onsets get better, and nothing gets worse."""
    found = dict(chosen)
    for hysteresis in HYSTERESES:
        rules = {
            label: _otherwise(o.rule, hysteresis=min(hysteresis, round(o.rule.threshold / 2, 4)))
            for label, o in chosen.items()
        }
        for label, o in outcomes(hearer, heard, rules).items():
            now = found[label]
            if o.true and o.alarms <= now.alarms and o.noticed >= now.noticed and o.onset_f1 > now.onset_f1:
                found[label] = o
    return found


def stricter(options: Sequence[Outcome], chosen: Outcome, steps: int) -> Outcome:
    """Return the outcome so many thresholds above the chosen one, at the same duration and smoothing; not so far as to
    silence the label."""
    if not steps:
        return chosen
    ladder = sorted(
        (
            o
            for o in options
            if o.rule.min_duration_samples == chosen.rule.min_duration_samples
            and o.smoothing_ms == chosen.smoothing_ms
            and o.rule.threshold < 1
        ),
        key=lambda o: o.rule.threshold,
    )
    above = [o for o in ladder if o.rule.threshold >= chosen.rule.threshold]
    return above[min(steps, len(above) - 1)] if above else chosen


def expected(
    tried: Outcomes,
    in_force: Mapping[str, Rule],
    stretch_hours: Sequence[float],
    per_hour: float,
    own: Mapping[str, float],
    margin: int,
) -> list[int]:
    """Count false alarms in every stretch by rules that were chosen without it, on the other four fifths of the
    stretches.

    What is counted on the very recordings that the rules were fitted to is too few by about one alarm a label.
    """
    n = len(stretch_hours)
    folds = np.random.default_rng(0).permutation(n) % min(FOLDS, n)
    hours = np.asarray(stretch_hours)
    counts = np.zeros(n, np.int64)
    for fold in range(min(FOLDS, n)):
        seen = folds != fold
        part = {
            label: [dataclasses.replace(o, alarms_in=tuple(np.asarray(o.alarms_in)[seen].tolist())) for o in options]
            for label, options in tried.items()
        }
        chosen = choose(part, in_force, float(hours[seen].sum()), per_hour, own)
        for label, options in tried.items():
            mine = stricter(part[label], chosen[label], margin)
            whole = next(o for o in options if (o.rule, o.smoothing_ms) == (mine.rule, mine.smoothing_ms))
            counts[~seen] += np.asarray(whole.alarms_in)[~seen]
    return [int(count) for count in counts]


def with_margin(
    tried: Outcomes, in_force: Mapping[str, Rule], hours: Sequence[float], per_hour: float, own: Mapping[str, float]
) -> tuple[dict[str, Outcome], list[int]]:
    """Choose, then go stricter by the fewest thresholds with which new recordings should keep the budget too.

    Where no margin is enough, the one that should bring the fewest false alarms is taken.

    Args:
        hours: of every stretch.

    Returns:
        an outcome a label, and the false alarms to be expected, by stretch.
    """
    found: list[tuple[int, int, list[int]]] = []
    for margin in MARGINS:
        counts = expected(tried, in_force, hours, per_hour, own, margin)
        found.append((sum(counts), margin, counts))
        if sum(counts) <= _allowed(per_hour, sum(hours)):
            break
    _, margin, counts = min(found)
    chosen = choose(tried, in_force, sum(hours), per_hour, own)
    return {label: stricter(tried[label], o, margin) for label, o in chosen.items()}, counts
