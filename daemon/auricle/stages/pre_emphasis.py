"""Pre-emphasis: the difference that lifts high frequencies and takes most of a constant offset away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auricle.stages.stage import BatchStage, Block, Memory


@dataclass
class _Kept(Memory):
    """Holds the sample before the next block, ``(sources, 1)``; ``None`` before a segment's first."""

    last: Block | None


class PreEmphasis(BatchStage[_Kept]):
    """Takes the first-order difference ``y[n] = x[n + 1] - coefficient * x[n]`` (Rabiner and Schafer 1978).

    The first sample of a segment has none before it and gives nothing: n samples give n - 1, and output 0 is about
    input 1. A constant offset keeps ``1 - coefficient`` of itself.

    Args:
        coefficient: above 0, at most 1.

    Shape:
        in ``(n,)`` samples, out ``(k,)`` of the same type.

    Raises:
        ValueError: the coefficient cannot be.
    """

    hop = 1
    span = 2
    reach = 2
    lead = 1

    def __init__(self, coefficient: float) -> None:
        check(coefficient)
        self.coefficient = float(coefficient)
        self.reset()

    def begin(self) -> _Kept:
        """Return the memory of a segment that has not begun: no sample."""
        return _Kept(None)

    def step(self, memory: _Kept, blocks: Block) -> Block:
        """Subtract from every sample its share of the one before."""
        samples = blocks if memory.last is None else np.concatenate((memory.last, blocks), 1)
        if samples.shape[1]:
            memory.last = samples[:, -1:].copy()
        return np.asarray(samples[:, 1:] - self.coefficient * samples[:, :-1])


def check(coefficient: float) -> None:
    """Refuse a coefficient that cannot be.

    Raises:
        ValueError: the coefficient is no number above 0, at most 1.
    """
    if not isinstance(coefficient, int | float) or not 0 < coefficient <= 1:
        raise ValueError(f"pre_emphasis {coefficient!r} cannot be; use a number above 0, at most 1, as 0.97")
