"""The noise floor says what is known of the room: the mean and the spread of its noise in every frequency bin, in
decibels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from auricle.errors import AudioError, ShortError, StoredError
from auricle.stages.filters import TAPERS
from auricle.stages.pre_emphasis import PreEmphasis, check
from auricle.stages.spectrum import taper, without_mean
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member

_EPS = np.float64(np.finfo(np.float64).eps)
_TOP_DB = 80.0
_LOUDEST = 16.0
"""The amplitude, 24 dB over full scale, beyond which nothing in a profile is the noise of a room."""
_DEAFENING_DB = -6.0
"""A floor of which half of the bins reach this with one deviation above their mean leaves no sound that could be
louder: even noise at full scale spreads over all bins, and is far below this in each."""
_WIDEST_DB = 300.0
"""No level deviates so much: all lie between those of nothing, -313 dB, and full scale."""
PROFILE = {"noise": Member("f", 1), "sample_rate": Member("iu", 0)}
LEARNED = {
    "mean_db": Member("f", 1),
    "std_db": Member("f", 1),
    "frames": Member("fiu", 0),
    "geometry": Member("fiu", 1),
}


@dataclass(frozen=True)
class Geometry:
    """Says which frames a floor belongs to: one in other bins, under another taper or of a sound otherwise emphasised
    says nothing about these."""

    sample_rate: int
    n_fft: int
    win_length: int
    pre_emphasis: float | None = None
    taper: str = "hann"
    remove_dc: bool = False

    def __post_init__(self) -> None:
        taper(self.n_fft, self.win_length, self.taper)
        if self.pre_emphasis is not None:
            check(self.pre_emphasis)

    @property
    def n_bins(self) -> int:
        """Return how many frequency bins a spectrum has."""
        return self.n_fft // 2 + 1

    @cached_property
    def _unit(self) -> np.float64:
        """Return the magnitude that a full-scale constant has under the taper: 0 dB."""
        return np.float64(self.points.sum())

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """Return the taper's ``n_fft`` points."""
        return taper(self.n_fft, self.win_length, self.taper)

    @property
    def numbers(self) -> tuple[float, ...]:
        """Return the geometry in numbers, to save: sample_rate, n_fft, win_length, and the rest where it is no plain
        Hann taper."""
        lengths = (self.sample_rate, self.n_fft, self.win_length)
        rest = (self.pre_emphasis or 0.0, *TAPERS[self.taper], int(self.remove_dc))
        return lengths if rest == (0.0, *TAPERS["hann"], 0) else (*lengths, *rest)

    def decibels(self, power: NDArray[Any]) -> NDArray[Any]:
        """Return the decibels of a power spectrum relative to full scale, in its own precision, -313 dB for nothing as
        in noisereduce."""
        return np.asarray(20.0 * np.log10(np.sqrt(power) / self._unit.astype(power.dtype) + _EPS.astype(power.dtype)))

    def power(self, decibels: ArrayLike) -> NDArray[np.float64]:
        """Return the power of levels in decibels: the inverse of `decibels`."""
        return np.square(np.maximum(10.0 ** (np.asarray(decibels) / 20.0) - _EPS, 0.0) * self._unit)


