"""The past is the newest sound of a source, held in memory, so that what came before an event can still be had."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Run:
    """Holds unbroken sound: the index of its first sample, and ``(n,)`` float32, n > 0."""

    start: int
    samples: NDArray[np.float32]

    @property
    def end(self) -> int:
        """Return the index behind the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Cut:
    """Holds sound that was cut out of the past: runs in order, at least one, with what was not heard between them."""

    rate: int
    runs: Sequence[Run]

    @property
    def first(self) -> int:
        """Return the index of the first sample."""
        return self.runs[0].start

    @property
    def end(self) -> int:
        """Return the index behind the last sample."""
        return self.runs[-1].end

    @property
    def size(self) -> int:
        """Return about how many bytes of memory are held."""
        return sum(run.samples.nbytes for run in self.runs)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield the first sample and the length of everything that is missing."""
        for i in range(1, len(self.runs)):
            if (missing := self.runs[i].start - self.runs[i - 1].end) > 0:
                yield self.runs[i - 1].end, missing

    def blocks(self, samples: int) -> Iterator[NDArray[np.float32]]:
        """Yield all of it, what is missing as silence, in blocks of so many samples; the last may be shorter."""
        block, filled = np.zeros(samples, np.float32), 0
        at = self.first
        for run in self.runs:
            missing, taken = run.start - at, 0
            while missing or taken < len(run.samples):
                if missing:
                    step = min(missing, samples - filled)
                    missing -= step
                else:
                    step = min(len(run.samples) - taken, samples - filled)
                    block[filled : filled + step] = run.samples[taken : taken + step]
                    taken += step
                filled += step
                if filled == samples:
                    yield block
                    block, filled = np.zeros(samples, np.float32), 0
            at = run.end
        if filled:
            yield block[:filled]


class Past:
    """Holds the blocks of sound as they came, without a copy, so that nothing but a reference is spent on each.

    A preallocated ring would bound the memory as well, but it would copy every sample of every source for events that
    mostly do not come, and hold the longest clip from the start. The blocks are the source's own and nobody writes into
    them any more.
    """

    def __init__(self) -> None:
        self._runs: deque[Run] = deque()
        self.end = 0
        """The index behind the newest sample."""

    @property
    def begin(self) -> int:
        """Return the index of the oldest sample held; `end` where there is none."""
        return self._runs[0].start if self._runs else self.end

    def add(self, start: int, samples: NDArray[np.float32]) -> None:
        """Append sound; what a source has taken back, from ``start`` on, is replaced."""
        if start < self.end:
            self._take_back(start)
        if len(samples):
            self._runs.append(Run(start, samples))
            self.end = start + len(samples)

    def forget(self, before: int) -> None:
        """Let go of whole blocks that lie before this index."""
        runs = self._runs
        while runs and runs[0].end <= before:
            runs.popleft()

    def clear(self) -> None:
        """Let go of everything: indices begin anew."""
        self._runs.clear()
        self.end = 0

    def cut(self, first: int, until: int, rate: int) -> Cut | None:
        """Return what is held from ``first`` up to ``until``, without silence at its ends; ``None`` if nothing is."""
        runs = []
        for run in self._runs:
            if run.start >= until:
                break
            if run.end > first:
                begin = max(first, run.start)
                runs.append(Run(begin, run.samples[begin - run.start : until - run.start]))
        return Cut(rate, runs) if runs else None

    def _take_back(self, start: int) -> None:
        runs = self._runs
        while runs and runs[-1].start >= start:
            runs.pop()
        if runs and runs[-1].end > start:
            last = runs.pop()
            runs.append(Run(last.start, last.samples[: start - last.start]))
        self.end = start
