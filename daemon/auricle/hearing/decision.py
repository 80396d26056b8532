"""Scores become events here: smoothing, thresholds, hysteresis, minimum duration, refractory time, counted in
samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from auricle.messages import OffsetCause, Phase
from auricle.stages.stage import BatchStage, Block, Memory


@dataclass
class _Kept(Memory):
    """Holds the rows for the next mean."""

    rows: Block


class Smoother(BatchStage[_Kept]):
    """Takes the moving mean of every label's scores over the last decisions, as many as that label needs.

    A row is given once the shortest mean is full. Until a longer mean is full, what came before the segment counts as 0
    in it: such a label's event may come late after a segment's start, but none comes for want of sound.

    Args:
        lengths: of each label's mean, in decisions.

    Shape:
        in ``(n, n_labels)`` float32, out ``(k, n_labels)`` float32.
    """

    hop = 1

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = tuple(lengths)
        self._longest = max(lengths)
        self.span = min(lengths)
        self.reach = self._longest
        self.lead = self.span - 1
        self._columns = {n: np.flatnonzero(np.equal(lengths, n)) for n in sorted(set(lengths))}
        self._before = np.zeros((1, self._longest - self.span, len(self.lengths)), np.float32)
        self.reset()

    def begin(self) -> _Kept:
        """Return zeros before the first row, as far as a longer mean than the shortest reaches."""
        return _Kept(self._before)

    def step(self, memory: _Kept, blocks: Block) -> Block:
        """Give every label's mean for every row that completes the shortest one."""
        rows = np.concatenate((memory.rows, blocks), 1)
        n = max(0, rows.shape[1] - self._longest + 1)
        memory.rows = rows[:, n:]
        # Sums of shifted rows in a fixed order, the newest first: a running sum would drift and depend on where the
        # stream began. Each label takes its sum on the way to the longest.
        newest = self._longest - 1
        total = rows[:, newest : newest + n].copy()
        if len(self._columns) == 1:
            for back in range(1, self._longest):
                total += rows[:, newest - back : newest - back + n]
            total /= np.float32(self._longest)
            return total
        means, summed = np.empty_like(total), 1
        for length, columns in self._columns.items():
            for back in range(summed, length):
                total += rows[:, newest - back : newest - back + n]
            summed = length
            means[..., columns] = total[..., columns] / np.float32(length)
        return means