class Floor:
    """Holds the mean and the standard deviation of the level in every bin, from however many frames.

    Groups of frames are joined by the update of mean and variance of Chan, Golub and LeVeque (1979): each by its share
    of all frames, or with a fixed weight, with which the floor forgets the past exponentially.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.forget()

    def forget(self) -> None:
        """Forget all frames."""
        self.frames = 0
        self.mean_db = np.zeros(self.geometry.n_bins)
        self._variance = np.zeros(self.geometry.n_bins)

    @property
    def std_db(self) -> NDArray[np.float64]:
        """Return the standard deviation of the level, dB."""
        return np.sqrt(self._variance)

    def add(self, levels_db: NDArray[Any], weight: float | None = None) -> None:
        """Join a group of frames ``(n, n_bins)`` to the floor; by its share of all frames unless a weight is given."""
        levels_db = levels_db.astype(np.float64, copy=False)
        self.frames += len(levels_db)
        if weight is None:
            weight = len(levels_db) / self.frames
        step = levels_db.mean(axis=0) - self.mean_db
        self.mean_db = self.mean_db + weight * step
        self._variance = (1.0 - weight) * (self._variance + weight * step * step) + weight * levels_db.var(axis=0)

    def threshold(self, sensitivity: float) -> NDArray[np.float64]:
        """Return the power over which a bin counts as more than noise: ``sensitivity`` deviations above the mean."""
        return self.geometry.power(self.mean_db + sensitivity * self.std_db)

    @property
    def learned(self) -> dict[str, NDArray[np.float64]]:
        """Return the floor as arrays that can be saved; empty as long as nothing was heard."""
        if not self.frames:
            return {}
        g = self.geometry
        return {
            "mean_db": self.mean_db.copy(),
            "std_db": self.std_db,
            "frames": np.array(float(self.frames)),
            "geometry": np.array(g.numbers, np.float64),
        }

    @learned.setter
    def learned(self, known: Mapping[str, ArrayLike]) -> None:
        if not known:
            self.forget()
            return
        missing = set(LEARNED) - set(known)
        if missing:
            raise ValueError(f"learned noise: {', '.join(sorted(missing))} missing; learn it anew")
        g = self.geometry
        # A file may hold millions of them; one more than there can be is other numbers all the same.
        given = np.ravel(known["geometry"])[: len(g.numbers) + 1]
        found = tuple(int(x) if float(x).is_integer() else float(x) for x in given)
        if found != g.numbers:
            raise ValueError(
                f"learned noise: of sample_rate, n_fft, win_length (pre_emphasis, taper, remove_dc) {found}, "
                f"not {g.numbers}; learn it anew for this model"
            )
        frames = float(np.asarray(known["frames"]))
        for name in ("mean_db", "std_db"):
            if np.shape(known[name]) != (g.n_bins,) or not np.isfinite(known[name]).all():
                raise ValueError(f"learned noise: {name} is not {g.n_bins} finite numbers; learn it anew")
        mean, std = (np.array(known[name], np.float64) for name in ("mean_db", "std_db"))
        if not 1 <= frames < 2**53 or (std < 0).any():
            raise ValueError("learned noise: no frame, or a negative deviation; learn it anew")
        if mean.max() > 1.0 or std.max() > _WIDEST_DB or np.median(mean + std) > _DEAFENING_DB:
            raise ValueError(
                f"learned noise: {np.median(mean):.4g} dB that deviate by up to {std.max():.4g} dB are no room's; "
                "learn it anew"
            )
        self.mean_db, self._variance, self.frames = mean, std**2, int(frames)


def floor_of(noise: ArrayLike, geometry: Geometry, hop_length: int) -> Floor:
    """Compute the floor of a clip of noise, as noisereduce does: frames over the clip's zero-padded edges too, ddof 0.

    Levels more than 80 dB under a bin's loudest count as 80 dB under it, which can be done where the whole clip is
    known.

    Args:
        noise: samples ``(n,)`` at the geometry's rate.

    Raises:
        ValueError: the clip is shorter than half a taper, or holds no sound.
    """
    sound = np.nan_to_num(np.asarray(noise, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    half, pad = geometry.win_length // 2, (geometry.n_fft - geometry.win_length) // 2
    if sound.ndim != 1 or len(sound) < max(half, hop_length):
        raise ValueError(
            f"a noise clip of shape {sound.shape} cannot be; use one channel of at least {geometry.win_length} samples"
        )
    if not sound.any():
        raise ValueError("the noise clip is digital silence; record the room, not a muted microphone")
    if geometry.pre_emphasis is not None:
        sound = PreEmphasis(geometry.pre_emphasis).process(sound)
    padded = np.pad(sound, half + pad)
    frames = np.lib.stride_tricks.sliding_window_view(padded, geometry.n_fft)[::hop_length]
    if geometry.remove_dc:
        frames = without_mean(frames, geometry.win_length)
    levels = geometry.decibels(np.abs(np.fft.rfft(frames * geometry.points)) ** 2)
    floor = Floor(geometry)
    floor.add(np.maximum(levels, levels.max(axis=0) - _TOP_DB))
    return floor


def save_profile(path: str | Path, noise: ArrayLike, sample_rate: int) -> None:
    """Write a recorded noise. The sound itself is kept, not its spectrum, so that it fits the frames of any model."""
    with open(path, "wb") as file:
        np.savez_compressed(file, noise=np.asarray(noise, np.float32), sample_rate=np.array(int(sample_rate)))


def load_profile(path: str | Path, sample_rate: int) -> NDArray[np.float32]:
    """Read a noise written by `save_profile`, at the rate wanted.

    Raises:
        AudioError: there is no such file, or the file is no noise profile.
        ShortError: there is not enough memory for it.
    """
    remedy = "make one with `auricle noise --out FILE`"
    try:
        members = arrays.read(path, plain.read(path, arrays.MOST_BYTES), PROFILE)
        noise, rate = np.asarray(members["noise"], np.float32), int(members["sample_rate"])
        if not len(noise) or not 1_000 <= rate <= 1_000_000:
            raise AudioError(f"{path}: a noise profile of shape {noise.shape} at {rate} Hz; {remedy}")
        if not np.isfinite(noise).all() or np.abs(noise).max() > _LOUDEST:
            raise AudioError(f"{path}: a noise profile with samples that no sound can have; {remedy}")
        return noise if rate == sample_rate else np.asarray(soxr.resample(noise, rate, sample_rate), np.float32)
    except StoredError as e:
        if isinstance(e.__cause__, FileNotFoundError | NotADirectoryError):
            raise AudioError(f"{path}: no such noise profile; {remedy}") from None
        if isinstance(e.__cause__, OSError):
            raise AudioError(f"{e}; the daemon's user must be able to read this noise profile") from None
        raise AudioError(f"{path}: not a noise profile; {remedy}") from None
    except MemoryError:
        raise ShortError(f"{path}: no memory is left for this noise profile") from None
