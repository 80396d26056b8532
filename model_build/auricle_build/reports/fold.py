"""This is what was measured on one fold of a cross-validation, and on all folds joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle_build.judge.alarms import Quiet
from auricle_build.judge.evaluate import Judgement


@dataclass(frozen=True)
class Fold:
    """Holds what was measured on one fold: clip scores, float, int8 and int8 behind the gate, and false alarms by
    set."""

    fold: int
    steps: int
    whole: Judgement
    int8: Judgement
    gated: Judgement
    quiet: Quiet

    def save(self, path: Path) -> None:
        """Keep the fold beside the checkpoint, so that a report can be written again."""
        np.savez(
            path,
            fold=self.fold,
            steps=self.steps,
            truth=self.int8.truth,
            whole=self.whole.scores,
            int8=self.int8.scores,
            gated=self.gated.scores,
            gated_truth=self.gated.truth,
            **self.quiet.arrays(),
        )

    @classmethod
    def load(cls, path: Path, labels: Sequence[str], background: str | None) -> Fold:
        """Load what :meth:`save` kept; windows are not among it."""
        with np.load(path) as stored:
            whole, int8 = (Judgement(labels, background, stored["truth"], stored[k], ()) for k in ("whole", "int8"))
            gated = Judgement(labels, background, stored["gated_truth"], stored["gated"], ())
            return cls(int(stored["fold"]), int(stored["steps"]), whole, int8, gated, Quiet.of_arrays(stored))


def merged(judgements: Sequence[Judgement]) -> Judgement:
    """Join all folds' clips: every clip judged once, by a model that never saw its source."""
    first = judgements[0]
    truth = np.concatenate([j.truth for j in judgements])
    scores = np.concatenate([j.scores for j in judgements])
    return Judgement(first.labels, first.background, truth, scores, ())
