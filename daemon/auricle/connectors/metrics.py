"""The bridge to Prometheus gathers the daemon's figures, and serves them to whoever fetches them."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from auricle.client import Client
from auricle.connectors.figures import Figures
from auricle.connectors.scrape import Scrape
from auricle.connectors.supervisor import Supervisor

log = logging.getLogger("auricle")

SILENT_S = 3.0
"""A daemon of which nothing has come for so long is not up: it speaks once a second."""
LOOK_S = 0.5


@dataclass(frozen=True)
class Settings:
    """Says what is gathered and where it is served.

    Args:
        endpoint: where the daemon publishes.
        key: the file of the keys to connect with there, if it wants any.
        host, port: where the figures are served.
        token: that a client must have; ``None`` for everybody.
    """

    endpoint: str
    key: Path | None
    host: str
    port: int
    token: str | None = field(default=None, repr=False)


def run(settings: Settings, supervisor: Supervisor) -> None:
    """Serve figures until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address cannot be served.
        EndpointError: the daemon's endpoint is none.
        KeysError: the keys cannot be read.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    figures, registry = Figures(), CollectorRegistry()
    registry.register(figures)
    topics = ["event.", "gap.", "status.", "health."]
    with Client(settings.endpoint, topics=topics, key=settings.key) as client:
        serving = Scrape(settings.host, settings.port, registry, settings.token)
        log.info("figures at http://%s:%d, path /metrics", *serving.server_address[:2])
        supervisor.tell(READY=1)
        try:
            _follow(client, settings.endpoint, figures, supervisor)
        except KeyboardInterrupt:
            supervisor.tell(STOPPING=1)
        finally:
            serving.shutdown()
            serving.server_close()


def _follow(client: Client, endpoint: str, figures: Figures, supervisor: Supervisor) -> None:
    every_s = (supervisor.watchdog_s or 10.0) / 3
    alive_s, up = 0.0, None
    while True:
        item = client.receive(LOOK_S)
        if item is not None:
            figures.take(item)
        now_up = client.silent_s(endpoint) < SILENT_S and (up is not None or item is not None)
        if now_up != up:
            up = now_up
            figures.alive(now=up)
            supervisor.tell(STATUS="the daemon is heard" if up else f"{endpoint}: nothing heard")
        if (now_s := time.monotonic()) >= alive_s:
            alive_s = now_s + every_s
            supervisor.tell(WATCHDOG=1)
