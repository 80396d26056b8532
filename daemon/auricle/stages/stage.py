"""The one protocol between sample and score, and the arithmetic that joins stages.

Three laws hold for every stage (``tests/helpers/laws.py`` states them as code):

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
        in ``(n, *item)``, out ``(k, span, *item)``. The output is a read-only view.
    """

    def __init__(self, span: int, hop: int, lead: int | None = None) -> None:
        if span < 1 or hop < 1:
            raise ValueError(f"span and hop must be at least 1, not {span} and {hop}")
        self.span = span
        self.hop = hop
        self.lead = span // 2 if lead is None else lead
        self._room = span + 16 * hop
        self._items: Block | None
        self._begin: int
        self._end: int
        self._skip: int
        self.reset()

    def process(self, block: Block) -> Block:
        """Give the slices that this block completes."""
        if self._skip:
            passed = min(self._skip, len(block))
            self._skip -= passed
            block = block[passed:]
        begin, end = self._begin, self._end + len(block)
        items = self._items
        if items is None or end > len(items):
            # Never written over: slices that were given out are views of it.
            rest = block[:0] if items is None else items[begin : self._end]
            items = np.empty((len(rest) + max(len(block), self._room), *block.shape[1:]), block.dtype)
            items[: len(rest)] = rest
            begin, end = 0, len(rest) + len(block)
        items[end - len(block) : end] = block
        n = max(0, (end - begin - self.span) // self.hop + 1)
        # A view made by hand: `sliding_window_view` costs more than the FFT of the frame that it cuts.
        step, *deeper = items.strides
        shape, strides = (n, self.span, *items.shape[1:]), (self.hop * step, step, *deeper)
        slices: Block = np.ndarray(shape, items.dtype, items, begin * step, strides)
        slices.flags.writeable = False
        begin += n * self.hop
        if begin > end:
            self._skip, begin = begin - end, end
        if len(items) > 2 * self._room + self.span:
            # A copy, so that the small rest does not keep a whole large block alive.
            items, begin, end = items[begin:end].copy(), 0, end - begin
        self._items, self._begin, self._end = items, begin, end
        return slices

    @staticmethod
    def together(stages: Sequence[Slices], blocks: Block) -> Block | None:
        """The slices of several sources that keep equally many items: see `auricle.stages.batch`."""
        first = stages[0]
        rests = [s._items[s._begin : s._end] for s in stages if s._items is not None and not s._skip]
        if len(rests) < len(stages) or len({len(rest) for rest in rests}) > 1:
            return None
        kept = np.concatenate(rests).reshape(len(stages), -1, *blocks.shape[2:])
        items = np.concatenate((kept, blocks), axis=1)
        n = count_out(items.shape[1], span=first.span, hop=first.hop)
        used = n * first.hop
        if used > items.shape[1]:
            return None
        for stage, rest in zip(stages, items[:, used:].copy(), strict=True):
            stage._items, stage._begin, stage._end = rest, 0, len(rest)
        source, step, *deeper = items.strides
        shape, strides = (len(stages), n, first.span, *items.shape[2:]), (source, first.hop * step, step, *deeper)
        slices: Block = np.ndarray(shape, items.dtype, items, 0, strides)
        slices.flags.writeable = False
        return slices

    def reset(self) -> None:
        """Forget the items kept for the next slice."""
        self._items = None
        self._begin = self._end = self._skip = 0
