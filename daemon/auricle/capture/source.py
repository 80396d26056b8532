"""A source gives unbroken segments of sound, and the truth about everything between them.

A source yields *pieces* in this order, again and again::

    Segment, Sound, Sound, ..., End, [Gap]

Mix-down, scaling, cleaning and resampling are done before a `Sound` leaves the source. Between two segments there may
be `Status` and `Skipped` pieces. The consumer resets its stages at `Segment` and closes its events at `End`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

LossCause: TypeAlias = Literal["overrun", "overflow", "lost", "load", "pause"]
"""Why sound was not heard: ring or pipe were full, the sound system lost some, the device went away, the consumer has
asked to `skip` some, or somebody to pause."""
News: TypeAlias = Literal["starting", "running", "lost", "found", "silent", "paused", "clock", "questioned"]
"""What a source reports of itself: its new state, or news that leave it as it is: the clock has stepped, the sound is
strange."""


AT_ONCE_S = 1.0
"""The most sound that a live source gives at a poll, so that a consumer that cannot keep up does other work between two
polls."""


class Clock(Protocol):
    """A clock maps a sample of the source to the time of day."""

    @property
    def known(self) -> bool:
        """Return whether the time of day is known at all (of a recording it may not be)."""

    def utc_us(self, sample: int) -> int:
        """Return the time at which the sample was heard, in microseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class NominalClock:
    """Gives the times of a recording: its start, and samples at the nominal rate.

    Args:
        rate: of the recording, in Hz.
        start_us: microseconds since 1970 UTC of sample 0.
        known: whether the start is known, from a person, the file's name or its header.
    """

    rate: int
    start_us: int = 0
    known: bool = False

    def utc_us(self, sample: int) -> int:
        """Return the start plus the samples at the nominal rate."""
        return self.start_us + sample * 1_000_000 // self.rate


@dataclass(frozen=True, slots=True)
class Segment:
    """Unbroken sound begins.

    Args:
        start: index of its first sample, counted at the source's own rate since it began, lost samples included; of a
            recording, since the file began.
        rate: the source's own rate in Hz.
        clock: gives the time of a sample.
        file: the recording that the segment is read from, as the recording was named.
    """

    start: int
    rate: int
    clock: Clock
    file: str | None = None


@dataclass(slots=True)
class Sound:
    """Holds a block of the segment, mono float32 at the model's rate.

    Args:
        samples: ``(n,)`` float32, full scale 1.0, finite.
        delivered_s: monotonic clock when its last sample was delivered; ``None`` at full speed.
        own: ``(m,)`` float32, what the source heard since the `Sound` before: the same sound before it was resampled,
            where `Source.with_own` asks for it.
        start: index of the first of these, counted as that of the segment.
    """

    samples: NDArray[np.float32]
    delivered_s: float | None = None
    own: NDArray[np.float32] | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The segment ends, with a recording or before a gap."""

    cause: Literal["end", "gap"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Sound was not heard.

    Args:
        start: index of the first lost sample at the source's own rate.
        samples: how many were lost.
        rate: the source's own rate in Hz.
        cause: why.
        estimated: whether the count comes from a clock instead of from samples.
    """

    start: int
    samples: int
    rate: int
    cause: LossCause
    estimated: bool
    clock: Clock


