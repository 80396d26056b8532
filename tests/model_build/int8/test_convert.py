"""A network for whole windows as int8: named outputs, close to float, and nobody is told what the converter thinks."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="missing here: the build extra")

import tensorflow as tf

from auricle_build.int8 import convert

SHAPE = (16, 8)


class Small:
    """A convolution to a hard-swish, its means as embedding, and two labels on them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.kernel = tf.Variable(rng.normal(0.0, 0.3, (3, 3, 1, 6)).astype(np.float32))
        self.labels = tf.Variable(rng.normal(0.0, 1.0, (6, 2)).astype(np.float32))

    def outputs(self, rows: Any) -> tuple[Any, Any]:
        """Scores and embedding of windows."""
        x = tf.nn.conv2d(rows[..., None], self.kernel, 1, "SAME")
        embedding = tf.reduce_mean(x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0), [1, 2])
        return tf.sigmoid(embedding @ self.labels), embedding


@pytest.fixture(scope="module")
def examples() -> Any:
    """Windows of natural log-mel, at many levels."""
    rng = np.random.default_rng(1)
    level = rng.uniform(-6.0, 3.0, (40, 1, 8))
    return (level + rng.normal(0.0, 1.0, (40, *SHAPE))).astype(np.float32)


def test_int8_is_close_to_float_and_its_outputs_have_names(examples: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """`scores` and `embedding` of one graph are, on the windows that its ranges are from, within three of their int8
    steps and a hundredth of float; converting says nothing."""
    made = Small()
    capfd.readouterr()  # TensorFlow greets whoever makes the first variable
    content = convert.converted(made.outputs, SHAPE, examples)
    os.write(2, b"heard again")
    assert tuple(capfd.readouterr()) == ("", "heard again")

    graph = convert.Converted(content)
    runner = graph._interpreter.get_signature_runner()
    assert set(runner.get_input_details()) == {"rows"}
    told = runner.get_output_details()
    assert set(told) == {convert.SCORES, convert.EMBEDDING} == {"scores", "embedding"}
    assert all(details["dtype"] is np.int8 for details in (*told.values(), *runner.get_input_details().values()))
    assert graph.size == 6
    assert (graph.scores.scale, graph.scores.zero_point) == (1 / 256, -128), "a score is a share of 256"

    scores, embedding = (part.numpy() for part in made.outputs(examples))
    assert np.ptp(scores, axis=0).min() > 0.2
    found = np.stack([graph(window) for window in examples]).astype(np.float32)
    assert np.abs((found + 128) / 256 - scores).max() < 3 / 256 + 0.01
    grid = graph.rows
    q = np.clip(np.rint(examples / grid.scale) + grid.zero_point, -128, 127).astype(np.int8)
    raw = np.concatenate([runner(rows=window[None])["embedding"] for window in q]).astype(np.float32)
    close = np.abs((raw - graph.embedding.zero_point) * graph.embedding.scale - embedding)
    assert close.max() < 3 * graph.embedding.scale + 0.01


def test_what_goes_wrong_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """An error of the examples is raised, and standard error is back."""

    def broken() -> Any:
        raise RuntimeError("no example")
        yield

    made = Small()
    capfd.readouterr()
    with pytest.raises(RuntimeError, match="no example"):
        convert.converted(made.outputs, SHAPE, broken())
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
