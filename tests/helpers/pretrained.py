"""A pretrained network is made up here for tests: weights of the right names and shapes, a table of classes, a front
end."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle_build.learn.mobilenet import BLOCKS, LAST, N_AUDIOSET

Array = NDArray[np.float32]

BANDS = 107
FRONT_END: dict[str, Any] = {
    "sample_rate": 16000,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "pre_emphasis": 0.97,
    "taper": "hann_symmetric",
    "align": "start",
    "features": [
        {
            "kind": "log_mel",
            "basis": "kaldi",
            "n_mels": 128,
            "keep": BANDS,
            "fmin": 0,
            "fmax": 15000,
            "offset": 1e-5,
            "natural": True,
        }
    ],
}
"""The front end that the pretrained network hears through."""


def rounded(channels: float) -> int:
    """Round channels to a multiple of eight, and not less than nine tenths of what was asked for."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


def shapes(width: float = 0.4) -> dict[str, tuple[int, ...]]:
    """Return every weight's shape as PyTorch has it: (out, in, bands, time), by the names of EfficientAT's state
    dict."""
    found: dict[str, tuple[int, ...]] = {}

    def convolution(where: str, n_out: int, n_in: int, kernel: int) -> None:
        found[f"{where}.0.weight"] = (n_out, n_in, kernel, kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            found[f"{where}.1.{name}"] = (n_out,)

    def dense(where: str, n_out: int, n_in: int) -> None:
        found[f"{where}.weight"], found[f"{where}.bias"] = (n_out, n_in), (n_out,)

    n = rounded(16 * width)
    convolution("features.0", n, 1, 3)
    for i, block in enumerate(BLOCKS, start=1):
        wide, n_out, part = rounded(block.widened * width), rounded(block.n_out * width), 0
        if i > 1:
            convolution(f"features.{i}.block.{part}", wide, n, 1)
            part += 1
        convolution(f"features.{i}.block.{part}", wide, 1, block.kernel)
        part += 1
        if block.squeezed:
            narrow = rounded(wide // 4)
            dense(f"features.{i}.block.{part}.conc_se_layers.0.fc1", narrow, wide)
            dense(f"features.{i}.block.{part}.conc_se_layers.0.fc2", wide, narrow)
            part += 1
        convolution(f"features.{i}.block.{part}", n_out, wide, 1)
        n = n_out
    convolution(f"features.{LAST}", rounded(960 * width), n, 1)
    dense("classifier.2", rounded(1280 * width), rounded(960 * width))
    dense("classifier.5", N_AUDIOSET, rounded(1280 * width))
    return found


def drawn(width: float = 0.4, seed: int = 0) -> dict[str, Array]:
    """Draw random weights under which what goes through keeps about its size (He et al. 2015)."""
    rng, found = np.random.default_rng(seed), {}
    for name, shape in shapes(width).items():
        if name.endswith("running_var"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            narrows = shape[2:] == (1, 1) and shape[0] <= shape[1]  # no activation follows, which would halve the power
            value = rng.standard_normal(shape) * np.sqrt((1.0 if narrows else 2.0) / np.prod(shape[1:]))
        else:
            value = rng.normal(0.93 if name.endswith(".1.weight") else 0.0, 0.2, shape)
        found[name] = value.astype(np.float32)
    return found


def write(folder: Path, weights: dict[str, Array]) -> tuple[Path, str]:
    """Write weights as they are handed on; return the file and its SHA-256."""
    path = folder / "weights.npz"
    np.savez(path, **weights)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def class_table(folder: Path) -> Path:
    """Write a table of as many classes as AudioSet has, named after digits, and three sounds."""
    names = ["Beep, bleep", "Clicking", "Siren"]
    names += [f"Class {i}" for i in range(len(names), N_AUDIOSET)]
    path = folder / "classes.csv"
    path.write_text(
        "index,mid,display_name\n" + "".join(f'{i},/m/{i},"{name}"\n' for i, name in enumerate(names)), encoding="utf-8"
    )
    return path
