"""One thread moves captured sound from pipes into rings, for all sources of the daemon."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from auricle.capture.doubts import Doubts
from auricle.capture.ring import Ring

log = logging.getLogger("auricle")

READ_BYTES = 65_536
PACE_NS = 10_000_000_000
"""Over spans of this length the sound is compared with the clock."""
DRIFT_NS = PACE_NS // 2000
"""By how much a card's own clock may fall behind in a span: 500 ppm, several times as much as real ones do."""
SPLICE_NS = 200_000_000
"""Sound that falls behind by more than this and by more than drift, and stays behind, was lost without a report."""


class Broken(Exception):
    """A feed cannot go on; the message is the one-line reason."""


class Feed:
    """A feed is a pipe that sound comes through, with the ring that the sound goes into.

    Once the feed is given to the poller, the methods and what begins with an underscore belong to the poller's thread;
    the consumer reads the other attributes, and the ring.

    Args:
        fd: the pipe, or a file; the poller closes it.
        ring_s: the ring's length.
        errors_fd: where the other side complains, if anywhere; the poller closes it.
        before: a feed that has ended, whose ring is used again.
    """

    ahead_s: float | None = None
    """Sound that is further ahead of the clock than this waits in its pipe; ``None`` for sound that cannot wait, as
    from a microphone."""
    read_bytes = READ_BYTES
    """The most bytes of one read."""
    ended: bool = False
    """Becomes true last of all: nothing will be written any more."""

    def __init__(self, fd: int, *, ring_s: float, errors_fd: int | None = None, before: Feed | None = None) -> None:
        if before is not None and not before.ended:
            raise ValueError("the feed before this one has not ended")
        self.fd = fd
        self.errors_fd = errors_fd
        self.ring: Ring | None = None
        """The ring, once the rate is known."""
        self.rate = 0
        self.device = ""
        self.first_ns = 0
        """Monotonic clock at the beginning of the first sample; valid once the ring holds something."""
        self.heard_ns: int | None = None
        """Monotonic clock of the last sign of life."""
        self.reason = ""
        """Why it ended, if it said so."""
        self.complaint = ""
        """The last line of what the other side complained."""
        self.doubts: Doubts = Doubts() if before is None else before.doubts
        """What is strange in the sound, each thing told once, however often the other side is started anew."""
        self._ring_s = ring_s
        self._spare = before.ring if before is not None else None
        self._buffer = bytearray(READ_BYTES)
        self._filled = 0
        self._index = 0
        self._late_ns: deque[int] = deque(maxlen=64)
        self._pace_ns = 0
        self._pace_late_ns: int | None = None
        self._pace_before_ns: int | None = None

    def take(self, data: memoryview, now_ns: int) -> int:
        """Use what has been read; return how many bytes are done with."""
        raise NotImplementedError

    def read(self, now_ns: int) -> bool:
        """Read once; return whether more may come."""
        view = memoryview(self._buffer)
        n = os.readv(self.fd, [view[self._filled : self._filled + self.read_bytes]])
        if n == 0:
            return False
        self._filled += n
        if used := self.take(view[: self._filled], now_ns):
            self.heard_ns = now_ns
        self._filled -= used
        if used and self._filled:
            view[: self._filled] = bytes(view[used : used + self._filled])
        return True

    def complain(self) -> bool:
        """Read the other side's complaints, keeping the last line; return whether more may come."""
        assert self.errors_fd is not None
        try:
            text = os.read(self.errors_fd, 4096)
        except BlockingIOError:
            return True
        if lines := [line for line in text.decode(errors="replace").splitlines() if line.strip()]:
            self.complaint = " ".join(lines[-1].split())[:300]
        return bool(text)

    def ahead_ns(self, now_ns: int) -> int:
        """Return by how much the sound is longer than the time since its first block."""
        return self._index * 1_000_000_000 // self.rate - (now_ns - self.first_ns) if self._index else 0

    def begin(self, rate: int) -> None:
        """Make the ring, now that the rate is known."""
        self.rate = rate
        capacity = round(rate * self._ring_s)
        ring = self._spare if self._spare is not None and self._spare.capacity == capacity else Ring(capacity)
        ring.clear()
        self._spare = None
        self.ring = ring

    def put(self, block: NDArray[np.float32], delivered_ns: int, *, lost: int = 0, overflow: bool = False) -> None:
        """Put a block into the ring, after what is missing before it.

        Args:
            block: ``(n,)``, n > 0.
            delivered_ns: monotonic clock when its last sample was delivered.
            lost: samples known to be missing, by ``overrun``.
            overflow: the sound system has lost some; how much only the clock can tell.
        """
        ring = self.ring
        assert ring is not None
        n = len(block)
        if self._index == 0:
            self.first_ns = delivered_ns - (lost + n) * 1_000_000_000 // self.rate
        ring.lose(lost, "overrun")
        self._index += lost
        late_ns = delivered_ns - self.first_ns - (self._index + n) * 1_000_000_000 // self.rate
        missing = 0
        if overflow and self._late_ns:
            missing = max(1, (late_ns - min(self._late_ns)) * self.rate // 1_000_000_000)
            ring.lose(missing, "overflow", estimated=True)
        elif missing := self._spliced(late_ns, delivered_ns):
            ring.lose(missing, "lost", estimated=True)
        if missing:
            self._index += missing
            late_ns -= missing * 1_000_000_000 // self.rate
            self._late_ns.clear()
        self._late_ns.append(late_ns)
        ring.write(block, delivered_ns)
        self._index += n

    def _spliced(self, late_ns: int, now_ns: int) -> int:
        """Return by how many samples the sound has fallen behind the clock for good.

        The least lateness of a span forgives every delay that is made up for later.
        """
        least = late_ns if self._pace_late_ns is None else min(late_ns, self._pace_late_ns)
        self._pace_late_ns = least
        if now_ns - self._pace_ns < PACE_NS:
            return 0
        self._pace_ns, self._pace_late_ns = now_ns, None
        if self._pace_before_ns is None:
            self._pace_before_ns = least
            return 0
        drifted = min(least, self._pace_before_ns + DRIFT_NS)
        if least - drifted < SPLICE_NS:
            self._pace_before_ns = drifted
            return 0
        return (least - self._pace_before_ns) * self.rate // 1_000_000_000


class Poller:
    """Moves the sound of all feeds in one thread, which begins with the first feed; use it as a context, or `close`
    it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._epoll.register(self._wake_read, select.EPOLLIN)
        self._commands: deque[Callable[[], None]] = deque()
        self._feeds: dict[int, Feed] = {}
        self._resting: dict[int, int] = {}  # fd: when to read on, monotonic ns
        self._files: set[int] = set()
        self._closing = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Poller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, feed: Feed) -> None:
        """Move what comes through this feed from now on."""
        self._ask(lambda: self._add(feed))
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="auricle-capture", daemon=True)
            self._thread.start()

    def drop(self, feed: Feed) -> None:
        """End a feed whose other side is given up."""
        self._ask(lambda: self._end(feed))

    def close(self) -> None:
        """End all feeds and the thread."""
        self._closing = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
            self._thread = None
        for feed in list(self._feeds.values()):
            self._end(feed)
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _ask(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # when full, it will wake for what already waits
            os.write(self._wake_write, b"!")

    def _run(self) -> None:
        while not self._closing:
            timeout = None
            if self._resting:
                timeout = max(0.0, (min(self._resting.values()) - time.monotonic_ns()) / 1e9)
            for fd, _ in self._epoll.poll(timeout):
                if fd == self._wake_read:
                    os.read(fd, 4096)
                elif (feed := self._feeds.get(fd)) is not None:
                    self._ready(feed, fd)
            while self._commands:
                self._commands.popleft()()
            self._wake_rested()

    def _add(self, feed: Feed) -> None:
        if feed.errors_fd is not None:
            os.set_blocking(feed.errors_fd, False)
            self._feeds[feed.errors_fd] = feed
            self._epoll.register(feed.errors_fd, select.EPOLLIN)
        self._feeds[feed.fd] = feed
        try:
            self._epoll.register(feed.fd, select.EPOLLIN)
        except PermissionError:
            # A file is always ready, which epoll refuses to say.
            self._files.add(feed.fd)
            self._resting[feed.fd] = 0

    def _ready(self, feed: Feed, fd: int) -> None:
        if fd == feed.errors_fd:
            if not feed.complain():
                self._forget(fd)
                feed.errors_fd = None
            return
        try:
            more = feed.read(time.monotonic_ns())
        except Broken as e:
            feed.reason = str(e)
            more = False
        except Exception as e:
            # A feed that cannot be understood must not end the others; it is started anew.
            log.exception("capture failed")
            feed.reason = f"what was captured cannot be understood: {e}"
            more = False
        if not more:
            self._end(feed)
        elif feed.ahead_s is not None:
            now_ns = time.monotonic_ns()
            if (rest_ns := feed.ahead_ns(now_ns) - round(feed.ahead_s * 1e9)) > 0:
                if fd not in self._files:
                    self._epoll.unregister(fd)
                self._resting[fd] = now_ns + rest_ns

    def _wake_rested(self) -> None:
        if self._resting:
            now_ns = time.monotonic_ns()
            for fd in [fd for fd, until_ns in self._resting.items() if until_ns <= now_ns]:
                if fd in self._files:
                    self._resting[fd] = 0
                    self._ready(self._feeds[fd], fd)
                else:
                    del self._resting[fd]
                    self._epoll.register(fd, select.EPOLLIN)

    def _end(self, feed: Feed) -> None:
        if feed.ended:
            return
        if feed.errors_fd is not None:
            feed.complain()
            self._forget(feed.errors_fd)
            feed.errors_fd = None
        self._forget(feed.fd)
        feed.ended = True

    def _forget(self, fd: int) -> None:
        if self._feeds.pop(fd, None) is not None and self._resting.pop(fd, None) is None:
            self._epoll.unregister(fd)
        self._files.discard(fd)
        os.close(fd)
