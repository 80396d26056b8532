"""Messages on their way out: numbered per topic, sent to every outlet."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import uuid6
import zmq

from auricle import messages
from auricle.errors import EndpointError

Outlet = Callable[[str, bytes], None]
"""Takes a topic and its JSON."""


def part(name: str) -> str:
    """A name as one part of a topic: everything but letters, digits, ``_`` and ``-`` percent-escaped (RFC 3986).

    The dot is escaped as well, so no name can reach into another's topic.
    """
    plain = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return name if plain else "".join(_escape(byte) for byte in name.encode())


def _escape(byte: int) -> str:
    char = chr(byte)
    return char if byte < 128 and (char.isalnum() or char in "_-") else f"%{byte:02X}"


class Publisher:
    """Numbers messages per exact topic and hands them to outlets.

    Args:
        node: the name of this machine in every message.
        outlets: where to; a socket, lines on a terminal.
    """

    def __init__(self, node: str, outlets: Sequence[Outlet]) -> None:
        self.node = node
        self.instance = uuid6.uuid7().hex
        self.last_seq: dict[str, int] = {}
        self._outlets = tuple(outlets)

    def send(self, topic: str, message: messages.AnyMessage) -> None:
        """Give the message its `seq` and send it; never blocks on a subscriber."""
        message.seq = self.last_seq[topic] = self.last_seq.get(topic, 0) + 1
        payload = messages.encode(message)
        for outlet in self._outlets:
            outlet(topic, payload)


class Socket:
    """A ZeroMQ PUB socket as an outlet.

    Raises:
        EndpointError: the endpoint is in use, or none.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, *, queue: int = 10_000) -> None:
        self._socket = context.socket(zmq.PUB)
        self._socket.sndhwm = queue
        bind(self._socket, endpoint)
        self.endpoint = bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")

    def __call__(self, topic: str, payload: bytes) -> None:
        """Send; what a slow subscriber's queue cannot take is lost to that subscriber alone, and `seq` shows it."""
        self._socket.send_multipart((topic.encode(), payload), zmq.DONTWAIT)

    def close(self, linger_ms: int = 500) -> None:
        """Give subscribers a moment to take what is queued."""
        self._socket.close(linger_ms)


def bind(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Bind, or say plainly why not; a stale ipc file is taken over, a living one is not."""
    if endpoint.startswith("ipc://") and not endpoint.startswith("ipc://@"):
        _clear_stale(Path(endpoint.removeprefix("ipc://")))
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as e:
        socket.close(0)
        hint = "; another auricle may be running: stop it, or set another publish.endpoint" if _in_use(e) else ""
        raise EndpointError(f"{endpoint}: cannot be bound: {e.strerror}{hint}") from None
    if endpoint.startswith("ipc://") and not endpoint.startswith("ipc://@"):
        os.chmod(endpoint.removeprefix("ipc://"), 0o660)


def _in_use(error: zmq.ZMQError) -> bool:
    return error.errno == zmq.EADDRINUSE


def _clear_stale(path: Path) -> None:
    import socket as sockets

    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise EndpointError(f"ipc://{path}: there is a file of that name that is no socket; move it away")
    except FileNotFoundError:
        return
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise EndpointError(
        f"ipc://{path}: cannot be bound: Address already in use; another auricle may be running: stop it, "
        "or set another publish.endpoint"
    )


class Lines:
    """Messages as JSON lines, each with its `topic`."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream

    def __call__(self, topic: str, payload: bytes) -> None:
        """Write one line."""
        self._stream.write(f'{{"topic":"{topic}",{payload[1:].decode()}\n')

    def flush(self) -> None:
        """Let a reader of a pipe see what was written."""
        self._stream.flush()
