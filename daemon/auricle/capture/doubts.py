"""Sound that can hardly be what a microphone heard is questioned here, once; it is heard all the same."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

LOOK_S = 10.0
"""So much sound is judged at a time, and what is left at a recording's end if it is `LEAST_S`."""
LEAST_S = 1.0
LOUD = 16.0
"""An amplitude of +24 dBFS, which no float file of sound has; files in the range of whole numbers have +90."""
OFFSET = 0.01
"""A mean over seconds that no sound has, as a share of full scale."""
CANCELLED = 1e-3
"""Channels cancel each other where less than this share of their power is left in their mix: 30 dB down."""
HEARD = 1e-6
"""From this power on, -60 dBFS, a channel has something to lose."""
_DEAD = 2.0 / 32768
"""A dead channel moves by no more than the last bit of 16."""


class _Sums:
    """Adds up what has been looked at since the last judgement."""

    def __init__(self, channels: int, rate: int) -> None:
        self.channels, self.rate = channels, rate
        self.samples = 0
        self.total, self.top, self.mixed = 0.0, 0.0, 0.0
        self.power = np.zeros(channels)
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, block: NDArray[np.float32], mixed: NDArray[np.float32]) -> None:
        self.samples += len(block)
        self.total += float(mixed.sum(dtype=np.float64))
        self.top = max(self.top, float(mixed.max()), -float(mixed.min()))
        if self.channels > 1:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is cleaned and counted elsewhere
                self.mixed += float(np.dot(mixed, mixed))
                self.power += np.einsum("ij,ij->j", block, block)
                self.low = np.minimum(self.low, block.min(0))
                self.high = np.maximum(self.high, block.max(0))


class Doubts:
    """Looks at sound before it is mixed down, and says what is strange in it, each thing once.

    Args:
        channel: the one that is listened to, counted from 0; ``None`` where all are mixed.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self._told: set[str] = set()
        self._new: deque[str] = deque()
        self._sums = _Sums(0, 0)

    def look(self, block: NDArray[np.float32], mixed: NDArray[np.float32], rate: int) -> None:
        """Look at a block ``(n, channels)`` and what was made of it, ``(n,)``, both float32 at ``rate``."""
        if not len(block) or not np.isfinite(mixed).all():
            return  # such samples are cleaned and counted elsewhere; of these no sum can be made
        if (block.shape[1], rate) != (self._sums.channels, self._sums.rate):
            self.end()
            self._sums = _Sums(block.shape[1], rate)
        self._sums.add(block, mixed)
        if self._sums.samples >= LOOK_S * rate:
            self.end()

    def end(self) -> None:
        """Judge what has been looked at since the last judgement; the sound may go on."""
        sums, self._sums = self._sums, _Sums(self._sums.channels, self._sums.rate)
        if sums.samples and sums.samples >= LEAST_S * sums.rate:
            self._judge(sums)
            if sums.channels > 1 and self._channel is None:
                self._compare(sums)

    def take(self) -> list[str]:
        """Return what has become doubtful since the last call: lines for a person. Another thread may look on."""
        return [self._new.popleft() for _ in range(len(self._new))]

    def _judge(self, sums: _Sums) -> None:
        offset = sums.total / sums.samples
        if sums.top > LOUD:
            self._doubt("scale", f"an amplitude of {sums.top:.0f}, where full scale is 1: was it not divided by 32768?")
        elif abs(offset) > OFFSET:
            self._doubt("offset", f"a constant offset of {100 * offset:.1f} % of full scale: is the input all right?")

    def _compare(self, sums: _Sums) -> None:
        power = sums.power / sums.samples
        if not power.max() >= HEARD:
            return
        if sums.mixed / sums.samples < CANCELLED * power.mean():
            self._doubt("cancelled", "its channels cancel each other in their mix; listen to one of them (channel)")
        dead = np.flatnonzero(sums.high - sums.low <= _DEAD)
        if len(dead):
            numbers = ", ".join(str(number + 1) for number in dead)
            self._doubt("dead", f"nothing on channel {numbers}, which weakens the mix; listen to another one (channel)")

    def _doubt(self, kind: str, line: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._new.append(line)
