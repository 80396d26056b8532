"""A recording's container says something of its sound, which is held here against what the file holds: a length may be
open, too small, or too large."""

from __future__ import annotations

import os
import string
import struct
from dataclasses import dataclass
from typing import BinaryIO

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

_MOST_CHUNKS = 10_000
"""How many chunks are looked at: a file of nothing but empty ones must not hold anybody up."""
_OPEN_32 = ((0, 0), (0x7F00_0000 - 64, 0x7F00_0000 + 64), (0x7FFF_0000, 0x8000_0000), (0xFFFF_0000, 0xFFFF_FFFF))
"""The lengths of 32 bits that writers leave when they mean to fill them in later, the header's own size taken off or
not."""
_OPEN_64 = 2**60
_PRINTABLE = frozenset(string.printable.encode()) - frozenset(b"\t\n\r\x0b\x0c")


@dataclass(frozen=True, slots=True)
class Layout:
    """Says where a container keeps its samples.

    Args:
        at: offset of the first byte of sound.
        stated: bytes of sound as the header has it; ``None`` where it says that it does not know.
        big_endian: whether the samples' first byte is the highest.
        wide: whether the length has 64 bits.
        aligned: what the next chunk's place is a multiple of, counted from the first byte of sound; 0 of a container
            that keeps nothing behind its sound.
        frame_bytes: of one sample of all channels, where the header says so; else 0.
    """

    at: int
    stated: int | None
    big_endian: bool
    wide: bool = False
    aligned: int = 2
    frame_bytes: int = 0


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


def layout(file: BinaryIO) -> Layout | None:
    """Find where a WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, AU or CAF keeps its samples; ``None`` of others."""
    file.seek(0)
    head = file.read(40)
    kind = head[:4]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _riff(file, ">" if kind == b"RIFX" else "<")
    if kind == b"riff" and len(head) == 40:
        return _w64(file)
    if kind == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file)
    if kind in (b".snd", b"dns.") and len(head) >= 24:
        order = ">" if kind == b".snd" else "<"
        at, stated = struct.unpack(order + "II", head[4:12])
        return Layout(at, stated, order == ">", aligned=0)
    if kind == b"caff":
        return _caf(file)
    return None


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
    there, stated = size - found.at, found.stated
    if stated is not None and not found.wide and there >= 2**32 and not _is_open(stated, wide=False):
        wrapped = stated + ((there - stated) >> 32 << 32)
        if _chunks_follow(file, found, wrapped, size):
            stated = wrapped
    if stated is not None and stated <= there and _chunks_follow(file, found, stated, size):
        return Extent(found.at, stated // frame, stated // frame, found.big_endian, frame)
    frames = there // frame
    if stated is None or _is_open(stated, wide=found.wide):
        return Extent(found.at, frames, frames, found.big_endian, frame)
    if stated > there:
        return Extent(found.at, frames, stated // frame, found.big_endian, frame)
    note = f"its header states {stated // frame} samples, and it holds {frames}: all of them are heard"
    return Extent(found.at, frames, frames, found.big_endian, frame, note if frames > stated // frame else "")


def with_its_length(file: BinaryIO) -> list[bytes | tuple[int, int]] | None:
    """Return the pieces of a CAF with the length in its header that its file has; ``None`` of what is no CAF."""
    file.seek(0)
    if file.read(4) != b"caff" or (found := _caf(file)) is None:
        return None
    size = os.fstat(file.fileno()).st_size
    if found.at > size:
        return None
    behind = found.at - 4  # the length is followed by the count of edits
    return [(0, behind - 8), struct.pack(">q", size - behind), (behind, size - behind)]


def _is_open(stated: int, *, wide: bool) -> bool:
    if wide and stated >= _OPEN_64:
        return True
    return any(low <= stated <= high for low, high in _OPEN_32)


def _chunks_follow(file: BinaryIO, found: Layout, length: int, size: int) -> bool:
    """Return whether what lies behind the sound is nothing, or the container's own chunks up to the end of the file."""
    at = found.at + length
    if at == size:
        return True
    if not found.aligned:
        return False
    at += -length % found.aligned
    for _ in range(_MOST_CHUNKS):
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


def _riff(file: BinaryIO, order: str) -> Layout | None:
    at, wide, frame_bytes, long = 12, False, 0, 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 8:
            return None
        (length,) = struct.unpack(order + "I", head[4:8])
        if head[:4] == b"ds64" and len(head) == 24:
            (long,) = struct.unpack("<Q", head[16:24])
            wide = True
        elif head[:4] == b"fmt " and len(head) >= 22:
            (frame_bytes,) = struct.unpack(order + "H", head[20:22])
        elif head[:4] == b"data":
            wide = wide and length == 0xFFFF_FFFF
            return Layout(at + 8, long if wide else length, order == ">", wide, frame_bytes=frame_bytes)
        at += 8 + length + length % 2
    return None


def _w64(file: BinaryIO) -> Layout | None:
    at = 40
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 24:
            return None
        (length,) = struct.unpack("<Q", head[16:24])
        if head[:4] == b"data":
            return Layout(at + 24, max(0, length - 24), big_endian=False, wide=True, aligned=8)
        if length < 24:
            return None
        at += length + -length % 8
        if at >= 2**63:
            return None
    return None


def _aiff(file: BinaryIO) -> Layout | None:
    at, little = 12, False
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(30)
        if len(head) < 8:
            return None
        (length,) = struct.unpack(">I", head[4:8])
        if head[:4] == b"COMM" and len(head) == 30 and length >= 22:
            little = head[26:30] == b"sowt"
        elif head[:4] == b"SSND" and len(head) >= 16:
            (skip,) = struct.unpack(">I", head[8:12])
            stated = length if _is_open(length, wide=False) else max(0, length - 8 - skip)
            return Layout(at + 16 + skip, stated, not little)
        at += 8 + length + length % 2
    return None


def _caf(file: BinaryIO) -> Layout | None:
    at, little = 8, False
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(32)
        if len(head) < 12:
            return None
        (length,) = struct.unpack(">q", head[4:12])
        if head[:4] == b"desc" and len(head) == 32:
            little = bool(head[27] & 2)
        elif head[:4] == b"data":
            # Its first four bytes count edits; -1 is the format's own way to say: to the end of the file.
            return Layout(at + 16, None if length < 4 else length - 4, not little, wide=True, aligned=1)
        if length < 0 or length >= _OPEN_64:
            return None
        at += 12 + length
    return None
