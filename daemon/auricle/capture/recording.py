"""Recordings as a source: any file that libsndfile reads, streamed in blocks at any pace."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle.capture.ahead import Ahead
from auricle.capture.conditioning import Resampler, clean, mono
from auricle.capture.dates import moment_in
from auricle.capture.decoder import CutShort, open_parts
from auricle.capture.source import End, Gap, NominalClock, Piece, Segment, Skipped, Sound, Status
from auricle.errors import AudioError

log = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    (".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".w64", ".wav", ".wave")
)
"""File names that a folder is searched for; a file that is named itself may be called anything."""

_MIN_RATE, _MAX_RATE = 1_000, 768_000
_READ_FRAMES = 16_384
"""Read at once: a call into libsndfile costs as much as some thousand samples."""

AHEAD_S, MOST_AHEAD_S = 1.0, 30.0
"""Sound read ahead of its pace: so many seconds of real time, and no more than so much sound."""
AGAIN_S, STALL_S = 0.01, 2.0
"""Where nothing has been read in time: how soon to ask again, and when to tell it."""


def find(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The recordings that files, folders (searched deeply) and globs stand for, and a line for what stands for none.

    Files keep the name under which they were reached; a folder's files come in sorted order.
    """
    found: list[str] = []
    faults: list[str] = []

    def walk(folder: str) -> None:
        before = len(found), len(faults)
        for root, folders, files in os.walk(folder, onerror=lambda e: faults.append(f"{e.filename}: {e.strerror}")):
            folders.sort()
            found.extend(os.path.join(root, f) for f in sorted(files) if Path(f).suffix.lower() in EXTENSIONS)
        if before == (len(found), len(faults)):
            faults.append(f"{folder}: no recording in this folder; use one with {', '.join(sorted(EXTENSIONS))} files")

    for path in paths:
        if os.path.isdir(path):
            walk(path)
        elif os.path.exists(path) or not glob.has_magic(path):
            found.append(path)
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                faults.append(f"{path}: no file matches this pattern")
            for match in matches:
                walk(match) if os.path.isdir(match) else found.append(match)
    return found, faults


