"""A label is judged here before it is heard, by heads that did not see the clips, or the background, that they are
asked about."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.teach.fit import Head, Vectors, fit

FOLDS = 5
PRIOR = 0.02
"""A score says how often the sound is there, where it is in one window of fifty."""
_TAIL = 0.02
"""The share of the background, the most alike, from which rarer false alarms are told."""
_TAIL_LEAST = 20
_ALIKE, _ODD = 3, 0.08
"""A clip is odd if so much of the background is more like it than the third nearest of the other clips; not the
nearest, since there may be two of the other sound. Of 18 clips of a class of ESC-50 and two of another, 4 in 5 of the
two were found so, and one of the 18 in one lesson of seventeen."""
_DRAWS = 3
_LINE_HELD_SMALL = 0.002
"""The penalty on the slope of a calibration, which has nothing to overfit with."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """Holds what a head is fitted and judged on, as embeddings.

    Args:
        drawn: of each clip, windows that hold it ``(k, size)``.
        passing: of each clip, what the daemon hears while it passes ``(k, size)``.
        negatives: windows without it ``(n, size)``.
        window_s: how long each of these is.
        smoothing: decisions over which scores are averaged.
    """

    drawn: Sequence[Vectors]
    passing: Sequence[Vectors]
    negatives: Vectors
    window_s: float
    smoothing: int


@dataclass(frozen=True, eq=False)
class Judged:
    """Tells what a head is worth, and how it is to decide.

    Args:
        scale, shift: of a logit, which make it a calibrated one.
        threshold: the score that the background passes once an hour.
        threshold_of_a_day: the same, once a day.
        best: of each clip the highest smoothed score of heads that did not know it.
        background: the score of every window without the sound, by heads that did not know it ``(n,)``.
        left: of each clip the smoothed scores while it passed, by heads that did not know it.
        curve: clips to learn from, and the recall at one false alarm an hour that they gave.
        odd: the places of clips that are nothing like the others.
        hours: of the background.
    """

    scale: float
    shift: float
    threshold: float
    threshold_of_a_day: float
    best: NDArray[np.float64]
    background: NDArray[np.float64]
    left: Sequence[NDArray[np.float64]]
    curve: Sequence[tuple[int, float]]
    odd: Sequence[int]
    hours: float

    @property
    def recall(self) -> float:
        """Return the share of clips that are noticed at one false alarm an hour."""
        return float((self.best >= self.threshold).mean())

    @property
    def recall_of_a_day(self) -> float:
        """Return the share of clips that are noticed at one false alarm a day."""
        return float((self.best >= self.threshold_of_a_day).mean())


def judge(lesson: Lesson, whole: Head) -> Judged:
    """Fit heads without some of the clips and of the background each, and ask them about those.

    Args:
        whole: the head of all of them, from which the others begin.
    """
    n = len(lesson.drawn)
    of_clips: list[Vectors] = [np.empty(0)] * n
    of_passing: list[Vectors] = [np.empty(0)] * n
    of_background = np.empty(len(lesson.negatives))
    for held, aside, head in _without(lesson.drawn, lesson.negatives, whole):
        of_background[aside] = head(lesson.negatives[aside])
        for i in held:
            of_clips[i], of_passing[i] = head(lesson.drawn[i]), head(lesson.passing[i])
    scale, shift = _line(np.concatenate(of_clips), of_background)
    background = scale * of_background + shift
    left = [smoothed(sigmoid(scale * logits + shift), lesson.smoothing) for logits in of_passing]
    an_hour, a_day = (threshold(background, lesson.window_s, 1 / hours) for hours in (1, 24))
    best = np.array([scores.max() for scores in left])
    recall = float((best >= an_hour).mean())
    return Judged(
        scale=scale,
        shift=shift,
        threshold=an_hour,
        threshold_of_a_day=a_day,
        best=best,
        background=sigmoid(background),
        left=left,
        curve=[*_curve(lesson, whole, scale, shift), (n - math.ceil(n / FOLDS), recall)],
        odd=_odd(lesson),
        hours=len(background) * lesson.window_s / 3600,
    )


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits as scores."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))))


def smoothed(scores: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the moving mean ``(k - length + 1,)`` of scores ``(k,)``, as the daemon decides upon it."""
    return np.convolve(scores, np.full(length, 1 / length), "valid") if len(scores) >= length else scores


def threshold(background: Vectors, window_s: float, per_hour: float) -> float:
    """Return the score that windows of background pass so often.

    Logits beyond the highest fiftieth are taken to fall off exponentially, as the tail of most things does (Pickands
    1975); so rates can be told that are lower than one in all that was heard.

    Args:
        background: their calibrated logits.
        window_s: how long each is.
        per_hour: how many may pass it in an hour.
    """
    ordered = np.sort(background)[::-1]
    count = min(len(ordered) - 1, max(_TAIL_LEAST, round(_TAIL * len(ordered))))
    edge = float(ordered[count])
    fall = float((ordered[:count] - edge).mean())
    wanted = per_hour * len(ordered) * window_s / 3600 / count
    at = edge - fall * math.log(wanted) if wanted < 1 else edge
    return float(np.clip(sigmoid(np.array(at)), 0.05, 0.999))


