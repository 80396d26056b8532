"""This is what one training step sees: windows cut, mixed and masked, as a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle_build.grammar.learning import Draw
from auricle_build.learn.teacher import Taught
from auricle_build.material.rows import Rows

FLOOR_DB = -100.0  # the front end's own floor
NO_PLACES = np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class TrainingRows:
    """Holds rows to learn from.

    Args:
        rows: for each clip its rows ``(k, n_features)``, one array for each variant.
        label: the index of each clip's label among the shipped ones, ``n_labels - 1`` meaning background.
        original: the index of each clip's own label, for the auxiliary head.
        origin: name of each clip's set.
        white: rows of white noise, as :func:`coloured_noise` wants them.
        taught: what the teacher hears along each clip, or None where there is no teacher.
    """

    rows: Sequence[Sequence[Rows]]
    label: NDArray[np.int64]
    original: NDArray[np.int64]
    origin: Sequence[str]
    white: Rows
    taught: Sequence[Taught] | None


@dataclass(frozen=True)
class Batch:
    """Holds windows ``x`` (n, frames, features) dB with targets ``y`` (shipped), ``z`` (auxiliary) and ``taught``."""

    x: Rows
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    taught: NDArray[np.float32]


def _power(db: Rows) -> NDArray[np.float32]:
    # exp in single precision is vectorised; ** is not, and takes ten times as long
    return np.asarray(np.exp(db.astype(np.float32, copy=False) * np.float32(np.log(10.0) / 10.0)), np.float32)


def _db(power: NDArray[np.float32]) -> Rows:
    return np.log(power) * np.float32(10.0 / np.log(10.0))


def loudness(x: Rows) -> NDArray[np.float32]:
    """Return the level in dB of the loud tenth of each window's frames."""
    power = np.mean(_power(x), axis=2)
    tenth = x.shape[1] // 10
    return np.asarray(_db(np.partition(power, -tenth - 1, axis=1)[:, -tenth - 1] + np.float32(1e-10)), np.float32)


def add_db(a: Rows, b: Rows) -> Rows:
    """Add powers in dB: what two sounds at once give, their phases unknown."""
    return _db(_power(a) + _power(b))


def coloured_noise(rng: np.random.Generator, white: Rows, n: int, frames: int) -> Rows:
    """Make stationary noise of a random spectrum, about 0 dB: white, pink, brown and anything smooth between.

    Args:
        white: rows of white noise from the front end itself, 0 dB on average: overlapping frames move together.

    Shape:
        ``(n, frames, n_features)`` float32.
    """
    bands = white.shape[1]
    if not n:
        return np.empty((0, frames, bands), np.float32)
    knots = rng.normal(0.0, 6.0, (n, 5)).cumsum(axis=1) * (rng.random((n, 1)) < 0.7)
    shape = np.stack([np.interp(np.linspace(0, 4, bands), np.arange(5), k) for k in knots])
    starts = rng.integers(len(white) - frames + 1, size=n)
    return np.asarray(shape[:, None, :] + np.stack([white[s : s + frames] for s in starts]), np.float32)


def warped(x: Rows, rng: np.random.Generator, time: float, bands: float) -> Rows:
    """Stretch or shorten each window about a place in it, and move its spectrum, as another voice has it.

    The bands of a mel scale stand about evenly in log frequency where formants are: a shift of them is another length
    of the vocal tract (Jaitly and Hinton 2013).

    Args:
        time: by up to this share longer or shorter.
        bands: by up to so many bands.
    """
    n, frames, width = x.shape
    rate = 1.0 + rng.uniform(-time, time, (n, 1))
    about = rng.uniform(0.0, frames - 1.0, (n, 1))
    at = np.clip(about + (np.arange(frames) - about) * rate, 0.0, frames - 1.0)
    # The move dies out towards the upper edge, which the recording's own bandwidth sets.
    move = rng.uniform(-bands, bands, (n, 1)) * np.minimum(1.0, (width - 1 - np.arange(width)) / (width / 4))
    over = np.clip(np.arange(width) + move, 0.0, width - 1.0)
    for axis, place in ((1, at[:, :, None]), (2, over[:, None, :])):
        low = np.minimum(place.astype(np.int64), x.shape[axis] - 2)
        part = (place - low).astype(np.float32)
        one, other = (np.take_along_axis(x, i, axis=axis) for i in (low, low + 1))
        x = one + part * (other - one)
    return x


