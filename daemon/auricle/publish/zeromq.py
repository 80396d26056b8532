"""Messages leave over ZeroMQ here: this is the socket that subscribers connect to."""

from __future__ import annotations

import logging
import time
from functools import partial

import msgspec
import zmq

from auricle.errors import EndpointError
from auricle.messages.questions import Welcome
from auricle.publish import floods
from auricle.publish.admission import Admission, Pace
from auricle.publish.connections import address_of
from auricle.publish.door import Door
from auricle.publish.floods import Floods
from auricle.publish.place import Place
from auricle.publish.publisher import Publisher
from auricle.publish.slow import Slow
from auricle.publish.subscriptions import LONGEST_PREFIX, Subscriptions
from auricle.publish.turns import Turns

log = logging.getLogger("auricle")

WELCOME = b"welcome."
QUEUE = 10_000
SUBSCRIBERS = 64
"""How many connections there may be at a time.

When a connection ends, ZeroMQ takes up what it has said last, 8 KiB and more, and goes through all that it knows of
all: so what can be done by many who end together grows with the square of their number. With so many it is some seconds
at worst, with 400 it was a minute.
"""
ASKED_S, GIVEN_UP_S = 5, 15
"""A subscriber's machine is asked so often over TCP whether it is there, and after so long without an answer it has
gone.

ZeroMQ's own heartbeats are not used: where a client has filled its input and left, the next one to it ends the whole
process on an assertion (libzmq 4.3.5), so that anybody could end the daemon.
"""
SERVE_S = 0.005
"""The time for subscriptions in one round of the engine: sound comes first."""
WAITING_SUBSCRIPTIONS = 16
"""How many subscriptions of one connection ZeroMQ reads ahead; as long as more come in, it takes up one after the other
at once."""


