"""Several features side by side, each row about the same moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.stages.stage import Block, Stage, reach_of


class Stack:
    """Joins the rows of branches over one input column by column, aligned by what each row is about.

    The branch with the longest lead sets the pace. Every other one passes over the difference in input items before it
    begins, so that row k of all of them is about the same item; the faster rows wait for the slower.

    Args:
        branches: stages of equal ``hop`` that give rows ``(k, n_features)`` float32.

    Shape:
        in ``(n, *item)``, out ``(k, sum of n_features)`` float32.

    Raises:
        ValueError: there is no branch, or the hops differ.
    """

    def __init__(self, branches: Sequence[Stage]) -> None:
        hops = {branch.hop for branch in branches}
        if len(hops) != 1:
            raise ValueError(f"features of hops {sorted(hops)} cannot be stacked; give all of them one hop_length")
        self.branches = tuple(branches)
        (self.hop,) = hops
        self.lead = max(branch.lead for branch in branches)
        self._passed_over = [self.lead - branch.lead for branch in branches]
        self.span = max(d + branch.span for d, branch in zip(self._passed_over, branches, strict=True))
        reaches = [reach_of(branch) for branch in branches]
        further = max((r - b.span for r, b in zip(reaches, branches, strict=True) if r is not None), default=0)
        self.reach = None if None in reaches else self.span + further
        self._skip: list[int]
        self._waiting: list[Block | None]
        self.reset()

    def process(self, block: Block) -> Block:
        """Give the rows that every branch has completed."""
        rows = []
        for i, branch in enumerate(self.branches):
            passed = min(self._skip[i], len(block))
            self._skip[i] -= passed
            new = branch.process(block[passed:])
            waiting = self._waiting[i]
            rows.append(new if waiting is None else np.concatenate((waiting, new)))
        n = min(map(len, rows))
        self._waiting = [part[n:].copy() if len(part) > n else None for part in rows]
        return np.concatenate([part[:n] for part in rows], axis=1)

    def reset(self) -> None:
        """Reset every branch and forget the rows that wait."""
        self._skip = list(self._passed_over)
        self._waiting = [None] * len(self.branches)
        for branch in self.branches:
            branch.reset()
