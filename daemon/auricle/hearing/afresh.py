"""Recordings heard one after the other, each from the same stated beginning: the loop of `classify` and `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from auricle.gate import NoiseGate
from auricle.stages.stage import Block, Stage


class Afresh:
    """Runs stages over one recording after another; what one has left behind is put back before the next.

    So no result depends on which recordings came before, nor on how many workers share them.

    Args:
        stages: what the samples go through.
        gate: the noise gate among the stages, if there is one; every recording begins with what it has learned now.
    """

    def __init__(self, stages: Stage, gate: NoiseGate | None) -> None:
        self._stages, self._gate = stages, gate
        self._learned: Mapping[str, ArrayLike] = {} if gate is None else gate.learned

    def hear(
        self,
        blocks: Iterable[Block],
        *,
        at_least: int = 0,
        learned: Mapping[str, ArrayLike] | None = None,
    ) -> tuple[Block, int]:
        """Run one recording through the stages.

        Args:
            blocks: its samples ``(n,)``, block by block.
            at_least: samples: a recording that has fewer is repeated until it has so many, as a model was trained.
            learned: what the gate begins with in place of what it had learned at first.

        Returns:
            what the stages gave, ``(k, ...)``, and the recording's samples, repetitions not counted.
        """
        self._stages.reset()
        if self._gate is not None:
            self._gate.learned = self._learned if learned is None else learned
        # An empty block first: where no sound follows, what it gives has the right shape.
        rows = [self._stages.process(np.empty(0, np.float32))]
        head: list[Block] = []
        samples = 0
        for block in blocks:
            if samples < at_least:
                head.append(block)
            samples += len(block)
            rows.append(self._stages.process(block))
        if 0 < samples < at_least:
            rows.append(self._stages.process(np.resize(np.concatenate(head), at_least)[samples:]))
        return np.concatenate(rows), samples
