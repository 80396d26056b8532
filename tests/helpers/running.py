"""A daemon in a process of its own that hears real sound, for tests of what is done to it while it does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from auricle.client import Client, Missed, Scores
from auricle.commands.synth import scene
from helpers.sounds import RATE, write

LIMIT_S = 60.0
PROGRAM = [sys.executable, "-m", "auricle"]
"""What is run; a test may put another in its place."""

T = TypeVar("T")


class Running:
    """Holds a daemon that hears, and all that it has said."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], said_before: int) -> None:
        self.process = process
        self.config = folder / "auricle.yaml"
        self._log, self._said_before = folder / "log", said_before
        self.events, self.query = wait_for(self._endpoints, "it publishes")
        self.ports = [each.rpartition(":")[2] for each in (self.events, self.query)]

    @property
    def log(self) -> str:
        """Return all that the daemon has said so far."""
        return self._log.read_bytes()[self._said_before :].decode()

    def descriptors(self) -> int:
        """Return how many descriptors the daemon has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def children(self) -> list[int]:
        """Return the ids of the daemon's child processes."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def hang_up(self) -> None:
        """Ask for a reload."""
        self.process.send_signal(signal.SIGHUP)

    def _endpoints(self) -> tuple[str, ...] | None:
        assert self.process.poll() is None, self.log
        found = re.findall(r"publishing on (\S+), answering on (\S+)", self.log)
        return found[-1] if found else None


def wait_for(condition: Callable[[], T | None], what: str | Callable[[], str], limit_s: float = LIMIT_S) -> T:
    """Return what the condition gives, once it is there."""
    deadline_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.02)
    return found


def configuration(folder: Path, **more: Any) -> dict[str, Any]:
    """Return a configuration of a recording at real time without an end, on two TCP ports."""
    path = folder / "scene.wav"
    if not path.exists():
        samples, _ = scene(["rain"], RATE, sound_s=8.0, pause_s=0.5)
        write(path, samples)
    return {
        "sources": [{"name": "porch", "recording": {"path": str(path), "speed": 1, "loop": True}}],
        "publish": {"endpoint": "tcp://127.0.0.1:*", "query": "tcp://127.0.0.1:*"},
        "store": {"path": str(folder / "events.db")},
        **more,
    }


@contextmanager
def running(
    folder: Path, wanted: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] | None = None, **how: Any
) -> Iterator[Running]:
    """Run a daemon; where it still runs at the end it must end as it should.

    Args:
        wanted: the configuration; `configuration` unless told.
        environ: beside that of the test.
        how: of its process, as of `subprocess.Popen`.
    """
    (folder / "auricle.yaml").write_text(json.dumps(wanted or configuration(folder)))
    with (folder / "log").open("ab") as log:
        said_before = log.tell()
        process = subprocess.Popen(
            [*PROGRAM, "run", "-c", str(folder / "auricle.yaml")],
            stderr=log,
            env={**os.environ, "STATE_DIRECTORY": str(folder / "state"), **(environ or {})},
            **how,
        )
    try:
        one = Running(folder, process, said_before)
        yield one
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(timeout=30) == 0, one.log
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGUSR1)  # it writes where its threads are
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
                pytest.fail(f"it does not end:\n{one.log}")
    finally:
        process.kill()
        process.wait()


def hears(client: Client, n: int, source: str | None = None) -> list[int]:
    """Wait for so many decisions more, of one source or of the only one; return their `seq`."""
    found: list[int] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(found) < n:
        assert time.monotonic() < deadline_s
        item = client.receive(0.2)
        assert not isinstance(item, Missed)
        if isinstance(item, Scores) and source in (None, item.source):
            found.append(item.seq)
    return found


def until_back(one: Running, before: int) -> None:
    """Wait until the daemon has no more descriptors open than before."""
    wait_for(lambda: one.descriptors() <= before, f"{before} descriptors, not {one.descriptors()}")
