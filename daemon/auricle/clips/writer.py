"""Clips are written by a thread that may hang, on a disk that is full, slow or gone: that costs clips, and never
hearing."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from auricle.clips.beside import beside
from auricle.clips.encode import Facts, NoRate, encode
from auricle.clips.folder import Shelf
from auricle.clips.keeper import Order
from auricle.messages import Clip, ClipLoss

log = logging.getLogger("auricle")

WAITING_MB = 64
"""How much sound waits for the disk."""
LOOK_S = 60.0
"""How often to see whether a clip is too old, while none is written."""
STUCK_S = 10.0
"""A file that takes longer is reported: the disk does not answer."""


class Writer:
    """Writes what is ordered, one clip after the other, in a thread of its own; whoever orders never waits.

    A thread suffices where capture needs a process: what hangs in the kernel keeps its thread and the sound that waits,
    and both are bounded. Nobody waits for it, not even the program's end.

    Args:
        folder: of the clips.
        max_mb, max_days: the bounds of the folder.
        certain: whether the time of day can be believed; while it cannot be, nothing goes for its age.
        patient: whether whoever orders waits for the disk after all: a replay does, which has nothing to miss.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_mb: float,
        max_days: float,
        certain: Callable[[], bool] = lambda: True,
        patient: bool = False,
    ) -> None:
        self.folder = folder
        self.max_mb, self.max_days = max_mb, max_days
        self.beside: Sequence[str] = ()
        """What is to lie beside each clip, of `auricle.clips.beside.BESIDE`."""
        self.trouble: str | None = None
        """Why clips cannot be written now."""
        self.done: deque[Clip] = deque()
        """What became of orders, for whoever tells it."""
        self.news: deque[str] = deque(maxlen=16)
        """Lines about the writer itself, for whoever tells them."""
        self._certain, self._patient = certain, patient
        self._shelf = Shelf(folder)
        self._changed = threading.Condition()
        self._orders: deque[Order] = deque()
        self._bytes = 0
        self._busy: tuple[float, Order] | None = None
        self._stuck = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._begin()

    @property
    def clips(self) -> int:
        """Return how many clips the folder holds."""
        return self._shelf.clips

    @property
    def mb(self) -> float:
        """Return the megabytes that they take."""
        return self._shelf.bytes / 1e6

    def put(self, order: Order) -> None:
        """Have a clip written soon; where too much sound waits for the disk there will be none."""
        size = order.sound.size
        with self._changed:
            if not self._begin():
                self.done.append(without(order.clip, "memory"))
                return
            if self._patient:
                self._changed.wait_for(lambda: not self._full(size))
            elif self._full(size):
                self._complain("the disk does not keep up")
                self.done.append(without(order.clip, "slow"))
                return
            self._orders.append(order)
            self._bytes += size
            self._changed.notify_all()

    def bound(self, max_mb: float, max_days: float) -> None:
        """Keep the folder within other bounds, soon."""
        with self._changed:
            self.max_mb, self.max_days = max_mb, max_days
            self._changed.notify_all()

    def look(self, now_s: float) -> None:
        """Report it when the disk does not answer, and when it does again."""
        busy = self._busy
        stuck = busy is not None and now_s - busy[0] > STUCK_S
        if stuck and not self._stuck:
            self._complain("the disk does not answer")
        self._stuck = stuck

    @property
    def finished(self) -> bool:
        """Return whether nothing waits to be written, nor ever will."""
        return self._closing and not self._orders and self._busy is None

    def finish(self) -> None:
        """Take no more orders: the thread ends when what waits is written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def wait(self, until_s: float | None) -> None:
        """Wait until all is written, after `finish`; what is not by this time never will be.

        Args:
            until_s: monotonic clock; ``None`` waits for all of it.
        """
        with self._changed:
            left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
            self._changed.wait_for(lambda: self.finished, left_s)
            left = [] if self._busy is None else [self._busy[1]]
            left += self._orders
            self._orders.clear()
            self._busy = None
        self.done.extend(without(order.clip, "slow") for order in left)

    def _full(self, size: int) -> bool:
        return self._bytes > 0 and self._bytes + size > WAITING_MB * 1e6

    def _begin(self) -> bool:
        """Start the thread if there is none; return whether there is one."""
        if self._thread is None:
            # A daemon thread: one that hangs must not keep the process from ending.
            thread = threading.Thread(target=self._run, name="clips", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as e:
                self._complain(str(e) or "no memory is left")
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        self._attempt(self._keep)
        while True:
            with self._changed:
                if not self._orders and not self._closing:
                    self._changed.wait(LOOK_S)
                order = self._orders.popleft() if self._orders else None
                if order is not None:
                    self._busy = time.monotonic(), order
                elif self._closing:
                    break
            if order is None:
                self._attempt(self._keep)
                continue
            clip = self._made(order)
            with self._changed:
                if self._busy is None:  # not waited for any more, and told as lost
                    _forget(clip)
                    break
                self.done.append(clip)
                self._bytes -= order.sound.size
                self._busy = None
                self._changed.notify_all()
        self._shelf.close()

    def _made(self, order: Order) -> Clip:
        """Write a clip; return what is to be said of it."""
        made: Clip | None = None

        def write() -> None:
            nonlocal made
            made = self._write(order)

        why = self._attempt(write)
        if why is not None:
            return without(order.clip, why)
        if self.trouble is not None:
            self.trouble = None
            self._say(f"{self.folder}: clips are kept again")
        assert made is not None
        return made

    def _write(self, order: Order) -> Clip:
        clip, sound = order.clip, order.sound
        self._shelf.look()
        title = f"{clip.label}, {clip.source}, {clip.t}"
        content, facts = encode(sound, clip.format, lambda facts: comment(clip, facts), title)
        if len(content) > self.max_mb * 1e6:
            raise OSError(0, f"a clip of {len(content) / 1e6:.1f} MB is more than clips.max_mb ({self.max_mb:g})")
        self._keep(len(content))
        path = str(self._shelf.path_of(clip))
        clip = msgspec.structs.replace(clip, path=path, sha256=hashlib.sha256(content).hexdigest(), **_facts(facts))
        self._shelf.write(clip, content, beside(clip, content, self.beside))
        return clip

    def _keep(self, coming: int = 0) -> None:
        """Keep the folder within its bounds, with so many bytes more."""
        self._shelf.look()
        if self._shelf.half:
            self._say(f"{self.folder}: {self._shelf.half} clips that were not written to their end are removed")
            self._shelf.half = 0
        before_s = time.time() - self.max_days * 86_400 if self._certain() else None
        self._shelf.keep(self.max_mb * 1e6 - coming, before_s)

    def _attempt(self, action: Callable[[], object]) -> ClipLoss | None:
        """Do the action; return why it was not possible, which is reported, or ``None``."""
        try:
            action()
        except NoRate as e:
            log.warning("clips: no clip: %s; use clips.format: opus", e)
            return "rate"
        except OSError as e:
            self._complain(e.strerror or str(e))
            return "disk"
        except MemoryError:
            self._complain("no memory is left")
            return "memory"
        except Exception as e:  # the thread has to go on, whatever it is
            log.error("clips: a fault of our own, which should be reported", exc_info=e)
            self._complain(f"{type(e).__name__}: {e}")
            return "disk"
        return None

    def _complain(self, why: str) -> None:
        before, self.trouble = self.trouble, f"{self.folder}: {why}"
        if before is None:
            self._say(f"{self.trouble}; clips are lost until that is mended, hearing goes on")

    def _say(self, line: str) -> None:
        log.warning("clips: %s", line)
        self.news.append(line)


def without(clip: Clip, why: ClipLoss) -> Clip:
    """Return what is to be said of a clip that there is none of."""
    return msgspec.structs.replace(clip, why=why)


def _forget(clip: Clip) -> None:
    """Remove a file of which was said that there is none."""
    if clip.path is not None:
        with suppress(OSError):
            Path(clip.path).unlink()


def comment(clip: Clip, facts: Facts) -> str:
    """Return the comment of a clip's file: its message, as far as a file can say it of itself."""
    return msgspec.json.encode(msgspec.structs.replace(clip, **_facts(facts))).decode()


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "rate": facts.rate,
        "samples": facts.samples,
        "exact": facts.exact,
        "duration_s": round(facts.samples / facts.rate, 6),
    }
