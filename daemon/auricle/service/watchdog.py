"""The watchdog says whether the daemon hears, to whoever supervises it: ready, alive, and a line that a person wants to
read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from auricle.hearing.counters import Counters
from auricle.messages import AWAY, NOT_HEARD, SourceState
from auricle.service.notify import Notifier

HOUR_S = 3600.0
TELL_S = 1.0


class Watched(Protocol):
    """This is what the watchdog asks of a lane."""

    @property
    def name(self) -> str:
        """Return the name of the lane's source."""

    @property
    def done(self) -> bool:
        """Return whether nothing will ever come again."""

    @property
    def state(self) -> SourceState:
        """Return the state of the lane's source."""

    @property
    def processed_s(self) -> float | None:
        """Return when, on the monotonic clock, sound was last processed; ``None`` before that."""

    @property
    def counters(self) -> Counters:
        """Return the counters of the lane."""


class Watchdog:
    """Feeds the service manager with nothing but sound that was really processed.

    A source is well when a block of it was processed within half of the manager's time, when it is in a declared loss,
    which is retried, when it is paused, or when its recordings have ended. One source that is not well keeps the whole
    daemon from being called alive, so that the manager starts it anew.

    Args:
        lanes: of all sources; may change.
        notifier: to the service manager.
        now_s: monotonic clock.
        also: gives what else a person should know now, such as an address that is not there.
    """

    def __init__(
        self,
        lanes: Sequence[Watched],
        notifier: Notifier,
        now_s: float,
        also: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._lanes = lanes
        self._notifier = notifier
        self._patience_s = notifier.watchdog_s / 2 if notifier.watchdog_s is not None else None
        self._every_s = TELL_S if self._patience_s is None else min(TELL_S, self._patience_s / 2)
        self._next_s = now_s
        self._also = also
        self._since: dict[int, float] = {}
        """When each lane was first seen, or came back: one that has just come has not been heard yet."""
        self._lost: dict[int, float] = {}
        self._onsets: deque[float] = deque()
        self._events: dict[int, int] = {}
        self._status = ""
        self.ready = False
        """Whether ``READY=1`` was sent; set to False, it is sent again when the daemon is ready."""
        self.trouble = ""
        """What a person should know for the time being, as that a changed configuration was refused."""

    def tick(self, now_s: float) -> None:
        """Tell the service manager what is due; called after every round."""
        if not self.ready and all(lane.processed_s is not None or _excused(lane) for lane in self._lanes):
            self.ready = self._notifier.tell(READY=1)
            self._next_s = now_s
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        self._look(now_s)
        if not any(self._stale_s(lane, now_s) for lane in self._lanes):
            self._notifier.tell(WATCHDOG=1)
        if (status := self.status(now_s)) != self._status and self._notifier.tell(STATUS=status):
            self._status = status

    def status(self, now_s: float) -> str:
        """Return the line for ``systemctl status``."""
        n = len(self._lanes)
        parts = [f"{n} source{'s' * (n != 1)}"]
        for lane in self._lanes:
            if lane.state in AWAY:
                parts.append(f"{lane.name} {lane.state} for {_span(now_s - self._lost.get(id(lane), now_s))}")
            elif lane.done:
                parts.append(f"{lane.name} at its end")
            elif (stale_s := self._stale_s(lane, now_s)) > 0:
                parts.append(f"{lane.name} not heard for {_span(stale_s)}")
            elif lane.state in NOT_HEARD:
                parts.append(f"{lane.name} {lane.state}")
        events = len(self._onsets)
        parts.append(f"{events or 'no'} event{'s' * (events != 1)} in the last hour")
        if self.trouble:
            parts.append(self.trouble)
        parts.extend(self._also())
        return ", ".join(parts)

    def _look(self, now_s: float) -> None:
        here = {id(lane) for lane in self._lanes}
        for seen in (self._since, self._lost, self._events):
            for gone in seen.keys() - here:
                del seen[gone]
        for lane in self._lanes:
            key = id(lane)
            self._since.setdefault(key, now_s)
            if lane.state in AWAY:
                self._lost.setdefault(key, now_s)
            elif self._lost.pop(key, None) is not None:
                self._since[key] = now_s  # it has just come back
            self._onsets.extend([now_s] * (lane.counters.events - self._events.get(key, 0)))
            self._events[key] = lane.counters.events
        while self._onsets and self._onsets[0] < now_s - HOUR_S:
            self._onsets.popleft()

    def _stale_s(self, lane: Watched, now_s: float) -> float:
        """Return for how long a source that should be heard was not; 0 while that is in order."""
        if self._patience_s is None or _excused(lane):
            return 0.0
        since_s = self._since.get(id(lane), now_s)
        age_s = now_s - (since_s if lane.processed_s is None else max(lane.processed_s, since_s))
        return age_s if age_s > self._patience_s else 0.0


def _excused(lane: Watched) -> bool:
    return lane.state in AWAY or lane.done


def _span(seconds: float) -> str:
    """Write a time in seconds, minutes or hours, whichever a person would say."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
