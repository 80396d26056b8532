"""Worker processes share the files; one that dies gives its file back."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from auricle import config
from auricle.scan.ledger import Result, stamp_of

TRIES = 3
"""A file on which so many workers have died is refused."""


@dataclass(frozen=True)
class Settings:
    """Holds what every worker needs to know."""

    cfg: config.Config
    channel: int | str
    local: bool


class Workers:
    """Has files heard by processes of their own.

    Args:
        settings: of all of them.
        jobs: how many there are.
    """

    def __init__(self, settings: Settings, jobs: int) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[object, _Worker] = {}
        self._jobs = jobs

    def hear(self, paths: Sequence[str]) -> Iterator[Result]:
        """Yield the result of every file, in the order in which they are done."""
        waiting, deaths = deque(paths), dict.fromkeys(paths, 0)
        while waiting or self._busy:
            while waiting and len(self._busy) < self._jobs:
                worker = self._idle.pop() if self._idle else _Worker(self._context, self._settings)
                path = waiting.popleft()
                if worker.give(path):
                    self._busy[worker.connection] = worker
                else:
                    waiting.appendleft(path)  # it died while it was idle: another one takes it
                    worker.end()
            for connection in wait([worker.connection for worker in self._busy.values()]):
                worker = self._busy.pop(connection)
                if (result := worker.take()) is not None:
                    self._idle.append(worker)
                    yield result
                    continue
                path, how = worker.path, worker.end()
                deaths[path] += 1
                if deaths[path] < TRIES:
                    waiting.append(path)
                else:
                    reason = f"{path}: {TRIES} processes ended that heard it ({how})"
                    yield Result(os.fsencode(path), stamp_of(path), "refused", reason)

    def close(self) -> None:
        """End all of them, whatever they do."""
        for worker in [*self._idle, *self._busy.values()]:
            worker.end()
        self._idle, self._busy = [], {}


class _Worker:
    def __init__(self, context: multiprocessing.context.SpawnContext, settings: Settings) -> None:
        self.connection, theirs = context.Pipe()
        self.path = ""
        self._process: SpawnProcess = context.Process(target=_work, args=(theirs, settings), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, path: str) -> bool:
        """Have a file heard; return whether there is still anybody to do it."""
        self.path = path
        try:
            self.connection.send(path)
        except OSError:
            return False
        return True

    def take(self) -> Result | None:
        """Return the result, or ``None`` if the process has died over it."""
        with suppress(EOFError, OSError):
            found = self.connection.recv()
            if isinstance(found, Result):
                return found
        return None

    def end(self) -> str:
        """End the process; return how it ended."""
        self.connection.close()
        self._process.join(0.2)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"status {code}"


def _work(connection: Connection, settings: Settings) -> None:
    """Hear files until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is for whoever started this
    logging.getLogger("auricle").setLevel(logging.ERROR)  # what is to be told of a file stands in its result
    from auricle.model import bundle
    from auricle.scan.listener import Listener

    cfg = settings.cfg
    listener = Listener(cfg, bundle.load(cfg.model, cfg.models_dir), channel=settings.channel, local=settings.local)
    with suppress(EOFError, OSError):
        while True:
            connection.send(listener.hear(connection.recv()))
