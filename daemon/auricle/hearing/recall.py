"""The last minutes of a source's decisions are held here, so that it can be said why there was an event, or none."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.hearing.decision import Rule
from auricle.hearing.ear import Ear
from auricle.messages import Gap, Status

NEWS = 200
"""So many gaps and changes of state are held at most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Says by what was decided.

    Args:
        labels: in the order of the scores.
        rules: of the labels that raise events; times in samples at ``rate``.
        means: over how many decisions each label's score is a mean.
        hop: from decision to decision, in samples at ``rate``.
        rate: the model's.
    """

    labels: Sequence[str]
    rules: Mapping[str, Rule]
    means: Sequence[int]
    hop: int
    rate: int


@dataclass(frozen=True, slots=True)
class Decided:
    """Holds one decision: when and at which sample of the source, the level, the smoothed scores ``(n_labels,)``, why
    labels above their thresholds had no event, how the noise gate stood, and by what was decided."""

    t_us: int
    sample: int
    level_dbfs: float
    scores: NDArray[np.float32]
    held_back: Mapping[str, str]
    gate: str
    standing: Standing


class Recall:
    """Holds the newest decisions of a source, and what was told of its sound meanwhile.

    What is held is bounded by the number of decisions, not by their times: a clock that jumps, or a source that is
    silent for a day, changes nothing of how much that is.

    Args:
        keep_min: minutes of sound whose decisions are held; may be set anew.
    """

    def __init__(self, keep_min: float) -> None:
        self.keep_min = keep_min
        self.news: deque[Gap | Status] = deque(maxlen=NEWS)
        self._held: deque[Decided] = deque()
        self._standing: Standing | None = None

    def add(
        self,
        ear: Ear,
        gate: str,
        place_of: Callable[[int], tuple[int, int]],
        first: int,
        scores: NDArray[np.float32],
        levels: NDArray[np.float32],
    ) -> None:
        """Take the decisions that an ear has just made; the oldest go.

        Args:
            gate: how the noise gate stands.
            place_of: gives the source's sample and the time, in microseconds, of a position in the segment.
            first: how many decisions came before in the segment.
            scores: ``(n, n_labels)``, smoothed.
            levels: ``(n,)`` in dBFS.
        """
        detector, standing = ear.detector, self._standing
        if standing is None or standing.rules is not detector.rules or standing.means is not ear.means:
            rate = ear.bundle.card.front_end.sample_rate
            self._standing = standing = Standing(ear.labels, detector.rules, ear.means, ear.stages.hop, rate)
        for row in range(len(scores)):
            at = ear.stages.span + (first + row) * ear.stages.hop
            sample, t_us = place_of(at)
            held_back = detector.held_back.get(at, {})
            self._held.append(Decided(t_us, sample, float(levels[row]), scores[row].copy(), held_back, gate, standing))
        most = math.ceil(60 * self.keep_min / ear.hop_s)
        while len(self._held) > most:
            self._held.popleft()

    @property
    def since_us(self) -> int | None:
        """Return the time of the oldest decision that is held, in microseconds since 1970 UTC."""
        return self._held[0].t_us if self._held else None

    def between(self, first_us: int, last_us: int) -> list[Decided]:
        """Return the decisions of this time, both ends included, as they were made."""
        return [each for each in self._held if first_us <= each.t_us <= last_us]
