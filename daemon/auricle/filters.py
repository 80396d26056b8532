"""Filter banks and tapers, built in numpy alone and equal to ``librosa.filters`` (tests hold them to it)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def hann(length: int) -> NDArray[np.float64]:
    """The periodic Hann taper of ``length`` points: the one that overlap-adds to a constant."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def hz_to_mel(hz: ArrayLike, *, htk: bool = False) -> NDArray[np.float64]:
    """Mel of a frequency in Hz: Slaney's Auditory Toolbox (1998), or HTK's (Young et al. 2002) formula."""
    hz = np.asarray(hz, np.float64)
    if htk:
        return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))
    linear = hz * 3.0 / 200.0
    log = 15.0 + 27.0 * np.log(np.maximum(hz, 1e-9) / 1000.0) / np.log(6.4)
    return np.where(hz < 1000.0, linear, log)


def mel_to_hz(mel: ArrayLike, *, htk: bool = False) -> NDArray[np.float64]:
    """Inverse of :func:`hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if htk:
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))


def mel(
    *,
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    fmin: float = 0.0,
    fmax: float | None = None,
    htk: bool = False,
    norm: str | None = "slaney",
) -> NDArray[np.float64]:
    """Triangular mel filter bank.

    Shape:
        ``(n_mels, n_fft // 2 + 1)``; with ``norm='slaney'`` each triangle has unit area over Hz.
    """
    fmax = sample_rate / 2 if fmax is None else fmax
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    edges = mel_to_hz(
        np.linspace(float(hz_to_mel(fmin, htk=htk)), float(hz_to_mel(fmax, htk=htk)), n_mels + 2), htk=htk
    )
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None, :]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        bank *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return bank
