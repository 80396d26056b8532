"""The streaming network has convolutions that are valid in time and in frequency, pooled over columns, and one 1x1
head.

A separable layer is a depthwise and a 1x1 convolution, each with batch normalisation (Ioffe and Szegedy 2015) and ReLU
(after Howard et al. 2017); where it keeps its channels and steps by one, its input, cropped, is added before the ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from auricle_build.grammar.trunk import Op

Array = NDArray[np.float32]

# dB to about unit scale, inside the first convolution: folded into its weights, so that no padding may come before it.
CENTRE_DB, SPREAD_DB = -40.0, 25.0
EPSILON = 1e-3  # of the normalisations


def crop(x: Any, op: Op, like: Any) -> Any:
    """Cut out the part of a skip that the op's output is about."""
    # A slice, not an index: the gradient of a slice is padding, that of an index a slow scatter.
    wanted = tf.shape(like)
    return tf.slice(x, [0, *op.crop, 0], [-1, wanted[1], wanted[2], -1])


def convolve(x: Any, weights: Any, op: Op) -> Any:
    """Apply one op, valid in time and bands."""
    if op.kind == "conv":
        return tf.nn.conv2d(x, weights, [1, *op.step, 1], "VALID")
    if op.step[0] == op.step[1]:
        return tf.nn.depthwise_conv2d(x, weights, [1, *op.step, 1], "VALID")
    # TensorFlow's depthwise convolution knows equal steps only.
    y = tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], "VALID")
    return _every(_every(y, 1, op.step[0]), 2, op.step[1])


def _every(x: Any, axis: int, step: int) -> Any:
    """Take every so many along an axis: `x[::step]`, but with a gradient that is a copy."""
    if step == 1:
        return x
    shape = tf.shape(x)
    missing = -shape[axis] % step
    x = tf.pad(x, [[0, missing if i == axis else 0] for i in range(4)])
    split = tf.concat([shape[:axis], [-1, step], shape[axis + 1 :]], 0)
    parts = tf.reshape(x, split)
    return tf.unstack(parts, step, axis=axis + 1)[0]


class Network:
    """Holds the trunk and its heads, as variables that a training step changes.

    Args:
        ops: the trunk.
        heads: outputs of each 1x1 head; the first is the one that ships.
    """

    def __init__(self, ops: Sequence[Op], columns: int, heads: Sequence[int], dropout: float, seed: int) -> None:
        self.ops, self.columns, self.dropout = tuple(ops), columns, dropout
        rng = np.random.default_rng(seed)

        def normal(shape: Sequence[int], fan_in: int) -> Any:
            return tf.Variable((rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32))

        self.weights = [
            normal(op.shape, int(np.prod(op.kernel)) * (1 if op.kind == "depthwise" else op.n_in)) for op in ops
        ]
        self.gammas = [tf.Variable(tf.ones(op.n_out)) for op in ops]
        self.betas = [tf.Variable(tf.zeros(op.n_out)) for op in ops]
        self.means = [tf.Variable(tf.zeros(op.n_out), trainable=False) for op in ops]
        self.variances = [tf.Variable(tf.ones(op.n_out), trainable=False) for op in ops]
        width = ops[-1].n_out
        self.heads = [(normal((width, n), 4 * width), tf.Variable(tf.zeros(n))) for n in heads]

    def kernel(self, i: int) -> Any:
        """Return the weights of an op as they are used.

        Those of the first sum to zero over time and bands: a gain adds the same to every dB, and so changes nothing.
        """
        w = self.weights[i]
        return w - tf.reduce_mean(w, axis=[0, 1], keepdims=True) if i == 0 else w

    @property
    def trained(self) -> list[Any]:
        """Return the variables that gradients change, in a fixed order."""
        return [*self.weights, *self.gammas, *self.betas, *(v for head in self.heads for v in head)]

    @property
    def decayed(self) -> list[bool]:
        """Return which of :attr:`trained` are pulled towards zero: weights, not scales and offsets."""
        n = len(self.ops)
        return [True] * n + [False] * (2 * n) + [True, False] * len(self.heads)

    @property
    def rates(self) -> None:
        """Return nothing: all variables are learned alike."""

    @property
    def moments(self) -> list[Any]:
        """Return the running statistics of the normalisations."""
        return [*self.means, *self.variances]

    def columns_of(self, x: Any, *, training: bool) -> Any:
        """Compute the trunk's output ``(n, columns, 1, channels)`` of feature rows ``(n, frames, n_features)`` in
        dB."""
        x = ((x - CENTRE_DB) / SPREAD_DB)[..., None]
        outputs: list[Any] = []
        for i, op in enumerate(self.ops):
            y = convolve(outputs[-1] if outputs else x, self.kernel(i), op)
            if training:
                # One fused kernel, forward and back: written out, the normalisations cost more than the convolutions.
                y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                    y, self.gammas[i], self.betas[i], epsilon=EPSILON, is_training=True
                )
                self.means[i].assign(0.99 * self.means[i] + 0.01 * mean)
                self.variances[i].assign(0.99 * self.variances[i] + 0.01 * variance)
            else:
                scale = self.gammas[i] * tf.math.rsqrt(self.variances[i] + EPSILON)
                y = y * scale + (self.betas[i] - self.means[i] * scale)
            if op.skip is not None:
                y += crop(outputs[op.skip] if op.skip >= 0 else x, op, y)
            outputs.append(tf.nn.relu(y))
        return outputs[-1]

    def logits(self, x: Any, seed: Any = None) -> list[Any]:
        """Compute the outputs of every head for whole windows ``(n, window_frames, n_features)``; with a seed, as in
        training."""
        pooled = tf.reduce_mean(self.columns_of(x, training=seed is not None), axis=[1, 2])
        if seed is not None and self.dropout:
            keep = tf.random.stateless_uniform(tf.shape(pooled), seed) >= self.dropout
            pooled = tf.where(keep, pooled / (1.0 - self.dropout), 0.0)
        return [pooled @ w + b for w, b in self.heads]

    def fold(self) -> list[tuple[Array, Array]]:
        """Return the weights and offsets of every op and of the shipped head, normalisation and dB scale folded in."""
        folded = []
        for i, op in enumerate(self.ops):
            w = self.kernel(i).numpy().astype(np.float64)
            scale = self.gammas[i].numpy().astype(np.float64) / np.sqrt(self.variances[i].numpy() + EPSILON)
            b = self.betas[i].numpy() - self.means[i].numpy() * scale
            w = w * (scale[:, None] if op.kind == "depthwise" else scale)
            if i == 0:
                w = w / SPREAD_DB
                b = b - CENTRE_DB * w.sum(axis=(0, 1, 2))
            folded.append((w.astype(np.float32), b.astype(np.float32)))
        w, b = (v.numpy() for v in self.heads[0])
        folded.append((w[None, None], b))
        return folded