class Socket:
    """Publishes over a ZeroMQ XPUB socket, as an outlet; to subscribers it is a PUB socket like any other.

    A subscriber may subscribe to ``welcome.<anything of its own>``, last of all: it is answered there once everything
    it has subscribed to before is in force (`greet`), and so knows from when on it hears all.

    Args:
        context: of ZeroMQ.
        endpoint: where to bind.
        queue: messages that wait for each subscriber. Whoever has let it run full and does not catch up is cut off
            (`Slow`): the old messages go, it reconnects by itself and hears what is new. So it is with one whose
            machine has gone, or takes nothing over TCP, for `GIVEN_UP_S`.
        group: of an ipc socket.
        most: connections at a time; how much each may subscribe to, `Subscriptions` says. Whoever exceeds that is
            cut off.
        admission: lets in whoever may come, and not too many at once. Without it whoever comes is there, which is for
            places that no stranger can reach.
        patient: whether an address that is in use, or not there yet, is tried again (`Place`).

    Raises:
        EndpointError: the endpoint is none; or in use, and it is not patient.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        queue: int = QUEUE,
        group: str | None = None,
        most: int = SUBSCRIBERS,
        admission: Admission | None = None,
        patient: bool = False,
    ) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.sndhwm = queue
        self._socket.rcvhwm = WAITING_SUBSCRIPTIONS
        # Every subscription is reported, also of whom: who comes back is welcomed again, and each can be counted. With
        # XPUB_MANUAL ZeroMQ would hold every prefix twice, and would hold what we refuse as well.
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_PREFIX)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, ASKED_S)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, ASKED_S)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, GIVEN_UP_S // ASKED_S - 1)
        self._socket.setsockopt(zmq.TCP_MAXRT, 1000 * GIVEN_UP_S)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)  # a full queue is an error, so that it is known of
        self._welcome: bytes | None = None
        self._publisher: Publisher | None = None
        self._queue = queue
        self._overflowed = False
        self.cut = 0
        """How many subscribers were cut off so far."""
        self.subscriptions = Subscriptions()
        self.door = Door(context, self._socket, most)
        self.door.gone = self._gone
        self._slow: Slow | None = None
        self._floods: Floods | None = None
        self._turns: Turns | None = None
        self._pace = Pace()
        self._keyed = admission is not None and admission.allowed is not None
        if admission is not None:
            admission.guard(self._socket, self._admits)
        try:
            self.place = Place(
                self._socket, endpoint, group=group, key="publish.endpoint", patient=patient, opened=self._opened
            )
        except EndpointError:
            self.door.close()
            raise
        self.pollable = self._socket
        self.resting = False

    @property
    def endpoint(self) -> str:
        """Return the endpoint where it is bound, or will be."""
        return self.place.endpoint

    def __call__(self, topic: str, payload: bytes) -> None:
        """Send a message; what a slow subscriber's queue cannot take is lost to that subscriber alone, and `seq` shows
        it."""
        self._send(topic.encode(), payload)

    def greet(self, publisher: Publisher, query: str | None) -> None:
        """Welcome subscribers that ask for it, from now on, with where to ask questions; and publish which are slow or
        too many."""
        self._publisher = publisher
        self.door.tell = partial(publisher.tell, "crowded")
        self._welcome = msgspec.json.encode(Welcome(node=publisher.node, instance=publisher.instance, query=query))

    def serve(self) -> None:
        """Take note of new subscriptions, and of slow subscribers; does not block."""
        if not self.place.bound:
            self.place.look(time.monotonic())
            return
        if self._overflowed:
            self._judge()
        self._look()
        until_s = time.monotonic() + SERVE_S
        while (now_s := time.monotonic()) < until_s:
            try:
                message = self._socket.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            if self._keyed:
                self.door.note_key(message)
            frame = message.bytes
            if (number := _number(message)) is not None and self.door.knows(number):
                over = self.subscriptions.note(number, frame, now_s)
                if over is not None:
                    self.door.hang_up(*over)
                    self._pace.close(now_s)
                    continue
            if frame.startswith(b"\x01" + WELCOME) and self._welcome is not None:
                self._send(frame[1:], self._welcome)

    def close(self, linger_ms: int = 500) -> None:
        """Close the socket, after a moment in which subscribers may take what is queued."""
        if self._slow is not None:
            self._slow.close()
        self.door.close()
        self._socket.close(linger_ms)
        if self._floods is not None:
            self._floods.finish(linger_ms / 1000)

    def _opened(self, endpoint: str) -> None:
        self.door.bound(endpoint)
        self._slow = Slow(endpoint)
        if (address := address_of(endpoint)) is not None:
            self._floods, self._turns = Floods(address), Turns(address)
            self.door.came = self._came

    def _came(self, number: int) -> None:
        if self._floods is not None and self._turns is not None:
            self._floods.watch(number)
            self._turns.came(number, time.monotonic())

    def _gone(self, number: int) -> None:
        self.subscriptions.forget(number)
        if self._floods is not None and self._turns is not None:
            self._floods.forget(number)
            self._turns.gone(number)

    def _admits(self, now_s: float) -> bool:
        """Return whether one more may come in now; whoever may is watched already."""
        self._look()
        return self._pace.admits(now_s)

    def _look(self) -> None:
        """Take note of who came, who went, and who was cut off; let others speak."""
        self.door.look()
        if self._floods is None or self._turns is None:
            return
        now_s = time.monotonic()
        if self._turns.look(now_s):
            self._floods.look()
        if n := self._floods.cut():
            self.door.count(floods.WHY, n)
            self._pace.close(now_s)

    def _send(self, topic: bytes, payload: bytes) -> None:
        try:
            self._send_frames(topic, payload)
        except zmq.Again:  # at the first frame, before anything of it was sent
            # Now to everybody but those whose queues are full. They lose the newest until they are judged, which costs
            # them nothing more: who is cut loses all that waits.
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._send_frames(topic, payload)
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
            if not self._overflowed and self._slow is not None:
                self._overflowed = True
                self._slow.begin(time.monotonic())

    def _send_frames(self, topic: bytes, payload: bytes) -> None:
        self._socket.send(topic, zmq.DONTWAIT | zmq.SNDMORE)
        self._socket.send(payload, zmq.DONTWAIT)

    def _judge(self) -> None:
        """Cut the subscribers that are stuck, and say so once it is done."""
        cut = None if self._slow is None else self._slow.look(time.monotonic())
        if cut is None:
            return
        self._overflowed = False
        self.cut += cut
        lost = f"cut off {cut} with all that waited" if cut else "it took more meanwhile: its newest were dropped"
        detail = f"a subscriber let its queue of {self._queue} messages run full; {lost} ({self.cut} cut so far)"
        log.warning("%s", detail)
        if self._publisher is not None:
            self._publisher.tell("slow", detail)


def _number(message: zmq.Frame) -> int | None:
    """Return the descriptor of the connection that a message came by; ``None`` where there is none (inproc, or it has
    gone)."""
    try:
        return int(message.get(zmq.SRCFD))
    except zmq.ZMQError:
        return None
