"""One recording is read in blocks here: any file that libsndfile reads, heard to its end whatever its header says."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle.capture.conditioning import Resampler, clean, mono
from auricle.capture.dates import moment_in
from auricle.capture.decoder import CutShort, open_parts
from auricle.errors import AudioError

log = logging.getLogger(__name__)

MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64
"""The most channels, as pipes and sound cards may have: more are no sound, or none of which a mean says anything."""
_READ_FRAMES = 16_384
"""How many samples are read at once: a call into libsndfile costs as much as some thousand of them."""
_READ_VALUES = 2**20
"""How many values are read at once of all channels together, 4 MB, however many there are and however fast they
come."""
_HEADERLESS = (
    "; raw samples do not say what they are: put a header before them, "
    "as with ffmpeg -f s16le -ar 16000 -ac 1 -i IN.raw OUT.wav"
)


class Reader:
    """Reads one recording as blocks of mono float32 at a wanted rate; never the whole file in memory.

    What its header says of its length is held against what it holds: a length left open means the file's end, sound
    behind a stated length is heard too, and streams that follow each other in an Ogg or MP3 are one recording.

    Args:
        path: WAV, FLAC, OGG, MP3 and whatever else libsndfile reads, of any rate, depth and number of channels.
        rate_out: in Hz; the file's own unless given.

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
            reason = e.error_string.rstrip(".")
            remedy = _HEADERLESS if os.path.splitext(path)[1].lower() == ".raw" else ""
            raise AudioError(f"{path}: not a recording that can be read ({reason}){remedy}") from None
        self._file = self._parts[0].file
        self.rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames = sum(part.frames or 0 for part in self._parts)
        """Samples that are there, as far as is known; once the recording has been read, those that were."""
        try:
            for part in self._parts:
                if not MIN_RATE <= part.file.samplerate <= MAX_RATE:
                    use = f"use {MIN_RATE} to {MAX_RATE}"
                    raise AudioError(f"{path}: a sample rate of {part.file.samplerate} Hz; {use}")
                if part.file.channels > MAX_CHANNELS:
                    use = f"use 1 to {MAX_CHANNELS}"
                    raise AudioError(f"{path}: {part.file.channels} channels; {use}")
            if all(part.frames == 0 for part in self._parts):
                raise AudioError(f"{path}: holds no sample")
        except AudioError:
            self.close()
            raise
        self.rate_out = rate_out or self.rate

    @property
    def duration_s(self) -> float:
        """Return the length of the recording as far as it is known; once it has been read, of what was heard."""
        return self.frames / self.rate

    @property
    def cut(self) -> str | None:
        """Return a line for a person about what is missing at the recording's end, where that is seen before it is
        read."""
        reasons = (part.cut(self.path, part.frames or 0) for part in self._parts)
        return next((str(reason) for reason in reasons if reason is not None), None)

    def start_us(self) -> int | None:
        """Return when the recording was made, in microseconds since 1970 UTC, from its name or its header; ``None`` if
        neither says so."""
        stated = [os.path.basename(self.path), self._file.copy_metadata().get("date", "")]
        return next((us for us in map(moment_in, stated) if us is not None), None)

    def blocks(self, samples: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of about ``samples`` samples at ``rate_out``, then the resampler's tail; may be read once.

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
                most = max(1, _READ_VALUES // part.file.channels)
                for block in part.read(min(most, max(1, _READ_FRAMES // step) * step)):
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