class Batches:
    """Makes batches by step: ``batches(step)`` is the same whenever and in whatever order it is asked.

    What :attr:`mistaken` holds, places ``(clip, first row)`` of shape ``(n, 2)`` that the network takes for a label
    though they are none, comes back as ``options.mistaken`` of all windows.

    Args:
        material: the clips.
        options: a recipe's ``batch``.
        background: whether the last label is background.
        multi_label: whether two sounds at once are both there, instead of sharing one.
    """

    def __init__(
        self,
        material: TrainingRows,
        options: Draw,
        *,
        window_frames: int,
        n_labels: int,
        seed: int,
        background: bool = True,
        multi_label: bool = False,
    ) -> None:
        self.material, self.options = material, options
        self.window_frames, self.seed, self.multi_label = window_frames, seed, multi_label
        self.n_given = n_labels
        # Without a background label there still is a column for what is none of the labels: it is left out at the end.
        n_labels = self.n_labels = n_labels + (0 if background else 1)
        self.n_original = int(material.original.max()) + 1
        self.by_label = [np.flatnonzero(material.label == i) for i in range(n_labels)]
        others = self.by_label[-1].tolist()
        # Background comes by set, then by clip's own label, so that a large set does not drown the others.
        origins = sorted({material.origin[i] for i in others})
        self.by_origin = [
            [
                np.flatnonzero(
                    (material.original == z) & (material.label == n_labels - 1) & (np.asarray(material.origin) == o)
                )
                for z in sorted({int(material.original[i]) for i in others if material.origin[i] == o})
            ]
            for o in origins
        ]
        self.loudest = [float(np.max(np.mean(variants[0], axis=1, dtype=np.float32))) for variants in material.rows]
        self.origin_share = np.asarray([options.origins.get(o, 1.0) for o in origins], np.float64)
        self.n_taught = material.taught[0].scores.shape[1] if material.taught else 1
        self.mistaken = NO_PLACES

    @property
    def background_clips(self) -> NDArray[np.int64]:
        """Return the clips that hold none of the labels."""
        return self.by_label[-1]

    def _choose(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        filled = [c for c in self.by_label[:-1] if len(c)]
        out = np.empty(n, np.int64)
        for i in range(n):
            if not self.by_origin or rng.random() < self.options.positives:
                out[i] = rng.choice(filled[rng.integers(len(filled))])
            else:
                groups = self.by_origin[rng.choice(len(self.by_origin), p=self.origin_share / self.origin_share.sum())]
                out[i] = rng.choice(groups[rng.integers(len(groups))])
        return out

    def _cut(self, rng: np.random.Generator, clip: int) -> tuple[Rows, float, float]:
        """Cut a window of a clip; with how much of it (0 to 1) is what the clip is about, by level, and its place (0 to
        1)."""
        variants = self.material.rows[clip]
        rows = variants[0 if rng.random() < 0.4 else int(rng.integers(len(variants)))]
        frames = self.window_frames
        if len(rows) < frames:
            return self._short(rng, rows.astype(np.float32)), 1.0, 0.5
        start = int(rng.integers(len(rows) - frames + 1))
        window = rows[start : start + frames].astype(np.float32)
        level, loudest = np.max(np.mean(window, axis=1)), self.loudest[clip]
        # Where a clip is quiet, what it is about is not to be heard: 15 dB below its loudest frame still is, 30 is not.
        heard = float(np.clip((30.0 - (loudest - level)) / 15.0, 0.0, 1.0))
        return window, heard, (start + frames / 2) / len(rows)

    def _mistake(self, rng: np.random.Generator) -> tuple[int, Rows, float]:
        """Draw clip, window and place of a sound that the network lately took for one of the labels."""
        clip, start = self.mistaken[int(rng.integers(len(self.mistaken)))]
        rows, frames = self.material.rows[clip][0], self.window_frames
        start = int(np.clip(start + rng.integers(-frames // 4, frames // 4 + 1), 0, len(rows) - frames))
        return int(clip), rows[start : start + frames].astype(np.float32), (start + frames / 2) / len(rows)

    def _short(self, rng: np.random.Generator, rows: Rows) -> Rows:
        """Make a window of a sound shorter than it: repeated, as `classify` does, or once, somewhere, in quiet
        noise."""
        frames, n = self.window_frames, len(rows)
        if rng.random() < 0.4:
            return np.asarray(rows[np.arange(frames) % n], np.float32)
        level = float(np.max(np.mean(rows, axis=1)))
        hush = coloured_noise(rng, self.material.white, 1, frames)[0] + level - rng.uniform(25.0, 70.0)
        hush = np.maximum(hush, FLOOR_DB).astype(np.float32)
        start = int(rng.integers(frames - n + 1))
        hush[start : start + n] = add_db(hush[start : start + n], rows)
        return np.asarray(hush, np.float32)

    def _sounds(self, rng: np.random.Generator, chosen: NDArray[np.int64]) -> Batch:
        material, n = self.material, len(chosen)
        chosen = chosen.copy()
        x = np.empty((n, self.window_frames, material.white.shape[1]), np.float32)
        heard, taught = np.ones(n, np.float32), np.zeros((n, self.n_taught), np.float32)
        hard = rng.random(n) < self.options.mistaken
        for i in range(n):
            if hard[i] and len(self.mistaken):
                chosen[i], x[i], place = self._mistake(rng)
            else:
                x[i], heard[i], place = self._cut(rng, int(chosen[i]))
            if material.taught:
                taught[i] = material.taught[chosen[i]].at(place)
        y = np.eye(self.n_labels, dtype=np.float32)[material.label[chosen]] * heard[:, None]
        y[:, -1] += 1.0 - heard
        z = np.eye(self.n_original, dtype=np.float32)[material.original[chosen]] * heard[:, None]
        return self._partly(rng, Batch(x, y, z, taught))

    def _partly(self, rng: np.random.Generator, batch: Batch) -> Batch:
        """Let some sounds begin or end inside the window: before or after them there is only a quiet floor.

        More begin than end, and some have only just begun: a daemon has to speak before the window is full.
        """
        o, (n, frames, _) = self.options, batch.x.shape
        x, y, z = batch.x, batch.y, batch.z
        least, most = o.partial_share
        chosen = np.flatnonzero(rng.random(n) < o.partial)
        level = loudness(x)
        for i, hush in zip(chosen, coloured_noise(rng, self.material.white, len(chosen), frames), strict=True):
            length = int(frames * rng.uniform(least, most))
            kept = np.maximum(hush + level[i] - rng.uniform(20.0, 60.0), FLOOR_DB).astype(np.float32)
            before = np.max(np.mean(x[i], axis=1))
            if rng.random() < 0.7:
                kept[frames - length :] = add_db(x[i, :length], kept[:length])
            else:
                kept[:length] = add_db(x[i, frames - length :], kept[:length])
            lost = float(np.clip((before - np.max(np.mean(kept, axis=1)) - 15.0) / 15.0, 0.0, 1.0))
            x[i], z[i] = kept, z[i] * (1.0 - lost)
            y[i] *= 1.0 - lost
            y[i, -1] += lost
        return batch

    def _mixed(self, rng: np.random.Generator, a: Batch) -> Batch:
        """Mix two sounds at once, as in between-class learning (Tokozume, Ushiku and Harada 2018), but in powers."""
        n = len(a.x)
        b = self._sounds(rng, self._choose(rng, n))
        r = rng.uniform(0.05, 0.95, n).astype(np.float32)
        shift = loudness(a.x) - loudness(b.x) + 20.0 * np.log10((1.0 - r) / r)
        x = add_db(a.x, b.x + shift[:, None, None])
        # Against background, a sound at the same level or above is fully there.
        w = r[:, None].copy()
        event_a, event_b = 1.0 - a.y[:, -1:], 1.0 - b.y[:, -1:]
        w = np.where((event_a > 0.5) & (event_b < 0.5), np.minimum(1.0, 2.0 * w), w)
        w = np.where((event_a < 0.5) & (event_b > 0.5), np.maximum(0.0, 2.0 * w - 1.0), w)
        r1 = r[:, None]
        z, taught = (r1 * one + (1.0 - r1) * other for one, other in ((a.z, b.z), (a.taught, b.taught)))
        if self.multi_label:
            return Batch(x, np.maximum(a.y, b.y), z, taught)
        return Batch(x, w * a.y + (1.0 - w) * b.y, z, taught)

    def __call__(self, step: int) -> Batch:
        """Make the batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        o, n = self.options, self.options.size
        batch = self._sounds(rng, self._choose(rng, n))
        x, y, z, taught = batch.x, batch.y, batch.z, batch.taught
        mixed = np.flatnonzero(rng.random(n) < o.mix)
        if len(mixed):
            both = self._mixed(rng, Batch(x[mixed], y[mixed], z[mixed], taught[mixed]))
            x[mixed], y[mixed], z[mixed], taught[mixed] = both.x, both.y, both.z, both.taught
        if o.warp is not None:
            x = warped(x, rng, *o.warp)
        frames, bands = x.shape[1:]
        white, level = self.material.white, loudness(x)
        noisy = np.flatnonzero(rng.random(n) < o.noise)
        # Nothing but noise, and nothing at all: background.
        nothing = rng.random(n)
        alone = np.flatnonzero(nothing < o.noise_alone)
        silent = np.flatnonzero(nothing > 1.0 - o.silence)

        if len(noisy):
            below = level[noisy] - rng.uniform(8.0, 45.0, len(noisy)).astype(np.float32)
            x[noisy] = add_db(x[noisy], coloured_noise(rng, white, len(noisy), frames) + below[:, None, None])
        if len(alone):
            x[alone] = coloured_noise(rng, white, len(alone), frames) + rng.uniform(-70.0, 0.0, (len(alone), 1, 1))
        x[silent] = FLOOR_DB
        empty = np.concatenate((alone, silent))
        y[empty], z[empty], taught[empty] = 0.0, 0.0, 0.0
        y[empty, -1] = 1.0

        tilt = rng.normal(0.0, o.tilt_db / 2.0, (n, 4)).astype(np.float32)
        slopes = np.stack([np.interp(np.linspace(0, 3, bands), np.arange(4), t) for t in tilt]).astype(np.float32)
        x = x + slopes[:, None, :]
        low, high = o.gain_db
        gain = rng.uniform(low, high, n) * (rng.random(n) < o.gain)
        x = x + gain[:, None, None].astype(np.float32)
        for i in np.flatnonzero(rng.random(n) < o.masks):
            fill = float(np.mean(x[i])) - 6.0
            band, time = int(rng.integers(1, 9)), int(rng.integers(1, 1 + frames // 8))
            first, second = int(rng.integers(bands - band)), int(rng.integers(frames - time))
            x[i, :, first : first + band] = fill
            x[i, second : second + time] = fill
        return Batch(np.maximum(x, FLOOR_DB).astype(np.float32), y[:, : self.n_given], z, taught.astype(np.float32))
