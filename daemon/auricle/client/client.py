"""A client follows daemons over sockets, and gives what comes as typed messages, for loops with and without asyncio.

    from auricle.client import Client, Event

    with Client("tcp://127.0.0.1:5557", topics=["event."]) as client:
        for item in client:
            if isinstance(item, Event):
                print(item.phase, item.label)

Needs ``pyzmq`` and ``msgspec`` alone of what Auricle depends on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec
import zmq

from auricle.client.backlog import Backlog
from auricle.client.follow import Bookmark, Follower, Item, Missed
from auricle.errors import EndpointError, KeysError, NoDaemonError, UsageError
from auricle.messages import AnyMessage, Clip, Event, Gap, Health, Mark, Scores, Spectrum, Status
from auricle.messages.keys import Pair, read_pair
from auricle.messages.questions import (
    AnyAnswer,
    AnyQuestion,
    AskEvents,
    AskExplain,
    AskMark,
    AskPause,
    AskResume,
    AskSnapshot,
    AskStatus,
    AskThreshold,
    AskUndo,
    Explained,
    History,
    Marked,
    Overridden,
    Paused,
    Refused,
    Report,
    Snapshot,
)

__all__ = [
    "AnyMessage",
    "AskEvents",
    "AskExplain",
    "AskMark",
    "AskPause",
    "AskResume",
    "AskSnapshot",
    "AskStatus",
    "AskThreshold",
    "AskUndo",
    "Bookmark",
    "Client",
    "Clip",
    "Event",
    "Explained",
    "Gap",
    "Health",
    "History",
    "Item",
    "Mark",
    "Marked",
    "Missed",
    "Overridden",
    "Paused",
    "Report",
    "Scores",
    "Snapshot",
    "Spectrum",
    "Status",
    "ask",
]

ENDPOINT = "tcp://127.0.0.1:5557"
QUEUE = 10_000
TICK_S, PUMP_S = 0.25, 0.05
IDLE_S = 5.0
"""Without anything that is waited for, sockets are looked at this often though none has woken us."""

_A = TypeVar("_A", Explained, History, Marked, Overridden, Paused, Report, Snapshot)


class Client:
    """Follows one or several daemons.

    It gives messages (`Event`, `Scores`, `Spectrum`, `Gap`, `Status`, `Mark`, `Clip`, `Health`), a `Snapshot` whenever
    it has joined a daemon or one has started anew, followed by the newest message of every event that goes on, and a
    `Missed` for messages that are lost for good. Within a topic they come in order, none twice.

    Args:
        endpoints: where daemons publish; one on this machine unless given.
        topics: prefixes; everything unless given.
        query: where a daemon is to be asked, if not where the daemon says itself (behind a forwarded port); one
            endpoint only.
        key: the pair of keys to connect with, or its file, where the daemon wants keys; it has the daemon's public key.
        queue: messages that wait here for a slow reader, in the socket and once more behind it. Of more the oldest
            scores, spectra and `health` are dropped and reported; all else is asked for again.
        since: what is held already of one endpoint, from an earlier life; what the daemon still has of all that was
            published after it comes first.

    Raises:
        EndpointError: what was named is no endpoint.
        KeysError: the keys cannot be read.
    """

    def __init__(
        self,
        *endpoints: str,
        topics: Sequence[str] = ("",),
        query: str | None = None,
        key: Pair | Path | str | None = None,
        queue: int = QUEUE,
        since: Bookmark | None = None,
    ) -> None:
        for name, given in (("query", query), ("since", since)):
            if given is not None and len(endpoints) > 1:
                raise UsageError(f"{name}: belongs to one endpoint, and there are several; leave it out")
        pair = _pair(key)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._links: list[_Link] = []
        self._backlog = Backlog(queue)
        self._pump_s = 0.0
        try:
            for endpoint in endpoints or (ENDPOINT,):
                self._links.append(_Link(self._context, self._poller, endpoint, topics, query, pair, queue, since))
        except EndpointError:
            self.close()
            raise

    def receive(self, timeout_s: float | None = None) -> Item | None:
        """Wait for the next item; ``None`` if none has come in that time."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if time.monotonic() >= self._pump_s:
                self._pump()
            if (item := self._backlog.take()) is not None:
                return item
            left_s = TICK_S if until_s is None else min(TICK_S, until_s - time.monotonic())
            self._poller.poll(max(0, int(left_s * 1000)))
            self._pump()
            if until_s is not None and time.monotonic() >= until_s:
                return self._backlog.take()

    def silent_s(self, endpoint: str) -> float:
        """Return for how long nothing at all, not even `health`, has come from there."""
        return next(time.monotonic() - link.heard_s for link in self._links if link.endpoint == endpoint)

    def close(self) -> None:
        """Disconnect from all daemons."""
        for link in self._links:
            link.close()
        self._links.clear()
        self._context.destroy(linger=0)

    def __iter__(self) -> Iterator[Item]:
        while True:
            if (item := self.receive()) is not None:
                yield item

    async def __aiter__(self) -> AsyncIterator[Item]:
        import asyncio

        from auricle.client.wake import readable

        while True:
            while (item := self._backlog.take()) is not None:
                yield item
                if time.monotonic() >= self._pump_s:
                    await asyncio.sleep(0)  # others have their turn, however much waits here
                    self._pump()
            waits = any(link.follower.deadline_s is not None for link in self._links)
            sockets = [socket for link in self._links for socket in link.sockets]
            await readable(sockets, TICK_S if waits else IDLE_S)
            self._pump()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pump(self) -> None:
        """Empty the sockets, for a slow reader too: left alone they keep the oldest and lose the newest."""
        for link in self._links:
            if not self._backlog.full:
                link.pump()
            while link.follower.items:
                self._backlog.put(link.endpoint, link.follower.items.popleft())
        self._pump_s = time.monotonic() + PUMP_S


