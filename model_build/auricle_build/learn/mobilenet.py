"""MobileNetV3-Large runs over log-mel windows here, as EfficientAT trained it on AudioSet, to start from and to go on
with.

The plan of blocks is that of Howard et al. (2019), table 1, every width times a factor and rounded to eight; that the
input is a spectrum, that squeezing is over channels, and how the last layers are made is from Schmid, Koutini and
Widmer (2023), whose weights fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from auricle.errors import ConfigError

Array = NDArray[np.float32]

EPSILON = 1e-3  # of the normalisations
CENTRE, SPREAD = -4.5, 5.0  # of natural log-mel, to about unit scale
N_AUDIOSET = 527
LAST = 16  # the convolution after the blocks, counted with them


@dataclass(frozen=True)
class Bottleneck:
    """Describes an inverted residual: widen by 1x1, filter depthwise, weigh the channels, narrow by 1x1.

    Args:
        kernel: of the depthwise convolution, over time and bands alike.
        widened, n_out: channels inside the block and after it.
        squeezed: whether channels are weighed by what all of the window holds.
        hard_swish: whether that is the activation, ReLU otherwise.
        step: over time and bands alike.
    """

    kernel: int
    widened: int
    n_out: int
    squeezed: bool
    hard_swish: bool
    step: int


BLOCKS = tuple(
    Bottleneck(*row)
    for row in (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    )
)


SIXTH = 1.0 / 6.0


def hard_swish(x: Any) -> Any:
    """Compute ``x * relu6(x + 3) / 6``, as the converter knows it: one operation, exact for int8."""
    return x * tf.nn.relu6(x + 3.0) * SIXTH


def swish6(x: Any) -> Any:
    """Compute six times hard-swish, ``x * relu6(x + 3)``; the sixth is part of whatever takes the result, as ``gain``.

    The one operation that it would become is unknown to TFLite's fast kernels: 21 of it tear a graph into 25 pieces,
    and a window takes twice as long. Taken apart it costs no accuracy, but for the first convolution, whose range is
    wide.
    """
    return x * tf.nn.relu6(x + 3.0)


def read(path: Path, sha256: str) -> dict[str, Array]:
    """Read pretrained weights by their names, arranged as TensorFlow has them.

    Raises:
        ConfigError: the file is not there, is another one, or lacks a weight.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: the pretrained weights cannot be read: {error.strerror}"]) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ConfigError([f"{path}: SHA-256 is {found}, the recipe's network.sha256 {sha256}; use that very file"])
    with np.load(path, allow_pickle=False) as stored:
        weights = {name: np.asarray(stored[name], np.float32) for name in stored}
    missing = sorted(set(_names()) - set(weights))
    if missing:
        raise ConfigError([f"{path}: holds no {missing[0]!r} ({len(missing)} weights are missing); use mn04's"])
    return {name: _turned(name, array) for name, array in weights.items()}


def _turned(name: str, array: Array) -> Array:
    """Turn PyTorch's (out, in, bands, time) into TensorFlow's (time, bands, in, out), depthwise (time, bands, channel,
    1)."""
    if array.ndim == 2:
        return np.ascontiguousarray(array.T)
    if array.ndim != 4:
        return array
    depthwise = array.shape[1] == 1 and array.shape[2] > 1 and name != "features.0.0.weight"
    return np.ascontiguousarray(array.transpose((3, 2, 0, 1) if depthwise else (3, 2, 1, 0)))


def _names() -> list[str]:
    """Return the names of all weights, as EfficientAT's state dict has them."""
    convolutions = [("features.0.0", "features.0.1"), (f"features.{LAST}.0", f"features.{LAST}.1")]
    dense = ["classifier.2", "classifier.5"]
    for i, block in enumerate(BLOCKS, start=1):
        part = 0
        for _ in range(3 - _plain(i)):
            if part == 2 - _plain(i) and block.squeezed:
                dense += [f"features.{i}.block.{part}.conc_se_layers.0.{fc}" for fc in ("fc1", "fc2")]
                part += 1
            convolutions.append((f"features.{i}.block.{part}.0", f"features.{i}.block.{part}.1"))
            part += 1
    names = [f"{convolution}.weight" for convolution, _ in convolutions]
    names += [f"{norm}.{of}" for _, norm in convolutions for of in ("weight", "bias", "running_mean", "running_var")]
    return names + [f"{layer}.{of}" for layer in dense for of in ("weight", "bias")]


