"""This is what a step of a multi-label network sees: an event over the sound of a place, as a room would have it, at
any level.

Windows are composed of power spectra, as functions of the seed and the step alone. Sounds add in power, their phases
unknown; what a window is labelled with is what can be made out in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle_build.grammar.pretrained import Scenery
from auricle_build.learn.batches import NO_PLACES
from auricle_build.material.rows import Rows

Power = NDArray[np.float32]

NEPER_DB = np.float32(np.log(10.0) / 10.0)
"""A decibel of power in natural logarithms."""
SILENT = np.float32(1e-12)


@dataclass(frozen=True)
class Sounds:
    """Holds rows to learn from: natural logarithms of mel power, without the front end's offset.

    Args:
        rows: for each clip its rows ``(k, n_bands)``, one array for each variant.
        labels: the indices of what each clip holds, none for what is none of the labels.
        place: whether a clip may lie under an event: minutes of a place rather than an event.
    """

    rows: Sequence[Sequence[Rows]]
    labels: Sequence[tuple[int, ...]]
    place: Sequence[bool]


@dataclass(frozen=True)
class Windows:
    """Holds windows ``x`` (n, frames, bands) natural log-mel, what is in them ``y`` (n, labels), and how sure that is
    ``weight`` (n, labels): near 0 where a sound is so faint that some would make it out and others not."""

    x: Rows
    y: NDArray[np.float32]
    weight: NDArray[np.float32]


@dataclass
class _Scene:
    """Holds a window being composed."""

    power: Power
    y: NDArray[np.float32]
    weight: NDArray[np.float32]


def _loud(power: Power) -> float:
    """Return the mean power of the loud tenth of the frames."""
    means = power.mean(axis=1)
    tenth = max(1, len(means) // 10)
    return float(np.partition(means, -tenth)[-tenth:].mean() + SILENT)


class Soundscapes:
    """Makes batches by step: ``soundscapes(step)`` is the same whenever and in whatever order it is asked.

    Every label that has recordings comes equally often.

    Args:
        sounds: what windows are made of.
        terms: what the scenes are like.
        window_frames: frames in a window.
        n_labels: labels in all; those without recordings are never in ``y``.
        offset: what the front end adds to the power before the logarithm.
    """

    def __init__(
        self, sounds: Sounds, terms: Scenery, *, window_frames: int, n_labels: int, offset: float, seed: int
    ) -> None:
        self.sounds, self.terms = sounds, terms
        self.frames, self.n_labels, self.offset, self.seed = window_frames, n_labels, np.float32(offset), seed
        self.bands = int(sounds.rows[0][0].shape[1])
        held: list[list[int]] = [[] for _ in range(n_labels)]
        for clip, labels in enumerate(sounds.labels):
            for label in labels:
                held[label].append(clip)
        self.mistaken = NO_PLACES
        """Mistakes are not collected: places, which hold most of what is mistaken, come often anyway."""
        self._by_label = held
        self._filled = [label for label, clips in enumerate(held) if clips]
        self._places = [clip for clip, place in enumerate(sounds.place) if place]
        self._long = [clip for clip in self._places if len(sounds.rows[clip][0]) > window_frames]
        self._brief = [[clip for clip in clips if not sounds.place[clip]] for clips in held]
        self._loudest = [float(np.max(_power(rows[0]).mean(axis=1))) for rows in sounds.rows]

    def __call__(self, step: int) -> Windows:
        """Make the batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        made = [self._window(rng) for _ in range(self.terms.size)]
        x, y, weight = (np.stack(part) for part in zip(*made, strict=True))
        return Windows(x, y, weight)

    def as_recorded(self, number: int, draw: int = 0) -> Rows:
        """Return windows ``(number, frames, bands)`` of clips as they are, spread over all of them; another ``draw``
        takes other clips and other places in them."""
        rng = np.random.default_rng((self.seed, draw))
        clips = ((np.arange(number) + rng.random()) * len(self.sounds.rows) / number).astype(int).tolist()
        return np.stack([np.log(self._stretch(rng, clip) + self.offset) for clip in clips]).astype(np.float32)

    def _window(self, rng: np.random.Generator) -> tuple[Rows, NDArray[np.float32], NDArray[np.float32]]:
        terms, kind = self.terms, rng.random()
        scene = _Scene(
            np.zeros((self.frames, self.bands), np.float32),
            np.zeros(self.n_labels, np.float32),
            np.ones(self.n_labels, np.float32),
        )
        if kind < terms.events:
            self._eventful(rng, scene)
        elif kind < 1.0 - terms.noise and self._places:
            self._place_alone(rng, scene)
        elif rng.random() > 0.15:
            scene.power = self._noise(rng)
        return self._heard(rng, scene.power), scene.y, scene.weight

    def _eventful(self, rng: np.random.Generator, scene: _Scene) -> None:
        terms = self.terms
        label = self._filled[rng.integers(len(self._filled))]
        scene.power, share = self._event(rng, label)
        scene.y[label] = share > 0.5
        if 0.05 < share < 0.95:
            scene.weight[label] = 0.2
        level = _loud(scene.power)
        if rng.random() < terms.second:
            other = self._filled[rng.integers(len(self._filled))]
            power, share = self._event(rng, other)
            over_db = rng.uniform(-12.0, 12.0)
            scene.power += power * np.float32(level / _loud(power) * 10 ** (over_db / 10))
            if share > 0.5:
                scene.y[other] = 1.0
            if other != label and abs(over_db) > 6.0:
                scene.weight[other if over_db < 0 else label] = 0.3
            level = _loud(scene.power)
        if rng.random() < terms.behind and self._long:
            self._behind(rng, scene, label, level)
        else:
            scene.power += self._noise(rng) * np.float32(level * 10 ** (-rng.uniform(20.0, 70.0) / 10))

    def _behind(self, rng: np.random.Generator, scene: _Scene, label: int, level: float) -> None:
        """Put a place under the sounds of the window."""
        place = self._long[rng.integers(len(self._long))]
        power, snr_db = self._stretch(rng, place), rng.uniform(*self.terms.snr_db)
        scene.power += power * np.float32(level / _loud(power) * 10 ** (-snr_db / 10))
        for other in self.sounds.labels[place]:
            if snr_db < 12.0:
                scene.y[other] = 1.0
            scene.weight[other] = 0.3
        if snr_db < 3.0:
            scene.weight[label] = 0.5

    def _place_alone(self, rng: np.random.Generator, scene: _Scene) -> None:
        place = self._places[rng.integers(len(self._places))]
        scene.power = self._stretch(rng, place)
        for label in self.sounds.labels[place]:
            scene.y[label], scene.weight[label] = 1.0, 0.5
        if rng.random() < 0.3 and self._long:
            other = self._long[rng.integers(len(self._long))]
            power, over_db = self._stretch(rng, other), rng.uniform(-10.0, 10.0)
            scene.power += power * np.float32(_loud(scene.power) / _loud(power) * 10 ** (over_db / 10))
            for label in self.sounds.labels[other]:
                scene.y[label], scene.weight[label] = 1.0, 0.3

    def _event(self, rng: np.random.Generator, label: int) -> tuple[Power, float]:
        """Draw a window of a clip of a label, and how far it holds what the clip is about (0 to 1), by level."""
        clips = self._by_label[label]
        if self._brief[label] and rng.random() < 0.75:
            clips = self._brief[label]  # minutes of rain beside seconds of it: both are to be learned
        clip = clips[rng.integers(len(clips))]
        variants = self.sounds.rows[clip]
        changed = len(variants) > 1 and rng.random() < self.terms.variants
        rows = variants[int(rng.integers(1, len(variants))) if changed else 0]
        n, frames = len(rows), self.frames
        power = np.zeros((frames, self.bands), np.float32)
        if rng.random() < self.terms.begun:
            length = min(n, max(1, int(frames * rng.uniform(*self.terms.begun_share))))
            first = int(rng.integers(n - length + 1))
            if rng.random() < 0.7:
                peak = rows.max(axis=1).astype(np.float32)
                begins = int(np.argmax(peak >= peak.max() - 5.0)) - int(rng.integers(8))
                first = min(max(0, begins), n - 1)
            part = _power(rows[first : first + length])
            power[frames - len(part) :] = part
        elif n < frames and rng.random() < 0.35:
            power[:] = _power(rows[np.arange(frames) % n])  # as `classify` repeats what is short
        elif n < frames:
            first = int(rng.integers(frames - n + 1))
            power[first : first + n] = _power(rows)
        else:
            first = int(rng.integers(n - frames + 1))
            power[:] = _power(rows[first : first + frames])
        # Where a clip is quiet, what it is about is not to be heard: 15 dB below its loudest frame still is, 30 is not.
        under = np.log(self._loudest[clip] + SILENT) - np.log(power.mean(axis=1).max() + SILENT)
        return power, float(np.clip((7.0 - under) / 3.5, 0.0, 1.0))

    def _stretch(self, rng: np.random.Generator, clip: int) -> Power:
        rows = self.sounds.rows[clip][0]
        if len(rows) < self.frames:
            return _power(rows[np.arange(self.frames) % len(rows)])
        first = int(rng.integers(len(rows) - self.frames + 1))
        return _power(rows[first : first + self.frames])

    def _noise(self, rng: np.random.Generator) -> Power:
        """Make stationary noise of a random smooth spectrum; power of a band over a window is about
        gamma-distributed."""
        knots = rng.normal(0.0, 1.4, 5).cumsum() * (rng.random() < 0.7)
        spectrum = np.exp(np.interp(np.linspace(0, 4, self.bands), np.arange(5), knots)).astype(np.float32)
        power = rng.gamma(4.0, 0.25, (self.frames, self.bands)).astype(np.float32)
        power[1:] = 0.5 * (power[1:] + power[:-1])  # frames overlap
        return np.asarray(power * spectrum, np.float32)

    def _heard(self, rng: np.random.Generator, power: Power) -> Rows:
        """Put the window through a microphone: level, spectrum, and what is blotted out."""
        terms, bands = self.terms, self.bands
        level = _loud(power)
        if rng.random() < terms.levelled and level > 1e-9:
            power = power * np.float32(10 ** (rng.uniform(*terms.level_db) / 10) / level)
        change = rng.normal(0.0, terms.equalised_db, 4) * NEPER_DB
        spectrum = np.interp(np.linspace(0, 3, bands), np.arange(4), change).astype(np.float32)
        if rng.random() < terms.dulled:
            spectrum[rng.integers(bands * 9 // 16, bands) :] -= np.float32(rng.uniform(9.0, 39.0)) * NEPER_DB
        x = np.log(power * np.exp(spectrum) + self.offset)
        if rng.random() < terms.masked:
            fill = x.mean() - 1.0
            band, time = int(rng.integers(bands - 12)), int(rng.integers(self.frames - 20))
            x[:, band : band + int(rng.integers(1, 12))] = fill
            x[time : time + int(rng.integers(1, 20))] = fill
        return np.asarray(x, np.float32)


def _power(rows: Rows) -> Power:
    return np.asarray(np.exp(rows.astype(np.float32, copy=False)), np.float32)
