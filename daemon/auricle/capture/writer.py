"""A recording is written here: at any moment it holds what was heard so far, and a power cut costs a second of it."""

from __future__ import annotations

import errno
import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle.errors import OutputError

FORMS = (".flac", ".wav")
"""The endings of files that can be written."""
SYNC_S = 1.0
"""How often what was written is brought onto the disk."""


class _File(Protocol):
    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples ``(n,)``."""

    def sync(self) -> None:
        """Bring all onto the disk."""

    def close(self) -> None:
        """Bring all onto the disk and close the file."""


class _Wav:
    """Writes 16-bit PCM whose lengths are right after every write; behind 4 GiB they say: to the end of the file."""

    def __init__(self, path: Path, rate: int, made: str) -> None:
        note = f"GUANO|Version: 1.0\nTimestamp: {made}\nMake: Auricle\n".encode()
        note += b"\n" * (len(note) % 2)
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
        self._head = form + struct.pack("<4sI", b"guan", len(note)) + note
        self._at = 12 + len(self._head) + 8
        self._bytes = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._state()

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples, and say so in the header."""
        content = samples.astype("<i2").tobytes()
        done = 0
        while done < len(content):
            done += os.pwrite(self._fd, content[done:], self._at + self._bytes + done)
        self._bytes += len(content)
        self._state()

    def sync(self) -> None:
        """Bring all onto the disk."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Bring all onto the disk and close the file."""
        self.sync()
        os.close(self._fd)

    def _state(self) -> None:
        whole, sound = self._at - 8 + self._bytes, self._bytes
        if whole > 0xFFFF_FFFF:
            whole = sound = 0xFFFF_FFFF
        os.pwrite(self._fd, struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + self._head, 0)
        os.pwrite(self._fd, struct.pack("<4sI", b"data", sound), self._at - 8)


class _Flac:
    """Writes 16-bit FLAC, whose length stays open until it is closed: to the end of the file."""

    def __init__(self, path: Path, rate: int, made: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._file = soundfile.SoundFile(self._fd, "w", rate, 1, "PCM_16", format="FLAC", closefd=False)
        self._file.date = made
        self._file.software = "Auricle"

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples; the encoder keeps the last few thousand."""
        self._file.write(samples)

    def sync(self) -> None:
        """Bring all onto the disk."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Bring all onto the disk and close the file."""
        self._file.close()
        self.sync()
        os.close(self._fd)


def _name_synced(folder: Path) -> None:
    """Bring the name of a new file onto the disk: what is in a file that has none is lost."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOTSUP):  # a share that cannot do this for a folder
            raise
    finally:
        os.close(fd)


class Writer:
    """Writes one recording of 16 bits.

    Args:
        path: a name that is not taken, ending as one of `FORMS`.
        rate: in Hz.
        start_us: microseconds since 1970 UTC of the first sample; it is kept in the file.

    Raises:
        OutputError: the file cannot be written, or is there already.
    """

    def __init__(self, path: Path, rate: int, start_us: int) -> None:
        self._path, self._rate = path, rate
        self.samples = 0
        """How many samples were written."""
        self.clipped = 0
        """How many samples were louder than a file of whole numbers can hold."""
        self._synced_s = time.monotonic()
        made = datetime.fromtimestamp(start_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            kind = _Flac if path.suffix.lower() == ".flac" else _Wav
            self._file: _File = kind(path, rate, made)
            _name_synced(path.parent)
        except FileExistsError:
            raise OutputError(f"{path}: is there already; give another name") from None
        except (OSError, soundfile.LibsndfileError) as e:
            raise self._fault(e) from None

    @property
    def seconds(self) -> float:
        """Return how long the recording is."""
        return self.samples / self._rate

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples ``(n,)`` float32, full scale 1.0."""
        scaled = np.rint(samples * np.float32(32768))
        self.clipped += int(np.count_nonzero((scaled > 32767) | (scaled < -32768)))
        self._put(np.clip(scaled, -32768, 32767).astype(np.int16))

    def silence(self, samples: int) -> None:
        """Append zeros, so that what follows stands at its time."""
        while samples > 0:
            n = min(samples, 60 * self._rate)
            self._put(np.zeros(n, np.int16))
            samples -= n

    def close(self) -> None:
        """Bring all onto the disk and close the file."""
        try:
            self._file.close()
        except (OSError, soundfile.LibsndfileError) as e:
            raise self._fault(e) from None

    def _put(self, samples: NDArray[np.int16]) -> None:
        try:
            self._file.write(samples)
            self.samples += len(samples)
            if (now_s := time.monotonic()) - self._synced_s >= SYNC_S:
                self._synced_s = now_s
                self._file.sync()
        except (OSError, soundfile.LibsndfileError) as e:
            raise self._fault(e) from None

    def _fault(self, error: Exception) -> OutputError:
        said = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        return OutputError(f"{self._path}: {said}; free some space, or write elsewhere")
