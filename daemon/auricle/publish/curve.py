"""Keys are asked for here (ZeroMQ's CURVE): the daemon's own pair, and the list of those who may connect."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import zmq

from auricle.messages.keys import Pair

log = logging.getLogger("auricle")


class Allowed:
    """`Allowed` knows who may connect with which key, by a list that can be changed.

    Args:
        pair: the daemon's own.
        names: those who may come, each with the public key.
    """

    def __init__(self, pair: Pair, names: Mapping[str, str]) -> None:
        self._pair = pair
        self._names: dict[str, str] = {}
        self.change(names)

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket speak with those alone who have a key; to be called before the socket is bound."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret.encode())

    def change(self, names: Mapping[str, str]) -> bool:
        """Take another list from now on, and return whether a key has gone: then the sockets have to look at those who
        are connected already."""
        before, self._names = self._names, {key: name for name, key in names.items()}
        come, gone = self._names.keys() - before, before.keys() - self._names
        for keys, where, what in ((come, self._names, "allowed"), (gone, before, "allowed no more")):
            if keys:
                log.info("%s: %s", what, ", ".join(sorted(where[key] for key in keys)))
        return bool(gone)

    def has(self, key: str | None) -> bool:
        """Return whether this key may be connected."""
        return key in self._names
