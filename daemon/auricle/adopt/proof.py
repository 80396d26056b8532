"""A recording of a known sound proves a front end and the order of the labels, or shows that they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.adopt.labels import Labels
from auricle.errors import AudioError, ModelError
from auricle.hearing.whole import Classifier
from auricle.model.bundle import Bundle

BEST = 3
"""The label must be among so many of the highest; where labels are few, among the higher half of them."""
LEAST_SHARE = 0.1
"""It must have so much of the highest score: a second place at nothing is no proof."""


@dataclass(frozen=True)
class Proof:
    """Tells what a network hears in a recording.

    Args:
        best: the highest labels with their scores, highest first.
        held: whether the label that it should be is among them.
    """

    best: list[tuple[str, float]]
    held: bool

    def __str__(self) -> str:
        return ", ".join(f"{name} {score:.2f}" for name, score in self.best)


def highest(bundle: Bundle, clip: Path) -> NDArray[np.float32]:
    """Return the highest score of each label over a recording, ``(n_labels,)``.

    Raises:
        ModelError: it cannot be heard.
    """
    try:
        scores, _, _ = Classifier(bundle, config.Decision(), config.Gate()).scores(str(clip))
    except AudioError as e:
        raise ModelError(str(e)) from None
    return np.asarray(scores.max(axis=0))


def proof(scores: NDArray[np.float32], names: Sequence[str], wanted: int) -> Proof:
    """Return whether a label is among the best, and heard at all beside the highest.

    Args:
        scores: one for each name.
        wanted: the place of the label among the names.
    """
    order = np.argsort(-scores, kind="stable")
    best = order[: max(1, min(BEST, len(names) // 2))]
    heard = scores[wanted] > 0 and scores[wanted] >= LEAST_SHARE * scores[order[0]]
    return Proof([(names[i], float(scores[i])) for i in order[:BEST]], bool(wanted in best and heard))


def order_of(scores: NDArray[np.float32], labels: Labels, name: str) -> tuple[Proof, Proof]:
    """Return the proof with labels in the order of their file, and in that of the alphabet.

    Raises:
        ModelError: there is no such label.
    """
    proofs = []
    for each in (labels, labels.in_order()):
        at = each.at(name)
        if at is None:
            raise ModelError(f"--is: {name!r} is none of its labels, such as {', '.join(labels.display[:8])}")
        proofs.append(proof(scores, each.display, at))
    return proofs[0], proofs[1]
