"""The whole-window network is run here, whatever its types and the order of its axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.model import litert
from auricle.model.card import WAVEFORM, Affine, Card

_ENDS = {"int8": (-128.0, 127.0), "uint8": (0.0, 255.0)}
HIGHEST = np.nextafter(np.float32(1), np.float32(0))
"""No score is higher, so that a threshold of 1 silences a label of every network, as it does where scores end at
255/256."""
_STEEPEST = np.float32(80.0)
"""Logits are cut at this: what lies beyond is 0 or 1 in float32, and its exponential none that float32 holds."""


def quantise(rows: NDArray[np.float32], affine: Affine, dtype: str = "int8") -> NDArray[Any]:
    """Turn values into int8 or uint8, saturating at the ends, never wrapping; as float32 they stay what they are."""
    if dtype == "float32":
        return rows
    lowest, highest = _ENDS[dtype]
    q = rows * np.float32(1.0 / affine.scale)
    np.rint(q, out=q)
    q += np.float32(affine.zero_point)
    np.maximum(q, np.float32(lowest), out=q)
    np.minimum(q, np.float32(highest), out=q)
    return q.astype(dtype)


def dequantise(q: NDArray[Any], affine: Affine) -> NDArray[np.float32]:
    """Return what quantised values stand for."""
    return (q.astype(np.float32) - np.float32(affine.zero_point)) * np.float32(affine.scale)


def scores_of(given: NDArray[Any], card: Card) -> NDArray[np.float32]:
    """Return what the network gave of one window, ``(n_labels,)``, as scores from 0 to `HIGHEST`; all NaN where one of
    them is no finite number.

    One window at a time: the vector units of some machines round the last few values of an array in another way than
    those before, so that a score would depend on how many windows lie beside its own.
    """
    if card.output.dtype == "float32":
        values = given
        if not np.isfinite(values).all():
            return np.full(values.shape, np.nan, np.float32)
    else:
        values = dequantise(given, card.quantisation.output)
    if not card.output.logits:
        return np.asarray(np.clip(values, np.float32(0), HIGHEST))
    if card.head == "softmax":
        powers = np.exp(values - values.max())
        scores = powers / powers.sum()
    else:
        scores = 1 / (1 + np.exp(-np.clip(values, -_STEEPEST, _STEEPEST)))
    return np.asarray(np.minimum(scores, HIGHEST), np.float32)


class Network:
    """Runs the whole-window network: it takes windows of the input's type, one by one, and gives what the output's type
    says of their scores.

    A graph that keeps state in variables of its own remembers the windows that this object was called with.

    Args:
        card: what the model says of itself.
        content: the bytes of ``model.tflite``.
        where: how to name the file in errors.

    Raises:
        ModelError: the graph is not what the card says.
    """

    def __init__(self, card: Card, content: bytes, where: str) -> None:
        self._n_scores, self._where = card.n_scores, where
        try:
            self._interpreter = litert.load(content, size=int(np.prod(card.input.shape)))
            self._embedding = (
                None if card.embedding is None else litert.output(self._interpreter, card.embedding.output)
            )
            out = None if card.output.tensor is None else litert.output(self._interpreter, card.output.tensor)
        except ModelError as e:
            raise ModelError(f"{where}: {e}") from None
        inp, *more_in = self._interpreter.get_input_details()
        aside = None if self._embedding is None else self._embedding["index"]
        others = [tensor for tensor in self._interpreter.get_output_details() if tensor["index"] != aside]
        if more_in or (out is None and len(others) != 1):
            remedy = "name an embedding in the card if there is one" if self._embedding is None else "besides it"
            raise ModelError(
                f"{where}: takes {1 + len(more_in)} and gives {len(others)} tensors; use one of each, {remedy}"
            )
        out = others[0] if out is None else out
        checked = [
            (inp, card.quantisation.input, card.input.dtype),
            (out, card.quantisation.output, card.output.dtype),
        ]
        if self._embedding is not None and card.embedding is not None:
            checked.append((self._embedding, card.embedding, "int8"))
            if (size := int(np.prod(self._embedding["shape"]))) != card.embedding.size:
                raise ModelError(f"{where}: gives an embedding of {size}; the card says {card.embedding.size}")
        for tensor, affine, dtype in checked:
            _check_type(tensor, affine, dtype, where)
        self._arranged = _arranged(card, tuple(int(n) for n in inp["shape"]), where)
        self._in, self._out = inp["index"], out["index"]
        if -1 in out.get("shape_signature", ()) and not card.keeps_state:
            self._interpreter.invoke()  # only then its extent is known
        if (n := int(np.prod(self._interpreter.get_tensor(self._out).shape))) != self._n_scores:
            raise ModelError(f"{where}: gives {n} scores; the card names {self._n_scores} labels")

    def __call__(self, window: NDArray[Any]) -> NDArray[Any]:
        """Return what the network says ``(n_scores,)`` of one window ``(frames, features)``, as its output's type has
        it."""
        self._interpreter.set_tensor(self._in, self._arranged(window))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._out)).reshape(-1)

    def with_embedding(self, window: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Return scores ``(n_scores,)`` and embedding ``(size,)`` of one window, both from one run of the network.

        Raises:
            ModelError: the model has no embedding.
        """
        if self._embedding is None:
            raise ModelError("the model has no embedding: its card names no second output")
        scores = self(window)
        return scores, np.asarray(self._interpreter.get_tensor(self._embedding["index"])).reshape(-1)


def _check_type(tensor: dict[str, Any], affine: Affine, dtype: str, where: str) -> None:
    """Refuse a tensor whose type or grid is not the card's."""
    is_type = np.dtype(tensor["dtype"]).name
    if is_type != dtype:
        raise ModelError(f"{where}: tensor {tensor['name']!r} is {is_type}; use {dtype}, or say so in the card")
    scale, zero_point = tensor["quantization"]
    if dtype != "float32" and (not np.isclose(scale, affine.scale, rtol=1e-6) or zero_point != affine.zero_point):
        raise ModelError(
            f"{where}: tensor {tensor['name']!r} is quantised with scale {scale:.6g}, zero point {zero_point}; "
            f"the card says {affine.scale:.6g}, {affine.zero_point}"
        )


def _arranged(card: Card, shape: tuple[int, ...], where: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return how a window of rows ``(frames, features)`` becomes the graph's input of this shape.

    Raises:
        ModelError: the graph takes other windows than the card says.
    """
    wanted = tuple(card.input.shape)
    across = card.input.kind != WAVEFORM and card.input.layout == "features_frames"
    laid = wanted[::-1] if across else wanted
    extents = [tuple(n for n in each if n != 1) for each in (shape, laid, (int(np.prod(laid)),))]
    if extents[0] not in extents[1:]:
        raise ModelError(f"{where}: takes windows of {extents[0]}; the card says {laid}")
    if card.input.kind == WAVEFORM:
        # Rows are whole hops: what is more than the window is the oldest.
        return lambda window: np.ascontiguousarray(window).reshape(-1)[-wanted[0] :].reshape(shape)
    if across:
        return lambda window: np.ascontiguousarray(window.T).reshape(shape)
    return lambda window: np.ascontiguousarray(window).reshape(shape)
