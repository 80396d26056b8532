"""The containers in which recordings are rarely made, which libsndfile reads all the same: where each keeps its
samples, and how many it states.

IRCAM, PAF and PVF state no length: of them nothing shows that a file is cut.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from auricle.capture.layouts import FARTHEST, MOST_CHUNKS, Field, Layout, is_open

_NIST = re.compile(rb"NIST_1A\n {0,8}(\d{1,5})\n")
_NIST_COUNTS = {
    name: re.compile(rb"^%s -i (\d{1,12})\s*$" % name, re.MULTILINE) for name in (b"sample_count", b"channel_count")
}
_NIST_BYTES = re.compile(rb"^sample_n_bytes -[is]\d* (\d)\s*$", re.MULTILINE)
_MAT4_BYTES = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
_MAT5_MATRIX = 14
_MAT_NAME = b"wavedata"
"""libsndfile hears the variable of this name, behind one that is called ``samplerate``."""
_HTK_PERIODS = range(13, 10_001)
"""An HTK has no name of its own: of so many times 100 ns are the rates from 1,000 to 768,000 Hz."""
_HTK_WAVEFORM = b"\x00\x02\x00\x00"


def rarer(file: BinaryIO) -> Layout | None:
    """Find where a NIST (SPHERE), AVR, 8SVX, WVE, MAT4, MAT5, MPC 2000, XI or HTK keeps its samples; ``None`` of
    others."""
    file.seek(0)
    head = file.read(64)
    for begins, found in _KINDS.items():
        if head.startswith(begins):
            return found(file, head)
    if len(head) > 12 and head[8:12] == _HTK_WAVEFORM:
        count, period = struct.unpack(">II", head[:8])
        if period in _HTK_PERIODS:
            return Layout(12, _counted(count, 2), True, Field(0, 4, True, unit=2), aligned=0)
    return None


def _counted(count: int, each: int) -> int | None:
    """Return how many bytes of sound so many samples are; ``None`` where a writer left the number open."""
    return None if is_open(count) else count * each


def _nist(file: BinaryIO, _: bytes) -> Layout | None:
    file.seek(0)
    head = file.read(1024)
    if (size := _NIST.match(head)) is None:
        return None
    found = {name: pattern.search(head) for name, pattern in _NIST_COUNTS.items()}
    frame, stated = 0, None
    if (each := _NIST_BYTES.search(head)) and (channels := found[b"channel_count"]):
        frame = int(each[1]) * int(channels[1])
        count = found[b"sample_count"]
        stated = _counted(int(count[1]), frame) if count else None
    return Layout(int(size[1]), stated, b"sample_byte_format -s2 10" in head, aligned=0, frame_bytes=frame)


def _avr(_: BinaryIO, head: bytes) -> Layout | None:
    if len(head) < 30:
        return None
    bits, count = *struct.unpack(">H", head[14:16]), *struct.unpack(">I", head[26:30])
    frame = bits // 8 * (2 if head[12:14] == b"\xff\xff" else 1)
    return Layout(128, _counted(count, frame), True, aligned=0, frame_bytes=frame)


def _svx(file: BinaryIO, head: bytes) -> Layout | None:
    if head[8:12] not in (b"8SVX", b"16SV"):
        return None
    at = 12
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return None
        (length,) = struct.unpack(">I", chunk[4:])
        if chunk[:4] == b"BODY":
            return Layout(at + 8, length, True)
        at += 8 + length + length % 2
    return None


def _wve(_: BinaryIO, head: bytes) -> Layout | None:
    if len(head) < 32:
        return None
    return Layout(32, int.from_bytes(head[18:22], "big"), True, aligned=0, frame_bytes=1)


def _mpc(_: BinaryIO, head: bytes) -> Layout | None:
    if len(head) < 42 or head[20] > 1 or head[21] > 1:
        return None
    frame = 2 * (1 + head[21])
    return Layout(42, _counted(int.from_bytes(head[30:34], "little"), frame), False, aligned=0, frame_bytes=frame)


def _mat4(file: BinaryIO, head: bytes) -> Layout | None:
    order, first, at = ">" if head[2] else "<", 1000 if head[2] else 0, 0
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        matrix = file.read(20 + len(_MAT_NAME))
        if len(matrix) < 20 + len(_MAT_NAME):
            return None
        kind, rows, columns, imaginary, named = struct.unpack(order + "5I", matrix[:20])
        each = _MAT4_BYTES.get((kind - first) // 10)
        if each is None:
            return None
        at += 20 + named
        if matrix[20:] == _MAT_NAME:
            return Layout(at, rows * columns * each, order == ">", closed=True, frame_bytes=rows * each)
        at += rows * columns * each * (2 if imaginary else 1)
        if at >= FARTHEST:
            return None
    return None


def _mat5(file: BinaryIO, _: bytes) -> Layout | None:
    file.seek(126)
    order, at = "<" if file.read(2) == b"IM" else ">", 128
    for _chunk in range(MOST_CHUNKS):
        file.seek(at)
        matrix = file.read(8 + 16 + 8)
        if len(matrix) < 32:
            return None
        kind, length = struct.unpack(order + "II", matrix[:8])
        if kind != _MAT5_MATRIX:
            return None
        # Behind its flags come its dimensions, its name, and the values, each padded to eight bytes.
        (dimensions,) = struct.unpack(order + "I", matrix[28:32])
        name_at = at + 32 + dimensions + -dimensions % 8
        file.seek(name_at)
        name = file.read(8 + len(_MAT_NAME))
        if name[8:] == _MAT_NAME:
            values_at = name_at + 8 + len(_MAT_NAME)
            file.seek(values_at + 4)
            stated = int.from_bytes(file.read(4), "big" if order == ">" else "little")
            return Layout(values_at + 8, stated, order == ">", closed=True)
        at += 8 + length + -length % 8
    return None


def _xi(file: BinaryIO, _: bytes) -> Layout | None:
    """Find the one sample of an instrument; of several libsndfile hears the first."""
    file.seek(296)
    head = file.read(6)
    if len(head) < 6 or head[:2] != b"\x01\x00":
        return None
    return Layout(
        338, _counted(int.from_bytes(head[2:], "little"), 1), False, Field(298, 4, big_endian=False), closed=True
    )


_KINDS: dict[bytes, Callable[[BinaryIO, bytes], Layout | None]] = {
    b"NIST_1A\n": _nist,
    b"2BIT": _avr,
    b"FORM": _svx,
    b"ALawSoundFile**": _wve,
    b"\x01\x04": _mpc,
    b"\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00": _mat4,
    b"\x00\x00\x03\xe8\x00\x00\x00\x01\x00\x00\x00\x01": _mat4,
    b"MATLAB 5.0 MAT-file": _mat5,
    b"Extended Instrument: ": _xi,
}
