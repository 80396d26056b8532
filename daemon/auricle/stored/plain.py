"""A plain file is read here as bytes: no device, no pipe, and no more than it may hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from auricle.errors import StoredError


def read(path: str | Path, most: int) -> bytes:
    """Read the content of a plain file.

    Args:
        path: a link is followed; a device, a pipe or a folder is refused before it can be waited for.
        most: the bytes that the file may hold.

    Raises:
        StoredError: the file cannot be read, is no plain file, or is larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise StoredError(f"{path}: no plain file; put the file itself there")
            content = b"" if about.st_size > most else file.read(most + 1)
    except OSError as e:
        raise StoredError(f"{path}: {e.strerror or e}") from e
    except ValueError as e:  # a NUL in the name
        raise StoredError(f"{str(path)!r}: {e}") from e
    if about.st_size > most or len(content) > most:
        raise StoredError(f"{path}: {max(about.st_size, len(content))} bytes; it may have {most}")
    return content
