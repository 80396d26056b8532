"""The card is what a model says of itself: ``card.yaml``, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

FEATURES, WAVEFORM = "features", "waveform"
"""The kinds of input."""
DTYPES = ("int8", "uint8", "float32")
LAYOUTS = ("frames_features", "features_frames")


class Input(msgspec.Struct, frozen=True):
    """Says what the network takes: ``features`` of ``shape`` (frames, features), or a ``waveform`` of ``shape``
    (samples,).

    ``dtype`` and ``layout`` are the graph's: features lie in its input frame after frame, or feature after feature.
    Axes of 1 there, and whether it is flat, do not matter.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    layout: str = "frames_features"


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Says what the network gives: scores from 0 to 1, or the ``logits`` that the card's head makes such of.

    ``tensor`` says which output they are, by name or place, where the graph has several.
    """

    dtype: str = "int8"
    logits: bool = False
    tensor: str | int | None = None


class FrontEndSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Describes the front end that the network was trained on; units as in librosa."""

    sample_rate: int
    n_fft: int
    hop_length: int
    features: list[dict[str, Any]]
    win_length: int | None = None
    pre_emphasis: float | None = None
    taper: str = "hann"
    align: str = "centre"
    remove_dc: bool = False
    behind_gate: bool = False

    def params(self) -> dict[str, Any]:
        """Return the arguments of `auricle.features.front_end`, but for the gate."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "behind_gate"}


class Affine(msgspec.Struct, frozen=True):
    """Says what a quantised tensor's values mean: ``value = scale * (q - zero_point)``."""

    scale: float
    zero_point: int


UNIT = Affine(1.0, 0)
"""The grid of what is not quantised."""


class Quantisation(msgspec.Struct, frozen=True):
    """Says how the network's input and output are quantised; float32 is not."""

    input: Affine = UNIT
    output: Affine = UNIT


class Timing(msgspec.Struct, frozen=True):
    """Gives the extents of the network in frames, and how late its scores speak, in samples at the front end's rate.

    ``lags`` holds onset and offset lag of single labels: rain needs longer to be sure of than a bark. A network that
    is only ever given whole windows has no ``stride_frames``, ``receptive_frames`` and ``columns`` to tell.
    """

    window_frames: int
    onset_lag_samples: int
    offset_lag_samples: int
    stride_frames: int = 1
    receptive_frames: int = 0
    columns: int = 0
    lags: dict[str, tuple[int, int]] = {}


class StateTensor(msgspec.Struct, frozen=True):
    """Names one tensor that the stateful network hands from call to call."""

    input: str
    output: str
    shape: list[int]
    zero_point: int


class StreamTensors(msgspec.Struct, frozen=True):
    """Names the stateful network's tensors."""

    input: str
    output: str
    states: list[StateTensor]


class Embedding(Affine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describes the second output of ``model.tflite``: ``size`` int8 numbers that say what a window is like, whatever
    its label.

    ``output`` says which output that is: by its name, in the graph or in its signature, or by its place among the
    outputs.
    """

    output: str | int
    size: int


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Proposes how to decide upon the scores where the configuration says nothing; keys and units are those of
    `decision`."""

    hop_ms: float | None = None
    smoothing_ms: float | None = None
    threshold: float | None = None
    hysteresis: float | None = None
    min_duration_ms: float | None = None


BY_LABEL = {
    "smoothing_ms": "smoothings_ms",
    "threshold": "thresholds",
    "hysteresis": "hystereses",
    "min_duration_ms": "min_durations_ms",
}
"""Keys of `decision` that a card may propose for single labels too, and where."""


class Card(msgspec.Struct, frozen=True):
    """Holds what ``card.yaml`` must say; more may stand there for people to read.

    Of decisions ``decision`` speaks for all labels, and ``thresholds``, ``smoothings_ms``, ``hystereses`` and
    ``min_durations_ms`` for single ones. ``includes`` names the labels that a label contains, as an alarm contains
    sirens. ``measured`` says of single labels, in a line for people, what their figures rest on. ``golden_steps`` is by
    how many int8 steps another class of machine may differ from the one that made the golden vectors.
    """

    format: int
    name: str
    labels: list[str]
    background: str | None
    head: str
    input: Input
    front_end: FrontEndSettings
    timing: Timing
    streaming: bool
    files: dict[str, str]
    licence: str
    output: Output = Output()
    quantisation: Quantisation = Quantisation()
    keeps_state: bool = False
    padding: str = "wrap"
    description: str = ""
    decision: Proposal = Proposal()
    thresholds: dict[str, float] = {}
    smoothings_ms: dict[str, float] = {}
    hystereses: dict[str, float] = {}
    min_durations_ms: dict[str, float] = {}
    includes: dict[str, list[str]] = {}
    measured: dict[str, str] = {}
    display: dict[str, str] = {}
    golden_steps: int = 2
    embedding: Embedding | None = None
    stream: StreamTensors | None = None

    @property
    def step_samples(self) -> int:
        """Return the samples that the network steps in: every decision hop is a multiple of them."""
        if self.keeps_state:
            return self.front_end.hop_length * self.timing.window_frames
        return self.front_end.hop_length * (self.timing.stride_frames if self.streaming else 1)

    @property
    def n_features(self) -> int:
        """Return the features of a row that the front end gives; of a waveform these are the samples of a hop."""
        return self.front_end.hop_length if self.input.kind == WAVEFORM else self.input.shape[1]

    @property
    def window_s(self) -> float:
        """Return how much sound a decision looks at."""
        front, frames = self.front_end, self.timing.window_frames
        if self.input.kind == WAVEFORM:
            return self.input.shape[0] / front.sample_rate
        frame = (front.win_length or front.n_fft) if front.align == "start" else front.n_fft
        return ((frames - 1) * front.hop_length + frame) / front.sample_rate

    def proposes(self, name: str, label: str) -> float | None:
        """Return what the card proposes for a key of `BY_LABEL`: for this label by itself, else for all."""
        by_label: dict[str, float] = getattr(self, BY_LABEL[name])
        proposed: float | None = getattr(self.decision, name)
        return by_label.get(label, proposed)


def contained(includes: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """Return all labels that every label contains, through others too; what contains nothing is left out.

    Raises:
        ValueError: a label contains itself, through others or at once; the circle is named.
    """
    found: dict[str, frozenset[str]] = {}
    try:
        for label in TopologicalSorter(includes).static_order():  # what is contained comes before what contains it
            if parts := includes.get(label):
                found[label] = frozenset(parts).union(*(found.get(part, frozenset()) for part in parts))
    except CycleError as e:
        raise ValueError(" in ".join(e.args[1])) from None
    return found
