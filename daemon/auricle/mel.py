"""Mel and log-mel spectra."""

from __future__ import annotations

import numpy as np

from auricle import filters
from auricle.stage import Block, RowStage


class Mel(RowStage):
    """Power spectrum to mel bands, by sums over each band's own bins.

    Shape:
        in ``(n, n_fft // 2 + 1)`` float32, out ``(n, n_mels)`` float32.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        n_mels: int,
        fmin: float = 0.0,
        fmax: float | None = None,
        htk: bool = False,
        norm: str | None = "slaney",
    ) -> None:
        bank = filters.mel(
            sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=htk, norm=norm
        )
        self._basis = np.ascontiguousarray(bank.T, np.float32)

    def process(self, block: Block) -> Block:
        """Project frame by frame: a product over several frames would give other bits for other frame counts."""
        return np.ascontiguousarray((block[:, None, :] @ self._basis)[:, 0])


class Log(RowStage):
    """Decibels of a power, as ``librosa.power_to_db`` with ``top_db=None``.

    Args:
        ref: the power that is 0 dB.
        amin: floor of the power.
    """

    def __init__(self, *, ref: float = 1.0, amin: float = 1e-10) -> None:
        self._amin = np.float32(amin)
        self._offset = np.float32(10.0 * np.log10(max(amin, ref)))

    def process(self, block: Block) -> Block:
        """Take the logarithm of every band."""
        return np.asarray(np.float32(10.0) * np.log10(np.maximum(block, self._amin)) - self._offset)
