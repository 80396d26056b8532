"""Per-channel energy normalisation: an automatic gain for every mel band."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from auricle.stages.stage import Block


class Pcen:
    """Normalises the energy of every mel band, as ``librosa.pcen`` (Wang et al. 2017, Lostanlen et al. 2019).

    The smoother is recursive: its state is float64, begins at 1 as librosa's does, and never takes in a non-finite
    value.

    Args:
        sample_rate, hop_length: of the rows, for ``time_constant``.
        gain, bias, power, eps: of the normalisation; ``power`` 0 is the logarithm.
        time_constant: of the smoother, seconds.
        b: the smoother's coefficient itself, in place of ``time_constant``.
        scale: the factor of the rows before all else; librosa's advice for samples within 1 is ``2**31``.

    Shape:
        in ``(n, n_mels)`` float32, out the same.

    Raises:
        ValueError: a parameter that cannot be.
    """

    hop = 1
    span = 1
    lead = 0

    def __init__(
        self,
        *,
        sample_rate: int,
        hop_length: int,
        gain: float = 0.98,
        bias: float = 2.0,
        power: float = 0.5,
        time_constant: float = 0.4,
        eps: float = 1e-6,
        b: float | None = None,
        scale: float = 2.0**31,
    ) -> None:
        for name, value, least in (("gain", gain, 0.0), ("bias", bias, 0.0), ("power", power, 0.0)):
            if not least <= value < math.inf:
                raise ValueError(f"pcen: {name} {value:g} cannot be; use 0 or more")
        for name, value in (("time_constant", time_constant), ("eps", eps), ("scale", scale)):
            if not 0 < value < math.inf:
                raise ValueError(f"pcen: {name} {value:g} cannot be; use more than 0")
        if b is None:
            frames = time_constant * sample_rate / hop_length
            b = (math.sqrt(1.0 + 4.0 * frames**2) - 1.0) / (2.0 * frames**2)
        if not 0 <= b <= 1:
            raise ValueError(f"pcen: b {b:g} cannot be; use 0 to 1, or leave it to time_constant")
        self._gain, self._bias, self._power, self._eps, self._b, self._scale = gain, bias, power, eps, b, scale
        self._smooth: NDArray[np.float64] | None = None

    def process(self, block: Block) -> Block:
        """Divide every band by its own recent level, and compress."""
        rows = block.astype(np.float64) * self._scale
        levels = np.empty_like(rows)
        taken = np.where(np.isfinite(rows), rows, 0.0) * self._b
        smooth = np.ones(rows.shape[1:]) if self._smooth is None else self._smooth
        for level, new in zip(levels, taken, strict=True):
            smooth = np.multiply(smooth, 1.0 - self._b, out=level)
            smooth += new
        self._smooth = smooth.copy()
        gain = np.exp(-self._gain * (math.log(self._eps) + np.log1p(levels / self._eps)))
        if self._power == 0:
            rows = np.log1p(rows * gain)
        elif self._bias == 0:
            rows = (rows * gain) ** self._power
        else:
            rows = self._bias**self._power * np.expm1(self._power * np.log1p(rows * gain / self._bias))
        return np.asarray(rows.astype(np.float32))

    def reset(self) -> None:
        """Forget the level of every band."""
        self._smooth = None
