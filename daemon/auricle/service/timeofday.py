"""Judges whether the time of day can be believed: a machine without a battery begins at any year."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it whenever a server has told the time, at least every 34 minutes while one is reached."""
STEADY_S = 86400.0
"""So long without a step is as good as a server's word; an older word is none."""
STEP_S = 2.0
LOOK_S = 1.0


def since_boot() -> float:
    """Read the seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class TimeOfDay:
    """Watches the system's clock for steps.

    Args:
        told: the file whose last change says when the clock was synchronised last; `SYNCHRONISED` unless given.
        wall: gives the time of day, in seconds since 1970 UTC.
        steady: gives the seconds of a clock that is never set.
    """

    def __init__(
        self,
        told: Path | None = None,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._told = told or SYNCHRONISED
        self._wall, self._steady = wall, steady
        self._looked_s = self._steady_since_s = steady()
        self._offset_s = wall() - self._looked_s
        self._stepped_s = 0.0  # on the wall clock, as it goes since

    @property
    def certain(self) -> bool:
        """Return whether a server has confirmed the time since its last step, or it has had none for a day."""
        if self._steady() - self._steady_since_s >= STEADY_S:
            return True
        try:
            told_s = os.stat(self._told).st_mtime
        except OSError:
            return False
        now_s = self._wall()
        return max(self._stepped_s, now_s - STEADY_S) <= told_s <= now_s + STEP_S

    def look(self) -> str | None:
        """Look for a step, from time to time; return a line about one."""
        now_s = self._steady()
        if now_s < self._looked_s + LOOK_S:
            return None
        offset_s = self._wall() - now_s
        step_s, before_s = offset_s - self._offset_s, self._looked_s
        self._offset_s, self._looked_s = offset_s, now_s
        if abs(step_s) < STEP_S:
            return None
        self._steady_since_s = now_s
        self._stepped_s = before_s + offset_s
        was, now = (_written(now_s + offset_s - each_s) for each_s in (step_s, 0.0))
        return f"the time of day jumped {'forward' if step_s > 0 else 'back'}, from {was} to {now}"


def _written(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s))
