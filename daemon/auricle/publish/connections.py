"""The connections of a bound socket are found here among this process's descriptors, and can be cut one by one.

ZeroMQ counts its connections for nobody, and its stable interface has no call that ends a single one of a bound socket;
to close the socket would end all. But it runs in this process, so each connection that it has accepted is one of the
descriptors in ``/proc/self/fd``, known from others by the address that it is bound to. Shut down there, it ends for
both sides, and ZeroMQ clears away what waited for it, as if the other side had gone. The number alone does not do: by
the time that ZeroMQ has named one in an event, it may be another connection's, or a file's. So every descriptor is
doubled first (`os.dup`), which keeps its meaning, and looked at then.
"""

from __future__ import annotations

import os
import socket as sockets
import stat
from contextlib import suppress
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD
from typing import TypeAlias

DESCRIPTORS = "/proc/self/fd"

Address: TypeAlias = str | bytes | int | None
"""The port of tcp, the path or name of ipc; ``None`` where there are no connections (inproc)."""


def address_of(endpoint: str) -> Address:
    """Return the port of tcp, whatever the host, since of a wildcard every connection has its own; the path or name of
    ipc."""
    kind, _, where = endpoint.partition("://")
    if kind == "tcp":
        return int(where.rpartition(":")[2])
    if kind == "ipc":
        return b"\0" + where[1:].encode() if where.startswith("@") else where
    return None


def connections(address: Address) -> list[sockets.socket]:
    """Find the connections that this process has accepted at an address of its own, to be closed by the caller.

    Raises:
        OSError: no descriptor is left to look.
    """
    found: dict[int, sockets.socket] = {}
    for number in map(int, os.listdir(DESCRIPTORS)):
        # A number that was freed after the listing may belong to one of these copies by now.
        if number not in found and (each := connection(number, address)) is not None:
            found[each.fileno()] = each
    return list(found.values())


def connection(number: int, address: Address) -> sockets.socket | None:
    """Find the connection that has this descriptor, if one has, and was accepted there; to be closed by the caller.

    What is returned is a second descriptor of the connection: its number cannot come to mean another one while it is
    looked at.
    """
    try:
        copy = os.dup(number)
    except OSError:
        return None  # closed meanwhile, or no number is left: then this one is not judged
    if not stat.S_ISSOCK(os.fstat(copy).st_mode):
        os.close(copy)
        return None
    each = sockets.socket(fileno=copy)
    if address is not None and _bound_to(each) == address and not _listens(each):
        return each
    each.close()
    return None


def hang_up(each: sockets.socket) -> None:
    """End a connection for both sides; ZeroMQ then clears away what waits for it."""
    with suppress(OSError):  # it has gone by itself: just as well
        each.shutdown(sockets.SHUT_RDWR)


def cut_off(each: sockets.socket) -> None:
    """Hang up, and throw away what waits, before and after: ZeroMQ, told of the end, would take up all of it first."""
    throw_away(each)
    hang_up(each)
    throw_away(each)


def throw_away(each: sockets.socket) -> None:
    """Throw away what waits to be read, without copying it where the kernel can (TCP)."""
    with suppress(OSError):
        while each.recv(1 << 20, sockets.MSG_DONTWAIT | sockets.MSG_TRUNC):
            pass


def waiting(number: int) -> int:
    """Return how many bytes of this descriptor wait to be read; none where it has gone, or is nothing of the kind."""
    with suppress(OSError):
        return int(unpack("i", ioctl(number, FIONREAD, bytes(4)))[0])
    return 0


def _bound_to(socket: sockets.socket) -> Address:
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
