"""Letters to a broker are made here of what the daemon says: a topic, and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from auricle.client import AnyMessage, Event, Gap, Health, Scores
from auricle.connectors.topics import Topics
from auricle.messages import microseconds

LATE_S = 60.0
"""What is told longer than this after it was heard, since something was away, is marked as late."""


_OWN = ("t", "uptime_s", "latency_p99_ms", "cpu_percent", "rss_mb")


class Letter(NamedTuple):
    """A message to the broker."""

    topic: str
    payload: bytes


def lasting(message: AnyMessage, topics: Topics, *, past: bool, now_us: int) -> Letter | None:
    """Return the letter for a message that must not be lost, an event or a gap; ``None`` for any other.

    Args:
        message: as the daemon sent it; its keys are told unchanged.
        topics: of the node.
        past: whether it comes from the history, or from the daemon's memory.
        now_us: microseconds since 1970.
    """
    if not isinstance(message, Event | Gap) or message.source is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(message)
    told["late"] = past and now_us - microseconds(message.t) > LATE_S * 1e6
    if isinstance(message, Event):
        told["event_type"] = message.label
    return Letter(topics.of(message.source, "event" if isinstance(message, Event) else "gap"), _json(told))


class Paced:
    """Tells at a stated pace what changes all the time: levels, figures, scores; 0 is never.

    Args:
        topics: of the node.
        level_s, health_s, scores_s: the least time from one to the next.
    """

    def __init__(self, topics: Topics, *, level_s: float, health_s: float, scores_s: float) -> None:
        self._topics = topics
        self._every_s = {"level": level_s, "health": health_s, "scores": scores_s}
        self._next_s: dict[tuple[str, str], float] = {}

    def take(self, message: AnyMessage, now_s: float) -> Iterator[Letter]:
        """Yield what is due by this message, at this time of a monotonic clock."""
        if isinstance(message, Scores) and message.source is not None and self._due("scores", message.source, now_s):
            told = {"t": message.t, "level_dbfs": message.level_dbfs, "scores": message.scores}
            yield Letter(self._topics.of(message.source, "scores"), _json(told))
        if not isinstance(message, Health):
            return
        for source, health in message.sources.items():
            if health.level_dbfs is not None and self._due("level", source, now_s):
                told = {"t": message.t, "level_dbfs": round(health.level_dbfs, 1)}
                yield Letter(self._topics.of(source, "level"), _json(told))
            if self._due("health", source, now_s):
                yield Letter(self._topics.of(source, "health"), _json({"t": message.t, **msgspec.to_builtins(health)}))
        if self._due("health", "", now_s):
            yield Letter(self._topics.health, _json({name: getattr(message, name) for name in _OWN}))

    def _due(self, what: str, source: str, now_s: float) -> bool:
        every_s = self._every_s[what]
        if not every_s or now_s < self._next_s.get((what, source), now_s):
            return False
        self._next_s[what, source] = now_s + every_s
        return True


def _json(told: object) -> bytes:
    return msgspec.json.encode(told)
