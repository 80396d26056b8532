"""A plain file is read here as bytes: no device, no pipe, and no more than it may hold."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

from auricle.errors import StoredError

log = logging.getLogger("auricle")

PASSING = {errno.EIO, errno.EINTR, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}
"""Errors that may be over a moment later."""


def read(path: str | Path, most: int) -> bytes:
    """Read the content of a plain file; what fails for a passing reason is tried once more.

    Args:
        path: a link is followed; a device, a pipe or a folder is refused before it can be waited for.
        most: the bytes that the file may hold.

    Raises:
        StoredError: the file cannot be read, is no plain file, or is larger. Its cause is the system's error, if any.
        MemoryError: there is not enough.
    """
    try:
        try:
            return _read(path, most)
        except (OSError, MemoryError) as e:
            if isinstance(e, OSError) and e.errno not in PASSING:
                raise
            log.warning("%s: %s; read once more", path, _said(e))
            return _read(path, most)
    except OSError as e:
        raise StoredError(f"{path}: {_said(e)}") from e
    except ValueError as e:  # a NUL in the name
        raise StoredError(f"{str(path)!r}: {e}") from e


def _read(path: str | Path, most: int) -> bytes:
    with open(path, "rb", opener=_open) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise StoredError(f"{path}: no plain file; put the file itself there")
        content = b"" if about.st_size > most else file.read(most + 1)
    if about.st_size > most or len(content) > most:
        raise StoredError(f"{path}: {max(about.st_size, len(content))} bytes; it may have {most}")
    return content


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _said(error: OSError | MemoryError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or "no memory is left for it"
