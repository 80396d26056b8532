"""The publisher: numbers, welcomes, slow subscribers, and who may connect."""

from __future__ import annotations

import grp
import json
import os
import random
import socket as sockets
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from auricle.errors import EndpointError
from auricle.publish import zeromq as module
from auricle.publish.connections import address_of, connections
from auricle.publish.endpoint import bind
from auricle.publish.publisher import Publisher
from auricle.publish.zeromq import Socket
from helpers.wire import Daemon, daemon

Context = zmq.Context


Connect = Callable[..., "zmq.Socket[bytes]"]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Gives sockets of the subscribers' side: connected and subscribed, perhaps not yet in force."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = []

    def connect(endpoint: str, *topics: str, queue: int = 10_000, kind: int = zmq.SUB) -> zmq.Socket[bytes]:
        made.append(socket := context.socket(kind))
        socket.rcvhwm = queue
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(endpoint)
        return socket

    yield connect
    for socket in made:
        socket.close(0)
    context.term()


def welcomed(one: Daemon, socket: zmq.Socket[bytes], nonce: str) -> None:
    """Serve until this subscriber has its welcome."""
    socket.subscribe(f"welcome.{nonce}")
    deadline_s = time.monotonic() + 10
    topic = payload = b""
    while topic != f"welcome.{nonce}".encode():
        assert time.monotonic() < deadline_s
        one.serve()
        if socket.poll(2):
            topic, payload = socket.recv_multipart()
    assert json.loads(payload)["query"] == one.query.endpoint


def drain(socket: zmq.Socket[bytes]) -> list[tuple[str, int]]:
    """Topic and seq of what waits."""
    found = []
    while socket.poll(200):
        topic, payload = socket.recv_multipart()
        found.append((topic.decode(), json.loads(payload)["seq"]))
    return found


def test_seq_counts_every_exact_topic(tmp_path: Path) -> None:
    """A subscriber to one label sees no hole where others were told; two starts have different instances."""
    with daemon(tmp_path, store=False) as one:
        for label in ("rain", "siren", "rain", "siren"):
            one.event("onset", label)
            one.event("offset", label)
            one.scores()
        seqs = [(name, m.seq) for name, m in one.sent]
    assert [seq for name, seq in seqs if name == "event.porch.rain."] == [1, 2, 3, 4]
    assert [seq for name, seq in seqs if name == "score.porch."] == [1, 2, 3, 4]
    assert Publisher("a", []).instance != Publisher("a", []).instance


def test_what_is_told_after_the_welcome_arrives(tmp_path: Path, connect: Connect) -> None:
    """No first message is lost: 50 subscribers, one after the other, each has the very next one after its welcome."""
    with daemon(tmp_path, store=False) as one:
        for n in range(50):
            socket = connect(one.endpoint, "event.", "score.porch.")
            welcomed(one, socket, f"n{n}")
            one.scores()
            assert socket.poll(5000)
            topic, payload = socket.recv_multipart()
            assert (topic, json.loads(payload)["seq"]) == (b"score.porch.", n + 1)
            socket.close(0)


def test_prefixes_do_not_reach_into_longer_names(tmp_path: Path, connect: Connect) -> None:
    """`event.porch.` takes nothing of a source called porch2, nor of one called porch.rain."""
    with daemon(tmp_path, store=False) as one:
        socket = connect(one.endpoint, "event.porch.")
        welcomed(one, socket, "a")
        for source in ("porch2", "porch.rain", "porch"):
            one.event("onset", source=source)
        assert drain(socket) == [("event.porch.rain.", 1)]


def test_a_hundred_subscribers_of_which_ten_never_read(tmp_path: Path, connect: Connect) -> None:
    """The ninety miss nothing; the ten cost the publisher neither time nor more memory than their queues."""
    queue, sent = 100, 600
    with daemon(tmp_path, store=False, queue=queue) as one:
        deaf = [connect(one.endpoint, "event.", queue=1) for _ in range(10)]
        reading = [connect(one.endpoint, "event.") for _ in range(90)]
        for n, socket in enumerate(reading):
            welcomed(one, socket, f"r{n}")
        got: list[list[tuple[str, int]]] = [[] for _ in reading]
        slowest_s = 0.0
        for n in range(sent):
            began_s = time.monotonic()
            one.event("onset" if n % 2 == 0 else "offset")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            if n % 50 == 49:
                for socket, found in zip(reading, got, strict=True):
                    while len(found) <= n:
                        assert socket.poll(5000), "an unhurried subscriber misses a message"
                        topic, payload = socket.recv_multipart()
                        if not topic.startswith(b"welcome."):  # who connects anew is welcomed anew
                            found.append((topic.decode(), json.loads(payload)["seq"]))
        whole = [("event.porch.rain.", n + 1) for n in range(sent)]
        assert all(found == whole for found in got)
        assert slowest_s < 0.5
        assert len(deaf) == 10


def test_who_is_stuck_for_a_while_misses_nothing_that_its_queue_holds(tmp_path: Path, connect: Connect) -> None:
    """Who takes nothing for a while keeps its connection, and reads on where it was."""
    with daemon(tmp_path, store=False, queue=500) as one:
        socket = connect(one.endpoint, "score.", queue=10)
        welcomed(one, socket, "a")
        for _ in range(100):
            one.scores()
        heard: list[int] = []
        while len(heard) < 100:
            assert socket.poll(5000)
            topic, payload = socket.recv_multipart()
            if topic.startswith(b"score."):
                heard.append(json.loads(payload)["seq"])
        assert heard == list(range(heard[0], heard[0] + 100))


