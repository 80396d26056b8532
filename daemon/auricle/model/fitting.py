"""A card's network and its front end must fit together; the rules are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from auricle import features
from auricle.model.card import DTYPES, FEATURES, LAYOUTS, WAVEFORM, Affine, Card
from auricle.model.check import UNREAD, Check, holds, within
from auricle.stages.filters import TAPERS
from auricle.stages.spectrum import ALIGNS

LONGEST_S = 60.0
"""A window is no longer than this: a decision that looks further back is no event of a moment any more, and takes
memory for nothing."""
_LARGEST = 1e6
"""A feature's numbers are no larger than this: counts of bands, frequencies, and what else the kinds know."""
_ZERO_POINTS = {"int8": (-128, 127), "uint8": (0, 255)}
_SOUND = [{"kind": "sound"}]

FRAMES = (
    within("front_end.sample_rate", lambda card: card.front_end.sample_rate, 1_000, 1_000_000),
    within("front_end.n_fft", lambda card: card.front_end.n_fft, 2, 65_536),
    within("front_end.hop_length", lambda card: card.front_end.hop_length, 1, 65_536),
    within("front_end.win_length", lambda card: card.front_end.win_length, 1, 65_536),
)
"""What is larger than any front end is, and would take memory before anything else says so."""
EXTENTS = (
    within("timing.window_frames", lambda card: card.timing.window_frames, 1, 100_000),
    within("timing.stride_frames", lambda card: card.timing.stride_frames, 1, 100_000),
    within("timing.receptive_frames", lambda card: card.timing.receptive_frames, 0, 1_000_000),
    within("timing.columns", lambda card: card.timing.columns, 0, 100_000),
)
"""The same of the network."""


def _shape(card: Card) -> Iterator[str]:
    kind, shape = card.input.kind, card.input.shape
    most = 10_000_000 if kind == WAVEFORM else 100_000
    if not all(1 <= extent <= most for extent in shape):
        yield f"input.shape: {list(shape)} cannot be; use 1 to {most}"
    elif kind in (FEATURES, WAVEFORM) and len(shape) != (extents := 1 if kind == WAVEFORM else 2):
        says = "[samples]" if extents == 1 else "[frames, features]"
        yield f"input.shape: {list(shape)} does not describe {kind}; use {says}"


def _kind(card: Card) -> Iterator[str]:
    if card.input.kind not in (FEATURES, WAVEFORM):
        yield f"input.kind: {card.input.kind!r} is not known here; use {FEATURES} or {WAVEFORM}"


def _layout(card: Card) -> Iterator[str]:
    if card.input.layout not in LAYOUTS:
        yield f"input.layout: {card.input.layout!r} is not known; use {' or '.join(LAYOUTS)}"