def _without(
    drawn: Sequence[Vectors], negatives: Vectors, whole: Head
) -> Iterator[tuple[list[int], NDArray[np.bool_], Head]]:
    """Yield, fold by fold, the clips and the background that are left out, and the head of all others."""
    n = len(drawn)
    rng = np.random.default_rng(n)
    fold = rng.permutation(np.arange(n) % FOLDS)
    fold_of_negative = rng.permutation(np.arange(len(negatives)) % FOLDS)
    for held in range(min(FOLDS, n)):
        taught = [drawn[i] for i in range(n) if fold[i] != held]
        aside = fold_of_negative == held
        yield np.flatnonzero(fold == held).tolist(), aside, fit(np.concatenate(taught), negatives[~aside], begin=whole)


def calibration(drawn: Sequence[Vectors], negatives: Vectors, whole: Head) -> tuple[float, float]:
    """Return by which scale and shift a head's logits become calibrated ones, as `judge` finds them.

    Args:
        drawn: of each clip, windows that hold it ``(k, size)``.
        negatives: windows without it ``(n, size)``.
        whole: the head of all of them.
    """
    with_it, without = [], []
    for held, aside, head in _without(drawn, negatives, whole):
        with_it += [head(drawn[i]) for i in held]
        without.append(head(negatives[aside]))
    return _line(np.concatenate(with_it), np.concatenate(without))


def _line(with_it: Vectors, without: Vectors) -> tuple[float, float]:
    """Return scale and shift that make scores of logits, from those that heads gave which had not seen their examples
    (Platt 1999)."""
    line = fit(with_it[:, None], without[:, None], held_small=_LINE_HELD_SMALL)
    return max(float(line.weights[0]), 1e-3), line.bias + math.log(PRIOR / (1 - PRIOR))


def _curve(lesson: Lesson, whole: Head, scale: float, shift: float) -> list[tuple[int, float]]:
    """Return how many clips gave which recall at one false alarm an hour, from a quarter and from half of them."""
    n = len(lesson.drawn)
    rng = np.random.default_rng(n + 1)
    half = rng.permutation(len(lesson.negatives)) % 2 == 0
    found = []
    for some in sorted({max(2, n // 4), max(3, n // 2)}):
        noticed = []
        for _ in range(_DRAWS):
            order = rng.permutation(n)
            head = fit(np.concatenate([lesson.drawn[i] for i in order[:some]]), lesson.negatives[half], begin=whole)
            at = threshold(scale * head(lesson.negatives[~half]) + shift, lesson.window_s, 1.0)
            for i in order[some:]:
                scores = sigmoid(scale * head(lesson.passing[i]) + shift)
                noticed.append(smoothed(scores, lesson.smoothing).max() >= at)
        found.append((some, float(np.mean(noticed))))
    return found


def more(curve: Sequence[tuple[int, float]], clips: int) -> float:
    """Return the recall to be expected of so many clips: what is missed falls by a power of their number, as it did."""
    (few, low), (many, high) = curve[0], curve[-1]
    missed, still = max(1 - low, 0.01), max(1 - high, 0.01)
    power = min(1.0, max(0.0, math.log(missed / still) / math.log(many / few)))
    return float(1 - still * (many / max(clips, many)) ** power)


def _odd(lesson: Lesson) -> list[int]:
    """Return the places of clips that are nothing like the others."""
    mean, spread = lesson.negatives.mean(axis=0), lesson.negatives.std(axis=0) + 1e-6

    def directions(vectors: Vectors) -> Vectors:
        centred = (vectors - mean) / spread
        return np.asarray(centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-12))

    clips = directions(np.stack([drawn.mean(axis=0) for drawn in lesson.drawn]))
    alike = clips @ clips.T
    np.fill_diagonal(alike, -1)
    near = np.sort(alike, axis=1)[:, -max(1, min(_ALIKE, len(clips) // 3))]
    nearer = (clips @ directions(lesson.negatives).T > near[:, None]).mean(axis=1)
    return np.flatnonzero(nearer > _ODD).tolist()


def taken_for(judged: Judged, names: Sequence[str], most: int = 3) -> list[str]:
    """Return what the background most like the sound is of, the most frequent first.

    Args:
        names: of every window of the background.
    """
    highest = np.argsort(-judged.background, kind="stable")[:_TAIL_LEAST]
    return [name for name, _ in Counter(names[i] for i in highest).most_common(most)]
