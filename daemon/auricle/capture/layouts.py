"""The containers in which recordings are commonly made: where each keeps its samples, and how many it states."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

MOST_CHUNKS = 10_000
"""How many chunks are looked at: a file of nothing but empty ones must not hold anybody up."""
FARTHEST = 2**62
"""Where no file reaches, and somewhat beyond still can be sought."""
_OPEN_32 = ((0, 0), (0x7F00_0000 - 64, 0x7F00_0000 + 64), (0x7FFF_0000, 0x8000_0000), (0xFFFF_0000, 0xFFFF_FFFF))
"""The lengths of 32 bits that writers leave when they mean to fill them in later, the header's own size taken off or
not."""
_OPEN_64 = 2**60
_MOST_SAMPLES = 2**40
_MARK = 16
"""So many first bytes of a W64 or CAF are the same in all of them, and in no sound."""


@dataclass(frozen=True, slots=True)
class Field:
    """Says where a header has the length of its sound.

    Args:
        at: offset in the file.
        size: in bytes.
        big_endian: whether its first byte is the highest.
        more: bytes that it counts beside the sound.
        unit: bytes of sound that it counts as one.
    """

    at: int
    size: int
    big_endian: bool
    more: int = 0
    unit: int = 1

    def of(self, sound: int) -> bytes:
        """Return what should stand there for so many bytes of sound, as near as it can."""
        most: int = 2 ** (8 * self.size) - 1
        length = min((sound + self.more) // self.unit, most)
        return length.to_bytes(self.size, "big" if self.big_endian else "little")


@dataclass(frozen=True, slots=True)
class Layout:
    """Says where a container keeps its samples.

    Args:
        at: offset of the first byte of sound.
        stated: bytes of sound as the header has it; ``None`` where it says that it does not know.
        big_endian: whether the samples' first byte is the highest.
        length: where the length is written; ``None`` of one that is only read by its samples' size.
        wide: whether the length has 64 bits.
        aligned: what the next chunk's place is a multiple of, counted from the first byte of sound; 0 of a container
            that keeps nothing behind its sound.
        frame_bytes: of one sample of all channels, where the header says so; else 0.
        behind: bytes at the file's end that are a header once more.
        closed: whether what lies behind the stated length is never sound.
        samples: of one channel as the header has them, where their coding makes packets of any length of them.
    """

    at: int
    stated: int | None
    big_endian: bool
    length: Field | None = None
    wide: bool = False
    aligned: int = 2
    frame_bytes: int = 0
    behind: int = 0
    closed: bool = False
    samples: int | None = None


def common(file: BinaryIO) -> Layout | None:
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
        big = kind == b".snd"
        at, stated = struct.unpack(">II" if big else "<II", head[4:12])
        return Layout(at, stated, big, Field(8, 4, big), aligned=0)
    if kind == b"caff":
        return _piped(file, _caf(file))
    return None


def is_open(stated: int, *, wide: bool = False) -> bool:
    """Return whether a writer leaves this length where it means to fill it in later."""
    if wide and stated >= _OPEN_64:
        return True
    return any(low <= stated <= high for low, high in _OPEN_32)


def _piped(file: BinaryIO, found: Layout | None) -> Layout | None:
    """Pass over headers in the sound: into a pipe, where it cannot go back, libsndfile (as sox has it) writes its
    header once more before the first sample, and behind the last."""
    if found is None:
        return None
    assert found.length is not None
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
    length = replace(found.length, at=found.at + found.length.at)
    return replace(found, at=at, stated=None, behind=0 if place < 0 else len(end) - place, length=length)


def _riff(file: BinaryIO, order: str) -> Layout | None:
    at, wide, frame_bytes, long, long_at, big = 12, False, 0, 0, 0, order == ">"
    for _ in range(MOST_CHUNKS):
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
            field = Field(long_at, 8, big_endian=False) if wide else Field(at + 4, 4, big)
            return Layout(at + 8, long if wide else length, big, field, wide, frame_bytes=frame_bytes)
        at += 8 + length + length % 2
    return None


def _w64(file: BinaryIO) -> Layout | None:
    at = 40
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 24:
            return None
        (length,) = struct.unpack("<Q", head[16:24])
        if head[:4] == b"data":
            field = Field(at + 16, 8, big_endian=False, more=24)
            return Layout(at + 24, max(0, length - 24), False, field, wide=True, aligned=8)
        if length < 24:
            return None
        at += length + -length % 8
        if at >= FARTHEST:
            return None
    return None


def _aiff(file: BinaryIO) -> Layout | None:
    at, little, samples = 12, False, 0
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(30)
        if len(head) < 8:
            return None
        (length,) = struct.unpack(">I", head[4:8])
        if head[:4] == b"COMM" and len(head) == 30 and length >= 22:
            little = head[26:30] == b"sowt"
            samples = int.from_bytes(head[10:14], "big") if head[26:30] == b"DWVW" else 0
        elif head[:4] == b"SSND" and len(head) >= 16:
            (skip,) = struct.unpack(">I", head[8:12])
            stated = length if is_open(length) else max(0, length - 8 - skip)
            field = Field(at + 4, 4, big_endian=True, more=8 + skip)
            return Layout(at + 16 + skip, stated, not little, field, samples=samples or None)
        at += 8 + length + length % 2
    return None


def _caf(file: BinaryIO) -> Layout | None:
    at, little, samples = 8, False, 0
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(32)
        if len(head) < 12:
            return None
        (length,) = struct.unpack(">q", head[4:12])
        if head[:4] == b"desc" and len(head) == 32:
            little = bool(head[27] & 2)
        elif head[:4] == b"pakt" and len(head) >= 28:
            samples = int.from_bytes(head[20:28], "big")
        elif head[:4] == b"data":
            # Its first four bytes count edits; -1 is the format's own way to say: to the end of the file.
            stated = None if length < 4 else length - 4
            field, counted = Field(at + 4, 8, big_endian=True, more=4), 0 < samples < _MOST_SAMPLES
            return Layout(
                at + 16, stated, not little, field, wide=True, aligned=1, samples=samples if counted else None
            )
        if length < 0 or length >= _OPEN_64:
            return None
        at += 12 + length
    return None
