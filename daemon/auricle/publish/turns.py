"""Connections over TCP are heard in turn here, a few at a time; of one with too much to say nothing is taken up.

What ZeroMQ has taken up costs the engine: to keep it, and to go through all of it at the end of every connection. With
several hundred connections that begin to speak together it is too late to cut them off afterwards: each has said what
one alone may say. So a connection is held once it is there: Linux tells nobody that something can be read as long as it
is less than a mark that can be set for each (SO_RCVLOWAT), and ZeroMQ reads nothing unless it is told. How much waits
can be asked all the same.
"""

from __future__ import annotations

import socket as sockets
import time
from contextlib import suppress
from dataclasses import dataclass

from auricle.publish.connections import Address, connection, waiting
from auricle.publish.floods import UNREAD

FREE_S = 0.25
"""So long whoever comes is not held: a subscriber greets and says what it wants. How many come at a time is bounded."""
TURN_S, LOOK_S = 0.02, 0.01
"""The time of a turn, and the most that one look at all of them takes: sound comes first."""
SPEAKING = 32
"""So many speak at a time: whoever does may begin a flood, until it is cut off for that."""
BYTES, BYTES_PER_S = 16 * 1024.0, 64 * 1024.0
"""So many bytes are let in at once, and so many more in a second, of all together; a byte costs the engine less than
half a microsecond."""
LEAST = 64
"""Whoever has less to say counts as so many bytes."""
HELD = 512 * 1024
"""Less than so many bytes wake nobody. Of more ZeroMQ hears, and so it reads on while we do not look."""


@dataclass(slots=True)
class _Inside:
    until_s: float
    """It may speak until then."""
    held: bool = False


class Turns:
    """Holds the connections of one bound socket back, and lets in a little of what they say at each look.

    Args:
        address: where the socket is bound. Only over TCP can a connection be held; of others nothing is done.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._inside: dict[int, _Inside] = {}
        self._left = BYTES
        self._last_s = 0.0

    def came(self, number: int, now_s: float) -> None:
        """Take note of the connection with this descriptor."""
        if isinstance(self._address, int):
            self._inside[number] = _Inside(now_s + FREE_S)

    def gone(self, number: int) -> None:
        """Forget the connection with this descriptor."""
        self._inside.pop(number, None)

    def look(self, now_s: float) -> bool:
        """Let some speak whose turn it is, and hold those again who had theirs; return whether somebody has
        too much to say."""
        if now_s < self._last_s + TURN_S:
            return False
        self._left = min(BYTES, self._left + BYTES_PER_S * (now_s - self._last_s))
        self._last_s = now_s
        flooding = False
        speaking = sum(now_s < each.until_s for each in self._inside.values())
        for number, each in list(self._inside.items()):
            if not each.held:
                if now_s >= each.until_s:
                    each.held = self._mark(number, HELD)
                continue
            if not (n := waiting(number)):
                continue
            if n > UNREAD:
                flooding = True
            elif self._left > 0 and speaking < SPEAKING:
                speaking += 1
                self._left -= max(n, LEAST)
                each.held, each.until_s = not self._mark(number, 1), now_s + TURN_S
                self._inside[number] = self._inside.pop(number)  # the others come first next time
            if time.monotonic() > now_s + LOOK_S:
                break
        return flooding

    def _mark(self, number: int, least: int) -> bool:
        if (found := connection(number, self._address)) is None:
            return False
        with found, suppress(OSError):  # a kernel that is no Linux: then nobody is held
            found.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVLOWAT, least)
            return True
        return False
