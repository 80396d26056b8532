"""The ring lies between the thread that moves captured sound and the one that hears it: nothing is lost unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from auricle.capture.source import LossCause

CAUSES: tuple[LossCause, ...] = get_args(LossCause)
"""A loss is kept as numbers; this gives its cause a number."""


@dataclass(frozen=True, slots=True)
class Run:
    """Holds unbroken sound taken from the ring.

    Args:
        start: index of its first sample since the ring began, lost samples included.
        samples: ``(n,)`` float32, n > 0.
        delivered_ns: monotonic clock when its last sample was delivered.
    """

    start: int
    samples: NDArray[np.float32]
    delivered_ns: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Says what is missing between two runs: ``samples`` from index ``start`` on."""

    start: int
    samples: int
    cause: LossCause
    estimated: bool


class Ring:
    """Holds samples, float32 and preallocated, with the losses between them at their exact places.

    The writer is one thread, the reader another. Neither locks, waits or meets the other: each counts up numbers of its
    own, and publishes a count only after what it counts is in place. When the ring is full the writer drops the newest
    sound; only the reader drops the oldest (`skip`). Both know how much, to the sample. A `queue.Queue` of blocks would
    be simpler, but it would bound blocks instead of sound, allocate for each of them, and have no place for what was
    lost between two.

    A loss becomes visible to the reader with the first sample after it, and is immutable from then on: losses that
    touch merge while they are still the writer's own.

    Args:
        capacity: in samples.
        losses: how many separate losses may wait; when they do not fit, sound is dropped and the last loss grows.
        deliveries: how many times of delivery may wait; beyond them `Run.delivered_ns` may be that of a later write.
    """

    def __init__(self, capacity: int, *, losses: int = 64, deliveries: int = 1024) -> None:
        if min(capacity, losses, deliveries) < 1:
            raise ValueError(f"capacity={capacity}, losses={losses}, deliveries={deliveries}: each must be at least 1")
        self.capacity = capacity
        self._samples = np.zeros(capacity, np.float32)
        self._losses = np.zeros((losses, 4), np.int64)  # position, samples, cause, estimated
        self._deliveries = np.zeros((deliveries, 2), np.int64)  # position, monotonic ns
        self.clear()

    def clear(self) -> None:
        """Begin anew at index 0; only while there is neither writer nor reader."""
        # Positions count accepted samples only; the reader adds what was lost before them.
        self._written = self._n_losses = self._n_deliveries = 0  # of the writer
        self._delivered_ns = 0
        self._pending = 0
        self._pending_cause = 0
        self._pending_estimated = False
        self._dropped = 0
        self._taken = self._losses_taken = self._deliveries_taken = 0  # of the reader
        self._lost_before = 0

    # The writer's side

    def write(self, block: NDArray[np.float32], delivered_ns: int) -> int:
        """Append ``(n,)`` samples and return how many fitted; the rest is a loss by ``overrun``.

        Never waits, never allocates.
        """
        n = len(block)
        if n == 0:
            return 0
        fits = min(n, self.capacity - (self._written - self._taken))
        if fits and self._pending and not self._commit():
            fits = 0
        if fits:
            at = self._written % self.capacity
            first = min(fits, self.capacity - at)
            self._samples[at : at + first] = block[:first]
            self._samples[: fits - first] = block[first:fits]
            self._delivered_ns = delivered_ns
            if self._n_deliveries - self._deliveries_taken < len(self._deliveries):
                row = self._deliveries[self._n_deliveries % len(self._deliveries)]
                row[0], row[1] = self._written + fits, delivered_ns
                self._n_deliveries += 1
            self._written += fits
        if fits < n:
            self._dropped += n - fits
            self.lose(n - fits, "overrun")
        return fits

    def lose(self, samples: int, cause: LossCause, *, estimated: bool = False) -> None:
        """Count samples that never reached the writer, at this place."""
        if samples <= 0:
            return
        code = CAUSES.index(cause)
        if self._pending and (code, estimated) != (self._pending_cause, self._pending_estimated) and not self._commit():
            # No room to tell the two apart: one loss under the first one's cause, as sure as the less sure of both.
            self._pending_estimated |= estimated
        elif not self._pending:
            self._pending_cause, self._pending_estimated = code, estimated
        self._pending += samples

    def _commit(self) -> bool:
        if self._n_losses - self._losses_taken == len(self._losses):
            return False
        row = self._losses[self._n_losses % len(self._losses)]
        row[0], row[1], row[2], row[3] = self._written, self._pending, self._pending_cause, self._pending_estimated
        self._n_losses += 1
        self._pending = 0
        return True

    # The reader's side

    @property
    def waiting(self) -> int:
        """Return how many samples wait to be read."""
        return self._written - self._taken

    @property
    def dropped(self) -> int:
        """Return how many samples the writer has dropped since the ring began because it was full."""
        return self._dropped

    @property
    def next(self) -> int:
        """Return the index of the next sample to come out, as far as losses are known."""
        return self._taken + self._lost_before

    def read(self, multiple_of: int = 1, limit: int | None = None) -> Run | Lost | None:
        """Take the next thing that waits: a run of whole hops, or the loss at this place; ``None`` if there is nothing.

        Args:
            multiple_of: the hop; what remains of a run before a loss is given as it is, for nothing will complete it.
            limit: give at most so many samples, rounded down to whole hops, but one hop at least.
        """
        return self._take(multiple_of, limit, keep=True)

    def skip(self, samples: int) -> Lost | None:
        """Drop up to ``samples`` of the oldest sound: a loss by ``load``, or the loss that already is at this place."""
        taken = self._take(1, samples, keep=False) if samples > 0 else None
        if isinstance(taken, Run):
            return Lost(taken.start, self.next - taken.start, "load", False)
        return taken

    def unsettled(self) -> Lost | None:
        """Take the loss after the last sample, when the writer is gone and everything has been read."""
        lost, self._pending = self._pending, 0
        if not lost:
            return None
        start = self.next
        self._lost_before += lost
        return Lost(start, lost, CAUSES[self._pending_cause], self._pending_estimated)

    def _take(self, multiple_of: int, limit: int | None, *, keep: bool) -> Run | Lost | None:
        # The order matters: a loss is published before the samples after it, so whatever lies before `end` is known.
        end = self._written
        start = self.next
        broken = False
        if self._losses_taken < self._n_losses:
            position, lost, cause, estimated = self._losses[self._losses_taken % len(self._losses)].tolist()
            if position == self._taken:
                self._losses_taken += 1
                self._lost_before += lost
                return Lost(start, lost, CAUSES[cause], bool(estimated))
            broken = position <= end
            end = min(end, position)
        n = end - self._taken
        if limit is not None and n > (most := max(limit, multiple_of)):
            n, broken = most, False
        if not broken:
            n -= n % multiple_of
        if n <= 0:
            return None
        at = self._taken % self.capacity
        first = min(n, self.capacity - at)
        samples = np.empty(n if keep else 0, np.float32)
        if keep:
            samples[:first] = self._samples[at : at + first]
            samples[first:] = self._samples[: n - first]
        delivered_ns = self._delivered(self._taken + n)
        self._taken += n
        return Run(start, samples, delivered_ns)

    def _delivered(self, position: int) -> int:
        while self._deliveries_taken < self._n_deliveries:
            until, delivered_ns = self._deliveries[self._deliveries_taken % len(self._deliveries)].tolist()
            if until >= position:
                return int(delivered_ns)
            self._deliveries_taken += 1
        return self._delivered_ns
