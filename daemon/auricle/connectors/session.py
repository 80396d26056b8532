"""A session tells one connection to a broker everything: what is retained at once, events in their order with nothing
missing.

It joins the daemon where the session before stopped, so that nothing has to be kept while the broker is away. What is
retained is told anew from the daemon's snapshot. An event counts as handed on when the broker has acknowledged it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from auricle import __version__
from auricle.client import Client, Health, Item, Missed, Scores, Snapshot
from auricle.connectors import discovery, kept
from auricle.connectors.kept import Left, Progress
from auricle.connectors.letters import Letter, Paced, lasting
from auricle.connectors.mirror import ONLINE, Mirror, absent
from auricle.connectors.outbox import Outbox, Waiting
from auricle.connectors.topics import Topics

log = logging.getLogger("auricle")

SILENT_S = 2.5
"""A daemon of which nothing has come for so long is not there: it speaks once a second."""
GATHER_S = 0.25
"""What was handed on is written down so soon afterwards, and with it what followed meanwhile."""
AWAY_S = 1.0
"""A daemon that is away is looked for this often."""
BATCH = 32
"""So many messages are on their way to the broker at a time."""
WAITING = 2000
TOMBSTONES = 2000
"""So many components that went are remembered, for a Home Assistant that was away when they did."""


@dataclass(frozen=True)
class Settings:
    """Says what is told, and on which topics.

    Args:
        endpoint: where the daemon publishes.
        key: the file of the keys to connect with there, if it wants any.
        node: the machine's name.
        prefix: of all topics.
        discovery: the prefix of Home Assistant's discovery; ``None`` tells it nothing.
        labels: those that have a state and an entity, by source.
        other_labels: the same for sources that are not named there.
        display: what people call labels, by source, as far as its model says.
        other_display: the same for sources that are not named there.
        level_s, health_s, scores_s: the least time from one message to the next; 0 is never.
        folder: for what outlives the bridge.
    """

    endpoint: str
    key: Path | None
    node: str
    prefix: str
    discovery: str | None
    labels: Mapping[str, Sequence[str]]
    other_labels: Sequence[str]
    display: Mapping[str, Mapping[str, str]]
    other_display: Mapping[str, str]
    level_s: float
    health_s: float
    scores_s: float
    folder: Path

    @property
    def topics(self) -> Topics:
        """Return the topics of the node."""
        return Topics(self.prefix, self.node)

    def labels_of(self, source: str) -> Sequence[str]:
        """Return the labels of a source that have a state."""
        return self.labels.get(source, self.other_labels)

    def called(self, source: str, label: str) -> str:
        """Return what people call a label of a source."""
        return self.display.get(source, self.other_display).get(label) or label.replace("_", " ")


class Session:
    """Tells one connection to the broker everything that it is to know, until the connection breaks."""

    def __init__(
        self, connection: aiomqtt.Client, settings: Settings, progress: Progress, now_us: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._topics = settings.topics
        self._progress = progress
        self._now_us = now_us
        self._outbox = Outbox(WAITING)
        self._paced = Paced(
            self._topics, level_s=settings.level_s, health_s=settings.health_s, scores_s=settings.scores_s
        )
        self._left_at = settings.folder / "mqtt-left.json"
        self._left = kept.read(self._left_at, Left) or Left()
        self._wanted: Left | None = None
        self._mirror: Mirror | None = None
        self._told_layout: Mapping[str, tuple[str, ...]] | None = None
        self._client: Client | None = None
        self._absent = False
        self._handed_on = asyncio.Event()

    async def run(self) -> None:
        """Tell it everything.

        Raises:
            ExceptionGroup: of `MqttError`, when the connection breaks.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for task in (self._read(), self._send(), self._look()):
                    tasks.create_task(task)
        except asyncio.CancelledError:
            await self._leave()
            raise

    async def _read(self) -> None:
        topics = ["event.", "gap.", "status.", "health.", *(["score."] if self._settings.scores_s else [])]
        while True:
            self._outbox.behind = False
            with Client(
                self._settings.endpoint, topics=topics, key=self._settings.key, since=self._progress.at
            ) as self._client:
                async for item in self._client:
                    self._take(item)
                    if self._outbox.behind and self._outbox.drained:
                        break  # and ask for what was not taken

    def _take(self, item: Item) -> None:
        if isinstance(item, Missed):
            if item.topic.startswith("event."):
                lost = "%d messages of %s are not to be had any more; of past events onset and end are what is kept"
                log.info(lost, item.n, item.topic)
            return
        mirror = self._mirror
        if isinstance(item, Snapshot) or (isinstance(item, Health) and item.instance != (mirror and mirror.instance)):
            mirror = self._mirror = Mirror(self._topics, self._settings.labels_of, item)
            self._appear(mirror)
        elif mirror is not None:
            changed = mirror.take(item)
            if self._absent:
                self._appear(mirror)
            self._outbox.retain(changed)
            if mirror.layout != self._told_layout:
                self._appear(mirror)
        letter = None
        if isinstance(item, Snapshot):
            self._progress.begin(item)
        else:
            past = mirror is not None and mirror.covers(item)
            letter = lasting(item, self._topics, past=past, now_us=self._now_us())
            self._outbox.tell(self._paced.take(item, time.monotonic()))
        if not isinstance(item, Scores):
            self._outbox.put(Waiting(item, letter))

    def _appear(self, mirror: Mirror) -> None:
        """Tell everything that is retained, and clear what is not to be any more."""
        self._absent = False
        self._told_layout = mirror.layout
        told = dict(mirror.everything())
        components = {}
        if self._settings.discovery is not None:
            config = discovery.topic(self._settings.discovery, self._settings.node)
            now = discovery.components(self._topics, mirror.layout, self._settings.called)
            were = {name: platform for name, platform in self._left.components.items() if name not in now}
            gone_longest_ago = max(0, len(were) - TOMBSTONES)
            were = dict(list(were.items())[gone_longest_ago:])
            told[config] = discovery.payload(self._settings.node, now, __version__, were)
            components = {**were, **{name: about["platform"] for name, about in now.items()}}
        told[self._topics.status] = ONLINE
        gone = [topic for topic in self._left.retained if topic not in told]
        for topic in gone:
            if topic.endswith("/config"):
                log.info("the device that was announced on %s is there no more, and is removed", topic)
        self._wanted = Left(list(told), components)
        self._remember(Left([*told, *gone], components))
        self._outbox.retain([*((topic, b"") for topic in gone), *told.items()])

    def _remember(self, left: Left) -> None:
        if left != self._left:
            self._left = left
            kept.write(self._left_at, left)

    async def _send(self) -> None:
        while True:
            await self._outbox.wait()
            retained = self._outbox.take_retained(BATCH)
            await asyncio.gather(*(self._connection.publish(*told, qos=1, retain=True) for told in retained))
            if self._wanted is not None and self._outbox.settled:
                self._remember(self._wanted)
                self._wanted = None
            waiting = self._outbox.first(BATCH)
            await asyncio.gather(*(self._publish(each.letter, 1) for each in waiting if each.letter is not None))
            for each in waiting:
                self._progress.advance(each.item)
            self._outbox.done(len(waiting))
            if self._progress.due(time.monotonic()):
                self._handed_on.set()
            # Gathered, for a wish to end is never lost over what is gathered; see `Bridge.run`.
            await asyncio.gather(*(self._publish(letter, 0) for letter in self._outbox.take_fleeting()))

    async def _publish(self, letter: Letter, qos: int) -> None:
        await self._connection.publish(letter.topic, letter.payload, qos=qos)

    async def _look(self) -> None:
        """Notice that the daemon is there no more, and keep the progress; sleep until one of these may be."""
        while True:
            silent_s = 0.0 if self._client is None else self._client.silent_s(self._settings.endpoint)
            if silent_s >= SILENT_S and not self._absent:
                self._absent = True
                log.warning("%s: nothing heard for %g s; its states are closed", self._settings.endpoint, SILENT_S)
                self._outbox.retain(absent(self._topics, self._left.retained))
            if self._handed_on.is_set():
                self._handed_on.clear()
                await asyncio.to_thread(self._progress.save, time.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(AWAY_S if self._absent else max(0.0, SILENT_S - silent_s)):
                    await self._handed_on.wait()
            await asyncio.sleep(GATHER_S)

    async def _leave(self) -> None:
        """Say that nobody looks any more; a broker that does not take it says so by our will."""
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(2.0):
                for topic, payload in absent(self._topics, self._left.retained):
                    await self._connection.publish(topic, payload, qos=1, retain=True)