def test_a_machine_that_has_gone_is_noticed_by_tcp() -> None:
    """Every connection asks whether the other machine is there, and gives it up after the time that the docs state; not
    by ZeroMQ's heartbeats, one of which ends the process where a client has filled its input and left."""
    with Context() as context, context.socket(zmq.SUB) as subscriber:
        one = Socket(context, "tcp://127.0.0.1:*")
        try:
            assert one.pollable.getsockopt(zmq.HEARTBEAT_IVL) == 0
            subscriber.connect(one.endpoint)
            deadline_s = time.monotonic() + 10
            while not (found := connections(address_of(one.endpoint))):
                assert time.monotonic() < deadline_s
            for connection in found:
                with connection:
                    idle, between, times, limit_ms = (
                        connection.getsockopt(sockets.IPPROTO_TCP, getattr(sockets, f"TCP_{name}"))
                        for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")
                    )
                    assert connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE) == 1
                assert idle + times * between == module.GIVEN_UP_S
                assert limit_ms == 1000 * module.GIVEN_UP_S
        finally:
            one.close()


def test_an_ipc_endpoint_is_for_owner_and_group(tmp_path: Path) -> None:
    """Both sockets have mode 0660 and the stated group, from the bind on and whatever the umask."""
    group = grp.getgrgid(os.getgid()).gr_name
    before = os.umask(0)
    try:
        with Context() as context, context.socket(zmq.XPUB) as socket:
            bind(socket, f"ipc://{tmp_path}/s", group=group)
            found = (tmp_path / "s").stat()
    finally:
        os.umask(before)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == os.getgid()
    with daemon(tmp_path, store=False):
        assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("events", "query")] == [0o660, 0o660]


AS_ANOTHER = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(65534)
for name in ("events", "query"):
    try:
        socket.socket(socket.AF_UNIX).connect(f"{sys.argv[1]}/{name}")
        print("in")
    except PermissionError:
        print("refused")
"""


def test_another_user_comes_in_by_the_group_alone(require: Callable[[bool, str], None]) -> None:
    """A process of uid 65534 is refused at both sockets, and let in where it is in their group."""
    require(os.getuid() == 0, "root, to be another user")
    with tempfile.TemporaryDirectory() as name:  # where all may go in, as pytest's own are not
        folder = Path(name)
        folder.chmod(0o755)
        with daemon(folder, store=False):
            for at in ("events", "query"):
                os.chown(folder / at, -1, 12345)  # what `bind` does with a group of a name
            for group, found in ((65534, "refused"), (12345, "in")):
                done = subprocess.run(
                    [sys.executable, "-I", "-c", AS_ANOTHER, name, str(group)], capture_output=True, text=True
                )
                assert done.stdout.split() == [found, found], done.stderr


def test_a_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    """An unknown group is an error with its name and its key, not an endpoint for nobody or for everyone."""
    with Context() as context, pytest.raises(EndpointError, match=r"publish\.ipc_group: there is no group 'nobodies'"):
        Socket(context, f"ipc://{tmp_path}/s", group="nobodies")


def test_endpoints_that_cannot_be_bound(tmp_path: Path) -> None:
    """A living socket is not stolen, a stale one is taken over, another file is left alone; each is said in a line."""
    with daemon(tmp_path, store=False), Context() as context:
        with pytest.raises(EndpointError, match="another auricle may be running"):
            Socket(context, f"ipc://{tmp_path}/events")
        (tmp_path / "file").write_text("mine")
        with pytest.raises(EndpointError, match="no socket; move it away"):
            Socket(context, f"ipc://{tmp_path}/file")
        with pytest.raises(EndpointError, match="cannot be bound: No such file"):
            Socket(context, f"ipc://{tmp_path}/nowhere/s")
    with sockets.socket(sockets.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    with Context() as context:
        Socket(context, f"ipc://{tmp_path}/stale").close(0)
    assert (tmp_path / "file").read_text() == "mine"


def test_garbage_from_subscribers_changes_nothing(tmp_path: Path, connect: Connect) -> None:
    """5,000 random frames upstream of the publisher, subscriptions that never were among them: others hear on."""
    rng = random.Random(6)
    with daemon(tmp_path, store=False) as one:
        good = connect(one.endpoint, "event.")
        welcomed(one, good, "g")
        bad = connect(one.endpoint, kind=zmq.XSUB)
        for n in range(5000):
            frame = rng.randbytes(rng.choice([0, 1, 5, 40, 900, 70_000] if n % 500 == 0 else [0, 1, 5, 40]))
            if rng.random() < 0.5:
                frame = rng.choice([b"\x00", b"\x01", b"\x01welcome.", b"\x00event."]) + frame
            try:
                bad.send(frame, zmq.DONTWAIT | (zmq.SNDMORE if rng.random() < 0.1 else 0))
            except zmq.Again:
                one.serve()
            if n % 100 == 0:
                one.event("onset")
                one.event("offset")
                one.serve()
        for _ in range(100):
            one.serve()
        assert drain(good) == [("event.porch.rain.", n + 1) for n in range(100)]
