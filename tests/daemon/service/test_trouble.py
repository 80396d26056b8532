"""Errors of the system in the daemon's own round, and while it stops: told, survived, and no reason to be late."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from auricle import config
from auricle.hearing.engine import Stop
from auricle.publish.zeromq import Socket
from auricle.service import life
from auricle.service.query import Query
from auricle.service.roster import Roster
from auricle.service.watchdog import Watchdog
from helpers import sounds


def failing(error: Exception, real: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The same, after it has failed so often."""
    left = [times]

    def call(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    ("owner", "name", "error", "said"),
    [
        (Query, "serve", OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "query: Too many open files"),
        (Roster, "tick", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "service: No space left on device"),
        (Watchdog, "tick", OSError(errno.EIO, os.strerror(errno.EIO)), "service: Input/output error"),
        (Socket, "serve", MemoryError(), "socket: no memory is left"),
    ],
)
def test_it_is_told_and_survived(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    name: str,
    error: Exception,
    said: str,
) -> None:
    """The same error, five rounds in a row: one message `trouble`, one line, every decision, and an ordinary end."""
    sounds.write(tmp_path / "noise.wav", sounds.varied(seconds=8.0))
    (tmp_path / "auricle.yaml").write_text(
        yaml.safe_dump(
            {
                "model": "esc10",
                "publish": {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"},
                "store": {"path": str(tmp_path / "events.db")},
                "sources": [{"name": "porch", "recording": {"path": str(tmp_path / "noise.wav"), "speed": 20}}],
            }
        )
    )
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(Socket, "__call__", lambda _, topic, payload: heard.append(json.loads(payload)))
    monkeypatch.setattr(owner, name, failing(error, getattr(owner, name), 5))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    def load() -> config.Config:
        return config.load(tmp_path / "auricle.yaml", environ={})

    assert life.run(load(), load) == 0
    troubles = [m["detail"] for m in heard if m.get("state") == "trouble"]
    assert troubles == [f"{said}; hearing goes on"]
    assert len([line for line in caplog.messages if said in line]) == 1
    assert [m["state"] for m in heard if m.get("state") == "stopped"] == ["stopped"]
    decisions = [m for m in heard if m["type"] == "score"]
    assert [m["seq"] for m in decisions] == list(range(1, len(decisions) + 1))
    assert len(decisions) > 50


def test_a_hangup_while_it_ends_is_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGHUP when what a reload would wake has been closed already: nothing is reloaded, and it is an ordinary end."""
    sounds.write(tmp_path / "noise.wav", sounds.varied(seconds=2.0))
    (tmp_path / "auricle.yaml").write_text(
        yaml.safe_dump(
            {
                "publish": {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"},
                "sources": [{"name": "file", "recording": {"path": "noise.wav", "speed": "max"}}],
            }
        )
    )
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    close, closed = Stop.close, []

    def and_then(stop: Stop) -> None:
        close(stop)
        closed.append(stop)
        signal.raise_signal(signal.SIGHUP)

    def load() -> config.Config:
        return config.load(tmp_path / "auricle.yaml", environ={})

    monkeypatch.setattr(Stop, "close", and_then)
    with caplog.at_level("INFO"):
        assert life.run(load(), load) == 0
    assert closed
    assert not [record for record in caplog.records if "reloaded" in record.getMessage()]
