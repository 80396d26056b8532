"""Each connection's subscriptions are counted and bounded here: ZeroMQ holds prefixes in memory byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field

SUBSCRIPTIONS = 256
"""How many subscriptions one connection may have at a time."""
PREFIX_BYTES = 8192
"""How many bytes all prefixes of one connection may have; ZeroMQ keeps a node of some 50 bytes for each."""
LONGEST_PREFIX = 512
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

    def note(self, number: int, frame: bytes, now_s: float) -> str | None:
        """Take note of a subscription, or of its end, of the connection with this descriptor.

        Args:
            frame: as an XPUB socket receives it: 1 or 0, then the prefix.
            now_s: of a monotonic clock.

        Returns:
            The bound that the connection exceeds with this, if it does; of one that exceeds a bound already nothing is
            said or kept.
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
        elif frame[:1] == b"\0" and prefix in held.prefixes:
            held.prefixes.remove(prefix)
            held.size -= len(prefix)
        why = None
        if held.changes > CHANGES_PER_S:
            why = f"more than {CHANGES_PER_S} changes of subscriptions a second"
        elif len(held.prefixes) > SUBSCRIPTIONS:
            why = f"more than {SUBSCRIPTIONS} subscriptions"
        elif held.size > PREFIX_BYTES:
            why = f"more than {PREFIX_BYTES} bytes of prefixes"
        if why is not None:
            held.over = True
            held.prefixes.clear()
        return why

    def forget(self, number: int) -> None:
        """Forget all that is known of this descriptor: its connection has gone, or is new."""
        self._held.pop(number, None)
