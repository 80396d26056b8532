"""Pre-emphasis: the difference that lifts high frequencies and takes most of a constant offset away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.stages.stage import Block


class PreEmphasis:
    """First-order difference ``y[n] = x[n + 1] - coefficient * x[n]`` (Rabiner and Schafer 1978).

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
    lead = 1

    def __init__(self, coefficient: float) -> None:
        check(coefficient)
        self._coefficient = float(coefficient)
        self._last: Block | None = None

    def process(self, block: Block) -> Block:
        """Take its share of the sample before from every sample."""
        samples = block if self._last is None else np.concatenate((self._last, block))
        if len(samples):
            self._last = samples[-1:].copy()
        return np.asarray(samples[1:] - self._coefficient * samples[:-1])

    @staticmethod
    def together(stages: Sequence[PreEmphasis], blocks: Block) -> Block | None:
        """The differences of several sources that have begun: see `auricle.stages.batch`."""
        lasts = [stage._last for stage in stages if stage._last is not None]
        if len(lasts) < len(stages):
            return None
        samples = np.concatenate((np.stack(lasts), blocks), axis=1)
        for stage, last in zip(stages, samples[:, -1:].copy(), strict=True):
            stage._last = last
        return np.asarray(samples[:, 1:] - stages[0]._coefficient * samples[:, :-1])

    def reset(self) -> None:
        """Forget the last sample."""
        self._last = None


def check(coefficient: float) -> None:
    """Refuse a coefficient that cannot be.

    Raises:
        ValueError: it is no number above 0, at most 1.
    """
    if not isinstance(coefficient, int | float) or not 0 < coefficient <= 1:
        raise ValueError(f"pre_emphasis {coefficient!r} cannot be; use a number above 0, at most 1, as 0.97")
