"""A daemon in its own process among clients who mean it harm: it hears on, and what they took comes back."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auricle.client import AskStatus, Client, Missed, Report, Scores, ask
from auricle.commands.synth import scene
from helpers.sounds import RATE, write

LIMIT_S = 60.0
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


class Running:
    """A daemon that hears a recording at real time, on two TCP ports."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._log = folder / "log"
        deadline_s = time.monotonic() + LIMIT_S
        while not (found := re.search(r"publishing on (\S+), answering on (\S+)", self.log)):
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline_s, self.log
            time.sleep(0.05)
        self.events, self.query = found.groups()
        self.ports = [each.rpartition(":")[2] for each in found.groups()]

    @property
    def log(self) -> str:
        """All it has said so far."""
        return self._log.read_text()

    def descriptors(self) -> int:
        """That it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """A daemon; it must end as it should."""
    samples, _ = scene(["rain"], RATE, sound_s=8.0, pause_s=0.5)
    write(folder / "scene.wav", samples)
    config = {
        "sources": [{"name": "porch", "recording": {"path": str(folder / "scene.wav"), "speed": 1, "loop": True}}],
        "publish": {"endpoint": "tcp://127.0.0.1:*", "query": "tcp://127.0.0.1:*"},
        "store": {"path": str(folder / "events.db")},
    }
    (folder / "auricle.yaml").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "auricle", "run", "-c", str(folder / "auricle.yaml")], stderr=log, text=True
        )
    try:
        one = Running(folder, process)
        yield one
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, one.log
    finally:
        process.kill()
        process.wait()


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


def hears(client: Client, n: int) -> list[int]:
    """The `seq` of so many decisions more."""
    found: list[int] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(found) < n:
        assert time.monotonic() < deadline_s
        item = client.receive(0.2)
        assert not isinstance(item, Missed)
        if isinstance(item, Scores):
            found.append(item.seq)
    return found


def until_back(one: Running, before: int) -> None:
    """Until it has no more open than before."""
    deadline_s = time.monotonic() + LIMIT_S
    while one.descriptors() > before:
        assert time.monotonic() < deadline_s, (before, one.descriptors())
        time.sleep(0.05)


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
