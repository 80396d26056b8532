"""`auricle run` in a process of its own, with what it tells its supervisor and its log at hand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.sounds import varied, write

LIMIT_S = 30.0


def until(what: Callable[[], object], claim: str | Callable[[], str], limit_s: float = LIMIT_S) -> None:
    """Wait until it is so."""
    deadline_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline_s, claim if isinstance(claim, str) else claim()
        time.sleep(0.02)


class Supervised:
    """A daemon, as its supervisor sees it."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], manager: socket.socket) -> None:
        self.process = process
        self.endpoint, self.query = f"ipc://{folder}/events", f"ipc://{folder}/query"
        """Where it publishes and answers unless the test wants it otherwise."""
        self.told: dict[str, str] = {}
        """The newest value of each field of sd_notify."""
        self._log = folder / "log"
        self._manager = manager

    @property
    def log(self) -> str:
        """All it has said so far."""
        return self._log.read_text()

    @property
    def status(self) -> str:
        """The line for `systemctl status`."""
        self.hear_news()
        return self.told.get("STATUS", "")

    def hear_news(self) -> None:
        """Take what it has told its supervisor."""
        while True:
            try:
                said = self._manager.recv(65536).decode()
            except BlockingIOError:
                return
            self.told.update(line.partition("=")[::2] for line in said.split("\n"))

    def until_logged(self, text: str) -> None:
        """Wait until its log says so."""
        until(lambda: text in self.log or self.process.poll() is not None, lambda: f"{text!r} is not said:\n{self.log}")
        assert text in self.log, self.log

    def until_ready(self) -> None:
        """Wait until it has told that it hears."""
        until(lambda: (self.hear_news(), self.told.get("READY"))[1], lambda: f"not ready\n{self.log}")

    def until_status(self, text: str) -> None:
        """Wait until its status line says so."""
        until(lambda: text in self.status, lambda: f"{text!r} is not told: {self.status!r}\n{self.log}")


def configured(folder: Path, **more: Any) -> dict[str, Any]:
    """A source that plays noise at real time for ever, and sockets in the folder."""
    path = folder / "noise.wav"
    if not path.exists():
        write(path, 0.1 * varied(4.0))
    config: dict[str, Any] = {
        "model": "esc10",
        "sources": [{"name": "porch", "recording": {"path": str(path), "speed": 1, "loop": True}}],
        "publish": {"endpoint": f"ipc://{folder}/events", "query": f"ipc://{folder}/query"},
    }
    for name, value in more.items():
        config[name] = {**config[name], **value} if isinstance(config.get(name), dict) else value
    return config


@contextmanager
def supervised(
    folder: Path,
    *,
    environ: dict[str, str] | None = None,
    before: Sequence[str | Path] = (),
    program: Sequence[str | Path] = (sys.executable, "-m", "auricle"),
    stopped: bool = True,
    **more: Any,
) -> Iterator[Supervised]:
    """Run a daemon in this folder, state and all, and see that it ends as it should.

    Args:
        environ: variables beside this process's own.
        before: a command that runs it, such as unshare.
        program: instead of `auricle`.
        stopped: whether it is stopped here, with exit code 0; else the test sees to its end.
        more: sections of the configuration, over `configured`.
    """
    (folder / "auricle.yaml").write_text(json.dumps(configured(folder, **more)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (folder / "log").open("wb") as log:
        (folder / "notify").unlink(missing_ok=True)
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)
        process = subprocess.Popen(
            [*before, *program, "run", "-c", folder / "auricle.yaml"],
            stderr=log,
            env={
                **os.environ,
                "STATE_DIRECTORY": str(folder / "state"),
                "NOTIFY_SOCKET": str(folder / "notify"),
                **(environ or {}),
            },
        )
        one = Supervised(folder, process, manager)
        try:
            yield one
            if stopped:
                process.terminate()
                assert process.wait(timeout=LIMIT_S) == 0, one.log
        finally:
            process.kill()
            process.wait()
