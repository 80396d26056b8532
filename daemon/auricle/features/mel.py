"""Mel and log-mel spectra are computed here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from auricle.stages import filters
from auricle.stages.stage import Block, RowStage

_AT_ONCE = 4
"""Frames projected at once: more are no faster a frame."""


class MelSpectrogram(RowStage):
    """Projects power spectra on mel bands, as ``librosa.feature.melspectrogram``, or as others draw the bands.

    Args:
        fmin, fmax: edges of the lowest and the highest band, Hz; ``fmax`` half the sample rate unless given.
        basis: ``librosa``: triangles straight over Hz; ``kaldi``: straight over HTK's mel, of unit height, without the
            Nyquist bin; ``tf``: the same without the bin of 0 Hz (``tf.signal.linear_to_mel_weight_matrix``).
        htk: HTK's mel formula (Young et al. 2002) rather than Slaney's (1998); of librosa's basis.
        norm: ``'slaney'`` for triangles of unit area, ``None`` for unit height; ``'own'`` is the basis's own, slaney
            for librosa's.
        gain: the factor of every band.
        keep: how many of the ``n_mels`` bands to compute, from the lowest; all unless given. Then ``fmax`` may lie
            above half the sample rate, for bands that were laid out at a higher one; what is above it holds nothing.

    Shape:
        in ``(n, n_fft // 2 + 1)`` float32, out ``(n, keep or n_mels)`` float32.

    Raises:
        ValueError: the bands cannot be, or some hold no bin.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        basis: str = "librosa",
        htk: bool | None = None,
        norm: str | None = "own",
        keep: int | None = None,
        gain: float = 1.0,
    ) -> None:
        self._bins, self._basis, self._at_once = _projection(
            sample_rate=sample_rate,
            n_fft=n_fft,
            n_mels=n_mels,
            fmin=fmin,
            fmax=fmax,
            basis=basis,
            htk=htk,
            norm=norm,
            keep=keep,
            gain=gain,
        )

    def process(self, block: Block) -> Block:
        """Project a fixed number of frames at a time: a product over more or fewer would give other bits."""
        n, n_bins = block.shape
        if short := -n % self._at_once:
            block = np.concatenate((block, np.zeros((short, n_bins), block.dtype)))
        rows: Block = np.matmul(block.reshape(-1, self._at_once, n_bins)[..., self._bins], self._basis)
        return rows.reshape(-1, rows.shape[-1])[:n]


@cache
def _projection(
    *, sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None, gain: float, **drawn: Any
) -> tuple[slice, Block, int]:
    """Return the bins that count, their weights ``(bins, n_mels)`` and how many frames to project at once; all sources
    share them."""
    bank = filters.mel(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, **drawn)
    empty = np.flatnonzero(~bank.any(axis=1))
    if fmax is not None and fmax > sample_rate / 2:
        # What lies above half the sample rate may hold nothing.
        empty = empty[empty < np.flatnonzero(bank.any(axis=1)).max(initial=-1)]
    if len(empty):
        raise ValueError(
            f"mel band{'s' if len(empty) > 1 else ''} {', '.join(map(str, empty[:8]))} of {n_mels} hold no bin of "
            f"{sample_rate / n_fft:g} Hz; use fewer n_mels, an n_fft above {n_fft}, or an fmin above {fmin:g}"
        )
    bins = np.flatnonzero(bank.any(axis=0))
    used = slice(int(bins[0]), int(bins[-1]) + 1)
    basis = np.ascontiguousarray(gain * bank[:, used].T, np.float32)
    basis.flags.writeable = False
    return used, basis, _AT_ONCE if _blind_to_place(basis) else 1


