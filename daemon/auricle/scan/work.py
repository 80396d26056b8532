"""A unit of work, and what comes of it, as they are sent to workers and kept in the ledger."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from auricle import config


class Stamp(msgspec.Struct, frozen=True):
    """Tells a file from what it was before: bytes, and when it was changed, in nanoseconds since 1970."""

    size: int
    changed_ns: int


class Part(msgspec.Struct, frozen=True):
    """Names a part of a recording: samples ``begin`` to ``end`` at its own rate."""

    path: bytes
    stamp: Stamp
    begin: int = 0
    end: int = 0


class Unit(msgspec.Struct, frozen=True):
    """Says what one worker hears at a time: a stretch of a stream with its warm-up, or a recording by itself.

    Args:
        parts: what is read, one after the other.
        whole: one recording is heard as it is, to its end, whatever is in it; nothing else counts then.
        rate: of the parts, in Hz.
        skip: samples at the model's rate passed over at first, until the resampler gives what it gives in the stream.
        warm: decisions passed over then, until they reach back to nothing that was not heard.
        rows: decisions wanted; ``None``: all to the end.
        ends: which of the parts' recordings end in it.
        at: samples of the stream, at the model's rate, before the first that is not passed over.
        bytes: how much of the files it hears, for the progress.
    """

    parts: tuple[Part, ...]
    whole: bool = False
    rate: int = 0
    skip: int = 0
    warm: int = 0
    rows: int | None = None
    ends: tuple[int, ...] = ()
    at: int = 0
    bytes: int = 0

    @property
    def key(self) -> str:
        """Return a digest of all that its result depends on, besides the settings."""
        words = (self.parts, self.whole, self.rate, self.skip, self.warm, self.rows, self.ends)
        return hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:32]


class Run(msgspec.Struct):
    """Holds the scores of unbroken sound that an event could begin or last with; any other is as good as 0.

    Args:
        begin: in a recording that is heard by itself the sample, at its own rate, with which the sound begins.
        rate: of the recording, in Hz.
        samples: heard, at the model's rate.
        rows: decisions.
        where: of every score kept, decision times labels plus label: int64, little endian, compressed.
        scores: float32, likewise.
    """

    begin: int
    rate: int
    samples: int
    rows: int
    where: bytes
    scores: bytes

    def kept(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return places and scores as arrays."""
        where, scores = zlib.decompress(self.where), zlib.decompress(self.scores)
        return np.frombuffer(where, "<i8"), np.frombuffer(scores, "<f4")


class Told(msgspec.Struct):
    """Says what came of a recording: of one heard by itself all of it, else what was seen of it in a stretch.

    ``notes``: what is strange in its sound, though it was heard. ``sha256``: where the recording ends.
    """

    path: bytes
    notes: list[str] = []
    sha256: str = ""
    state: str = "heard"
    reason: str = ""
    seconds: float = 0.0
    start_us: int | None = None


class Heard(msgspec.Struct, tag="heard"):
    """Holds the result of a unit."""

    key: str
    runs: list[Run]
    told: list[Told]


class Finding(msgspec.Struct, tag="finding"):
    """Holds what a recording's header does not tell, and what was found when it was to be read.

    ``frames``: how many samples can be read; 0: it must be heard by itself; -1: it is refused.
    """

    path: bytes
    stamp: Stamp
    frames: int
    reason: str


Result: TypeAlias = Heard | Finding


class Lost(msgspec.Struct):
    """Says that too many workers have ended over a unit."""

    reason: str


class Settings(msgspec.Struct, frozen=True):
    """Holds what every worker needs to know.

    Args:
        cfg: model, rules and gate.
        channel, local: as of `auricle.capture.recording.Recordings`.
        folder: what relative paths are relative to.
        model: the hash of the model's files; empty where it need not be compared.
    """

    cfg: config.Config
    channel: int | str
    local: bool
    folder: str = ""
    model: str = ""


def stamp_of(path: str | bytes) -> Stamp:
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
