"""`auricle teach` is judged here on classes of sounds that a trunk was not taught, from twenty clips of each and from
five."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.capture.reader import Reader
from auricle.errors import AudioError, ConfigError
from auricle.hearing.decision import Detector, Rule
from auricle.hearing.hearer import Reported
from auricle.judge import scoring, truth
from auricle.model.bundle import Bundle
from auricle.teach import embedding
from auricle.teach.clips import Clip as Lesson
from auricle.teach.clips import sounding
from auricle.teach.embedding import Room, Trunk
from auricle.teach.fit import Head, fit
from auricle.teach.judged import sigmoid, smoothed
from auricle_build import bank
from auricle_build.grammar.recipes import Recipe
from auricle_build.material import clips as material
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip
from auricle_build.reports.markdown import table

DRAWS, CROPS, OTHERS = 5, 10, 40
_T_95 = 2.776
"""Student's t of 95 % and as many draws less one."""
_BANK_FOLDS = (1, 2)
_SMOOTHING, _THRESHOLDS = 2, 60
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
    scenes_fold: int | None = None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Teach classes to a trunk that was not taught them, and write what came of it as a page.

    Every class of at least so many clips is taught from 20 of them and from 5, in five draws, sources whole. Its other
    sources' clips, ten crops each, are judged beside those of 40 other classes, drawn anew. The bank is of the other
    classes' folds 1 and 2, what they are judged beside of the other folds. In scenes of a fold, classes are taught from
    clips of the others.

    Args:
        bundle: the trunk.
        root: of the recordings.
        only: these classes alone.
        scenes: a folder that `auricle-build scenes` wrote, and its fold.

    Raises:
        ConfigError: there is no such class.
    """
    trunk = Trunk(bundle)
    train, _, _ = material.split(material.read(recipe.data.sets, root), recipe.data.held_out)
    places = {each.name for each in recipe.data.sets if each.place or each.label}
    classed = [clip for clip in train if clip.origin not in places]
    of_class: dict[str, list[Clip]] = {}
    for clip in classed:
        of_class.setdefault(clip.label, []).append(clip)
    chosen = [name for name, clips in sorted(of_class.items()) if len(clips) >= least and (not only or name in only)]
    if not chosen or set(only) - set(chosen):
        raise ConfigError([f"teach-report: classes of {least} clips: {', '.join(chosen) or 'none'}; choose of these"])
    vectors, kinds = bank.made(
        trunk, [clip for clip in train if clip.fold in _BANK_FOLDS or clip.origin in places], places, 2000, say=say
    )
    say(f"bank: {len(kinds)} windows")
    background = trunk.values(vectors)
    judged = [clip for clip in classed if clip.label in chosen or clip.fold not in _BANK_FOLDS]
    crops = {clip: trunk.values(_crops(trunk, clip)) for clip in judged}
    say(f"crops: {sum(map(len, crops.values()))}")
    heard = None if scenes is None else _scenes(trunk, scenes)
    found = []
    for name in chosen:
        lessons = {clip: trunk.values(_lesson(trunk, clip)) for clip in of_class[name]}
        one = Class(name, len(lessons), len({clip.group for clip in lessons}))
        negatives = background[[kind != name for kind in kinds]]
        others = [clip for clip in classed if clip.label != name and clip.fold not in _BANK_FOLDS]
        for n in numbers:
            one.precision[n] = Figure(_precisions(one, n, lessons, negatives, others, crops))
            if heard is not None:
                there = {clip: each for clip, each in lessons.items() if clip.fold != scenes_fold}
                one.recall[n] = Figure(_recalls(one, n, there, negatives, heard, trunk))
        found.append(one)
        say(f"{name}: precision {_said(one.precision)}; recall {_said(one.recall)}")
    return _page(found, bundle, numbers, heard)


def _said(figures: Mapping[int, Figure]) -> str:
    return ", ".join(f"{n} clips {figure}" for n, figure in figures.items()) or "-"


def _crops(trunk: Trunk, clip: Clip) -> embedding.Embeddings:
    """Return embeddings of ten windows of a clip, somewhere in what sounds of it, as it was recorded."""
    sound = sounds.load(clip.path, trunk.rate, clip.onset_s, clip.offset_s)
    begin, end, _ = sounding(sound, trunk.rate)
    sound, rng = sound[begin:end], np.random.default_rng(len(sound))
    windows = []
    for _ in range(CROPS):
        part = sound[int(rng.integers(max(1, len(sound) - trunk.span + 1))) :][: trunk.span]
        window = np.zeros(trunk.span, np.float32)
        at = int(rng.integers(trunk.span - len(part) + 1))
        window[at : at + len(part)] = part
        windows.append(trunk.windows(window)[0])
    return np.concatenate(windows)


def _lesson(trunk: Trunk, clip: Clip) -> embedding.Embeddings:
    sound = sounds.load(clip.path, trunk.rate, clip.onset_s, clip.offset_s)
    begin, end, _ = sounding(sound, trunk.rate)
    lesson = Lesson(clip.path, sound, begin, end, "")
    return embedding.drawn(trunk, lesson, Room(trunk, None), np.random.default_rng(len(sound)))


def _taught(rng: np.random.Generator, clips: Sequence[Clip], n: int) -> list[Clip]:
    """Draw clips by whole sources until there are so many."""
    sources = sorted({clip.group for clip in clips})
    order = {source: place for place, source in enumerate(rng.permutation(sources).tolist())}
    return sorted(clips, key=lambda clip: (order[clip.group], str(clip.path), clip.onset_s))[:n]


def _precisions(
    one: Class,
    n: int,
    lessons: dict[Clip, Vectors],
    negatives: Vectors,
    others: Sequence[Clip],
    crops: dict[Clip, Vectors],
) -> list[float]:
    found = []
    for draw in range(DRAWS):
        rng = np.random.default_rng((draw, n))
        taught = _taught(rng, list(lessons), n)
        known = {clip.group for clip in taught}
        rest = [clip for clip in lessons if clip.group not in known]
        if not rest:
            continue
        head = fit(np.concatenate([lessons[clip] for clip in taught]), negatives)
        labels = sorted({clip.label for clip in others})
        beside = set(rng.permutation(labels)[:OTHERS].tolist())
        with_it = np.concatenate([head(crops[clip]) for clip in rest])
        without = np.concatenate([head(crops[clip]) for clip in others if clip.label in beside])
        found.append(average_precision(with_it, without))
    return found


def average_precision(with_it: Vectors, without: Vectors) -> float:
    """Return the mean of the precisions at each of those that should come first, from the highest score on."""
    order = np.argsort(-np.concatenate((with_it, without)), kind="stable")
    held = order < len(with_it)
    return float((np.cumsum(held) / np.arange(1, len(held) + 1))[held].mean())


def _scenes(trunk: Trunk, folder: Path) -> Scenes:
    heard, events, seconds = [], [], 0.0
    for path in sorted([*folder.glob("*.flac"), *folder.glob("*.wav")]):
        reader = Reader(str(path), trunk.rate)
        sound = np.concatenate(list(reader.heard(1 << 16)))
        heard.append(trunk.values(trunk.windows(sound)[0]))
        events.append(truth.read(path.with_suffix(".txt")))
        seconds += reader.duration_s
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
        head = fit(np.concatenate([lessons[clip] for clip in taught]), negatives)
        found.append(_recall(head, true, scenes, trunk, one.name))
    return found


def _recall(head: Head, true: Sequence[Sequence[truth.Event]], scenes: Scenes, trunk: Trunk, name: str) -> float:
    """Return the share of events noticed at the lowest threshold with no more than a false alarm an hour, found by
    halving."""
    scores = [smoothed(sigmoid(head(heard)), _SMOOTHING) for heard in scenes.heard]
    thresholds = sigmoid(np.linspace(-4, 12, _THRESHOLDS)).tolist()

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
