"""Subscribers that do not keep up: what they lose, what others do not, and what the publisher pays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from auricle import messages
from auricle.messages import Status
from auricle.publish.publisher import Publisher
from auricle.publish.zeromq import Socket

LIMIT_S = 30.0
QUEUE, MANY, BYTES = 200, 8000, 8192
"""Far more than the queue and the system's own buffers hold: 64 MB."""

Connect = Callable[..., "zmq.Socket[bytes]"]


class Voice:
    """A publisher's socket that counts aloud, and what it pays for that."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.told: list[Status] = []
        self.n = 0
        self.sends_s: list[float] = []
        self.socket = Socket(context, endpoint, queue=QUEUE)
        publisher = Publisher("test", [self._hear])
        self.socket.greet(publisher, None)

    def say(self, times: int = 1) -> None:
        """The next numbers, and what the engine does between them."""
        for _ in range(times):
            self.n += 1
            began_s = time.monotonic()
            self.socket("count.", str(self.n).encode().ljust(BYTES))
            self.sends_s.append(time.monotonic() - began_s)
        self.socket.serve()

    def _hear(self, topic: str, payload: bytes) -> None:
        message = messages.decode(payload)
        assert isinstance(message, Status)
        self.told.append(message)


@pytest.fixture(params=["tcp", "ipc", "abstract"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of every kind that has connections."""
    name = f"auricle-test-{os.getpid()}"
    return {"tcp": "tcp://127.0.0.1:*", "ipc": f"ipc://{tmp_path}/s", "abstract": f"ipc://@{name}"}[request.param]


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """All that is opened in it is closed."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def connect(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[Connect]:
    """Gives bare subscribers whose subscription is in force."""
    made: list[zmq.Socket[bytes]] = []

    def connect(voice: Voice) -> zmq.Socket[bytes]:
        made.append(socket := context.socket(zmq.SUB))
        socket.rcvhwm = 10
        socket.subscribe("count.")
        socket.connect(voice.socket.endpoint)
        deadline_s = time.monotonic() + LIMIT_S
        while not socket.poll(5):
            assert time.monotonic() < deadline_s
            voice.say()
        return socket

    yield connect
    for socket in made:
        socket.close(0)


def heard(socket: zmq.Socket[bytes]) -> list[int]:
    """The numbers that have come; each message whole."""
    found = []
    while socket.poll(0):
        topic, payload = socket.recv_multipart(zmq.DONTWAIT)
        assert topic == b"count."
        assert len(payload) == BYTES
        found.append(int(payload))
    return found


def whole(numbers: list[int]) -> bool:
    """Whether there is no hole."""
    return numbers == list(range(numbers[0], numbers[-1] + 1))


def catch_up(voice: Voice, socket: zmq.Socket[bytes], numbers: list[int]) -> None:
    """Read until the newest is heard."""
    deadline_s = time.monotonic() + LIMIT_S
    while not numbers or numbers[-1] < voice.n:
        assert time.monotonic() < deadline_s, f"{numbers[-1:]} of {voice.n}"
        socket.poll(5)
        numbers += heard(socket)


def resident_mb() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_the_oldest_go_and_the_newest_arrive(
    endpoint: str, context: zmq.Context[zmq.Socket[bytes]], connect: Connect
) -> None:
    """Who reads has no hole; who does not is cut, and reading on has one, before the newest; nobody waits for it.

    It is told once, memory does not grow with what is published, and no message comes in parts.
    """
    voice = Voice(context, endpoint)
    slow = connect(voice)
    reader = connect(voice)
    before, all_of_it = resident_mb(), heard(reader)
    deadline_s = time.monotonic() + LIMIT_S
    while voice.n < MANY or not voice.socket.cut:
        assert time.monotonic() < deadline_s
        voice.say(10)
        catch_up(voice, reader, all_of_it)
    assert resident_mb() - before < MANY * BYTES / 2**20 / 2
    late = heard(slow)
    fresh: list[int] = []
    since = voice.n
    while not late or late[-1] <= since:
        assert time.monotonic() < deadline_s
        voice.say()
        catch_up(voice, reader, all_of_it)
        slow.poll(5)
        late += heard(slow)
    catch_up(voice, slow, late)
    assert whole(all_of_it)
    fresh = [n for n in late if n > since]
    stale = [n for n in late if n <= since]
    assert whole(fresh)
    assert whole(stale)
    assert len(stale) < since / 2
    assert voice.socket.cut == 1
    assert [(each.state, each.source) for each in voice.told] == [("slow", None)]
    assert "cut off 1 " in voice.told[0].detail
    voice.sends_s.sort()
    assert voice.sends_s[-len(voice.sends_s) // 1000] < 0.05
    voice.socket.close(0)


def test_who_is_behind_for_a_moment_is_not_cut(
    endpoint: str, context: zmq.Context[zmq.Socket[bytes]], connect: Connect
) -> None:
    """Of two whose queues are full the one that reads on keeps its connection and all that waits; the other is cut."""
    voice = Voice(context, endpoint)
    stuck, behind = connect(voice), connect(voice)
    deadline_s = time.monotonic() + LIMIT_S
    voice.say(MANY)  # now both are full
    numbers: list[int] = []
    while not voice.told:
        assert time.monotonic() < deadline_s
        numbers += heard(behind)
        voice.socket.serve()
    voice.say()
    catch_up(voice, behind, numbers)
    assert voice.socket.cut == 1
    assert len(numbers) > QUEUE
    assert numbers == sorted(set(numbers))
    assert len(heard(stuck)) < len(numbers)
    voice.socket.close(0)


def test_who_reads_too_slowly_comes_back_to_the_present(
    endpoint: str, context: zmq.Context[zmq.Socket[bytes]], connect: Connect
) -> None:
    """Who reads one message in ten for ever is cut again and again, and each time it then hears what is new."""
    voice = Voice(context, endpoint)
    slow = connect(voice)
    numbers = heard(slow)
    deadline_s = time.monotonic() + LIMIT_S

    def behind() -> int:
        assert time.monotonic() < deadline_s
        voice.say(10)
        if slow.poll(1):
            numbers.append(int(slow.recv_multipart()[1]))
        return voice.n - numbers[-1]

    for cut in range(2):
        while voice.socket.cut == cut:
            most = behind()
        assert most > QUEUE
        while behind() > QUEUE:
            pass
    assert numbers == sorted(set(numbers))
    voice.socket.close(0)


def test_without_connections_the_newest_are_dropped(context: zmq.Context[zmq.Socket[bytes]], connect: Connect) -> None:
    """Inside one process (inproc) there is nothing to cut: nobody waits, it is told, and the oldest are heard."""
    voice = Voice(context, "inproc://here")
    slow = connect(voice)
    deadline_s = time.monotonic() + LIMIT_S
    while not voice.told:
        assert time.monotonic() < deadline_s
        voice.say(QUEUE)
    assert voice.told[0].state == "slow"
    assert voice.socket.cut == 0
    numbers = heard(slow)
    assert whole(numbers)
    assert len(numbers) <= QUEUE + 10
    assert numbers[-1] < voice.n
    voice.socket.close(0)
