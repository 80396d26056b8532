"""A track is what is heard of a live source while there is sound: from the ring to pieces, every sample at its
place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from auricle.capture.clock import CaptureClock
from auricle.capture.conditioning import Resampler, clean
from auricle.capture.poller import Feed
from auricle.capture.ring import Lost, Ring, Run
from auricle.capture.source import AT_ONCE_S, End, Gap, LiveCounters, LossCause, Piece, Segment, Sound, Status


def lose(counters: LiveCounters, clock: CaptureClock, samples: int, cause: LossCause, *, estimated: bool) -> Gap:
    """Count samples that were not heard, from the next one on; return the gap that says so."""
    gap = Gap(counters.next, samples, clock.rate, cause, estimated, clock)
    counters.lost += samples
    counters.overruns += cause == "overrun"
    return gap


class Track:
    """Turns the sound of one feed into pieces: made when its first sample is there, and given up when the sound is
    lost.

    Clock and counters, which outlive a loss, belong to the source and are kept up to date here.

    Args:
        feed: brings the sound.
        ring: of the feed; holds its first samples.
        clock: of the source, at the feed's rate.
        counters: of the source, with all that was lost before this sound.
        model_rate: in Hz, of the sound given.
        since_s: monotonic clock, now.
    """

    def __init__(
        self, feed: Feed, ring: Ring, *, clock: CaptureClock, counters: LiveCounters, model_rate: int, since_s: float
    ) -> None:
        self.since_s = since_s
        self._feed = feed
        self._ring = ring
        self._clock = clock
        self._counters = counters
        self._resampler = Resampler(clock.rate, model_rate)
        self._base = counters.next  # index of the ring's first sample
        self._in_segment = False
        self._delivered_s = 0.0
        self._with_own = False
        self._zeros = 0
        self._silent = False
        self._impossible = False
        clock.begin(self._base, feed.first_ns)

    @property
    def now_ns(self) -> int:
        """Return when, on the monotonic clock, the next sample is heard."""
        return self._clock.monotonic_ns(self._counters.next)

    def hear(self, silence_alarm_s: float, *, with_own: bool = False) -> Iterator[Piece]:
        """Yield what waits, `AT_ONCE_S` of sound at the most; of a feed that has ended, all of it.

        Args:
            silence_alarm_s: exact zeros for this long are suspicious; 0 never.
            with_own: whether each `Sound` holds the sound before resampling as well.
        """
        self._with_own = with_own
        feed, ring = self._feed, self._ring
        # What comes while this is heard waits for the next poll.
        left = ring.waiting if feed.ended else min(ring.waiting, round(AT_ONCE_S * self._clock.rate))
        while (left > 0 or feed.ended) and (item := ring.read(limit=max(left, 1))) is not None:
            if isinstance(item, Lost):
                yield from self._pass_over(item)
                continue
            left -= len(item.samples)
            assert self._base + item.start == self._counters.next
            if not self._in_segment:
                self._in_segment = True
                yield Segment(self._counters.next, self._clock.rate, self._clock)
            yield from self._give(item, silence_alarm_s)

    def drop(self, samples: int) -> Iterator[Piece]:
        """Pass over so many of the oldest samples that wait: a gap by ``load``."""
        while samples > 0 and (lost := self._ring.skip(samples)) is not None:
            if lost.cause == "load":
                samples -= lost.samples
            yield from self._pass_over(lost)

    def settle(self) -> Iterator[Piece]:
        """Yield the loss behind the last sample, if there is one, once the feed has ended and everything was heard."""
        if (lost := self._ring.unsettled()) is not None:
            yield from self._pass_over(lost)

    def end(self, cause: Literal["end", "gap"]) -> Iterator[Piece]:
        """End the segment, with what the resampler still holds."""
        if self._in_segment:
            self._in_segment = False
            if len(tail := self._resampler.flush()):
                yield Sound(tail, self._delivered_s)
            yield End(cause)

    def take_back(self, at: int) -> None:
        """End the segment before this sample: the consumer did not hear what it was given from there on.

        Nothing more can be heard of this track: its resampler still holds some of that sound.
        """
        if self._in_segment:
            self._in_segment = False
            self._counters.heard -= self._counters.next - at

    def _give(self, run: Run, silence_alarm_s: float) -> Iterator[Piece]:
        n, start = len(run.samples), self._counters.next
        self._counters.heard += n
        self._delivered_s = run.delivered_ns / 1e9
        self._clock.hear(self._counters.next, run.delivered_ns)
        samples, bad = clean(run.samples)
        if bad and not self._impossible:
            self._impossible = True
            yield Status(
                "running", f"{bad} samples that no sound can have were bounded, and are from now on; see cleaned"
            )
        self._counters.cleaned += bad
        if samples.any():
            self._zeros = 0
            if self._silent:
                self._silent = False
                yield Status("running", "there is sound again")
        else:
            self._zeros += n
            if not self._silent and 0 < silence_alarm_s * self._clock.rate <= self._zeros:
                self._silent = True
                seconds = self._zeros / self._clock.rate
                yield Status("silent", f"nothing but zeros for {seconds:.0f} s: is it muted, or its gain at zero?")
        own = samples if self._with_own else None
        samples = self._resampler.process(samples)
        if len(samples) or own is not None:
            yield Sound(samples, self._delivered_s, own, start)

    def _pass_over(self, lost: Lost) -> Iterator[Piece]:
        yield from self.end("gap")
        yield lose(self._counters, self._clock, lost.samples, lost.cause, estimated=lost.estimated)
        if lost.estimated:
            # How much is missing was told by the clock, so from here on the clock is right.
            self._clock.begin(self._counters.next, self.now_ns)
