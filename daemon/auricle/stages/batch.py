"""Many sources at once: equal stages of several sources, each step computed in one call for all of them.

What one call costs besides its arithmetic is the larger part of a live source's cost, which brings a few frames at a
time. Stages without memory take the rows of all sources as if they were one's, since no row's bits depend on its
neighbours. A stage with memory may say how several of its kind go together (`Together`); where it does not, or where
their memories differ in shape, each is asked in turn. No bit of a source's result depends on who shares its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from auricle.stages.stage import Block, Pipeline, RowStage, Stage

FRAMES = 64
"""Frames computed at once at most, of all sources together: beyond it they fall out of the cache."""


class Together(Protocol):
    """What a stage with memory may have as ``together``, a static method: several of its kind asked in one call."""

    def __call__(self, stages: Sequence[Any], blocks: Block) -> Block | None:
        """Take ``(sources, n, *item)``, give ``(sources, k, *item)``; ``None``, and nothing done, where that cannot
        be."""


def chain(stage: Stage) -> list[Stage]:
    """The stages of which a stage is made, one after the other."""
    if isinstance(stage, Pipeline):
        return [single for inner in stage.stages for single in chain(inner)]
    return [stage]


class Group:
    """Equal chains of stages of several sources, each step asked in one call.

    Args:
        chains: one a source, built with equal parameters.
    """

    def __init__(self, chains: Sequence[Sequence[Stage]]) -> None:
        self._chains = chains
        self._steps: list[tuple[tuple[Stage, ...], bool, Together | None]] = []
        for stages in zip(*chains, strict=True):
            together = getattr(stages[0], "together", None) if len(chains) > 1 else None
            self._steps.append((stages, isinstance(stages[0], RowStage), together))

    def process(self, blocks: Block) -> list[Block]:
        """Each source's block through its own chain: ``(sources, n, *item)`` to a ``(k, *item)`` each."""
        for depth, (stages, by_row, together) in enumerate(self._steps):
            if by_row:
                rows = stages[0].process(blocks.reshape(-1, *blocks.shape[2:]))
                blocks = rows.reshape(*blocks.shape[:2], *rows.shape[1:])
            elif together is not None and (given := together(stages, blocks)) is not None:
                blocks = given
            else:
                outs = [stage.process(block) for stage, block in zip(stages, blocks, strict=True)]
                if len({len(out) for out in outs}) > 1:
                    return self._part(outs, depth + 1)
                blocks = _stack(outs)
        return list(blocks)

    def _part(self, blocks: list[Block], depth: int) -> list[Block]:
        """Sources that stand differently within a hop: from here on, those that stand alike go together."""
        alike: dict[int, list[int]] = {}
        for i, block in enumerate(blocks):
            alike.setdefault(len(block), []).append(i)
        for members in alike.values():
            part = Group([self._chains[i][depth:] for i in members])
            for i, out in zip(members, part.process(_stack([blocks[i] for i in members])), strict=True):
                blocks[i] = out
        return blocks


def _stack(blocks: Sequence[Block]) -> Block:
    """`np.stack` in a third of its time."""
    return np.concatenate(blocks).reshape(len(blocks), *blocks[0].shape)
