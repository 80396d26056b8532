"""Answers ZeroMQ, which asks (ZAP, its RFC 27) whether somebody may connect, and lets them in one after the other.

Until it is answered, nothing that a connection says reaches the socket: an engine that is held by what those inside say
lets in nobody more. ZeroMQ's own thread does the arithmetic of keys; this end only looks into a list, in the engine's
loop, so that the list needs no lock, and who was taken off it finds no door open between the reload and the next
question.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import zmq
from zmq.utils import z85

from auricle.publish.curve import Allowed
from auricle.publish.door import SHAKEN_S

log = logging.getLogger("auricle")

SERVE_S = 0.005
"""The time for those who knock, in one round of the engine: sound comes first."""
TELL_S = 60.0
WAITING = 1000
"""So many who knock are remembered; of more, the first are most likely gone."""
NEWCOMERS, NEWCOMERS_PER_S = 8.0, 50.0
"""So many come in at once, and so many more in a second: to take up what one may say, and to forget it, costs some
milliseconds."""
CLOSED_S = 2.0
"""After somebody had to be cut off for what it said, nobody comes in for so long."""


class Pace:
    """Paces those who come in, and closes for a while after a flood."""

    def __init__(self) -> None:
        self._left = NEWCOMERS
        self._last_s = self._open_s = 0.0

    def close(self, now_s: float) -> None:
        """Let nobody in for a while."""
        self._open_s = now_s + CLOSED_S

    def admits(self, now_s: float) -> bool:
        """Return whether one more may come in now, and count it."""
        if now_s < self._open_s:
            return False
        self._left = min(NEWCOMERS, self._left + NEWCOMERS_PER_S * (now_s - self._last_s))
        self._last_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True, frozen=True)
class _Knock:
    since_s: float
    domain: bytes
    asked: tuple[bytes, ...]
    """The frames that an answer begins with: where it goes to, an empty one, the version, the question's number."""
    address: str
    key: str | None


class Admission:
    """`Admission` lets in those who may connect to the sockets of a context.

    Made before any socket that is to be guarded, since from the bind on each of them asks.

    Args:
        context: of ZeroMQ; its guarded sockets ask here.
        allowed: whose keys are asked for; without it everybody may come, without a key.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: Allowed | None = None) -> None:
        self.allowed = allowed
        self.resting = False
        self._admits: dict[bytes, Callable[[float], bool]] = {}
        self._knocks: deque[_Knock] = deque(maxlen=WAITING)
        self._refused = 0
        self._tell_s = 0.0
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind("inproc://zeromq.zap.01")
        self.pollable = self._socket

    def guard(self, socket: zmq.Socket[bytes], admits: Callable[[float], bool] | None = None) -> None:
        """Make a socket ask for everybody who comes; to be called before the socket is bound.

        Args:
            socket: not bound yet.
            admits: says whether one more may come in at a time of the monotonic clock, if not at any; who may not has
                to wait.
        """
        if self.allowed is not None:
            self.allowed.guard(socket)
        elif admits is None:
            return  # there is nothing to ask
        domain = f"auricle-{len(self._admits)}".encode()
        self._admits[domain] = admits or (lambda now_s: True)
        socket.setsockopt(zmq.ZAP_DOMAIN, domain)

    def serve(self) -> None:
        """Answer those who knock; does not block."""
        if not self._knocks and not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            return  # as in nearly every round: to look costs a third of finding nothing
        until_s = time.monotonic() + SERVE_S
        while (now_s := time.monotonic()) < until_s:
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            # Who asks, an empty frame; version, number, domain, address, identity, mechanism, a key's 32 bytes.
            asker, empty, version, number, domain, address, _, mechanism, *credentials = frames
            key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else None
            knock = _Knock(now_s, domain, (asker, empty, version, number), address.decode(errors="replace"), key)
            if self._may(knock):
                self._knocks.append(knock)
            else:
                self._refuse(knock, now_s)
        for _ in range(len(self._knocks)):
            knock = self._knocks.popleft()
            if now_s - knock.since_s > SHAKEN_S:
                continue  # its connection was ended meanwhile
            if not self._may(knock):
                self._refuse(knock, now_s)
            elif self._admits[knock.domain](now_s):
                self._answer(knock, b"200", b"OK")
            else:
                self._knocks.append(knock)

    def close(self) -> None:
        """Answer nobody any more."""
        self._socket.close(0)

    def _may(self, knock: _Knock) -> bool:
        return self.allowed is None or self.allowed.has(knock.key)

    def _answer(self, knock: _Knock, code: bytes, why: bytes) -> None:
        self._socket.send_multipart([*knock.asked, code, why, (knock.key or "").encode(), b""])

    def _refuse(self, knock: _Knock, now_s: float) -> None:
        self._answer(knock, b"400", b"not allowed")
        self._refused += 1
        if now_s >= self._tell_s:
            self._tell_s = now_s + TELL_S
            log.warning(
                "a connection from %s was refused: its key %s is not allowed (%d refused so far)",
                knock.address, knock.key, self._refused,
            )  # fmt: skip
