"""The material that a recipe names is prepared here: read, split, and computed as the daemon would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle_build.grammar.recipes import Recipe
from auricle_build.learn.batches import TrainingRows
from auricle_build.learn.teacher import taught_by
from auricle_build.material import clips as clipping
from auricle_build.material.clips import Clip
from auricle_build.material.rows import Counting, Features, Rows, load_all


def white_noise(features: Features, seconds: float = 90.0) -> Rows:
    """Make rows of white noise ``(k, n_features)``, each feature's mean taken off."""
    sound = np.random.default_rng(7).standard_normal(int(seconds * features.sample_rate)).astype(np.float32)
    rows = features.of(0.1 * sound)
    return np.asarray(rows - rows.mean(axis=0), np.float32)


@dataclass(frozen=True)
class Loaded:
    """Holds a recipe's material, split.

    Args:
        train: what the steps draw from.
        train_clips, kept_clips: the clips on either side.
        kept: rows of the clips kept aside, as the daemon would compute them.
        truth: index of each kept clip's label among the recipe's labels.
        originals: names behind ``TrainingRows.original``.
        failed: a line for each recording that could not be read.
        known: clips of the held-out folds that are not judged by, for their source is trained on in another set.
    """

    train: TrainingRows
    train_clips: Sequence[Clip]
    kept_clips: Sequence[Clip]
    kept: Sequence[Rows]
    truth: NDArray[np.int64]
    originals: Sequence[str]
    failed: Sequence[str]
    known: Sequence[Clip]


def prepare(
    recipe: Recipe,
    held_out: Sequence[int],
    *,
    root: Path,
    cache: Path | None = None,
    progress: Counting | None = None,
) -> Loaded:
    """Read the clips of a recipe, split them by fold, and compute the rows of all variants.

    Args:
        held_out: folds kept aside, besides the recipe's own ``data.held_out``.

    Raises:
        ConfigError: data that is not there, a split that leaks, or labels with too few clips.
    """
    data, labels, events = recipe.data, recipe.names, recipe.events
    everything = clipping.read(data.sets, root)
    train, kept, known = clipping.split(everything, {*held_out, *data.held_out})
    clipping.check_counts(train, events, data.least_clips)
    if recipe.background is None:
        train, kept = ([c for c in part if c.label in labels] for part in (train, kept))
    features = Features(recipe.front_end.params, recipe.window_frames(), cache)
    good, plain, failed = load_all(features, train, trim=True, once=data.once, progress=progress)
    clipping.check_counts(good, events, data.least_clips)
    columns = [plain]
    for variant in data.variants:
        _, rows, bad = load_all(features, good, variant, trim=True, once=data.once, progress=progress)
        failed += bad
        columns.append(rows)
    taught = taught_by(root / data.teacher, good, cache, progress) if data.teacher else None
    originals = sorted({c.label for c in good})
    other = len(labels) - 1
    material = TrainingRows(
        rows=[list(variants) for variants in zip(*columns, strict=True)],
        label=np.asarray([labels.index(c.label) if c.label in labels else other for c in good]),
        original=np.asarray([originals.index(c.label) for c in good]),
        origin=[c.origin for c in good],
        white=white_noise(features),
        taught=taught,
    )
    unjudged = {s.name for s in data.sets if not s.judged}
    kept = [c for c in kept if c.label not in events or c.origin not in unjudged]
    kept_read, kept_rows, bad = load_all(features, kept, progress=progress)
    truth = np.asarray([labels.index(c.label) if c.label in labels else other for c in kept_read], np.int64)
    return Loaded(material, good, kept_read, kept_rows, truth, originals, [*failed, *bad], known)
