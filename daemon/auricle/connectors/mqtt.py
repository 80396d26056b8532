"""The bridge to an MQTT broker keeps a connection to it, for ever, and a session on each; nothing here can hold up the
daemon."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from auricle.client import Client
from auricle.connectors.kept import Progress
from auricle.connectors.mirror import OFFLINE
from auricle.connectors.naming import slug
from auricle.connectors.session import BATCH, Session, Settings
from auricle.connectors.supervisor import Supervisor

log = logging.getLogger("auricle")

TIMEOUT_S = 10.0
"""A broker that does not answer for so long is given up, and tried anew."""
KEEPALIVE_S = 30
AGAIN_S = 3.0
"""A bridge that has not ended is told to again after so long: it says goodbye in less."""
FIRST_WAIT_S, LONGEST_WAIT_S, REFUSED_WAIT_S = 0.25, 1.0, 5.0


@dataclass(frozen=True)
class Broker:
    """Says where a broker is and how to get in."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    login: tuple[str, str] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def run(broker: Broker, settings: Settings, supervisor: Supervisor) -> None:
    """Carry what the daemon says to the broker until SIGTERM or SIGINT."""
    logging.getLogger("mqtt").setLevel(logging.CRITICAL)  # what it would say, we say
    asyncio.run(Bridge(broker, settings, supervisor).run())


class Bridge:
    """Keeps a session with the broker, for ever; see `run`.

    Args:
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        supervisor: Supervisor,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._broker = broker
        self._settings = settings
        self._supervisor = supervisor
        self._now_us = now_us
        self._progress = Progress(settings.folder / "mqtt-progress.json")
        self._said = ""

    async def run(self) -> None:
        """Keep a session with the broker until the process is told to end.

        Raises:
            EndpointError: the daemon's endpoint is none.
            KeysError: the keys cannot be read.
        """
        Client(self._settings.endpoint, key=self._settings.key).close()  # what is wrong with them is said at once
        ending = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, ending.set)
        keeping, told = asyncio.ensure_future(self._keep()), asyncio.ensure_future(ending.wait())
        alive = asyncio.ensure_future(self._live())
        try:
            await asyncio.wait((keeping, told), return_when=asyncio.FIRST_COMPLETED)
            # A wish to end that comes together with an answer, or an error, may be lost over it: `asyncio.wait_for`
            # gives the answer (until Python 3.12), and a TaskGroup the error. So it is said until it is heard.
            while not keeping.done():
                keeping.cancel()
                await asyncio.wait((keeping,), timeout=AGAIN_S)
            with suppress(asyncio.CancelledError):
                keeping.result()
            self._supervisor.tell(STOPPING=1)
        finally:
            for task in (alive, told):
                task.cancel()
            self._progress.save(time.monotonic())

    async def _live(self) -> None:
        every_s = (self._supervisor.watchdog_s or 10.0) / 3
        while True:
            self._supervisor.tell(WATCHDOG=1)
            await asyncio.sleep(every_s)

    async def _keep(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                async with self._connection() as connection:
                    self._say(f"{self._broker}: connected")
                    wait_s = FIRST_WAIT_S
                    await Session(connection, self._settings, self._progress, self._now_us).run()
            except* aiomqtt.MqttError as e:
                refused = isinstance(e.exceptions[0], MqttConnectError)
                wait_s = REFUSED_WAIT_S if refused else min(LONGEST_WAIT_S, 2 * wait_s)
                self._say(f"{self._broker}: {e.exceptions[0]}; trying on", trouble=True)
            await asyncio.sleep(wait_s)

    def _connection(self) -> aiomqtt.Client:
        topics = self._settings.topics
        user, password = self._broker.login or (None, None)
        connection = aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=user,
            password=password,
            identifier=f"auricle-{slug(self._settings.node)}",
            will=aiomqtt.Will(topics.status, OFFLINE, qos=1, retain=True),
            clean_session=True,
            timeout=TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            max_inflight_messages=2 * BATCH,
            tls_context=self._broker.tls,
        )
        connection.pending_calls_threshold = 3 * BATCH
        return connection

    def _say(self, news: str, *, trouble: bool = False) -> None:
        """Say how the connection is, once; the supervisor knows of the first try that all that can be ready is."""
        if news != self._said:
            log.log(logging.WARNING if trouble else logging.INFO, "%s", news)
            self._supervisor.tell(READY=1, STATUS=news)
        self._said = news
