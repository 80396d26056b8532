"""Filter banks and tapers, built in numpy alone and equal to ``librosa.filters`` (tests hold them to it)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

TAPERS = {"hann": (0.5, 0), "hann_symmetric": (0.5, 1), "hamming": (0.54, 0), "hamming_symmetric": (0.54, 1)}
"""The tapers by name: the mean of the cosine under which they lie, and how many points their period lacks."""


def cosine_taper(kind: str, length: int) -> NDArray[np.float64]:
    """Return a taper of ``length`` points, a raised cosine of one period (Harris 1978).

    A periodic one leaves the period's last point out, as spectra and overlap-add want it (librosa, `tf.signal`); a
    symmetric one ends as it begins (``numpy.hanning``, Kaldi).

    Raises:
        ValueError: the kind is not known.
    """
    if kind not in TAPERS:
        raise ValueError(f"taper {kind!r} is not known; use {', '.join(TAPERS)}")
    base, symmetric = TAPERS[kind]
    return base - (1.0 - base) * np.cos(2.0 * np.pi * np.arange(length) / max(1, length - symmetric))


def hz_to_mel(hz: ArrayLike, *, htk: bool = False) -> NDArray[np.float64]:
    """Convert a frequency in Hz to mel, by Slaney's Auditory Toolbox (1998) or by HTK's formula (Young et al. 2002)."""
    hz = np.asarray(hz, np.float64)
    if htk:
        return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))
    linear = hz * 3.0 / 200.0
    log = 15.0 + 27.0 * np.log(np.maximum(hz, 1e-9) / 1000.0) / np.log(6.4)
    return np.where(hz < 1000.0, linear, log)


def mel_to_hz(mel: ArrayLike, *, htk: bool = False) -> NDArray[np.float64]:
    """Convert mel to Hz: the inverse of :func:`hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if htk:
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))


BASES = ("librosa", "kaldi", "tf")
"""How mel bands are drawn: straight over Hz, or over mel as Kaldi and TensorFlow do."""


_MOST_WEIGHTS = 2**23
"""A bank holds so many numbers at most: 4,096 bands of an FFT of 4,094 points."""


def mel(
    *,
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    fmin: float = 0.0,
    fmax: float | None = None,
    basis: str = "librosa",
    htk: bool | None = None,
    norm: str | None = "own",
    keep: int | None = None,
) -> NDArray[np.float64]:
    """Return a triangular mel filter bank.

    With ``basis='librosa'`` the triangles are straight over Hz, in Slaney's mel unless ``htk``, and of unit area over
    Hz unless ``norm`` is None. With ``kaldi`` (Povey et al. 2011) and ``tf`` they are straight over HTK's mel and of
    unit height; Kaldi leaves the Nyquist bin out, TensorFlow the bin of 0 Hz.

    Args:
        keep: how many of the bands to give, from the lowest; all unless given. With it ``fmax`` may lie above half the
            sample rate, and so may bands, which then hold nothing there.

    Shape:
        ``(keep or n_mels, n_fft // 2 + 1)``.

    Raises:
        ValueError: the range, the number of bands or how they are drawn cannot be.
    """
    nyquist = sample_rate / 2
    if n_mels < 1:
        raise ValueError(f"n_mels {n_mels} cannot be; use at least 1")
    if n_mels > (most := _MOST_WEIGHTS // (n_fft // 2 + 1)):
        raise ValueError(f"n_mels {n_mels} of an n_fft of {n_fft} are too many; use at most {most}")
    if keep is not None and not (isinstance(keep, int) and 1 <= keep <= n_mels):
        raise ValueError(f"keep {keep!r} of {n_mels} mel bands cannot be; use 1 to {n_mels}")
    if basis not in BASES:
        raise ValueError(f"basis {basis!r} of mel bands is not known; use {', '.join(BASES)}")
    if norm not in ("own", "slaney", None):
        raise ValueError(f"norm {norm!r} of mel bands is not known; use slaney or none")
    if basis != "librosa" and (htk is not None or norm == "slaney"):
        raise ValueError(f"mel bands of basis {basis} are in HTK's mel and of unit height; leave htk and norm out")
    if fmax is not None and keep is None and not fmax <= nyquist:
        raise ValueError(f"fmax {fmax:g} is above half the sample rate; use at most {nyquist:g}")
    fmax = nyquist if fmax is None else fmax
    if not 0 <= fmin < min(fmax, nyquist):
        raise ValueError(f"fmin {fmin:g} is not below fmax {fmax:g}; use 0 <= fmin < fmax <= {nyquist:g}")
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    if basis == "librosa":
        htk = bool(htk)
        edges = mel_to_hz(
            np.linspace(float(hz_to_mel(fmin, htk=htk)), float(hz_to_mel(fmax, htk=htk)), n_mels + 2), htk=htk
        )
    else:
        bins = hz_to_mel(bins, htk=True)
        edges = np.linspace(float(hz_to_mel(fmin, htk=True)), float(hz_to_mel(fmax, htk=True)), n_mels + 2)
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None, :]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if basis == "librosa" and norm is not None:
        bank *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    if basis == "kaldi" and n_fft % 2 == 0:
        bank[:, -1] = 0.0
    if basis == "tf":
        bank[:, 0] = 0.0
    return bank[:keep]


def dct(n: int, *, dct_type: int = 2, norm: str | None = "ortho") -> NDArray[np.float64]:
    """Return the matrix of a cosine transform of type 1, 2 or 3, scaled as scipy's ``dct`` does (Ahmed, Natarajan and
    Rao 1974).

    With ``norm='tf'`` it is of type 2 and every coefficient scaled by ``(2 n) ** -0.5``, as in
    ``tf.signal.mfccs_from_log_mel_spectrograms``: coefficient 0 is the square root of 2 times the orthonormal one.

    Shape:
        ``(n, n)``: coefficients by items.

    Raises:
        ValueError: a type or a norm that is not known.
    """
    if norm not in ("ortho", "tf", None):
        raise ValueError(f"norm {norm!r} of a cosine transform is not known; use ortho, tf or none")
    if norm == "tf":
        if dct_type != 2:
            raise ValueError(f"norm 'tf' of dct_type {dct_type} is not known; use dct_type 2, which is TensorFlow's")
        return np.asarray(dct(n, norm=None) / np.sqrt(2.0 * n))
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
    """Return weights whose sum over ``width`` items is the ``order``-th derivative at their middle (Savitzky and Golay
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
    """Return a bank of Gaussian bumps around every note in every octave (Ellis 2007), each bin's weights of unit
    Euclidean length.

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
