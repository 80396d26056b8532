"""Questions may take so much of the machine's time: of one asker, and of all in one round."""

from __future__ import annotations

ROUND_S = 0.01
"""The time for questions in one round of the engine: sound comes first, and what waits is answered in the next
round."""
ALL_SHARE, PEER_SHARE = 0.3, 0.2
"""The lasting share of the daemon's time that all askers together may take, and one of them."""
BURST_S = 0.25
"""The time that an asker that has been quiet may take at once."""
ASKERS = 1024
"""How many askers are remembered; those whose allowance is full again are forgotten first."""


class Allowance:
    """Holds a time that fills up at a steady rate and is drawn upon; it may be overdrawn once, and then is paid back.

    Args:
        share: seconds that come in for each that passes.
        now_s: of a monotonic clock.
    """

    def __init__(self, share: float, now_s: float) -> None:
        self._share = share
        self._full_s = now_s

    def spend(self, taken_s: float, now_s: float) -> None:
        """Take so much from the allowance."""
        self._full_s = max(self._full_s, now_s) + taken_s / self._share

    def later_s(self, now_s: float) -> float:
        """Return how long until something is left; 0 or less if something is."""
        return self._full_s - now_s - BURST_S / self._share


class Allowances:
    """Holds the allowances of all askers, by what ZeroMQ calls their connection."""

    def __init__(self, now_s: float) -> None:
        self.all = Allowance(ALL_SHARE, now_s)
        self._each: dict[bytes, Allowance] = {}

    def of(self, asker: bytes, now_s: float) -> Allowance:
        """Return the allowance of one asker."""
        found = self._each.get(asker)
        if found is None:
            if len(self._each) >= ASKERS:
                self._each = {who: left for who, left in self._each.items() if left.later_s(now_s) > 0}
            found = self._each[asker] = Allowance(PEER_SHARE, now_s)
        return found
