"""A recording's container says something of its sound, which is held here against what the file holds: a length may be
open, too small, or too large."""

from __future__ import annotations

import os
import string
import struct
from dataclasses import dataclass, replace
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
_MARK = 16
"""So many first bytes of a W64 or CAF are the same in all of them, and in no sound."""
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
        behind: bytes at the file's end that are a header once more.
        length: where the length is written, as `struct` has it, and what it counts beside the sound.
    """

    at: int
    stated: int | None
    big_endian: bool
    wide: bool = False
    aligned: int = 2
    frame_bytes: int = 0
    behind: int = 0
    length: tuple[int, str, int] = (0, "", 0)


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
        pieces: bytes, or offset and length in the file.
        there: bytes of sound.
        stated: bytes of sound that there should be: more than ``there`` where the file is cut short.
        note: what a person should know though nothing is lost; else empty.
    """

    pieces: list[bytes | tuple[int, int]]
    there: int
    stated: int
    note: str = ""


def layout(file: BinaryIO) -> Layout | None:
    """Find where a WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, AU or CAF keeps its samples; ``None`` of others."""
    file.seek(0)
    head = file.read(40)
    kind = head[:4]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _riff(file, ">" if kind == b"RIFX" else "<")
    if kind == b"riff" and len(head) == 40:
        return _piped(file, _w64(file))
    if kind == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file)
    if kind in (b".snd", b"dns.") and len(head) >= 24:
        order = ">" if kind == b".snd" else "<"
        at, stated = struct.unpack(order + "II", head[4:12])
        return Layout(at, stated, order == ">", aligned=0, length=(8, order + "I", 0))
    if kind == b"caff":
        return _piped(file, _caf(file))
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
    there, stated = (length // frame for length in _lengths(file, found, size))
    note = ""
    if stated < there:
        note = f"its header states {stated} samples, and it holds {there}: all of them are heard"
    return Extent(found.at, there, max(there, stated), found.big_endian, frame, note)


def mended(file: BinaryIO) -> Mended | None:
    """Return the pieces of a file whose header states another length than it has; ``None`` where that is right."""
    found = layout(file)
    size = os.fstat(file.fileno()).st_size
    if found is None or found.at > size:
        return None
    there, stated = _lengths(file, found, size)
    at, form, more = found.length
    length = struct.pack(form, min(there + more, 2 ** (8 * struct.calcsize(form)) - 1))
    file.seek(at)
    if file.read(len(length)) == length:
        return None
    behind = at + len(length)
    pieces: list[bytes | tuple[int, int]] = [(0, at), length, (behind, size - found.behind - behind)]
    note = f"its header states {stated} bytes of sound, and it holds {there}: all of them are heard"
    return Mended(pieces, there, max(there, stated), note if stated < there else "")


def _lengths(file: BinaryIO, found: Layout, size: int) -> tuple[int, int]:
    """Return how many bytes of sound there are, and how many the header states: as many where it leaves that open."""
    there, stated = size - found.behind - found.at, found.stated
    if stated is None:
        return there, there
    if not found.wide and there >= 2**32 and not _is_open(stated, wide=False):
        wrapped = stated + ((there - stated) >> 32 << 32)
        if _chunks_follow(file, found, wrapped, size):
            stated = wrapped
    if stated <= there and _chunks_follow(file, found, stated, size):
        return stated, stated
    return there, there if _is_open(stated, wide=found.wide) else stated


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


def _piped(file: BinaryIO, found: Layout | None) -> Layout | None:
    """Pass over headers in the sound: into a pipe, where it cannot go back, libsndfile (as sox has it) writes its
    header once more before the first sample, and behind the last."""
    if found is None:
        return None
    file.seek(0)
    begins = file.read(_MARK)
    file.seek(found.at)
    if file.read(_MARK) != begins:
        return found
    size = os.fstat(file.fileno()).st_size
    at = min(2 * found.at, size)
    file.seek(max(at, size - found.at))
    end = file.read()
    place = end.find(begins)
    field, form, more = found.length
    length = (found.at + field, form, more)
    return replace(found, at=at, stated=None, behind=0 if place < 0 else len(end) - place, length=length)


def _riff(file: BinaryIO, order: str) -> Layout | None:
    at, wide, frame_bytes, long, long_at = 12, False, 0, 0, 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 8:
            return None
        (length,) = struct.unpack(order + "I", head[4:8])
        if head[:4] == b"ds64" and len(head) == 24:
            (long,) = struct.unpack("<Q", head[16:24])
            wide, long_at = True, at + 16
        elif head[:4] == b"fmt " and len(head) >= 22:
            (frame_bytes,) = struct.unpack(order + "H", head[20:22])
        elif head[:4] == b"data":
            wide = wide and length == 0xFFFF_FFFF
            field = (long_at, "<Q", 0) if wide else (at + 4, order + "I", 0)
            stated = long if wide else length
            return Layout(at + 8, stated, order == ">", wide, frame_bytes=frame_bytes, length=field)
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
            stated, field = max(0, length - 24), (at + 16, "<Q", 24)
            return Layout(at + 24, stated, big_endian=False, wide=True, aligned=8, length=field)
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
            return Layout(at + 16 + skip, stated, not little, length=(at + 4, ">I", 8 + skip))
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
            stated, field = None if length < 4 else length - 4, (at + 4, ">q", 4)
            return Layout(at + 16, stated, not little, wide=True, aligned=1, length=field)
        if length < 0 or length >= _OPEN_64:
            return None
        at += 12 + length
    return None
