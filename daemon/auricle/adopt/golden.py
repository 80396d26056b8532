"""Golden vectors of somebody's network are made here: what it says of Auricle's own sounds, to be asked again at every
load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from auricle import config
from auricle.errors import ModelError
from auricle.features import front_end
from auricle.hearing.ear import Ear
from auricle.model import bundle, reading
from auricle.model.card import Card
from auricle.model.network import Network, dequantise, quantise, scores_of

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Of thousands of labels the one in Python takes seconds."""
WINDOWS = 3
NEAR = 0.01
"""Scores may lie so far beyond 0 and 1: rounding does that, and grids that are a little too wide."""


def sounds(sample_rate: int, samples: int) -> NDArray[np.float32]:
    """Make a hush, a chirp, a voice-like hum and bursts of noise, ``(samples,)``; the same on every call."""
    t = np.arange(samples) / sample_rate
    rng = np.random.default_rng(17)
    out = 1e-3 * rng.standard_normal(samples)
    chirp = np.sin(2 * np.pi * (150.0 * t + 500.0 * t**2 % sample_rate))
    hum = sum(np.sin(2 * np.pi * 180.0 * k * t + k) / k for k in range(1, 9))
    bursts = rng.standard_normal(samples) * (np.sin(2 * np.pi * 2.0 * t) > 0.2)
    for i, part in enumerate((chirp, hum, bursts)):
        out += 0.2 * part * (np.floor(3.0 * np.arange(samples) / samples) == i)
    return np.clip(out, -1.0, 1.0).astype(np.float32)


def rows(card: Card, n: int) -> NDArray[np.float32]:
    """Return feature rows ``(n, n_features)`` of `sounds` through the card's front end.

    Raises:
        ModelError: the front end needs what is not installed here.
    """
    try:
        front = front_end(**card.front_end.params())
    except ValueError as e:
        raise ModelError(f"front_end: {e}") from None
    heard = front.process(sounds(card.front_end.sample_rate, front.span + (n - 1) * front.hop))
    return np.ascontiguousarray(heard[:n], np.float32)


def complete(folder: Path) -> None:
    """Write ``golden.npz`` beside a card and a graph that nobody has run yet, and the hashes of both into the card.

    Then hear with the bundle, as the daemon does.

    Raises:
        ModelError: the card or the graph does not hold.
    """
    card, raw = reading.read((folder / "card.yaml").read_bytes(), f"{folder}/card.yaml")
    span = card.timing.window_frames
    heard = rows(card, WINDOWS * span)
    network = Network(card, (folder / "model.tflite").read_bytes(), f"{folder}/model.tflite")
    quantised = quantise(heard, card.quantisation.input, card.input.dtype)
    given = [network(quantised[i * span : (i + 1) * span]) for i in range(WINDOWS)]
    if not all(np.isfinite(scores_of(each, card)).all() for each in given):
        raise ModelError(f"{folder}: gives what is no number for plain sounds; it cannot be used")
    if not card.output.logits:
        said = np.stack(given)
        values = said if card.output.dtype == "float32" else dequantise(said, card.quantisation.output)
        furthest = max(float(values.min()), float(values.max()), key=lambda value: max(value - 1, -value))
        if max(furthest - 1, -furthest) > NEAR:
            raise ModelError(
                f"{folder}: gives {furthest:.3g} for a plain sound, which is no score from 0 to 1; "
                "if it gives logits, say so in a card: output: {logits: true}"
            )
    kept: dict[str, Any] = {"frames": heard, "hop_frames": span, "scores": np.stack(given)}
    np.savez_compressed(folder / "golden.npz", **kept)
    write_card(folder, {**raw, "files": {file: _hash(folder / file) for file in ("model.tflite", "golden.npz")}})
    Ear(bundle.load(str(folder)), config.Decision(), config.Gate(), config.Publish()).warm()


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write a card into a bundle's folder."""
    text = yaml.dump(
        dict(card), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    (folder / "card.yaml").write_text(text, encoding="utf-8")


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
