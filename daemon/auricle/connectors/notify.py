"""The bridge to people tells them of events, by rules."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from auricle.client import Client, Clip, Event, Snapshot
from auricle.connectors.notices import Hours, Notice, Notices, Rule
from auricle.connectors.pictures import Draw, Pictures
from auricle.connectors.supervisor import Supervisor
from auricle.connectors.targets import Line, Service, Target
from auricle.messages import microseconds

log = logging.getLogger("auricle")

LOOK_S = 0.5
OLD_S = 600.0
"""Nobody is told of what was heard longer ago than this, when it comes late."""
PATIENCE_S = 5.0
"""At the end, targets have so long for what waits."""


@dataclass(frozen=True)
class Settings:
    """Says who is told of what.

    Args:
        endpoint: where the daemon publishes.
        key: the file of the keys to connect with there, if it wants any.
        node: the machine's name.
        rules: which events.
        quiet: hours in which only urgent rules speak.
    """

    endpoint: str
    key: Path | None
    node: str
    rules: Sequence[Rule]
    quiet: Hours | None


def run(
    settings: Settings,
    services: Mapping[str, Service],
    draw: Draw,
    supervisor: Supervisor,
    now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
) -> None:
    """Tell people of events until SIGTERM or SIGINT.

    Args:
        settings: who is told of what.
        services: reach the targets, by name.
        draw: draws the sound of an event, where a rule wants that.
        supervisor: who started us.
        now: local time.

    Raises:
        EndpointError: the daemon's endpoint is none.
        KeysError: the keys cannot be read.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    notices = Notices(settings.rules, settings.quiet)
    targets = {name: Target(name, each, pictures=each.takes_pictures) for name, each in services.items()}
    pictures = Pictures(draw, partial(_give, targets, settings.node))
    topics = ["event.", *(["clip."] if any(rule.picture for rule in settings.rules) else [])]
    with Client(settings.endpoint, topics=topics, key=settings.key) as client:
        supervisor.tell(READY=1)
        try:
            _follow(client, notices, targets, pictures, settings.node, supervisor, now)
        except KeyboardInterrupt:
            supervisor.tell(STOPPING=1)
    end_s = time.monotonic() + PATIENCE_S
    for name, target in targets.items():
        if not target.close(max(0.0, end_s - time.monotonic())):
            log.warning("%s: was not told what waited", name)


def _follow(
    client: Client,
    notices: Notices,
    targets: Mapping[str, Target],
    pictures: Pictures,
    node: str,
    supervisor: Supervisor,
    now: Callable[[], datetime],
) -> None:
    every_s = (supervisor.watchdog_s or 10.0) / 3
    alive_s = 0.0
    while True:
        item = client.receive(LOOK_S)
        at = now()
        if isinstance(item, Snapshot):
            notices.join(item)
        elif isinstance(item, Event) and not _old(item, at):
            _tell(notices.take(item, at), targets, node)
        elif isinstance(item, Clip):
            for notice in notices.draw(item, at):
                pictures.put(notice, item)
        _tell(notices.due(at), targets, node)
        if (now_s := time.monotonic()) >= alive_s:
            alive_s = now_s + every_s
            told = sum(target.delivered for target in targets.values())
            supervisor.tell(WATCHDOG=1, STATUS=f"{len(targets)} targets, {told} messages delivered")


def _old(event: Event, now: datetime) -> bool:
    """Return whether an event comes too late; what a recording holds is as new as its playing."""
    return not isinstance(event.file, str) and now.timestamp() - microseconds(event.t) / 1e6 > OLD_S


def _tell(notices: Iterable[Notice], targets: Mapping[str, Target], node: str) -> None:
    for notice in notices:
        log.info("%s: %s", notice.rule, notice.text)
        for target in _of(notice, targets):
            target.put(_line(notice, node))


def _give(targets: Mapping[str, Target], node: str, notice: Notice, picture: bytes) -> None:
    """Show a picture to those who can see it."""
    for target in _of(notice, targets):
        if target.pictures:
            target.put(_line(notice, node, picture))


def _of(notice: Notice, targets: Mapping[str, Target]) -> Iterator[Target]:
    return (target for name, target in targets.items() if notice.to is None or name in notice.to)


def _line(notice: Notice, node: str, picture: bytes | None = None) -> Line:
    return Line(f"Auricle, {node}", notice.text, picture)
