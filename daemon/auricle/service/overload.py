"""When decisions cannot keep up with the sound, a declared ladder is climbed, from what costs nothing to what costs
sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from auricle.capture.source import LiveControl
from auricle.hearing.counters import Counters
from auricle.messages import AWAY, SourceState

STRETCH = 4.0
"""Step 1: sources are asked so many times less often: larger blocks give the same bits and cost less."""
SCORE_S = 1.0
"""Step 2: at most one score message in this time; decisions are made and counted all the same."""
KEEP_S = 1.0
"""Step 3: of the sound that waits all but the newest is dropped, as a gap with cause ``load``."""
UP_S = (0.5, 1.5)
"""How late sound must be after a round for steps 1 and 2; step 3 is taken from half of the ring on."""
PATIENCE, PATIENCE_S = 2, 0.19
"""How many rounds in a row, and how long, sound must be late before any step: a disk may hold up one round, a burst
comes in several short ones."""
CALM_S, CALM_FOR_S = 0.25, 5.0
"""With less than this late for so long, one step back. Far below `UP_S`, so that the ladder does not swing."""
MEANS = ("", "larger blocks", "and a score a second at most", "and the oldest sound is dropped")


class Paced(Protocol):
    """This is what the ladder asks of a lane, and tells it."""

    score_interval_s: float

    @property
    def name(self) -> str:
        """Return the name of the lane's source."""

    @property
    def live(self) -> LiveControl | None:
        """Return the lane's source, if that is live."""

    @property
    def state(self) -> SourceState:
        """Return the state of the lane's source."""

    @property
    def counters(self) -> Counters:
        """Return the counters of the lane."""

    def tell(self, state: SourceState, detail: str) -> None:
        """Publish a change of the source's state."""


class Ladder:
    """Watches how late sound is, and takes the steps; each is published as a ``status`` of every live source, and
    counted.

    Sound is late when it waits although its time to be heard has come (`LiveControl.late_s`). A source falls behind
    when much sound is late and does not become less: a burst, or what a hold-up has left, becomes less round by round,
    and a machine that can work that off is not overloaded. Recordings wait for the daemon and are left alone.

    Args:
        lanes: of all sources; may change.
    """

    def __init__(self, lanes: Sequence[Paced]) -> None:
        self._lanes = lanes
        self.step = 0
        """The step taken now: 0 is none; 1 to 3 see `MEANS`."""
        self._late_s: dict[str, float] = {}
        """How late each source was after the round before."""
        self._rounds = 0
        self._well_s = -math.inf
        self._calm_since_s: float | None = None

    def tick(self, now_s: float) -> None:
        """Look at what is late after a round, on the monotonic clock."""
        lanes = [(lane, live) for lane in self._lanes if (live := lane.live) is not None]
        before, self._late_s = self._late_s, {lane.name: live.late_s(now_s) for lane, live in lanes}
        behind = [
            (live, late_s)
            for lane, live in lanes
            if (late_s := self._late_s[lane.name]) > UP_S[0] and late_s >= before.get(lane.name, 0.0)
        ]
        self._rounds = self._rounds + 1 if behind else 0
        if not behind:
            self._well_s = now_s
        patient = self._rounds < PATIENCE or now_s - self._well_s < PATIENCE_S
        worst_s = max((late_s for _, late_s in behind), default=0.0)
        full = any(late_s > live.terms.ring_s / 2 for live, late_s in behind)
        wanted = 3 if full else sum(worst_s > up_s for up_s in UP_S)
        if wanted > self.step and not patient:
            self._go(wanted, f"{worst_s:.1f} s of sound wait: {', '.join(MEANS[1 : wanted + 1])}")
        elif self.step and max(self._late_s.values(), default=0.0) < CALM_S:
            if self._calm_since_s is None:
                self._calm_since_s = now_s
            elif now_s - self._calm_since_s >= CALM_FOR_S:
                self._go(self.step - 1, f"still {', '.join(MEANS[1 : self.step])}" if self.step > 1 else "")
        else:
            self._calm_since_s = None
        for lane, live in lanes:
            # Again after every round: a reload may have brought sources that know nothing of the step.
            live.stretch = min(STRETCH, live.terms.most_stretch) if self.step >= 1 else 1.0
            lane.score_interval_s = SCORE_S if self.step >= 2 else 0.0
        if self.step == 3 and not patient:
            for live, late_s in behind:
                if late_s > max(KEEP_S, live.terms.ring_s / 2):
                    live.skip(KEEP_S)

    def _go(self, step: int, detail: str) -> None:
        state: SourceState = "overloaded" if step > self.step else "relieved"
        self.step = step
        self._calm_since_s = None
        for lane in self._lanes:
            # A source that is lost or paused is not overloaded, and must go on to be shown as that.
            if lane.live is not None and lane.state not in AWAY:
                lane.counters.overloads += state == "overloaded"
                lane.tell(state, detail)
