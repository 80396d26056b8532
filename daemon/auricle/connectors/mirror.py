"""A mirror holds how things stand at a daemon, as far as retained messages tell it: which sources there are, whether
they are heard, and for which labels an event goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from auricle.client import AnyMessage, Event, Health, Item, Missed, Snapshot, Status
from auricle.connectors.topics import Topics
from auricle.messages import NOT_HEARD, SourceState
from auricle.messages.topics import topic_of

ONLINE, OFFLINE = b"online", b"offline"
ON, OFF = b"ON", b"OFF"
Retained: TypeAlias = tuple[str, bytes]
"""A topic and its newest payload."""

_ABSENT: frozenset[SourceState] = frozenset({"starting", "lost", "paused", "stopped"})
"""In these states nothing is known of what a source would hear."""


class _State(msgspec.Struct):
    """Says whether a label is heard now, and when the event began and ended that says so."""

    state: Literal["ON", "OFF"] = "OFF"
    onset: str | None = None
    offset: str | None = None
    id: str | None = None


CLOSED = msgspec.json.encode(_State())
"""The state of a label that is not heard, or of which nothing is known."""


class Mirror:
    """Follows the items of a client and says what changes of the retained messages.

    Messages that were published before the snapshot change nothing: the snapshot holds what became of them.

    Args:
        topics: of the node.
        labels: gives the labels of a source that have a state.
        joined: where it begins, with a snapshot; or with `health`, where nobody answers.
    """

    def __init__(self, topics: Topics, labels: Callable[[str], Sequence[str]], joined: Snapshot | Health) -> None:
        self.instance = joined.instance
        self._topics = topics
        self._labels = labels
        self._covered = dict(joined.last_seq)
        self.sources: dict[str, SourceState] = {name: told.state for name, told in joined.sources.items()}
        """How each source stands."""
        self._open: dict[tuple[str, str], dict[str, Event]] = {}
        self._last: dict[tuple[str, str], _State] = {}
        for event in joined.open if isinstance(joined, Snapshot) else ():
            self._hear(event)

    @property
    def layout(self) -> Mapping[str, tuple[str, ...]]:
        """Return the labels that have a state, by source."""
        return {source: tuple(self._labels(source)) for source in self.sources}

    def covers(self, message: AnyMessage) -> bool:
        """Return whether a message was published before the mirror began: it tells of the past."""
        return message.instance != self.instance or message.seq <= self._covered.get(topic_of(message), 0)

    def everything(self) -> Iterator[Retained]:
        """Yield every retained message of the node but its status and what is said of it to Home Assistant."""
        for source, labels in self.layout.items():
            yield from self._of_source(source)
            for label in labels:
                yield self._of_label(source, label)

    def take(self, item: Item) -> list[Retained]:
        """Take the next item; return the retained messages that change by it."""
        match item:
            case Missed() | Snapshot():
                return []
            case Health():
                return self._see({name: told.state for name, told in item.sources.items()})
            case _ if item.source is None or self.covers(item):
                return []
            case Event():
                before = bool(self._open.get((item.source, item.label)))
                self._hear(item)
                changed = before != bool(self._open.get((item.source, item.label)))
                wanted = item.source in self.sources and item.label in self._labels(item.source)
                return [self._of_label(item.source, item.label)] if changed and wanted else []
            case Status() if item.state in get_args(SourceState):
                return self._see({**self.sources, item.source: item.state})  # type: ignore[dict-item]
        return []

    def _hear(self, event: Event) -> None:
        key = event.source or "", event.label
        going_on = self._open.setdefault(key, {})
        if event.phase == "offset":
            going_on.pop(event.id, None)
        else:
            going_on[event.id] = event
        first = min(going_on.values(), key=lambda each: each.onset, default=None)
        if first is not None:
            self._last[key] = _State("ON", first.onset, None, first.id)
        else:
            del self._open[key]
            self._last[key] = _State("OFF", event.onset, event.offset, event.id)

    def _see(self, now: dict[str, SourceState]) -> list[Retained]:
        before, self.sources = self.sources, now
        for key in [key for key in self._last if key[0] not in now]:
            del self._last[key]
            self._open.pop(key, None)
        return [told for name in now if before.get(name) != now[name] for told in self._of_source(name)]

    def _of_source(self, source: str) -> Iterator[Retained]:
        state = self.sources[source]
        yield self._topics.of(source, "available"), OFFLINE if state in _ABSENT else ONLINE
        yield self._topics.of(source, "hearing"), OFF if state in NOT_HEARD else ON

    def _of_label(self, source: str, label: str) -> Retained:
        return self._topics.state(source, label), msgspec.json.encode(self._last.get((source, label), _State()))


def absent(topics: Topics, retained: Sequence[str]) -> Iterator[Retained]:
    """Yield what the retained messages of a node say while its daemon is not there: offline, and every state closed.

    Args:
        topics: of the node.
        retained: the topics that bear a message, of whatever kind.
    """
    yield topics.status, OFFLINE
    for topic in retained:
        if not topic.startswith(f"{topics.base}/"):
            continue
        match topic.removeprefix(f"{topics.base}/").split("/"):
            case [_, "available"]:
                yield topic, OFFLINE
            case [_, "hearing"]:
                yield topic, OFF
            case [_, "state", _]:
                yield topic, CLOSED
