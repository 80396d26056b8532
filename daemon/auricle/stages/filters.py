"""Filter banks and tapers, built in numpy alone and equal to ``librosa.filters`` (tests hold them to it)."""

from __future__ import annotations

import math

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

    Raises:
        ValueError: the range or the number of bands cannot be.
    """
    if n_mels < 1:
        raise ValueError(f"n_mels {n_mels} cannot be; use at least 1")
    if norm not in ("slaney", None):
        raise ValueError(f"norm {norm!r} of mel bands is not known; use slaney or none")
    if fmax is not None and not fmax <= sample_rate / 2:
        raise ValueError(f"fmax {fmax:g} is above half the sample rate; use at most {sample_rate / 2:g}")
    fmax = sample_rate / 2 if fmax is None else fmax
    if not 0 <= fmin < fmax:
        raise ValueError(f"fmin {fmin:g} is not below fmax {fmax:g}; use 0 <= fmin < fmax <= {sample_rate / 2:g}")
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


def dct(n: int, *, dct_type: int = 2, norm: str | None = "ortho") -> NDArray[np.float64]:
    """Cosine transform of type 1, 2 or 3, scaled as scipy's ``dct`` does (Ahmed, Natarajan and Rao 1974).

    Shape:
        ``(n, n)``: coefficients by items.

    Raises:
        ValueError: a type or a norm that is not known.
    """
    if norm not in ("ortho", None):
        raise ValueError(f"norm {norm!r} of a cosine transform is not known; use ortho or none")
    row, column = np.arange(n)[:, None], np.arange(n)[None, :]
    if dct_type == 2:
        basis = 2.0 * np.cos(np.pi * row * (2 * column + 1) / (2 * n))
        if norm:
            basis *= np.where(row == 0, np.sqrt(0.25 / n), np.sqrt(0.5 / n))
    elif dct_type == 3:
        basis = np.where(column == 0, 1.0, 2.0) * np.cos(np.pi * column * (2 * row + 1) / (2 * n))
        if norm:
            basis *= np.where(column == 0, np.sqrt(1.0 / n), np.sqrt(0.5 / n))
    elif dct_type == 1 and n > 1:
        ends = (column == 0) | (column == n - 1)
        basis = np.where(ends, 1.0, 2.0) * np.cos(np.pi * row * column / (n - 1))
        if norm:
            basis *= np.where(ends, np.sqrt(2.0), 1.0) * np.sqrt(0.5 / (n - 1))
            basis *= np.where((row == 0) | (row == n - 1), np.sqrt(0.5), 1.0)
    else:
        raise ValueError(f"dct_type {dct_type} of {n} items is not known; use 1, 2 or 3")
    return np.asarray(basis)


def savgol(width: int, order: int) -> NDArray[np.float64]:
    """Weights whose sum over ``width`` items is the ``order``-th derivative at their middle (Savitzky and Golay
    1964)."""
    offsets = np.arange(width) - width // 2
    powers = offsets[:, None].astype(np.float64) ** np.arange(order + 1)
    return np.asarray(np.linalg.pinv(powers)[order] * math.factorial(order))


def chroma(
    *,
    sample_rate: float,
    n_fft: int,
    n_chroma: int = 12,
    tuning: float = 0.0,
    ctroct: float = 5.0,
    octwidth: float | None = 2.0,
    base_c: bool = True,
) -> NDArray[np.float64]:
    """Gaussian bumps around every note in every octave (Ellis 2007), each bin's weights of unit Euclidean length.

    Shape:
        ``(n_chroma, n_fft // 2 + 1)``.

    Raises:
        ValueError: a parameter that cannot be.
    """
    if n_chroma < 1:
        raise ValueError(f"n_chroma {n_chroma} cannot be; use 12")
    if octwidth is not None and not octwidth > 0:
        raise ValueError(f"octwidth {octwidth:g} cannot be; use octaves above 0, or none")
    bins = np.arange(1, n_fft) * sample_rate / n_fft
    a0 = 440.0 * 2.0 ** (tuning / n_chroma) / 16.0
    notes = n_chroma * np.log2(bins / a0)
    # Bin 0 has no pitch: it is put an octave and a half under bin 1, so that it falls between the notes.
    notes = np.concatenate(([notes[0] - 1.5 * n_chroma], notes))
    widths = np.append(np.maximum(np.diff(notes), 1.0), 1.0)
    half = np.round(n_chroma / 2)
    distance = np.mod(notes[None, :] - np.arange(n_chroma)[:, None] + half + 10 * n_chroma, n_chroma) - half
    bank = np.exp(-0.5 * (2.0 * distance / widths) ** 2)
    bank /= np.sqrt(np.square(bank).sum(axis=0))
    if octwidth is not None:
        bank *= np.exp(-0.5 * ((notes / n_chroma - ctroct) / octwidth) ** 2)
    if base_c:
        bank = np.roll(bank, -3 * (n_chroma // 12), axis=0)
    return np.ascontiguousarray(bank[:, : n_fft // 2 + 1])
