"""A daemon in its own process among clients who mean it harm: it hears on, and what they took comes back."""

from __future__ import annotations

import resource
import select
import signal
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auricle.client import AskStatus, Client, Report, ask
from auricle.publish.zeromq import SUBSCRIBERS
from helpers.running import LIMIT_S, Running, hears, running, until_back, wait_for

CROWD = """
import encodings.idna, os, socket, sys
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
held = []
for port in map(int, sys.argv[2:]):
    for _ in range(int(sys.argv[1])):
        try:
            held.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
        except OSError:
            pass
print(len(held), flush=True)
sys.stdin.read()
"""
FLOOD = """
import itertools, os, sys, zmq
context = zmq.Context()
sockets = []
for _ in range(20):
    sockets.append(socket := context.socket(zmq.XSUB))
    socket.sndhwm = 0
    socket.setsockopt(zmq.RECONNECT_IVL, 10)
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for socket in sockets:
    socket.connect(sys.argv[1])
for n in itertools.count():
    for i, socket in enumerate(sockets):
        try:
            socket.send(b"\\1" + f"{i}.{n}".encode().ljust(500, b"x"), zmq.DONTWAIT)
        except zmq.Again:
            pass
"""
"""Twenty connections that subscribe as fast as they can, to 500 bytes each, and come back whenever they are cut off."""

TOGETHER = """
import encodings.idna, os, select, socket, sys
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
many, port = int(sys.argv[1]), int(sys.argv[2])
hello = b"\\xff" + bytes(8) + b"\\x7f\\x03\\x00" + b"NULL".ljust(52, b"\\0")
ready = b"\\x05READY\\x0bSocket-Type" + (3).to_bytes(4, "big") + b"SUB"
hello += b"\\x04" + bytes([len(ready)]) + ready
held = []
for _ in range(many):
    each = socket.create_connection(("127.0.0.1", port), timeout=60)
    each.sendall(hello)
    said = b""
    while len(said) <= 64:  # a greeting, and READY to whoever is let in
        said += each.recv(4096) or sys.exit("hung up on")
    each.setblocking(False)
    held.append(each)
print("quiet", flush=True)
sys.stdin.readline()
flood = {}
for n, each in enumerate(held):
    words = (b"\\x01%d.%d." % (n, i) for i in range(1000))
    flood[each] = b"".join(b"\\x00" + bytes([240]) + word.ljust(240, b"x") for word in words)
print("flooding", flush=True)
while flood:
    for each in select.select([], flood, [])[1]:
        try:
            each.send(flood[each])
        except BlockingIOError:
            pass
        except OSError:
            del flood[each]
print("all cut off", flush=True)
"""
"""So many connections that greet as subscribers do and are quiet; at a word they subscribe together, without a pause
and to 240 bytes each time, until they are cut off."""


