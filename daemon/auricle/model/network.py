"""The whole-window network runs here, and values become its int8."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.model import litert
from auricle.model.card import Affine, Card

_LOWEST, _HIGHEST = np.array(-128, np.float32), np.array(127, np.float32)


def quantise(rows: NDArray[np.float32], affine: Affine) -> NDArray[np.int8]:
    """Round values to int8, saturating at the ends, never wrapping."""
    q = rows * np.float32(1.0 / affine.scale)
    np.rint(q, out=q)
    q += np.float32(affine.zero_point)
    np.maximum(q, _LOWEST, out=q)
    np.minimum(q, _HIGHEST, out=q)
    return q.astype(np.int8)


def dequantise(q: NDArray[np.int8], affine: Affine) -> NDArray[np.float32]:
    """Return the values that int8 stand for."""
    return (q.astype(np.float32) - np.float32(affine.zero_point)) * np.float32(affine.scale)


class Network:
    """Runs the whole-window network: quantised windows in, quantised scores out, one by one.

    Args:
        card: what the model says of itself.
        content: of ``model.tflite``.
        where: how to name the file in errors.

    Raises:
        ModelError: the graph is not what the card says.
    """

    def __init__(self, card: Card, content: bytes, where: str) -> None:
        try:
            self._interpreter = litert.load(content)
            self._embedding = (
                None if card.embedding is None else litert.output(self._interpreter, card.embedding.output)
            )
        except ModelError as e:
            raise ModelError(f"{where}: {e}") from None
        inp, *more_in = self._interpreter.get_input_details()
        aside = None if self._embedding is None else self._embedding["index"]
        others = [tensor for tensor in self._interpreter.get_output_details() if tensor["index"] != aside]
        if more_in or len(others) != 1:
            remedy = "name an embedding in the card if there is one" if self._embedding is None else "besides it"
            raise ModelError(
                f"{where}: takes {1 + len(more_in)} and gives {len(others)} tensors; use one of each, {remedy}"
            )
        (out,) = others
        tensors: list[tuple[dict[str, Any], Affine]] = [(inp, card.quantisation.input), (out, card.quantisation.output)]
        if self._embedding is not None and card.embedding is not None:
            tensors.append((self._embedding, card.embedding))
            if (size := int(np.prod(self._embedding["shape"]))) != card.embedding.size:
                raise ModelError(f"{where}: gives an embedding of {size}; the card says {card.embedding.size}")
        for tensor, affine in tensors:
            scale, zero_point = tensor["quantization"]
            if tensor["dtype"] is not np.int8:
                raise ModelError(f"{where}: tensor {tensor['name']!r} is {np.dtype(tensor['dtype'])}; use int8")
            if not np.isclose(scale, affine.scale, rtol=1e-6) or zero_point != affine.zero_point:
                raise ModelError(
                    f"{where}: tensor {tensor['name']!r} is quantised with scale {scale:.6g}, zero point {zero_point}; "
                    f"the card says {affine.scale:.6g}, {affine.zero_point}"
                )
        items_in = tuple(int(n) for n in inp["shape"] if n != 1)
        if items_in != tuple(card.input.shape):
            raise ModelError(f"{where}: takes windows of {items_in}; the card says {tuple(card.input.shape)}")
        if int(np.prod(out["shape"])) != len(card.labels):
            raise ModelError(
                f"{where}: gives {int(np.prod(out['shape']))} scores; the card names {len(card.labels)} labels"
            )
        self._in, self._out, self._shape = inp["index"], out["index"], tuple(inp["shape"])

    def __call__(self, window: NDArray[np.int8]) -> NDArray[np.int8]:
        """Score one window ``(frames, features)``: ``(n_labels,)``."""
        self._interpreter.set_tensor(self._in, np.ascontiguousarray(window).reshape(self._shape))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._out)).reshape(-1)

    def with_embedding(self, window: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Give the scores ``(n_labels,)`` and the embedding ``(size,)`` of one window, both from one run of the
        network.

        Raises:
            ModelError: the model has no embedding.
        """
        if self._embedding is None:
            raise ModelError("the model has no embedding: its card names no second output")
        scores = self(window)
        return scores, np.asarray(self._interpreter.get_tensor(self._embedding["index"])).reshape(-1)
