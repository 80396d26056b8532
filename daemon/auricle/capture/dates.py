"""Which dates a recording can have: those that can be published, and that sound was ever recorded at."""

from __future__ import annotations

EARLIEST_US = -2_208_988_800_000_000
"""1900, in microseconds since 1970 UTC."""
LATEST_US = 7_258_118_400_000_000
"""2200: far enough from the end of the calendar for the longest recording."""


def possible(us: float) -> bool:
    """Whether a recording can begin then, in microseconds since 1970 UTC."""
    return EARLIEST_US <= us < LATEST_US
