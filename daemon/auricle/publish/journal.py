"""The journal holds in memory what was published lately and which events go on, for those who join late or missed
something."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter

import msgspec

from auricle import messages
from auricle.messages import Event
from auricle.messages.questions import Position
from auricle.messages.topics import FLEETING

HELD = 4096
"""How many messages are held; about 3 MB."""
MARKS = 8
"""One in so many of the messages held may be a mark: whoever marks without end pushes out marks, and nothing else."""
PAGE = 64
"""How many messages one answer holds: a question must not keep the daemon from hearing."""


class _Numbered(msgspec.Struct):
    seq: int


class Journal:
    """Remembers events, gaps, changes of state and marks, as an outlet.

    Args:
        held: how many messages.
    """

    def __init__(self, held: int = HELD) -> None:
        self.open: dict[str, Event] = {}
        """The newest message of every event that goes on, by its id."""
        self._held = held
        self._told = 0
        self._order: deque[str] = deque()
        self._marks: deque[str] = deque()
        self._by_topic: dict[str, deque[tuple[int, int, bytes]]] = {}
        self._dropped: dict[str, int] = {}
        self._event = msgspec.json.Decoder(Event)
        self._numbered = msgspec.json.Decoder(_Numbered)

    def __call__(self, topic: str, payload: bytes) -> None:
        """Remember a message."""
        if topic.startswith(FLEETING):
            return
        if topic.startswith("event."):
            event = self._event.decode(payload)
            seq = event.seq
            if event.phase == "offset":
                self.open.pop(event.id, None)
            else:
                self.open[event.id] = event
        else:
            seq = self._numbered.decode(payload).seq
        # Where memory fails here, nothing was taken yet, or what was is taken again just so.
        order, most = (self._marks, self._held // MARKS) if topic.startswith("mark.") else (self._order, self._held)
        if len(order) >= most:
            self._drop(order)
        items = self._by_topic.setdefault(topic, deque())
        if seq - 1 > (items[-1][1] if items else self._dropped.get(topic, 0)):
            self._dropped[topic] = seq - 1  # one was never given to us
        self._told = told = self._told + 1
        try:
            items.append((told, seq, payload))
            order.append(topic)
        except MemoryError:
            if items and items[-1][0] == told:
                items.pop()
            raise

    def _drop(self, order: deque[str]) -> None:
        oldest = order[0]
        items = self._by_topic[oldest]
        self._dropped[oldest] = max(self._dropped.get(oldest, 0), items[0][1])
        items.popleft()
        order.popleft()

    def since(
        self, position: Position, topics: Sequence[str]
    ) -> tuple[list[messages.AnyMessage], Position | None, bool]:
        """Return what was published after a position of this instance, in the same order, a page at most.

        Args:
            position: what the asker holds already.
            topics: prefixes of the topics that are asked for.

        Returns:
            The messages; the position after them, if there are more; whether memory reaches back far enough.
        """
        held = position.last_seq
        prefixes = tuple(topics)
        wanted = [name for name in self._by_topic if name.startswith(prefixes)]
        complete = all(self._dropped.get(name, 0) <= held.get(name, 0) for name in wanted)
        found = list(islice(heapq.merge(*(self._after(name, held.get(name, 0)) for name in wanted)), PAGE + 1))
        told = [messages.decode(payload) for _, _, _, payload in found[:PAGE]]
        if len(found) <= PAGE:
            return told, None, complete
        passed = {name: seq for _, name, seq, _ in found[:PAGE]}
        return told, Position(instance=position.instance, last_seq={**held, **passed}), complete

    def events(self) -> list[Event]:
        """Return the newest message of every event that is held, the newest event first."""
        held = [items for name, items in self._by_topic.items() if name.startswith("event.")]
        told = (self._event.decode(payload) for _, _, payload in heapq.merge(*held))
        # Each has the place of its first message, and the last one is kept there.
        return list(reversed({event.id: event for event in told}.values()))

    def _after(self, topic: str, seq: int) -> Iterator[tuple[int, str, int, bytes]]:
        """Yield the messages of a topic after a `seq`, each with its place in the order of all."""
        items = self._by_topic[topic]
        for n, number, payload in islice(items, bisect_right(items, seq, key=itemgetter(1)), None):
            yield n, topic, number, payload
