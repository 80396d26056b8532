"""A daemon in its own process among clients who mean it harm: it hears on, and what they took comes back."""

from __future__ import annotations

import resource
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
    """Of 1,100 silent connections at each socket 400 stay; no decision is lost, all descriptors come back."""
    with running(tmp_path) as one, Client(one.events, topics=["score."]) as client:
        seqs = hears(client, 5)
        before = one.descriptors()
        with crowd(one, 1100):
            seqs += hears(client, 10)
            until_back(one, before + 2 * 400)  # those hung up on go a moment later
        until_back(one, before)
        seqs += hears(client, 5)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert ask(one.query, AskStatus(), Report).sources["porch"].lost_samples == 0
        assert "Traceback" not in one.log
        assert "more than 400 connections at a time" in one.log


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
def test_it_ends_in_the_midst_of_a_flood(tmp_path: Path) -> None:
    """SIGTERM while twenty connections subscribe without a pause: the daemon ends as it should, within 2 s."""
    with running(tmp_path) as one, Client(one.events, topics=["score."]) as client, flood(one):
        hears(client, 5)
        began_s = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(timeout=30) == 0, one.log
        assert time.monotonic() - began_s < 2.0
        assert "Traceback" not in one.log
