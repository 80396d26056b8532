"""Clips are found and read back here, as far as they can be believed: a folder may hold whatever somebody put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle.clips.folder import files, is_clip, is_source
from auricle.errors import AudioError, UsageError
from auricle.messages import Clip, microseconds

_MOST_BYTES = 1 << 30
"""The longest file that is opened: ten minutes at 655 kHz in 24 bits take less."""
_BEGINS = (b"fLaC", b"OggS")
"""How files of clips begin; what begins otherwise is given to no decoder."""


def clip_of(path: str) -> Clip:
    """Return what a clip's file says of itself, with its path.

    Raises:
        AudioError: it is no clip of ours (any more).
    """
    with _opened(path) as file:
        try:
            clip = msgspec.json.decode(file.comment, type=Clip)
            for time_of_day in (clip.t, clip.onset):
                microseconds(time_of_day)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as e:
            raise AudioError(f"its comment is not a clip's: {e}") from None
        if (file.samplerate, file.frames) != (clip.rate, clip.samples):
            raise AudioError(f"it holds {file.frames} samples at {file.samplerate} Hz, and its comment says otherwise")
    clip.path = path
    return clip


def part(clip: Clip) -> tuple[float, float] | None:
    """Return where in a clip its event lies, in seconds; ``None`` where nobody knows: somebody missed it."""
    begin_s = max(0.0, clip.onset_s)
    end_s = clip.duration_s if clip.offset_s is None else min(clip.offset_s, clip.duration_s)
    return (begin_s, end_s) if begin_s < end_s else None


def sound(path: str, block: int) -> Iterator[NDArray[np.float32]]:
    """Yield the sound of a clip as float32 ``(n, 1)``, ``block`` samples at a time.

    Raises:
        AudioError: it cannot be read to its end.
    """
    with _opened(path) as file:
        try:
            yield from file.blocks(block, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as e:
            raise AudioError(f"it cannot be read to its end: {e.error_string}") from None


def clips(folder: Path) -> Iterator[tuple[str, Clip | AudioError]]:
    """Yield every clip in a folder by its path, or why it cannot be read, source by source in the order of their times.

    Raises:
        UsageError: there is no such folder, or it cannot be read.
    """
    try:
        for entry in files(folder):
            try:
                yield entry.path, clip_of(entry.path)
            except AudioError as e:
                yield entry.path, e
    except FileNotFoundError:
        raise UsageError(f"{folder}: there are no clips; is clips.enabled set, and was there an event?") from None
    except OSError as e:
        whose = "; ask as the daemon's user, as with sudo" if isinstance(e, PermissionError) else ""
        raise UsageError(f"{folder}: cannot be read: {e.strerror}{whose}") from None


def opened(folder: Path, source: str, name: str) -> BinaryIO:
    """Open the file of a clip by the names of its own folder and of itself, whatever they are made of: nothing else
    that lies there, or that a link leads to, is opened.

    Raises:
        AudioError: there is no such clip, or it cannot be read.
    """
    if not is_source(source) or not is_clip(name):
        raise AudioError("there is no clip of such a name")
    at: list[int] = []
    try:
        at.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        at.append(os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at[0]))
        file = os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at[1]), "rb")
    except FileNotFoundError:
        raise AudioError("the clip is there no more") from None
    except PermissionError:
        raise AudioError(f"clips can be read by the daemon's user alone; see docs/page.md ({folder})") from None
    except OSError as e:
        raise AudioError(f"the clip cannot be read: {e.strerror}") from None
    finally:
        for each in at:
            os.close(each)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise AudioError("there is no clip of such a name")
    return file


def _opened(path: str) -> soundfile.SoundFile:
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise AudioError("it is longer than a clip can be")
        with open(path, "rb") as file:
            begin = file.read(4)
        # Other decoders are not asked: some write to standard error about what they cannot read.
        if begin not in _BEGINS:
            raise AudioError("it is no sound: neither FLAC nor Ogg")
        return soundfile.SoundFile(path)
    except OSError as e:
        raise AudioError(f"it cannot be read: {e.strerror}") from None
    except soundfile.LibsndfileError as e:
        raise AudioError(f"it is no sound: {e.error_string}") from None
