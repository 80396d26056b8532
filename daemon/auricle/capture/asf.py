"""A Windows Media file (ASF, WMA) states how long it is in its first kilobytes, where ffmpeg reads it and then believes
the last packet instead: of a file cut short it says the length that is left."""

from __future__ import annotations

import struct
from typing import BinaryIO

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""The names of these objects (Advanced Systems Format, 3.1 and 3.2), in the order of their bytes in a file."""
_MOST_BYTES = 2**20
_BROADCAST = 1
"""This flag says that a writer could not go back, and that no length is to be believed."""


def stated_s(file: BinaryIO) -> float | None:
    """Return how many seconds an ASF says that it lasts; ``None`` where it does not, and of other files."""
    file.seek(0)
    head = file.read(30)
    if len(head) < 30 or head[:16] != _HEADER:
        return None
    (length,) = struct.unpack("<Q", head[16:24])
    content = file.read(min(length, _MOST_BYTES))
    at = 0
    while at + 24 <= len(content):
        (length,) = struct.unpack("<Q", content[at + 16 : at + 24])
        if content[at : at + 16] == _PROPERTIES and at + 92 <= len(content):
            played, _, early_ms, flags = struct.unpack("<QQQI", content[at + 64 : at + 92])
            seconds = float(played / 1e7 - early_ms / 1e3)
            return None if flags & _BROADCAST or seconds <= 0 else seconds
        at += max(24, length)
    return None
