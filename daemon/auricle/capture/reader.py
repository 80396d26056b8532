"""One recording is read in blocks here: whatever libsndfile or ffmpeg reads, to its end whatever its header says."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.capture import made
from auricle.capture.conditioning import Resampler, clean, mono
from auricle.capture.decoder import CutShort, Part, open_parts
from auricle.capture.doubts import Doubts
from auricle.capture.folders import shown
from auricle.errors import AudioError

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often to look whether a file has grown that is followed."""
MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64
"""The most channels, as pipes and sound cards may have: more are no sound, or none of which a mean says anything."""
_NOTHING = np.empty(0, np.float32)
_READ_FRAMES = 16_384
"""How many samples are read at once: a call into libsndfile costs as much as some thousand of them."""
_READ_VALUES = 2**20
"""How many values are read at once of all channels together, 4 MB, however many there are and however fast they
come."""


def size_of(path: str) -> int:
    """Return how many bytes a file has, 0 where there is none (any more)."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Marks where sound of another rate or number of channels begins, so many seconds after the recording does."""

    begin_s: float
    rate: int
    channels: int


@dataclass(slots=True)
class Block:
    """Holds a block at the wanted rate, and what of the recording, mixed and clean, went into the resampler for it."""

    samples: NDArray[np.float32]
    own: NDArray[np.float32]


