"""A door says who may be connected to a bound socket: so many and no more, each known by its descriptor while it is
there."""

from __future__ import annotations

import itertools
import logging
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import zmq

from auricle.publish.connections import Address, address_of, connection, hang_up

log = logging.getLogger("auricle")

CONNECTIONS = 400
"""How many connections one socket may have; each costs a descriptor and some 30 kB, whatever it says."""
SHAKEN_S = 5
"""A connection that has not said after so long that it speaks ZeroMQ is ended."""
TELL_S = 60.0
_numbers = itertools.count()
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED


class Door:
    """Counts the connections of one socket and cuts those that come when it is full; nothing here blocks.

    ZeroMQ accepts whoever comes until no descriptor is left, and reports each connection afterwards; those that are too
    many are hung up on.

    Args:
        context: of ZeroMQ.
        socket: not bound yet.
        most: connections at a time.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], most: int) -> None:
        self.most = most
        self.keys: dict[int, str] = {}
        """The public key of the connection with each descriptor, as far as it has sent anything."""
        self.inside: set[int] = set()
        """The descriptors of the connections that are there."""
        self.cut = 0
        """How many connections were cut off so far because of a bound."""
        self.gone: Callable[[int], None] = lambda number: None
        """Is called with the descriptor of whoever came or left: what is known of that number belongs to another
        connection."""
        self.came: Callable[[int], None] = lambda number: None
        """Is called then with the descriptor of whoever came and may stay."""
        self.tell: Callable[[str], None] = lambda detail: None
        """Is called, once a minute at most, with a line about who was cut."""
        self._address: Address = None
        self._socket = socket
        self._news_s = 0.0
        self._news: dict[str, int] = {}
        socket.setsockopt(zmq.HANDSHAKE_IVL, SHAKEN_S * 1000)
        # Never the same twice: ZeroMQ's own thread may still be closing the one before.
        where = f"inproc://door-{next(_numbers)}"
        socket.monitor(where, _EVENTS)
        self._events = context.socket(zmq.PAIR)
        self._events.rcvhwm = 0  # else ZeroMQ's own thread would wait for us
        self._events.connect(where)

    def bound(self, endpoint: str) -> None:
        """Take note of where the socket is bound now."""
        self._address = address_of(endpoint)

    def look(self) -> None:
        """Take note of who has come and gone, and hang up on those who are too many."""
        while True:
            try:
                event, _ = self._events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            kind, number = struct.unpack("=HI", event)
            self.gone(number)
            self.keys.pop(number, None)
            if kind != zmq.EVENT_ACCEPTED:
                self.inside.discard(number)
                continue
            self.inside.add(number)
            if len(self.inside) > self.most:
                self.hang_up(number, f"more than {self.most} connections at a time")
            else:
                self.came(number)
        self._say()

    def knows(self, number: int) -> bool:
        """Return whether the connection with this descriptor is still there; what it sent before it went may come
        later."""
        if number not in self.inside:
            self.look()
        return number in self.inside

    def hang_up(self, number: int, why: str) -> None:
        """Cut this connection off, and count it."""
        self.count(why)
        if (each := connection(number, self._address)) is not None:
            hang_up(each)
            each.close()

    def count(self, why: str, n: int = 1) -> None:
        """Count so many that were cut off, perhaps elsewhere."""
        if n:
            self.cut += n
            self._news[why] = self._news.get(why, 0) + n

    def note_key(self, frame: zmq.Frame) -> None:
        """Take note of whose connection a frame came by, where keys are wanted."""
        with suppress(zmq.ZMQError):  # it came by none, or that has gone
            number, key = int(frame.get(zmq.SRCFD)), str(frame.get("User-Id"))
            if self.knows(number):
                self.keys[number] = key

    def expel(self, allowed: Callable[[str | None], bool]) -> None:
        """Hang up on every connection whose key is not allowed, or not known yet: it may come again."""
        self.look()
        for number in list(self.inside):
            if not allowed(self.keys.get(number)):
                self.hang_up(number, "a key that is allowed no more, or was not seen yet")

    def close(self) -> None:
        """Look at connections no more."""
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._events.close(0)

    def _say(self) -> None:
        now_s = time.monotonic()
        if not self._news or now_s < self._news_s:
            return
        self._news_s = now_s + TELL_S
        reasons = "; ".join(f"{n} for {why}" for why, n in self._news.items())
        self._news.clear()
        detail = f"connections were cut off: {reasons} ({self.cut} so far)"
        log.warning("%s", detail)
        self.tell(detail)
