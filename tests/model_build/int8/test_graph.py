"""The two graphs of a bundle are one network: the same bits, however the frames come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.errors import ConfigError

pytest.importorskip("tensorflow", reason="missing here: the build extra")

from ai_edge_litert.interpreter import Interpreter

from auricle_build.grammar import trunk
from auricle_build.grammar.kinds import Layer
from auricle_build.int8 import graph, quantise

LAYERS = [
    Layer("conv", (4, 4), (2, 2), 8),
    Layer("separable", (3, 3), (2, 1), 8),
    Layer("separable", (3, 3), (1, 1), 8),
    Layer("separable", (5, 3), (1, 1), 12),
    Layer("conv", (1, 3), (1, 1), 12),
    Layer("separable", (5, 1), (1, 1), 12),
]
N_FEATURES = 20
Int8 = NDArray[np.int8]


def model() -> quantise.Quantised:
    """A small network of every kind of layer, with weights that keep its values inside the grids."""
    import tensorflow as tf

    ops = trunk.plan(LAYERS, N_FEATURES)
    rng = np.random.default_rng(3)
    weights = []
    for op in ops:
        fan_in = int(np.prod(op.kernel)) * (1 if op.kind == "depthwise" else op.n_in)
        w = (rng.standard_normal(op.shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)
        weights.append((w / np.float32(1 if weights else 25), rng.normal(0, 0.1, op.n_out).astype(np.float32)))
    head = 0.2 * rng.standard_normal((1, 1, 12, 5))
    weights.append((head.astype(np.float32), np.zeros(5, np.float32)))
    seen: dict[tuple[str, int], tuple[float, float]] = {}

    def watch(place: str, i: int, x: Any) -> Any:
        low, high = seen.get((place, i), (0.0, 0.0))
        seen[place, i] = min(low, float(tf.reduce_min(x))), max(high, float(tf.reduce_max(x)))
        return x

    x = tf.constant(rng.normal(-40, 20, (8, trunk.reach(ops, 6).window_frames, N_FEATURES)).astype(np.float32))
    quantise.forward(ops, weights, x, watch, fake=False)
    grid = quantise.over
    return quantise.Quantised(
        tuple(ops),
        6,
        "softmax",
        weights,
        grid(-98.0, 29.5),
        [grid(*seen["before", i]) if op.skip is not None else None for i, op in enumerate(ops)],
        [grid(*seen["after", i]) for i in range(len(ops))],
        grid(*seen["logits", 0]),
    )


def whole_scores(content: bytes, rows: Int8, hop: int) -> Int8:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    span = int(source["shape"][1])
    out = []
    for begin in range(0, len(rows) - span + 1, hop):
        interpreter.set_tensor(source["index"], rows[begin : begin + span].reshape(source["shape"]))
        interpreter.invoke()
        out.append(interpreter.get_tensor(target["index"]).reshape(-1))
    return np.stack(out)


def stream_scores(content: bytes, states: Sequence[graph.StateTensor], sources: Int8, cuts: Sequence[int]) -> Int8:
    """Scores of every column ``(sources, columns, labels)``, the frames given in calls of the sizes ``cuts``."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    kept = {s.input: np.full((len(sources), *s.shape[1:]), s.zero_point, np.int8) for s in states}
    out, begin = [], 0
    for n in cuts:
        inputs = {d["name"]: d["index"] for d in interpreter.get_input_details()}
        interpreter.resize_tensor_input(inputs["features"], (len(sources), n, sources.shape[2], 1))
        for name, value in kept.items():
            interpreter.resize_tensor_input(inputs[name], value.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(inputs["features"], sources[:, begin : begin + n, :, None])
        for name, value in kept.items():
            interpreter.set_tensor(inputs[name], value)
        interpreter.invoke()
        outputs = {d["name"]: d["index"] for d in interpreter.get_output_details()}
        out.append(interpreter.get_tensor(outputs["scores"])[:, :, 0])
        kept = {s.input: interpreter.get_tensor(outputs[s.output]) for s in states}
        begin += n
    return np.concatenate(out, axis=1)


@pytest.fixture(scope="module")
def graphs() -> tuple[bytes, bytes, list[graph.StateTensor], trunk.Reach]:
    made = model()
    streamed, states = graph.stateful(made, "test", N_FEATURES)
    return graph.whole(made, "test", N_FEATURES), streamed, states, trunk.reach(made.ops, made.columns)


@pytest.mark.parametrize("seed", range(4))
def test_stream_gives_the_bits_of_the_whole_window(graphs: Any, seed: int) -> None:
    """For random cuts and several sources in one batch, every column's score is that of its window, bit for bit."""
    content, streamed, states, shape = graphs
    rng = np.random.default_rng(seed)
    cuts = [shape.stride_frames * int(n) for n in rng.integers(1, 30, 12)]
    n_sources = 1 + seed
    sources = rng.integers(-128, 128, (n_sources, sum(cuts), N_FEATURES)).astype(np.int8)
    found = stream_scores(streamed, states, sources, cuts)
    first = shape.window_frames // shape.stride_frames - 1
    for source, scores in zip(sources, found, strict=True):
        whole = whole_scores(content, source, shape.stride_frames)
        assert len(np.unique(whole, axis=0)) > len(whole) // 2
        np.testing.assert_array_equal(scores[first:], whole, strict=True)


def test_states_begin_at_their_zero_points(graphs: Any) -> None:
    """A reset is nothing but the zero points again: the same frames give the same scores, warm-up included."""
    _, streamed, states, shape = graphs
    rng = np.random.default_rng(9)
    frames = rng.integers(-128, 128, (1, shape.window_frames * 2, N_FEATURES)).astype(np.int8)
    one = stream_scores(streamed, states, frames, [shape.window_frames * 2])
    other = stream_scores(
        streamed, states, frames, [shape.stride_frames] * (2 * shape.window_frames // shape.stride_frames)
    )
    np.testing.assert_array_equal(one, other, strict=True)


def test_int8_follows_float(graphs: Any) -> None:
    """The quantised scores stay near the float network's: within 0.1 on random windows."""
    import tensorflow as tf

    made = model()
    _, _, _, shape = graphs
    x = np.random.default_rng(4).normal(-40, 20, (6, shape.window_frames, N_FEATURES)).astype(np.float32)
    logits = quantise.forward(made.ops, made.weights, tf.constant(x), lambda place, i, t: t, fake=False)[:, 0]
    q = np.clip(np.rint(x / made.source.scale) + made.source.zero_point, -128, 127).astype(np.int8)
    int8 = np.stack([whole_scores(graphs[0], window, 1)[0] for window in q])
    np.testing.assert_allclose((int8.astype(np.float32) + 128) / 256, tf.nn.softmax(logits).numpy(), atol=0.1)


def test_geometry_refuses_what_cannot_stream() -> None:
    """A plan whose columns would lose the phase of their strides is refused; bands must end at one."""
    with pytest.raises(ConfigError, match="multiple"):
        trunk.reach(trunk.plan([Layer("conv", (3, 20), (2, 1), 4)], 20), 4)
    with pytest.raises(ConfigError, match="bands are left"):
        trunk.plan([Layer("conv", (4, 4), (2, 2), 4)], 20)
