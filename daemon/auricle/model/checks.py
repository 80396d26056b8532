"""The keys of a card must fit together; this is checked before its network is opened."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auricle.model.card import BY_LABEL, DTYPES, FEATURES, LAYOUTS, WAVEFORM, Affine, Card, contained
from auricle.stages.filters import TAPERS
from auricle.stages.spectrum import ALIGNS

LONGEST_S = 60.0
"""A window is no longer than this: a decision that looks further back is no event of a moment any more, and takes
memory for nothing."""
_LARGEST = 1e6
"""A feature's numbers are no larger than this: counts of bands, frequencies, and what else the kinds know."""
_BOUNDS = {"smoothing_ms": 10_000.0, "threshold": 1.0, "hysteresis": 1.0, "min_duration_ms": 60_000.0}
"""Keys and the most that each may be; the least is 0."""
_ZERO_POINTS = {"int8": (-128, 127), "uint8": (0, 255)}
_SOUND = [{"kind": "sound"}]


def faults(card: Card) -> Iterator[str]:
    """Yield everything in a card that does not fit together, each as ``key: what is wrong``."""
    sizes = list(_of_sizes(card))
    yield from sizes
    for problems in (_of_network, _of_grids, _of_heads, _of_front_end, _of_labels):
        yield from problems(card)
    if not sizes:  # of a rate of 0 there is no hop
        yield from _of_rules(card)


def _of_sizes(card: Card) -> Iterator[str]:
    """Yield what is larger than any model or front end is, and would take memory before anything else says so."""
    front, timing, waveform = card.front_end, card.timing, card.input.kind == WAVEFORM
    extents = card.input.shape or (0,)
    sizes = {
        "front_end.sample_rate": (front.sample_rate, 1_000, 1_000_000),
        "front_end.n_fft": (front.n_fft, 2, 65_536),
        "front_end.hop_length": (front.hop_length, 1, 65_536),
        "front_end.win_length": (front.win_length or 1, 1, 65_536),
        "input.shape": (max(extents) if min(extents) > 0 else 0, 1, 10_000_000 if waveform else 100_000),
        "timing.window_frames": (timing.window_frames, 1, 100_000),
        "timing.stride_frames": (timing.stride_frames, 1, 100_000),
        "timing.receptive_frames": (timing.receptive_frames, 0, 1_000_000),
        "timing.columns": (timing.columns, 0, 100_000),
    }
    wrong = False
    for key, (value, least, most) in sizes.items():
        if not least <= value <= most:
            wrong = True
            yield f"{key}: {value:.9g} cannot be; use {least} to {most}"
    if not wrong and card.window_s > LONGEST_S:
        yield f"input.shape: a window of {card.window_s:g} s; use at most {LONGEST_S:g} s"
    for kind in front.features:
        for key, value in kind.items():
            if isinstance(value, int | float) and not abs(value) <= _LARGEST:
                yield f"front_end.features: {key}: {value:.9g} cannot be; use at most {_LARGEST:g}"
    lags = [
        timing.onset_lag_samples,
        timing.offset_lag_samples,
        *(lag for pair in timing.lags.values() for lag in pair),
    ]
    if any(abs(lag) > 2**31 for lag in lags):
        yield "timing: a lag of more than 2147483648 samples"