def _blind_to_place(basis: Block) -> bool:
    """Return whether this machine's BLAS gives a frame the same bits wherever it stands among those projected at
    once."""
    # A sine of squares is irregular enough; numpy's generators would be loaded at every start for this alone.
    frames = np.sin(np.arange(_AT_ONCE * len(basis), dtype=np.float32) ** 2).reshape(_AT_ONCE, -1)
    product = frames @ basis
    alone = np.zeros_like(frames)
    alone[-1] = frames[0]
    turned = [np.roll(np.roll(frames, by, axis=0) @ basis, -by, axis=0) for by in range(_AT_ONCE)]
    return all(np.array_equal(each, product) for each in turned) and np.array_equal((alone @ basis)[-1], product[0])


class LogMel(RowStage):
    """Takes the logarithm of mel power: decibels as ``librosa.power_to_db`` with ``top_db=None``, or the natural one.

    librosa's ``top_db`` clips against the loudest frame of the whole file, which a stream cannot know; ``floor_db`` is
    a fixed floor in its place.

    Args:
        ref: the power that is 0 dB.
        amin: floor of the power, 1e-10 unless given or ``offset`` is.
        offset: added to the power in place of the floor: ``log(power + offset)``.
        floor_db: floor of the result in dB; none unless given.
        natural: the natural logarithm of the power rather than dB; ``ref`` and ``floor_db`` count as well.
        mean, std: the result is taken as ``(logarithm - mean) / std``, in the logarithm's own unit.
        clip: the least and the most that the result may be, at last; no bounds unless given.

    Shape:
        in ``(n, n_mels)`` float32, out the same.

    Raises:
        ValueError: a parameter that cannot be.
    """

    def __init__(
        self,
        *,
        ref: float = 1.0,
        amin: float | None = None,
        offset: float | None = None,
        floor_db: float | None = None,
        natural: bool = False,
        mean: float = 0.0,
        std: float = 1.0,
        clip: Sequence[float] | None = None,
    ) -> None:
        if amin is not None and offset is not None:
            raise ValueError(f"amin {amin:g} and offset {offset:g} are two floors of one logarithm; use one of them")
        amin = 1e-10 if amin is None else amin
        self._added = None if offset is None else np.float32(offset)
        for name, value in (("ref", ref), ("amin", amin), ("offset", amin if offset is None else offset)):
            if not 0 < value < np.inf:
                raise ValueError(f"{name} {value:g} is no power; use a number above 0")
        if not (np.isfinite(mean) and 0 < std < np.inf):
            raise ValueError(f"mean {mean:g} and std {std:g} cannot be; use a number, and one above 0")
        unit = 10.0 if not natural else np.log(10.0)
        factor = (1.0 if natural else unit) / std
        self._log = np.log if natural else np.log10
        self._factor = None if factor == 1.0 else np.float32(factor)
        self._amin = np.float32(amin)
        zero = np.float32((unit * np.log10(max(amin, ref)) + mean) / std)
        self._zero = None if zero == 0 else zero
        low, high = (-np.inf, np.inf) if clip is None else _bounds(clip)
        if floor_db is not None:
            low = max(low, (floor_db * unit / 10.0 - mean) / std)
        self._low = None if low == -np.inf else np.float32(low)
        self._high = None if high == np.inf else np.float32(high)

    def process(self, block: Block) -> Block:
        """Take the logarithm of every band."""
        rows = np.maximum(block, self._amin) if self._added is None else block + self._added
        self._log(rows, out=rows)
        if self._factor is not None:
            rows *= self._factor
        if self._zero is not None:
            rows -= self._zero
        if self._low is not None:
            np.maximum(rows, self._low, out=rows)
        return rows if self._high is None else np.minimum(rows, self._high, out=rows)


def _bounds(clip: Sequence[float]) -> tuple[float, float]:
    numbers = isinstance(clip, Sequence) and len(clip) == 2 and all(isinstance(end, int | float) for end in clip)
    if not numbers or not clip[0] < clip[1]:
        raise ValueError(f"clip {clip!r} cannot be; use the least and the most, as [0, 1]")
    return float(clip[0]), float(clip[1])
