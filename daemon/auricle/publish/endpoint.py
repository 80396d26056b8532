"""Sockets are bound here, and it is decided who may use them."""

from __future__ import annotations

import errno
import grp
import os
import socket as sockets
import stat
from pathlib import Path

import zmq

from auricle.errors import EndpointError, NotYetError
from auricle.publish.holder import holder

IPC_MODE = 0o660
_REMEDIES = {
    errno.EADDRINUSE: "another auricle may be running: stop it, or set another {key}",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address: bring it up, or set another {key}",
    errno.ENODEV: "no interface has this name, and no address is known for it: bring it up, or set another {key}",
    errno.EACCES: "this user may not: set another {key}",
}
_MENDS = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENODEV, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
"""Errors that lie with the moment and not with the configuration, so that another attempt may succeed."""


def bind(socket: zmq.Socket[bytes], endpoint: str, *, group: str | None = None, key: str = "publish.endpoint") -> str:
    """Bind a socket, or say plainly why not; return what it is bound to, a wildcard port resolved.

    A stale ipc file is taken over, a living one is not. An ipc socket is for its owner and a group (mode 0660) from
    the moment it exists. Whether an endpoint may be reached from other machines, the configuration has decided before.
    The socket may be bound again after an error.

    Args:
        group: of an ipc socket; the daemon's own unless given.
        key: the configuration's key, for the error.

    Raises:
        NotYetError: the address is in use, or is not there; later it may be free, or there.
        EndpointError: it is no address, or the group is not to be had.
    """
    path = ipc_path(endpoint)
    try:
        if path is None:
            socket.setsockopt(zmq.IPV6, int(endpoint.startswith("tcp://[")))
            socket.bind(endpoint)
        else:
            _clear_stale(path, key)
            # Created with its mode: between a bind and a chmod anyone could connect.
            before = os.umask(0o777 & ~IPC_MODE)
            try:
                socket.bind(endpoint)
            finally:
                os.umask(before)
            if group is not None:
                try:
                    _give(path, group)
                except EndpointError:
                    socket.unbind(endpoint)
                    raise
    except zmq.ZMQError as e:
        raise _error(endpoint, e.errno or 0, key) from None
    return bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")


def check(endpoint: str, *, key: str = "publish.endpoint") -> None:
    """Refuse what `bind` would refuse now and later, without binding: a path that no socket can have.

    A folder below /run may come with the service, as systemd's RuntimeDirectory does.

    Raises:
        EndpointError: it could not be bound.
    """
    path = ipc_path(endpoint)
    if path is None:
        return
    _clear_of_files(path, key)
    if not path.parent.is_dir() and not path.is_relative_to("/run"):
        raise _error(endpoint, errno.ENOTDIR if path.parent.exists() else errno.ENOENT, key)


def check_group(group: str) -> None:
    """Refuse a group that there is not.

    Raises:
        EndpointError: nobody knows it.
    """
    _number(group)


def ipc_path(endpoint: str) -> Path | None:
    """Return the file of an ipc endpoint; ``None`` of one without a file (tcp, or Linux's abstract names)."""
    path = endpoint.removeprefix("ipc://")
    return None if path == endpoint or path.startswith("@") else Path(path)


def _error(endpoint: str, number: int, key: str) -> EndpointError:
    """Return the error that says what cannot be, with whoever is in the way, and the remedy."""
    who = holder(endpoint) if number == errno.EADDRINUSE else None
    why = f"{zmq.strerror(number)}{'' if who is None else f' ({who})'}"
    remedy = _REMEDIES.get(number, "set another {key}").format(key=key)
    kind = NotYetError if number in _MENDS else EndpointError
    return kind(f"{endpoint}: cannot be bound: {why}; {remedy}")


def _give(path: Path, group: str) -> None:
    try:
        os.chown(path, -1, _number(group))
    except PermissionError:
        raise EndpointError(
            f"ipc://{path}: publish.ipc_group: cannot be given to {group!r}; the daemon's user must be a member"
        ) from None


def _number(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise EndpointError(f"publish.ipc_group: there is no group {group!r}; create it") from None


def _clear_of_files(path: Path, key: str) -> bool:
    """Return whether there is a socket of this name already; refuse anything else that is there."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise EndpointError(
                f"ipc://{path}: there is a file of that name that is no socket; move it away, or set another {key}"
            )
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        raise _error(f"ipc://{path}", errno.EACCES, key) from None
    return True


def _clear_stale(path: Path, key: str) -> None:
    if not _clear_of_files(path, key):
        return
    with sockets.socket(sockets.AF_UNIX) as probe:
        probe.setblocking(False)  # one whose queue of connections is full lives as well
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except PermissionError:
            raise _error(f"ipc://{path}", errno.EACCES, key) from None
        except BlockingIOError:
            pass
    raise _error(f"ipc://{path}", errno.EADDRINUSE, key)
