"""Identifiers sort by the time at which they were given: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time
from uuid import UUID

_RANDOM_BITS = 74


def uuid7() -> UUID:
    """Make a new identifier: 48 bits of milliseconds since 1970 UTC, then 74 random bits around version and variant.

    Python has its own from 3.14 on; a package for the older versions takes a twentieth of the daemon's start.
    """
    chance = int.from_bytes(os.urandom(10), "big") >> (80 - _RANDOM_BITS)
    head, tail = chance >> 62, chance & (1 << 62) - 1
    return UUID(int=time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | head << 64 | 0b10 << 62 | tail)
