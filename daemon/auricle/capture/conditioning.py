"""Every source does this to its samples before the first stage: mix-down, cleaning, resampling."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

LOUDEST = 2.0**23
"""The largest amplitude that may pass: that of 24-bit integers that were never scaled. What is larger is a damaged
sample, which would drown all that comes after it in whatever averages; up to here every stage's powers stay finite."""


def mono(block: NDArray[np.float32], channel: int | None = None) -> NDArray[np.float32]:
    """Mix ``(n, channels)`` float32 down to ``(n,)``: the mean, or one channel."""
    if channel is not None:
        return np.ascontiguousarray(block[:, channel])
    if block.shape[1] == 1:
        return np.ascontiguousarray(block[:, 0])
    # One shifted sum after the other: the same bits for every block length and every machine word.
    total = block[:, 0].copy()
    with np.errstate(over="ignore", invalid="ignore"):  # `clean` sees to what is no sound
        for column in range(1, block.shape[1]):
            total += block[:, column]
    return np.asarray(total / np.float32(block.shape[1]))


def clean(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Replace samples that are not finite by 0, let none be beyond `LOUDEST`, and say how many were changed."""
    if not len(block) or (block.max() <= LOUDEST and block.min() >= -LOUDEST):  # false with a NaN among them
        return block, 0
    kept = np.clip(np.where(np.isfinite(block), block, np.float32(0)), np.float32(-LOUDEST), np.float32(LOUDEST))
    return kept, int(np.count_nonzero(kept != block))


class Resampler:
    """Converts mono sound from one rate to another as a stream; where the rates agree, blocks pass as they are.

    soxr's stream is independent of how it is cut, starts without delay, and gives its tail at `flush`.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._rates = (rate_in, rate_out)
        self._stream = None if rate_in == rate_out else soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32")

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take ``(n,)`` float32 at the rate in, and give what is ready at the rate out."""
        if self._stream is None:
            return block
        return np.asarray(self._stream.resample_chunk(block), np.float32)

    def flush(self) -> NDArray[np.float32]:
        """Return the tail that the filter still holds; afterwards a new segment may begin."""
        if self._stream is None:
            return np.empty(0, np.float32)
        tail = np.asarray(self._stream.resample_chunk(np.empty(0, np.float32), last=True), np.float32)
        self._stream = soxr.ResampleStream(*self._rates, 1, dtype="float32")
        return tail
