"""The fixed-point front end of TensorFlow Lite Micro, which wake words for small chips are trained on.

It is computed by `pymicro-features`, the library that those who train them use: the extra ``micro``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from auricle.stages.stage import Block

RATE, HOP, SPAN, WIDTH = 16_000, 160, 480, 40
"""What is built into it: Hz, samples from row to row and in a frame, features."""


class Missing(ValueError):
    """`pymicro-features` is not installed here."""


class Micro:
    """Turns samples into rows of 40 features, noise-reduced and gain-controlled as they come.

    Shape:
        in ``(n,)`` float32, heard as 16-bit samples, out ``(k, 40)`` float32.

    Raises:
        Missing: `pymicro-features` is.
    """

    hop, span, lead = HOP, SPAN, SPAN // 2

    def __init__(self) -> None:
        try:
            from pymicro_features import MicroFrontend
        except ImportError:
            raise Missing("feature micro: pymicro-features is missing; pip install 'auricle[micro]'") from None
        self._front: Any = MicroFrontend()
        self._waiting: Block = np.empty(0, np.int16)

    def process(self, block: Block) -> Block:
        """Give the rows that this block completes."""
        samples = np.clip(np.rint(block * np.float32(32768)), -32768, 32767).astype("<i2")
        samples = np.concatenate((self._waiting, samples))
        rows = []
        # A hop at a time from the segment's start, however the sound was cut.
        whole = len(samples) // HOP * HOP
        for at in range(0, whole, HOP):
            given = self._front.process_samples(samples[at : at + HOP].tobytes())
            if given.features:
                rows.append(given.features)
        self._waiting = samples[whole:].copy()
        return np.asarray(rows, np.float32).reshape(-1, WIDTH)

    def reset(self) -> None:
        """Forget the signal heard so far, and what was learned of its noise."""
        self._front.reset()
        self._waiting = self._waiting[:0]
