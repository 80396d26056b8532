"""The bands of the published spectrum: the power of frames, summed as a picture of 64 rows wants it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BANDS = 64
FLOOR_DB, STEPS_PER_DB = -127.5, 2
"""A byte of 0 is this level, and each dB has so many steps: 255 is 0 dBFS."""


def edges_hz(top_hz: float) -> NDArray[np.float64]:
    """Return the lower end, the middles and the upper end of the bands, ``(BANDS + 2,)`` in Hz.

    They are evenly spaced over mel, ``2595 log10(1 + f / 700)`` (Young et al., The HTK Book, 2002, section 5.6), from 0
    Hz to ``top_hz``.
    """
    mel = np.linspace(0.0, 2595.0 * np.log10(1.0 + top_hz / 700.0), BANDS + 2)
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


def weights(sample_rate: int, n_fft: int, energy: float, pre_emphasis: float | None = None) -> NDArray[np.float32]:
    """Return the share of every bin's power in every band, ``(n_fft // 2 + 1, BANDS)``.

    A band's sum is then the mean square of what sounds in it, as `auricle.stages.level` measures the whole: that of a
    full-scale sine is -3 dBFS. A bin between two middles is shared by their bands. A band narrower than a bin reaches
    to the next bins, so that none is empty.

    Args:
        n_fft: points of the FFT; an odd number has no bin of half the sample rate.
        energy: sum of the squares of the frames' taper.
        pre_emphasis: of the frames, which is taken out again.
    """
    bin_hz = sample_rate / n_fft
    frequencies = np.arange(n_fft // 2 + 1)[:, None] * bin_hz
    edges = edges_hz(sample_rate / 2)
    below, middle, above = edges[:-2], edges[1:-1], edges[2:]
    rising = 1.0 - (middle - frequencies) / np.maximum(middle - below, bin_hz)
    falling = 1.0 - (frequencies - middle) / np.maximum(above - middle, bin_hz)
    share = np.clip(np.minimum(rising, falling), 0.0, None)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    # Parseval: all bins count twice, for their mirror images, but the one of 0 Hz and that of half the rate.
    share *= 2.0 / (n_fft * energy)
    share[0] /= 2.0
    if n_fft % 2 == 0:
        share[-1] /= 2.0
    if pre_emphasis is not None:
        turn = np.exp(-2j * np.pi * frequencies / sample_rate)
        # Of a constant offset that was taken away nothing can be had back: no factor beyond 60 dB.
        share /= np.maximum(np.square(np.abs(1.0 - pre_emphasis * turn)), 1e-6)
    return share.astype(np.float32)


def as_bytes(power: NDArray[np.float32]) -> bytes:
    """Write mean squares ``(n, BANDS)`` as a byte each, row after row: ``dBFS = byte / 2 - 127.5``.

    What is beyond the scale is its end, and what is no number 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint((10.0 * np.log10(power) - FLOOR_DB) * STEPS_PER_DB)
    levels: NDArray[np.uint8] = np.clip(np.nan_to_num(steps, nan=0.0), 0, 255).astype(np.uint8)
    return levels.tobytes()
