"""A recipe becomes a bundle here for networks that start from pretrained weights: material, training, int8, export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.config import nearest, shown
from auricle.errors import ConfigError
from auricle_build import build
from auricle_build.grammar.recipes import PretrainedRecipe
from auricle_build.judge import calibration
from auricle_build.learn import mobilenet, training
from auricle_build.learn.pretrained import Pretrained, classes
from auricle_build.learn.soundscapes import Sounds, Soundscapes
from auricle_build.material import clips as clipping
from auricle_build.material.clips import Clip
from auricle_build.material.rows import Counting, Features, Rows, load_all

ASIDE_BATCHES = 60
"""How many batches of windows are made of the clips kept aside, to calibrate by."""
_ASIDE_SEED = 1_000_003  # no seed that anybody trains with


@dataclass(frozen=True)
class Trained:
    """Holds a trained network with what it was trained on.

    Args:
        clips, aside: the clips on either side of the split.
        taught: which labels had recordings.
        drawn: what the steps drew from.
    """

    recipe: PretrainedRecipe
    network: Pretrained
    clips: Sequence[Clip]
    aside: Sequence[Clip]
    taught: Sequence[bool]
    drawn: Soundscapes
    steps: int


def features(rec: PretrainedRecipe, cache: Path | None) -> Features:
    """Return the recipe's front end as the steps want it: without the offset, which is added where a window is
    complete.

    What is weaker than the offset would otherwise be lost before another gain could lift it above.
    """
    params = rec.front_end.params
    (feature,) = params["features"]
    bare = {name: value for name, value in feature.items() if name != "offset"}
    return Features({**params, "features": [bare]}, rec.window_frames(), cache)


def taught(rec: PretrainedRecipe, clips: Sequence[Clip]) -> list[bool]:
    """Return, label by label, whether the recipe has recordings of it."""
    found = {clip.label for clip in clips}
    return [name in found for name in rec.names]


def network(rec: PretrainedRecipe, root: Path, taught: Sequence[bool]) -> Pretrained:
    """Build the network as it is before its first step.

    Raises:
        ConfigError: the weights or the table of classes are not those, or a label names an unknown class.
    """
    told = rec.network
    known = classes(root / told.classes)
    wrong = [
        f"labels[{i}].audioset: {_unknown(name, known, root / told.classes)}"
        for i, label in enumerate(rec.labels)
        for name in label.audioset
        if name not in known
    ]
    if wrong:
        raise ConfigError(wrong)
    return Pretrained(
        mobilenet.read(root / told.weights, told.sha256),
        rec.front_end.n_features,
        [[known.index(name) for name in label.audioset] for label in rec.labels],
        taught,
        frozen_blocks=told.frozen_blocks,
        head_only=told.head_only,
        trunk_rate=told.trunk_rate,
        hold=rec.schedule.hold,
        single=rec.schedule.single,
    )


def _unknown(name: str, known: Sequence[str], table: Path) -> str:
    """Return the complaint of a class that AudioSet does not have; there are too many to name them all."""
    near = nearest(name, known)
    remedy = f"did you mean {near!r}?" if near else f"use one of {table}"
    return f"{shown(name)} is no class of AudioSet; {remedy}"


def drawn(rec: PretrainedRecipe, clips: Sequence[Clip], rows: Sequence[Sequence[Rows]], seed: int) -> Soundscapes:
    """Return the source of batches that steps draw from clips."""
    places = {each.name for each in rec.data.sets if each.place}
    sounds = Sounds(
        rows,
        [(rec.names.index(clip.label),) if clip.label in rec.names else () for clip in clips],
        [clip.origin in places for clip in clips],
    )
    (feature,) = rec.front_end.params["features"]
    return Soundscapes(
        sounds,
        rec.batch,
        window_frames=rec.window_frames(),
        n_labels=len(rec.labels),
        offset=feature["offset"],
        seed=seed,
    )


def split(rec: PretrainedRecipe, held_out: Sequence[int], root: Path) -> tuple[list[Clip], list[Clip]]:
    """Divide the clips into those to train on, and those kept aside.

    Raises:
        ConfigError: data that is not there, or a split that leaks.
    """
    everything = clipping.read(rec.data.sets, root)
    train, aside, _ = clipping.split(everything, {*held_out, *rec.data.held_out})
    return train, aside


def train(
    rec: PretrainedRecipe,
    held_out: Sequence[int],
    folder: Path,
    *,
    root: Path,
    cache: Path | None,
    threads: int = 2,
    say: build.Say = print,
    report: Callable[[training.Standing], None] | None = None,
    reading: Counting | None = None,
) -> Trained:
    """Train a recipe with some folds held out, or go on from the checkpoint in ``folder``.

    What is kept aside is heard at the end, and kept in ``aside.npz``, to calibrate other folds' networks by.

    Raises:
        ConfigError: the recipe or its material does not hold.
    """
    build.claim(folder, rec)
    training.repeatable(rec.seed, threads)
    train_clips, aside = split(rec, held_out, root)
    heard = features(rec, cache)
    places = {each.name for each in rec.data.sets if each.place}

    def rows(clips: Sequence[Clip]) -> tuple[list[Clip], list[list[Rows]]]:
        good, plain, failed = load_all(heard, clips, trim=True, once=True, progress=reading)
        for line in failed:
            say(f"skipped: {line}")
        varied = [[each] for each in plain]
        for variant in rec.data.variants:
            for clip, each in zip(good, varied, strict=True):
                if clip.origin not in places:
                    each.append(heard.load(clip, variant, trim=True, once=True))
        return good, varied

    good, varied = rows(train_clips)
    mine = taught(rec, good)
    say(f"{len(good)} clips to train on, {len(aside)} aside; {sum(mine)} of {len(mine)} labels have recordings")
    made = network(rec, root, mine)
    soundscapes = drawn(rec, good, varied, rec.seed)
    steps = training.train(made, soundscapes, rec.schedule, folder, objective=made.objective, report=report)
    if rec.schedule.steps:
        training.curves(folder / "log.csv", folder / "curves.png")
    if aside and held_out and not (folder / "aside.npz").exists():
        kept, kept_rows = rows(aside)
        windows(made, drawn(rec, kept, kept_rows, _ASIDE_SEED)).save(folder / "aside.npz")
    return Trained(rec, made, good, aside, mine, soundscapes, steps)


def windows(made: Pretrained, aside: Soundscapes) -> calibration.UnseenWindows:
    """Return what a network says of windows made of sounds that it was not trained on."""
    parts = [aside(step) for step in range(ASIDE_BATCHES)]
    logits = [np.asarray(made.logits(made.embedding(part.x))[0], np.float32) for part in parts]
    return calibration.UnseenWindows(
        np.concatenate(logits),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )
