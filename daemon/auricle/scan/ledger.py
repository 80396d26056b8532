"""A ledger holds what came of every file, a line each: after any interruption nothing is lost and nothing is twice."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from auricle.errors import OutputError, UsageError
from auricle.tables.row import Row


class Stamp(msgspec.Struct, frozen=True):
    """Tells a file from what it was before: bytes, and when it was changed, in nanoseconds since 1970."""

    size: int
    changed_ns: int


class Result(msgspec.Struct):
    """Says what came of one file.

    ``state``: ``heard`` to its end, ``cut`` (some of it is missing, ``reason`` says what) or ``refused``.
    """

    path: bytes
    stamp: Stamp
    state: Literal["heard", "cut", "refused"]
    reason: str = ""
    seconds: float = 0.0
    sha256: str = ""
    rows: list[Row] = []
    notes: list[str] = []
    """What is strange in its sound, though it was heard."""


class _Head(msgspec.Struct):
    scan: int
    settings: str


def stamp_of(path: str) -> Stamp:
    """Return the stamp of a file; of one that is not there an impossible one."""
    try:
        about = os.stat(path)
    except OSError:
        return Stamp(-1, -1)
    return Stamp(about.st_size, about.st_mtime_ns)


def hash_of(path: str) -> str:
    """Return the SHA-256 of a file's bytes, or nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


class Ledger:
    """Keeps results in a file that is only appended to; one process at a time has it.

    Args:
        path: of the file; what another run has left there is gone on with.
        settings: what the results depend on besides the files.

    Raises:
        UsageError: it is of other settings, or another scan has it.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self._path = path
        self._done: dict[bytes, Result] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as e:
            raise OutputError(f"{e.filename or path}: {e.strerror or e}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UsageError(f"--out: another scan writes into {path.parent}; wait for it, or give another") from None
        try:
            self._read(settings)
        except BaseException:
            self._file.close()
            raise

    def result(self, path: str) -> Result | None:
        """Return what came of a file, if it has not changed since."""
        found = self._done.get(os.fsencode(path))
        return found if found is not None and found.stamp == stamp_of(path) else None

    def results(self, paths: Sequence[str]) -> list[Result]:
        """Return what came of these files, in their order, of each once."""
        return [self._done[path] for path in dict.fromkeys(map(os.fsencode, paths)) if path in self._done]

    def add(self, result: Result) -> None:
        """Append a result: it is in the file as a whole line, or not at all."""
        self._append(msgspec.json.encode(result))
        self._done[result.path] = result

    def close(self) -> None:
        """Let another scan have it."""
        self._file.close()

    def _append(self, line: bytes) -> None:
        try:
            whole = line + b"\n"
            if self._file.write(whole) != len(whole):
                raise OSError(28, "No space left on device")
        except OSError as e:
            hint = "free some space, and give the same command again"
            raise OutputError(f"{self._path}: {e.strerror or e}; {hint}") from None

    def _read(self, settings: str) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break  # what was being written when it was interrupted
            try:
                if number == 0:
                    head = msgspec.json.decode(line, type=_Head)
                    if head.settings != settings:
                        raise UsageError(
                            f"--out: {self._path.parent} was made with another model, configuration or version; "
                            "give another folder"
                        )
                else:
                    result = msgspec.json.decode(line, type=Result)
                    self._done[result.path] = result
            except (msgspec.DecodeError, UnicodeDecodeError) as e:
                raise UsageError(
                    f"{self._path}:{number + 1}: is no line of a ledger ({e}); give another --out"
                ) from None
            whole += len(line)
        self._file.truncate(whole)
        if not whole:
            self._append(msgspec.json.encode(_Head(1, settings)))