def _window(card: Card) -> Iterator[str]:
    """Yield whether the window's frames are not the input's."""
    timing, shape = card.timing, card.input.shape
    if not holds(card, (_kind, _shape)):
        return
    if card.input.kind == FEATURES:
        if shape[0] != timing.window_frames:
            yield f"timing.window_frames: {timing.window_frames} is not input.shape's {shape[0]}"
    elif card.front_end.hop_length > 0:
        frames = -(-shape[0] // card.front_end.hop_length)
        if timing.window_frames != frames:
            yield f"timing.window_frames: {timing.window_frames} hops do not hold {shape[0]} samples; use {frames}"


def _length(card: Card) -> Iterator[str]:
    if holds(card, (*FRAMES, *EXTENTS, _kind, _shape)) and card.window_s > LONGEST_S:
        yield f"input.shape: a window of {card.window_s:g} s; use at most {LONGEST_S:g} s"


def _reach(card: Card) -> Iterator[str]:
    timing = card.timing
    if card.streaming and timing.receptive_frames + (timing.columns - 1) * timing.stride_frames != timing.window_frames:
        yield "timing: window_frames is not receptive_frames + (columns - 1) * stride_frames"


def _streaming(card: Card) -> Iterator[str]:
    if not card.streaming:
        return
    if card.keeps_state or card.input.kind == WAVEFORM:
        other = "keeps_state" if card.keeps_state else "a waveform"
        yield f"streaming: {other} and a stateful stream.tflite do not go together; use false"
    if (card.input.dtype, card.output.dtype) != ("int8", "int8"):
        yield "streaming: a stateful stream.tflite is int8, in and out; use false"


def _grid(key: str, of: Callable[[Card], tuple[str, Affine]]) -> tuple[Check, ...]:
    """Return the rules of a tensor's type and of what its values stand for."""

    def dtype(card: Card) -> Iterator[str]:
        said, _ = of(card)
        if said not in DTYPES:
            yield f"{key}.dtype: {said!r} is not known; use {', '.join(DTYPES)}"

    def scale(card: Card) -> Iterator[str]:
        _, grid = of(card)
        if not 1e-12 <= grid.scale <= 1e12:
            yield f"quantisation.{key}.scale: {grid.scale:g} is not positive, or no step that values have"

    def zero_point(card: Card) -> Iterator[str]:
        said, grid = of(card)
        if said in _ZERO_POINTS:
            least, most = _ZERO_POINTS[said]
            if not least <= grid.zero_point <= most:
                yield f"quantisation.{key}.zero_point: {grid.zero_point} is no {said}; use {least} to {most}"

    return dtype, scale, zero_point


def _embedding(card: Card) -> Iterator[str]:
    if card.embedding is not None and (card.embedding.scale <= 0 or card.embedding.size < 1):
        yield f"embedding: scale {card.embedding.scale:g} and size {card.embedding.size} are not both above 0"


def _pre_emphasis(card: Card) -> Iterator[str]:
    given = card.front_end.pre_emphasis
    if given is not None and not 0 < given <= 1:
        yield f"front_end.pre_emphasis: {given:g} cannot be; use a number above 0, at most 1, as 0.97"


def _taper(card: Card) -> Iterator[str]:
    if card.front_end.taper not in TAPERS:
        yield f"front_end.taper: {card.front_end.taper!r} is not known; use {', '.join(TAPERS)}"


def _align(card: Card) -> Iterator[str]:
    if card.front_end.align not in ALIGNS:
        yield f"front_end.align: {card.front_end.align!r} is not known; use {' or '.join(ALIGNS)}"


def _fits(card: Card) -> Iterator[str]:
    front = card.front_end
    if front.win_length is not None and front.n_fft < front.win_length <= 65_536:
        yield f"front_end.win_length: {front.win_length} is more than n_fft, {front.n_fft}; use at most that"


def _sound(card: Card) -> Iterator[str]:
    """Yield whether the features are not of the input's kind."""
    if card.input.kind == WAVEFORM and card.front_end.features != _SOUND:
        yield "front_end.features: a waveform is made of [{kind: sound}]; use that"
    if card.input.kind == FEATURES and any(kind.get("kind") == "sound" for kind in card.front_end.features):
        yield "front_end.features: sound is no feature; use it alone, with input.kind: waveform"


def _features(card: Card) -> Iterator[str]:
    """Yield what is wrong with the features' own parameters, and whether they give other rows than the network
    takes."""
    front, found = card.front_end, False
    bounded: list[dict[str, Any]] = []
    for i, feature in enumerate(front.features):
        bounded.append({})
        for key, value in feature.items():
            if isinstance(value, int | float) and not abs(value) <= _LARGEST:
                found = True
                yield f"front_end.features[{i}].{key}: {value:.9g} cannot be; use at most {_LARGEST:g}"
            else:
                bounded[-1][key] = value
    frames = {name: value for name, value in front.params().items() if name != "features"}
    possible = front.remove_dc is not UNREAD and holds(card, (*FRAMES, _pre_emphasis, _taper, _align, _fits))
    for place, said in features.faults(bounded, frames if possible else None):
        found = True
        yield f"front_end.features{place}: {said}"
    if not found and possible and holds(card, (_kind, _shape, _sound)):
        gives, takes = features.width(bounded, frames), card.n_features
        if gives != takes:
            yield (
                f"front_end.features: give {gives} numbers a frame, and input.shape has {takes}; give the front end "
                "of the training"
            )


CHECKS: tuple[Check, ...] = (
    *(*FRAMES, *EXTENTS),
    *(_kind, _shape, _layout, _window, _length, _reach, _streaming),
    *_grid("input", lambda card: (card.input.dtype, card.quantisation.input)),
    *_grid("output", lambda card: (card.output.dtype, card.quantisation.output)),
    *(_embedding, _pre_emphasis, _taper, _align, _fits, _sound, _features),
)
