"""Sounds are made by code for tests: no recording is in the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16000


def varied(seconds: float, *, rate: int = RATE, seed: int = 0) -> NDArray[np.float32]:
    """Make noise of changing level, chirps and clicks: something in every band, nothing twice."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    level = 10.0 ** (-2.0 + np.interp(t, np.linspace(0, seconds, 8), rng.uniform(-1.0, 1.5, 8)))
    chirp = np.sin(2 * np.pi * (200 * t + 300 * t**2 / max(seconds, 1e-9))) * (np.sin(2 * np.pi * 0.7 * t) > 0)
    clicks = (rng.random(len(t)) < 3e-4) * rng.uniform(-1, 1, len(t))
    return np.clip(level * rng.standard_normal(len(t)) + 0.1 * chirp + clicks, -1, 1).astype(np.float32)


def write(path: Path, samples: NDArray[np.floating], rate: int = RATE, subtype: str | None = None) -> Path:
    """Write a file and give its path."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path
