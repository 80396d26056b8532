"""Mel-frequency cepstral coefficients, and the change of any feature over time."""

from __future__ import annotations

import numpy as np

from auricle.stages import filters
from auricle.stages.stage import Block, RowStage


class Mfcc(RowStage):
    """Computes the cosine transform of log-mel rows, as ``librosa.feature.mfcc`` (Davis and Mermelstein 1980).

    Args:
        n_mels: bands that come in.
        n_mfcc: coefficients given, at most ``n_mels``.
        dct_type: 1, 2 or 3.
        norm: ``'ortho'`` or ``None``, as in scipy's ``dct``; ``'tf'`` as in
            ``tf.signal.mfccs_from_log_mel_spectrograms``.
        lifter: sinusoidal liftering of this length; 0 for none.

    Shape:
        in ``(n, n_mels)`` float32, out ``(n, n_mfcc)`` float32.

    Raises:
        ValueError: a parameter that cannot be.
    """

    def __init__(
        self, *, n_mels: int, n_mfcc: int = 20, dct_type: int = 2, norm: str | None = "ortho", lifter: float = 0.0
    ) -> None:
        if not 0 < n_mfcc <= n_mels:
            raise ValueError(f"n_mfcc {n_mfcc} does not fit n_mels {n_mels}; use 1 to {n_mels}")
        if not lifter >= 0:
            raise ValueError(f"lifter {lifter:g} cannot be; use 0 for none, or its length")
        basis = filters.dct(n_mels, dct_type=dct_type, norm=norm)[:n_mfcc]
        if lifter > 0:
            basis *= (1.0 + lifter / 2.0 * np.sin(np.pi * np.arange(1, n_mfcc + 1) / lifter))[:, None]
        self._basis = np.ascontiguousarray(basis.T, np.float32)

    def process(self, block: Block) -> Block:
        """Project frame by frame, so that the bits do not depend on the number of frames."""
        return np.asarray(np.matmul(block[:, None], self._basis)[:, 0])


class Delta:
    """Computes the local slope of any feature, as ``librosa.feature.delta`` away from its edges (Savitzky and Golay
    1964).

    A row is about the middle of ``width`` rows, hence ``lead`` = ``width // 2`` rows of delay.

    Args:
        width: rows the polynomial is fitted to, odd, at least 3.
        order: of the polynomial and of the derivative.

    Shape:
        in ``(n, n_features)`` float32, out ``(k, n_features)`` float32.

    Raises:
        ValueError: a parameter that cannot be.
    """

    hop = 1

    def __init__(self, *, width: int = 9, order: int = 1) -> None:
        if width < 3 or width % 2 == 0:
            raise ValueError(f"width {width} has no middle; use an odd number of rows, at least 3")
        if not 0 < order < width:
            raise ValueError(f"order {order} does not fit width {width}; use 1 to {width - 1}")
        self.span = self.reach = width
        self.lead = width // 2
        self._weights = filters.savgol(width, order)
        self._rows: Block | None = None

    def process(self, block: Block) -> Block:
        """Give the slope at every row whose future this block completes."""
        rows = block if self._rows is None else np.concatenate((self._rows, block))
        n = max(0, len(rows) - self.span + 1)
        total = np.zeros((n, *rows.shape[1:]))
        for tap, weight in enumerate(self._weights):
            total += rows[tap : tap + n] * weight
        self._rows = rows[n:].copy()
        return total.astype(np.float32)

    def reset(self) -> None:
        """Forget the rows kept for the next slope."""
        self._rows = None
