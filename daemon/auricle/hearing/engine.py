"""The engine is the heart of `run` and `replay`: it takes pieces from every source through its lane, at the pace of the
sound."""

from __future__ import annotations

import gc
import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Protocol

import msgspec
import zmq

from auricle import messages
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.publish.publisher import Publisher

log = logging.getLogger("auricle")

HEALTH_INTERVAL_S = 1.0
IDLE_S = 0.5
"""The longest sleep; a source that will be ready sooner says so through `due_s`."""
ATTEND_S = 0.1
"""Attendants are served when their sockets can be read, and at this interval in any case, since some keep time."""
TROUBLE_S, TROUBLES = 60.0, 64
"""The same error is published once in so long; so many different ones are remembered."""
SURVIVED = (OSError, MemoryError, msgspec.ValidationError)
"""The daemon goes on after such errors: they are not the fault of the round in which they come."""
MANY, TICK_S = 8, 0.01
"""From so many sources on, all are heard on a common beat, so that the sound of several is computed at once, and always
of the same ones."""


class Stop:
    """Carries the request to end, made by SIGTERM, by SIGINT or by another part of the process, and wakes the engine at
    once."""

    def __init__(self) -> None:
        self.asked = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Return a descriptor that can be read once a signal has come."""
        return self._read

    def ask(self, *_: object) -> None:
        """Ask the engine to end; may be called from a signal handler or a thread."""
        self.asked = True
        self.wake()

    def wake(self) -> None:
        """Make the engine begin its next round now; from a signal handler or a thread as well."""
        with suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._write, b"!")

    def slept(self) -> None:
        """Forget the wishes to be woken, now that the engine is awake."""
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Turn SIGTERM and SIGINT into a request to stop, inside this block."""
        before = {number: signal.signal(number, self.ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)


class Attendant(Protocol):
    """An attendant is something beside the sound that the engine's thread sees to: a socket with questions, a
    history."""

    @property
    def pollable(self) -> zmq.Socket[bytes] | None:
        """Return the socket that wakes the engine when it can be read, if there is one."""

    @property
    def resting(self) -> bool:
        """Return whether what can be read there has to wait, so that the engine may sleep all the same."""

    def serve(self) -> None:
        """Do what waits, a little of it, without blocking."""


class Meter:
    """Measures what the process costs and how it fares, and publishes `health`."""

    def __init__(self, publisher: Publisher, lanes: Sequence[Lane]) -> None:
        self._publisher = publisher
        self._lanes = lanes
        self._began_s = self._last_s = time.monotonic()
        self._next_s = self._began_s + HEALTH_INTERVAL_S
        self._cpu_s = time.process_time()
        self._page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
        # Open from the start: when no descriptor is left, health is wanted most.
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def tick(self, now_s: float) -> None:
        """Publish `health` when it is due."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + HEALTH_INTERVAL_S
        cpu_s = time.process_time()
        elapsed_s = max(now_s - self._last_s, 1e-6)
        self._publisher.send("health.", self._message(now_s, 100 * (cpu_s - self._cpu_s) / elapsed_s))
        self._cpu_s, self._last_s = cpu_s, now_s

    def close(self) -> None:
        """Close the file that the memory is read from."""
        os.close(self._statm)

    def _message(self, now_s: float, cpu_percent: float) -> messages.Health:
        rss_mb = int(os.pread(self._statm, 256, 0).split()[1]) * self._page_mb
        latencies = sorted(latency for lane in self._lanes for latency in lane.reporter.latencies_ms)
        return messages.Health(
            node=self._publisher.node,
            instance=self._publisher.instance,
            seq=0,
            source=None,
            model=None,
            t=messages.rfc3339(time.time_ns() // 1000),
            sample=None,
            uptime_s=round(now_s - self._began_s, 3),
            sources={lane.name: lane.health(now_s) for lane in self._lanes},
            last_seq=dict(self._publisher.last_seq),
            latency_p99_ms=latencies[math.ceil(0.99 * len(latencies)) - 1] if latencies else None,
            cpu_percent=round(cpu_percent, 2),
            rss_mb=round(rss_mb, 2),
        )


class Trouble:
    """Survives errors of the system in the engine's own round: each is published, and the daemon goes on.

    Such are: no descriptor, memory or space is left, or a file has gone; and a message that its own schema refuses,
    which went to nobody. What failed is tried again with the next round. Errors of a single source are its lane's.

    Args:
        publisher: publishes each, once in `TROUBLE_S`.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._next_s: dict[str, float] = {}

    def survive(self, what: str, action: Callable[[], object]) -> None:
        """Do the action; what it raises of `SURVIVED` is published."""
        try:
            action()
        except SURVIVED as e:
            detail = f"{what}: {getattr(e, 'strerror', None) or str(e) or 'no memory is left'}"
            now_s = time.monotonic()
            if now_s < self._next_s.get(detail, now_s):
                return
            if len(self._next_s) >= TROUBLES:
                self._next_s.clear()
            self._next_s[detail] = now_s + TROUBLE_S
            log.warning("%s; hearing goes on", detail, exc_info=e)
            self._publisher.tell("trouble", f"{detail}; hearing goes on")


def run(
    lanes: Sequence[Lane],
    publisher: Publisher,
    stop: Stop,
    *,
    progress: Callable[[], None] | None = None,
    attendants: Sequence[Attendant] = (),
) -> None:
    """Hear until every source is done or a stop is asked for.

    Args:
        lanes: their sources are open.
        progress: called after every round, for a progress bar; may add lanes and take some away.
        attendants: served at once when their sockets can be read, and every `ATTEND_S`; without a socket, every round.
    """
    with closing(Meter(publisher, lanes)) as meter:
        _rounds(lanes, publisher, stop, meter, progress, attendants)
    for lane in lanes:
        lane.close()
        lane.tell("stopped")


def _rounds(
    lanes: Sequence[Lane],
    publisher: Publisher,
    stop: Stop,
    meter: Meter,
    progress: Callable[[], None] | None,
    attendants: Sequence[Attendant],
) -> None:
    # What was allocated until now stays: searching all of it for garbage takes longer than a tick may.
    gc.freeze()
    together, trouble = Together(), Trouble(publisher)
    # The descriptors themselves: `zmq.Poller` asks every socket before its sleep and after it, in as many system calls.
    sleeper = select.poll()
    sleeper.register(stop.fileno(), select.POLLIN)
    sockets = {
        int(socket.get(zmq.FD)): socket for socket in (each.pollable for each in attendants) if socket is not None
    }
    asked = [(socket, zmq.POLLIN) for socket in sockets.values()]
    for descriptor in sockets:
        sleeper.register(descriptor, select.POLLIN)
    news: set[object] = set(sockets.values())
    beat_s = 0.0
    while not stop.asked and not all(lane.source.done for lane in lanes):
        now_s = time.monotonic()
        # On the common beat the time is the beat's: waking a little late does not bring the next one's sources along,
        # and those that are heard together stay the same.
        _hear(lanes, together, now_s if len(lanes) < MANY else TICK_S * math.floor(now_s / TICK_S))
        trouble.survive("health", lambda: meter.tick(time.monotonic()))
        beat = now_s >= beat_s
        beat_s = now_s + ATTEND_S if beat else beat_s
        for attendant in attendants:
            if beat or attendant.pollable is None or attendant.pollable in news:
                trouble.survive(type(attendant).__name__.lower(), attendant.serve)
        if progress is not None:
            progress()
        now_s = time.monotonic()
        due_s = min((lane.source.due_s(now_s) for lane in lanes if not lane.source.done), default=now_s)
        if len(lanes) >= MANY and due_s != now_s:  # at full speed a source is due whenever it is asked
            due_s = TICK_S * math.ceil(due_s / TICK_S)
        wait_s = min(due_s - now_s, IDLE_S)
        # Asked before every sleep: a descriptor tells of news once, and sending on its socket may have taken note. By
        # this call, since other threads run meanwhile; the sockets' own `EVENTS` holds the interpreter.
        news = {socket for socket, _ in zmq.zmq_poll(asked, 0)}
        news -= {attendant.pollable for attendant in attendants if attendant.resting}
        if wait_s > 0 and not news and (woken := sleeper.poll(math.ceil(wait_s * 1000))):
            news = {sockets[descriptor] for descriptor, _ in woken if descriptor in sockets}
            stop.slept()


def _hear(lanes: Sequence[Lane], together: Together, now_s: float) -> None:
    """Do one tick: take every source's pieces in turn, a block of sound of each at a time, all of these computed
    together."""
    polls = [(lane, iter(lane.source.poll(now_s))) for lane in lanes if lane.source.due_s(now_s) <= now_s]
    while polls:
        polls = [(lane, pieces) for lane, pieces in polls if lane.draw(pieces)]
        if failed := together.hear((lane for lane, _ in polls), now_s):
            polls = [(lane, pieces) for lane, pieces in polls if lane not in failed]
