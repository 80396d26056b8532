"""A film's or a phone's recording is wrapped in parts that say how long they are: here it is seen that the file ends
before they do."""

from __future__ import annotations

import os
from typing import BinaryIO

from auricle.capture.layouts import MOST_CHUNKS, is_open

_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide")
"""What an ISO base media file (ISO 14496-12: MP4, M4A, MOV, 3GP) begins with."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""The elements that a Matroska (RFC 9559) consists of."""
_CHUNKS = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big"}


def broken_off(file: BinaryIO) -> str:
    """Return what shows that a file's end is missing; empty where nothing does."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(8)
    if head[4:] in _BOXES:
        end = _boxes_end(file, size)
    elif head[:4] == _EBML:
        end = _segment_end(file)
    elif head[:4] in _CHUNKS:
        end = _chunks_end(file, size)
    else:
        return ""
    return f"the file's last {end - size} of {end} bytes are missing" if end > size else ""


def _boxes_end(file: BinaryIO, size: int) -> int:
    at = 0
    for _ in range(MOST_CHUNKS):
        if at >= size:
            break
        file.seek(at)
        head = file.read(16)
        length, least = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, least = int.from_bytes(head[8:], "big"), 16
        if len(head) < least or length < least:  # 0 means: to the end of the file
            break
        at += length
    return at


def _chunks_end(file: BinaryIO, size: int) -> int:
    """Return where the last chunk ends: an AVI above 1 GB has several."""
    at = 0
    for _ in range(MOST_CHUNKS):
        if at >= size:
            break
        file.seek(at)
        head = file.read(8)
        if head[:4] not in _CHUNKS or len(head) < 8:
            break
        length = int.from_bytes(head[4:], "big" if _CHUNKS[head[:4]] == "big" else "little")
        if is_open(length):
            return 0
        at += 8 + length
    return at


def _segment_end(file: BinaryIO) -> int:
    """Return where the first segment ends; 0 where its writer left that open."""
    at = 0
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        name, coded = file.read(4), file.read(8)
        if name not in (_EBML, _SEGMENT) or not coded or not coded[0]:
            return 0
        width = 9 - coded[0].bit_length()
        most = (1 << 7 * width) - 1
        length = int.from_bytes(coded[:width], "big") & most
        if length == most:
            return 0
        at += 4 + width + length
        if name == _SEGMENT:
            return at
    return 0
