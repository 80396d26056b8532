"""All live sources share this: the other side is started, watched, given up and started anew; nothing is spliced."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Generator, Iterator

from auricle.capture.clock import CaptureClock
from auricle.capture.poller import Feed, Poller
from auricle.capture.retry import Retry
from auricle.capture.ring import Ring
from auricle.capture.source import AT_ONCE_S, LiveCounters, LossCause, Piece, Status, Terms
from auricle.capture.track import Track, lose

log = logging.getLogger("auricle")

LATE_S = 0.5
"""When the consumer itself was held up for longer, so was the poller, and the age of the sound says nothing of the
other side yet."""


class Live:
    """Hears a process through a pipe, as a `Source`.

    The states are: starting (no sound yet), heard, lost, paused. A loss is reported at once; the gap when sound is back
    and its length is known. All methods belong to one thread, that of the consumer. This class runs the other side;
    what is heard is a `Track`, which is there exactly while there is sound.

    Args:
        name: of the source.
        terms: on which the source is heard.
        poller: moves the sound; shared by all sources of the daemon.
    """

    def __init__(self, name: str, terms: Terms, *, poller: Poller) -> None:
        self.name = name
        self.terms = terms
        self.done = False
        self.stretch = 1.0
        self.with_own = False
        self._poller = poller
        self._counters = LiveCounters(ring_s=terms.ring_s)
        self._clock: CaptureClock | None = None
        self._track: Track | None = None
        self._polled_s = self._lenient_until_s = 0.0
        self._feed: Feed | None = None
        self._before: Feed | None = None  # the feed before this one
        self._left = False
        self._drop = 0  # samples of what waits in the feed's ring
        self._reason = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._dying: list[subprocess.Popen[bytes]] = []
        self._lost_ns: int | None = None  # since when there is no sound
        self._started_s = 0.0
        self._hangs = 0
        self._retry = Retry()
        self._fault: tuple[str, int | None] | None = None
        self._pause: str | None = None  # why nobody wants to hear it now
        self._resting = False
        self._resumed = False  # nothing was said of the other side since
        self._spans: list[tuple[int, LossCause]] = []  # until when there was no sound, and why, one after the other

    # What a kind of source says of itself

    can_pause = True
    """Whether the other side can be let go of, and had again."""
    START_S = 0.0
    """Before its first sound the other side may take this much longer than `Terms.stall_s`."""

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes] | None]:
        """Start the other side, whose last feed has ended. Raises `OSError` where it cannot be started."""
        raise NotImplementedError

    def _missing(self, fault: OSError) -> str:
        """Return why the other side cannot be started, and the remedy."""
        return str(fault)

    def _ended(self, feed: Feed, code: int | None) -> str:
        """Return why the other side has ended, from what it said and its exit code (``None`` if that is not known
        yet)."""
        how = "" if code is None else f" with status {code}" if code >= 0 else f" by signal {-code}"
        return feed.reason or feed.complaint or f"its process ended{how}"

    # The source protocol

    @property
    def live(self) -> Live:
        """Return this source, which is live."""
        return self

    @property
    def cleaned(self) -> int:
        """Return how many samples were no sound and were replaced."""
        return self._counters.cleaned

    def open(self) -> None:
        """Begin to hear; whatever is missing comes as a loss by `poll`."""
        self._retry.due_s = time.monotonic()

    def due_s(self, now_s: float) -> float:
        """Return when the next poll is due: one block after the last one, less what rounding may add, so that on a beat
        of that pace none is missed; at once where the last poll has left sound that had waited for it."""
        if self._left:
            return self._polled_s
        return self._polled_s + self.stretch * self.terms.block_s - 1e-6

    def poll(self, now_s: float) -> Iterator[Piece]:
        """Yield the pieces that wait; start, give up and restart the other side when it is time."""
        if now_s - self._polled_s > max(LATE_S, 2 * self.stretch * self.terms.block_s):
            self._lenient_until_s = now_s + LATE_S
        self._polled_s = now_s
        self._left = self.waiting_s > AT_ONCE_S
        self._bury()
        if self._fault is not None:
            yield from self._failed(now_s, *self._fault)
        if self._clock is not None and (step_s := self._clock.stepped()) is not None:
            yield Status("clock", f"the system clock stepped by {step_s:+.3f} s")
        if self._pause is not None or self._resting:
            yield from self._rest(now_s)
            if self._resting:
                return
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
        yield from (Status("questioned", doubt) for doubt in feed.doubts.take())
        if ended:
            if self._track is not None:
                yield from self._track.settle()
            code = self._process.poll() if self._process is not None else None
            self._release()
            yield from self._gone(now_s, self._ended(feed, code))
        elif (reason := self._hanging(feed, now_s)) is not None:
            self._give_up(feed)
            yield from self._lose(now_s, reason)

    def counters(self) -> LiveCounters:
        """Return the figures of now; one object, filled anew at every call."""
        found = self._counters
        if self._clock is not None:
            found.drift_ppm = self._clock.drift_ppm
        found.waiting_s = self.waiting_s
        return found

    @property
    def waiting_s(self) -> float:
        """Return how much sound waits in the ring for the consumer."""
        feed = self._feed
        return feed.ring.waiting / feed.rate if feed is not None and feed.ring is not None else 0.0

    def late_s(self, now_s: float) -> float:
        """Return how much of the waiting sound should have been heard by now; 0 before the next poll is due."""
        if now_s < self.due_s(now_s):
            return 0.0
        return max(0.0, self.waiting_s - self.stretch * self.terms.block_s)

    def skip(self, keep_s: float) -> None:
        """Drop the oldest sound that waits, all but ``keep_s``: a gap by ``load`` at the next poll."""
        feed = self._feed
        if feed is not None and feed.ring is not None:
            self._drop = feed.ring.waiting - round(keep_s * feed.rate)

    def pause(self, reason: str | None) -> None:
        """Let go of the other side at the next poll, for this reason, or have it again (``None``)."""
        self._pause = reason

    def fail(self, reason: str, at: int | None) -> None:
        """Lose the source, at the next poll, from this sample on; it is started anew as after any loss."""
        self._fault = reason, at

    def close(self) -> None:
        """Let go of the device; harmless when that is done already."""
        self.done = True
        if self._feed is not None:
            self._give_up(self._feed)
        for process in self._dying:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                # Stuck in a driver: nothing can end it, and nothing here depends on it.
                log.warning("%s: process %d does not end", self.name, process.pid)
        self._dying.clear()

    # Sound, loss and return

    def _hear(self, feed: Feed, ring: Ring, now_s: float) -> Iterator[Piece]:
        track = self._track
        if track is None:
            if not ring.waiting:
                return
            track = yield from self._found(feed, ring, now_s)
        drop, self._drop = self._drop, 0
        yield from track.drop(drop)
        yield from track.hear(self.terms.silence_alarm_s, with_own=self.with_own)

    def _found(self, feed: Feed, ring: Ring, now_s: float) -> Generator[Piece, None, Track]:
        """Yield the first pieces of a feed: how much was lost before it is known now."""
        counters, clock = self._counters, self._clock
        lost_ns, self._lost_ns = self._lost_ns, None
        if clock is None or clock.rate != feed.rate:
            if clock is not None:
                at, heard = (n * feed.rate // clock.rate for n in (counters.next, counters.heard))
                counters.heard, counters.lost = heard, at - heard
            clock = self._clock = CaptureClock(feed.rate)
            clock.begin(counters.next, feed.first_ns if lost_ns is None else lost_ns)
        self._hangs, self._resumed = 0, False
        if lost_ns is not None:
            yield Status("found", feed.device)
            begin_ns = lost_ns
            for until_ns, cause in (*self._spans, (feed.first_ns, "lost")):
                if (missing := (until_ns - begin_ns) * feed.rate // 1_000_000_000) > 0:
                    yield lose(counters, clock, missing, cause, estimated=True)
                    # The rest of a sample is left to the span that follows.
                    begin_ns += missing * 1_000_000_000 // feed.rate
        self._spans.clear()
        model_rate = self.terms.model_rate
        self._track = Track(feed, ring, clock=clock, counters=counters, model_rate=model_rate, since_s=now_s)
        return self._track

    def _lose(self, now_s: float, reason: str) -> Iterator[Piece]:
        """Note that there is no sound any more, or still none: report it once, and set when to try again."""
        track, self._track = self._track, None
        is_news = track is not None or self._lost_ns is None or self._resumed
        self._resumed = False
        if track is not None:
            self._lost_ns = track.now_ns
            self._retry.worked(now_s - track.since_s)
        elif self._lost_ns is None:
            self._lost_ns = round(now_s * 1e9)
        elif reason != self._reason:
            log.debug("%s: still lost: %s", self.name, reason)
        self._reason = reason
        self._retry.failed(now_s)
        if track is not None:
            yield from track.end("gap")
        if is_news:
            yield Status("lost", reason)

    def _rest(self, now_s: float) -> Iterator[Piece]:
        """Let go of the other side when that is wanted, and begin anew when it is not any more."""
        now_ns = round(now_s * 1e9)
        if self._pause is None:
            self._resting, self._resumed = False, True
            self._spans.append((now_ns, "pause"))
            self._retry = Retry()
            self._retry.due_s = now_s
            yield Status("starting", "resumed")
        elif not self._resting:
            self._resting = True
            track, self._track = self._track, None
            if self._feed is not None:
                self._give_up(self._feed)
            if track is not None:
                self._lost_ns = track.now_ns
                yield from track.end("gap")
            elif self._lost_ns is None:
                self._lost_ns = now_ns
            else:
                self._spans.append((now_ns, "lost"))
            yield Status("paused", self._pause)

    def _failed(self, now_s: float, reason: str, at: int | None) -> Iterator[Piece]:
        self._fault = None
        if self._feed is None:
            return
        if at is not None and self._track is not None:
            self._track.take_back(at)
        self._give_up(self._feed)
        yield from self._lose(now_s, reason)

    def _gone(self, now_s: float, reason: str) -> Iterator[Piece]:
        """Yield what there is to say when the other side has ended by itself."""
        yield from self._lose(now_s, reason)

    # The other side

    def _hanging(self, feed: Feed, now_s: float) -> str | None:
        """Return why this feed must be given up, if it must; one that has never given sound is given longer each
        time."""
        if now_s < self._lenient_until_s:
            return None
        if feed.heard_ns is not None:
            age_s = now_s - feed.heard_ns / 1e9
            return f"no sound for {age_s:.1f} s" if age_s > self.terms.stall_s else None
        age_s = now_s - self._started_s
        if age_s <= self.START_S + self.terms.stall_s * min(1 + self._hangs, 4):
            return None
        self._hangs += 1
        return f"no sound within {age_s:.1f} s of its start"

    def _start(self, now_s: float) -> str | None:
        """Start the other side; return why that is not possible, or ``None``."""
        self._started_s = now_s
        try:
            self._feed, self._process = self._launch(self._before)
        except OSError as e:
            return self._missing(e)
        if self._before is not None:
            self._counters.restarts += 1
        self._poller.add(self._feed)
        return None

    def _give_up(self, feed: Feed) -> None:
        self._poller.drop(feed)
        self._release()

    def _release(self) -> None:
        """End the process, which may hang, or write into a pipe that nobody reads; it is waited for when it is dead."""
        self._before, self._feed = self._feed, None
        self._drop = 0
        if self._process is not None:
            self._process.kill()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._dying.append(self._process)
            self._process = None

    def _bury(self) -> None:
        self._dying = [process for process in self._dying if process.poll() is None]
