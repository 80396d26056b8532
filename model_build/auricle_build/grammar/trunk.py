"""A streaming network's layers are worked out here: the convolutions one by one, and what they mean in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auricle.errors import ConfigError
from auricle_build.grammar.kinds import Layer


@dataclass(frozen=True)
class Op:
    """Describes one convolution of the trunk.

    Args:
        kind: ``conv`` or ``depthwise``.
        kernel, step: over (time, bands).
        n_in, n_out: channels.
        skip: index of the op whose output is added (-1: the features), or None; it is cropped to fit.
        crop: rows dropped on either side (time, bands) of what is added.
    """

    kind: str
    kernel: tuple[int, int]
    step: tuple[int, int]
    n_in: int
    n_out: int
    skip: int | None = None
    crop: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the weights, as TensorFlow has them."""
        return (*self.kernel, self.n_in, 1) if self.kind == "depthwise" else (*self.kernel, self.n_in, self.n_out)


@dataclass(frozen=True)
class Reach:
    """Says what the network's shape means in time: see DESIGN's definition of stateful.

    Args:
        stride_frames: S, frames from one column to the next.
        receptive_frames: R, frames that one column sees.
        columns: C, columns that the head pools.
    """

    stride_frames: int
    receptive_frames: int
    columns: int

    @property
    def window_frames(self) -> int:
        """Return T, the frames of a window."""
        return self.receptive_frames + (self.columns - 1) * self.stride_frames


class LayerError(ConfigError):
    """Layers do not fit together, or do not stream; ``layer`` is the one at fault, None if all are."""

    def __init__(self, complaint: str, layer: int | None = None) -> None:
        self.complaint, self.layer = complaint, layer
        super().__init__([f"network.layers{'' if layer is None else f'[{layer}]'}: {complaint}"])


def plan(layers: Sequence[Layer], n_features: int) -> list[Op]:
    """Work out the ops of a recipe's ``network.layers``.

    Raises:
        LayerError: bands that run out, or are left.
    """
    ops: list[Op] = []
    channels, bands = 1, n_features
    for i, (kind, (kt, kf), (st, sf), n_out) in enumerate(layers):
        if kf > bands:
            raise LayerError(f"a kernel of {kf} bands does not fit the {bands} that are left", i)
        if kind == "conv":
            ops.append(Op("conv", (kt, kf), (st, sf), channels, n_out))
        else:
            skip, crop = None, (0, 0)
            if ops and n_out == channels and (st, sf) == (1, 1) and kt % 2 and kf % 2:
                skip, crop = len(ops) - 1, ((kt - 1) // 2, (kf - 1) // 2)
            ops.append(Op("depthwise", (kt, kf), (st, sf), channels, channels))
            ops.append(Op("conv", (1, 1), (1, 1), channels, n_out, skip, crop))
        channels, bands = n_out, (bands - kf) // sf + 1
    if bands != 1:
        raise LayerError(f"{bands} bands are left at the end; the head pools time only, leave 1")
    return ops


def reach(ops: Sequence[Op], columns: int) -> Reach:
    """Work out the stride, receptive field and window of a plan.

    Raises:
        LayerError: a stateful step could not keep the phase of its strides.
    """
    stride, receptive = 1, 1
    for op in ops:
        receptive += (op.kernel[0] - 1) * stride
        stride *= op.step[0]
        if receptive % stride:
            raise LayerError(f"{receptive} frames seen at a stride of {stride}; make it a multiple of it")
    return Reach(stride, receptive, columns)
