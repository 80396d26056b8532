"""libsndfile decodes a recording here: as it is where its header is right, else only the sound that its container
holds. Where libsndfile cannot serve, ffmpeg does.

libsndfile believes a header. Where that is wrong, the decoder is not given the file but an object in its place
(`streams.Stitched`), which holds the sound alone, or the streams with headers that are right. To mend a copy of the
file instead would need its size in free space and the time to write it, for each recording.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle.capture import container, packets, streams, transcoded, voc, wrapper
from auricle.capture.folders import shown
from auricle.capture.mute import muted
from auricle.capture.transcoded import Transcoded, Undecodable
from auricle.errors import AudioError

_SAMPLE_DUMP = b"\xf0\x7e"
"""The first bytes of a sample dump of MIDI, whose decoder writes what it finds wrong to standard output, among
messages."""
_HEADERLESS = (
    "; raw samples do not say what they are: put a header before them, "
    "as with ffmpeg -f s16le -ar 16000 -ac 1 -i IN.raw OUT.wav"
)
_SOUGHT = frozenset(("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "RAW"))
_OPEN_LENGTH = 2**60
"""libsndfile's count of samples where a header leaves it open is near 2^63."""


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads a file onwards only: soundfile seeks after every read, which garbles MP3 and costs time."""

    def seekable(self) -> bool:
        return False


class CutShort(AudioError):
    """A recording ends, or cannot be decoded any further, before its header says; what was there has been given.

    Args:
        reason: a line for a person.
        missing: samples at the recording's own rate that were not; 0 where nothing states how many there should be.
    """

    def __init__(self, reason: str, missing: int) -> None:
        self.missing = missing
        super().__init__(reason)


@dataclass(slots=True)
class Part:
    """Holds what one decoder gives.

    Args:
        file: the decoder.
        frames: samples that are there, where it is known before they are read.
        stated: samples that there should be, where anything says so.
        note: what a person should know though nothing is lost.
        broken_off: what shows that its end is missing, where no samples are counted; else empty.
        loose: samples by which a whole part may fall short of what is stated.
        raw: what the decoder reads from, to be closed with it.
        fault: why it could not be decoded any further, once that is so.
    """

    file: soundfile.SoundFile | Transcoded
    frames: int | None
    stated: int | None
    note: str = ""
    broken_off: str = ""
    loose: int = 0
    raw: streams.Stitched | None = None
    fault: str = ""

    @property
    def exact(self) -> bool:
        """Return whether any sample can be sought, and is the same as when the part is read from its start."""
        kind = self.file.subtype
        return self.file.format in _SOUGHT and (kind.startswith("PCM_") or kind in ("FLOAT", "DOUBLE", "ULAW", "ALAW"))

    def seek(self, frame: int) -> bool:
        """Go to a sample; return whether it is there."""
        try:
            return not isinstance(self.file, Transcoded) and bool(self.file.seek(frame) == frame)
        except soundfile.LibsndfileError:
            return False

    def read(self, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield all sound as blocks ``(frames, channels)`` float32; where it breaks, stop and say why in ``fault``."""
        sixteen = self.file.subtype == "PCM_16" and self.file.format != "FLAC"
        talks = self.file.subtype.startswith("MPEG")  # of whichever layer
        out = np.empty((frames, self.file.channels), np.int16 if sixteen else np.float32)
        while not self.fault:
            if not sixteen:
                out.fill(np.nan)
            try:
                with muted() if talks else nullcontext():
                    block = self.file.read(out=out)
            except (soundfile.LibsndfileError, Undecodable) as e:
                said = str(e) if isinstance(e, Undecodable) else e.error_string.rstrip(".")
                self.fault = said or "its data is damaged"
                # libsndfile does not say how much it had decoded before the fault. That has been written already, over
                # the NaN that the buffer was filled with.
                block = out[:0] if sixteen else out[: _written(out)]
            if not len(block):
                return
            # Dividing here is what libsndfile would do, one sample at a time.
            yield np.multiply(block, np.float32(1 / 32768), dtype=np.float32) if sixteen else block.copy()

    def cut(self, path: str, read: int) -> CutShort | None:
        """Return what is to be said of a part of which so many samples could be read; ``None`` if it is whole."""
        rate = self.file.samplerate
        missing = 0 if self.stated is None else max(0, self.stated - read)
        missing = missing if missing > self.loose else 0
        if self.fault:
            return CutShort(f"{path}: broken after {read / rate:.3f} s ({self.fault})", missing)
        if missing:
            said = f"{read} of {self.stated} samples ({read / rate:.3f} s) could be read"
            return CutShort(f"{path}: cut short: {said}", missing)
        if self.broken_off:
            return CutShort(f"{path}: cut short: {self.broken_off}", 0)
        return None

    def close(self) -> None:
        self.file.close()
        if self.raw is not None:
            self.raw.close()


