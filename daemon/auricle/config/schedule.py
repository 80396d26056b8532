"""A schedule says on which days, and from when to when, a source is heard."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from time import struct_time
from typing import Any

from auricle.config.kinds import Misfit, Text
from auricle.config.tree import Node

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PATTERN = r"^(?:(?:mon|tue|wed|thu|fri|sat|sun)(?:-(?:mon|tue|wed|thu|fri|sat|sun))? )?\d\d:[0-5]\d-\d\d:[0-5]\d$"


@dataclass(frozen=True, slots=True)
class Hours:
    """Takes days and hours, as ``mon-fri 07:00-19:00``; every day where none are named."""

    def read(self, node: Node) -> str:
        text = Text(longest=40).read(node).strip().lower()
        if not re.fullmatch(_PATTERN, text):
            raise Misfit("is no time of the week")
        _, first, last = _parts(text)
        if first >= 24 * 60 or last > 24 * 60:
            raise Misfit("has an hour that no day has")
        if first == last:
            raise Misfit("begins when it ends; 00:00-24:00 is the whole day")
        return text

    def wants(self) -> str:
        return "days and hours, as mon-fri 07:00-19:00"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": _PATTERN}


def within(schedule: Iterable[str], now: struct_time) -> bool:
    """Return whether a local time lies in one of these hours; hours over midnight belong to the day they begin on."""
    minute, day = 60 * now.tm_hour + now.tm_min, now.tm_wday
    for days, first, last in map(_parts, schedule):
        if first < last:
            if day in days and first <= minute < last:
                return True
        elif (day in days and minute >= first) or ((day - 1) % 7 in days and minute < last):
            return True
    return False


def _parts(text: str) -> tuple[set[int], int, int]:
    """Return the days, from 0 for Monday, and the first minute of the day and the one after the last."""
    days, _, hours = text.rpartition(" ")
    first, last = (60 * int(each[:2]) + int(each[3:]) for each in hours.split("-"))
    if not days:
        return set(range(7)), first, last
    begin, _, end = days.partition("-")
    a, b = DAYS.index(begin), DAYS.index(end or begin)
    return {(a + i) % 7 for i in range((b - a) % 7 + 1)}, first, last
