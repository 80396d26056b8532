"""From frames of samples to spectra: taper, FFT, power."""

from __future__ import annotations

import numpy as np

from auricle import filters
from auricle.stage import Block, RowStage


class Spectrum(RowStage):
    """Short-time spectrum of frames that are already cut.

    Args:
        n_fft: samples in a frame.
        win_length: length of the Hann taper, centred in the frame as librosa does; ``n_fft`` unless told.

    Shape:
        in ``(n, n_fft)`` float32, out ``(n, n_fft // 2 + 1)`` complex64.
    """

    def __init__(self, n_fft: int, win_length: int | None = None) -> None:
        win_length = n_fft if win_length is None else win_length
        if not 0 < win_length <= n_fft:
            raise ValueError(f"win_length {win_length} does not fit n_fft {n_fft}; use 1 to {n_fft}")
        taper = np.zeros(n_fft)
        start = (n_fft - win_length) // 2
        taper[start : start + win_length] = filters.hann(win_length)
        self._taper = taper.astype(np.float32)

    def process(self, block: Block) -> Block:
        """Taper and transform every frame."""
        return np.fft.rfft(block * self._taper, axis=-1).astype(np.complex64, copy=False)


class Power(RowStage):
    """Power spectrum ``|X|^2``.

    Shape:
        in ``(n, n_bins)`` complex64, out the same shape in float32.
    """

    def process(self, block: Block) -> Block:
        """Square the magnitude of every bin."""
        return np.asarray(block.real * block.real + block.imag * block.imag)
