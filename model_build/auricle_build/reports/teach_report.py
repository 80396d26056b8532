"""`auricle teach` is judged here on classes of sounds that a trunk was not taught, from twenty clips of each and from
five."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle.errors import AudioError, ConfigError
from auricle.hearing.decision import Detector, Rule
from auricle.hearing.hearer import Reported
from auricle.judge import scoring, truth
from auricle.model.bundle import Bundle
from auricle.teach.embedding import Trunk
from auricle.teach.fit import Head, fit
from auricle.teach.judged import calibration, sigmoid, smoothed
from auricle_build import bank
from auricle_build.grammar.recipes import Recipe
from auricle_build.material import clips as material
from auricle_build.material.clips import Clip
from auricle_build.reports.embedded import Embedded
from auricle_build.reports.markdown import table

DRAWS, OTHERS = 5, 40
_T_95 = 2.776
"""Student's t of 95 % and as many draws less one."""
_APART = {3, 4}
"""Folds that are judged beside where the trunk heard none."""
_SMOOTHING, _THRESHOLDS = 2, 70
_LOGITS = -9.0, 12.0
"""From the lowest threshold to the highest."""
_LONGEST = 8 * 3600
Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """Tells a figure of a class over the draws."""

    values: Sequence[float]

    def __str__(self) -> str:
        if not self.values:
            return "-"
        mean, n = float(np.mean(self.values)), len(self.values)
        if n < DRAWS:
            return f"{mean:.2f}"
        half = _T_95 * float(np.std(self.values, ddof=1)) / math.sqrt(n)
        return f"{mean:.2f} ({max(0.0, mean - half):.2f} to {min(1.0, mean + half):.2f})"


@dataclass
class Class:
    """Tells what came of a class, by the number of clips that it was taught from."""

    name: str
    clips: int
    sources: int
    precision: dict[int, Figure] = field(default_factory=dict)
    recall: dict[int, Figure] = field(default_factory=dict)
    events: int = 0


@dataclass(frozen=True, eq=False)
class Scenes:
    """Holds scenes as the trunk hears them: the embeddings of every decision, and what is there."""

    heard: Sequence[Vectors]
    events: Sequence[Sequence[truth.Event]]
    hours: float


