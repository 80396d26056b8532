"""How loud it is: the level of the newest sound at every decision."""

from __future__ import annotations

import numpy as np

from auricle.stage import Block, count_out

FLOOR_DBFS = -120.0
"""What digital silence is said to be: JSON knows no minus infinity."""


class Level:
    """Root mean square of the last ``hop`` samples at each decision, in dBFS (a full-scale sine is -3 dBFS).

    Args:
        span, hop: those of the pipeline beside which it runs, so that both give as many rows.

    Shape:
        in ``(n,)`` float32 samples, out ``(k,)`` float32 dBFS.
    """

    def __init__(self, span: int, hop: int) -> None:
        self.span, self.hop = span, hop
        self.lead = span - hop
        self._skip = span - hop
        self._rest: Block = np.empty(0, np.float32)

    def process(self, block: Block) -> Block:
        """Give the level at every decision that the block completes."""
        passed = min(self._skip, len(block))
        self._skip -= passed
        samples = np.concatenate((self._rest, block[passed:]))
        n = count_out(len(samples), span=self.hop, hop=self.hop)
        self._rest = samples[n * self.hop :].copy()
        rows = samples[: n * self.hop].reshape(n, self.hop)
        power = np.mean(np.square(rows), axis=-1)
        return np.asarray(10.0 * np.log10(np.maximum(power, np.float32(10.0 ** (FLOOR_DBFS / 10)))), np.float32)

    def reset(self) -> None:
        """Forget the samples heard so far."""
        self._skip = self.span - self.hop
        self._rest = np.empty(0, np.float32)
