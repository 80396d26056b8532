"""A VOC (Creative Voice File) keeps its sound in blocks, which are found here one behind the other; libsndfile hears
the header of each further block as sound."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

_BEGINS = b"Creative Voice File\x1a"
_SOUND, _MORE, _SILENCE, _EXTENDED, _SOUND_NEW = 1, 2, 3, 8, 9
_CODINGS = {0: ("PCM_U8", 1), 4: ("PCM_16", 2), 6: ("ALAW", 1), 7: ("ULAW", 1)}
"""The codings whose samples are counted by bytes, by the format's own numbers; the others are packed."""
_QUIET = {"PCM_U8": 0x80, "PCM_16": 0, "ALAW": 0xD5, "ULAW": 0xFF}
_OPEN = (0, 0xFF_FFFF)
_SOX = 9
"""So many bytes sox leaves behind its only block, which does not count them: sound, and the file's end."""
_HEADERS = {_SOUND: 2, _SOUND_NEW: 12}
"""The bytes that a block has before its sound."""
_MOST_BLOCKS = 2**20
"""So many blocks are looked at: a file of nothing but empty ones must not hold anybody up."""


@dataclass(slots=True)
class Run:
    """Describes sound of one rate, coding and number of channels.

    Args:
        pieces: offset and length in the file, or bytes of silence.
        there: bytes of sound that are there.
        stated: bytes that its blocks state.
    """

    rate: int
    subtype: str
    channels: int
    pieces: list[tuple[int, int] | int] = field(default_factory=list)
    there: int = 0
    stated: int = 0

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one sample of all channels."""
        return (2 if self.subtype == "PCM_16" else 1) * self.channels

    @property
    def quiet(self) -> int:
        """Return the byte of which silence is made."""
        return _QUIET[self.subtype]

    def add(self, at: int, there: int, stated: int) -> None:
        """Add sound of the file: so many bytes are there, and so many should be."""
        self.pieces.append((at, there))
        self.there, self.stated = self.there + there, self.stated + stated

    def rest(self, samples: int) -> None:
        """Add a silence."""
        length = samples * self.frame_bytes
        self.pieces.append(length)
        self.there, self.stated = self.there + length, self.stated + length


def runs(file: BinaryIO) -> list[Run] | None:
    """Find the sound of a VOC; ``None`` of other files, of packed samples, and where no sound has begun.

    A block whose length was left open goes to the file's end. What is no block, behind one, is sound as well: sox
    states eight bytes less than it writes.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(26)
    if len(head) < 26 or not head.startswith(_BEGINS):
        return None
    (at,) = struct.unpack("<H", head[20:22])
    found: list[Run] = []
    form: tuple[int, str, int] | None = None
    extended: tuple[int, int] | None = None
    for blocks in range(_MOST_BLOCKS):
        file.seek(at)
        block = file.read(16)
        if size - at <= 1:
            break
        kind, length = block[0], int.from_bytes(block[1:4], "little")
        if found and (not 0 < kind <= _SOUND_NEW or (blocks == 1 and size - at <= _SOX and at + 4 + length > size)):
            file.seek(size - 1)
            end = size - (file.read(1) == b"\0")
            found[-1].add(at, end - at, end - at)
            break
        if kind == _EXTENDED and len(block) >= 8:
            constant, channels = int.from_bytes(block[4:6], "little"), 1 + min(block[7], 1)
            extended = 256_000_000 // (channels * (65_536 - constant)), channels
        elif kind == _SILENCE and len(block) >= 6 and form is not None:
            _run(found, form).rest(int.from_bytes(block[4:6], "little") + 1)
        elif kind in (_SOUND, _SOUND_NEW, _MORE):
            more = _HEADERS.get(kind, 0)
            begin = at + 4 + more
            if kind != _MORE and begin <= size:
                form, extended = _form(block, extended), None
            if form is None:
                return None
            is_open = length in _OPEN and kind != _MORE
            stated = max(0, size - begin if is_open else length - more)
            there = max(0, min(stated, size - begin))
            _run(found, form).add(begin, there, stated)
            if is_open or there < stated:
                break
        at += 4 + length
    else:
        if found:
            found[-1].add(at, 0, max(0, size - at))
    return [run for run in found if run.stated] or None


def _form(block: bytes, extended: tuple[int, int] | None) -> tuple[int, str, int] | None:
    """Read rate, coding and channels of a block of sound; ``None`` where its samples are packed."""
    if block[0] == _SOUND:
        rate, channels = extended or (1_000_000 // (256 - block[4]), 1)
        coding = _CODINGS.get(block[5])
    else:
        rate, bits, channels, number = struct.unpack("<IBBH", block[4:12])
        coding = _CODINGS.get(number)
        if coding is not None and bits != 8 * coding[1]:
            return None
    return (rate, coding[0], channels) if coding is not None and rate and channels else None


def _run(found: list[Run], form: tuple[int, str, int]) -> Run:
    """Return the run that goes on in a block of this form: the last one, or a new one."""
    if not found or (found[-1].rate, found[-1].subtype, found[-1].channels) != form:
        found.append(Run(*form))
    return found[-1]
