"""Finds who listens where we wanted to, in the kernel's tables, as far as this process may see others."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

from auricle.publish.connections import address_of

_LISTENS = "0A"
"""A TCP socket's state in /proc/net/tcp."""
_ACCEPTS = 0x10000
"""The flag of a listening socket in /proc/net/unix."""


def holder(endpoint: str, proc: Path = Path("/proc")) -> str | None:
    """Name who listens at an endpoint, such as ``nginx, process 123``; ``None`` where nobody, or that cannot be known.

    Of a process that belongs to another user the system tells no more than the user.

    Args:
        endpoint: with a port or a path of its own, no wildcard.
        proc: where the kernel shows its tables.
    """
    try:
        address = address_of(endpoint)
    except ValueError:
        return None
    found: dict[str, str] = {}
    with suppress(OSError):
        found = _at_port(address, proc) if isinstance(address, int) else _at_path(address, proc)
    for process in proc.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            for descriptor in os.listdir(process / "fd"):
                if os.readlink(process / "fd" / descriptor).removeprefix("socket:[").rstrip("]") in found:
                    return f"{(process / 'comm').read_text().strip()}, process {process.name}"
    user = next((user for user in found.values() if user), None)
    return None if user is None else f"a process of the user {_name(user)}"


def _at_port(port: int, proc: Path) -> dict[str, str]:
    """Find inode and user of every socket that listens at this port, on whichever address."""
    found = {}
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a kernel without IPv6
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                cells = line.split()
                if cells[3] == _LISTENS and int(cells[1].rpartition(":")[2], 16) == port:
                    found[cells[9]] = cells[7]
    return found


def _at_path(address: str | bytes | None, proc: Path) -> dict[str, str]:
    """Find the inode of every socket that listens at this path or abstract name; of these the table has no user."""
    if address is None:
        return {}
    name = address if isinstance(address, str) else address.decode(errors="replace").replace("\0", "@")
    lines = (proc / "net" / "unix").read_text(errors="replace").splitlines()[1:]
    rows = (line.split(maxsplit=7) for line in lines)
    return {row[6]: "" for row in rows if len(row) == 8 and row[7] == name and int(row[3], 16) & _ACCEPTS}


def _name(user: str) -> str:
    try:
        return pwd.getpwuid(int(user)).pw_name
    except KeyError:
        return user