class Reader:
    """Reads one recording as blocks of mono float32 at a wanted rate; never the whole file in memory.

    What its header says of its length is held against what it holds: a length left open means the file's end, sound
    behind a stated length is heard too, and streams that follow each other in an Ogg or MP3 are one recording.

    Args:
        path: WAV, FLAC, OGG, MP3 and whatever else libsndfile or ffmpeg reads, of any rate, depth and number of
            channels.
        rate_out: in Hz; the file's own unless given.
        channel: the one to listen to, 1 is the first; ``mix``: the mean of all.
        doubts: told of the sound before it is mixed; whoever hands them in tells what they find. Else it is logged.
        follow_s: read on behind the file's end until it has not grown for so long; 0: what is there.

    Raises:
        AudioError: the file is missing, empty, or not sound, or has no such channel.
    """

    def __init__(
        self,
        path: str,
        rate_out: int | None = None,
        *,
        channel: int | str = "mix",
        doubts: Doubts | None = None,
        follow_s: float = 0.0,
    ) -> None:
        self.name = shown(path)
        """The path, as text that may be printed and published."""
        self.cleaned = 0
        self.short: str | None = None
        """Why not all of it was `heard`: a line for a person."""
        self._path = path
        self._channel = None if isinstance(channel, str) else channel - 1
        self._own_doubts = doubts is None
        self._doubts = Doubts(self._channel) if doubts is None else doubts
        self._follow_s = follow_s
        self._opened()
        first = self._parts[0].file
        self.rate, self.channels = int(first.samplerate), int(first.channels)
        self.frames = sum(part.frames or 0 for part in self._parts)
        """Samples that are there, as far as is known; once it has been read, those that were."""
        self.rate_out = rate_out or self.rate

    @property
    def duration_s(self) -> float:
        """Return the length of the recording as far as it is known; once it has been read, of what was heard."""
        return self.frames / self.rate

    @property
    def cut(self) -> str | None:
        """Return a line for a person about what is missing at the recording's end, where that is seen before it is
        read."""
        reasons = (part.cut(self.name, part.frames or 0) for part in self._parts)
        return next((str(reason) for reason in reasons if reason is not None), None)

    def start_us(self, *, local: bool = False) -> int | None:
        """Return when the recording was made, as microseconds since 1970 UTC, from name and notes (`made.start_us`).

        Args:
            local: whether a time without a zone is this machine's local one; else it is UTC.
        """
        return made.start_us(self._path, self._parts[0].file.copy_metadata(), local=local)

    def blocks(self, samples: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of about ``samples`` samples at ``rate_out``, then the resampler's tail; may be read once.

        Raises:
            CutShort: the file ends before its header says, or cannot be decoded further.
        """
        for piece in self.pieces(samples):
            if piece is None:
                time.sleep(LOOK_S)
            elif isinstance(piece, Block):
                yield piece.samples

    def heard(self, samples: int) -> Iterator[NDArray[np.float32]]:
        """Yield the blocks, as far as there are any: of a file that ends too soon `short` says so afterwards."""
        try:
            yield from self.blocks(samples)
        except CutShort as cut:
            self.short = str(cut)

    @property
    def exact(self) -> bool:
        """Return whether `samples` can give any of it, and its length is known, as far as its header is true."""
        return len(self._parts) == 1 and self._parts[0].exact and self._parts[0].frames is not None

    def samples(self, begin: int, end: int) -> Iterator[NDArray[np.float32]]:
        """Yield a part of an `exact` recording at its own rate, mixed and cleaned, ``(n,)`` a block; fewer samples
        where they cannot be read."""
        (part,) = self._parts
        left = end - begin
        try:
            if not part.seek(begin):
                return
            for block in part.read(min(max(1, _READ_VALUES // self.channels), _READ_FRAMES)):
                yield self._mixed(block[:left], self.rate)
                if (left := left - len(block)) <= 0:
                    return
        finally:
            self._doubts.end()
            self.close()

    def pieces(self, samples: int) -> Iterator[Stretch | Block | None]:
        """Yield the blocks, with a `Stretch` before the first and wherever rate or channels change; may be read once.

        ``None`` stands where a file that is followed may still grow: ask again in `LOOK_S`.

        Raises:
            CutShort: the file ends before its header says, or cannot be decoded further.
        """
        now, read, seconds = 0, 0, 0.0
        like: tuple[int, int] | None = None
        resampler = Resampler(self.rate, self.rate_out)
        short: CutShort | None = None
        try:
            while True:
                for place, part in list(enumerate(self._parts))[now:]:
                    now = place
                    rate, channels = int(part.file.samplerate), int(part.file.channels)
                    if not read:
                        if like is not None and len(tail := resampler.flush()):
                            yield Block(tail, _NOTHING)
                        if like != (rate, channels):
                            like = (rate, channels)
                            yield Stretch(seconds, rate, channels)
                        resampler = Resampler(rate, self.rate_out)
                    begun_s = seconds - read / rate
                    for block in self._heard(part, samples, skip=read):
                        read += len(block)
                        cleaned, step = self._mixed(block, rate), max(1, samples * rate // self.rate_out)
                        for begin in range(0, len(cleaned), step):
                            own = cleaned[begin : begin + step]
                            yield Block(resampler.process(own), own)
                    seconds = begun_s + read / rate
                    if now + 1 < len(self._parts):
                        short, read = short or part.cut(self.name, read), 0
                if not (yield from self._grown()):
                    break
            if len(tail := resampler.flush()):
                yield Block(tail, _NOTHING)
            short = short or self._parts[now].cut(self.name, read)
            if not seconds and short is None:
                short = CutShort(f"{self.name}: holds no sample", 0)
        finally:
            self.close()
        self.frames = round(seconds * self.rate)
        self._doubts.end()
        if self._own_doubts:
            for doubt in self._doubts.take():
                log.warning("%s: %s", self.name, doubt)
        if short is not None:
            raise short

    def close(self) -> None:
        """Close the file; harmless after `blocks` has ended."""
        for part in self._parts:
            part.close()

    def _opened(self) -> None:
        try:
            self._size = os.path.getsize(self._path)
            if not self._size:
                raise AudioError(f"{self.name}: the file is empty")
            self._parts = open_parts(self._path)
        except OSError as e:
            raise AudioError(f"{self.name}: {e.strerror or e}") from None
        try:
            for part in self._parts:
                rate, channels = part.file.samplerate, part.file.channels
                if not MIN_RATE <= rate <= MAX_RATE:
                    raise AudioError(f"{self.name}: a sample rate of {rate} Hz; use {MIN_RATE} to {MAX_RATE}")
                if channels > MAX_CHANNELS:
                    raise AudioError(f"{self.name}: {channels} channels; use 1 to {MAX_CHANNELS}")
                if self._channel is not None and self._channel >= channels:
                    raise AudioError(f"{self.name}: has no channel {self._channel + 1}; it has {channels}")
            if all(part.frames == 0 and not part.stated for part in self._parts):
                raise AudioError(f"{self.name}: holds no sample")
        except AudioError:
            self.close()
            raise

    def _heard(self, part: Part, samples: int, *, skip: int) -> Iterator[NDArray[np.float32]]:
        """Yield what a part holds behind its first ``skip`` samples, as it was recorded."""
        if part.note and not skip and not self._follow_s:
            log.warning("%s: %s", self.name, part.note)
        step = max(1, samples * int(part.file.samplerate) // self.rate_out)
        most = max(1, _READ_VALUES // int(part.file.channels))
        for block in part.read(min(most, max(1, _READ_FRAMES // step) * step)):
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))

    def _mixed(self, block: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        cleaned, bad = clean(mono(block, self._channel))
        self.cleaned += bad
        self._doubts.look(block, cleaned, rate)
        return cleaned

    def _grown(self) -> Generator[None, None, bool]:
        """Wait until the file has grown, and open it anew; return false when it has not for so long."""
        until_s = time.monotonic() + self._follow_s
        while time.monotonic() < until_s:
            yield
            if size_of(self._path) > self._size:
                self.close()
                try:
                    self._opened()
                except AudioError:  # as it is being written to: there will be more of it
                    continue
                return True
        return False
