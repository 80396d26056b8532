"""A card is written here for somebody's network, with what was found in the file, what had to be assumed, and what is
wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from auricle.adopt import known
from auricle.adopt.facts import Facts, Tensor
from auricle.adopt.known import Known
from auricle.adopt.labels import Labels
from auricle.model.card import DTYPES, FEATURES
from auricle.model.fitting import LONGEST_S

FLEX, EDGE_TPU = "Flex", "edgetpu-custom-op"
_SHORTEST = 2000
"""An input of one axis with at least so many values is taken for sound."""
_FRACTION = 2
"""A network is asked twice in each of its windows, so that a sound lies whole in one of them."""
_USUAL_HOP_MS = 80.0


@dataclass
class Draft:
    """Holds a card as far as it could be written.

    Args:
        name: what the bundle is called.
    """

    name: str
    card: dict[str, Any] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    """What the file says."""
    assumed: list[str] = field(default_factory=list)
    """What the file does not say, so that the likeliest was taken."""
    unknown: list[str] = field(default_factory=list)
    """What neither the file nor its shape tells; only its makers know it."""
    problems: list[str] = field(default_factory=list)
    """Why the file cannot become a bundle; empty if it can."""


def draft(
    name: str,
    facts: Facts,
    labels: Labels | None,
    like: str | None,
    given: Mapping[str, Any] = MappingProxyType({}),
    *,
    named: bool = True,
) -> Draft:
    """Write a card from what the file says.

    Args:
        labels: those that came with the file.
        like: a front end of `known`, where somebody knows better than the shape tells.
        given: keys of a card that go before what is found.
        named: false where its labels could not be read, so that it is no problem that there are none.
    """
    made = Draft(name)
    if "labels" in given and isinstance(given["labels"], list):
        labels = Labels(tuple(map(str, given["labels"])), tuple(map(str, given["labels"])), "the card that was given")
    _ops(made, facts)
    output = _output(made, facts, labels)
    if len(facts.inputs) != 1:
        made.problems.append(
            f"it takes {len(facts.inputs)} inputs ({', '.join(repr(each.name) for each in facts.inputs)}); "
            "a network that hears takes one"
        )
    elif (problem := _dtype("input", facts.inputs[0])) is not None:
        made.problems.append(problem)
    else:
        _input(made, facts, like, given)
    if named:
        _labels(made, output, labels)
    about = facts.told
    made.card = {
        "format": 1,
        "name": name,
        "description": " ".join((about.description or about.name).split())[:200],
        "licence": " ".join(about.licence.split())[:200] or "unknown",
        **made.card,
        "streaming": False,
    }
    given = {key: value for key, value in given.items() if key not in ("format", "name", "files")}
    made.card = _over(made.card, given)
    if "front_end" in given and made.card.get("input", {}).get("kind") == FEATURES:
        made.card["front_end"] = given["front_end"]  # as a whole: it is another one
    if not about.licence:
        made.unknown.append("its licence, and what it was trained on: ask those who made it before you pass it on")
    if about.calibrated:
        made.unknown.append("scores as its makers calibrated them: the calibration in the file is not applied")
    return made


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay keys over others: sections key by key, all else as a whole."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return both


def _ops(made: Draft, facts: Facts) -> None:
    """Refuse what this runtime has no code for."""
    for op in dict.fromkeys(facts.custom):
        if op == EDGE_TPU:
            made.problems.append("it is compiled for the Edge TPU; use the .tflite it was compiled from")
        elif op.startswith(FLEX):
            made.problems.append(
                f"it needs TensorFlow's own op {op.removeprefix(FLEX)} (select TF ops); convert it with TFLite's alone"
            )
        else:
            made.problems.append(f"it needs the custom op {op!r}, which this runtime does not have")
    if facts.keeps_state:
        made.card["keeps_state"] = True
        made.found.append("it remembers what it heard in variables: it is given every window once")


def _dtype(what: str, tensor: Tensor) -> str | None:
    if tensor.dtype not in DTYPES:
        return f"its {what} {tensor.name!r} is {tensor.dtype}; use {', '.join(DTYPES[:-1])} or {DTYPES[-1]}"
    if tensor.dtype != "float32" and tensor.scale <= 0:
        return f"its {what} {tensor.name!r} is {tensor.dtype} without a scale; convert it with quantisation parameters"
    return None


def _output(made: Draft, facts: Facts, labels: Labels | None) -> Tensor | None:
    """Find out which output holds the scores, and what they are."""
    outputs = facts.outputs
    if labels is not None and len(outputs) > 1:
        outputs = [each for each in outputs if abs(each.size) == len(labels.slugs)] or outputs
    if len(outputs) != 1:
        sizes = ", ".join(f"{each.name!r} of {abs(each.size)}" for each in outputs)
        made.problems.append(
            f"it gives {len(outputs)} outputs ({sizes}); no one of them has as many as there are labels"
        )
        return None
    (output,) = outputs
    if (problem := _dtype("output", output)) is not None:
        made.problems.append(problem)
        return None
    logits = not output.head
    head = "softmax" if output.head == "SOFTMAX" else "sigmoid"
    made.card |= {"head": head, "output": {"dtype": output.dtype, "logits": logits}}
    if len(facts.outputs) > 1:
        made.card["output"]["tensor"] = facts.outputs.index(output)
        made.found.append(
            f"of its {len(facts.outputs)} outputs, {output.name!r} has as many values as there are labels"
        )
    if logits:
        made.assumed.append(
            "no sigmoid or softmax ends the graph: its output is logits, and each label has its sigmoid"
        )
    else:
        made.found.append(f"{output.head} ends the graph: its output is scores")
    _grid(made, "output", output)
    return output


def _grid(made: Draft, what: str, tensor: Tensor) -> None:
    if tensor.dtype != "float32":
        grid = {"scale": tensor.scale, "zero_point": tensor.zero_point}
        made.card.setdefault("quantisation", {})[what] = grid


def _input(made: Draft, facts: Facts, like: str | None, given: Mapping[str, Any]) -> None:
    """Find out what the network takes, and the front end for it."""
    (tensor,) = facts.inputs
    extents = [n for n in tensor.extents if n != -1]
    dynamic = -1 in tensor.extents
    made.found.append(f"takes {tensor.dtype} of shape {tensor.shape}, gives {[each.shape for each in facts.outputs]}")
    _grid(made, "input", tensor)
    flat = len(extents) <= 1 and like not in {each.name for each in known.KNOWN}
    sound = flat and (dynamic or math.prod(extents) >= _SHORTEST)
    if sound or like == "birdnet" or any(op.startswith("RFFT") for op in facts.ops):
        own = given.get("front_end")
        rate = own.get("sample_rate") if isinstance(own, dict) else None
        told = rate if isinstance(rate, int) else facts.told.sample_rate
        _waveform(made, facts, math.prod(extents), like, rate=told, dynamic=dynamic)
    elif dynamic:
        made.problems.append(
            f"its input's shape {tensor.shape} is open in more than the first axis; fix it when converting"
        )
    else:
        _features(made, tensor, extents, like, given)


def _waveform(made: Draft, facts: Facts, samples: int, like: str | None, *, rate: int | None, dynamic: bool) -> None:
    if facts.told.channels not in (None, 1):
        made.problems.append(f"it takes {facts.told.channels} channels; Auricle hears one")
    if rate is not None:
        made.found.append(f"takes sound at {rate} Hz")
    elif like == "birdnet":
        rate = known.BIRDNET["sample_rate"]
    else:
        rate = known.RATES.get(samples, 16000)
        made.assumed.append(
            f"a sample rate of {rate} Hz, " + ("as others that take so much" if samples in known.RATES else "the usual")
        )
    if dynamic:
        samples = 15_600 if rate == 16000 else rate
        made.assumed.append(f"windows of {samples} samples: the graph leaves open how many it takes")
    if not 1000 <= rate <= 1_000_000 or samples < 1:
        made.problems.append(f"a sample rate of {rate} Hz with windows of {samples} samples cannot be")
        return
    if samples / rate > LONGEST_S:
        made.problems.append(f"a window of {samples / rate:g} s; at most {LONGEST_S:g} s are heard at once")
        return
    front = known.waveform(rate)
    (tensor,) = facts.inputs
    made.card |= {
        "input": {"kind": "waveform", "shape": [samples], "dtype": tensor.dtype},
        "front_end": front,
        "timing": _timing(-(-samples // front["hop_length"]), samples),
    }
    _decision(made, samples)


def _features(made: Draft, tensor: Tensor, extents: Sequence[int], like: str | None, given: Mapping[str, Any]) -> None:
    front = given.get("front_end")
    if isinstance(front, dict):
        own = given.get("input")
        shape = list(own.get("shape", extents)) if isinstance(own, dict) else list(extents)
        layout = "frames_features"
        sizes = [front.get(name) for name in ("sample_rate", "hop_length", "n_fft")]
        if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in (*shape, *sizes)):
            made.problems.append(
                "the card that was given must name front_end.sample_rate, n_fft and hop_length, and input.shape: "
                f"[frames, features] where {tensor.shape} does not tell them"
            )
            return
    else:
        match = _known(made, tensor, extents, like)
        if match is None:
            return
        shape, layout, one = match
        front = one.of(shape[1])
        made.assumed.append(f"its features are {one.what}; prove it with --clip and --is")
    samples = (shape[0] - 1) * front["hop_length"] + (front.get("win_length") or front["n_fft"])
    made.card |= {
        "input": {"kind": "features", "shape": shape, "dtype": tensor.dtype, "layout": layout},
        "front_end": front,
        "timing": _timing(shape[0], samples),
    }
    _decision(made, samples)


def _known(
    made: Draft, tensor: Tensor, extents: Sequence[int], like: str | None
) -> tuple[list[int], str, Known] | None:
    """Find the front end that made such features, with its shape and how they lie; `None` if there is none."""
    shape, layout = list(extents), "frames_features"
    flat = len(shape) == 1
    ones = [each for each in known.KNOWN if like in (None, each.name)]
    if flat:
        match = next((each for each in ones if 0 not in each.shape and math.prod(each.shape) == shape[0]), None)
        if match is None:
            made.problems.append(
                f"its input of {shape[0]} values does not say how many frames and features they are; "
                f"name a front end with --like {' or '.join(each.name for each in known.KNOWN[:-1])}, or write the card"
            )
            return None
        shape = list(match.shape)
    elif len(shape) != 2:
        made.problems.append(f"its input of shape {tensor.shape} is neither sound nor frames of features")
        return None
    # Forty bands are usual; that they are the micro front end's is likely only where the graph keeps state.
    if like is None and not made.card.get("keeps_state"):
        ones = [each for each in ones if each.name != "micro"]
    candidates = [each for each in known.alike(shape) if each in ones]
    turned = [each for each in known.alike(shape[::-1]) if like in (None, each.name) and 0 not in each.shape]
    if turned and (not candidates or 0 in candidates[0].shape):
        shape, layout, candidates = shape[::-1], "features_frames", turned
    if not candidates:
        made.problems.append(
            f"its input of {shape[0]} x {shape[1]} is not {like}'s; leave --like out, or write the card"
        )
        return None
    return shape, layout, candidates[0]


def _timing(frames: int, samples: int) -> dict[str, int]:
    """Return the card's timing: scores speak of the whole window, so that events are dated back by half of it."""
    return {"window_frames": frames, "onset_lag_samples": samples // 2, "offset_lag_samples": samples // 2}


def _decision(made: Draft, samples: int) -> None:
    """Choose how often to decide: a network that looks at seconds is asked twice in each of its windows."""
    front, frames = made.card["front_end"], made.card["timing"]["window_frames"]
    step = frames if made.card.get("keeps_state") else 1
    step_ms = 1000 * step * front["hop_length"] / front["sample_rate"]
    window_ms = 1000 * samples / front["sample_rate"]
    wanted_ms = _USUAL_HOP_MS if made.card.get("keeps_state") else max(_USUAL_HOP_MS, window_ms / _FRACTION)
    hop_ms = min(10_000.0, max(1, math.floor(wanted_ms / step_ms + 1e-9)) * step_ms)
    made.card["decision"] = {"hop_ms": round(hop_ms, 6)}
    if hop_ms >= 300:
        made.card["decision"] |= {"smoothing_ms": 0.0, "min_duration_ms": 0.0}
    made.assumed.append(f"a decision every {hop_ms:g} ms, a threshold of 0.5, events dated back by half a window")


def _labels(made: Draft, output: Tensor | None, labels: Labels | None) -> None:
    if output is None:
        return
    n = abs(output.size)
    if labels is None and n > 1:
        made.problems.append(
            f"no labels lie in it or beside it; give --labels FILE with {n} lines, in the order of its scores"
        )
        return
    if labels is None:
        labels = Labels((made.name,), (made.name,), "its only score")
        made.assumed.append(f"its only score is called {made.name}")
    if len(labels.slugs) != n:
        made.problems.append(f"{labels.found} has {len(labels.slugs)} labels, but the network gives {n} scores")
        return
    made.found.append(f"{n} labels from {labels.found}")
    made.card |= {"labels": list(labels.slugs), "background": labels.background}
    display = {own: name for own, name in zip(labels.slugs, labels.display, strict=True) if name != own}
    if display:
        made.card["display"] = display
    if labels.background is not None:
        made.assumed.append(f"{labels.background} means that there is nothing: it raises no event")
