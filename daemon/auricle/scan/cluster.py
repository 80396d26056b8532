"""The workers of a Dask cluster share the units of work; how they are started, and where, is Dask's affair."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from auricle import __version__
from auricle.errors import ClusterError, ModelError, UsageError
from auricle.scan.work import Lost, Result, Settings, Unit
from auricle.scan.workers import KILLS

log = logging.getLogger("auricle")

CONNECT_S = 10.0
AHEAD = 2
"""Units sent for every thread of the cluster, so that none waits for the next."""
_COUNT_S = 2.0
"""How often the cluster's threads are counted: workers may come and go."""

_mine = threading.local()


class Cluster:
    """Has units of work heard by a cluster whose scheduler runs already.

    Args:
        address: of the scheduler, as ``tcp://host:8786``.

    Raises:
        UsageError: Dask is missing, or there is no scheduler.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise UsageError("--dask: Dask is missing; pip install 'auricle[dask]'") from None
        # What is to be told of a scheduler is told here, in a line; Dask gives each of its loggers a level of its own.
        for name in ["tornado", *logging.root.manager.loggerDict]:
            if name.partition(".")[0] in ("tornado", "distributed"):
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            self._client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as e:
            said = str(e).splitlines()[0] if str(e) else type(e).__name__
            raise UsageError(f"--dask: no scheduler at {address} ({said}); start one with: dask scheduler") from None
        self._address = address
        self._threads, self._counted_s = -1, -_COUNT_S

    def hear(self, settings: Settings, units: Iterable[Unit]) -> Iterator[tuple[Unit, Result | Lost]]:
        """Yield what came of every unit, in the order in which they are done; units are drawn as they are needed.

        Raises:
            ClusterError: the scheduler is gone, or a worker cannot hear at all.
        """
        from distributed import as_completed

        drawn, done = iter(units), as_completed(loop=self._client.loop)
        sent: dict[str, tuple[Unit, Any]] = {}
        kills = Counter[str]()
        more = True
        while True:
            while more and len(sent) < AHEAD * self._count():
                if (unit := next(drawn, None)) is None:
                    more = False
                else:
                    self._send(settings, unit, 0, sent, done)
            if not sent:
                return
            future = next(done)
            unit, _ = sent.pop(future.key)
            if future.status == "finished":
                yield unit, self._told(future.result)
            elif future.status == "error":
                error = self._told(future.exception)
                if type(error).__name__ != "KilledWorker":
                    raise ClusterError(f"--dask: a worker cannot hear: {_line(error)}")
                kills[unit.key] += 1 + _allowed()
                if kills[unit.key] >= KILLS:
                    yield unit, Lost(f"{kills[unit.key]} workers of the cluster ended that heard it")
                else:
                    self._send(settings, unit, kills[unit.key], sent, done)
            else:
                raise self._gone()

    def close(self) -> None:
        """Take back what waits, and leave the cluster as it is."""
        self._client.close(timeout=CONNECT_S)

    def _send(self, settings: Settings, unit: Unit, tried: int, sent: dict[str, tuple[Unit, Any]], done: Any) -> None:
        key = f"auricle-{unit.key}-{tried}-{time.monotonic_ns()}"  # what another client left must not be taken for it
        future = self._client.submit(hear, settings, unit, __version__, key=key, pure=False)
        sent[key] = unit, future
        done.add(future)

    def _count(self) -> int:
        """Return how many threads the cluster has, at least one: units wait where there is nobody yet."""
        if (now_s := time.monotonic()) - self._counted_s >= _COUNT_S:
            self._counted_s = now_s
            threads = sum(self._told(self._client.nthreads).values())
            if not threads and self._threads != threads:
                log.warning("--dask: the cluster has no worker; waiting for one")
            self._threads = threads
        return max(1, self._threads)

    def _told(self, ask: Any) -> Any:
        try:
            return ask()
        except (OSError, TimeoutError):
            raise self._gone() from None

    def _gone(self) -> ClusterError:
        hint = "start it, and give the same command again"
        return ClusterError(f"--dask: the scheduler at {self._address} is gone; {hint}")


def hear(settings: Settings, unit: Unit, version: str) -> Result:
    """Hear a unit in a worker of a cluster; each of its threads has a listener of its own.

    Raises:
        ModelError: what is installed here is not what the scan was begun with.
    """
    from auricle.model import bundle
    from auricle.scan.listener import Listener
    from auricle.stages import allocator

    if getattr(_mine, "settings", None) != settings:
        if version != __version__:
            raise ModelError(f"{socket.gethostname()} has auricle {__version__}, the scan {version}; install the same")
        allocator.keep_freed()
        model = bundle.load(settings.cfg.model, settings.cfg.models_dir)
        if model.hash != settings.model:
            raise ModelError(f"{socket.gethostname()}: {model.path} differs from the scan's model; put the same there")
        _mine.listener, _mine.settings = Listener(settings, model), settings
    listener: Listener = _mine.listener
    return listener.hear(unit)


def _allowed() -> int:
    """Return how often Dask itself gives a unit to another worker when one dies."""
    import dask

    return int(dask.config.get("distributed.scheduler.allowed-failures", 3))


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
