"""The bridge to MQTT ends when it is told to, whatever comes at the same moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiomqtt")

from aiomqtt import MqttError

from auricle.connectors import mqtt
from auricle.connectors.kept import Progress
from auricle.connectors.letters import Letter
from auricle.connectors.mqtt import Bridge, Broker
from auricle.connectors.session import Session, Settings

LIMIT_S = 20.0


class Nobody:
    """Supervises nothing."""

    watchdog_s = None

    def tell(self, **_: object) -> None:
        """Take no note."""


async def answered() -> None:
    """Wait as `asyncio.wait_for` does when it is cancelled just as the answer is there: the answer is what it gives."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def broken() -> None:
    """Wait, and fail when told to end: the connection breaks at that moment."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise MqttError("the connection broke") from None


class Connection:
    """A connection to a broker on which each step takes as long as it likes."""

    def __init__(self, connecting: Callable[[], Awaitable[None]], publishing: Callable[[], Awaitable[None]]) -> None:
        self._steps = [connecting]
        self._publishing = publishing
        self.reached = asyncio.Event()

    async def __aenter__(self) -> Connection:
        if self._steps:
            self.reached.set()
            await self._steps.pop()()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def publish(self, *_: Any, qos: int, **__: Any) -> None:
        self.reached.set()
        await self._publishing()


async def at_once() -> None:
    """Take no time."""


def settings(folder: Path) -> Settings:
    """What a bridge is told of a daemon that is not there."""
    return Settings(
        endpoint=f"ipc://{folder}/nobody", key=None, node="n", prefix="auricle", discovery=None, labels={},
        other_labels=[], display={}, other_display={}, level_s=0, health_s=0, scores_s=0, folder=folder,
    )  # fmt: skip


@pytest.mark.parametrize("coming", [answered, broken], ids=["an answer", "an error"])
def test_it_ends_whatever_comes_together_with_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coming: Callable[[], Awaitable[None]]
) -> None:
    """SIGTERM ends it although the connection to the broker is made, or fails, at that very moment."""
    monkeypatch.setattr(mqtt, "AGAIN_S", 0.2)

    async def scene() -> None:
        connection = Connection(coming, at_once)
        bridge = Bridge(Broker("localhost", 1), settings(tmp_path), Nobody())
        monkeypatch.setattr(bridge, "_connection", lambda: connection)
        running = asyncio.ensure_future(bridge.run())
        async with asyncio.timeout(LIMIT_S):
            await connection.reached.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await running

    asyncio.run(scene())


def test_a_session_ends_though_the_broker_answers_then(tmp_path: Path) -> None:
    """A session that is cancelled while a message of the moment is on its way ends, although its answer comes then."""

    async def scene() -> None:
        connection: Any = Connection(at_once, answered)
        progress = Progress(tmp_path / "progress.json")
        session = Session(connection, settings(tmp_path), progress, lambda: 0)
        session._outbox.tell([Letter("auricle/n/porch/level", b"-40")])
        running = asyncio.ensure_future(session.run())
        async with asyncio.timeout(LIMIT_S):
            await connection.reached.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(scene())
