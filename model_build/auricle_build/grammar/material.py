"""A recipe says here what its material is: the front end that hears it, the recordings, and how they are varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.config import REQUIRED, Choice, Flag, Many, Number, Pair, Table, Text, keys_of, plain, section, value
from auricle.errors import ConfigError
from auricle.features import front_end
from auricle.stages.filters import TAPERS
from auricle.stages.spectrum import ALIGNS
from auricle_build.grammar.kinds import Feature, Slug, count

READERS = ("table", "esc50", "esc10", "fsdd", "folders", "annotated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One of what the model names; a name alone, or with what else is known of it."""

    name: str = value(
        REQUIRED,
        Slug(),
        "What it is called.",
    )
    audioset: tuple[str, ...] = value(
        (),
        Many(Text("the name of an AudioSet class")),
        "The classes of AudioSet that mean it.",
    )
    includes: tuple[str, ...] = value(
        (),
        Many(Slug()),
        "Other labels that it is heard with whenever they are.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The front end, as `auricle.features` builds it."""

    sample_rate: int = value(
        REQUIRED,
        Number(4000, 384000, "Hz", whole=True),
        "Samples a second; recordings are resampled to it.",
    )
    n_fft: int = value(
        REQUIRED,
        Number(16, 65536, whole=True),
        "Samples of a frame's spectrum.",
    )
    win_length: int | None = value(
        None,
        Number(2, 65536, whole=True),
        "Samples of a frame's window. null: `n_fft`.",
    )
    hop_length: int = value(
        REQUIRED,
        Number(1, 65536, whole=True),
        "Samples from one frame to the next.",
    )
    pre_emphasis: float | None = value(
        None,
        Number(0, 1, above=True),
        "Weight of the sample before, which is taken off each. null: none.",
    )
    taper: str = value(
        "hann",
        Choice(tuple(TAPERS)),
        "The frame's window; those not symmetric are periodic.",
    )
    align: str = value(
        "centre",
        Choice(ALIGNS),
        "Where in a frame a window shorter than `n_fft` stands.",
    )
    remove_dc: bool = value(
        False,
        Flag(),
        "Take its mean from every frame, so that a constant offset is not heard.",
    )
    features: tuple[Mapping[str, Any], ...] = value(
        REQUIRED,
        Many(Feature(), 1),
        "What a frame's row is made of, each with its parameters: docs/features.md.",
    )

    @property
    def params(self) -> dict[str, Any]:
        """Return the arguments of `auricle.features.front_end`, which a bundle's card holds too."""
        keys = keys_of(Front).items()
        said = {name: getattr(self, name) for name, about in keys if getattr(self, name) != about.default}
        return {**said, "features": [dict(feature) for feature in self.features]}

    @property
    def n_features(self) -> int:
        """Return how many features a row has."""
        return front_end(**self.params).n_features

    @property
    def span(self) -> int:
        """Return how many samples one row needs."""
        return front_end(**self.params).span


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSet:
    """A set of recordings."""

    name: str = value(
        REQUIRED,
        Text("a name", longest=64),
        "Names the set, here and in the card.",
    )
    reader: str = value(
        REQUIRED,
        Choice(READERS),
        "How it is laid out.",
    )
    path: str = value(
        REQUIRED,
        Text("a path below data.root"),
        "Where it lies.",
    )
    licence: str = value(
        REQUIRED,
        Text("a licence, such as CC BY 4.0"),
        "Its licence, for the card.",
    )
    source: str = value(
        REQUIRED,
        Text("who made it"),
        "Where it is from, for the card.",
    )
    label: str | None = value(
        None,
        Text("a label"),
        "One label for all of it.",
    )
    relabel: Mapping[str, str] = value(
        dict,
        Table(Text("another label"), "LABEL or FILE"),
        "Another label for a label, or for one file.",
        default_text="none",
    )
    exclude: tuple[str, ...] = value(
        (),
        Many(Text("a file's name")),
        "Files that are left out.",
    )
    folds: Mapping[str, int] = value(
        dict,
        Table(count(fewest=0), "GROUP"),
        "Folds of groups: of sources or speakers.",
        default_text="the set's own",
    )
    labels: tuple[str, ...] = value(
        (),
        Many(Text("a label of the set")),
        "Only these of its own labels; without any, all.",
    )
    leave_out: tuple[str, ...] = value(
        (),
        Many(Text("a label")),
        "Labels, as they are after `relabel`, of which nothing is taken.",
    )
    place: bool = value(
        False,
        Flag(),
        "Whether its recordings are places, minutes long, that may lie under events.",
    )
    judged: bool = value(
        True,
        Flag(),
        "Whether its events count when the model is judged.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What is computed once of every recording, besides itself; the changes come in this order."""

    speed: float = value(
        1.0,
        Number(0.25, 4),
        "Pitch and tempo together.",
    )
    room: bool = value(
        False,
        Flag(),
        "In a room of our own making.",
    )
    band: tuple[float, float] | None = value(
        None,
        Pair(Number(1, 192000, "Hz"), Number(1, 192000, "Hz"), "from and to", rising=True),
        "Only these frequencies, as of a small loudspeaker.",
    )
    overdriven_db: float | None = value(
        None,
        Number(0, 60, "dB"),
        "So far into a limiter, as a phone's microphone does it with what is loud and near.",
    )
    opus_bps: int | None = value(
        None,
        count(fewest=6000, most=128000),
        "Through Opus at so many bits a second, as voice messages and calls have it; by ffmpeg.",
    )
    gate: bool = value(
        False,
        Flag(),
        "Heard through the daemon's noise gate.",
    )
    lead_s: float = value(
        0.0,
        Number(0, 60, "s"),
        "Faint noise for so long before it, which the gate has learned.",
    )

    def said(self) -> dict[str, Any]:
        """Return what differs from the recording itself, as JSON has it: the rows made of it are cached under that."""
        keys = keys_of(type(self)).items()
        return {name: plain(getattr(self, name)) for name, about in keys if getattr(self, name) != about.initial}


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The recordings."""

    root: str | None = value(
        None,
        Text("a folder"),
        "The folder that all paths start at, itself from where the command runs; `--data` overrides it.",
    )
    sets: tuple[ClipSet, ...] = section(
        ClipSet,
        "What there is to learn from.",
        many="list",
        fewest=1,
        noun="set",
    )
    held_out: tuple[int, ...] = value(
        (),
        Many(count(fewest=0)),
        "Folds that are never trained on.",
    )
    variants: tuple[Variant, ...] = section(
        Variant,
        many="list",
        noun="variant",
    )
    teacher: str | None = value(
        None,
        Text("a path"),
        "A larger network, whose answers are learned beside the labels (`schedule.distil`): a TFLite graph that takes "
        "samples, or a bundle.",
    )
    once: bool = value(
        False,
        Flag(),
        "Leave a sound that is shorter than the window as it is, instead of repeating it.",
    )
    gate_lead_s: float = value(
        0.0,
        Number(0, 60, "s"),
        "Where the model is judged behind the gate, faint noise for so long before each sound.",
    )
    least_clips: int = value(
        4,
        count(),
        "A label with fewer clips to train on is refused.",
    )

    def folder(self, told: Path | None) -> Path:
        """Return the folder that paths start at: the one given on the command line, or the recipe's own.

        Raises:
            ConfigError: there is neither.
        """
        if told is None and self.root is None:
            raise ConfigError(["data.root: is not in the recipe; give the folder of the recordings with --data"])
        return Path(self.root or "") if told is None else told
