"""A source is asked here how it fares, and whether it is heard."""

from __future__ import annotations

from typing import Protocol

from auricle import messages
from auricle.messages.questions import SourceReport
from auricle.service.marks import Heard

STALE_S = 10.0
"""A source that has given no sound for so long counts as not heard, whatever its state."""


class Asked(Heard, Protocol):
    """This is what the query socket asks of a lane."""

    @property
    def done(self) -> bool:
        """Return whether nothing will ever come again."""

    @property
    def model(self) -> messages.Model:
        """Return the model that hears."""

    def health(self, now_s: float) -> messages.SourceHealth:
        """Return the lane's counters at this time of the monotonic clock."""


def deaf(source: SourceReport) -> str | None:
    """Return why a source is not heard, if it is not although it should be."""
    if source.state == "paused":
        return None
    if source.state in messages.NOT_HEARD:
        return source.state
    if source.age_s is None:
        return "no sound yet"
    return f"no sound for {source.age_s:.0f} s" if source.age_s > STALE_S else None
