"""Failed attempts are repeated as this module says: soon at first, never often, and never all at the same moment."""

from __future__ import annotations

import random

FIRST_S, GROWS, LAST_S = 0.5, 1.5, 1.5
STEADY_S = 1.0
"""A source that worked for less before it failed again is flapping, ..."""
FLAPS, FLAPPING_S = 5, 30.0
"""... and after so many times in a row each wait is twice as long, up to this."""


class Retry:
    """Sets the waits between attempts, each with a jitter of a fifth."""

    def __init__(self) -> None:
        self.due_s = 0.0
        """When to try next, on the monotonic clock."""
        self._delay_s = FIRST_S
        self._flaps = 0

    def worked(self, for_s: float) -> None:
        """Begin with the shortest wait, since what has failed now did work for so long; unless it flaps."""
        self._flaps = self._flaps + 1 if for_s < STEADY_S else 0
        self._delay_s = FIRST_S
        if self._flaps >= FLAPS:
            self._delay_s = min(FLAPPING_S, 2.0 ** (self._flaps - FLAPS + 1))

    def failed(self, now_s: float) -> None:
        """Wait, and longer the next time."""
        self.due_s = now_s + self._delay_s * random.uniform(0.8, 1.2)
        self._delay_s = max(self._delay_s, min(self._delay_s * GROWS, LAST_S))