class Reader:
    """One recording, read as blocks of mono float32 at a wanted rate; never the whole file in memory.

    What its header says of its length is held against what it holds: a length left open means the file's end, sound
    behind a stated length is heard too, and streams that follow each other in an Ogg or MP3 are one recording.

    Args:
        path: WAV, FLAC, OGG, MP3 and whatever else libsndfile reads, of any rate, depth and number of channels.
        rate_out: in Hz; the file's own unless told.

    Raises:
        AudioError: the file is missing, empty, or not sound.
    """

    def __init__(self, path: str, rate_out: int | None = None) -> None:
        self.path = path
        self.cleaned = 0
        try:
            if os.path.getsize(path) == 0:
                raise AudioError(f"{path}: the file is empty")
            self._parts = open_parts(path)
        except OSError as e:
            raise AudioError(f"{path}: {e.strerror or e}") from None
        except soundfile.LibsndfileError as e:
            raise AudioError(f"{path}: not a recording that can be read ({e.error_string.rstrip('.')})") from None
        self._file = self._parts[0].file
        self.rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames = sum(part.frames or 0 for part in self._parts)
        """Samples that are there, as far as is known; once it has been read, those that were."""
        try:
            for part in self._parts:
                if not _MIN_RATE <= part.file.samplerate <= _MAX_RATE:
                    use = f"use {_MIN_RATE} to {_MAX_RATE}"
                    raise AudioError(f"{path}: a sample rate of {part.file.samplerate} Hz; {use}")
            if all(part.frames == 0 for part in self._parts):
                raise AudioError(f"{path}: holds no sample")
        except AudioError:
            self.close()
            raise
        self.rate_out = rate_out or self.rate

    @property
    def duration_s(self) -> float:
        """Length of the recording as far as it is known; once it has been read, of what was heard."""
        return self.frames / self.rate

    @property
    def cut(self) -> str | None:
        """What is missing at its end, where that is seen before it is read: a line for a person."""
        reasons = (part.cut(self.path, part.frames or 0) for part in self._parts)
        return next((str(reason) for reason in reasons if reason is not None), None)

    def start_us(self) -> int | None:
        """When it was made, microseconds since 1970 UTC, from its name or its header; ``None`` if neither tells."""
        stated = [os.path.basename(self.path), self._file.copy_metadata().get("date", "")]
        return next((us for us in map(moment_in, stated) if us is not None), None)

    def blocks(self, samples: int) -> Iterator[NDArray[np.float32]]:
        """Blocks of about ``samples`` samples at ``rate_out``, then the resampler's tail; may be read once.

        Raises:
            CutShort: the file ends before its header says, or cannot be decoded further.
        """
        total = 0.0
        short: CutShort | None = None
        try:
            for part in self._parts:
                if part.note:
                    log.warning("%s: %s", self.path, part.note)
                rate = int(part.file.samplerate)
                resampler = Resampler(rate, self.rate_out)
                step = max(1, samples * rate // self.rate_out)
                read = 0
                for block in part.read(max(1, _READ_FRAMES // step) * step):
                    read += len(block)
                    cleaned, bad = clean(mono(block))
                    self.cleaned += bad
                    for at in range(0, len(cleaned), step):
                        yield resampler.process(cleaned[at : at + step])
                if len(tail := resampler.flush()):
                    yield tail
                total += read * self.rate / rate
                short = short or part.cut(self.path, read)
        finally:
            self.close()
        self.frames = round(total)
        if short is not None:
            raise short

    def close(self) -> None:
        """Close the file; harmless after `blocks` has ended."""
        for part in self._parts:
            part.close()


class Recordings:
    """Recordings as a fake stream: a `Source` of one segment a file.

    At a pace they are read ahead: a disk that hangs holds up nobody else, and is told as a loss; when it answers again
    the recording goes on where it was. As fast as the consumer takes it, a file is read when it is asked for.

    Args:
        name: of the source.
        paths: files, folders and globs.
        model_rate: in Hz, of the sound given.
        speed: 1 is real time, ``None`` as fast as the consumer takes it.
        loop: begin again after the last file, for ever.
        start_us: time of the first sample, microseconds since 1970 UTC; later files follow without a pause.
        block_samples: samples in a block at ``model_rate``.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[str],
        *,
        model_rate: int,
        speed: float | None = 1.0,
        loop: bool = False,
        start_us: int | None = None,
        block_samples: int = 1280,
    ) -> None:
        self.name = name
        self.live: None = None
        self.cleaned = 0
        self.done = False
        self._paths = tuple(paths)
        self._model_rate = model_rate
        self._speed = speed
        self._loop = loop
        self._next_us = start_us
        self._block = block_samples
        self._pieces: Iterator[Piece] = iter(())
        self._ahead: Ahead[Piece] | None = None
        self._starved_s: float | None = None
        self._lost = False
        self._again_s = 0.0
        self._began_s = 0.0
        self._given = 0
        self._share = (0.0, 1.0)
        self.progress = 0.0
        """How much of all files has been given, 0 to 1; of a loop, of this pass."""

    def open(self) -> None:
        """Look for the files; what is missing or broken comes as `Skipped` when its turn is."""
        self._began_s = time.monotonic()
        if self._speed is None:
            self._pieces = self._read_all()
        else:
            ahead_s = min(AHEAD_S * self._speed, MOST_AHEAD_S)
            self._ahead = Ahead(self._read_all(), max(8, round(ahead_s * self._model_rate / self._block)))
            # Each name has its own place within a block: hundreds that begin at once would all be due at once for ever.
            place = crc32(self.name.encode()) / 2**32
            self._began_s += place * self._block / (self._model_rate * self._speed)
        self._given = 0

    def counters(self) -> None:
        """Recordings lose nothing: they wait for whoever hears them."""

    def due_s(self, now_s: float) -> float:
        """When the next block has been 'recorded'."""
        return now_s if self._ahead is None else max(self._recorded_s, self._again_s)

    def poll(self, now_s: float) -> Iterator[Piece]:
        """The pieces that are due; at full speed one block."""
        if self._ahead is not None:
            yield from self._poll_ahead(self._ahead, now_s)
            return
        for piece in self._pieces:
            yield piece
            if isinstance(piece, Sound):
                return
        self.done = True

    def fail(self, reason: str, at: int | None) -> None:
        """Give nothing more, and say why."""
        self._let_go()
        self._pieces = iter((Skipped(f"{self.name}: {reason}; the rest of its recordings is not heard"),))

    def close(self) -> None:
        """Close the file being read."""
        self._let_go()
        self.done = True

    def _let_go(self) -> None:
        self._pieces = iter(())
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    @property
    def _recorded_s(self) -> float:
        """When the next block has been 'recorded'."""
        assert self._speed is not None
        return self._began_s + (self._given + self._block) / (self._model_rate * self._speed)

    def _poll_ahead(self, ahead: Ahead[Piece], now_s: float) -> Iterator[Piece]:
        while (due_s := self._recorded_s) <= now_s and self._ahead is ahead:
            if (piece := ahead.get()) is None:
                if ahead.ended:
                    self.done = True
                else:
                    yield from self._starve(now_s)
                return
            self._starved_s = None
            if self._lost:
                self._lost = False
                yield Status("found", "it can be read again")
            if isinstance(piece, Sound):
                self._given += len(piece.samples)
                piece.delivered_s = due_s
            yield piece

    def _starve(self, now_s: float) -> Iterator[Piece]:
        """Nothing is there that should be: ask again soon, and tell it when it lasts."""
        self._again_s = now_s + AGAIN_S
        if self._starved_s is None:
            self._starved_s = now_s
        if not self._lost and now_s - self._starved_s > STALL_S:
            self._lost = True
            yield Status("lost", f"nothing could be read for {STALL_S:g} s; is its disk or share still there?")

    def _read_all(self) -> Generator[Piece]:
        while True:
            files, faults = find(self._paths)
            yield from map(Skipped, faults)
            heard = 0
            for index, file in enumerate(files):
                self._share = (index / len(files), 1 / len(files))
                for piece in self._read(file):
                    heard += isinstance(piece, Sound)
                    yield piece
                self.progress = sum(self._share)
            if not self._loop:
                return
            if not heard:
                yield Skipped(f"{self.name}: nothing to loop over: none of its recordings can be read")
                return

    def _read(self, path: str) -> Iterator[Piece]:
        try:
            reader = Reader(path, self._model_rate)
        except AudioError as e:
            yield Skipped(str(e))
            return
        start = reader.start_us() if self._next_us is None else self._next_us
        clock = NominalClock(reader.rate, start or 0, start is not None)
        length = max(1, reader.frames * self._model_rate // reader.rate)
        given, missing = 0, 0
        yield Segment(0, reader.rate, clock, path)
        try:
            for block in reader.blocks(self._block):
                given += len(block)
                self.progress = self._share[0] + self._share[1] * min(1.0, given / length)
                yield Sound(block)
        except CutShort as e:
            missing = e.missing
            yield Skipped(str(e))
        finally:
            self.cleaned += reader.cleaned
            reader.close()
        if self._next_us is not None:
            self._next_us += (reader.frames + missing) * 1_000_000 // reader.rate
        yield End("gap" if missing else "end")
        if missing:
            yield Gap(reader.frames, missing, reader.rate, "lost", False, clock)
