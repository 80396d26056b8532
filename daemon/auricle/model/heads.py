"""Heads are labels of somebody's own: each is one row of weights upon the embedding that the network gives beside its
scores.

They stand behind the graph and not in it, so that there is one network, whose own scores no head can change. Weights
and embeddings are whole numbers, and so are their products' sums: in every order, and with whatever a machine has for
it, they come to the same bits, where a sum of floats would hang on its order.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError, StoredError
from auricle.model.card import Card
from auricle.model.network import HIGHEST
from auricle.stored import arrays
from auricle.stored.arrays import Member

_MEMBERS = {
    "weights": Member("i", 2),
    "steps": Member("f", 1),
    "biases": Member("f", 1),
    "embeddings": Member("i", 2),
    "scores": Member("f", 2),
}
_MOST_BYTES = 16 * 2**20
_STEEPEST = 80.0
_NEAR = 1e-6
"""Exponentials of two machines may differ by so much of a score."""
_WEIGHT = 32_767
_LARGEST = 1e6
"""No number of heads is larger."""


@dataclass(frozen=True)
class Heads:
    """Scores the embedding of a window by one row of weights a label.

    Args:
        weights: ``(n_heads, size)`` int16.
        steps: ``(n_heads,)`` float64, what a unit of a product stands for in logits.
        biases: ``(n_heads,)`` float64, the logit of an embedding of int8 zeros.
        embeddings: ``(k, size)`` int8, the golden ones: first those of the bundle's golden windows.
        scores: ``(k, n_heads)`` float32, the answers to them.
    """

    weights: NDArray[np.int16]
    steps: NDArray[np.float64]
    biases: NDArray[np.float64]
    embeddings: NDArray[np.int8]
    scores: NDArray[np.float32]

    @cached_property
    def _wide(self) -> NDArray[np.int64]:
        return self.weights.astype(np.int64)

    def __call__(self, embedding: NDArray[np.int8]) -> NDArray[np.float32]:
        """Return the scores ``(n_heads,)`` of one embedding ``(size,)``, from 0 to below 1."""
        sums = self._wide @ embedding.astype(np.int64)
        logits = sums * self.steps + self.biases
        # One by one: a vector's last exponentials are rounded in another way than those before them on some machines.
        given = [1 / (1 + math.exp(-min(max(logit, -_STEEPEST), _STEEPEST))) for logit in logits.tolist()]
        return np.minimum(np.array(given, np.float32), HIGHEST)


def on_a_grid(weights: NDArray[np.float64]) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Return weights ``(n_heads, size)`` as whole numbers, and the step of each head's grid."""
    steps = np.maximum(np.abs(weights).max(axis=1), 1e-12) / _WEIGHT
    return np.rint(weights / steps[:, None]).astype(np.int16), steps


def packed(heads: Heads) -> bytes:
    """Return the content of a file that `read` reads."""
    file = io.BytesIO()
    np.savez_compressed(file, **{name: getattr(heads, name) for name in _MEMBERS})
    return file.getvalue()


def read(where: str, content: bytes, card: Card) -> Heads:
    """Return the heads of a file.

    Args:
        where: names it in errors.
        content: of the file.
        card: of the bundle, which names their labels.

    Raises:
        ModelError: they are not what the card says, or do not give their own golden scores.
    """
    assert card.heads is not None
    assert card.embedding is not None
    try:
        held = arrays.read(where, content, _MEMBERS, _MOST_BYTES)
    except StoredError as e:
        raise ModelError(f"{e}; not heads") from None
    n, size, k = len(card.heads.labels), card.embedding.size, len(held["embeddings"])
    shapes = {"weights": (n, size), "steps": (n,), "biases": (n,), "embeddings": (k, size), "scores": (k, n)}
    for name, shape in shapes.items():
        if held[name].shape != shape:
            raise ModelError(f"{where}: {name} of shape {held[name].shape}; the card makes it {shape}")
        if not (np.abs(held[name].astype(np.float64)) <= _LARGEST).all():
            raise ModelError(f"{where}: {name} that are no numbers, or too large; teach the label again")
    if held["weights"].dtype != np.int16 or held["embeddings"].dtype != np.int8 or not k:
        raise ModelError(f"{where}: weights must be int16, golden embeddings int8, and there must be some")
    heads = Heads(**{name: np.ascontiguousarray(array) for name, array in held.items()})
    if _furthest(heads, heads.embeddings) > _NEAR:
        raise ModelError(f"{where}: its golden embeddings are not scored as they were; teach the label again")
    return heads


def check_trunk(where: str, heads: Heads, embeddings: Sequence[NDArray[np.int8]], steps: int) -> None:
    """Refuse a network that gives embeddings other than those which the heads were taught on.

    Args:
        where: names the file of the heads.
        heads: with what they made of the golden windows when they were taught.
        embeddings: of the golden windows, as this machine's network gives them.
        steps: 256ths of a score that machines may differ by.

    Raises:
        ModelError: a score differs by more.
    """
    if len(embeddings) > len(heads.embeddings):
        raise ModelError(f"{where}: holds no answers to the golden windows; teach the label again")
    if (off := 256 * _furthest(heads, embeddings)) > steps:
        raise ModelError(
            f"{where}: the golden windows are scored otherwise than where it was taught, off by {off:.3g} steps; "
            "teach the label again"
        )


def _furthest(heads: Heads, embeddings: Any) -> float:
    """Return how far the scores of embeddings are at most from the golden ones in the same places."""
    given = [heads(embedding) for embedding in embeddings]
    return max((float(np.abs(one - wanted).max()) for one, wanted in zip(given, heads.scores, strict=False)), default=0)
