"""Frames of samples become spectra here: taper, FFT, power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.stages import filters
from auricle.stages.stage import Block, RowStage

try:
    # What `np.fft.rfft` calls from numpy 2 on. Asked directly it costs a third less for a single frame, to the same
    # bits.
    from numpy.fft._pocketfft_umath import rfft_n_even as _rfft_even  # type: ignore[import-not-found]
except ImportError:
    _rfft_even = None


ALIGNS = ("centre", "start")
"""Where in the FFT's points a shorter taper stands."""


def taper(n_fft: int, win_length: int | None = None, kind: str = "hann") -> NDArray[np.float64]:
    """Return the taper of ``win_length`` points in the middle of a frame, zeros around it, as librosa pads it.

    Args:
        kind: one of `filters.TAPERS`.

    Raises:
        ValueError: ``win_length`` is not 1 to ``n_fft``, or the kind is not known.
    """
    win_length = n_fft if win_length is None else win_length
    if not 0 < win_length <= n_fft:
        raise ValueError(f"win_length {win_length} does not fit n_fft {n_fft}; use 1 to {n_fft}, or a longer n_fft")
    padded = np.zeros(n_fft)
    start = (n_fft - win_length) // 2
    padded[start : start + win_length] = filters.cosine_taper(kind, win_length)
    return padded


class Spectrum(RowStage):
    """Transforms frames that are already cut: the short-time spectrum.

    Args:
        n_fft: points of the FFT.
        win_length: length of the taper; ``n_fft`` unless given.
        kind: of the taper, one of `filters.TAPERS`.
        align: ``centre`` for frames of ``n_fft`` samples with the taper in their middle, as in librosa; ``start`` for
            frames of ``win_length`` samples, zeros behind them, as in TensorFlow. The power is the same.
        remove_dc: take the mean of the samples under the taper from every frame first, as Kaldi's ``remove_dc_offset``.
        double: compute and give double precision.

    Shape:
        in ``(n, n_fft)`` float32, or ``(n, win_length)`` with ``align='start'``, out ``(n, n_fft // 2 + 1)``
        complex64, or complex128 if ``double``.

    Raises:
        ValueError: a parameter that cannot be.
    """

    def __init__(
        self,
        n_fft: int,
        win_length: int | None = None,
        *,
        kind: str = "hann",
        align: str = "centre",
        remove_dc: bool = False,
        double: bool = False,
    ) -> None:
        whole = taper(n_fft, win_length, kind)
        length = frame_length(n_fft, win_length, align)
        begin = (n_fft - length) // 2
        self._taper = whole[begin : begin + length].astype(np.float64 if double else np.float32)
        self.energy = float(np.square(whole).sum())
        """The sum of the squares of the taper."""
        self._type = np.complex128 if double else np.complex64
        self.n_fft = n_fft
        self._remove_dc = win_length or n_fft if remove_dc else None
        self._n_bins = n_fft // 2 + 1
        self._direct = _rfft_even if n_fft % 2 == 0 else None

    def process(self, block: Block) -> Block:
        """Taper and transform every frame."""
        if self._remove_dc is not None:
            block = without_mean(block, self._remove_dc)
        frames = block * self._taper
        if self._direct is None:
            return np.fft.rfft(frames, self.n_fft, axis=-1).astype(self._type, copy=False)
        spectra: Block = np.empty((len(frames), self._n_bins), self._type)
        # Scaled by an integer, as numpy does it, which makes it compute in double precision inside.
        self._direct(frames, 1, out=spectra)
        return spectra


def without_mean(frames: Block, win_length: int) -> Block:
    """Subtract from every frame the mean of the ``win_length`` samples in its middle."""
    begin = (frames.shape[-1] - win_length) // 2
    return np.asarray(frames - frames[..., begin : begin + win_length].mean(axis=-1, keepdims=True))


def frame_length(n_fft: int, win_length: int | None, align: str) -> int:
    """Return how many samples a frame has: ``n_fft`` around a taper in its centre, ``win_length`` where the taper
    stands at its start.

    Raises:
        ValueError: ``align`` is not known.
    """
    if align not in ALIGNS:
        raise ValueError(f"align {align!r} is not known; use {' or '.join(ALIGNS)}")
    return n_fft if align == "centre" or win_length is None else win_length


class Power(RowStage):
    """Computes the power spectrum ``|X|^2``.

    Shape:
        in ``(n, n_bins)`` complex64, out the same shape in float32.
    """

    def process(self, block: Block) -> Block:
        """Square the magnitude of every bin; `abs` is vectorised where the two strided squares are not."""
        power: Block = np.abs(block)
        return np.multiply(power, power, out=power)


class Root(RowStage):
    """Raises the power spectrum to ``|X|^exponent``, librosa's ``power`` other than 2.

    Shape:
        in ``(n, n_bins)`` float32, out the same.
    """

    def __init__(self, exponent: float) -> None:
        if not exponent > 0:
            raise ValueError(f"power {exponent:g} must be above 0; use 2 for power, 1 for magnitude")
        self._exponent = np.float32(exponent / 2.0)

    def process(self, block: Block) -> Block:
        """Raise every bin to the exponent."""
        return np.asarray(np.sqrt(block) if self._exponent == 0.5 else np.power(block, self._exponent))
