"""When decisions cannot keep up with the sound: a declared ladder, from what costs nothing to what costs sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from auricle.capture.source import LiveControl
from auricle.hearing.lane import Counters
from auricle.messages import SourceState

STRETCH = 4.0
"""Step 1: sources are asked so many times less often: larger blocks give the same bits and cost less."""
SCORE_S = 1.0
"""Step 2: at most one score message in this time; decisions are made and counted all the same."""
KEEP_S = 1.0
"""Step 3: of the sound that waits all but the newest is dropped, as a gap with cause ``load``."""
UP_S = (0.5, 1.5)
"""Sound that waits after a round, from which on steps 1 and 2 are taken; step 3 from half of the ring on."""
PATIENCE = 2
"""Rounds in a row before the first step: a reload, or a disk, may hold up one of them."""
CALM_S, CALM_FOR_S = 0.25, 5.0
"""With less than this waiting for so long, one step back. Far below `UP_S`, so that the ladder does not swing."""
MEANS = ("", "larger blocks", "and a score a second at most", "and the oldest sound is dropped")


class Paced(Protocol):
    """What the ladder asks of a lane, and tells it."""

    score_interval_s: float

    @property
    def live(self) -> LiveControl | None:
        """Its source, if that is live."""

    @property
    def state(self) -> SourceState:
        """Its source's state."""

    @property
    def counters(self) -> Counters:
        """What it has come to."""

    def tell(self, state: SourceState, detail: str) -> None:
        """Publish a change of the source's state."""


class Load:
    """Watches how much sound waits, and takes the steps; each is a ``status`` of every live source, and counted.

    Recordings wait for the daemon and are left alone.

    Args:
        lanes: of all sources; may change.
    """

    def __init__(self, lanes: Sequence[Paced]) -> None:
        self._lanes = lanes
        self.step = 0
        """0: everything; 1 to 3: see `MEANS`."""
        self._late_rounds = 0
        self._calm_since_s: float | None = None

    def tick(self, now_s: float) -> None:
        """Look at what waits after a round, on the monotonic clock."""
        lanes = [(lane, live) for lane in self._lanes if (live := lane.live) is not None]
        waiting_s = max((live.waiting_s for _, live in lanes), default=0.0)
        full = any(live.waiting_s > live.terms.ring_s / 2 for _, live in lanes)
        self._late_rounds = self._late_rounds + 1 if waiting_s > UP_S[0] else 0
        wanted = 3 if full else sum(waiting_s > up_s for up_s in UP_S)
        if wanted > self.step and (self._late_rounds >= PATIENCE or full):
            self._go(wanted, f"{waiting_s:.1f} s of sound wait: {', '.join(MEANS[1 : wanted + 1])}")
        elif self.step and waiting_s < CALM_S:
            if self._calm_since_s is None:
                self._calm_since_s = now_s
            elif now_s - self._calm_since_s >= CALM_FOR_S:
                self._go(self.step - 1, f"still {', '.join(MEANS[1 : self.step])}" if self.step > 1 else "")
        else:
            self._calm_since_s = None
        for lane, live in lanes:
            # Again after every round: a reload may have brought sources that know nothing of the step.
            live.stretch = STRETCH if self.step >= 1 else 1.0
            lane.score_interval_s = SCORE_S if self.step >= 2 else 0.0
            if self.step == 3 and live.waiting_s > max(KEEP_S, live.terms.ring_s / 2):
                live.skip(KEEP_S)

    def _go(self, step: int, detail: str) -> None:
        state: SourceState = "overloaded" if step > self.step else "relieved"
        self.step = step
        self._calm_since_s = None
        for lane in self._lanes:
            # What is lost is not overloaded; that it is lost must stay to be seen.
            if lane.live is not None and lane.state != "lost":
                lane.counters.overloads += state == "overloaded"
                lane.tell(state, detail)
