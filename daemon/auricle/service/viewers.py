"""The spectrum of a source is computed while somebody asks for it, and only then: who does is seen here."""

from __future__ import annotations

import time
from collections.abc import Sequence

from auricle import config
from auricle.hearing.lane import Lane
from auricle.publish.subscriptions import Subscriptions

LOOK_S = 0.1
"""How often to look: whoever takes up and gives up subscriptions without end costs no more than that."""


class Viewers:
    """Sets the lanes to tell their spectra, or not to.

    Args:
        lanes: of the sources; the same list, which may change.
        subscriptions: of all subscribers.
        spectra: whether there may be any, and how many columns a second; may be set anew.
    """

    def __init__(self, lanes: Sequence[Lane], subscriptions: Subscriptions, spectra: config.Spectra) -> None:
        self.spectra = spectra
        self._lanes, self._subscriptions = lanes, subscriptions
        self._seen: tuple[int, config.Spectra, list[Lane]] | None = None
        self._next_s = 0.0

    def tick(self) -> None:
        """Look, when it is time to, whether others are asked for; called after every round."""
        if (now_s := time.monotonic()) < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        seen = (self._subscriptions.requested, self.spectra, list(self._lanes))
        if seen == self._seen:
            return
        self._seen = seen
        for lane in self._lanes:
            asked = self.spectra.enabled and self._subscriptions.asks(lane.reporter.spectrum_topic)
            columns_per_s = self.spectra.columns_per_s if asked else None
            if columns_per_s != lane.columns_per_s:
                lane.watch(columns_per_s)
