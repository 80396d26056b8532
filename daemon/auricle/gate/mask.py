"""The gate's mask is smoothed here over frequency and time, in whole numbers.

The kernel of noisereduce is an outer product of two triangles. Their weights, multiplied out, are integers, and so is a
mask of zeros and ones: as long as every sum is a whole number that the floating type holds exactly, every order of
summation gives the same bits, and so BLAS may choose its own. One product over time and one over frequency do it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.stages.stage import BatchStage, Memory

Counts = NDArray[Any]

_LONGEST = 32
"""Frames smoothed at once: the product over time grows with their square."""
_BAND = 32
"""Bins that one product over frequency gives, at least: a wider band multiplies by more zeros."""


@cache
def _triangles(n_freq: int, n_past: int, n_ahead: int) -> tuple[Counts, Counts]:
    """Return the weights over time and over frequency as matrices; all sources share one pair."""
    taps = np.append(np.arange(1, n_past + 1), np.arange(n_past + 1, n_past - n_ahead, -1))
    triangle = n_freq + 1 - np.abs(np.arange(-n_freq, n_freq + 1))
    # The largest sum decides which type holds every sum exactly.
    kind = np.dtype(np.float32 if int(triangle.sum()) * int(taps.sum()) < 2**24 else np.float64)
    over_time = np.zeros((_LONGEST, n_past + n_ahead + _LONGEST), kind)
    for row in range(_LONGEST):
        over_time[row, row : row + len(taps)] = taps
    band = max(_BAND, n_freq)
    over_frequency = np.zeros((band + 2 * n_freq, band), kind)
    for column in range(band):
        over_frequency[column : column + len(triangle), column] = triangle
    over_time.flags.writeable = over_frequency.flags.writeable = False
    return over_time, over_frequency


@dataclass
class MaskMemory(Memory):
    """Holds the masks that rows to come still reach back to, and how many rows were given whose past did not all
    exist."""

    masks: Counts
    given: int


class MaskSmoother(BatchStage[MaskMemory]):
    """Smooths a mask ``(n, n_bins)`` of what is louder than the noise to weights ``(k, n_bins)``.

    Over frequency the triangle reaches ``n_freq`` bins to each side, and over the spectrum's ends, where nothing is: so
    does noisereduce's, which fades the first and last bins. Over time it reaches ``n_past`` frames back and ``n_ahead``
    frames ahead. Row 0 is about frame ``n_ahead``. Rows whose past reaches before the segment's start are weighted over
    the frames that exist: a closed past would fade in every sound that is there when a segment begins, after each gap
    anew.
    """

    def __init__(self, n_bins: int, *, n_freq: int, n_past: int, n_ahead: int) -> None:
        self._n_bins, self._n_freq, self._n_past, self._n_ahead = n_bins, n_freq, n_past, n_ahead
        self._reach = n_past + n_ahead
        self.reach = self._reach + 1
        full = (n_freq + 1) ** 2
        taps = np.append(np.arange(1, n_past + 1), np.arange(n_past + 1, n_past - n_ahead, -1))
        self._over_time, self._over_frequency = _triangles(n_freq, n_past, n_ahead)
        self._type = self._over_time.dtype
        self._band = self._over_frequency.shape[1]
        self._bands = -(-n_bins // self._band)
        self._width = self._bands * self._band
        item = self._type.itemsize
        self._strides_in = (self._band * item, (self._width + 2 * n_freq) * item, item)
        self._strides_out = (self._band * item, self._width * item, item)
        # The sums of a row's weights over the frames of its past that exist, from the fewest to all of them.
        sums = [int(taps[max(0, n_past - back) :].sum()) for back in range(n_ahead, n_past)] + [int(taps.sum())]
        self._scales = (1.0 / (full * np.array(sums, np.float64))).astype(np.float32)[:, None]
        edge = self._counts(np.ones((1, self._reach + 1, n_bins), self._type), 1)[0, 0]
        self.ends: NDArray[np.float32] = (edge / np.float64(full * sums[-1])).astype(np.float32)
        """What smoothing over frequency makes of an open mask: 1 but for the spectrum's ends."""
        self.reset()

    def begin(self) -> MaskMemory:
        """Return a memory of closed masks: frames before row 0's past do not exist, and weigh nothing."""
        before = self._n_past - min(self._n_past, self._n_ahead)
        return MaskMemory(np.zeros((1, before, self._n_bins), self._type), 0)

    def step(self, memory: MaskMemory, blocks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the smoothed masks, 0 to 1, of the frames whose look-ahead these frames complete."""
        sources, n, bins = blocks.shape
        if n > _LONGEST:
            cuts = range(0, n, _LONGEST)
            return np.concatenate([self.step(memory, blocks[:, i : i + _LONGEST]) for i in cuts], axis=1)
        kept = memory.masks.shape[1]
        masks = np.empty((sources, kept + n, bins), self._type)
        masks[:, :kept] = memory.masks
        masks[:, kept:] = blocks
        n += kept - self._reach
        if n <= 0:
            memory.masks = masks
            return np.empty((sources, 0, bins), np.float32)
        memory.masks = masks[:, n:]
        given, scale = memory.given, self._scales[-1]
        if given < (whole := len(self._scales) - 1):
            scale = self._scales[np.minimum(np.arange(given, given + n), whole)]
            memory.given = min(given + n, whole)
        weights: NDArray[np.float32] = np.multiply(self._counts(masks, n), scale, dtype=np.float32)
        return weights

    def _counts(self, rows: Counts, n: int) -> Counts:
        """Return the weighted sums ``(sources, n, n_bins)`` of ``(sources, reach + n, n_bins)``."""
        margin, bins, lines = self._n_freq, self._n_bins, len(rows) * n
        timed = np.zeros((len(rows), n, self._width + 2 * margin), self._type)
        np.matmul(self._over_time[:n, : self._reach + n], rows, out=timed[..., margin : margin + bins])
        if not margin:
            return timed[..., :bins]
        # Every band with its margins as a matrix of its own: they overlap, and nothing is copied.
        counts = np.empty((len(rows), n, self._width), self._type)
        np.matmul(
            np.ndarray((self._bands, lines, self._band + 2 * margin), self._type, timed, 0, self._strides_in),
            self._over_frequency,
            out=np.ndarray((self._bands, lines, self._band), self._type, counts, 0, self._strides_out),
        )
        return counts[..., :bins]
