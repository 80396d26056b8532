"""Subscribers that do not keep up: found among the connections of a bound socket, and cut off with all that waits.

ZeroMQ says that somebody's queue is full, but not whose, and of a full queue it can drop the newest message only, or
everything, with the connection. Whose queue is full, of that connection the kernel takes nothing more. That can be so
for a moment of others too, who are only a little behind: therefore several looks, and whoever took something at any of
them is let be.
"""

from __future__ import annotations

import os
import select
import socket as sockets
import stat
from contextlib import suppress

LOOKS, APART_S = 5, 0.1
CONNECTIONS = "/proc/self/fd"


class Slow:
    """Judges the connections of one endpoint of ours; nothing here blocks.

    Args:
        endpoint: as it is bound, tcp or ipc. Of others (inproc) there are no connections to be cut.
    """

    def __init__(self, endpoint: str) -> None:
        self._address = _address(endpoint)
        self._suspects: list[sockets.socket] = []
        self._looks = 0
        self._next_s = 0.0

    def begin(self, now_s: float) -> None:
        """Somebody's queue is full: look from now on. The first look comes when what is under way has been sent."""
        self._looks, self._next_s = LOOKS, now_s + APART_S

    def look(self, now_s: float) -> int | None:
        """Look if it is time; after the last look how many have been cut, before it ``None``."""
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
            with suppress(OSError):  # it has gone by itself: just as well
                each.shutdown(sockets.SHUT_RDWR)
        self.close()
        return len(stuck)

    def close(self) -> None:
        """Look no more."""
        for each in self._suspects:
            each.close()
        self._suspects = []


def connections(address: str | bytes | int | None) -> list[sockets.socket]:
    """What this process has accepted at an address of its own, to be closed by the caller.

    Each is a second descriptor of the connection: its number cannot come to mean another one while it is looked at.
    """
    found: dict[int, sockets.socket] = {}
    for number in map(int, os.listdir(CONNECTIONS)):
        if number in found:
            continue  # it was free again after the listing, and has become one of these copies
        try:
            copy = os.dup(number)
        except OSError:
            continue  # closed meanwhile, or no number is left: then this one is not judged
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            continue
        each = sockets.socket(fileno=copy)
        if address is not None and _bound_to(each) == address and not _listens(each):
            found[copy] = each
        else:
            each.close()
    return list(found.values())


def _address(endpoint: str) -> str | bytes | int | None:
    """The port of tcp, whatever the host: of a wildcard every connection has its own. The path or name of ipc."""
    kind, _, where = endpoint.partition("://")
    if kind == "tcp":
        return int(where.rpartition(":")[2])
    if kind == "ipc":
        return b"\0" + where[1:].encode() if where.startswith("@") else where
    return None


def _bound_to(socket: sockets.socket) -> str | bytes | int | None:
    if socket.type != sockets.SOCK_STREAM:
        return None
    match socket.family:
        case sockets.AF_INET | sockets.AF_INET6:
            return int(socket.getsockname()[1])
        case sockets.AF_UNIX:
            name: str | bytes = socket.getsockname()
            return name
    return None


def _listens(socket: sockets.socket) -> bool:
    return socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_ACCEPTCONN) != 0


def _takes_nothing(socket: sockets.socket) -> bool:
    """Whether it is alive and full; what has gone or failed is not."""
    poll = select.poll()
    poll.register(socket, select.POLLOUT)
    return not poll.poll(0)
