"""A house for tests of bridges: a daemon without ears that says what it is told to, and a bridge in a process of its
own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from helpers.wire import Daemon

LIMIT_S = 60.0
HEALTH_S = 0.5

T = TypeVar("T")


class House:
    """Holds the daemon, which lives only while `until` is called, and the bridge.

    Args:
        folder: for everything.
        bridges: of the configuration.
        held: messages that the daemon's memory holds.
        health_s: from one of the daemon's `health` to the next.
        more: of the configuration besides.
    """

    def __init__(
        self, folder: Path, bridges: Mapping[str, Any], *, held: int = 4096, health_s: float = HEALTH_S, **more: Any
    ) -> None:
        self.folder = folder
        self._held = held
        self._every_s, self._health_s = health_s, 0.0
        self._stack = ExitStack()
        self.guests = ExitStack()
        """What a test has opened of it, to be closed in the end."""
        self.config = folder / "auricle.yaml"
        self.notified: dict[str, str] = {}
        """The newest value of each field of sd_notify."""
        self.watchdogs = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = folder / "bridge.log"
        self.daemon: Daemon | None = None
        wanted = {
            "node": "test",
            "publish": {"endpoint": f"ipc://{folder}/events", "query": f"ipc://{folder}/query"},
            "bridges": bridges,
            **more,
        }
        self.config.write_text(json.dumps(wanted))
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.setblocking(False)

    @property
    def here(self) -> Daemon:
        """Return the daemon, which runs."""
        assert self.daemon is not None
        return self.daemon

    @property
    def log(self) -> str:
        """Return all that bridges have said so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def start_daemon(self) -> Daemon:
        """Start the daemon, with the history of the one before."""
        self.daemon = Daemon(self.folder, self._stack, held=self._held)
        return self.daemon

    def kill_daemon(self) -> None:
        """Leave what SIGKILL leaves of the daemon."""
        self.here.kill()
        self._stack.pop_all()
        self.daemon = None

    def start(self, kind: str, *more: str, **environ: str) -> None:
        """Start a bridge."""
        self.run(["bridge", kind], *more, **environ)

    def run(self, command: Sequence[str], *more: str, **environ: str) -> None:
        """Start a program of ours beside the daemon."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "auricle", *command, "-c", self.config, *more],
                stderr=log,
                stdout=log,
                env={
                    **os.environ,
                    "STATE_DIRECTORY": str(self.folder / "bridge"),
                    "NOTIFY_SOCKET": str(self.folder / "notify"),
                    "WATCHDOG_USEC": "3000000",
                    **environ,
                },
            )

    def kill(self) -> None:
        """Kill the bridge with -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let the bridge hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the bridge go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Stop the bridge as systemd does; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.until(lambda: self.process is None or self.process.poll() is not None, "the bridge ends")
        return self.process.wait()

    def until(self, condition: Callable[[], T], what: str | Callable[[], str], limit_s: float = LIMIT_S) -> T:
        """Let the daemon live, if there is one, until the condition gives something true; return that."""
        end_s = time.monotonic() + limit_s
        while not (found := condition()):
            said = what if isinstance(what, str) else what()
            assert time.monotonic() < end_s, f"not within {limit_s:g} s: {said}\n{self.log}"
            self.turn()
        return found

    def turn(self) -> None:
        """Let the daemon do what it does after every round."""
        if self.daemon is not None:
            if time.monotonic() >= self._health_s:
                self._health_s = time.monotonic() + self._every_s
                self.daemon.health()
            self.daemon.serve()
        self._hear_news()
        time.sleep(0.002)

    def for_s(self, seconds: float) -> None:
        """Let the daemon live for so long."""
        end_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end_s, "time passes", seconds + LIMIT_S)

    def close(self) -> None:
        """End everything."""
        self.guests.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._stack.close()
        self._manager.close()

    def _hear_news(self) -> None:
        while True:
            try:
                said = self._manager.recv(65536).decode()
            except BlockingIOError:
                return
            self.watchdogs += "WATCHDOG=1" in said
            self.notified.update(line.partition("=")[::2] for line in said.split("\n"))


@contextmanager
def house(folder: Path, bridges: Mapping[str, Any], **how: Any) -> Iterator[House]:
    """Keep a house with a daemon in it, until the test is done."""
    one = House(folder, bridges, **how)
    try:
        one.start_daemon()
        yield one
    finally:
        one.close()
