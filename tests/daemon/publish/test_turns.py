"""Those who are connected over TCP speak in turn: they are held, let in a little at a time, and found if they flood."""

from __future__ import annotations

import select
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from auricle.publish import turns
from auricle.publish.connections import waiting
from auricle.publish.floods import TOGETHER, Floods
from auricle.publish.turns import Turns

LIMIT_MS = 30_000


@dataclass
class Place:
    """Holds a listening socket, the turns of those who come there, and a clock that is set."""

    listening: sockets.socket
    stack: ExitStack
    turns: Turns
    now_s: float = 1000.0

    def comes(self) -> tuple[sockets.socket, sockets.socket]:
        """Somebody connects; return that end, and ours."""
        there = self.stack.enter_context(sockets.create_connection(self.listening.getsockname()))
        here = self.stack.enter_context(self.listening.accept()[0])
        self.turns.came(here.fileno(), self.now_s)
        return there, here

    def later(self, s: float) -> bool:
        """So much time passes, then there is a look at all."""
        self.now_s += s
        return self.turns.look(self.now_s)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place over TCP, where a look may take as long as it likes."""
    monkeypatch.setattr(turns, "LOOK_S", float("inf"))
    with ExitStack() as stack:
        listening = stack.enter_context(sockets.create_server(("127.0.0.1", 0), backlog=256))
        yield Place(listening, stack, Turns(listening.getsockname()[1]))


def tells(here: sockets.socket, within_ms: int = 0) -> bool:
    """Whether whoever waits for something to read here is told, as ZeroMQ would be."""
    poll = select.poll()
    poll.register(here, select.POLLIN)
    return bool(poll.poll(within_ms))


def waits(here: sockets.socket, n: int) -> None:
    """Wait until so many bytes are there."""
    deadline_s = time.monotonic() + LIMIT_MS / 1000
    while waiting(here.fileno()) < n:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def test_who_comes_speaks_at_once_and_then_in_turn(place: Place) -> None:
    """A newcomer is heard at once; later what it says waits until the next look, and after that turn again."""
    there, here = place.comes()
    there.sendall(b"at once")
    assert tells(here, LIMIT_MS)
    assert here.recv(100) == b"at once"
    place.later(turns.FREE_S)
    for said in (b"later", b"later still"):
        there.sendall(said)
        waits(here, len(said))
        assert not tells(here)
        assert not place.later(turns.TURN_S)
        assert tells(here, LIMIT_MS)
        assert here.recv(100) == said
        place.later(turns.TURN_S)


def test_all_together_are_let_in_a_little_at_a_time(place: Place) -> None:
    """Of forty who say 1,000 bytes each at once, so many may speak as have 16 KiB together; a second later 64 KiB have
    been let in, so that all have spoken, each once."""
    ends = [place.comes() for _ in range(40)]
    place.later(turns.FREE_S)
    for there, here in ends:
        there.sendall(b"x" * 1000)
        waits(here, 1000)
    place.later(1.0)
    heard = [here for _, here in ends if tells(here)]
    assert len(heard) == 17  # whoever begins with a byte left may say all
    for _ in range(int(1 / turns.TURN_S)):
        for here in heard:
            here.recv(2000)
        place.later(turns.TURN_S)
        heard = [here for _, here in ends if tells(here)]
    assert not any(tells(here) for _, here in ends)


def test_who_has_too_much_to_say_is_found_and_not_heard(place: Place) -> None:
    """More than 24 KiB are not let in but told of; nothing of it may be read."""
    there, here = place.comes()
    place.later(turns.FREE_S)
    there.sendall(b"x" * 30_000)
    waits(here, 30_000)
    assert place.later(turns.TURN_S)
    assert not tells(here)


def test_who_ends_is_told_of(place: Place) -> None:
    """The end of a connection that is held is seen at once."""
    there, here = place.comes()
    place.later(turns.FREE_S)
    there.close()
    assert tells(here, LIMIT_MS)
    assert here.recv(1) == b""


def test_nobody_is_held_where_that_is_impossible() -> None:
    """Over ipc nothing is done, since the kernel would not hold anybody."""
    without = Turns("/run/auricle/events")
    without.came(0, 0.0)
    assert not without.look(turns.FREE_S)


def test_too_many_words_of_all_together(place: Place) -> None:
    """Twenty of whom each says what one alone may, more than 64 KiB together: so many are cut off that what the rest
    says is less."""
    floods = Floods(place.listening.getsockname()[1])
    ends = [place.comes() for _ in range(20)]
    for _, here in ends:
        floods.watch(here.fileno())
    place.later(turns.FREE_S)
    for there, here in ends:
        there.sendall(b"x" * 8_000)
        waits(here, 8_000)
    floods.look()
    deadline_s = time.monotonic() + LIMIT_MS / 1000
    cut = 0
    while cut < 20 - TOGETHER // 8_000:
        assert time.monotonic() < deadline_s
        cut += floods.cut()
        time.sleep(0.001)
    for _, here in ends:
        here.close()
    floods.finish(0)
    assert cut == 20 - TOGETHER // 8_000
