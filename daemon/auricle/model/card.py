"""The card is what a model says of itself: ``card.yaml``, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

import msgspec
from msgspec import Meta


def told(what: str) -> Meta:
    """Say of a key what it is for people; the reference of keys is made of it."""
    return Meta(description=what)


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

    kind: Annotated[str, told("`features`, rows that the front end makes; `waveform`, the sound itself")]
    shape: Annotated[
        tuple[int, ...],
        told("[frames, features] of a window, or [samples] of it, whatever axes of 1 the graph has besides"),
    ]
    dtype: Annotated[str, told("of the graph's input: int8, uint8 or float32")] = "int8"
    layout: Annotated[
        str,
        told("how features lie there: frames_features, frame after frame; features_frames, feature after feature"),
    ] = "frames_features"


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Says what the network gives: scores from 0 to 1, or the ``logits`` that the card's head makes such of.

    ``tensor`` says which output they are, by name or place, where the graph has several.
    """

    dtype: Annotated[str, told("of the graph's output: int8, uint8 or float32")] = "int8"
    logits: Annotated[
        bool, told("whether the output is logits, of which `head` makes scores; else it is scores from 0 to 1")
    ] = False
    tensor: Annotated[
        str | int | None, told("which output they are, by name or by place from 0, where the graph has several")
    ] = None


class FrontEndSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Describes the front end that the network was trained on; units as in librosa."""

    sample_rate: Annotated[int, told("Hz; sound is resampled to it")]
    n_fft: Annotated[int, told("points of the FFT; of a waveform, of the gate's: an even multiple of hop_length")]
    hop_length: Annotated[int, told("samples from row to row: every decision hop is a multiple")]
    features: Annotated[
        list[dict[str, Any]],
        told("the kinds, each with its parameters (docs/features.md); `[{kind: sound}]` for a waveform"),
    ]
    win_length: Annotated[int | None, told("samples under the taper; n_fft unless told")] = None
    pre_emphasis: Annotated[float | None, told("as 0.97, before everything else")] = None
    taper: Annotated[str, told("hann, hann_symmetric, hamming or hamming_symmetric")] = "hann"
    align: Annotated[str, told("where a shorter taper stands: centre (librosa) or start (TensorFlow, Kaldi)")] = (
        "centre"
    )
    remove_dc: Annotated[bool, told("take its mean from every frame, as Kaldi does")] = False
    behind_gate: Annotated[
        bool, told("whether it was trained behind the noise gate; `gate.enabled: auto` follows it")
    ] = False

    def params(self) -> dict[str, Any]:
        """Return the arguments of `auricle.features.front_end`, but for the gate."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "behind_gate"}


class Affine(msgspec.Struct, frozen=True):
    """Says what a quantised tensor's values mean: ``value = scale * (q - zero_point)``."""

    scale: Annotated[float, told("of the grid: value = scale * (q - zero_point)")]
    zero_point: Annotated[int, told("of the grid")]


UNIT = Affine(1.0, 0)
"""The grid of what is not quantised."""


class Quantisation(msgspec.Struct, frozen=True):
    """Says how the network's input and output are quantised; float32 is not."""

    input: Annotated[Affine, told("the grid of the graph's input, where it is int8 or uint8")] = UNIT
    output: Annotated[Affine, told("the same of its output")] = UNIT


class Timing(msgspec.Struct, frozen=True):
    """Gives the extents of the network in frames, and how late its scores speak, in samples at the front end's rate.

    ``lags`` holds onset and offset lag of single labels: rain needs longer to be sure of than a bark. A network that
    is only ever given whole windows has no ``stride_frames``, ``receptive_frames`` and ``columns`` to tell.
    """

    window_frames: Annotated[
        int, told("rows in a window: of features input.shape's frames; of a waveform the hops that hold its samples")
    ]
    onset_lag_samples: Annotated[
        int, told("how late the scores say that something began, at sample_rate: onsets are dated back by so much")
    ]
    offset_lag_samples: Annotated[int, told("the same of its end")]
    stride_frames: Annotated[int, told("of a stateful stream.tflite: frames in a step")] = 1
    receptive_frames: Annotated[
        int,
        told("frames that a score rests on; of a graph that keeps state, what it must have heard before scores count"),
    ] = 0
    columns: Annotated[int, told("of a stateful stream.tflite: steps that its head looks at")] = 0
    lags: Annotated[dict[str, tuple[int, int]], told("onset and offset lag of single labels")] = {}


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

    output: Annotated[str | int, told("which output it is, by name or by place from 0")]
    size: Annotated[int, told("how many numbers it is")]


class HeadFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names labels that the network itself does not know: heads behind its embedding score them (`auricle teach`)."""

    file: Annotated[str, told("their weights, one of `files`")]
    labels: Annotated[list[str], told("the last of the card's labels")]


class Bank(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names embeddings of what is none of the sounds that somebody may teach: background to learn the difference
    from."""

    file: Annotated[str, told("the embeddings, one of `files`; `auricle-build bank` writes it")]
    kinds: Annotated[list[str], told("what they are of, by the numbers that stand there")]


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Proposes how to decide upon the scores where the configuration says nothing; keys and units are those of
    `decision`."""

    hop_ms: Annotated[float | None, told("from one decision to the next")] = None
    smoothing_ms: Annotated[float | None, told("scores are averaged over so long")] = None
    threshold: Annotated[float | None, told("at which an event begins")] = None
    hysteresis: Annotated[float | None, told("how far below it an event ends")] = None
    min_duration_ms: Annotated[float | None, told("what is shorter is no event")] = None


BY_LABEL = {
    "smoothing_ms": "smoothings_ms",
    "threshold": "thresholds",
    "hysteresis": "hystereses",
    "min_duration_ms": "min_durations_ms",
}
"""Keys of `decision` that a card may propose for single labels too, and where."""


class Card(msgspec.Struct, frozen=True):
    """Holds what ``card.yaml`` must say; more may stand there for people to read."""

    format: Annotated[int, told("1")]
    name: Annotated[str, told("of the model, as messages name it")]
    labels: Annotated[list[str], told("slugs (a-z, 0-9, _), in the order of the scores")]
    background: Annotated[str | None, told("the label that means that there is nothing; null without one")]
    head: Annotated[str, told("softmax, one label at a time, or sigmoid, each by itself")]
    input: Annotated[Input, told("what the network takes")]
    front_end: Annotated[FrontEndSettings, told("from samples to its rows")]
    timing: Annotated[Timing, told("how far it looks, and how late it speaks")]
    streaming: Annotated[bool, told("whether there is a stream.tflite, the same network with its state outside")]
    files: Annotated[dict[str, str], told("SHA-256 of model.tflite, golden.npz and whatever else belongs to it")]
    licence: Annotated[str, told("of the network")]
    output: Annotated[Output, told("what the network gives")] = Output()
    quantisation: Annotated[Quantisation, told("what its integers stand for")] = Quantisation()
    keeps_state: Annotated[
        bool,
        told("whether the graph remembers what it heard in variables of its own; it is given every window once then"),
    ] = False
    padding: Annotated[str, told("wrap: how what is shorter than a window is filled")] = "wrap"
    description: Annotated[str, told("a line for people")] = ""
    decision: Annotated[Proposal, told("how to decide, for all labels, where the configuration says nothing")] = (
        Proposal()
    )
    thresholds: Annotated[dict[str, float], told("the same for single labels")] = {}
    smoothings_ms: Annotated[dict[str, float], told("the same for single labels")] = {}
    hystereses: Annotated[dict[str, float], told("the same for single labels")] = {}
    min_durations_ms: Annotated[dict[str, float], told("the same for single labels")] = {}
    includes: Annotated[
        dict[str, list[str]], told("labels that a label contains, as `{alarm: [siren, smoke_alarm]}`")
    ] = {}
    measured: Annotated[dict[str, str], told("what a label's figures rest on, a line for people")] = {}
    display: Annotated[dict[str, str], told("what people call a label, in any script")] = {}
    golden_steps: Annotated[
        int,
        told("by how many int8 steps (of float32 256ths of a score) other machines may differ, at most 64"),
    ] = 2
    embedding: Annotated[Embedding | None, told("the second output of model.tflite, int8, where it has one")] = None
    heads: Annotated[
        HeadFile | None, told("labels of somebody's own behind the embedding; `auricle teach` writes them")
    ] = None
    bank: Annotated[Bank | None, told("background that `auricle teach` learns the difference from")] = None
    stream: Annotated[StreamTensors | None, told("the tensors of stream.tflite; `auricle-build` writes them")] = None

    @property
    def n_scores(self) -> int:
        """Return how many scores the network gives: one for every label but those of heads."""
        return len(self.labels) - (0 if self.heads is None else len(self.heads.labels))

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
