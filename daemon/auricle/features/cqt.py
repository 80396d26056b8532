"""Chroma from a constant-Q transform is computed here, octave by octave.

Each octave is heard at the rate that it needs: the sound is halved in rate once more for every octave down, after which
one short kernel serves all of them. A hop costs the same few hundred samples an octave, where kernels at the full rate
last up to 1.6 s. (Schörkhuber and Klapuri 2010; librosa does the same over the whole file.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.features import wavelets
from auricle.features.chroma import check_norm, normalise
from auricle.stages.stage import Block, count_out

_TAPS = wavelets.halfband().astype(np.float32)
# A kernel may reach to this part of its rate: what the half-band filter leaves flat and unaliased.
_FLAT = 0.4


class HalfRate:
    """Halves the rate of the sound, through a half-band filter.

    Shape:
        in ``(n,)`` float32, out ``(k,)`` float32.
    """

    hop = 2
    span = len(_TAPS)
    lead = len(_TAPS) // 2

    def __init__(self) -> None:
        self._rest = np.empty(0, np.float32)

    def process(self, block: Block) -> Block:
        """Give the samples that this block completes; each is one dot product of its own, whatever the cut."""
        items = np.concatenate((self._rest, block))
        n = count_out(len(items), span=self.span, hop=self.hop)
        if n == 0:
            self._rest = items
            return items[:0]
        self._rest = items[2 * n :].copy()
        sides = np.ascontiguousarray(items[: 2 * n + self.span - 2 : 2])
        middle = items[self.lead : self.lead + 2 * n : 2]
        return np.correlate(sides, _TAPS[::2], "valid") + np.float32(0.5) * middle

    def reset(self) -> None:
        """Forget the samples kept for the next one."""
        self._rest = np.empty(0, np.float32)


@dataclass
class _Octaves:
    """Holds the octaves that one kernel serves, each at its own number of halvings."""

    kernel: NDArray[np.float32]
    halvings: list[int]

    @property
    def length(self) -> int:
        return len(self.kernel)


class ChromaCqt:
    """Computes the chroma of a constant-Q transform, as ``librosa.feature.chroma_cqt``.

    Row k is about sample ``lead + k * hop_length``, ``lead`` a multiple of ``hop_length``: librosa's frame ``k + lead /
    hop_length``. By its nature slow: with the defaults the longest kernel lasts 1.6 s.

    Args:
        fmin: lowest frequency, Hz; C1 (32.7 Hz) unless given.
        n_octaves, bins_per_octave, n_chroma: of the transform, and of what it is folded to.
        norm: inf, 1, 2, or ``None`` for raw chroma.
        threshold: raw chroma below this is 0.
        tuning: deviation from A4 = 440 Hz in fractions of a bin. Given: librosa's estimate needs the whole file.

    Shape:
        in ``(n,)`` float32, out ``(k, n_chroma)`` float32.

    Raises:
        ValueError: a parameter that cannot be, such as an octave above half the sample rate.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        hop_length: int,
        fmin: float | None = None,
        n_octaves: int = 7,
        bins_per_octave: int = 36,
        n_chroma: int = 12,
        norm: float | None = np.inf,
        threshold: float = 0.0,
        tuning: float = 0.0,
    ) -> None:
        fmin = wavelets.C1_HZ if fmin is None else fmin
        if not fmin > 0 or n_octaves < 1 or bins_per_octave < 2 or hop_length < 1:
            raise ValueError(
                f"cqt: fmin {fmin:g}, n_octaves {n_octaves}, bins_per_octave {bins_per_octave}, "
                f"hop_length {hop_length} cannot be; use an fmin above 0, "
                "at least 1 octave of at least 2 bins, and a hop of at least 1"
            )
        check_norm(norm)
        self._norm, self._threshold = norm, np.float32(threshold)
        n_bins = n_octaves * bins_per_octave
        frequencies = fmin * 2.0 ** ((tuning + np.arange(n_bins)) / bins_per_octave)
        top = wavelets.cutoff(float(frequencies[-1]), bins_per_octave)
        if top > sample_rate / 2:
            fit = int(np.floor(n_octaves - np.log2(2 * top / sample_rate)))
            raise ValueError(
                f"cqt: {n_octaves} octaves from {fmin:g} Hz reach to {top:.0f} Hz, above half the sample rate of "
                f"{sample_rate} Hz; use " + (f"n_octaves {fit}" if fit > 0 else f"an fmin below {sample_rate / 5:g}")
            )
        q = wavelets.quality(bins_per_octave)
        self._groups = _group(frequencies.reshape(n_octaves, -1), sample_rate, q, bins_per_octave)
        folded = wavelets.fold(n_bins, bins_per_octave=bins_per_octave, n_chroma=n_chroma, fmin=fmin)
        folded *= np.sqrt(q * sample_rate / frequencies)
        # The octaves come top first, the bins of each upwards.
        upside_down = folded.reshape(n_chroma, n_octaves, bins_per_octave)[:, ::-1].reshape(n_chroma, n_bins)
        self._fold = np.ascontiguousarray(upside_down.T, np.float32)
        self.hop = hop_length
        self.lead = self._find_lead()
        self.span = self._find_span()
        self._rates = [HalfRate() for _ in range(max(self._lengths))]
        self.reset()

    def process(self, block: Block) -> Block:
        """Give the rows whose longest kernel this block completes."""
        self._heard += len(block)
        for halvings in range(len(self._rates) + 1):
            if halvings:
                block = self._rates[halvings - 1].process(block)
            if halvings in self._lengths:
                self._sounds[halvings] = np.concatenate((self._sounds[halvings], block))
        n = count_out(self._heard, span=self.span, hop=self.hop) - self._given
        rows = np.arange(self._given, self._given + n)
        bins = np.concatenate([self._transform(group, rows) for group in self._groups], axis=1)
        self._given += n
        self._drop()
        chroma = np.matmul(bins[:, None], self._fold)[:, 0]
        return normalise(np.where(chroma < self._threshold, np.float32(0.0), chroma), self._norm)

    def reset(self) -> None:
        """Forget the sound heard so far."""
        for rate in self._rates:
            rate.reset()
        self._heard = self._given = 0
        self._sounds = {halvings: np.empty(0, np.float32) for halvings in self._lengths}
        self._begins = dict.fromkeys(self._lengths, 0)

    @property
    def _lengths(self) -> dict[int, int]:
        return {halvings: group.length for group in self._groups for halvings in group.halvings}

    def _begin(self, halvings: int, length: int, rows: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Return the first item of the kernels about these rows, at a rate halved so often, rounded to the nearest
        item."""
        delay = (2**halvings - 1) * HalfRate.lead
        centre = np.asarray(self.lead + np.asarray(rows, np.int64) * self.hop - delay)
        return np.asarray(((centre + (2**halvings >> 1)) >> halvings) - length // 2)

    def _find_lead(self) -> int:
        self.lead = 0
        while min(int(self._begin(h, length, 0)) for h, length in self._lengths.items()) < 0:
            self.lead += self.hop
        return self.lead

    def _find_span(self) -> int:
        # Rounding to an item of the slowest rate repeats after so many rows at the latest.
        rows = np.arange(2 ** max(self._lengths))
        need = [
            (self._begin(h, length, rows) + length - 1) * 2**h + (2**h - 1) * (HalfRate.span - 1) + 1 - rows * self.hop
            for h, length in self._lengths.items()
        ]
        return int(np.max(need))

    def _transform(self, group: _Octaves, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the magnitudes ``(n, bins)`` of the group's octaves: for each row one product of the same shape."""
        heard = np.empty((len(rows), len(group.halvings), group.length), np.float32)
        for octave, halvings in enumerate(group.halvings):
            begins = self._begin(halvings, group.length, rows) - self._begins[halvings]
            heard[:, octave] = self._sounds[halvings][begins[:, None] + np.arange(group.length)]
        parts = np.square(np.matmul(heard, group.kernel))
        half = parts.shape[-1] // 2
        power = parts[..., :half] + parts[..., half:]
        return np.asarray(np.sqrt(power)).reshape(len(rows), len(group.halvings) * half)

    def _drop(self) -> None:
        for halvings, length in self._lengths.items():
            begin = int(self._begin(halvings, length, self._given))
            used = min(begin - self._begins[halvings], len(self._sounds[halvings]))
            self._sounds[halvings] = self._sounds[halvings][used:].copy()
            self._begins[halvings] += used


def _group(frequencies: NDArray[np.float64], sample_rate: int, q: float, bins_per_octave: int) -> list[_Octaves]:
    """Return the octaves from the top down, each with as many halvings as it bears, gathered by kernel."""
    groups: dict[float, _Octaves] = {}
    for octave in frequencies[::-1]:
        reach = wavelets.cutoff(float(octave[-1]), bins_per_octave)
        halvings = max(0, int(np.floor(np.log2(_FLAT * sample_rate / reach))))
        relative = octave * 2.0**halvings / sample_rate
        key = round(float(relative[0]), 9)
        if key not in groups:
            groups[key] = _Octaves(wavelets.kernels(relative, q).astype(np.float32), [])
        groups[key].halvings.append(halvings)
    return list(groups.values())
