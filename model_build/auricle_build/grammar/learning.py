"""A recipe says here how it learns: the network, what a step draws, and the steps; the network's kind decides the
three.

To add a kind: its sections here or in a file of its own, and the recipe that holds them in ``recipes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auricle.config import REQUIRED, Choice, Many, Number, Pair, Table, section, value
from auricle_build.grammar.kinds import Layer, Layered, count, share

KINDS = ("streaming", "mobilenet_v3", "classic")
_KIND = "What it is: this decides the other keys of `network`, `batch` and `schedule`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """Convolutions that stream, pooled over columns."""

    kind: str = value(
        "streaming",
        Choice(KINDS),
        _KIND,
    )
    layers: tuple[Layer, ...] = value(
        REQUIRED,
        Many(Layered(), 1),
        "The trunk, layer by layer; one band must be left at its end.",
    )
    columns: int = value(
        REQUIRED,
        count(1000),
        "How many of the trunk's outputs in time the head pools: the window's length.",
    )
    dropout: float = value(
        0.0,
        share(0.95),
        "Share of the pooled channels that a step leaves out.",
    )
    input_db: tuple[float, float] = value(
        (-98.0, 29.5),  # a grid of exactly half a decibel
        Pair(Number(-200, 200, "dB"), Number(-200, 200, "dB"), "from and to", rising=True),
        "What the int8 input spans.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What is drawn anew at every step, on the rows: a scene in small. Shares are of all windows."""

    size: int = value(
        32,
        count(65536),
        "Windows of a step.",
    )
    positives: float = value(
        0.6,
        share(),
        "Share of the labels other than background, each label alike.",
    )
    mix: float = value(
        0.0,
        share(),
        "Share that another sound lies over, in the power domain.",
    )
    warp: tuple[float, float] | None = value(
        None,
        Pair(share(0.9), Number(0, 64, "bands"), "in time and in bands"),
        "Other voices: stretched by up to this share, spectra moved by up to so many bands.",
    )
    gain_db: tuple[float, float] = value(
        (0.0, 0.0),
        Pair(Number(-120, 60, "dB"), Number(-120, 60, "dB"), "from and to", rising=True),
        "The gain, where there is one.",
    )
    gain: float = value(
        0.0,
        share(),
        "Share with another gain.",
    )
    tilt_db: float = value(
        0.0,
        Number(0, 60, "dB"),
        "How much spectra are bent.",
    )
    noise: float = value(
        0.0,
        share(),
        "Share with a noise floor of any colour added.",
    )
    noise_alone: float = value(
        0.05,
        share(),
        "Share that is nothing but noise.",
    )
    silence: float = value(
        0.015,
        share(),
        "Share that is digital silence.",
    )
    partial: float = value(
        0.0,
        share(),
        "Share where the sound fills only part of the window.",
    )
    partial_share: tuple[float, float] = value(
        (0.3, 0.9),
        Pair(share(), share(), "from and to", rising=True),
        "How much of it, there.",
    )
    masks: float = value(
        0.0,
        share(),
        "Share with some bands and some frames blanked.",
    )
    mistaken: float = value(
        0.0,
        share(),
        "Share of background that was taken for a label at the last check.",
    )
    origins: Mapping[str, float] = value(
        dict,
        Table(Number(0, 1000), "SET"),
        "How often background comes from a set, in proportion.",
        default_text="1 for each",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The steps."""

    steps: int = value(
        REQUIRED,
        count(100_000_000),
        "How many.",
    )
    learning_rate: float = value(
        REQUIRED,
        Number(0, 10, above=True),
        "The highest; it rises over `warmup`, then falls as half a cosine.",
    )
    warmup: int = value(
        0,
        count(100_000_000, 0),
        "Steps until the learning rate is at its highest.",
    )
    weight_decay: float = value(
        0.02,
        share(),
        "How much weights are pulled towards zero, for a learning rate of 1.",
    )
    average: float = value(
        0.999,
        Number(0, 0.999999),
        "How much of the weights' running mean, which is what ships, is kept at a step.",
    )
    check_every: int = value(
        REQUIRED,
        count(100_000_000),
        "Steps from one check to the next: judged on what is kept aside, mistakes collected.",
    )
    patience: int = value(
        0,
        count(fewest=0),
        "Checks without a better loss before training stops early. 0: never.",
    )
    distil: float = value(
        0.0,
        Number(0, 1000),
        "Weight of what the teacher hears.",
    )
    auxiliary: float = value(
        0.0,
        Number(0, 1000),
        "Weight of every clip's own label, background or not.",
    )
    smoothing: float = value(
        0.0,
        share(0.9),
        "Share of a softmax target that is spread over all labels.",
    )
    quantised_steps: int = value(
        0,
        count(100_000_000, 0),
        "Further steps, through fake quantisation.",
    )
    quantised_learning_rate: float = value(
        0.0005,
        Number(0, 10, above=True),
        "The highest of these.",
    )
    quantised_batch: Draw = section(
        Draw,
        "What is drawn at these steps: laid over `batch`, key by key.",
        inherits="batch",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Classic:
    """The CNN that everybody begins with."""

    kind: str = value(
        REQUIRED,
        Choice(KINDS),
        _KIND,
    )
    window_frames: int = value(
        REQUIRED,
        Number(8, 100_000, whole=True),
        "Frames of a window.",
    )
    channels: tuple[int, ...] = value(
        REQUIRED,
        Many(count(4096), 1),
        "Of the convolutions, each followed by max-pooling.",
    )
    dense: int = value(
        REQUIRED,
        count(65536),
        "Outputs of the layer before the last.",
    )
    dropout: float = value(
        0.0,
        share(0.95),
        "Share of every layer's outputs that a step leaves out.",
    )
    activation: str = value(
        "relu",
        Choice(("relu", "tanh")),
        "What follows each layer.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What is drawn at a step: windows as they are."""

    size: int = value(
        32,
        count(65536),
        "Windows of a step.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """How often everything is learned from."""

    epochs: int = value(
        REQUIRED,
        count(100_000),
        "How often.",
    )
    learning_rate: float = value(
        REQUIRED,
        Number(0, 10, above=True),
        "The learning rate.",
    )
