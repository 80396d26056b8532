"""The one protocol between sample and score, and the arithmetic that joins stages.

Three laws hold for every stage (``tests/daemon/laws.py`` states them as code):

cut
    however the input is cut into blocks, the concatenated output is the same, bit for bit;
count
    ``n`` items in have given ``max(0, (n - span) // hop + 1)`` items out, never more, never fewer;
reset
    after ``reset()`` a stage cannot be told from a new one with the same parameters and the same ``learned``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Block: TypeAlias = NDArray[Any]
"""Items with time on axis 0, any number of them, none included."""


class Stage(Protocol):
    """A streaming step. All counts are in *input items* of this stage (samples, frames, windows)."""

    @property
    def hop(self) -> int:
        """Input items from one output item to the next."""

    @property
    def span(self) -> int:
        """Input items needed before the first output item can be given."""

    @property
    def lead(self) -> int:
        """Input items before the one that output item 0 is about (a frame's centre, a gate's look-ahead)."""

    def process(self, block: Block) -> Block:
        """Take a block of input items and give the output items that it completes."""

    def reset(self) -> None:
        """Forget the signal heard so far (a segment begins)."""


def count_out(n: int, *, span: int, hop: int) -> int:
    """Output items that a stage has given after ``n`` input items: the law *count*."""
    return max(0, (n - span) // hop + 1)


class Pipeline:
    """Stages in a row; itself a stage, whose ``hop``, ``span`` and ``lead`` follow by arithmetic."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        hop, span, lead = 1, 1, 0
        for stage in self.stages:
            span += (stage.span - 1) * hop
            lead += stage.lead * hop
            hop *= stage.hop
        self.hop, self.span, self.lead = hop, span, lead

    def process(self, block: Block) -> Block:
        """Run the block through every stage in turn."""
        for stage in self.stages:
            block = stage.process(block)
        return block

    def reset(self) -> None:
        """Reset every stage."""
        for stage in self.stages:
            stage.reset()


class RowStage:
    """Base of stages that map each item on its own: no memory, so ``hop`` 1, ``span`` 1, ``lead`` 0.

    Rows of several sources may be computed in one call, since no row's bits depend on its neighbours.
    """

    hop = 1
    span = 1
    lead = 0

    def process(self, block: Block) -> Block:
        """Map every item of the block."""
        raise TypeError(f"{type(self).__name__} does not say what it does with a row")

    def reset(self) -> None:
        """Nothing is remembered, so there is nothing to forget."""


class Slices:
    """Cuts a stream of items into overlapping slices: frames out of samples, windows out of feature rows.

    Args:
        span: items in a slice.
        hop: items from one slice to the next; may exceed ``span``, the items between are passed over.
        lead: the item of a slice that the slice is about; its centre ``span // 2`` unless told.

    Shape:
        in ``(n, *item)``, out ``(k, span, *item)``. The output is a read-only view where the input allows it.
    """

    def __init__(self, span: int, hop: int, lead: int | None = None) -> None:
        if span < 1 or hop < 1:
            raise ValueError(f"span and hop must be at least 1, not {span} and {hop}")
        self.span = span
        self.hop = hop
        self.lead = span // 2 if lead is None else lead
        self._rest: Block | None = None
        self._skip = 0

    def process(self, block: Block) -> Block:
        """Give the slices that this block completes."""
        if self._skip:
            passed = min(self._skip, len(block))
            self._skip -= passed
            block = block[passed:]
        own = self._rest is not None
        items = np.ascontiguousarray(block) if self._rest is None else np.concatenate((self._rest, block))
        n = (len(items) - self.span) // self.hop + 1
        if n <= 0:
            self._rest = items if own else items.copy()
            return np.empty((0, self.span, *block.shape[1:]), block.dtype)
        used = n * self.hop
        rest = items[used:]
        if used > len(items):
            self._skip = used - len(items)
        # A copy, unless it were most of it: a small rest would keep a whole large block alive.
        self._rest = rest if own and used < len(rest) else rest.copy()
        # A view made by hand: `sliding_window_view` costs more than the FFT of the frame that it cuts.
        step, *deeper = items.strides
        shape, strides = (n, self.span, *items.shape[1:]), (self.hop * step, step, *deeper)
        slices: Block = np.ndarray(shape, items.dtype, items, 0, strides)
        slices.flags.writeable = False
        return slices

    @staticmethod
    def together(stages: Sequence[Slices], blocks: Block) -> Block | None:
        """The slices of several sources that keep equally many items: see `auricle.batch`."""
        first = stages[0]
        rests = [stage._rest for stage in stages if stage._rest is not None and not stage._skip]
        if len(rests) < len(stages) or len({len(rest) for rest in rests}) > 1:
            return None
        kept = np.concatenate(rests).reshape(len(stages), -1, *blocks.shape[2:])
        items = np.concatenate((kept, blocks), axis=1)
        n = count_out(items.shape[1], span=first.span, hop=first.hop)
        used = n * first.hop
        if used > items.shape[1]:
            return None
        for stage, rest in zip(stages, items[:, used:].copy(), strict=True):
            stage._rest = rest
        source, step, *deeper = items.strides
        shape, strides = (len(stages), n, first.span, *items.shape[2:]), (source, first.hop * step, step, *deeper)
        slices: Block = np.ndarray(shape, items.dtype, items, 0, strides)
        slices.flags.writeable = False
        return slices

    def reset(self) -> None:
        """Forget the items kept for the next slice."""
        self._rest = None
        self._skip = 0
