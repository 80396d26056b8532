"""Connections that send without a pause are cut off beside the engine; whoever says what one may say is not."""

from __future__ import annotations

import os
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from auricle.publish import subscriptions
from auricle.publish.connections import Address
from auricle.publish.floods import Floods

LIMIT_S = 30.0
ALL_ONE_MAY_SAY = subscriptions.PREFIX_BYTES + 10 * subscriptions.SUBSCRIPTIONS


@dataclass
class Place:
    """Holds a listening socket, those who came to it, and what watches them."""

    listening: sockets.socket
    address: Address
    floods: Floods
    thread: threading.Thread

    def comes(self) -> tuple[sockets.socket, sockets.socket]:
        """Somebody connects, and is watched; return that end, and ours."""
        there = sockets.socket(self.listening.family)
        there.connect(self.listening.getsockname())
        here, _ = self.listening.accept()
        here.setblocking(False)
        self.floods.watch(here.fileno())
        return there, here


@pytest.fixture(params=["tcp", "ipc"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place of either kind; afterwards the thread has ended."""
    family, where = {"tcp": (sockets.AF_INET, ("127.0.0.1", 0)), "ipc": (sockets.AF_UNIX, str(tmp_path / "s"))}[
        request.param
    ]
    with sockets.socket(family) as listening:
        listening.bind(where)
        listening.listen()
        name = listening.getsockname()
        address = name[1] if request.param == "tcp" else name
        before = set(threading.enumerate())
        floods = Floods(address)
        (thread,) = set(threading.enumerate()) - before
        yield Place(listening, address, floods, thread)
        if thread.is_alive():
            floods.finish(0)
        until(lambda: not thread.is_alive())


def until(ready: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline_s = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def ended(here: sockets.socket) -> bool:
    """Whether nothing waits and nothing can come any more."""
    try:
        return here.recv(1, sockets.MSG_DONTWAIT | sockets.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def sends(there: sockets.socket, size: int, pause_s: float = 0.001) -> None:
    """Send on and on, until that is impossible."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        try:
            there.send(b"x" * size)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            return
        time.sleep(pause_s)
    pytest.fail("nobody hung up")


def test_who_sends_without_a_pause_is_cut_off(place: Place) -> None:
    """Whoever sends on and on, whether it is read or not, is hung up on and counted once; what waited is gone, and so
    ZeroMQ finds nothing more to take up. Another one, silent, stays."""
    silent, left_alone = place.comes()
    there, here = place.comes()
    with silent, left_alone, there, here:
        there.setblocking(False)
        sends(there, 4096)
        until(lambda: ended(here))
        until(lambda: place.floods.cut() == 1)
        assert place.floods.cut() == 0
        assert not ended(left_alone)


def test_little_by_little_is_a_flood_as_well(place: Place) -> None:
    """A byte at a time, sent again as soon as it was read, is cut off too: whoever reads finds no end either."""
    there, here = place.comes()
    with there, here:
        sends(there, 40, pause_s=0.003)
        until(lambda: place.floods.cut() == 1)


def test_all_that_one_may_say_may_wait(place: Place) -> None:
    """As many bytes as the most subscriptions have are no flood, though nobody reads them; they can be read later."""
    there, here = place.comes()
    flooding, cut = place.comes()
    with there, here, flooding, cut:
        there.sendall(b"x" * ALL_ONE_MAY_SAY)
        # Looked at meanwhile: the other one came after it, and is found.
        flooding.sendall(b"x" * 4 * ALL_ONE_MAY_SAY)
        until(lambda: ended(cut))
        assert len(here.recv(1 << 20)) == ALL_ONE_MAY_SAY
        assert not ended(here)


def test_at_the_end_all_are_hung_up_on(place: Place) -> None:
    """Who is there when the socket was closed is hung up on after the time for what waits; the thread ends, and its
    descriptors come back."""
    before = len(os.listdir("/proc/self/fd"))
    there, here = place.comes()
    with there, here:
        place.floods.finish(0.05)
        until(lambda: ended(here))
    until(lambda: not place.thread.is_alive())
    assert len(os.listdir("/proc/self/fd")) == before - 2


def test_it_may_see_the_end_before_it_is_woken_for_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is awake when the end is told: what wakes it is not closed before it was written to, when the number
    may be another file's."""
    write = os.eventfd_write

    def later(number: int, value: int) -> None:
        write(number, value)
        place.thread.join(0.5)  # all the time it needs to be done, if nothing holds it
        write(number, value)

    monkeypatch.setattr(os, "eventfd_write", later)
    place.floods.finish(0)
    until(lambda: not place.thread.is_alive())
