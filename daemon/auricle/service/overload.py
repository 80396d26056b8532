"""When decisions cannot keep up with the sound: a declared ladder, from what costs nothing to what costs sound."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.capture.live import Live
from auricle.hearing.lane import Lane

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


class Load:
    """Watches how much sound waits, and takes the steps; each is a ``status`` of every live source, and counted.

    Recordings wait for the daemon and are left alone.

    Args:
        lanes: of all sources; may change.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self.step = 0
        """0: everything; 1 to 3: see `MEANS`."""
        self._late_rounds = 0
        self._calm_since_s: float | None = None

    def tick(self, now_s: float) -> None:
        """Look at what waits after a round, on the monotonic clock."""
        live = [(lane, lane.source) for lane in self._lanes if isinstance(lane.source, Live)]
        waiting_s = max((source.waiting_s for _, source in live), default=0.0)
        full = any(source.waiting_s > source.ring_s / 2 for _, source in live)
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
        for lane, source in live:
            # Again after every round: a reload may have brought sources that know nothing of the step.
            source.stretch = STRETCH if self.step >= 1 else 1.0
            lane.score_interval_s = SCORE_S if self.step >= 2 else 0.0
            if self.step == 3 and source.waiting_s > max(KEEP_S, source.ring_s / 2):
                source.skip(KEEP_S)

    def _go(self, step: int, detail: str) -> None:
        state = "overloaded" if step > self.step else "relieved"
        self.step = step
        self._calm_since_s = None
        for lane in self._lanes:
            # What is lost is not overloaded; that it is lost must stay to be seen.
            if isinstance(lane.source, Live) and lane.state != "lost":
                lane.counters.overloads += state == "overloaded"
                lane.tell(state, detail)