@dataclass(frozen=True, slots=True)
class Status:
    """The source changed its state, or has other news."""

    state: News
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something could not be heard at all (a broken file): a line that says what and why."""

    reason: str


@dataclass(slots=True)
class LiveCounters:
    """Counts what became of a live source since it was opened; samples at its own rate.

    ``cleaned`` samples were not finite. ``overruns`` counts gaps
    because ring or pipe were full. ``drift_ppm`` is that of the card against the system's clock. ``restarts`` counts
    the children started after the first. ``waiting_s`` is the sound in the ring, which holds ``ring_s``.
    """

    heard: int = 0
    lost: int = 0
    cleaned: int = 0
    overruns: int = 0
    drift_ppm: float | None = None
    restarts: int = 0
    waiting_s: float = 0.0
    ring_s: float = 0.0

    @property
    def next(self) -> int:
        """Return the index of the next sample: every one before it was heard or lost."""
        return self.heard + self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Says on what terms a live source is heard, whatever its kind.

    Args:
        model_rate: in Hz, of the sound given.
        ring_s: sound kept waiting for a busy consumer.
        stall_s: without a block for this long the source is lost.
        silence_alarm_s: exact zeros for this long are suspicious; 0 never.
        block_s: how often the consumer should ask; at most what `asked_every` allows.
    """

    model_rate: int
    ring_s: float = 10.0
    stall_s: float = 2.0
    silence_alarm_s: float = 30.0
    block_s: float = 0.04

    @property
    def most_stretch(self) -> float:
        """Return how many times less often the consumer may ask, so that neither ring nor `AT_ONCE_S` is outgrown."""
        return max(1.0, min(0.8 * AT_ONCE_S, self.ring_s / 4) / self.block_s)


def asked_every(hop_s: float, ring_s: float) -> float:
    """Return how often to ask a live source whose sound is decided upon every ``hop_s``: once a hop, or a whole number
    of times as often where so much sound would be too much for the ring or for one poll."""
    return hop_s / math.ceil(hop_s / min(AT_ONCE_S / 2, ring_s / 8))


class LiveControl(Protocol):
    """This is what a live source can be asked and told besides, since its sound comes whether it is heard or not."""

    terms: Terms
    """The terms may be replaced while the source runs, by others that keep the rate and the ring; these two take a new
    source."""
    stretch: float
    """How many times as long as `Terms.block_s` to wait between two polls; may be set while it runs."""

    @property
    def waiting_s(self) -> float:
        """Return how much sound waits to be heard."""

    def late_s(self, now_s: float) -> float:
        """Return how much of the waiting sound should have been heard by now (monotonic clock); 0 before the next poll
        is due."""

    def skip(self, keep_s: float) -> None:
        """Drop the oldest sound that waits, all but ``keep_s``: a gap by ``load`` at the next poll."""

    @property
    def can_pause(self) -> bool:
        """Return whether the other side can be let go of, and had again."""

    def pause(self, reason: str | None) -> None:
        """Let go of the other side at the next poll, for this reason, or have it again (``None``). What is not heard
        meanwhile is a gap by ``pause``, told when sound is back."""


Piece: TypeAlias = Segment | Sound | End | Gap | Status | Skipped


class Source(Protocol):
    """A source gives sound to one consumer, from whose thread all methods are called."""

    name: str
    with_own: bool
    """Whether `Sound` is to hold the sound before resampling as well; may be set while it runs, and what was read
    ahead may come without."""

    @property
    def cleaned(self) -> int:
        """Return how many samples were no sound and were replaced."""

    @property
    def live(self) -> LiveControl | None:
        """Return what a live source can be asked and told besides; ``None`` of one that waits to be heard, as
        recordings."""

    def counters(self) -> LiveCounters | None:
        """Return what became of a live source so far; ``None`` of one that loses nothing, such as recordings."""

    def open(self) -> None:
        """Begin to hear. A device that is missing is not an error: it is a declared, retried loss."""

    def poll(self, now_s: float) -> Iterator[Piece]:
        """Return the pieces that wait now (monotonic clock), without blocking."""

    @property
    def done(self) -> bool:
        """Return whether nothing will ever come again (all recordings read)."""

    def due_s(self, now_s: float) -> float:
        """Return when, on the monotonic clock, the next poll is worth while."""

    def fail(self, reason: str, at: int | None) -> None:
        """Report that what was given could not be heard: a live source is lost from there and tried again, a recording
        ends.

        Args:
            reason: what a person should read.
            at: the sample, at the source's own rate, up to which it was heard; ``None`` outside a segment.
        """

    def close(self) -> None:
        """Let go of the device, processes and files."""
