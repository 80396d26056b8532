"""This module measures how loud the sound is: the level of the newest samples at every decision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auricle.stages.stage import BatchStage, Block, Memory

FLOOR_DBFS = -120.0
"""What digital silence is said to be: JSON knows no minus infinity."""
_FLOOR = 10.0 ** (FLOOR_DBFS / 10)


@dataclass
class _Kept(Memory):
    """Holds the samples for the next decision; while ``count`` is below 0, so many samples are passed over first."""

    samples: Block | None
    count: int


class Level(BatchStage[_Kept]):
    """Gives the root mean square of the last ``hop`` samples at each decision, in dBFS (a full-scale sine is -3 dBFS).

    Where the hop is longer than the span, the sound between two windows is not measured, as the network does not hear
    it.

    Args:
        span, hop: those of the pipeline beside which the level is measured, so that both give as many rows.

    Shape:
        in ``(n,)`` float32 samples, out ``(k,)`` float32 dBFS.
    """

    def __init__(self, span: int, hop: int) -> None:
        self.span, self.hop = span, hop
        self.lead = span - hop
        self._heard = min(span, hop)
        self.reset()

    def begin(self) -> _Kept:
        """Return the memory at a segment's start: with a window shorter than the hop silence goes before it, with a
        longer one the samples before the first decision's hop are passed over."""
        count = self.hop - self.span
        return _Kept(np.zeros((1, count), np.float32) if count > 0 else None, count)

    def step(self, memory: _Kept, blocks: Block) -> Block:
        """Give the level at every decision that these blocks complete."""
        count, hop = memory.count, self.hop
        if count > 0 and memory.samples is not None:
            samples = np.concatenate((memory.samples, blocks), 1)
        else:
            samples = blocks[:, -count:].copy()
        count += blocks.shape[1]
        n = max(0, count // hop)
        used = n * hop
        memory.samples, memory.count = samples[:, used:], count - used
        rows = samples[:, :used].reshape(-1, hop)[:, hop - self._heard :]
        energies = np.matmul(rows[:, None], rows[:, :, None]).ravel().tolist()
        # A block holds few decisions: plain arithmetic in place of three more calls into numpy.
        levels = [10.0 * math.log10(max(energy / self._heard, _FLOOR)) for energy in energies]
        return np.array(levels, np.float32).reshape(len(blocks), n)
