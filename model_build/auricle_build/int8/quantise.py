"""Full int8 is made here with one set of ranges: calibrated once, held by fake quantisation while the weights settle
into it.

Weights are symmetric per output channel, activations affine per tensor, offsets int32 (Jacob et al. 2018; the TFLite
quantisation specification). The two graphs that ship are written from the same :class:`Quantised`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from auricle.model.card import Affine
from auricle_build.grammar.recipes import StreamingRecipe
from auricle_build.grammar.trunk import Op
from auricle_build.learn.batches import Batch, Batches
from auricle_build.learn.network import Array, Network, convolve, crop
from auricle_build.learn.training import AdamW, learning_rate, losses, prefetched


def over(low: float, high: float) -> Affine:
    """Return the int8 grid over a range; zero is always on it."""
    low, high = min(low, 0.0), max(high, 1e-6)
    # A single-precision scale, as the file holds it: both graphs and the training see the same number.
    scale = float(np.float32((high - low) / 255.0))
    return Affine(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


@dataclass
class Quantised:
    """Holds a folded trunk and head with the ranges of every tensor between.

    Args:
        weights: ``(w, b)`` of every op and of the head, float.
        source: grid of the features.
        before: grid of an op's output before its skip is added, None where there is no skip.
        after: grid of every op's output.
        logits: grid of the head's output.
    """

    ops: tuple[Op, ...]
    columns: int
    head: str
    weights: list[tuple[Array, Array]]
    source: Affine
    before: list[Affine | None]
    after: list[Affine]
    logits: Affine

    def save(self, path: Path) -> None:
        """Keep weights and grids, so that the graphs can be written again without training."""
        grids = [self.source, *self.before, *self.after, self.logits]
        arrays: dict[str, Any] = {f"w{i}": w for i, (w, _) in enumerate(self.weights)}
        arrays |= {f"b{i}": b for i, (_, b) in enumerate(self.weights)}
        arrays["grids"] = np.asarray([(g.scale, g.zero_point) if g else (0.0, 0) for g in grids], np.float64)
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path, ops: Sequence[Op], columns: int, head: str) -> Quantised:
        """Load what :meth:`save` kept."""
        with np.load(path) as stored:
            grids = [Affine(float(s), int(z)) if s else None for s, z in stored["grids"]]
            weights = [(stored[f"w{i}"], stored[f"b{i}"]) for i in range(len(ops) + 1)]
        n = len(ops)
        after = [g for g in grids[1 + n : 1 + 2 * n] if g]
        source, logits = grids[0], grids[-1]
        assert source is not None
        assert logits is not None
        return cls(tuple(ops), columns, head, weights, source, grids[1 : 1 + n], after, logits)


def fake_quantise(x: Any, grid: Affine) -> Any:
    """Round to the grid, with the gradient of a clip: the straight-through estimator (Bengio et al. 2013)."""
    low, high = (-128 - grid.zero_point) * grid.scale, (127 - grid.zero_point) * grid.scale
    x = tf.clip_by_value(x, low, high)
    return x + tf.stop_gradient(tf.round(x / grid.scale) * grid.scale - x)


def weight_scale(w: Array, op_kind: str) -> Array:
    """Return the scale of each output channel."""
    axes = (0, 1, 3) if op_kind == "depthwise" else (0, 1, 2)
    return np.asarray(np.maximum(np.abs(w).max(axis=axes), 1e-8) / 127.0, np.float32)


def _fake_weights(w: Any, op_kind: str) -> Any:
    axes = [0, 1, 3] if op_kind == "depthwise" else [0, 1, 2]
    scale = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(w), axis=axes), 1e-8) / 127.0)
    scale = scale[:, None] if op_kind == "depthwise" else scale
    return w + tf.stop_gradient(tf.round(w / scale) * scale - w)


Watch = Callable[[str, int, Any], Any]


def forward(
    ops: Sequence[Op],
    weights: Sequence[tuple[Any, Any]],
    x: Any,
    watch: Watch,
    fake: bool,
    pool: Callable[[Any], Any] = lambda columns: tf.reduce_mean(columns, axis=1, keepdims=True),
) -> Any:
    """Compute the logits of the folded network; ``watch(place, op, tensor)`` sees, and may replace, every tensor
    between.

    Shape:
        ``(n, pools, n_labels)``: of windows, one pool each; of longer rows as many as ``pool`` makes of the columns.
    """
    x = watch("source", 0, x)[..., None]
    outputs: list[Any] = []
    for i, op in enumerate(ops):
        w, b = weights[i]
        y = convolve(outputs[-1] if outputs else x, _fake_weights(w, op.kind) if fake else w, op) + b
        if op.skip is not None:
            y = watch("before", i, y)
            y += crop(outputs[op.skip], op, y)
        outputs.append(watch("after", i, tf.nn.relu(y)))
    pooled = pool(outputs[-1])
    # The pool keeps its input's grid, as TFLite asks for.
    pooled = watch("after", len(ops) - 1, pooled)
    w, b = weights[-1]
    logits = tf.nn.conv2d(pooled, _fake_weights(w, "conv") if fake else w, 1, "VALID") + b
    return watch("logits", 0, logits)[:, :, 0]


def calibrate(
    network: Network, batches: Batches, head: str, input_db: tuple[float, float], n_batches: int = 8
) -> Quantised:
    """Fold the network and choose every range: the mean over batches of the extremes seen in each."""
    weights = network.fold()
    seen: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def watch(place: str, i: int, x: Any) -> Any:
        seen.setdefault((place, i), []).append((float(tf.reduce_min(x)), float(tf.reduce_max(x))))
        return x

    for step in range(n_batches):
        forward(network.ops, weights, tf.constant(batches(10**6 + step).x), watch, fake=False)

    def grid(place: str, i: int) -> Affine:
        low, high = np.mean(seen[place, i], axis=0)
        return over(float(low), float(high))

    return Quantised(
        ops=network.ops,
        columns=network.columns,
        head=head,
        weights=weights,
        source=over(*input_db),
        before=[grid("before", i) if op.skip is not None else None for i, op in enumerate(network.ops)],
        after=[grid("after", i) for i in range(len(network.ops))],
        logits=grid("logits", 0),
    )


def settle(
    quantised: Quantised,
    batches: Batches,
    recipe: StreamingRecipe,
    report: Callable[[int, float], None] | None = None,
) -> Quantised:
    """Fine-tune the folded weights through the fixed grids, for ``schedule.quantised_steps`` steps."""
    schedule = recipe.schedule
    steps = schedule.quantised_steps
    if not steps:
        return quantised
    variables = [(tf.Variable(w), tf.Variable(b)) for w, b in quantised.weights]
    trained = [v for pair in variables for v in pair]
    optimizer = AdamW(trained, [False] * len(trained), [], 0.0, min(0.998, max(0.0, 1.0 - 5.0 / steps)))
    grids = {("source", 0): quantised.source, ("logits", 0): quantised.logits}
    grids |= {("after", i): g for i, g in enumerate(quantised.after)}
    grids |= {("before", i): g for i, g in enumerate(quantised.before) if g}

    def one_step(arrays: tuple[Any, ...], step: Any, rate: Any) -> Any:
        batch = Batch(*arrays)
        with tf.GradientTape() as tape:
            logits = forward(
                quantised.ops, variables, batch.x, lambda p, i, x: fake_quantise(x, grids[p, i]), fake=True
            )
            # Only the head that ships is left to learn here.
            loss = losses([logits[:, 0], None, None], batch, recipe.head, smoothing=schedule.smoothing)
        gradients = tape.gradient(loss, trained)
        optimizer.apply(gradients, step, rate)
        return loss

    update = tf.function(one_step)

    recent = []
    for at, batch in prefetched(batches, 2 * 10**6, 2 * 10**6 + steps):
        step = at - 2 * 10**6
        arrays = tuple(tf.constant(a) for a in (batch.x, batch.y, batch.z, batch.taught))
        rate = learning_rate(step, steps=steps, warmup=steps // 10, highest=schedule.quantised_learning_rate)
        recent.append(float(update(arrays, tf.constant(step), tf.constant(rate, tf.float32))))
        if report and (step + 1) % 100 == 0:
            report(step + 1, float(np.mean(recent)))
            recent.clear()
    optimizer.swap()
    return Quantised(**{**quantised.__dict__, "weights": [(w.numpy(), b.numpy()) for w, b in variables]})
