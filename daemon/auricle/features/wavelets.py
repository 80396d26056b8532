"""Constant-Q kernels and the half-band filter by which an octave is left behind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.stages import filters

C1_HZ = 440.0 * 2.0 ** (-45 / 12)

_HANN_BANDWIDTH = 1.50018310546875
"""Equivalent noise bandwidth in bins of the Hann taper of 1000 points: librosa's figure."""


def quality(bins_per_octave: int) -> float:
    """Return the Q of bins that touch: centre frequency over bandwidth (Brown 1991, in librosa's form)."""
    ratio = 4.0 ** (1.0 / bins_per_octave)
    return float((ratio + 1.0) / (ratio - 1.0))


def cutoff(frequency: float, bins_per_octave: int) -> float:
    """Return the highest frequency, Hz, that a kernel at ``frequency`` reaches to."""
    return frequency * (1.0 + 0.5 * _HANN_BANDWIDTH / quality(bins_per_octave))


def kernels(relative: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Return complex sinusoids under a Hann taper of unit sum, one for each frequency in cycles a sample.

    Shape:
        ``(length, 2 * n)``: the cosines, then the sines, all centred at ``length // 2``.
    """
    lengths = q / relative
    size = int(np.ceil(lengths.max()) + 9) // 8 * 8
    bank = np.zeros((2, len(relative), size))
    for i, (length, frequency) in enumerate(zip(lengths, relative, strict=True)):
        time = np.arange(-length // 2, length // 2)
        window = filters.cosine_taper("hann", len(time))
        begin = (size - len(time)) // 2
        phase = 2.0 * np.pi * frequency * time
        bank[:, i, begin : begin + len(time)] = window / window.sum() * (np.cos(phase), np.sin(phase))
    return np.ascontiguousarray(bank.reshape(-1, size).T)


def fold(n_bins: int, *, bins_per_octave: int, n_chroma: int, fmin: float) -> NDArray[np.float64]:
    """Return the matrix that says which constant-Q bins make which chroma, C first, as
    ``librosa.filters.cq_to_chroma``.

    Shape:
        ``(n_chroma, n_bins)``.

    Raises:
        ValueError: ``bins_per_octave`` is no multiple of ``n_chroma``.
    """
    if n_chroma < 1 or bins_per_octave % n_chroma:
        raise ValueError(
            f"bins_per_octave {bins_per_octave} is no multiple of n_chroma {n_chroma}; use {3 * max(1, n_chroma)}"
        )
    merged = bins_per_octave // n_chroma
    octave = np.roll(np.repeat(np.eye(n_chroma), merged, axis=1), -(merged // 2), axis=1)
    bank = np.tile(octave, -(-n_bins // bins_per_octave))[:, :n_bins]
    note = np.mod(12.0 * (np.log2(fmin) - np.log2(440.0)) + 69.0, 12.0)
    return np.roll(bank, int(np.round(note * n_chroma / 12.0)), axis=0)


def halfband() -> NDArray[np.float64]:
    """Return a low-pass of 51 taps at a quarter of the rate: flat to 0.2, 78 dB down from 0.3 of the rate (Kaiser
    1974).

    Every second tap but the middle one is zero.
    """
    offsets = np.arange(51) - 25
    taps = 0.5 * np.sinc(offsets / 2.0) * np.kaiser(51, 0.1102 * (80.0 - 8.7))
    side = np.where(offsets % 2 != 0, taps, 0.0)
    return np.asarray(np.where(offsets == 0, 0.5, side * 0.5 / side.sum()))
