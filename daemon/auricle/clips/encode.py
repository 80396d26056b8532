"""The sound of a clip becomes a file's bytes here: FLAC to the very sample, or Opus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from auricle.clips.held import held
from auricle.clips.keeper import OPUS_HZ
from auricle.clips.past import Cut
from auricle.messages import ClipForm

MAX_FLAC_HZ = 655_350
"""The highest rate that FLAC's header can say (RFC 9639, section 9.1.2 gives it 20 bits; encoders end here)."""


class NoRate(ValueError):
    """FLAC has no such rate."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Says what a file holds: its rate in Hz, its samples, and whether each is as it was heard."""

    rate: int
    samples: int
    exact: bool


def encode(sound: Cut, form: ClipForm, comment: Callable[[Facts], str], title: str = "") -> tuple[bytes, Facts]:
    """Return the bytes of a file, and what is in it.

    FLAC takes 16 bits where that is all that the sound has, else 24; Opus is resampled and lossy.

    Args:
        sound: at the source's own rate, full scale 1.0; what is beyond is clipped.
        form: of the file.
        comment: gives the file's comment.
        title: of the file.

    Raises:
        NoRate: FLAC cannot say the rate.
        MemoryError: there is no memory for it.
        soundfile.LibsndfileError: it cannot be encoded.
    """
    if form == "opus":
        blocks = _resampled(sound)
        facts = Facts(OPUS_HZ, sum(len(block) for block in blocks), exact=False)
        return _written("OGG", "OPUS", blocks, facts, comment(facts), title), facts
    if sound.rate > MAX_FLAC_HZ:
        raise NoRate(f"{sound.rate} Hz is more than FLAC's {MAX_FLAC_HZ}")
    bits = 16 if _fits(sound, 16) else 24
    facts = Facts(sound.rate, sound.end - sound.first, exact=bits == 16 or _fits(sound, 24))
    words = (_words(block, bits) for block in sound.blocks(sound.rate))
    return _written("FLAC", f"PCM_{bits}", words, facts, comment(facts), title), facts


def _fits(sound: Cut, bits: int) -> bool:
    """Return whether every sample is a whole number of this many bits."""
    full = 2.0 ** (bits - 1)
    for run in sound.runs:
        scaled = run.samples * full  # float32 times a power of two is exact
        if scaled.min() < -full or scaled.max() > full - 1 or not np.array_equal(scaled, np.rint(scaled)):
            return False
    return True


def _words(block: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Return the samples in the upper ``bits`` of 32, which is where libsndfile takes them from, without scaling."""
    full = 2.0 ** (bits - 1)
    return np.clip(np.rint(block.astype(np.float64) * full), -full, full - 1).astype(np.int32) << (32 - bits)


def _resampled(sound: Cut) -> Sequence[NDArray[np.float32]]:
    """Return the sound at Opus's rate, within full scale."""
    blocks = sound.blocks(sound.rate)
    if sound.rate == OPUS_HZ:
        return [np.clip(block, -1, 1) for block in blocks]
    stream = soxr.ResampleStream(sound.rate, OPUS_HZ, 1, dtype="float32")
    found = [np.asarray(stream.resample_chunk(block), np.float32) for block in blocks]
    found.append(np.asarray(stream.resample_chunk(np.empty(0, np.float32), last=True), np.float32))
    return [np.clip(block, -1, 1) for block in found if len(block)]


def _written(
    major: str, subtype: str, blocks: Iterable[NDArray[np.generic]], facts: Facts, comment: str, title: str
) -> bytes:
    # In memory first: what the disk refuses is then our own write's error, and never a file that libsndfile half wrote.
    with held() as content:
        with soundfile.SoundFile(content.fileno(), "w", facts.rate, 1, subtype, format=major, closefd=False) as file:
            for name, said in (("title", title), ("comment", comment), ("software", "auricle")):
                if said:  # an empty one is refused
                    setattr(file, name, said)
            for block in blocks:
                file.write(block)
        content.seek(0)
        return content.read()
