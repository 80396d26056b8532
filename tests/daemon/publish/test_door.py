"""Clients are bounded: what one may take, what happens to more, and that it comes back when they go."""

from __future__ import annotations

import os
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from auricle.messages import Status
from auricle.publish import floods, subscriptions
from helpers.wire import Daemon, daemon

LIMIT_S = 20.0
MOST = 30

Change = Callable[[list[bytes]], None]


def descriptors() -> int:
    """Open in this process."""
    return len(os.listdir("/proc/self/fd"))


def resident_mb() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def until(one: Daemon, ready: Callable[[], bool]) -> None:
    """Serve until it is so."""
    deadline_s = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < deadline_s
        one.serve()
        one.publisher.tell("store", "so that something is sent")


def news(one: Daemon) -> list[str]:
    """What was told of clients."""
    return [m.detail for _, m in one.sent if isinstance(m, Status) and m.state == "crowded"]


def knock(path: str) -> sockets.socket:
    """A connection that says nothing."""
    one = sockets.socket(sockets.AF_UNIX)
    one.connect(path)
    return one


@pytest.mark.parametrize("which", ["events", "query"])
def test_connections_are_bounded(tmp_path: Path, which: str) -> None:
    """Of many connections at one socket so many stay and the rest are hung up on, counted and told; all comes back."""
    with daemon(tmp_path, most=MOST) as one:
        before = descriptors()
        door = one.socket.door if which == "events" else one.query.door
        callers = []
        for _ in range(4 * MOST):
            callers.append(knock(f"{tmp_path}/{which}"))
            one.serve()
        until(one, lambda: door.cut >= 3 * MOST and len(door.inside) <= MOST)
        assert descriptors() <= before + len(callers) + MOST
        assert any(f"more than {MOST} connections at a time" in line for line in news(one))
        for each in callers:
            each.close()
        until(one, lambda: not door.inside)
        until(one, lambda: descriptors() <= before)


def subscriber(one: Daemon, prefixes: list[bytes]) -> tuple[zmq.Context[zmq.Socket[bytes]], zmq.Socket[bytes]]:
    """Somebody who subscribes to all of these, in one go, and does not come back."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.XSUB)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    socket.sndhwm = 0
    socket.connect(one.endpoint)
    for prefix in prefixes:
        socket.send(b"\x01" + prefix)
    return context, socket


@pytest.mark.parametrize(
    ("prefixes", "why"),
    [
        ([f"{n:05}.".encode() for n in range(subscriptions.SUBSCRIPTIONS + 1)], "256 subscriptions"),
        ([f"{n:03}".encode().ljust(480, b"x") for n in range(18)], "8192 bytes of prefixes"),
    ],
)
def test_subscriptions_are_bounded(tmp_path: Path, prefixes: list[bytes], why: str) -> None:
    """One subscription, or one byte, too many ends that connection; up to the bound they are all in force."""
    with daemon(tmp_path) as one:
        context, socket = subscriber(one, prefixes[:-1])
        until(one, lambda: bool(socket.poll(0)) or one.socket.door.cut > 0 or _settled(one, prefixes[:-1]))
        assert one.socket.door.cut == 0
        socket.send(b"\x01" + prefixes[-1])
        until(one, lambda: one.socket.door.cut == 1 and bool(news(one)))
        assert why in news(one)[-1]
        context.destroy(linger=0)


def _settled(one: Daemon, prefixes: list[bytes]) -> bool:
    held = one.socket.subscriptions._held.values()
    return any(each.prefixes == set(prefixes) for each in held)


def test_changes_are_counted_by_the_second() -> None:
    """So many changes of one connection in a second are well, one more is not; in the next they are counted anew."""
    counted, most = subscriptions.Subscriptions(), subscriptions.CHANGES_PER_S
    for second_s in (1.0, 2.0):
        found = [counted.note(7, (b"\x01a", b"\0a")[n % 2], second_s) for n in range(most)]
        assert found == [None] * most
    assert counted.note(7, b"\x01a", 2.9) == (7, f"more than {most} changes of subscriptions a second")


def test_changing_subscriptions_without_end_is_bounded(tmp_path: Path) -> None:
    """Whoever subscribes and unsubscribes thousands of times a second is cut off; another one is not."""
    with daemon(tmp_path) as one:
        calm, reader = subscriber(one, [b"status."])
        until(one, lambda: bool(reader.poll(0)))
        context, socket = subscriber(one, [])
        for n in range(5000):
            socket.send(b"\x01a" if n % 2 == 0 else b"\0a")

        def told() -> bool:
            while reader.poll(0):  # or its own queue would run full meanwhile
                reader.recv_multipart()
            # ZeroMQ connects anew by itself, so that it may have been cut off a second time meanwhile.
            return one.socket.door.cut >= 1 and bool(news(one))

        until(one, told)
        # On a busy machine more waits than is taken up, and the watch over floods is first.
        assert any(why in news(one)[-1] for why in ("changes of subscriptions a second", floods.WHY))
        until(one, lambda: bool(reader.poll(1)))
        context.destroy(linger=0)
        calm.destroy(linger=0)


FLOOD = """
import sys, zmq
context = zmq.Context()
socket = context.socket(zmq.XSUB)
socket.sndhwm = 0
socket.setsockopt(zmq.RECONNECT_IVL, -1)
socket.connect(sys.argv[1])
for n in range(4000):
    socket.send(b"\\x01" + str(n).encode().ljust(500, b"x"))
sys.stdin.read()
"""


def test_megabytes_of_prefixes_are_not_held(tmp_path: Path) -> None:
    """Two megabytes of prefixes from another process cost less than 10 MB (unbounded: 94 MB), and nothing is kept."""
    with daemon(tmp_path) as one:
        one.serve()
        before = highest = resident_mb()
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, one.endpoint], stdin=subprocess.PIPE)
        deadline_s = time.monotonic() + LIMIT_S
        while one.socket.door.cut == 0 or one.socket.door.inside:
            assert time.monotonic() < deadline_s
            one.serve()
            highest = max(highest, resident_mb())
        flood.communicate(timeout=LIMIT_S)
        assert highest - before < 10
        assert not one.socket.subscriptions._held