def of(
    recipe: Recipe,
    bundle: Bundle,
    *,
    root: Path,
    only: Sequence[str] = (),
    numbers: Sequence[int] = (20, 5),
    least: int = 30,
    scenes: Path | None = None,
    fold: int | None = None,
    cache: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Teach classes to a trunk that was not taught them, and write what came of it as a page.

    Every class of at least so many clips in folds 1 to 4 is taught from 20 of them and from 5, in five draws, sources
    whole. Its other sources' clips, ten crops each, are judged beside those of 40 other classes, drawn anew. The bank
    and what they are judged beside are of different folds; no other class that is taught is in either. In scenes,
    classes are taught from clips of other folds than theirs.

    Args:
        bundle: the trunk.
        root: of the recordings.
        only: these classes alone, which the trunk was not taught.
        scenes: a folder that `auricle-build scenes` wrote of `fold`.
        fold: the fold that the trunk did not hear, whose clips these are judged beside; folds 3 and 4 unless told, of
            a trunk that heard none.
        cache: the folder to keep embeddings in.

    Raises:
        ConfigError: there is no such class.
    """
    trunk = Trunk(bundle)
    kept = Embedded(trunk, cache)
    train, _, _ = material.split(material.read(recipe.data.sets, root), recipe.data.held_out)
    places = {each.name for each in recipe.data.sets if each.place}
    unclassed = {each.name for each in recipe.data.sets if each.place or each.label}
    of_class: dict[str, list[Clip]] = {}
    for clip in train:
        if clip.origin not in unclassed:
            of_class.setdefault(clip.label, []).append(clip)
    chosen = [name for name, clips in sorted(of_class.items()) if len(clips) >= least and (not only or name in only)]
    if not chosen or set(only) - set(chosen):
        raise ConfigError([f"teach-report: classes of {least} clips: {', '.join(chosen) or 'none'}; choose of these"])
    apart = {fold} if fold is not None else _APART
    gone = set(only)
    learned = [clip for clip in train if clip.label not in gone and (clip.fold not in apart or clip.origin in places)]
    background, kinds = kept.bank(learned, places, bank.VECTORS, say)
    say(f"bank: {len(kinds)} windows")
    beside = {
        name: np.concatenate([kept.crops(clip) for clip in clips if clip.fold in apart])
        for name, clips in of_class.items()
        if name not in gone and any(clip.fold in apart for clip in clips)
    }
    say(f"beside: {sum(map(len, beside.values()))} crops of {len(beside)} classes")
    heard = None if scenes is None else _scenes(kept, scenes)
    found = []
    for name in chosen:
        clips = of_class[name]
        lessons = {clip: kept.lesson(clip) for clip in clips}
        crops = {clip: kept.crops(clip) for clip in clips}
        one = Class(name, len(clips), len({clip.group for clip in clips}))
        negatives = background[[kind != name for kind in kinds]]
        others = {other: values for other, values in beside.items() if other != name}
        for n in numbers:
            one.precision[n] = Figure(_precisions(n, lessons, crops, negatives, others))
            if heard is not None:
                there = {clip: each for clip, each in lessons.items() if clip.fold != fold}
                one.recall[n] = Figure(_recalls(one, n, there, negatives, heard, trunk))
        found.append(one)
        say(f"{name}: precision {_said(one.precision)}; recall {_said(one.recall)}")
    return _page(found, bundle, numbers, heard)


def _said(figures: Mapping[int, Figure]) -> str:
    return ", ".join(f"{n} clips {figure}" for n, figure in figures.items()) or "-"


def _taught(rng: np.random.Generator, clips: Sequence[Clip], n: int) -> list[Clip]:
    """Draw clips by whole sources until there are so many."""
    sources = sorted({clip.group for clip in clips})
    order = {source: place for place, source in enumerate(rng.permutation(sources).tolist())}
    return sorted(clips, key=lambda clip: (order[clip.group], str(clip.path), clip.onset_s))[:n]


def _precisions(
    n: int, lessons: dict[Clip, Vectors], crops: dict[Clip, Vectors], negatives: Vectors, others: dict[str, Vectors]
) -> list[float]:
    """Return the average precision of crops of the clips that were not taught, nor others of their sources, for each
    draw."""
    found = []
    for draw in range(DRAWS):
        rng = np.random.default_rng((draw, n))
        taught = _taught(rng, list(lessons), n)
        known = {clip.group for clip in taught}
        rest = [clip for clip in lessons if clip.group not in known]
        if not rest:
            continue
        head = fit(np.concatenate([lessons[clip] for clip in taught]), negatives)
        beside = rng.permutation(sorted(others))[:OTHERS].tolist()
        with_it = np.concatenate([head(crops[clip]) for clip in rest])
        found.append(average_precision(with_it, np.concatenate([head(others[name]) for name in beside])))
    return found


def average_precision(with_it: Vectors, without: Vectors) -> float:
    """Return the mean of the precisions at each of those that should come first, from the highest score on."""
    order = np.argsort(-np.concatenate((with_it, without)), kind="stable")
    held = order < len(with_it)
    return float((np.cumsum(held) / np.arange(1, len(held) + 1))[held].mean())


def _scenes(kept: Embedded, folder: Path) -> Scenes:
    heard, events, seconds = [], [], 0.0
    for path in sorted([*folder.glob("*.flac"), *folder.glob("*.wav")]):
        heard.append(kept.heard(path))
        events.append(truth.read(path.with_suffix(".txt")))
        seconds += soundfile.info(path).duration
    if not heard:
        raise AudioError(f"{folder}: no scenes; make some with auricle-build scenes")
    return Scenes(heard, events, seconds / 3600)


def _recalls(
    one: Class, n: int, lessons: dict[Clip, Vectors], negatives: Vectors, scenes: Scenes, trunk: Trunk
) -> list[float]:
    """Return the share of the class's events in scenes that is noticed at one false alarm an hour, for each draw."""
    true = [[event for event in each if event.label == one.name] for each in scenes.events]
    one.events = sum(map(len, true))
    found = []
    for draw in range(DRAWS if one.events else 0):
        taught = _taught(np.random.default_rng((draw, n)), list(lessons), n)
        drawn = [lessons[clip] for clip in taught]
        head = fit(np.concatenate(drawn), negatives)
        scale, shift = calibration(drawn, negatives, head)
        calibrated = Head(scale * head.weights, scale * head.bias + shift)
        found.append(_recall(calibrated, true, scenes, trunk, one.name))
    return found


def _recall(head: Head, true: Sequence[Sequence[truth.Event]], scenes: Scenes, trunk: Trunk, name: str) -> float:
    """Return the share of events noticed by a calibrated head at the lowest threshold with no more than a false alarm
    an hour, found by halving."""
    scores = [smoothed(sigmoid(head(heard)), _SMOOTHING) for heard in scenes.heard]
    thresholds = sigmoid(np.linspace(*_LOGITS, _THRESHOLDS)).tolist()

    def reported(at: int) -> list[list[Reported]]:
        return [_events(each, thresholds[at], trunk, name) for each in scores]

    def quiet(at: int) -> bool:
        wrong = sum(len(scoring.false_alarms(*pair)) for pair in zip(true, reported(at), strict=True))
        return wrong <= scenes.hours

    at = bisect.bisect_left(range(_THRESHOLDS), True, key=quiet)
    if at == _THRESHOLDS:
        return 0.0
    noticed = sum(len(scoring.noticed(*pair)) for pair in zip(true, reported(at), strict=True))
    return noticed / sum(map(len, true))


def _events(scores: Vectors, threshold: float, trunk: Trunk, name: str) -> list[Reported]:
    """Return what the daemon's rules make of smoothed scores."""
    span = trunk.span + (_SMOOTHING - 1) * trunk.hop
    lag = trunk.span // 2
    rule = Rule(threshold, min(0.1, threshold / 2), round(0.1 * trunk.rate), round(0.5 * trunk.rate))
    detector = Detector(
        [name],
        {name: rule},
        span=span,
        hop=trunk.hop,
        onset_lag=lag,
        offset_lag=lag,
        update_samples=_LONGEST * trunk.rate,
    )
    changes = detector.process(scores[:, None].astype(np.float32))
    changes += detector.close(span + len(scores) * trunk.hop, "end")
    return [
        Reported(change.onset / trunk.rate, change.offset / trunk.rate, name, change.at / trunk.rate, change.peak)
        for change in changes
        if change.offset is not None
    ]


def _page(found: Sequence[Class], bundle: Bundle, numbers: Sequence[int], scenes: Scenes | None) -> list[str]:
    heads = ["class", "clips", "sources", *(f"precision, {n} clips" for n in numbers)]
    heads += [] if scenes is None else ["events", *(f"recall, {n} clips" for n in numbers)]
    rows = []
    for one in found:
        row = [one.name, str(one.clips), str(one.sources), *(str(one.precision[n]) for n in numbers)]
        rows.append(row + ([] if scenes is None else [str(one.events), *(str(one.recall[n]) for n in numbers)]))
    means = [
        float(np.mean([np.mean(one.precision[n].values) for one in found if one.precision[n].values])) for n in numbers
    ]
    mean = ["mean", "", "", *(f"{value:.2f}" for value in means)]
    if scenes is not None:
        there = [one for one in found if one.events]
        mean += ["", *(f"{np.mean([np.mean(one.recall[n].values) for one in there]):.2f}" for n in numbers)]
    said = (
        f"Trunk: model `{bundle.card.name}` ({bundle.hash}). Average precision of crops, mean of {DRAWS} draws with "
        "its 95 % interval."
    )
    if scenes is not None:
        said += f" Recall at one false alarm an hour in {scenes.hours:.2f} h of scenes."
    return [said, "", *table(heads, [*rows, mean])]
