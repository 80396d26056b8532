"""Arrays that outlive the daemon are kept here, in files of its state folder; a disk that fails costs what they hold,
never the hearing."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import StoredError
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member

log = logging.getLogger("auricle")

UNUSABLE = (StoredError, OSError, ValueError, OverflowError, MemoryError)
"""Errors over a file that was kept, or over what it holds: none is a reason not to hear."""


def write_atomically(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file by a whole new one: a reader, or a power cut, sees the old or the new.

    Args:
        mode: who may read and write it, as far as the process's mask allows.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()  # what a crash left has a mode of its own
    with open(beside, "wb", opener=lambda at, flags: os.open(at, flags, mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class Kept:
    """Keeps arrays by name, each in an ``.npz`` file of one folder.

    Args:
        folder: where the files lie.
        what: what they hold, as a warning names it.
        mode: who may read and write them.
    """

    def __init__(self, folder: Path, what: str, *, mode: int = 0o666) -> None:
        self.folder = folder
        self._what, self._mode = what, mode
        self._complained = False
        self._writer: threading.Thread | None = None

    def read(self, name: str, members: Mapping[str, Member]) -> dict[str, NDArray[Any]] | None:
        """Return what is kept under a name; ``None`` where nothing is.

        Raises:
            StoredError, OSError, ValueError, OverflowError, MemoryError: it cannot be read (`UNUSABLE`).
        """
        path = self._path(name)
        return arrays.read(path, plain.read(path, arrays.MOST_BYTES), members) if path.exists() else None

    def refuse(self, name: str, error: Exception) -> None:
        """Say that what is kept under a name is of no use, and why."""
        why = str(error) or "no memory is left"
        log.warning("%s/%s.npz: %s: the %s cannot be used, it begins anew", self.folder, name, why, self._what)

    @property
    def busy(self) -> bool:
        """Return whether a file is being written."""
        return self._writer is not None and self._writer.is_alive()

    def write_soon(self, name: str, known: dict[str, Any]) -> None:
        """Begin to write, while nothing else is written: a disk may take longer for a file than there is time until
        the next sound."""
        try:
            writer = threading.Thread(target=self._write, args=(name, known), daemon=True)
            writer.start()
        except (RuntimeError, MemoryError) as e:
            self.complain(e)
            return
        self._writer = writer

    def write(self, name: str, known: dict[str, Any]) -> None:
        """Write, and return once it is on the disk."""
        if self._writer is not None:
            self._writer.join()
        self._write(name, known)

    def complain(self, error: Exception) -> None:
        """Say that something is not kept, once until it is again."""
        if not self._complained:
            why = getattr(error, "strerror", None) or str(error) or "no memory is left"
            log.warning("%s: the %s is not kept: %s", self.folder, self._what, why)
        self._complained = True

    def _write(self, name: str, known: dict[str, Any]) -> None:
        if not known:
            return
        try:
            content = io.BytesIO()
            np.savez(content, **known)
            write_atomically(self._path(name), content.getvalue(), mode=self._mode)
        except (OSError, MemoryError, RuntimeError) as e:  # the last: no lock, no thread
            self.complain(e)
            return
        self._complained = False

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
