"""The one protocol between sample and score, and the arithmetic that joins stages.

Four laws hold for every stage (``tests/helpers/laws.py`` states them as code):

cut
    however the input is cut into blocks, the concatenated output is the same, bit for bit;
count
    ``n`` items in have given ``max(0, (n - span) // hop + 1)`` items out, never more, never fewer;
reset
    after ``reset()`` a stage cannot be told from a new one with the same parameters and the same ``learned``;
batch
    stages of several sources that are asked together (`auricle.stages.batch`) give each what it gives alone, bit for
    bit, whoever the others are and whatever they have heard before.

A stage writes its step once. One without memory maps rows, whosever they are (`RowStage`). One with memory keeps it
apart from its parameters, with the sources in front, and takes the blocks of several sources at once (`BatchStage`); a
single source is a batch of one. A stage that is neither has a ``process`` of its own, asked for each source in turn.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Block: TypeAlias = NDArray[Any]
"""Items with time on axis 0, any number of them, none included."""

_LONG = 16
"""Spans of items at once."""


class Stage(Protocol):
    """A stage is one streaming step; its counts are in its own *input items* (samples, frames, windows)."""

    @property
    def hop(self) -> int:
        """Return how many input items lie between one output item and the next."""

    @property
    def span(self) -> int:
        """Return how many input items are needed before the first output item can be given."""

    @property
    def lead(self) -> int:
        """Return how many input items lie before the one that output item 0 is about (a frame's centre, a gate's
        look-ahead)."""

    def process(self, block: Block) -> Block:
        """Take a block of input items and give the output items that it completes."""

    def reset(self) -> None:
        """Forget the signal heard so far (a segment begins)."""


def reach_of(stage: Stage) -> int | None:
    """Return how many input items, counted back from the newest it is made of, an output item depends on; ``None``
    where it depends on all that came before.

    A stage that forgets says so by ``reach``: begun a multiple of its ``hop`` later, it gives the same output items,
    bit for bit, as soon as they reach back to no item that it did not hear. Of one that does not say, nothing is
    assumed.
    """
    reach: int | None = getattr(stage, "reach", None)
    return reach


def count_out(n: int, *, span: int, hop: int) -> int:
    """Return how many output items a stage has given after ``n`` input items: the law *count*."""
    return max(0, (n - span) // hop + 1)


class Pipeline:
    """Runs stages in a row, and is itself a stage, whose ``hop``, ``span`` and ``lead`` follow by arithmetic."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        hop, span, lead = 1, 1, 0
        for stage in self.stages:
            span += (stage.span - 1) * hop
            lead += stage.lead * hop
            hop *= stage.hop
        self.hop, self.span, self.lead = hop, span, lead

    @property
    def reach(self) -> int | None:
        """Return how many input items an output item depends on, as `reach_of` says; by the same arithmetic."""
        reach, hop = 1, 1
        for stage in self.stages:
            if (own := reach_of(stage)) is None:
                return None
            reach += (own - 1) * hop
            hop *= stage.hop
        return reach

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
    """This is the base of stages that map each item on its own, without memory: ``hop`` and ``span`` are 1, ``lead`` is
    0.

    Rows of several sources may be computed in one call, since no row's bits depend on its neighbours.
    """

    hop = 1
    span = 1
    lead = 0
    reach: int | None = 1

    def process(self, block: Block) -> Block:
        """Map every item of the block."""
        raise TypeError(f"{type(self).__name__} does not say what it does with a row")

    def reset(self) -> None:
        """Do nothing: what remembers nothing has nothing to forget."""


class Memory:
    """This is the base of dataclasses that hold what a stage remembers of the signal, of one source or of several
    joined.

    Arrays, lists and memories among the fields have the sources in front, and are replaced rather than written into.
    Every other field holds for all sources: memories can be joined if they agree in those, and in the shape of a
    source's share.
    """

    whole: Sequence[object] | None = None
    """The stages whose memory this is, in the order of its rows; ``None`` once one of them has taken its row out."""

    @property
    def standing(self) -> Hashable:
        """Return what memories must agree in to be joined."""
        return tuple([_standing(getattr(self, field.name)) for field in fields(self)])  # type: ignore[arg-type]

    def share(self, row: int) -> Self:
        """Return the part that belongs to one source, as a memory of its own."""
        return type(self)(*[_share(getattr(self, field.name), row) for field in fields(self)])  # type: ignore[arg-type]


def _standing(value: Any) -> Any:
    match value:
        case np.ndarray():
            return value.shape[1:]
        case Memory():
            return value.standing
        case list():
            return None
    return value


