"""Subscribers that do not keep up are found here among the connections of a bound socket, and cut off with all that
waits.

ZeroMQ says that some queue is full, but not whose, and of a full queue it can drop the newest message only, or
everything, with the connection. What tells a full queue is its connection: the kernel takes nothing more there. For a
moment that may hold of others too, who are only a little behind; therefore there are several looks, and whoever took
something at any of them is left alone.
"""

from __future__ import annotations

import select
import socket as sockets

from auricle.publish.connections import Address, address_of, connections, hang_up

LOOKS, APART_S = 5, 0.1


class Slow:
    """Judges the connections of one endpoint of ours; nothing here blocks.

    Args:
        endpoint: as it is bound, tcp or ipc; others (inproc) have no connections that could be cut.
    """

    def __init__(self, endpoint: str) -> None:
        self._address: Address = address_of(endpoint)
        self._suspects: list[sockets.socket] = []
        self._looks = 0
        self._next_s = 0.0

    def begin(self, now_s: float) -> None:
        """Look from now on, since some queue is full; the first look comes when what is under way has been sent."""
        self._looks, self._next_s = LOOKS, now_s + APART_S

    def look(self, now_s: float) -> int | None:
        """Look if it is time; return after the last look how many connections were cut, before it ``None``."""
        if now_s < self._next_s:
            return None
        if self._looks == LOOKS:
            self._suspects = connections(self._address)
        self._looks -= 1
        self._next_s = now_s + APART_S
        stuck = []
        for each in self._suspects:
            if _takes_nothing(each):
                stuck.append(each)
            else:
                each.close()
        self._suspects = stuck
        if stuck and self._looks > 0:
            return None
        for each in stuck:
            hang_up(each)
        self.close()
        return len(stuck)

    def close(self) -> None:
        """Look at connections no more."""
        for each in self._suspects:
            each.close()
        self._suspects = []


def _takes_nothing(socket: sockets.socket) -> bool:
    """Return whether a connection is alive and full; one that has gone or failed is not."""
    poll = select.poll()
    poll.register(socket, select.POLLOUT)
    return not poll.poll(0)
