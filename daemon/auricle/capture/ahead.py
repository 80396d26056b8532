"""Files are read ahead here in threads that may hang, on a disk or a share that does not answer, so that whoever hears
does not.

A thread cannot be ended from outside, and reading from a dead share hangs in the kernel. So what hangs keeps its
thread, and the work behind it gets another one; nobody else notices.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")

STUCK_S = 0.25
"""Work that takes longer may hang: what waits behind such work is given a thread of its own."""
IDLE_S = 10.0
"""A thread that has had nothing to do for so long ends, unless it is the only one."""
SETTLE_S = 0.5
"""At the program's end work under way is waited for so long; a thread that hangs is left behind."""


class _Threads:
    """Does everybody's reading in one thread, as long as none of it hangs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: deque[Callable[[], None]] = deque()
        self._began_s: dict[int, float] = {}
        self._threads = 0

    def do(self, work: Callable[[], None]) -> None:
        """Have this work done soon."""
        with self._changed:
            self._work.append(work)
            if not self._threads:
                self._begin()
            self._changed.notify()

    def relieve(self) -> None:
        """Begin another thread if work waits and every thread seems to hang."""
        stuck_s = time.monotonic() - STUCK_S
        with self._changed:
            busy = len(self._began_s) == self._threads and all(began_s < stuck_s for began_s in self._began_s.values())
            if self._work and busy:
                self._begin()

    def settle(self) -> None:
        """Let what is under way come to its end: the interpreter must not be taken apart in the midst of it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._work and not self._began_s, SETTLE_S)

    def _begin(self) -> None:
        self._threads += 1
        # A daemon thread: one that hangs must not keep the process from ending.
        threading.Thread(target=self._run, name="ahead", daemon=True).start()

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                while not self._work:
                    if not self._changed.wait(IDLE_S) and not self._work and self._threads > 1:
                        self._threads -= 1
                        return
                work = self._work.popleft()
                self._began_s[me] = time.monotonic()
            work()
            with self._changed:
                del self._began_s[me]
                if not self._work:
                    self._changed.notify_all()


_threads = _Threads()
atexit.register(_threads.settle)


class Ahead(Generic[T]):
    """Gives what a generator yields, in order, some of it made in advance; whoever asks never waits.

    The generator runs in one thread at a time, never in that of the consumer.

    Args:
        items: closed when they are no longer wanted.
        most: items that wait at the most.
    """

    def __init__(self, items: Generator[T], most: int) -> None:
        self._items = items
        self._most = most
        self._made: deque[T] = deque()
        self._making = False
        self._ended = False
        self._unwanted = False
        self._error: Exception | None = None
        self._more()

    def get(self) -> T | None:
        """Return the next item, or ``None`` while there is none; raise what the generator has raised, when that is its
        turn."""
        ended = self._ended  # asked first: after it nothing is made any more
        item = self._made.popleft() if self._made else None
        if not ended:
            if len(self._made) <= self._most // 2 and not self._making:
                self._more()
            if item is None:
                _threads.relieve()
        elif item is None and self._error is not None:
            error, self._error = self._error, None
            raise error
        return item

    @property
    def ended(self) -> bool:
        """Return whether `get` has given everything, a failure too."""
        return self._ended and not self._made and self._error is None

    def close(self) -> None:
        """Make nothing more."""
        self._unwanted = True
        if not self._making:
            self._more()

    def _more(self) -> None:
        self._making = True
        _threads.do(self._make)

    def _make(self) -> None:
        try:
            while len(self._made) < self._most and not self._unwanted and not self._ended:
                if (item := next(self._items, None)) is None:
                    self._ended = True
                else:
                    self._made.append(item)
            if self._unwanted:
                self._items.close()
        except Exception as error:
            self._error = error
            self._ended = True
        finally:
            self._making = False
