"""A folder of clips is looked after here: names, whole files or none, and its bounds."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from auricle.clips.beside import BESIDE
from auricle.messages import Clip
from auricle.messages.topics import part

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}Z\.[\w%-]+\.[0-9a-f-]{36}\.(flac|opus)", re.ASCII)
_SOURCE = re.compile(r"[\w%-]+", re.ASCII)
_HALF = re.compile(r"\..+\.part")


def name_of(clip: Clip) -> str:
    """Return the name of a clip's file: when it begins, what was heard, and the event's id."""
    return f"{clip.t.replace(':', '-')}.{part(clip.label)}.{clip.id}.{clip.format}"


def is_clip(name: str) -> bool:
    """Return whether this may be the name of a clip's file."""
    return _NAME.fullmatch(name) is not None


def is_source(name: str) -> bool:
    """Return whether this may be the name of a source's folder."""
    return _SOURCE.fullmatch(name) is not None


def files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the clips in a folder, source by source, in the order of their times; nothing else that lies there.

    Raises:
        OSError: the folder cannot be read.
    """
    for each in _sources(folder):
        with os.scandir(each) as entries:
            clips = [entry for entry in entries if is_clip(entry.name) and entry.is_file(follow_symlinks=False)]
        yield from sorted(clips, key=lambda entry: entry.name)


def _sources(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))


class Taken(OSError):
    """Another daemon keeps its clips in the folder."""


class Shelf:
    """Holds a folder of clips, for one daemon alone: ``FOLDER/SOURCE/TIME.LABEL.EVENT.flac``, which nobody but its user
    may read.

    A file is written beside its name, synced and renamed, so that under the name lies a whole one or none. What is not
    named so is never touched.

    Args:
        path: of the folder, made if need be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.half = 0
        """How many files were found, and removed, that a daemon had not written to their end."""
        self.bytes = 0
        """What all clips take, with what lies beside them."""
        self._lock: int | None = None
        self._is: tuple[int, int] | None = None
        self._kept: dict[str, tuple[float, int]] = {}
        """Time and bytes of every clip, in the order of the times."""

    @property
    def clips(self) -> int:
        """Return how many clips there are."""
        return len(self._kept)

    def look(self) -> None:
        """See that the folder is there, and still the same: one that was deleted or replaced is begun anew.

        Raises:
            OSError: it cannot be made, read or kept for this daemon alone.
        """
        if self._is is not None and self._is == _identity(self.path):
            return
        self.close()
        os.makedirs(self.path, 0o700, exist_ok=True)
        lock = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._scan()
        except BlockingIOError:
            os.close(lock)
            raise Taken(0, "another auricle keeps its clips there; set another clips.folder") from None
        except BaseException:
            os.close(lock)
            raise
        self._lock, self._is = lock, _identity(self.path)

    def path_of(self, clip: Clip) -> Path:
        """Return where a clip lies, or will."""
        return self.path / part(clip.source or "") / name_of(clip)

    def write(self, clip: Clip, content: bytes, beside: Mapping[str, bytes]) -> None:
        """Write a clip, and before it what is to lie beside it.

        Raises:
            OSError: it cannot be written. There is no such file then, and no half one.
        """
        path = self.path_of(clip)
        with suppress(FileExistsError):
            os.mkdir(path.parent, 0o700)
        try:
            for suffix, text in beside.items():
                _write(path.with_suffix(f".{suffix}"), text)
            _write(path, content)
            size = len(content) + sum(map(len, beside.values()))
            self._kept[str(path)] = time.time(), size
        except BaseException:
            _remove(path)
            raise
        self.bytes += size

    def keep(self, most_bytes: float, before_s: float | None) -> None:
        """Remove the oldest clips until the bounds hold.

        Args:
            most_bytes: of all clips.
            before_s: those written before this go, in seconds since 1970 UTC.

        Raises:
            OSError: one cannot be removed.
        """
        # By their age, not by their place: what was written while the clock was ahead must not shield what is old.
        gone = [path for path, (at_s, _) in self._kept.items() if before_s is not None and at_s < before_s]
        for path in gone:
            self._take_away(path)
        while self._kept and self.bytes > most_bytes:
            self._take_away(next(iter(self._kept)))

    def close(self) -> None:
        """Let another daemon have the folder."""
        lock, self._lock, self._is = self._lock, None, None
        if lock is not None:
            with suppress(OSError):  # the kernel lets go of it all the same
                os.close(lock)

    def _take_away(self, path: str) -> None:
        _remove(Path(path))
        self.bytes -= self._kept.pop(path)[1]

    def _scan(self) -> None:
        found = {}
        for folder in _sources(self.path):
            for half in [entry for entry in os.listdir(folder) if _HALF.fullmatch(entry)]:
                os.unlink(os.path.join(folder, half))
                self.half += 1
        for entry in files(self.path):
            size = entry.stat().st_size
            for suffix in BESIDE:
                with suppress(FileNotFoundError):
                    size += os.stat(Path(entry.path).with_suffix(f".{suffix}")).st_size
            found[entry.path] = entry.stat().st_mtime, size
        self._kept = dict(sorted(found.items(), key=lambda item: item[1]))
        self.bytes = sum(size for _, size in found.values())


def _write(path: Path, content: bytes) -> None:
    half = path.with_name(f".{path.name}.part")
    with suppress(FileNotFoundError):
        os.unlink(half)
    with os.fdopen(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                os.unlink(half)
            raise
    os.replace(half, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Bring the folder's names to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a clip, if it is still there, and what lies beside it."""
    for each in (*(path.with_suffix(f".{suffix}") for suffix in BESIDE), path):
        with suppress(FileNotFoundError):
            os.unlink(each)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
