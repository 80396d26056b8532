"""A recording's container says something of its sound, which is held here against what the file holds: a length may be
open, too small, or too large."""

from __future__ import annotations

import os
import string
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from auricle.capture.layouts import MOST_CHUNKS, Layout, common, is_open
from auricle.capture.rarer import rarer

_RAW_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "ULAW": 1,
    "ALAW": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
"""The bytes of a sample, in the codings whose samples can be counted by a file's bytes."""
_PRINTABLE = frozenset(string.printable.encode()) - frozenset(b"\t\n\r\x0b\x0c")

Pieces: TypeAlias = "list[bytes | tuple[int, int] | int]"
"""Bytes, offset and length in a file, or a number of zeros, one behind the other."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Says how much sound a file holds, in samples of all channels.

    Args:
        at: offset of its first byte.
        frames: samples that are there.
        stated: samples that there should be: more than ``frames`` where the file is cut short.
        frame_bytes: of one sample of all channels.
        note: what a person should know though nothing is lost; else empty.
    """

    at: int
    frames: int
    stated: int
    big_endian: bool
    frame_bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Mended:
    """Is a file with the length in its header that it has.

    Args:
        pieces: what a decoder should be given.
        whole: of a file that is cut short, the same with zeros in place of what is missing, from which a decoder
            tells how many samples the header states; else ``None``.
        there: bytes of sound.
        stated: bytes of sound that there should be: more than ``there`` where the file is cut short.
        samples: that its header states itself, of one channel.
        note: what a person should know though nothing is lost; else empty.
    """

    pieces: Pieces
    whole: Pieces | None
    samples: int | None
    there: int
    stated: int
    note: str = ""


def layout(file: BinaryIO) -> Layout | None:
    """Find where a file keeps its samples; ``None`` where its container does not say so, or is not known here."""
    return common(file) or rarer(file)


def extent(file: BinaryIO, subtype: str, channels: int) -> Extent | None:
    """Find how much sound there is, whatever the header says; ``None`` where it cannot be counted in bytes.

    A length left open, and one that has wrapped at 4 GiB, means: to the end of the file. What lies behind a stated
    length is sound as well, unless it is chunks as the container has them.

    Args:
        file: of which ``subtype`` (as libsndfile names it) and ``channels`` are known.
    """
    found = layout(file)
    size = os.fstat(file.fileno()).st_size
    frame = _RAW_BYTES.get(subtype, 0) * channels
    if found is None or not frame or found.frame_bytes not in (0, frame) or found.at > size:
        return None
    there, stated = (length // frame for length in _lengths(file, found, size))
    note = ""
    if stated < there:
        note = f"its header states {stated} samples, and it holds {there}: all of them are heard"
    return Extent(found.at, there, max(there, stated), found.big_endian, frame, note)


def mended(file: BinaryIO) -> Mended | None:
    """Return the pieces of a file whose header states another length than it has; ``None`` where that is right, and
    where it is not known."""
    found = layout(file)
    size = os.fstat(file.fileno()).st_size
    if found is None or found.length is None or found.at > size:
        return None
    there, stated = _lengths(file, found, size)
    there -= there % found.length.unit
    field, length = found.length, found.length.of(there)
    file.seek(field.at)
    if file.read(len(length)) == length:
        return None
    behind, sound_end = field.at + field.size, found.at + there
    end = sound_end if found.length.unit > 1 else size - found.behind
    pieces: Pieces = [(0, field.at), length, (behind, end - behind)]
    whole: Pieces | None = [(0, sound_end), stated - there] if stated > there else None
    note = f"its header states {stated} bytes of sound, and it holds {there}: all of them are heard"
    return Mended(pieces, whole, found.samples, there, max(there, stated), note if stated < there else "")


def _lengths(file: BinaryIO, found: Layout, size: int) -> tuple[int, int]:
    """Return how many bytes of sound there are, and how many the header states: as many where it leaves that open."""
    there, stated = size - found.behind - found.at, found.stated
    if stated is None:
        return there, there
    if not found.wide and there >= 2**32 and not is_open(stated):
        wrapped = stated + ((there - stated) >> 32 << 32)
        if _chunks_follow(file, found, wrapped, size):
            stated = wrapped
    if stated <= there and (found.closed or _chunks_follow(file, found, stated, size)):
        return stated, stated
    return there, there if is_open(stated, wide=found.wide) else stated


def _chunks_follow(file: BinaryIO, found: Layout, length: int, size: int) -> bool:
    """Return whether what lies behind the sound is nothing, or the container's own chunks up to the end of the file."""
    at = found.at + length
    if at == size:
        return True
    if not found.aligned:
        return False
    at += -length % found.aligned
    if found.aligned == 1:
        # Nothing in a CAF is aligned, and libsndfile puts a byte behind an odd number of them all the same.
        file.seek(at)
        at += file.read(1) == b"\0"
    for _ in range(MOST_CHUNKS):
        if at >= size:
            return True
        file.seek(at)
        head = file.read(24)
        if len(head) < 8 or not set(head[:4]) <= _PRINTABLE:
            return False
        if found.aligned == 8:
            if len(head) < 24:
                return False
            step = int.from_bytes(head[16:24], "little")
            if step < 24:
                return False
        elif found.wide and found.aligned == 1:
            if len(head) < 12:
                return False
            step = 12 + int.from_bytes(head[4:12], "big")
        else:
            step = 8 + int.from_bytes(head[4:8], "big" if found.big_endian else "little")
        at += step + -step % found.aligned
    return False
