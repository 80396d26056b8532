"""TensorFlow's own converter makes plain post-training int8 here, for networks that run on whole windows."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from auricle.model.card import Affine

SCORES, EMBEDDING = "scores", "embedding"
"""The names of the outputs in the graph's signature."""


def converted(outputs: Callable[[Any], tuple[Any, Any]], shape: Sequence[int], examples: Iterable[Any]) -> bytes:
    """Convert a network to a TFLite graph of one window, int8 in and out.

    Args:
        outputs: rows ``(1, window_frames, n_features)`` to scores ``(1, n_labels)`` and embedding ``(1, n)``. Both are
            made in one conversion, so that there is one trunk and one set of ranges.
        shape: ``(window_frames, n_features)``.
        examples: rows ``(window_frames, n_features)`` float32 that the ranges are taken from.
    """

    specified = tf.TensorSpec([1, *shape], tf.float32, name="rows")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        # Variables become constants before anything else: the converter would keep some of them as variables.
        frozen = convert_variables_to_constants_v2(tf.function(outputs).get_concrete_function(specified))

        def window(rows: Any) -> dict[str, Any]:
            return dict(zip((SCORES, EMBEDDING), frozen(rows), strict=True))

        module = tf.Module()
        module.window = tf.function(window, input_signature=[specified])
        # By way of a saved model: only then does the graph have a signature, and its outputs names.
        tf.saved_model.save(module, folder, signatures=module.window.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([example[None]] for example in examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())


class Converted:
    """Runs a converted graph window by window, with the grids of its tensors.

    Args:
        content: as :func:`converted` gives it.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._run = self._interpreter.get_signature_runner()
        (rows,) = self._run.get_input_details().values()
        told = self._run.get_output_details()
        self.rows = _grid(rows)
        self.scores, self.embedding = _grid(told[SCORES]), _grid(told[EMBEDDING])
        self.size = int(told[EMBEDDING]["shape"][-1])
        """How many numbers the embedding has."""

    def __call__(self, rows: Any) -> Any:
        """Return the scores ``(n_labels,)`` int8 of a window ``(window_frames, n_features)`` float32."""
        grid = self.rows
        q = np.clip(np.rint(rows / np.float32(grid.scale)) + grid.zero_point, -128, 127).astype(np.int8)
        return self._run(rows=q[None])[SCORES][0]


def _grid(details: Any) -> Affine:
    scale, zero_point = details["quantization"]
    return Affine(float(scale), int(zero_point))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's chatter, much of it written in C++, off standard error; its errors are exceptions."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
