"""An asyncio loop is woken by ZeroMQ's sockets here, at little cost: a program that follows a daemon waits all day.

`zmq.asyncio` makes a second socket and several futures anew for each wait, which was most of what such a program took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import zmq


async def readable(sockets: Sequence[zmq.Socket[bytes]], timeout_s: float) -> None:
    """Wait until one of the sockets has something to be read, or for so long.

    A socket's descriptor tells of a change and not of what there is (ZMQ_FD in zmq_getsockopt(3)): the socket is asked
    before the wait, and whenever its descriptor wakes us. The descriptors are given back after each wait, since a
    socket that is closed meanwhile may leave its number to another.
    """
    if any(_has(socket) for socket in sockets):
        await asyncio.sleep(0)  # others have their turn
        return
    loop, found = asyncio.get_running_loop(), asyncio.Event()

    def look(socket: zmq.Socket[bytes]) -> None:
        if _has(socket):
            found.set()

    descriptors = [socket.fileno() for socket in sockets]
    for descriptor, socket in zip(descriptors, sockets, strict=True):
        loop.add_reader(descriptor, look, socket)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await found.wait()
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)


def _has(socket: zmq.Socket[bytes]) -> bool:
    """Return whether there is something to be read; a socket that was closed has its end to be found."""
    return socket.closed or bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
