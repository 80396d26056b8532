"""The gate's mask smoothed over frequency and time, in whole numbers.

The kernel of noisereduce is an outer product of two triangles. Their weights, multiplied out, are integers, and so is a
mask of zeros and ones: summed as integers, every order of summation gives the same bits, and a triangle may be had as
two running sums of small integers, which cost a fraction of a convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]


def running_sum(flat: Counts, length: int, step: int = 1) -> Counts:
    """Sums of ``length`` items ``step`` apart, by doubling: log2(length) additions of whole arrays.

    Shape:
        in ``(n,)``, out ``(n - (length - 1) * step,)``.
    """
    n = len(flat) - (length - 1) * step
    total: Counts | None = None
    taken, size = 0, 1
    while True:
        if length & size:
            part = flat[taken * step : taken * step + n]
            total = part if total is None else total + part
            taken += size
        if taken == length:
            return total if total is not None else flat
        flat = flat[: -size * step] + flat[size * step :]
        size *= 2


class MaskSmoother:
    """A mask ``(n, n_bins)`` of what is louder than the noise, to weights ``(k, n_bins)``.

    Over frequency the triangle reaches ``n_freq`` bins to each side, and over the spectrum's ends, where nothing is: so
    does noisereduce's, which fades the first and last bins. Over time it reaches ``n_past`` frames back and ``n_ahead``
    frames ahead. Row 0 is about frame ``n_ahead``. Rows whose past reaches before the segment's start are weighted over
    the frames that exist: a closed past would fade in every sound that is there when a segment begins, after each gap
    anew.
    """

    def __init__(self, n_bins: int, *, n_freq: int, n_past: int, n_ahead: int) -> None:
        self._rows: Counts
        self._n_bins, self._n_freq, self._n_past, self._n_ahead = n_bins, n_freq, n_past, n_ahead
        self._width = n_bins + 2 * n_freq
        full = (n_freq + 1) ** 2
        self._row_type = np.min_scalar_type(full)
        weights = np.append(np.arange(1, n_past + 1), np.arange(n_past + 1, n_past - n_ahead, -1))
        most = full * int(weights.sum())
        self._type = np.min_scalar_type(most)
        self._weights = weights.astype(self._type)
        # What the weights of a row add up to when only its first n frames back exist: whole in the end.
        totals = [int(weights[max(0, n_past - back) :].sum()) for back in range(n_ahead, n_past)] + [int(weights.sum())]
        self._scales = (1.0 / (full * np.array(totals, np.float64))).astype(np.float32)[:, None]
        edge = np.ones(n_bins, self._row_type)[None, :]
        self.ends: NDArray[np.float32] = (self._over_frequency(edge)[0] / np.float64(full)).astype(np.float32)
        """What an open mask is after smoothing over frequency: 1 but for the spectrum's ends."""
        self.reset()

    def process(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Smoothed mask of the frames whose look-ahead these frames complete, 0 to 1."""
        rows = np.concatenate((self._rows, self._over_frequency(mask)))
        reach = self._n_past + self._n_ahead
        n = len(rows) - reach
        if n <= 0:
            self._rows = rows
            return np.empty((0, self._n_bins), np.float32)
        counts = self._over_time(rows, n)
        fresh = len(self._scales) - 1 - self._given
        if fresh > 0:
            scale = self._scales[np.minimum(np.arange(self._given, self._given + n), len(self._scales) - 1)]
            self._given += min(n, fresh)
        else:
            scale = self._scales[-1]
        self._rows = rows[n:].copy()
        return np.multiply(counts, scale, dtype=np.float32)

    @staticmethod
    def together(stages: Sequence[MaskSmoother], masks: NDArray[np.bool_]) -> NDArray[np.float32] | None:
        """The smoothed masks of several sources past their first frames: see `auricle.batch`."""
        first = stages[0]
        reach = first._n_past + first._n_ahead
        even = reach > 0 and first._n_ahead == first._n_past  # its running sum runs over one source's rows alone
        if even or any(len(stage._rows) != reach or stage._given < len(stage._scales) - 1 for stage in stages):
            return None
        sources, n, bins = masks.shape
        smooth = first._over_frequency(masks.reshape(-1, bins)).reshape(masks.shape)
        kept = np.concatenate([stage._rows for stage in stages]).reshape(sources, reach, bins)
        rows = np.concatenate((kept, smooth), axis=1)
        for stage, rest in zip(stages, rows[:, n:].copy(), strict=True):
            stage._rows = rest
        # Time first, as for one source; the sums do not care what else is in a row.
        counts = first._over_time(rows.swapaxes(0, 1), n).swapaxes(0, 1)
        weights: NDArray[np.float32] = np.multiply(counts, first._scales[-1], dtype=np.float32)
        return weights

    def reset(self) -> None:
        """Forget the frames heard so far: those before row 0's past do not exist, and weigh nothing."""
        self._rows = np.zeros((self._n_past - min(self._n_past, self._n_ahead), self._n_bins), self._row_type)
        self._given: int = 0

    def _over_frequency(self, mask: Counts) -> Counts:
        n, m = len(mask), self._n_freq
        if m == 0 or n == 0:
            return mask.astype(self._row_type)
        padded = np.zeros((n, self._width), self._row_type)
        padded[:, m : m + self._n_bins] = mask
        smooth = np.empty((n, self._width), self._row_type)
        smooth.reshape(-1)[: n * self._width - 2 * m] = running_sum(running_sum(padded.reshape(-1), m + 1), m + 1)
        return smooth[:, : self._n_bins]

    def _over_time(self, rows: Counts, n: int) -> Counts:
        rows = rows.astype(self._type)
        if self._n_ahead == self._n_past:
            length, step = self._n_past + 1, self._n_bins
            flat = running_sum(running_sum(rows.reshape(-1), length, step), length, step)
            return flat.reshape(n, self._n_bins)
        counts: Counts = rows[:n] * self._weights[0]
        for tap, weight in enumerate(self._weights[1:], start=1):
            counts += rows[tap : tap + n] * weight
        return counts
