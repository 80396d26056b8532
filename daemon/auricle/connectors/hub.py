"""A hub follows the daemon once for all who look at the page, and only while somebody does."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from auricle import messages
from auricle.client import Client, Health, Item, Missed, Scores, Snapshot
from auricle.messages.topics import FLEETING, ON_REQUEST, topic_of

TOPICS = ("event.", "gap.", "status.", "mark.", "clip.", "score.", "health.", ON_REQUEST)
WAITING = 400
"""So many messages wait for a viewer; whoever is slower is let go, and comes again for what is new."""
KEPT_S, KEPT = 60.0, 4000
"""Who comes gets what was told in the last so many seconds, and no more messages than that."""
LINGER_S = 10.0
"""The daemon is followed for so long after the last viewer has gone: a page that is loaded anew finds all there."""
SCORES_S = 0.25
"""How often the scores of a source are handed on."""
TOP = 8
SILENT_S = 3.0
TURN_S, AT_ONCE = 0.2, 500
"""How often is taken what has come, and how much at once at most."""
BEAT_S = 2.0
"""Something is sent to every viewer so often: who hears nothing for longer knows that the page is stale."""


class Crowded(Exception):
    """As many look as may at a time."""


class Viewer:
    """Holds what waits for one viewer, as text of the stream."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self.lost = False
        """Whether more came than could wait, or it has gone itself: it is let go."""

    def put(self, text: str) -> None:
        """Let one more message wait."""
        try:
            self.waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.lost = True


class Hub:
    """Hands everything on to all viewers, each message written once.

    Args:
        endpoint: where the daemon publishes.
        key: the file of the keys to connect with there, if it wants any.
        most: viewers at a time.
        changed: called with the number of viewers when that changes.
    """

    def __init__(
        self, endpoint: str, key: Path | None, *, most: int, changed: Callable[[int], None] = lambda n: None
    ) -> None:
        self._endpoint, self._key, self._most, self._changed = endpoint, key, most, changed
        self._viewers: set[Viewer] = set()
        self._epoch = secrets.token_hex(4)
        self._n = 0
        self._kept: deque[tuple[float, int, str]] = deque(maxlen=KEPT)
        self._task: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None
        self._scores: dict[str, float] = {}
        self._thresholds: dict[str, dict[str, float]] = {}

    def enter(self, last_id: str) -> Viewer:
        """Let one more look; what waits for it first is what it has not seen.

        Args:
            last_id: of the last message it has seen; empty if it has seen none.

        Raises:
            Crowded: too many look already.
        """
        if len(self._viewers) >= self._most:
            raise Crowded
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        epoch, _, number = last_id.partition("-")
        oldest = self._kept[0][1] if self._kept else self._n + 1
        resumed = epoch == self._epoch and number.isdecimal() and oldest - 1 <= int(number) <= self._n
        after = int(number) if resumed else 0
        viewer = Viewer()
        viewer.put(f"retry: 1000\n{_data('hello', resumed=resumed)}")
        for _, n, text in list(self._kept)[-WAITING // 2 :]:
            if n > after:
                viewer.put(text)
        self._viewers.add(viewer)
        self._changed(len(self._viewers))
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Let one go."""
        self._viewers.discard(viewer)
        self._changed(len(self._viewers))
        if not self._viewers and self._task is not None:
            self._end = asyncio.get_running_loop().call_later(LINGER_S, self._rest)

    def dismiss(self) -> None:
        """Let all go, since the page ends."""
        for viewer in self._viewers:
            viewer.lost = True
            viewer.put("")

    async def close(self) -> None:
        """Follow the daemon no more."""
        task = self._task
        self._rest()
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _rest(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = self._end = None
        self._kept.clear()
        self._scores.clear()
        # What comes after the rest does not follow what was before.
        self._epoch = secrets.token_hex(4)

    async def _follow(self) -> None:
        beat_s = 0.0
        with Client(self._endpoint, topics=TOPICS, key=self._key) as client:
            while True:
                # Not whenever something comes: to wake, and to wake every viewer, costs more than all that is done.
                for _ in range(AT_ONCE):
                    if (item := client.receive(0)) is None:
                        break
                    if (payload := self._payload(item)) is not None:
                        self._tell(payload)
                if time.monotonic() >= beat_s:
                    beat_s = time.monotonic() + BEAT_S
                    self._beat(client.silent_s(self._endpoint))
                await asyncio.sleep(TURN_S)

    def _beat(self, silent_s: float) -> None:
        beat = _data("beat", silent_s=round(silent_s, 1) if silent_s >= SILENT_S else 0)
        for viewer in self._viewers:
            viewer.put(beat)

    def _tell(self, payload: str) -> None:
        self._n += 1
        text = f"id: {self._epoch}-{self._n}\ndata: {payload}\n\n"
        now_s = time.monotonic()
        self._kept.append((now_s, self._n, text))
        while self._kept[0][0] < now_s - KEPT_S:
            self._kept.popleft()
        for viewer in self._viewers:
            viewer.put(text)

    def _payload(self, item: Item) -> str | None:
        match item:
            case Missed():
                return None if item.topic.startswith(FLEETING) else _json("missed", n=item.n)
            case Snapshot():
                return None  # whoever comes asks for one of its own
            case Health():
                return messages.encode(msgspec.structs.replace(item, last_seq={})).decode()
            case Scores():
                return self._best(item)
            case _:
                return messages.encode(item).decode()

    def _best(self, item: Scores) -> str | None:
        """Write the highest scores and those that are held back, a few times a second, with what thresholds they
        have."""
        topic, now_s = topic_of(item), time.monotonic()
        known = self._thresholds.setdefault(topic, {})
        if isinstance(item.thresholds, dict):
            known.update(item.thresholds)
        if now_s < self._scores.get(topic, 0.0):
            return None
        self._scores[topic] = now_s + SCORES_S
        why = item.held_back if isinstance(item.held_back, dict) else {}
        best = sorted(item.scores, key=lambda label: -item.scores[label])[:TOP]
        told = dict.fromkeys([*best, *(label for label in why if label in item.scores)])
        return _json(
            "score",
            source=item.source,
            t=item.t,
            level_dbfs=item.level_dbfs,
            scores={label: item.scores[label] for label in told},
            thresholds={label: known[label] for label in told if label in known},
            held_back=why,
        )


def _json(kind: str, **fields: object) -> str:
    return msgspec.json.encode({"type": kind, **fields}).decode()


def _data(kind: str, **fields: object) -> str:
    return f"data: {_json(kind, **fields)}\n\n"