class _Link:
    """Holds the sockets to one daemon."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        endpoint: str,
        topics: Sequence[str],
        query: str | None,
        pair: Pair | None,
        queue: int,
        since: Bookmark | None,
    ) -> None:
        self.endpoint = endpoint
        self.heard_s = time.monotonic()
        self.follower = Follower(endpoint, topics, secrets.token_hex(8), since)
        self._context, self._poller = context, poller
        self._query, self._pair, self._queue = query, pair, queue
        self._asked: str | None = None
        self._subscriber = context.socket(zmq.SUB)
        self._subscriber.rcvhwm = queue
        self._asker: zmq.Socket[bytes] | None = None
        for topic in self.follower.subscriptions:
            self._subscriber.subscribe(topic)
        connect(self._subscriber, endpoint, pair)
        poller.register(self._subscriber, zmq.POLLIN)

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        return [self._subscriber] if self._asker is None else [self._subscriber, self._asker]

    def pump(self) -> None:
        """Take what has come, ask what must be asked; does not block."""
        for _ in range(self._queue):
            try:
                frames = self._subscriber.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            self.heard_s = time.monotonic()
            if len(frames) == 2:
                self.follower.hear(frames[0].decode(errors="replace"), frames[1], self.heard_s)
        if self._asker is not None:
            self._take_answers(self._asker)
        now_s = time.monotonic()
        self.follower.ask_again(now_s)
        if self.follower.deadline_s is not None and now_s >= self.follower.deadline_s:
            self.follower.give_up(now_s)
        self._ask()

    def close(self) -> None:
        for socket in self.sockets:
            self._poller.unregister(socket)
            socket.close(0)
        self._asker = None

    def _take_answers(self, asker: zmq.Socket[bytes]) -> None:
        while True:
            try:
                frames = asker.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self.follower.answered(frames[-1], time.monotonic())

    def _ask(self) -> None:
        if not self.follower.questions:
            return
        told = self._query or self.follower.query
        if told is not None and told != self._asked:
            self._asked = told
            if self._asker is not None:
                self._poller.unregister(self._asker)
                self._asker.close(0)
            self._asker = self._context.socket(zmq.DEALER)
            self._asker.linger = 0
            connect(self._asker, told if self._query else from_here(told, self.endpoint), self._pair)
            self._poller.register(self._asker, zmq.POLLIN)
        while self.follower.questions:
            question = self.follower.questions.popleft()
            if self._asker is not None:
                try:
                    self._asker.send(question, zmq.DONTWAIT)
                except zmq.Again:
                    return  # it will be given up in time


def _pair(key: Pair | Path | str | None) -> Pair | None:
    """Read the pair of keys to connect with.

    Raises:
        KeysError: it cannot be read, or does not say whom to talk to.
    """
    pair = key if key is None or isinstance(key, Pair) else read_pair(Path(key))
    if pair is not None and pair.daemon is None:
        raise KeysError(
            f"{'the pair' if isinstance(key, Pair) else key}: has no key of a daemon; add a line: daemon KEY"
        )
    return pair


def connect(socket: zmq.Socket[bytes], endpoint: str, pair: Pair | None = None) -> None:
    """Connect a socket; ZeroMQ goes on trying by itself.

    Raises:
        EndpointError: the endpoint cannot be one. The socket is closed.
    """
    try:
        if pair is not None and pair.daemon is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, pair.daemon.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
        socket.setsockopt(zmq.IPV6, int(endpoint.startswith("tcp://[")))
        socket.connect(endpoint)
    except zmq.ZMQError as e:
        socket.close(0)
        raise EndpointError(f"{endpoint}: no endpoint to connect to ({e.strerror}); use tcp://HOST:PORT") from None


def from_here(told: str, endpoint: str) -> str:
    """Return where a daemon says it answers, on the host at which we reach it: the daemon may know itself as 0.0.0.0 or
    127.0.0.1."""
    if told.startswith("tcp://") and endpoint.startswith("tcp://"):
        return f"{endpoint.rpartition(':')[0]}:{told.rpartition(':')[2]}"
    return told


def ask(
    query: str, question: AnyQuestion, kind: type[_A], *, key: Pair | Path | str | None = None, timeout_s: float = 3.0
) -> _A:
    """Ask a daemon's query socket one question and return the answer; where the daemon says later, ask again.

    Raises:
        NoDaemonError: nobody answers there.
        UsageError: the daemon refuses the question.
        EndpointError: what was named is no endpoint.
        KeysError: the keys cannot be read.
    """
    pair = _pair(key)
    asked = f"is a daemon running there, and {'is this key allowed' if pair else 'does it ask for no key'}?"
    with zmq.Context[zmq.Socket[bytes]]() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        connect(socket, query, pair)
        until_s = time.monotonic() + timeout_s
        while True:
            socket.send(msgspec.json.encode(question))
            if not socket.poll(max(0, int(1000 * (until_s - time.monotonic())))):
                raise NoDaemonError(f"{query}: nobody answers within {timeout_s:g} s; {asked}")
            try:
                answer = msgspec.json.decode(socket.recv_multipart()[-1], type=AnyAnswer)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise NoDaemonError(f"{query}: what answers there is no auricle daemon") from None
            later_s = answer.later_s if isinstance(answer, Refused) else None
            if later_s is None or time.monotonic() + later_s > until_s:
                break
            time.sleep(later_s)
    if isinstance(answer, Refused):
        raise UsageError(f"{query}: {answer.error}")
    if not isinstance(answer, kind):
        raise NoDaemonError(f"{query}: what answers there is no auricle daemon")
    return answer
