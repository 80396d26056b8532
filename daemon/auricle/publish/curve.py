"""Answers ZeroMQ, which asks (ZAP, its RFC 27), whether somebody with a key may connect.

ZeroMQ's own thread does the arithmetic. This end only looks into a list, in the engine's loop, so that the list needs
no lock, and who was taken off it finds no door open between the reload and the next question.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import zmq
from zmq.utils import z85

from auricle.messages.keys import Pair

log = logging.getLogger("auricle")

DOMAIN = b"auricle"
SERVE_S = 0.005
"""The time for those who knock, in one round of the engine: sound comes first."""
TELL_S = 60.0


class Allowed:
    """`Allowed` answers ZeroMQ whether a key may come in, from a list that can be changed.

    Bound before any socket that is to be guarded: from then on each of them asks.

    Args:
        context: of ZeroMQ; its sockets with keys ask here.
        pair: the daemon's own.
        names: those who may come, each with the public key.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], pair: Pair, names: Mapping[str, str]) -> None:
        self.resting = False
        self._pair = pair
        self._names: dict[str, str] = {}
        self.change(names)
        self._refused = 0
        self._tell_s = 0.0
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind("inproc://zeromq.zap.01")
        self.pollable = self._socket

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket let in only whoever has an allowed key; to be called before the socket is bound."""
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
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

    def serve(self) -> None:
        """Answer those who knock; does not block."""
        until_s = time.monotonic() + SERVE_S
        while (now_s := time.monotonic()) < until_s:
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            # Who asks, an empty frame; version, number, domain, address, identity, mechanism, and the 32 bytes.
            envelope, (version, number, _, address, _, mechanism, *credentials) = frames[:2], frames[2:]
            key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else None
            well = key is not None and self.has(key)
            code, why = (b"200", b"OK") if well else (b"400", b"not allowed")
            self._socket.send_multipart([*envelope, version, number, code, why, (key or "").encode(), b""])
            if not well:
                self._refused += 1
                if now_s >= self._tell_s:
                    self._tell_s = now_s + TELL_S
                    log.warning(
                        "a connection from %s was refused: its key %s is not allowed (%d refused so far)",
                        address.decode(errors="replace"), key, self._refused,
                    )  # fmt: skip

    def close(self) -> None:
        """Answer nobody any more."""
        self._socket.close(0)