def _of_network(card: Card) -> Iterator[str]:
    """Yield what is wrong with labels and extents."""
    timing, shape = card.timing, card.input.shape
    if len(set(card.labels)) != len(card.labels) or not card.labels:
        yield "labels: each must be named once"
    for label in card.labels:
        if re.fullmatch("[a-z0-9_]+", label) is None:
            yield f"labels: {label!r} is no slug; use a-z, 0-9 and _, and the name for people in display"
    if card.background is not None and card.background not in card.labels:
        yield f"background: {card.background!r} is none of the labels"
    if card.head not in ("softmax", "sigmoid"):
        yield f"head: {card.head!r} is not known; use softmax or sigmoid"
    if card.input.kind not in (FEATURES, WAVEFORM):
        yield f"input.kind: {card.input.kind!r} is not known here; use {FEATURES} or {WAVEFORM}"
    elif len(shape) != (extents := 1 if card.input.kind == WAVEFORM else 2):
        says = "[samples]" if extents == 1 else "[frames, features]"
        yield f"input.shape: {list(shape)} does not describe {card.input.kind}; use {says}"
    elif card.input.kind == FEATURES and shape[0] != timing.window_frames:
        yield f"timing.window_frames: {timing.window_frames} is not input.shape's {shape[0]}"
    elif card.input.kind == WAVEFORM and card.front_end.hop_length > 0:
        frames = -(-shape[0] // card.front_end.hop_length)
        if timing.window_frames != frames:
            yield f"timing.window_frames: {timing.window_frames} hops do not hold {shape[0]} samples; use {frames}"
    if card.input.layout not in LAYOUTS:
        yield f"input.layout: {card.input.layout!r} is not known; use {' or '.join(LAYOUTS)}"
    reach = timing.receptive_frames + (timing.columns - 1) * timing.stride_frames
    if card.streaming and reach != timing.window_frames:
        yield "timing: window_frames is not receptive_frames + (columns - 1) * stride_frames"
    if timing.stride_frames < 1:
        yield f"timing.stride_frames: {timing.stride_frames} is not above 0"
    if card.streaming and (card.keeps_state or card.input.kind == WAVEFORM):
        other = "keeps_state" if card.keeps_state else "a waveform"
        yield f"streaming: {other} and a stateful stream.tflite do not go together; use false"
    if card.padding != "wrap":
        yield f"padding: {card.padding!r} is not known; use wrap"
    if not 0 <= card.golden_steps <= 64:
        yield f"golden_steps: {card.golden_steps} is no tolerance; use 0 to 64"


def _of_grids(card: Card) -> Iterator[str]:
    """Yield what is wrong with the types of tensors, and with what their values stand for."""
    grids: dict[str, tuple[str, Affine]] = {
        "input": (card.input.dtype, card.quantisation.input),
        "output": (card.output.dtype, card.quantisation.output),
    }
    for key, (dtype, grid) in grids.items():
        if dtype not in DTYPES:
            yield f"{key}.dtype: {dtype!r} is not known; use {', '.join(DTYPES)}"
        if not 1e-12 <= grid.scale <= 1e12:
            yield f"quantisation.{key}.scale: {grid.scale:g} is not positive, or no step that values have"
        least, most = _ZERO_POINTS.get(dtype, (0, 0))
        if dtype in _ZERO_POINTS and not least <= grid.zero_point <= most:
            yield f"quantisation.{key}.zero_point: {grid.zero_point} is no {dtype}; use {least} to {most}"
    if card.streaming and (card.input.dtype, card.output.dtype) != ("int8", "int8"):
        yield "streaming: a stateful stream.tflite is int8, in and out; use false"
    if card.embedding is not None and (card.embedding.scale <= 0 or card.embedding.size < 1):
        yield f"embedding: scale {card.embedding.scale:g} and size {card.embedding.size} are not both above 0"


def _of_heads(card: Card) -> Iterator[str]:
    """Yield what is wrong with labels behind the embedding."""
    if card.heads is None:
        return
    labels = card.heads.labels
    if not labels or len(labels) >= len(card.labels) or card.labels[-len(labels) :] != labels:
        yield f"heads.labels: {labels} are not the last of the labels, or all of them"
    if card.background in labels:
        yield f"heads.labels: {card.background!r} is the background, which no head scores"
    if card.embedding is None:
        yield "heads: there is no embedding for them; name the network's second output in embedding"
    if card.streaming or card.keeps_state:
        yield "heads: only whole windows have an embedding; use streaming: false, without keeps_state"
    if card.heads.file not in card.files:
        yield f"heads.file: {card.heads.file!r} is none of the files"


def _of_front_end(card: Card) -> Iterator[str]:
    """Yield what is wrong with how sound is to be heard; the features' own parameters are refused by their stages."""
    front = card.front_end
    if front.pre_emphasis is not None and not 0 < front.pre_emphasis <= 1:
        yield f"front_end.pre_emphasis: {front.pre_emphasis:g} cannot be; use a number above 0, at most 1, as 0.97"
    if front.taper not in TAPERS:
        yield f"front_end.taper: {front.taper!r} is not known; use {', '.join(TAPERS)}"
    if front.align not in ALIGNS:
        yield f"front_end.align: {front.align!r} is not known; use {' or '.join(ALIGNS)}"
    if card.input.kind == WAVEFORM and front.features != _SOUND:
        yield "front_end.features: a waveform is made of [{kind: sound}]; use that"
    if card.input.kind == FEATURES and any(kind.get("kind") == "sound" for kind in front.features):
        yield "front_end.features: sound is no feature; use it alone, with input.kind: waveform"


def _of_rules(card: Card) -> Iterator[str]:
    """Yield what is wrong with the rules that the card proposes."""
    proposed, step_ms = card.decision, 1000 * card.step_samples / card.front_end.sample_rate
    known = frozenset(card.labels)  # of thousands a list is searched for seconds
    if proposed.hop_ms is not None:
        hops = round(proposed.hop_ms / step_ms)
        if hops < 1 or abs(proposed.hop_ms - hops * step_ms) > 1e-6:
            yield f"decision.hop_ms: {proposed.hop_ms:g} is no multiple of {step_ms:g}, the step of the network"
    for name, most in _BOUNDS.items():
        # A threshold of 0 would be passed by everything.
        least, span = (1e-9, "above 0, at most 1") if name == "threshold" else (0.0, f"0 to {most:g}")
        given: dict[str, float] = getattr(card, BY_LABEL[name])
        if not all(label in known and least <= value <= most for label, value in given.items()):
            yield f"{BY_LABEL[name]}: {given} are not each of a label and {span}"
        value = getattr(proposed, name)
        if value is not None and not least <= value <= most:
            yield f"decision.{name}: {value:g} is not {span}"
    for label, hysteresis in card.hystereses.items():
        threshold = card.proposes("threshold", label)
        if threshold is not None and hysteresis >= threshold:
            yield f"hystereses: {hysteresis:g} of {label!r} is not below its threshold {threshold:g}; none would end"


def _of_labels(card: Card) -> Iterator[str]:
    """Yield what is wrong with what is said of single labels."""
    known = frozenset(card.labels)
    for label, parts in card.includes.items():
        for name in (label, *parts):
            if name not in known or name == card.background:
                yield f"includes: {name!r} is none of the labels that raise events"
        if not parts or len(set(parts)) != len(parts):
            yield f"includes: {label!r} must name the labels that it contains, each once"
    try:
        contained(card.includes)
    except ValueError as e:
        yield f"includes: a label cannot contain itself: {e}"
    for key, texts in (("measured", card.measured), ("display", card.display)):
        for label, text in texts.items():
            if label not in known:
                yield f"{key}: {label!r} is none of the labels"
            if not text.strip() or not text.isprintable():
                yield f"{key}: what is said of {label!r} is not one line of text"
