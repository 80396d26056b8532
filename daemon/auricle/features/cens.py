"""Chroma energy normalised statistics: chroma that keeps the harmony and forgets dynamics, timbre and articulation."""

from __future__ import annotations

import numpy as np

from auricle.features.chroma import check_norm, normalise
from auricle.stages.stage import Block

_STEPS = np.array([0.4, 0.2, 0.1, 0.05], np.float32)


class ChromaCens:
    """Turns raw chroma rows into CENS, as ``librosa.feature.chroma_cens`` away from its edges (Müller and Ewert 2011).

    Each row, divided by its sum, is quantised by four steps, smoothed over time with a Hann taper, and normalised. A
    row is about the middle of ``win_len_smooth`` rows: so much is the delay.

    Args:
        win_len_smooth: rows the smoothing reaches over, odd; 0 or ``None`` for none.
        norm: inf, 1, 2, or ``None``.

    Shape:
        in ``(n, n_chroma)`` float32, out ``(k, n_chroma)`` float32.

    Raises:
        ValueError: a parameter that cannot be.
    """

    hop = 1

    def __init__(self, *, win_len_smooth: int | None = 41, norm: float | None = 2) -> None:
        win_len_smooth = win_len_smooth or 1
        if win_len_smooth < 1 or win_len_smooth % 2 == 0:
            raise ValueError(
                f"cens: win_len_smooth {win_len_smooth} has no middle; use an odd number, as 41, or 0 for none"
            )
        check_norm(norm)
        self._norm = norm
        self.span = self.reach = win_len_smooth
        self.lead = win_len_smooth // 2
        # The Hann taper of two points more, whose ends are zero.
        window = np.hanning(win_len_smooth + 2)[1:-1]
        self._window = window / window.sum()
        self._rows: Block | None = None

    def process(self, block: Block) -> Block:
        """Give the rows whose future this block completes."""
        shares = normalise(block, 1)
        steps = 0.25 * (shares[..., None] > _STEPS).sum(axis=-1)
        rows = steps if self._rows is None else np.concatenate((self._rows, steps))
        n = max(0, len(rows) - self.span + 1)
        self._rows = rows[n:].copy()
        smooth = np.zeros((n, block.shape[1]))
        if n:
            for band, values in enumerate(np.ascontiguousarray(rows.T)):
                # One dot product an item, whatever the cut.
                smooth[:, band] = np.correlate(values, self._window, "valid")
        return normalise(smooth.astype(np.float32), self._norm)

    def reset(self) -> None:
        """Forget the rows kept for smoothing."""
        self._rows = None
