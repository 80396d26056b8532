"""The C library is told here to keep the memory that numpy gives back, since the next block will want as much."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_TRIM_BYTES, _MMAP_BYTES = 32 << 20, 4 << 20


def keep_freed() -> bool:
    """Make glibc keep freed arrays of a few hundred kilobytes; return whether there was a glibc.

    Left alone it gives every array over 128 kB back to the system when it is freed, and the pages of the next one must
    be cleared and mapped anew: an FFT of 64 frames takes half as long again, one of 128 several times as long.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))
