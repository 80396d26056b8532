"""Spectra become sound again here, by overlap-add."""

from __future__ import annotations

import numpy as np

from auricle.stages.spectrum import taper
from auricle.stages.stage import Block


class OverlapAdd:
    """Turns spectra into sound: inverse FFT, the taper once more, and the sum of all frames over each sample (Allen
    1977).

    A row of the output is ``hop_length`` samples, given once every frame over them has come. In a pipeline after
    `Slices` of the same lengths, ``lead`` counts to the first sample of the first row.

    Args:
        n_fft: samples in a frame, an even multiple of ``hop_length``.
        hop_length: samples from one frame to the next.
        win_length: length of the Hann taper with which the spectra were taken.

    Shape:
        in ``(n, n_fft // 2 + 1)`` complex64, out ``(k, hop_length)`` float32; a sound that was not changed between
        comes back as it was, by division by the sum of the squared tapers.

    Raises:
        ValueError: the lengths do not fit, or some sample has no taper over it.
    """

    hop = 1

    def __init__(self, n_fft: int, hop_length: int, win_length: int | None = None) -> None:
        if hop_length < 1 or n_fft % (2 * hop_length):
            raise ValueError(
                f"sound by overlap-add needs n_fft an even multiple of hop_length, not {n_fft} and {hop_length}; "
                f"use a hop_length of {n_fft // 4}"
            )
        self.span = n_fft // hop_length
        self.lead = self.span // 2 - 1
        window = taper(n_fft, win_length)
        total = (window**2).reshape(self.span, hop_length).sum(axis=0)
        if total.min() < 1e-8:
            raise ValueError(
                f"win_length {win_length} leaves samples under no taper at hop_length {hop_length}; "
                f"use a win_length of {n_fft}"
            )
        self._frames: Block
        self._n_fft, self._hop_length = n_fft, hop_length
        self._taper = (window / np.tile(total, self.span)).astype(np.float32)
        self.reset()

    def process(self, block: Block) -> Block:
        """Give the rows of samples that these spectra complete."""
        frames = np.fft.irfft(block, self._n_fft, axis=-1).astype(np.float32, copy=False) * self._taper
        parts = np.concatenate((self._frames, frames.reshape(-1, self.span, self._hop_length)))
        n = max(0, len(parts) - self.span + 1)
        rows = np.zeros((n, self._hop_length), np.float32)
        for part in range(self.span):
            # Oldest frame first, whatever the cut: each row is the same sum in the same order.
            rows += parts[part : part + n, self.span - 1 - part]
        self._frames = parts[n:].copy()
        return rows

    def reset(self) -> None:
        """Forget the frames that reach into samples to come."""
        self._frames = np.empty((0, self.span, self._hop_length), np.float32)