def _written(out: NDArray[np.float32]) -> int:
    missing = np.isnan(out).any(axis=1)
    return int(missing.argmax()) if missing.any() else len(out)


def open_parts(path: str) -> list[Part]:
    """Open the decoders of a recording, one after the other.

    Raises:
        OSError: it cannot be opened.
        AudioError: the recording is of a kind that is not heard.
    """
    with open(path, "rb") as raw:
        if raw.read(2) == _SAMPLE_DUMP:
            raise AudioError(f"{shown(path)}: a sample dump of MIDI is not heard; make a WAV of it")
        table_damaged = packets.damaged(raw)
    if table_damaged:
        return _transcoded(path, "the table of its packets is damaged")
    try:
        return _by_libsndfile(path)
    except soundfile.LibsndfileError as e:
        return _transcoded(path, e.error_string.rstrip("."))


def _by_libsndfile(path: str) -> list[Part]:
    with open(path, "rb") as raw:
        runs = voc.runs(raw)
    if runs is not None:
        return [_of_voc(path, run) for run in runs]
    try:
        file: soundfile.SoundFile | Transcoded = _opened(path)
    except soundfile.LibsndfileError:
        # Behind junk or a long picture libsndfile does not find an MP3.
        if Path(path).suffix.lower() == ".mp3" and (parts := _mp3(path, anyway=True)):
            return parts
        # And a file whose length is not what its header says it may call malformed.
        if (mended := _mended(path)) is None:
            raise
        file = mended.file
    if file.subtype == "MPEG_LAYER_III" and (parts := _mp3(path)):
        file.close()
        return parts
    with open(path, "rb") as raw:
        if file.format == "OGG":
            found = streams.ogg(raw)
            if len(found) > 1:
                file.close()
                return [_stitched(path, stream) for stream in found]
            return [Part(file, file.frames, None, "", found[0].broken_off)]
        held = container.extent(raw, file.subtype, file.channels)
    if held is None:
        return [_mended(path, file) or Part(file, _known(file), _known(file))]
    if held.frames == held.stated == file.frames and not held.note:
        return [Part(file, _known(file), _known(file))]
    if held.frames == 0 == held.stated:
        return [Part(file, 0, 0)]
    rate, channels, subtype = file.samplerate, file.channels, file.subtype
    file.close()
    sound = streams.Stitched(path, [(held.at, held.frames * held.frame_bytes)])
    endian = "BIG" if held.big_endian else "LITTLE"
    file = _Forward(sound, samplerate=rate, channels=channels, format="RAW", subtype=subtype, endian=endian)
    return [Part(file, held.frames, held.stated, held.note, raw=sound)]


def _known(file: soundfile.SoundFile | Transcoded) -> int | None:
    return int(file.frames) if file.frames < _OPEN_LENGTH else None


def _mended(path: str, as_it_is: soundfile.SoundFile | Transcoded | None = None) -> Part | None:
    """Open a file whose header states another length than it has as if that were right; ``None`` where it is.

    Its samples cannot be counted by bytes. How many a cut one should have its header may count; else libsndfile tells
    of the same file with zeros in place of what is missing, or the share of its sound that is there does.

    Args:
        as_it_is: what is read where it cannot be opened so.

    Raises:
        soundfile.LibsndfileError: it cannot be opened at all.
    """
    with open(path, "rb") as raw:
        mended = container.mended(raw)
    if mended is None:
        return None
    stitched = streams.Stitched(path, mended.pieces)
    try:
        file: soundfile.SoundFile | Transcoded = _opened(stitched)
    except soundfile.LibsndfileError:
        if as_it_is is None:
            raise
        file = as_it_is
    known = stated = _known(file)
    if known is not None and mended.whole is not None:
        share = max(1, mended.there) / mended.stated
        stated = mended.samples or _stated(path, mended.whole) or round(known / share)
    missing = mended.stated - mended.there
    broken_off = f"the last {missing} of {mended.stated} bytes of sound are missing" if missing else ""
    return Part(file, known, stated, mended.note, broken_off, raw=stitched)


