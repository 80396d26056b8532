"""The connections of a bound socket, found among this process's descriptors: ZeroMQ counts them for nobody."""

from __future__ import annotations

import os
import socket as sockets
import stat
from contextlib import suppress
from typing import TypeAlias

DESCRIPTORS = "/proc/self/fd"

Address: TypeAlias = str | bytes | int | None
"""The port of tcp, the path or name of ipc; ``None`` where there are no connections (inproc)."""


def address_of(endpoint: str) -> Address:
    """The port of tcp, whatever the host: of a wildcard every connection has its own. The path or name of ipc."""
    kind, _, where = endpoint.partition("://")
    if kind == "tcp":
        return int(where.rpartition(":")[2])
    if kind == "ipc":
        return b"\0" + where[1:].encode() if where.startswith("@") else where
    return None


def connections(address: Address) -> list[sockets.socket]:
    """What this process has accepted at an address of its own, to be closed by the caller.

    Raises:
        OSError: no descriptor is left to look.
    """
    found: dict[int, sockets.socket] = {}
    for number in map(int, os.listdir(DESCRIPTORS)):
        # One that was free again after the listing has become one of these copies.
        if number not in found and (each := connection(number, address)) is not None:
            found[each.fileno()] = each
    return list(found.values())


def connection(number: int, address: Address) -> sockets.socket | None:
    """The connection that has this descriptor, if one has, and was accepted there; to be closed by the caller.

    It is a second descriptor of it: its number cannot come to mean another one while it is looked at.
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
    """End it for both sides; ZeroMQ then clears away what waits for it."""
    with suppress(OSError):  # it has gone by itself: just as well
        each.shutdown(sockets.SHUT_RDWR)


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
