"""Sockets are bound here, and it is decided who may use them."""

from __future__ import annotations

import grp
import os
import socket as sockets
import stat
from pathlib import Path

import zmq

from auricle.errors import EndpointError

IPC_MODE = 0o660


def bind(socket: zmq.Socket[bytes], endpoint: str, *, group: str | None = None, key: str = "publish.endpoint") -> str:
    """Bind a socket, or say plainly why not; return what it is bound to, a wildcard port resolved.

    A stale ipc file is taken over, a living one is not. An ipc socket is for its owner and a group (mode 0660) from
    the moment it exists. Whether an endpoint may be reached from other machines, the configuration has decided before.

    Args:
        group: of an ipc socket; the daemon's own unless given.
        key: the configuration's key, for the error.

    Raises:
        EndpointError: the endpoint is in use, or none, or the group is not to be had. The socket is closed.
    """
    path = ipc_path(endpoint)
    try:
        if path is None:
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
                _give(path, group)
    except zmq.ZMQError as e:
        socket.close(0)
        hint = f"; another auricle may be running: stop it, or set another {key}" if e.errno == zmq.EADDRINUSE else ""
        raise EndpointError(f"{endpoint}: cannot be bound: {e.strerror}{hint}") from None
    except EndpointError:
        socket.close(0)
        raise
    return bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")


def ipc_path(endpoint: str) -> Path | None:
    """Return the file of an ipc endpoint; ``None`` of one without a file (tcp, or Linux's abstract names)."""
    path = endpoint.removeprefix("ipc://")
    return None if path == endpoint or path.startswith("@") else Path(path)


def _give(path: Path, group: str) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise EndpointError(f"ipc://{path}: publish.ipc_group: there is no group {group!r}; create it") from None
    except PermissionError:
        raise EndpointError(
            f"ipc://{path}: publish.ipc_group: cannot be given to {group!r}; the daemon's user must be a member"
        ) from None


def _clear_stale(path: Path, key: str) -> None:
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
        f"ipc://{path}: cannot be bound: Address already in use; another auricle may be running: stop it, or set "
        f"another {key}"
    )
