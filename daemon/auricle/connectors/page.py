"""The page in a browser is a program of its own beside the daemon: what happens to it is nothing to hearing."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from auricle.client import Client
from auricle.connectors.guard import MOST_HEADERS, Guard, Secrets, Sessions
from auricle.connectors.hub import Hub
from auricle.connectors.site import Site
from auricle.connectors.sound import Open
from auricle.connectors.supervisor import Supervisor
from auricle.connectors.wishes import Means
from auricle.errors import ConfigError

log = logging.getLogger("auricle")

CONNECTIONS = 128
"""Who comes when so many are there is hung up on."""
VIEWERS = 32
REQUEST_S = 10.0
"""A connection has so long for a whole request."""
FAREWELL_S = 2
ALIVE_S, END_S = 5.0, 0.5


@dataclass(frozen=True)
class Settings:
    """Says what is shown and where it is served.

    Args:
        endpoint, query: where the daemon publishes, and where it answers.
        key: the file of the keys to connect with there, if it wants any.
        host, port: where the page is served; the port 0 is any.
        secrets: what opens it.
        means: what may be wished of the daemon through it.
        clips: opens a clip.
    """

    endpoint: str
    query: str
    key: Path | None
    host: str
    port: int
    secrets: Secrets
    means: Means
    clips: Open


def run(settings: Settings, supervisor: Supervisor) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address cannot be served.
        EndpointError: the daemon's endpoint is none.
        KeysError: the keys cannot be read.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    Client(settings.endpoint, topics=["health."], key=settings.key).close()  # what it raises is told at the start
    with _bound(settings.host, settings.port) as bound:
        with suppress(KeyboardInterrupt):  # before the server heeds signals itself
            asyncio.run(_serve(settings, supervisor, bound))
        supervisor.tell(STOPPING=1)


async def _serve(settings: Settings, supervisor: Supervisor, bound: socket.socket) -> None:
    def changed(n: int) -> None:
        supervisor.tell(STATUS=f"{n} look")

    hub = Hub(settings.endpoint, settings.key, most=VIEWERS, changed=changed)
    sessions = Sessions()
    site = Site(hub, settings.query, settings.key, settings.secrets, sessions, settings.means, settings.clips)
    server = _Server(
        uvicorn.Config(
            Guard(site.app, settings.secrets, sessions, settings.host, read_only=settings.means.read_only),
            http=_limited(),
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=MOST_HEADERS,
            timeout_graceful_shutdown=FAREWELL_S,
        ),
        hub.dismiss,
    )
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    where = bound.getsockname()
    log.info("the page is at http://%s:%d/", f"[{where[0]}]" if ":" in where[0] else where[0], where[1])
    supervisor.tell(READY=1, STATUS="0 look")
    try:
        while not serving.done():
            supervisor.tell(WATCHDOG=1)
            await asyncio.wait({serving}, timeout=ALIVE_S)
        await serving
    finally:
        await hub.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, at_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._at_end = at_end

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn's own loop looks ten times a second, and keeps a date that is not sent."""
        while not self.should_exit:
            await asyncio.sleep(END_S)
        self._at_end()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """End at SIGTERM and SIGINT; uvicorn's own raises them once more in a task, whose traceback is then printed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def _bound(host: str, port: int) -> socket.socket:
    """Bind the address.

    Raises:
        ConfigError: it cannot be there.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64, reuse_port=False
        )
    except OSError as e:
        raise ConfigError([f"web.listen: {host}:{port}: {e.strerror}; name another"]) from None


def _limited() -> type[H11Protocol]:
    """Make uvicorn's protocol of connections that are so many at most, and bring a request in time."""
    inside: set[asyncio.Protocol] = set()

    class Limited(H11Protocol):
        _end: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            if len(inside) >= CONNECTIONS:
                transport.abort()
                return
            inside.add(self)
            super().connection_made(transport)
            self.app_state = {**self.app_state, "hang_up": transport.abort}
            self._end = self.loop.call_later(REQUEST_S, self._late(transport.abort))

        def connection_lost(self, exc: Exception | None) -> None:
            if self in inside:
                inside.discard(self)
                if self._end is not None:
                    self._end.cancel()
                super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self in inside:
                super().data_received(data)

        def _late(self, hang_up: Callable[[], None]) -> Callable[[], None]:
            return lambda: None if self.cycle is not None else hang_up()

    return Limited