@contextmanager
def crowd(one: Running, each: int) -> Iterator[None]:
    """So many silent connections at each port, of another user where we may be another."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", CROWD, str(each), *one.ports], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > each
        yield
    finally:
        process.communicate(timeout=LIMIT_S)


@contextmanager
def flood(one: Running) -> Iterator[None]:
    """Subscriptions without a pause, of another user where we may be another; they are being cut off already."""
    process = subprocess.Popen([sys.executable, "-c", FLOOD, one.events])
    try:
        wait_for(lambda: "connections were cut off" in one.log or process.poll() is not None, "the flood is cut off")
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def resident_mb(one: Running) -> float:
    """Memory of the daemon."""
    return int(Path(f"/proc/{one.process.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def test_a_thousand_connections_by_another_user(tmp_path: Path) -> None:
    """Of 1,100 silent connections at each socket 64 stay where events are published, 400 where questions are asked; no
    decision is lost, all descriptors come back."""
    with running(tmp_path) as one, Client(one.events, topics=["score."]) as client:
        seqs = hears(client, 5)
        before = one.descriptors()
        with crowd(one, 1100):
            seqs += hears(client, 10)
            until_back(one, before + 64 + 400)  # those hung up on go a moment later
        until_back(one, before)
        seqs += hears(client, 5)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert ask(one.query, AskStatus(), Report).sources["porch"].lost_samples == 0
        assert "Traceback" not in one.log
        assert "more than 64 connections at a time" in one.log or "more than 400" in one.log


def test_no_descriptor_left(tmp_path: Path) -> None:
    """With no descriptor left at all it hears on, keeps its history and tells its health; then all is as before."""
    with running(tmp_path) as one, Client(one.events, topics=["score.", "health."]) as client:
        hears(client, 5)
        before = one.descriptors()
        _, hard = limits = resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (before + 2, hard))
        with crowd(one, 20):
            seqs = hears(client, 20)
            assert seqs == list(range(seqs[0], seqs[0] + 20))
        resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, limits)
        until_back(one, before)
        with sockets.create_connection(("127.0.0.1", int(one.ports[1]))):
            assert ask(one.query, AskStatus(), Report).hearing


@pytest.mark.alone
def test_a_flood_of_subscriptions_by_another_user(tmp_path: Path) -> None:
    """Twenty connections that subscribe without a pause while 50 decisions are taken: none is lost, questions are
    answered, memory grows by less than 100 MB (unbounded: 1,500 in 6 s), and all descriptors come back."""
    with running(tmp_path) as one, Client(one.events, topics=["score."]) as client:
        seqs = hears(client, 5)
        before, before_mb = one.descriptors(), resident_mb(one)
        with flood(one):
            for _ in range(5):
                seqs += hears(client, 10)
                assert ask(one.query, AskStatus(), Report, timeout_s=LIMIT_S).hearing
            highest_mb = resident_mb(one)
        until_back(one, before)
        seqs += hears(client, 5)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert ask(one.query, AskStatus(), Report).sources["porch"].lost_samples == 0
        assert highest_mb < before_mb + 100
        assert "Traceback" not in one.log


@pytest.mark.alone
def test_quiet_connections_that_flood_together(tmp_path: Path) -> None:
    """As many subscribers of another user as there may be, let in one after the other and quiet, begin to subscribe
    without a pause all at once: each is cut off, no decision is lost, memory grows by less than 100 MB, and all
    descriptors come back."""
    with running(tmp_path) as one, Client(one.events, topics=["score."]) as client:
        seqs = hears(client, 5)
        before, before_mb = one.descriptors(), resident_mb(one)
        with subprocess.Popen(
            [sys.executable, "-I", "-c", TOGETHER, str(SUBSCRIBERS - 1), one.ports[0]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdin is not None
            try:
                assert process.stdout.readline() == "quiet\n"
                seqs += hears(client, 5)
                assert one.descriptors() >= before + SUBSCRIBERS - 1
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout.readline() == "flooding\n"
                highest_mb, ended = 0.0, select.poll()
                ended.register(process.stdout, select.POLLIN)
                deadline_s = time.monotonic() + LIMIT_S
                while not ended.poll(0):
                    assert time.monotonic() < deadline_s, "some are not cut off"
                    seqs += hears(client, 1)
                    highest_mb = max(highest_mb, resident_mb(one))
                assert process.stdout.readline() == "all cut off\n"
            finally:
                process.kill()
        until_back(one, before)
        seqs += hears(client, 5)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert ask(one.query, AskStatus(), Report).sources["porch"].lost_samples == 0
        assert highest_mb < before_mb + 100
        assert "connections were cut off" in one.log
        assert "Traceback" not in one.log


@pytest.mark.alone
def test_it_ends_in_the_midst_of_a_flood(tmp_path: Path) -> None:
    """SIGTERM while twenty connections subscribe without a pause: the daemon ends as it should, within 2 s."""
    with running(tmp_path) as one, Client(one.events, topics=["score."]) as client, flood(one):
        hears(client, 5)
        began_s = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(timeout=30) == 0, one.log
        assert time.monotonic() - began_s < 2.0
        assert "Traceback" not in one.log
