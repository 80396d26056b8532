"""Golden vectors are made of sounds of our own making: no recording of anyone's is in the repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.features import front_end


def sounds(sample_rate: int, length_s: float) -> NDArray[np.float32]:
    """Make a fixed scene: a hush, clicks, a chirp, harmonics that bend, noise in bursts, and silence.

    Shape:
        ``(round(length_s * sample_rate),)`` float32, the same on every call.
    """
    n = round(length_s * sample_rate)
    rng = np.random.default_rng(20)
    t = np.arange(n) / sample_rate
    part = n // 5
    out = 1e-3 * rng.standard_normal(n)
    clicks = np.zeros(n)
    clicks[: part : sample_rate // 4] = 1.0
    out += 0.5 * np.convolve(clicks, np.exp(-np.arange(400) / 40.0) * np.sin(np.arange(400) * 1.1))[:n]
    inside = (t >= t[part]) & (t < t[2 * part])
    out += inside * 0.3 * np.sin(2 * np.pi * (200.0 * t + 400.0 * (t - t[part]) ** 2))
    inside = (t >= t[2 * part]) & (t < t[3 * part])
    pitch = 2 * np.pi * np.cumsum(420.0 + 80.0 * np.sin(2 * np.pi * 1.5 * t)) / sample_rate
    out += inside * sum(0.2 / k * np.sin(k * pitch) for k in range(1, 8))
    bursts = (np.sin(2 * np.pi * 3.0 * t) > 0.3) & (t >= t[3 * part]) & (t < t[4 * part])
    out += bursts * 0.1 * rng.standard_normal(n)
    out[n - part // 2 :] = 0.0
    return np.clip(out, -1.0, 1.0).astype(np.float32)


def rows(params: Mapping[str, Any], n_rows: int) -> NDArray[np.float32]:
    """Compute real rows ``(n_rows, n_features)`` of :func:`sounds` through a front end."""
    rate, hop = int(params["sample_rate"]), int(params["hop_length"])
    front = front_end(**params)
    length_s = (n_rows * hop + max(4 * int(params["n_fft"]), front.span)) / rate
    return np.ascontiguousarray(front.process(sounds(rate, length_s))[:n_rows], np.float32)
