"""Subscriptions are counted and bounded here, each connection's and all together.

ZeroMQ holds prefixes in memory byte by byte, in one tree for all, and goes through the whole of it whenever a
connection ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from auricle.messages.topics import ON_REQUEST

SUBSCRIPTIONS = 256
"""How many subscriptions one connection may have at a time."""
PREFIX_BYTES = 8192
"""How many bytes all prefixes of one connection may have; ZeroMQ keeps a node of some 50 bytes for each."""
TOGETHER_BYTES = 65_536
"""How many bytes all different prefixes may have, those of all connections together: to go through the tree of so many
takes some milliseconds."""
LONGEST_PREFIX = 512
_ON_REQUEST = ON_REQUEST.encode()
CHANGES_PER_S = 2000
"""How many subscriptions one connection may take up and give up."""


@dataclass(slots=True)
class _Held:
    prefixes: set[bytes] = field(default_factory=set)
    size: int = 0
    second: int = 0
    changes: int = 0
    over: bool = False


class Subscriptions:
    """Counts subscriptions, by connection."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._times: dict[bytes, int] = {}
        """How many connections hold each prefix."""
        self._size = 0
        self._requests: set[bytes] = set()
        self.requested = 0
        """How often it changed what is asked for (`asks`)."""

    def asks(self, topic: str) -> bool:
        """Return whether somebody's subscription asks for this topic, one of those that are published on request."""
        name = topic.encode()
        return any(name[:end] in self._requests for end in range(len(_ON_REQUEST), len(name) + 1))

    def note(self, number: int, frame: bytes, now_s: float) -> tuple[int, str] | None:
        """Take note of a subscription, or of its end, of the connection with this descriptor.

        Args:
            frame: as an XPUB socket receives it: 1 or 0, then the prefix.
            now_s: of a monotonic clock.

        Returns:
            The descriptor of a connection that exceeds a bound with this, and which: this one, or of all the one
            that holds most, if all hold too much. Of one that exceeds a bound already nothing is said or kept.
        """
        held = self._held.setdefault(number, _Held())
        if held.over:
            return None
        if held.second != int(now_s):
            held.second, held.changes = int(now_s), 0
        held.changes += 1
        prefix = frame[1:]
        if frame[:1] == b"\x01" and prefix not in held.prefixes:
            held.prefixes.add(prefix)
            held.size += len(prefix)
            self._take(prefix)
        elif frame[:1] == b"\0" and prefix in held.prefixes:
            held.prefixes.remove(prefix)
            held.size -= len(prefix)
            self._give(prefix)
        why = None
        if held.changes > CHANGES_PER_S:
            why = f"more than {CHANGES_PER_S} changes of subscriptions a second"
        elif len(held.prefixes) > SUBSCRIPTIONS:
            why = f"more than {SUBSCRIPTIONS} subscriptions"
        elif held.size > PREFIX_BYTES:
            why = f"more than {PREFIX_BYTES} bytes of prefixes"
        elif self._size > TOGETHER_BYTES:
            why = f"holding most of more than {TOGETHER_BYTES} bytes of prefixes of all"
            number = max(self._held, key=lambda each: self._held[each].size)
        if why is None:
            return None
        self._empty(self._held[number])
        self._held[number].over = True
        return number, why

    def forget(self, number: int) -> None:
        """Forget all that is known of this descriptor: its connection has gone, or is new."""
        if (held := self._held.pop(number, None)) is not None:
            self._empty(held)

    def _empty(self, held: _Held) -> None:
        for prefix in held.prefixes:
            self._give(prefix)
        held.prefixes.clear()
        held.size = 0

    def _take(self, prefix: bytes) -> None:
        times = self._times.get(prefix, 0)
        self._times[prefix] = times + 1
        if not times:
            self._size += len(prefix)
            if prefix.startswith(_ON_REQUEST):
                self._requests.add(prefix)
                self.requested += 1

    def _give(self, prefix: bytes) -> None:
        times = self._times.pop(prefix) - 1
        if times:
            self._times[prefix] = times
        else:
            self._size -= len(prefix)
            if prefix.startswith(_ON_REQUEST):
                self._requests.discard(prefix)
                self.requested += 1
