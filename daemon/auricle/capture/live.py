"""What all live sources share: the other side is started, watched, given up and started anew; nothing is spliced."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator
from typing import Literal

from auricle.capture.clock import CaptureClock
from auricle.capture.conditioning import Resampler, clean
from auricle.capture.poller import Feed, Poller
from auricle.capture.retry import Retry
from auricle.capture.ring import Lost, Ring, Run
from auricle.capture.source import Counters, End, Gap, LossCause, Piece, Segment, Sound, Status

log = logging.getLogger("auricle")

MOST_S = 1.0
"""Sound given at a poll, at the most: a consumer that cannot keep up comes back to itself between two polls."""
LATE_S = 0.5
"""When the consumer itself was held up for longer, so was the poller: old sound says nothing of the other side yet."""


class Live:
    """A `Source` whose sound comes from a process through a pipe.

    The states are: starting (no sound yet), heard, lost. A loss is told at once; the gap when sound is back and its
    length is known. All methods belong to one thread, that of the consumer.

    Args:
        name: of the source.
        poller: moves the sound; shared by all sources of the daemon.
        model_rate: in Hz, of the sound given.
        ring_s: sound kept waiting for a busy consumer.
        stall_s: without a block for this long the source is lost. Settable while it runs.
        silence_alarm_s: exact zeros for this long are suspicious; 0 never. Settable while it runs.
        block_s: how often the consumer should ask. Settable while it runs.
    """

    def __init__(
        self,
        name: str,
        *,
        poller: Poller,
        model_rate: int,
        ring_s: float = 10.0,
        stall_s: float = 2.0,
        silence_alarm_s: float = 30.0,
        block_s: float = 0.04,
    ) -> None:
        self.name = name
        self.stall_s = stall_s
        self.silence_alarm_s = silence_alarm_s
        self.done = False
        self._poller = poller
        self._model_rate = model_rate
        self._ring_s = ring_s
        self.block_s = block_s
        self.stretch = 1.0
        """How many times as long as ``block_s`` to wait; settable while it runs."""
        self._counters = Counters(ring_s=ring_s)
        self._next = 0
        self._rate = 0
        self._clock: CaptureClock | None = None
        self._resampler: Resampler | None = None
        self._in_segment = False
        self._zeros = 0
        self._silent = False
        self._polled_s = self._delivered_s = self._lenient_until_s = 0.0
        self._feed: Feed | None = None
        self._before: Feed | None = None  # the feed before this one
        self._skip_to = 0
        self._reason = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._dying: list[subprocess.Popen[bytes]] = []
        self._base: int | None = None  # index of the ring's first sample; None before it is known
        self._lost_ns: int | None = None  # since when there is no sound
        self._started_s = self._heard_since_s = 0.0
        self._hangs = 0
        self._retry = Retry()
        self._fault: tuple[str, int | None] | None = None

    # What a kind of source says of itself

    START_S = 0.0
    """Before its first sound the other side may take this much longer than `stall_s`."""

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes] | None]:
        """Start the other side, whose last feed has ended. Raises `OSError` where it cannot be started."""
        raise NotImplementedError

    def _missing(self, fault: OSError) -> str:
        """Why the other side cannot be started, and the remedy."""
        return str(fault)

    def _ended(self, feed: Feed, code: int | None) -> str:
        """Why the other side has ended, from what it said and its exit code (``None`` if that is not known yet)."""
        how = "" if code is None else f" with status {code}" if code >= 0 else f" by signal {-code}"
        return feed.reason or feed.complaint or f"its process ended{how}"

    # The source protocol

    @property
    def live(self) -> Live:
        """This one."""
        return self

    @property
    def cleaned(self) -> int:
        """Non-finite samples that were replaced by 0."""
        return self._counters.cleaned

    def open(self) -> None:
        """Begin to hear; whatever is missing comes as a loss by `poll`."""
        self._retry.due_s = time.monotonic()

    def due_s(self, now_s: float) -> float:
        """One block after the last poll, less what rounding may add: on a beat of that pace none is missed."""
        return self._polled_s + self.stretch * self.block_s - 1e-6

    def poll(self, now_s: float) -> Iterator[Piece]:
        """The pieces that wait; starts, gives up and restarts the other side when it is time."""
        if now_s - self._polled_s > max(LATE_S, 2 * self.stretch * self.block_s):
            self._lenient_until_s = now_s + LATE_S
        self._polled_s = now_s
        self._bury()
        if self._fault is not None:
            yield from self._failed(now_s, *self._fault)
        if self._clock is not None and (step_s := self._clock.stepped()) is not None:
            yield Status("clock", f"the system clock stepped by {step_s:+.3f} s")
        if self._feed is None:
            if self.done or now_s < self._retry.due_s or (self._before is not None and not self._before.ended):
                return
            if (fault := self._start(now_s)) is not None:
                yield from self._lose(now_s, fault)
        if (feed := self._feed) is None:
            return
        ended = feed.ended  # asked first: after it nothing is written any more
        if feed.ring is not None:
            yield from self._hear(feed, feed.ring, now_s)
        if ended:
            if self._base is not None and feed.ring is not None and (lost := feed.ring.unsettled()) is not None:
                yield from self._pass_over(lost)
            code = self._process.poll() if self._process is not None else None
            self._release()
            yield from self._gone(now_s, self._ended(feed, code))
        elif (reason := self._hanging(feed, now_s)) is not None:
            self._give_up()
            yield from self._lose(now_s, reason)

    def counters(self) -> Counters:
        """The figures of now; one object, filled anew at every call."""
        found = self._counters
        if self._clock is not None:
            found.drift_ppm = self._clock.drift_ppm
        found.waiting_s = self.waiting_s
        return found

    @property
    def ring_s(self) -> float:
        """Sound that can wait."""
        return self._ring_s

    @property
    def waiting_s(self) -> float:
        """Sound in the ring that waits for the consumer."""
        feed = self._feed
        return feed.ring.waiting / feed.rate if feed is not None and feed.ring is not None else 0.0

    def skip(self, keep_s: float) -> None:
        """Drop the oldest sound that waits, all but ``keep_s``: a gap by ``load`` at the next poll."""
        feed = self._feed
        if feed is not None and feed.ring is not None:
            self._skip_to = feed.ring.waiting - round(keep_s * feed.rate)

    def fail(self, reason: str, at: int | None) -> None:
        """At the next poll: the source is lost from this sample on, and started anew as after any loss."""
        self._fault = reason, at

    def close(self) -> None:
        """Let go of the device; harmless when it is done already."""
        self.done = True
        if self._feed is not None:
            self._give_up()
        for process in self._dying:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                # Stuck in a driver: nothing can end it, and nothing here depends on it.
                log.warning("%s: process %d does not end", self.name, process.pid)
        self._dying.clear()

    # Sound

    def _hear(self, feed: Feed, ring: Ring, now_s: float) -> Iterator[Piece]:
        while self._skip_to > 0 and (lost := ring.skip(self._skip_to)) is not None:
            if lost.cause == "load":
                self._skip_to -= lost.samples
            if self._base is None:
                yield from self._found(feed, now_s)
            yield from self._pass_over(lost)
        self._skip_to = 0
        # What comes while this is heard waits for the next poll.
        left = ring.waiting if feed.ended else min(ring.waiting, round(MOST_S * feed.rate))
        while (left > 0 or feed.ended) and (item := ring.read(limit=max(left, 1))) is not None:
            if self._base is None:
                yield from self._found(feed, now_s)
            assert self._base is not None
            if isinstance(item, Lost):
                yield from self._pass_over(item)
                continue
            left -= len(item.samples)
            assert self._base + item.start == self._next
            if not self._in_segment:
                self._in_segment = True
                assert self._clock is not None
                yield Segment(self._next, self._rate, self._clock)
            yield from self._give(item)

    def _give(self, run: Run) -> Iterator[Piece]:
        assert self._clock is not None
        assert self._resampler is not None
        n = len(run.samples)
        self._next += n
        self._counters.heard += n
        self._delivered_s = run.delivered_ns / 1e9
        self._clock.hear(self._next, run.delivered_ns)
        samples, bad = clean(run.samples)
        self._counters.cleaned += bad
        if samples.any():
            self._zeros = 0
            if self._silent:
                self._silent = False
                yield Status("running", "there is sound again")
        else:
            self._zeros += n
            if not self._silent and 0 < self.silence_alarm_s * self._rate <= self._zeros:
                self._silent = True
                seconds = self._zeros / self._rate
                yield Status("silent", f"nothing but zeros for {seconds:.0f} s: is it muted, or its gain at zero?")
        samples = self._resampler.process(samples)
        if len(samples):
            yield Sound(samples, self._delivered_s)

    def _pass_over(self, lost: Lost) -> Iterator[Piece]:
        yield from self._end("gap")
        yield self._gap(lost.samples, lost.cause, lost.estimated)
        if lost.estimated:
            # The clock has told how much is missing, so from here on it is the clock that is right.
            assert self._clock is not None
            self._clock.begin(self._next, self._clock.monotonic_ns(self._next))

    def _end(self, cause: Literal["end", "gap"]) -> Iterator[Piece]:
        if self._in_segment:
            assert self._resampler is not None
            self._in_segment = False
            if len(tail := self._resampler.flush()):
                yield Sound(tail, self._delivered_s)
            yield End(cause)

    def _gap(self, samples: int, cause: LossCause, estimated: bool) -> Gap:
        assert self._clock is not None
        gap = Gap(self._next, samples, self._rate, cause, estimated, self._clock)
        self._next += samples
        self._counters.lost += samples
        self._counters.overruns += cause == "overrun"
        return gap

    # Loss and return

    def _found(self, feed: Feed, now_s: float) -> Iterator[Piece]:
        """The first sound of a feed: what was lost before it is known now."""
        if feed.rate != self._rate:
            self._next = self._next * feed.rate // self._rate if self._rate else 0
            self._counters.heard = self._counters.heard * feed.rate // self._rate if self._rate else 0
            self._counters.lost = self._next - self._counters.heard
            self._rate = feed.rate
            self._clock = CaptureClock(feed.rate)
            self._clock.begin(self._next, feed.first_ns if self._lost_ns is None else self._lost_ns)
            self._resampler = Resampler(feed.rate, self._model_rate)
        assert self._clock is not None
        self._heard_since_s = now_s
        self._hangs = 0
        if self._lost_ns is not None:
            yield Status("found", feed.device)
            if (missing := (feed.first_ns - self._lost_ns) * self._rate // 1_000_000_000) > 0:
                yield self._gap(missing, "lost", True)
            self._lost_ns = None
        self._clock.begin(self._next, feed.first_ns)
        self._base = self._next

    def _lose(self, now_s: float, reason: str) -> Iterator[Piece]:
        """No sound any more, or still none: tell it once, and when to try again."""
        yield from self._end("gap")
        if self._base is not None:
            assert self._clock is not None
            self._lost_ns = self._clock.monotonic_ns(self._next)
            self._retry.worked(now_s - self._heard_since_s)
            yield Status("lost", reason)
        elif self._lost_ns is None:
            self._lost_ns = round(now_s * 1e9)
            yield Status("lost", reason)
        elif reason != self._reason:
            log.debug("%s: still lost: %s", self.name, reason)
        self._base = None
        self._reason = reason
        self._zeros = 0
        self._silent = False
        self._retry.failed(now_s)

    def _failed(self, now_s: float, reason: str, at: int | None) -> Iterator[Piece]:
        self._fault = None
        if self._feed is None:
            return
        if at is not None and self._in_segment:
            # The consumer has ended the segment; what it was given and has not heard is lost with the rest.
            assert self._resampler is not None
            self._in_segment = False
            self._resampler.flush()
            self._counters.heard -= self._next - at
            self._next = at
        self._give_up()
        yield from self._lose(now_s, reason)

    def _gone(self, now_s: float, reason: str) -> Iterator[Piece]:
        """The other side has ended by itself."""
        yield from self._lose(now_s, reason)

    def _hanging(self, feed: Feed, now_s: float) -> str | None:
        """Why this feed must be given up, if it must. One that has never spoken is given longer each time."""
        if now_s < self._lenient_until_s:
            return None
        if feed.heard_ns is not None:
            age_s = now_s - feed.heard_ns / 1e9
            return f"no sound for {age_s:.1f} s" if age_s > self.stall_s else None
        age_s = now_s - self._started_s
        if age_s <= self.START_S + self.stall_s * min(1 + self._hangs, 4):
            return None
        self._hangs += 1
        return f"no sound within {age_s:.1f} s of its start"

    def _start(self, now_s: float) -> str | None:
        """Start the other side; why it cannot be."""
        self._started_s = now_s
        try:
            self._feed, self._process = self._launch(self._before)
        except OSError as e:
            return self._missing(e)
        if self._before is not None:
            self._counters.restarts += 1
        self._poller.add(self._feed)
        return None

    def _give_up(self) -> None:
        assert self._feed is not None
        self._poller.drop(self._feed)
        self._release()

    def _release(self) -> None:
        """End the process, which may hang, or talk into a pipe that nobody reads; it is buried when it is dead."""
        self._before, self._feed = self._feed, None
        if self._process is not None:
            self._process.kill()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._dying.append(self._process)
            self._process = None

    def _bury(self) -> None:
        self._dying = [process for process in self._dying if process.poll() is None]
