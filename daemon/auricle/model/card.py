"""What a model says of itself: ``card.yaml``, as types."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from auricle.errors import ModelError


class Input(msgspec.Struct, frozen=True):
    """What the network takes: ``features`` of ``shape`` (frames, features)."""

    kind: str
    shape: tuple[int, int]


class FrontEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The front end that the network was trained on; units as in librosa."""

    sample_rate: int
    n_fft: int
    hop_length: int
    features: list[dict[str, Any]]
    win_length: int | None = None
    behind_gate: bool = False


class Affine(msgspec.Struct, frozen=True):
    """An int8 tensor's meaning: ``value = scale * (q - zero_point)``."""

    scale: float
    zero_point: int


class Quantisation(msgspec.Struct, frozen=True):
    """Of the network's input and output."""

    input: Affine
    output: Affine


class Timing(msgspec.Struct, frozen=True):
    """Extents of the network in frames, and how late its scores speak, in samples at the front end's rate.

    ``lags`` holds onset and offset lag of single labels: rain needs longer to be sure of than a bark.
    """

    window_frames: int
    stride_frames: int
    receptive_frames: int
    columns: int
    onset_lag_samples: int
    offset_lag_samples: int
    lags: dict[str, tuple[int, int]] = {}


class State(msgspec.Struct, frozen=True):
    """One tensor that the stateful network hands from call to call."""

    input: str
    output: str
    shape: list[int]
    zero_point: int


class Stream(msgspec.Struct, frozen=True):
    """The names of the stateful network's tensors."""

    input: str
    output: str
    states: list[State]


class Card(msgspec.Struct, frozen=True):
    """What ``card.yaml`` must say; more may stand there for people to read."""

    format: int
    name: str
    labels: list[str]
    background: str | None
    head: str
    input: Input
    front_end: FrontEnd
    quantisation: Quantisation
    timing: Timing
    streaming: bool
    files: dict[str, str]
    licence: str
    padding: str = "wrap"
    description: str = ""
    thresholds: dict[str, float] = {}
    min_durations_ms: dict[str, float] = {}
    stream: Stream | None = None


def check(card: Card, where: str) -> None:
    """Refuse a card whose keys do not fit together.

    Raises:
        ModelError: they do not; ``where`` names the card.
    """
    problems = [
        (len(set(card.labels)) != len(card.labels) or not card.labels, "labels: each must be named once"),
        *(
            (re.fullmatch("[a-z0-9_]+", label) is None, f"labels: {label!r} is no slug; use a-z, 0-9 and _")
            for label in card.labels
        ),
        (
            card.background is not None and card.background not in card.labels,
            f"background: {card.background!r} is none of the labels",
        ),
        (card.head not in ("softmax", "sigmoid"), f"head: {card.head!r} is not known; use softmax or sigmoid"),
        (card.input.kind != "features", f"input.kind: {card.input.kind!r} is not known here; use features"),
        (
            card.input.shape[0] != card.timing.window_frames,
            f"timing.window_frames: {card.timing.window_frames} is not input.shape's {card.input.shape[0]}",
        ),
        (
            card.timing.receptive_frames + (card.timing.columns - 1) * card.timing.stride_frames
            != card.timing.window_frames
            and card.streaming,
            "timing: window_frames is not receptive_frames + (columns - 1) * stride_frames",
        ),
        (
            not all(label in card.labels and 0 < value <= 1 for label, value in card.thresholds.items()),
            f"thresholds: {dict(card.thresholds)} are not each of a label and above 0, at most 1",
        ),
        (
            not all(label in card.labels and 0 <= ms <= 60_000 for label, ms in card.min_durations_ms.items()),
            f"min_durations_ms: {dict(card.min_durations_ms)} are not each of a label and 0 to 60000",
        ),
        (card.padding != "wrap", f"padding: {card.padding!r} is not known; use wrap"),
        (
            card.quantisation.input.scale <= 0 or card.quantisation.output.scale <= 0,
            "quantisation: a scale is not positive",
        ),
    ]
    for wrong, message in problems:
        if wrong:
            raise ModelError(f"{where}: {message}")
