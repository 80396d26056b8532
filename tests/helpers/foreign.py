"""Bundles around graphs that others might have made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from auricle.model.card import Card
from auricle.model.network import Network, quantise
from helpers.sounds import RATE

WAVEFORM_FRONT_END = {
    "sample_rate": RATE,
    "n_fft": 640,
    "hop_length": 160,
    "features": [{"kind": "sound"}],
}


def bundled(folder: Path, content: bytes, rows: NDArray[np.float32], *, labels: list[str], **card: Any) -> Path:
    """Write a bundle of this graph, whose golden vectors are what it says of these rows, two windows of them.

    Args:
        rows: ``(2 * window_frames, n_features)`` float32.
        card: what it says, but for name, files and what is always alike.
    """
    whole: dict[str, Any] = {
        "format": 1,
        "name": folder.name,
        "licence": "CC0",
        "labels": labels,
        "background": None,
        "head": "sigmoid",
        "streaming": False,
        "files": {},
        **card,
    }
    span = whole["timing"]["window_frames"]
    typed = msgspec.convert(whole, Card)
    network = Network(typed, content, str(folder))
    windows = quantise(rows, typed.quantisation.input, typed.input.dtype).reshape(2, span, -1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(content)
    scores = np.stack([network(window) for window in windows])
    np.savez(folder / "golden.npz", frames=rows, hop_frames=span, scores=scores)
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.tflite", "golden.npz")}
    (folder / "card.yaml").write_text(yaml.safe_dump({**whole, "files": files}, sort_keys=False))
    return folder


def timing(window_frames: int, **more: int) -> dict[str, int]:
    """Of a card that says nothing of lags."""
    return {"window_frames": window_frames, "onset_lag_samples": 0, "offset_lag_samples": 0, **more}
