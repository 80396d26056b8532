"""How much of the machine's time questions may take: of one asker, and of all in one round."""

from __future__ import annotations

ROUND_S = 0.01
"""For questions in one round of the engine: sound comes first. What waits is answered in the next."""
ALL_SHARE, PEER_SHARE = 0.3, 0.2
"""Of the daemon's time, lasting; of all askers together, and of one."""
BURST_S = 0.25
"""What an asker that has been quiet may take at once."""
ASKERS = 1024
"""Remembered; those are forgotten first that have nothing to answer for any more."""


class Allowance:
    """A time that fills up at a steady rate and is drawn upon; it may be overdrawn once, and then is paid back.

    Args:
        share: seconds that come in for each that passes.
        now_s: of a monotonic clock.
    """

    def __init__(self, share: float, now_s: float) -> None:
        self._share = share
        self._full_s = now_s

    def spend(self, taken_s: float, now_s: float) -> None:
        """So much has been taken."""
        self._full_s = max(self._full_s, now_s) + taken_s / self._share

    def later_s(self, now_s: float) -> float:
        """How long until something is left; 0 or less: something is."""
        return self._full_s - now_s - BURST_S / self._share


class Allowances:
    """Those of all askers, by what ZeroMQ calls their connection."""

    def __init__(self, now_s: float) -> None:
        self.all = Allowance(ALL_SHARE, now_s)
        self._each: dict[bytes, Allowance] = {}

    def of(self, asker: bytes, now_s: float) -> Allowance:
        """The allowance of one asker."""
        found = self._each.get(asker)
        if found is None:
            if len(self._each) >= ASKERS:
                self._each = {who: left for who, left in self._each.items() if left.later_s(now_s) > 0}
            found = self._each[asker] = Allowance(PEER_SHARE, now_s)
        return found
