"""A ledger holds what came of every unit of work, a line each: after any interruption nothing is lost and nothing is
twice."""

from __future__ import annotations

import fcntl
from pathlib import Path

import msgspec

from auricle.errors import OutputError, UsageError
from auricle.scan.work import Finding, Heard, Result, Stamp

_FORM = 2


class _Head(msgspec.Struct):
    scan: int
    settings: str


class _Line(msgspec.Struct, tag_field="type", tag="heard"):
    """Reads of a line no more than is kept in memory."""

    key: str


class Ledger:
    """Keeps results in a file that is only appended to; one process at a time has it.

    In memory is where each of them stands, not what it says.

    Args:
        path: of the file; what another run has left there is gone on with.
        settings: what the results depend on besides the files.

    Raises:
        UsageError: it is of other settings, or another scan has it.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._findings: dict[bytes, Finding] = {}
        self._end = 0
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

    def __contains__(self, key: str) -> bool:
        """Return whether a unit has been heard."""
        return key in self._places

    def heard(self, key: str) -> Heard:
        """Read what came of a unit that has been heard."""
        at, length = self._places[key]
        self._file.seek(at)
        return msgspec.json.decode(self._file.read(length), type=Heard)

    def finding(self, path: bytes, stamp: Stamp) -> Finding | None:
        """Return what was found of a file, if it has not changed since."""
        found = self._findings.get(path)
        return found if found is not None and found.stamp == stamp else None

    def add(self, result: Result) -> None:
        """Append a result: it is in the file as a whole line, or not at all."""
        line = msgspec.json.encode(result) + b"\n"
        at = self._append(line)
        self._take(result, at, len(line))

    def close(self) -> None:
        """Let another scan have it."""
        self._file.close()

    def _take(self, result: _Line | Result, at: int, length: int) -> None:
        if isinstance(result, Finding):
            self._findings[result.path] = result
        else:
            self._places[result.key] = at, length

    def _append(self, line: bytes) -> int:
        """Write a line at the file's end, and return where it begins."""
        try:
            written = 0
            while written < len(line):  # a disk that is full takes a part, and says so at the next
                written += self._file.write(line[written:])
        except OSError as e:
            hint = "free some space, and give the same command again"
            raise OutputError(f"{self._path}: {e.strerror or e}; {hint}") from None
        self._end += len(line)
        return self._end - len(line)

    def _read(self, settings: str) -> None:
        with self._path.open("rb") as lines:  # what is appended to has no buffer, and would be read byte by byte
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):
                    break  # what was being written when it was interrupted
                try:
                    if number == 0:
                        head = msgspec.json.decode(line, type=_Head)
                        if head != _Head(_FORM, settings):
                            raise UsageError(
                                f"--out: {self._path.parent} was made with another model, configuration or version; "
                                "give another folder"
                            )
                    else:
                        self._take(msgspec.json.decode(line, type=_Line | Finding), self._end, len(line))
                except (msgspec.DecodeError, UnicodeDecodeError) as e:
                    raise UsageError(
                        f"{self._path}:{number + 1}: is no line of a ledger ({e}); give another --out"
                    ) from None
                self._end += len(line)
        self._file.truncate(self._end)
        if not self._end:
            self._append(msgspec.json.encode(_Head(_FORM, settings)) + b"\n")