def finite(scores: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Put 0 for every label of a decision that holds what is no finite number; return the scores ``(n, n_labels)`` and
    how many decisions that befell."""
    whole = np.asarray(np.isfinite(scores).all(axis=1))
    if whole.all():
        return scores, 0
    return np.where(whole[:, None], scores, np.float32(0)), int(len(whole) - np.count_nonzero(whole))


@dataclass(frozen=True, slots=True)
class Rule:
    """Says when a label's scores become an event; times in samples at the model's rate.

    Args:
        lags: by how many samples onset and offset are late under this very rule, where that was measured.
    """

    threshold: float
    hysteresis: float
    min_duration_samples: int
    refractory_samples: int
    lags: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Says that an event began, goes on or ended; all positions are samples at the model's rate from the segment's
    start.

    Args:
        at: the last sample of the decision that made the change.
        onset, offset: back-dated by the model's measured lag; ``offset`` only in that phase.
        lasted: samples from the onset to the offset, or to this decision; one decision hop at least.
        score, peak, mean: of the label, now, at most so far, and on average from the first decision above the threshold
            to the last that did not end it.
        also: labels that contain this one and were above their thresholds while the event lasted, so far.
        cause: of an offset.
    """

    phase: Phase
    label: str
    at: int
    onset: int
    offset: int | None
    lasted: int
    score: float
    peak: float
    mean: float
    also: tuple[str, ...] = ()
    cause: OffsetCause | None = None


@dataclass(slots=True)
class _Run:
    """Holds a label that is over its threshold: not yet an event until ``confirmed``."""

    first: int
    onset: int
    peak: float
    score: float
    total: float = 0.0
    rows: int = 0
    also: set[int] = field(default_factory=set)
    confirmed: bool = False
    told: int = 0


class Detector:
    """Turns rows of smoothed scores into events, label by label.

    A run begins at the first decision with ``score >= threshold``, lasts while ``score >= threshold - hysteresis``,
    and is an event once it has lasted ``min_duration_samples``. After an event its label is deaf for
    ``refractory_samples``.

    Where labels contain others, one sound is one event, the most specific one's. If an alarm contains a siren, no event
    of the alarm begins while the siren is above its threshold or has a run, nor as soon after an event of the siren as
    after one of its own (for its offset lag longer, since its score may fall later). An event of the alarm that began
    before the siren was heard goes on until its own score falls.

    Args:
        labels: in the order of the scores; those without a rule never raise an event (``background``).
        rules: one a label.
        span, hop: samples before the first row and from row to row.
        onset_lag, offset_lag: samples by which the scores speak late; events are back-dated by them, or by those of
            their rule.
        update_samples: how often an event that lasts gives an update; may change while running.
        contained: of labels that contain others, all that they contain (`auricle.model.card.contained`).
    """

    def __init__(
        self,
        labels: Sequence[str],
        rules: Mapping[str, Rule],
        *,
        span: int,
        hop: int,
        onset_lag: int,
        offset_lag: int,
        update_samples: int,
        contained: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        self._labels = tuple(labels)
        self._span, self._hop = span, hop
        self._usual = (onset_lag, offset_lag)
        self.update_samples = update_samples
        place = {label: i for i, label in enumerate(self._labels)}
        self._parts = {place[whole]: sorted(place[part] for part in parts) for whole, parts in contained.items()}
        self._wholes: dict[int, list[int]] = {}
        for i, within in self._parts.items():
            for part in within:
                self._wholes.setdefault(part, []).append(i)
        self.held_back: dict[int, dict[str, str]] = {}
        """Of the rows processed last, by ``at``: labels above their thresholds without an event, and why: ``short``
        (not lasted yet), ``refractory``, or ``in:LABEL`` (a label that this one contains has the event)."""
        self.configure(rules)
        self.reset()

    def configure(self, rules: Mapping[str, Rule]) -> None:
        """Decide by other rules from the next row on; events that are open stay open under them."""
        self._rules = {i: rules[label] for i, label in enumerate(self._labels) if label in rules}
        self.rules = rules
        self.thresholds = {self._labels[i]: rule.threshold for i, rule in self._rules.items()}
        # Scores are float32: thresholds are compared in it, so that a score printed as 0.6 passes a threshold of 0.6.
        self._lags = {i: rule.lags or self._usual for i, rule in self._rules.items()}
        self._on = np.full(len(self._labels), np.inf, np.float32)
        self._off = np.full(len(self._labels), np.inf, np.float32)
        for i, rule in self._rules.items():
            self._on[i] = rule.threshold
            self._off[i] = rule.threshold - rule.hysteresis

    @property
    def least(self) -> NDArray[np.float32]:
        """Return by label the score below which nothing begins and nothing lasts: any lower one will do instead."""
        return self._off

    @property
    def back_samples(self) -> int:
        """Return how far the onset of an event may lie before the decision that tells it."""
        reach = (self._lags[i][0] + rule.min_duration_samples for i, rule in self._rules.items())
        return max(reach, default=0) + self._hop

    def reset(self) -> None:
        """Forget the segment; events that were open must have been closed."""
        self._rows = 0
        self._runs: dict[int, _Run] = {}
        self._deaf_until: dict[int, int] = {}
        self._ended: dict[int, int] = {}

    @property
    def open(self) -> list[str]:
        """Return the labels of the events that go on now."""
        return [self._labels[i] for i, run in self._runs.items() if run.confirmed]

    def process(self, scores: NDArray[np.float32]) -> list[Change]:
        """Return the changes that these rows ``(n, n_labels)`` make, in order."""
        changes: list[Change] = []
        self.held_back = {}
        above = scores >= self._on
        if not self._runs and not np.count_nonzero(above):
            self._rows += len(scores)
            return changes
        below = scores < self._off
        for row in range(len(scores)):
            at = self._span + self._rows * self._hop
            self._rows += 1
            now = np.flatnonzero(above[row]).tolist()
            for i in self._specific_first(self._runs):
                score = float(scores[row, i])
                if i not in self._runs:
                    continue  # what it contains has just ended
                if below[row, i]:
                    self._end(i, at, score, changes)
                else:
                    self._hold(i, at, score, now, changes)
            for i in self._specific_first(now):
                if i not in self._runs and at >= self._deaf_until.get(i, 0):
                    self._begin(i, at, float(scores[row, i]), now, changes)
            if why := {self._labels[i]: self._why_not(i, now) for i in now if not self._has_event(i)}:
                self.held_back[at] = why
        return changes

    def close(self, at: int, cause: OffsetCause) -> list[Change]:
        """End every open event at ``at`` samples, because the segment ends."""
        changes = [
            self._change("offset", i, run, at=at, offset=at, score=run.score, cause=cause)
            for i, run in self._runs.items()
            if run.confirmed
        ]
        self._runs.clear()
        return changes

    def _specific_first(self, labels: Iterable[int]) -> list[int]:
        """Put what is contained before what contains it, which looks at it; else keep the order given."""
        parts = self._parts
        return sorted(labels, key=lambda i: len(parts[i]) if i in parts else 0) if parts else list(labels)

    def _has_event(self, i: int) -> bool:
        return i in self._runs and self._runs[i].confirmed

    def _told_as(self, i: int, now: Collection[int]) -> int | None:
        """Return the contained label that has the event in place of this one, if there is one; ``now`` are the labels
        above their thresholds."""
        return next((part for part in self._parts.get(i, ()) if part in self._runs or part in now), None)

    def _why_not(self, i: int, now: Collection[int]) -> str:
        if (part := self._told_as(i, now)) is not None:
            return f"in:{self._labels[part]}"
        return "short" if i in self._runs else "refractory"

    def _begin(self, i: int, at: int, score: float, now: Collection[int], changes: list[Change]) -> None:
        # An event cannot begin before its segment nor inside the one before it.
        onset = max(0, self._ended.get(i, 0), at - self._lags[i][0])
        self._runs[i] = _Run(first=at, onset=onset, peak=score, score=score)
        self._hold(i, at, score, now, changes)

    def _hold(self, i: int, at: int, score: float, now: Collection[int], changes: list[Change]) -> None:
        run = self._runs[i]
        run.score = score
        run.peak = max(run.peak, score)
        run.total += score
        run.rows += 1
        run.also.update(whole for whole in self._wholes.get(i, ()) if whole in now)
        if not run.confirmed:
            if at - run.first >= self._rules[i].min_duration_samples and self._told_as(i, now) is None:
                run.confirmed, run.told = True, at
                changes.append(self._change("onset", i, run, at=at, score=score))
        elif at - run.told >= self.update_samples:
            run.told = at
            changes.append(self._change("update", i, run, at=at, score=score))

    def _end(self, i: int, at: int, score: float, changes: list[Change]) -> None:
        if not (run := self._runs.pop(i)).confirmed:
            return
        offset = at - self._lags.get(i, self._usual)[1]
        ended = self._change("offset", i, run, at=at, offset=offset, score=score, cause="score")
        changes.append(ended)
        # A rule may have gone while its event was open.
        refractory = self._rules[i].refractory_samples if i in self._rules else 0
        self._ended[i] = run.onset + ended.lasted
        self._deaf_until[i] = at + refractory
        for whole in self._wholes.get(i, ()):
            if whole in self._rules and not self._has_event(whole):
                self._runs.pop(whole, None)
                quiet = max(refractory, self._rules[whole].refractory_samples) + self._lags[whole][1]
                self._ended[whole] = max(self._ended.get(whole, 0), self._ended[i])
                self._deaf_until[whole] = max(self._deaf_until.get(whole, 0), at + quiet)

    def _change(
        self,
        phase: Phase,
        i: int,
        run: _Run,
        *,
        at: int,
        score: float,
        offset: int | None = None,
        cause: OffsetCause | None = None,
    ) -> Change:
        # Onset and offset have lags of their own: of a sound that is shorter than they differ, a hop is left.
        lasted = max(self._hop, (at if offset is None else offset) - run.onset)
        return Change(
            phase,
            self._labels[i],
            at,
            run.onset,
            None if offset is None else run.onset + lasted,
            lasted,
            score,
            run.peak,
            run.total / run.rows,
            tuple(self._labels[whole] for whole in sorted(run.also)),
            cause,
        )
