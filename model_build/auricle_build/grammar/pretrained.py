"""A recipe says here what a network that starts from pretrained weights is like."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.config import REQUIRED, Choice, Flag, Number, Pair, Text, value
from auricle_build.grammar.kinds import count, share
from auricle_build.grammar.learning import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNet:
    """MobileNetV3 over log-mel, pretrained on AudioSet."""

    kind: str = value(
        REQUIRED,
        Choice(KINDS),
        "What it is: this decides the other keys of `network`, `batch` and `schedule`.",
    )
    weights: str = value(
        REQUIRED,
        Text("a path"),
        "The pretrained weights (.npz), below data.root.",
    )
    sha256: str = value(
        REQUIRED,
        Text("a SHA-256", longest=64),
        "Of that file: other weights are refused.",
    )
    classes: str = value(
        REQUIRED,
        Text("a path"),
        "The table of AudioSet's classes in the order of the outputs, below data.root.",
    )
    licence: str = value(
        REQUIRED,
        Text("a licence"),
        "Of the pretrained weights, for the card.",
    )
    source: str = value(
        REQUIRED,
        Text("who made them, and from what"),
        "Where the pretrained weights are from, for the card.",
    )
    window_frames: int = value(
        REQUIRED,
        count(4096, 32),
        "Frames of a window.",
    )
    frozen_blocks: int = value(
        0,
        count(15, 0),
        "So many blocks from below stay as they were pretrained.",
    )
    trunk_rate: float = value(
        0.15,
        share(),
        "Learning rate of what is pretrained, as a share of `schedule.learning_rate`.",
    )
    head_only: bool = value(
        False,
        Flag(),
        "Only the labels' own heads learn, all else stays as it was pretrained: `auricle teach` at scale.",
    )


def _levels(low: float, high: float) -> Pair:
    return Pair(Number(low, high, "dB"), Number(low, high, "dB"), "from and to", rising=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """What is drawn anew at every step: an event over a place, as a microphone in a room has it."""

    size: int = value(
        32,
        count(65536),
        "Windows of a step.",
    )
    events: float = value(
        0.66,
        share(),
        "Share that holds an event, each label alike; the others hold a place, or noise.",
    )
    noise: float = value(
        0.07,
        share(),
        "Share that is noise alone, or silence.",
    )
    second: float = value(
        0.25,
        share(),
        "Of those with an event, share that holds another one too.",
    )
    behind: float = value(
        0.75,
        share(),
        "Of those with an event, share that lies over a place.",
    )
    snr_db: tuple[float, float] = value(
        (-2.0, 25.0),
        _levels(-60, 120),
        "An event's level over that place.",
    )
    begun: float = value(
        0.35,
        share(),
        "Of the events, share that began only lately: a daemon must speak before the window is full.",
    )
    begun_share: tuple[float, float] = value(
        (0.12, 0.9),
        Pair(share(), share(), "from and to", rising=True),
        "How much of the window these fill.",
    )
    variants: float = value(
        0.65,
        share(),
        "Of the events, share that comes as one of data.variants.",
    )
    levelled: float = value(
        0.7,
        share(),
        "Share that is brought to another level.",
    )
    level_db: tuple[float, float] = value(
        (-39.0, 13.0),
        _levels(-120, 60),
        "That level: mean power of a band.",
    )
    equalised_db: float = value(
        2.2,
        Number(0, 60, "dB"),
        "How much spectra are bent.",
    )
    dulled: float = value(
        0.2,
        share(),
        "Share whose upper bands are weakened, as by a phone or a wall.",
    )
    masked: float = value(
        0.2,
        share(),
        "Share with some bands and some frames blanked.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """The steps."""

    steps: int = value(
        REQUIRED,
        count(100_000_000, 0),
        "How many. 0: AudioSet's word alone.",
    )
    learning_rate: float = value(
        REQUIRED,
        Number(1e-9, 10),
        "The highest; it rises over `warmup`, then falls as half a cosine.",
    )
    warmup: int = value(
        0,
        count(100_000_000, 0),
        "Steps until the learning rate is at its highest.",
    )
    weight_decay: float = value(
        0.01,
        share(),
        "How much weights are pulled towards zero, for a learning rate of 1.",
    )
    average: float = value(
        0.998,
        Number(0, 0.999999),
        "How much of the weights' running mean, which is what ships, is kept at a step.",
    )
    check_every: int = value(
        REQUIRED,
        count(100_000_000),
        "Steps from one line of the log to the next.",
    )
    hold: float = value(
        1.0,
        Number(0, 1000),
        "Weight of holding AudioSet's outputs to those of the untouched network.",
    )
    single: float = value(
        0.0,
        Number(0, 1000),
        "Weight of telling a window's only label from all others.",
    )
