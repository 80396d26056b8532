"""A daemon in its own process among clients who mean it harm: it hears on, and what they took comes back."""

from __future__ import annotations

import resource
import socket as sockets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auricle.client import AskStatus, Client, Report, ask
from helpers.running import LIMIT_S, Running, hears, running, until_back

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