def _stated(path: str, pieces: container.Pieces) -> int | None:
    """Return how many samples libsndfile finds stated in a file that ends where its header says."""
    with streams.Stitched(path, pieces) as whole:
        try:
            file = _opened(whole)
        except soundfile.LibsndfileError:
            return None
        with file:
            return _known(file)


def _opened(file: str | streams.Stitched) -> _Forward:
    """Open a file by what it holds, whatever its name.

    Raises:
        OSError, soundfile.LibsndfileError: it cannot be opened.
    """
    with muted():
        if not isinstance(file, str):
            return _Forward(file)
        if Path(file).suffix.lower() == ".raw":
            # By this name soundfile takes any file for samples of which it must be told what they are.
            return _Forward(os.open(file, os.O_RDONLY | os.O_CLOEXEC), closefd=True)
        return _Forward(os.fsencode(file))


def _transcoded(path: str, why_not: str) -> list[Part]:
    """Have ffmpeg decode it; ``why_not`` is what libsndfile says of it.

    Where rate or channels change at one of the streams chained in an Ogg, ffmpeg hears no further: there another one
    begins.
    """
    try:
        about = transcoded.ask(path)
    except Undecodable as e:
        remedy = _HEADERLESS if Path(path).suffix.lower() == ".raw" else ""
        raise AudioError(f"{shown(path)}: not a recording that can be read ({why_not}; {e}){remedy}") from None
    with open(path, "rb") as raw:
        chain = streams.ogg(raw) if raw.read(4) == b"OggS" else [streams.Stream()]
        broken_off = chain[-1].broken_off or wrapper.broken_off(raw)
    if len({stream.form for stream in chain}) == 1:
        file = Transcoded(path, about)
        return [Part(file, about.stated, about.stated, "", broken_off, file.loose)]
    parts: list[Part] = []
    for form, alike in groupby(chain, lambda stream: stream.form):
        run = list(alike)
        told = about if form is None else transcoded.About(form[0], form[1], None, about.tags)
        file = Transcoded(path, told, _span(run))
        parts.append(Part(file, None, None, "", run[-1].broken_off))
    return parts


def _span(chain: list[streams.Stream]) -> tuple[int, int]:
    """Return offset and length of streams of an Ogg that follow each other."""
    pieces = [piece for stream in chain for piece in stream.pieces if isinstance(piece, tuple)]
    return pieces[0][0], pieces[-1][0] + pieces[-1][1] - pieces[0][0]


def _of_voc(path: str, run: voc.Run) -> Part:
    sound = streams.Stitched(path, run.pieces, fill=run.quiet)
    form = {"samplerate": run.rate, "channels": run.channels, "subtype": run.subtype}
    file = _Forward(sound, format="RAW", endian="LITTLE", **form)
    return Part(file, run.there // run.frame_bytes, run.stated // run.frame_bytes, raw=sound)


def _mp3(path: str, *, anyway: bool = False) -> list[Part]:
    with open(path, "rb") as raw:
        found = streams.mp3(raw, anyway=anyway) or []
        mended = container.mended(raw)
    parts = [_stitched(path, stream) for stream in found]
    if len(parts) == 1 and mended is not None and mended.stated > mended.there:
        # A WAV around it states bytes, and no samples: a share of them is missing.
        held = sum(piece[1] for piece in found[0].pieces if isinstance(piece, tuple))
        parts[0].stated = (parts[0].frames or 0) + round(found[0].samples * (mended.stated / held - 1))
    return parts


def _stitched(path: str, stream: streams.Stream) -> Part:
    raw = streams.Stitched(path, stream.pieces)
    file = _Forward(raw)
    return Part(file, file.frames, stream.stated, "", stream.broken_off, raw=raw)
