"""Every source does this to its samples before the first stage: mix-down, cleaning, resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

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


@dataclass(frozen=True, slots=True)
class Joints:
    """Says where a `Resampler` may be begun within a stream without changing a bit of what it gives.

    Args:
        every: samples at the rate in: at any multiple of them.
        warm: samples at the rate out that it gives first, which are not those of the stream yet.
        late: samples at the rate in that it must be given at most behind the one whose place a sample has.
    """

    every: int
    warm: int
    late: int


_LONGEST_JOINT_S = 20.0
_PROOF = 2


@lru_cache
def joints(rate_in: int, rate_out: int) -> Joints | None:
    """Find where a resampler may be begun; ``None`` where no such place is found.

    soxr filters by Fourier transforms of blocks of one length, so that it gives what it gives in bursts: begun a whole
    number of blocks later, it computes the same blocks. The bursts tell how long these are; that the bits are the same
    is tried on noise.
    """
    if rate_in == rate_out:
        return Joints(1, 0, 0)
    one = np.zeros(1, np.float32)
    probe, bursts = Resampler(rate_in, rate_out), list[int]()
    for at in range(round(_LONGEST_JOINT_S * rate_in)):
        if len(probe.process(one)):
            bursts.append(at)
            if len(bursts) > _PROOF:
                break
    steps = {later - at for at, later in pairwise(bursts)}
    if len(steps) != 1:
        return None
    (step,) = steps
    common = math.gcd(rate_in, rate_out)
    every = math.lcm(step, rate_in // common)
    if every > _LONGEST_JOINT_S * rate_in:
        return None
    noise = np.random.default_rng(0).uniform(-1, 1, every + 8 * step + 2 * bursts[0]).astype(np.float32)
    whole, later = (Resampler(rate_in, rate_out).process(part) for part in (noise, noise[every:]))
    whole = whole[every * rate_out // rate_in :]
    warm = 2 * step * rate_out // rate_in
    if not np.array_equal(later[warm:], whole[warm:]) or len(later) <= 2 * warm:
        return None
    return Joints(every, warm, bursts[0] + 2 * step)
