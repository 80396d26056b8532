"""Many sources at once: equal stages of several sources, each step computed in one call for all of them.

What one call costs besides its arithmetic is the larger part of a live source's cost, which brings a few frames at a
time. So all that is heard goes through a `Group`, a single source as a group of one: there is no second way. Stages
without memory take the rows of all sources as if they were one's; of stages with memory, those that stand alike take a
step together; others are asked each in turn. No bit of a source's result depends on who is in its group: this is the
law *batch* of `auricle.stages.stage`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from auricle.stages.stage import BatchStage, Block, Pipeline, RowStage, Stage, joined

FRAMES = 64
"""Frames computed at once at most, of all sources together: beyond it they fall out of the cache."""


def chain(stage: Stage) -> list[Stage]:
    """Return the stages of which a stage is made, one after the other."""
    if isinstance(stage, Pipeline):
        return [single for inner in stage.stages for single in chain(inner)]
    return [stage]


def stacked(blocks: Sequence[Block]) -> Block:
    """Join blocks of equal shape to ``(sources, *shape)``, in a third of the time of `np.stack`; a single one is not
    copied."""
    return blocks[0][None] if len(blocks) == 1 else np.concatenate(blocks).reshape(len(blocks), *blocks[0].shape)


class Group:
    """Runs equal chains of stages of several sources, each step in one call.

    Args:
        chains: one a source, built with equal parameters.
    """

    def __init__(self, chains: Sequence[Sequence[Stage]]) -> None:
        self._chains = chains
        self._steps: list[tuple[int, Sequence[Any], BatchStage[Any] | None, Callable[[Block], Block] | None]] = []
        """Each step: how deep in the chains it ends; the stages that take it, one a source; the first of these stages,
        if they can take it together. Row stages have a call instead, since their rows may be anybody's: one call for
        all row stages that follow each other."""
        calls: list[Callable[[Block], Block]] = []
        for depth, stages in enumerate(zip(*chains, strict=True)):
            if isinstance(stages[0], RowStage):
                calls.append(stages[0].process)
                if len(calls) > 1:
                    self._steps.pop()
                self._steps.append((depth + 1, (), None, _of_rows(tuple(calls))))
            else:
                calls = []
                self._steps.append((depth + 1, stages, stages[0] if isinstance(stages[0], BatchStage) else None, None))

    def process(self, blocks: Block) -> Iterable[Block]:
        """Run each source's block through its own chain: ``(sources, n, *item)`` to a ``(k, *item)`` each."""
        for depth, stages, first, call in self._steps:
            if call is not None:
                blocks = call(blocks)
                continue
            if first is not None:
                memory = first.memory
                if memory.whole is stages or (memory := joined(stages)) is not None:
                    blocks = first.step(memory, blocks)
                    continue
            outs = _apart(stages, blocks)
            if len({len(out) for out in outs}) > 1:
                return self._part(outs, depth)
            blocks = stacked(outs)
        return blocks

    def _part(self, blocks: list[Block], depth: int) -> list[Block]:
        """Go on apart from the step at which sources stand differently within a hop: those that stand alike go
        together."""
        alike: dict[int, list[int]] = {}
        for i, block in enumerate(blocks):
            alike.setdefault(len(block), []).append(i)
        for members in alike.values():
            part = Group([self._chains[i][depth:] for i in members])
            for i, out in zip(members, part.process(stacked([blocks[i] for i in members])), strict=True):
                blocks[i] = out
        return blocks


def _of_rows(calls: Sequence[Callable[[Block], Block]]) -> Callable[[Block], Block]:
    """Return a call that runs row stages one after the other, on the rows of all sources at once."""

    def call(blocks: Block) -> Block:
        alone = len(blocks) == 1  # then its rows need not be put together, nor taken apart again
        rows = blocks[0] if alone else blocks.reshape(-1, *blocks.shape[2:])
        for call in calls:
            rows = call(rows)
        return rows[None] if alone else rows.reshape(*blocks.shape[:2], *rows.shape[1:])

    return call


def _apart(stages: Sequence[Any], blocks: Block) -> list[Block]:
    """Take a step that not all sources can take together: those that stand alike do, and stages that know no joint step
    are asked one by one."""
    if not isinstance(stages[0], BatchStage):
        return [stage.process(block) for stage, block in zip(stages, blocks, strict=True)]
    alike: dict[Hashable, list[int]] = {}
    for i, stage in enumerate(stages):
        alike.setdefault(stage.own().standing, []).append(i)
    outs = list(blocks)
    for members in alike.values():
        some = tuple([stages[i] for i in members])
        for i, out in zip(members, some[0].step(joined(some), blocks[members]), strict=True):
            outs[i] = out
    return outs
