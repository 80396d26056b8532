"""Chroma from power spectra: the energy of the twelve notes, octaves folded."""

from __future__ import annotations

import numpy as np

from auricle.stages import filters
from auricle.stages.stage import Block, RowStage

_TINY = np.finfo(np.float32).tiny


def check_norm(norm: float | None) -> None:
    """Refuse a norm that `normalise` does not know.

    Raises:
        ValueError: ``norm`` is none of inf, 1, 2, ``None``.
    """
    if norm is not None and norm not in (np.inf, 1, 2):
        raise ValueError(f"norm {norm!r} is not known; use inf, 1, 2 or none")


def normalise(rows: Block, norm: float | None) -> Block:
    """Divide rows by their largest value, sum, or Euclidean length; rows of nearly nothing stay as they are.

    As ``librosa.util.normalize`` does over the features of a frame.
    """
    if norm is None:
        return rows
    # In double precision: the squares of a faint row would vanish.
    size = np.abs(rows).astype(np.float64)
    if norm == np.inf:
        size = size.max(axis=-1, keepdims=True)
    elif norm == 1:
        size = size.sum(axis=-1, keepdims=True)
    else:
        size = np.sqrt(np.square(size).sum(axis=-1, keepdims=True))
    return np.asarray((rows / np.where(size < _TINY, 1.0, size)).astype(rows.dtype))


class ChromaStft(RowStage):
    """Computes the chroma of a power spectrum, as ``librosa.feature.chroma_stft`` (Ellis 2007).

    Args:
        n_chroma: bands to the octave.
        tuning: deviation from A4 = 440 Hz in fractions of a band. Given: librosa's estimate needs the whole file.
        norm: inf, 1, 2, or ``None`` for raw energy.
        ctroct, octwidth: centre, in octaves over A0, and width of the weight over octaves; ``octwidth`` ``None`` for
            none.
        base_c: begin with C rather than A.

    Shape:
        in ``(n, n_fft // 2 + 1)`` float32, out ``(n, n_chroma)`` float32.

    Raises:
        ValueError: a parameter that cannot be.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        n_chroma: int = 12,
        tuning: float = 0.0,
        norm: float | None = np.inf,
        ctroct: float = 5.0,
        octwidth: float | None = 2.0,
        base_c: bool = True,
    ) -> None:
        check_norm(norm)
        self._norm = norm
        bank = filters.chroma(
            sample_rate=sample_rate,
            n_fft=n_fft,
            n_chroma=n_chroma,
            tuning=tuning,
            ctroct=ctroct,
            octwidth=octwidth,
            base_c=base_c,
        )
        self._basis = np.ascontiguousarray(bank.T, np.float32)

    def process(self, block: Block) -> Block:
        """Project frame by frame, so that the bits do not depend on the number of frames."""
        return normalise(np.matmul(block[:, None], self._basis)[:, 0], self._norm)