def _plain(i: int) -> bool:
    """Return whether a block, counted from 1, does not widen: the first, whose channels are as many as it wants."""
    return i == 1


class Convolution(keras.layers.Layer):  # type: ignore[misc]
    """Computes a convolution and its normalisation as one: the statistics stay those that were pretrained.

    What is trained are the kernel, the scale and the offset; the statistics of a few windows of one's own would only be
    worse than those of two million clips, and a normalisation folded into the kernel costs nothing.

    Args:
        weights: all pretrained weights.
        convolution, norm: the names before ``.weight`` and so on.
        gain: what the input is multiplied by first, as part of the kernel.
        padded_with: what lies beyond the edges.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        convolution: str,
        norm: str,
        *,
        step: int = 1,
        depthwise: bool = False,
        activation: Any = None,
        gain: float = 1.0,
        padded_with: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._step, self._depthwise, self._activation = step, depthwise, activation
        self._gain, self._padded_with = gain, padded_with

        def kept(what: str, value: Array, trained: bool = True) -> Any:
            start = keras.initializers.Constant(value)
            return self.add_weight(name=what, shape=value.shape, initializer=start, trainable=trained)

        self.kernel = kept("kernel", weights[f"{convolution}.weight"])
        self.gamma, self.beta = (
            kept(what, weights[f"{norm}.{of}"]) for what, of in (("gamma", "weight"), ("beta", "bias"))
        )
        self.mean, self.variance = (
            kept(what, weights[f"{norm}.running_{of}"], False) for what, of in (("mean", "mean"), ("variance", "var"))
        )

    def call(self, x: Any) -> Any:
        """Compute the output, of ``(n, time, bands, channels)``."""
        kernel, scale, offset = self.folded()
        size = int(self.kernel.shape[0])
        padding = "SAME"
        if self._step > 1 or self._padded_with:
            # TensorFlow would pad an even length on one side only.
            around = [[0, 0], [size // 2, size // 2], [size // 2, size // 2], [0, 0]]
            x, padding = tf.pad(x, around, constant_values=self._padded_with), "VALID"
        steps = [1, self._step, self._step, 1]
        if self._depthwise:
            y = tf.nn.depthwise_conv2d(x, kernel * scale[:, None], steps, padding)
        else:
            y = tf.nn.conv2d(x, kernel * scale, steps, padding)
        y = y + offset
        return y if self._activation is None else self._activation(y)

    def folded(self) -> tuple[Any, Any, Any]:
        """Return kernel, scale of each output channel, and offset."""
        scale = self.gamma * tf.math.rsqrt(self.variance + EPSILON)
        return self.kernel * self._gain, scale, self.beta - self.mean * scale


class First(Convolution):
    """Computes the first convolution, with the scale of natural log-mel folded in: at the edges lies what is 0 after
    that scale."""

    def folded(self) -> tuple[Any, Any, Any]:
        """Return kernel, scale and offset for unscaled rows."""
        kernel, scale, offset = super().folded()
        kernel = kernel / SPREAD
        return kernel, scale, offset - CENTRE * tf.reduce_sum(kernel, [0, 1, 2]) * scale


class Dense(keras.layers.Layer):  # type: ignore[misc]
    """Computes a fully connected layer with pretrained weights, over the last axis; ``gain`` as for a convolution."""

    def __init__(
        self, weights: Mapping[str, Array], layer: str, *, activation: Any = None, gain: float = 1.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self._activation, self._gain = activation, gain
        kernel, offset = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        self.kernel = self.add_weight(
            name="kernel", shape=kernel.shape, initializer=keras.initializers.Constant(kernel), trainable=True
        )
        self.offset = self.add_weight(
            name="offset", shape=offset.shape, initializer=keras.initializers.Constant(offset), trainable=True
        )

    def call(self, x: Any) -> Any:
        """Compute the output, of ``(n, features)`` or, as a convolution of one cell, ``(n, 1, 1, features)``."""
        kernel = self.kernel * self._gain
        y = (x @ kernel if len(x.shape) == 2 else tf.nn.conv2d(x, kernel[None, None], 1, "VALID")) + self.offset
        return y if self._activation is None else self._activation(y)


def _squeezed(weights: Mapping[str, Array], part: str, x: Any, name: str, gain: float) -> Any:
    """Weigh the channels by their means over the window (Hu, Shen and Sun 2018)."""
    means = keras.layers.Lambda(lambda y: tf.reduce_mean(y, [1, 2], keepdims=True), name=f"{name}_means")(x)
    narrow = Dense(weights, f"{part}.fc1", activation=tf.nn.relu, gain=gain, name=f"{name}_squeezed")(means)
    share = Dense(weights, f"{part}.fc2", activation=tf.sigmoid, name=f"{name}_share")(narrow)
    return keras.layers.Multiply(name=f"{name}_weighed")([x, share])


def _block(weights: Mapping[str, Array], i: int, x: Any) -> Any:
    """Build the block ``i``, counted from 1."""
    block, part, y = BLOCKS[i - 1], 0, x
    activation, gain = (swish6, SIXTH) if block.hard_swish else (tf.nn.relu, 1.0)

    def convolution(name: str, source: Any, **options: Any) -> Any:
        where = f"features.{i}.block.{part}"
        return Convolution(weights, f"{where}.0", f"{where}.1", name=f"block{i}_{name}", **options)(source)

    if not _plain(i):
        y = convolution("widen", y, activation=activation)
        part += 1
    inside = 1.0 if _plain(i) else gain
    y = convolution("filter", y, step=block.step, depthwise=True, activation=activation, gain=inside)
    part += 1
    if block.squeezed:
        y = _squeezed(weights, f"features.{i}.block.{part}.conc_se_layers.0", y, f"block{i}", gain)
        part += 1
    y = convolution("narrow", y, gain=gain)
    same = block.step == 1 and x.shape[-1] == y.shape[-1]
    return keras.layers.Add(name=f"block{i}_add")([x, y]) if same else y


def lower(weights: Mapping[str, Array], n_bands: int, blocks: int) -> keras.Model:
    """Build the trunk up to and with so many blocks: rows ``(n, frames, n_bands)`` natural log-mel to a map of
    features."""
    rows = keras.Input((None, n_bands), name="rows")
    x = keras.layers.Lambda(lambda y: y[..., None], name="channel")(rows)
    x = First(weights, "features.0.0", "features.0.1", step=2, activation=hard_swish, padded_with=CENTRE, name="first")(
        x
    )
    for i in range(1, blocks + 1):
        x = _block(weights, i, x)
    return keras.Model(rows, x, name="lower")


def upper(weights: Mapping[str, Array], source: Any, blocks: int) -> keras.Model:
    """Build the rest of the trunk: a map of features to the embedding ``(n, 384)``, its mean over time and bands."""
    x = below = keras.Input(tuple(source.shape[1:]), name="below")
    for i in range(blocks + 1, LAST):
        x = _block(weights, i, x)
    last = f"features.{LAST}"
    x = Convolution(weights, f"{last}.0", f"{last}.1", activation=swish6, name="last")(x)
    means = keras.layers.Lambda(lambda y: tf.reduce_mean(y, [1, 2]) * SIXTH, name="embedding")(x)
    return keras.Model(below, means, name="upper")


def audioset(weights: Mapping[str, Array], width: int) -> keras.Model:
    """Build AudioSet's own head: an embedding ``(n, width)`` to 527 logits."""
    x = means = keras.Input((width,), name="means")
    x = Dense(weights, "classifier.2", activation=swish6, name="hidden")(x)
    x = Dense(weights, "classifier.5", gain=SIXTH, name="classes")(x)
    return keras.Model(means, x, name="audioset")


def classes_of(head: keras.Model, embedding: Any, used: NDArray[np.integer[Any]]) -> Any:
    """Build the head of some of the classes of :func:`audioset`, by their indices: logits ``(n, len(used))``."""
    hidden, classes = head.get_layer("hidden"), head.get_layer("classes")
    kernel = tf.gather(classes.kernel, used, axis=1) * SIXTH
    return hidden(embedding) @ kernel + tf.gather(classes.offset, used)
