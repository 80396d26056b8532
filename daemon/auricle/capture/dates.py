"""Names and headers write when a recording was made; the dates are read here, and bounded to those that it can have."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

EARLIEST_US = -2_208_988_800_000_000
"""1900, in microseconds since 1970 UTC."""
LATEST_US = 7_258_118_400_000_000
"""2200: far enough from the end of the calendar for the longest recording."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(
    r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)[T_ -](\d\d)[:h-]?(\d\d)(?:[:m-]?(\d\d)(?:\.\d+)?)?(?!\d)"
    r" ?(?:(Z|UTC)(?![A-Za-z])|([+-])(\d\d):?(\d\d)(?!\d))?"
)


def possible(us: float) -> bool:
    """Return whether a recording can begin then, in microseconds since 1970 UTC."""
    return EARLIEST_US <= us < LATEST_US


def moment_in(text: str) -> int | None:
    """Read the date and time in a text, as microseconds since 1970 UTC; ``None`` where there is none that can be.

    Without a zone (``Z``, ``UTC``, ``+1000``, ``-03:30``) it is read as UTC. A minus
    before what no zone is (``-0001``) parts a counter from the date.
    """
    match = _DATE.search(text)
    if match is None:
        return None
    *parts, _, sign, hours, minutes = match.groups()
    try:
        zone: timezone = UTC
        if sign is not None:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            if int(minutes) % 15 == 0 and int(minutes) < 60 and int(hours) <= 14:
                zone = timezone(-offset if sign == "-" else offset)
            elif sign == "+":
                return None
        year, month, day, hour, minute, second = (int(part or 0) for part in parts)
        when = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    us = int((when - _EPOCH).total_seconds()) * 1_000_000
    return us if possible(us) else None
