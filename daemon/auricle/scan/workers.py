"""Worker processes on this machine share the units of work; one that dies gives its unit back."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess

from auricle.scan.work import Finding, Heard, Lost, Result, Settings, Unit

CRASHES, KILLS = 3, 30
"""A unit over which so many workers have ended is given up: by themselves, or killed from without, where it may be by
chance."""
_FROM_WITHOUT = (-signal.SIGKILL, -signal.SIGTERM)


class Workers:
    """Has units of work heard by processes of their own.

    Args:
        jobs: how many there are.
    """

    def __init__(self, jobs: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        # The first is started at once: it has much to load, and so has whoever wants it, meanwhile.
        self._idle = [_Worker(self._context)]
        self._busy: dict[object, _Worker] = {}
        self._jobs = jobs

    def hear(self, settings: Settings, units: Iterable[Unit]) -> Iterator[tuple[Unit, Result | Lost]]:
        """Yield what came of every unit, in the order in which they are done; units are drawn as they are needed."""
        drawn, ahead = iter(units), deque[Unit]()
        crashes, kills = Counter[str](), Counter[str]()
        more = True
        while True:
            while more and len(ahead) < self._jobs - len(self._busy):
                more = _draw(drawn, ahead)
            while ahead and len(self._busy) < self._jobs:
                worker = self._idle.pop() if self._idle else _Worker(self._context)
                unit = ahead.popleft()
                if worker.give(settings, unit):
                    self._busy[worker.connection] = worker
                else:
                    ahead.appendleft(unit)  # it died while it was idle: another one takes it
                    worker.end()
            if not self._busy:
                return
            connections = [worker.connection for worker in self._busy.values()]
            # Nobody shall wait for what comes next: it is looked for while they hear.
            while more and len(ahead) < self._jobs and not wait(connections, 0):
                more = _draw(drawn, ahead)
            for connection in wait(connections):
                worker = self._busy.pop(connection)
                if (result := worker.take()) is not None:
                    self._idle.append(worker)
                    yield worker.unit, result
                    continue
                unit, code = worker.unit, worker.end()
                (kills if code in _FROM_WITHOUT else crashes)[unit.key] += 1
                if crashes[unit.key] < CRASHES and kills[unit.key] < KILLS:
                    ahead.appendleft(unit)
                    continue
                how = f"signal {-code}" if code < 0 else f"status {code}"
                yield unit, Lost(f"{crashes[unit.key] + kills[unit.key]} processes ended that heard it ({how})")

    def close(self) -> None:
        """End all of them, whatever they do."""
        for worker in [*self._idle, *self._busy.values()]:
            worker.end()
        self._idle, self._busy = [], {}


def _draw(drawn: Iterator[Unit], ahead: deque[Unit]) -> bool:
    """Put the next unit with those that wait; return whether there was one."""
    unit = next(drawn, None)
    if unit is not None:
        ahead.append(unit)
    return unit is not None


class _Worker:
    def __init__(self, context: multiprocessing.context.SpawnContext) -> None:
        self.connection, theirs = context.Pipe()
        self.unit: Unit
        self._process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, settings: Settings, unit: Unit) -> bool:
        """Have a unit heard; return whether there is still anybody to do it."""
        self.unit = unit
        try:
            self.connection.send((settings, unit))
        except OSError:
            return False
        return True

    def take(self) -> Result | None:
        """Return the result, or ``None`` if the process has died over it."""
        with suppress(EOFError, OSError):
            found = self.connection.recv()
            if isinstance(found, Heard | Finding):
                return found
        return None

    def end(self) -> int:
        """End the process; return its exit code, negative for a signal."""
        self.connection.close()
        self._process.join(0.2)
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0


def _work(connection: Connection) -> None:
    """Hear units until nobody asks any more, or whoever asked has ended."""
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is for whoever started this
    logging.getLogger("auricle").setLevel(logging.ERROR)  # what is to be told of a file stands in its result
    from auricle.model import bundle
    from auricle.scan.listener import Listener
    from auricle.stages import allocator

    allocator.keep_freed()
    listener: Listener | None = None
    while (asked := _asked(connection)) is not None:
        settings, unit = asked
        # Not sooner: whoever asks has tried the graph by then, if it never ran here before.
        listener = listener or Listener(settings, bundle.load(settings.cfg.model, settings.cfg.models_dir))
        result = listener.hear(unit)
        with suppress(OSError):  # whoever asked is gone
            connection.send(result)


def _end_with(parent: BaseProcess | None) -> None:
    """Wait until a process ends, and end at once: a chain may last for hours, which nobody would want any more."""
    if parent is not None:
        parent.join()
        os._exit(0)


def _asked(connection: Connection) -> tuple[Settings, Unit] | None:
    """Return what is to be heard, or ``None`` if nobody asks any more."""
    with suppress(EOFError, OSError):
        asked: tuple[Settings, Unit] = connection.recv()
        return asked
    return None
