"""How loud it is: the level of the newest sound at every decision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from auricle.stages.stage import Block

FLOOR_DBFS = -120.0
"""What digital silence is said to be: JSON knows no minus infinity."""
_FLOOR = 10.0 ** (FLOOR_DBFS / 10)


class Level:
    """Root mean square of the last ``hop`` samples at each decision, in dBFS (a full-scale sine is -3 dBFS).

    Where the hop is longer than the span, the sound between two windows is heard by nobody, nor here.

    Args:
        span, hop: those of the pipeline beside which it runs, so that both give as many rows.

    Shape:
        in ``(n,)`` float32 samples, out ``(k,)`` float32 dBFS.
    """

    def __init__(self, span: int, hop: int) -> None:
        self.span, self.hop = span, hop
        self.lead = span - hop
        self._heard = min(span, hop)
        self._skip: int
        self._rest: Block
        self.reset()

    def process(self, block: Block) -> Block:
        """Give the level at every decision that the block completes."""
        passed = min(self._skip, len(block))
        self._skip -= passed
        samples = np.concatenate((self._rest, block[passed:]))
        n = len(samples) // self.hop
        self._rest = samples[n * self.hop :].copy()
        return _levels(samples[: n * self.hop].reshape(n, self.hop)[:, self.hop - self._heard :])

    @staticmethod
    def together(stages: Sequence[Level], blocks: Block) -> Block | None:
        """The levels of several sources that keep equally many samples: see `auricle.stages.batch`."""
        first = stages[0]
        if any(stage._skip or len(stage._rest) != len(first._rest) for stage in stages):
            return None
        kept = np.concatenate([stage._rest for stage in stages]).reshape(len(stages), -1)
        samples = np.concatenate((kept, blocks), axis=1)
        n = samples.shape[1] // first.hop
        for stage, rest in zip(stages, samples[:, n * first.hop :].copy(), strict=True):
            stage._rest = rest
        return _levels(samples[:, : n * first.hop].reshape(len(stages), n, first.hop)[:, :, first.hop - first._heard :])

    def reset(self) -> None:
        """Forget the samples heard so far."""
        self._skip = max(0, self.span - self.hop)
        # Before the first of windows with pauses between them is as much silence, of which nothing is counted.
        self._rest = np.zeros(max(0, self.hop - self.span), np.float32)


def _levels(rows: Block) -> Block:
    *shape, hop = rows.shape
    energies = np.matmul(rows[..., None, :], rows[..., :, None]).ravel().tolist()
    # A block holds few decisions: plain arithmetic in place of three more calls into numpy.
    levels = [10.0 * math.log10(max(energy / hop, _FLOOR)) for energy in energies]
    return np.array(levels, np.float32).reshape(shape)