def _share(value: Any, row: int) -> Any:
    match value:
        case np.ndarray() | list():
            return value[row : row + 1]
        case Memory():
            return value.share(row)
    return value


def _joined(values: Sequence[Any]) -> Any:
    match first := values[0]:
        case np.ndarray():
            return np.concatenate(values)
        case list():
            return [each for value in values for each in value]
        case Memory():
            names = [field.name for field in fields(first)]  # type: ignore[arg-type]
            return type(first)(*[_joined([getattr(value, name) for value in values]) for name in names])
    return first


M = TypeVar("M", bound=Memory)


class BatchStage(Generic[M]):
    """This is the base of stages that remember something of the signal: they write one step for any number of
    sources."""

    memory: M
    """What this source's stage remembers, alone or joined with that of others."""
    _row: int | None = None  # where in a memory of several

    def begin(self) -> M:
        """Return the memory of one source at a segment's start."""
        raise TypeError(f"{type(self).__name__} does not say what it remembers")

    def step(self, memory: M, blocks: Block) -> Block:
        """Take ``(sources, n, *item)``, give ``(sources, k, *item)``, and bring these sources' memory up to date."""
        raise TypeError(f"{type(self).__name__} does not say what its step is")

    def process(self, block: Block) -> Block:
        """Take a block of input items and give the output items that it completes: the step of a batch of one."""
        rows: Block = self.step(self.own(), block[None])[0]
        return rows

    def reset(self) -> None:
        """Forget the signal heard so far (a segment begins)."""
        if self._row is not None:
            self.memory.whole = self._row = None
        self.memory = self.begin()

    def own(self) -> M:
        """Return this source's memory, taken out of a joined one where it lies in one."""
        if self._row is not None:
            memory, row = self.memory, self._row
            self.memory, self._row, memory.whole = memory.share(row), None, None
        return self.memory


def joined(stages: Sequence[BatchStage[M]]) -> M | None:
    """Join the memories of these stages, which share the joined one from now on; ``None`` where they do not stand
    alike."""
    memory = stages[0].memory
    if memory.whole != stages:
        parts = [stage.own() for stage in stages]
        if len(parts) > 1:
            standing = [part.standing for part in parts]
            if standing.count(standing[0]) < len(standing):
                return None
            memory = _joined(parts)
            for row, stage in enumerate(stages):
                stage.memory, stage._row = memory, row
        else:
            (memory,) = parts
    memory.whole = stages
    return memory


@dataclass
class _Kept(Memory):
    """Holds the items for the next slices; while ``count`` is below 0, so many items are passed over first."""

    items: Block | None
    count: int


class Slices(BatchStage[_Kept]):
    """Cuts a stream of items into overlapping slices: frames out of samples, windows out of feature rows.

    Args:
        span: items in a slice.
        hop: items from one slice to the next; may exceed ``span``, the items between are passed over.
        lead: the item of a slice that the slice is about; its centre ``span // 2`` unless given.

    Shape:
        in ``(n, *item)``, out ``(k, span, *item)``. The output is a read-only view.
    """

    def __init__(self, span: int, hop: int, lead: int | None = None) -> None:
        if span < 1 or hop < 1:
            raise ValueError(f"span and hop must be at least 1, not {span} and {hop}")
        self.span = span
        self.hop = hop
        self.lead = span // 2 if lead is None else lead
        self.reach = span
        self.reset()

    def begin(self) -> _Kept:
        """Return an empty memory."""
        return _Kept(None, 0)

    def step(self, memory: _Kept, blocks: Block) -> Block:
        """Give the slices that these blocks complete."""
        count, span, hop = memory.count, self.span, self.hop
        # An array of its own every time: slices that are given out are views of it.
        if count > 0 and memory.items is not None:
            items = np.concatenate((memory.items, blocks), 1)
        else:
            items = blocks[:, -count:].copy()
        count += blocks.shape[1]
        n = max(0, (count - span) // hop + 1)
        used = n * hop
        rest = items[:, used:]
        # A copy where the little that is kept would keep a long block alive.
        memory.items, memory.count = rest if used < _LONG * span else rest.copy(), count - used
        # A view made by hand: `sliding_window_view` costs more than the FFT of the frame that it cuts.
        sources, _, *shape = items.shape
        source, item, *deeper = items.strides
        strides = (source, hop * item, item, *deeper)
        slices: Block = np.ndarray((sources, n, span, *shape), items.dtype, items, 0, strides)
        slices.flags.writeable = False
        return slices
