"""Dates and times as recorders write them, and which of them a recording can have at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

EARLIEST_US = -2_208_988_800_000_000
"""1900, in microseconds since 1970 UTC."""
LATEST_US = 7_258_118_400_000_000
"""2200: far enough from the end of the calendar for the longest recording."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(
    r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)[T_ $-](\d\d)[:h-]?(\d\d)(?:[:m-]?(\d\d)(?:\.(\d{1,6})\d*)?)?(?!\d)"
    r"[ _]?(?:(Z|UTC)(?![A-Za-z])|([+-])(\d\d):?(\d\d)(?!\d))?"
)


def possible(us: float) -> bool:
    """Return whether a recording can begin then, in microseconds since 1970 UTC."""
    return EARLIEST_US <= us < LATEST_US


def moment_in(text: str) -> datetime | None:
    """Return the first date and time in a text that can be one of a recording; ``None`` where there is none.

    The moment is aware where a zone stands behind the time (``Z``, ``UTC``, ``+1000``, ``-03:30``), else naive. A minus
    before what no zone is (``-0001``) parts a counter from the date.
    """
    return next(_moments(text), None)


def microseconds(moment: datetime, *, local: bool) -> int | None:
    """Return the microseconds since 1970 UTC of a moment; ``None`` where no recording can begin then.

    Args:
        local: whether a naive one is this machine's local time; else it is UTC.
    """
    if moment.tzinfo is None:
        try:
            moment = moment.astimezone() if local else moment.replace(tzinfo=UTC)
        except (OverflowError, OSError, ValueError):
            return None
    us = (moment - _EPOCH) // timedelta(microseconds=1)
    return us if possible(us) else None


def _moments(text: str) -> Iterator[datetime]:
    for match in _DATE.finditer(text):
        *parts, fraction, _, sign, hours, minutes = match.groups()
        zone = UTC if match[8] else None
        if sign is not None:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            if int(minutes) % 15 == 0 and int(minutes) < 60 and int(hours) <= 14:
                zone = timezone(-offset if sign == "-" else offset)
            elif sign == "+":
                continue
        year, month, day, hour, minute, second = (int(part or 0) for part in parts)
        try:
            moment = datetime(year, month, day, hour, minute, second, int((fraction or "0").ljust(6, "0")), zone)
        except ValueError:
            continue
        if microseconds(moment, local=False) is not None:
            yield moment
