"""A CAF whose packets of sound differ in size has a table of them (``pakt``): here it is seen whether that can be
read."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np

from auricle.capture.layouts import MOST_CHUNKS

_HEAD = 24
"""The bytes in front of the table: packets, samples, samples to be left out in front and behind."""
_LONGEST = 4
"""A size has so many bytes at most, of seven bits each: 256 MiB are more than any packet has."""
_MOST = 2**26
"""The bytes of a table that is read: years of sound."""


def damaged(file: BinaryIO) -> bool:
    """Return whether a CAF has a table of its packets that breaks off, or in which a size cannot be.

    libsndfile writes of it to standard output, among messages, or takes a size of 0 for the end and says nothing of
    the sound behind.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    at = 8
    if file.read(4) != b"caff":
        return False
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12:
            return False
        length = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"pakt":
            return not _HEAD <= length <= min(_MOST, size - at - 12) or not _whole(file.read(length))
        if length < 0:  # the sound goes on to the end of the file
            return False
        at += 12 + length
        if at >= size:
            return False
    return False


def _whole(table: bytes) -> bool:
    """Return whether a table has as many sizes as it states, each above 0."""
    packets = int.from_bytes(table[:8], "big", signed=True)
    coded = np.frombuffer(table, np.uint8, offset=_HEAD)
    last = np.flatnonzero(coded < 0x80)
    if not len(last):
        return packets == 0 == len(coded)
    first = np.concatenate(([0], last[:-1] + 1))
    nothing = np.flatnonzero(np.add.reduceat(coded & 0x7F, first, dtype=np.int64)[: len(last)] == 0)
    sizes = int(nothing[0]) if len(nothing) else len(last)
    ends = bool(len(nothing)) or last[-1] == len(coded) - 1
    return ends and sizes >= packets and bool((last - first)[: sizes + 1].max() < _LONGEST)
