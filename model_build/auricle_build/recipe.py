"""A recipe: the one YAML that says how a model is made, and the material that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.features import front_end
from auricle_build.learn.batches import Material
from auricle_build.learn.network import Geometry, Op, geometry, plan
from auricle_build.learn.teacher import taught_by
from auricle_build.material import clips as clipping
from auricle_build.material.clips import Clip
from auricle_build.material.rows import Features, Progress, Rows, load_all

NEEDED = ("name", "labels", "front_end", "data", "batch", "network", "schedule", "seed")


def load(path: Path) -> dict[str, Any]:
    """Read a recipe.

    Raises:
        ConfigError: it is not there, is no YAML, or lacks a part.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([f"{path}: cannot be read as a recipe: {error}".replace("\n", " ")]) from error
    if not isinstance(recipe, dict):
        raise ConfigError([f"{path}: not a mapping of keys; see the recipes in the package"])
    problems = [f"{path}: no {key!r}; a recipe needs {', '.join(NEEDED)}" for key in NEEDED if key not in recipe]
    background = recipe.get("background")
    if not problems and background is not None and recipe["labels"][-1] != background:
        problems.append(f"{path}: labels: the background label {background!r} must be the last")
    if problems:
        raise ConfigError(problems)
    return recipe


def n_features(recipe: Mapping[str, Any]) -> int:
    """Features in a row of the recipe's front end."""
    return front_end(**recipe["front_end"]).n_features


def shape(recipe: Mapping[str, Any]) -> tuple[list[Op], Geometry]:
    """The trunk and what it means in time."""
    ops = plan(recipe["network"]["layers"], n_features(recipe))
    return ops, geometry(ops, int(recipe["network"]["columns"]))


def window_frames(recipe: Mapping[str, Any]) -> int:
    """Frames of a window: what the trunk's shape gives, or, of a network that does not stream, what the recipe says."""
    told = recipe["network"].get("window_frames")
    return int(told) if told is not None else shape(recipe)[1].window_frames


def white_noise(features: Features, seconds: float = 90.0) -> Rows:
    """Rows of white noise ``(k, n_features)``, each feature's mean taken off."""
    sound = np.random.default_rng(7).standard_normal(int(seconds * features.sample_rate)).astype(np.float32)
    rows = features.of(0.1 * sound)
    return np.asarray(rows - rows.mean(axis=0), np.float32)


@dataclass(frozen=True)
class Loaded:
    """A recipe's material, split.

    Args:
        train: what the steps draw from.
        train_clips, kept_clips: the clips on either side.
        kept: rows of the clips kept aside, as the daemon would compute them.
        truth: index of each kept clip's label among the recipe's labels.
        originals: names behind ``Material.original``.
        failed: a line for each recording that could not be read.
        known: clips of the held-out folds that are not judged by, for their source is trained on in another set.
    """

    train: Material
    train_clips: Sequence[Clip]
    kept_clips: Sequence[Clip]
    kept: Sequence[Rows]
    truth: NDArray[np.int64]
    originals: Sequence[str]
    failed: Sequence[str]
    known: Sequence[Clip]


def prepare(
    recipe: Mapping[str, Any],
    held_out: Sequence[int],
    *,
    root: Path,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Read the clips of a recipe, split them by fold, and compute the rows of all variants.

    Args:
        held_out: folds kept aside, besides the recipe's own ``data.held_out``.

    Raises:
        ConfigError: data that is not there, a split that leaks, or labels with too few clips.
    """
    data, labels = recipe["data"], list(recipe["labels"])
    background = recipe.get("background")
    everything = clipping.read(data["sets"], root)
    train, kept, known = clipping.split(everything, {*held_out, *data.get("held_out", ())})
    events = [label for label in labels if label != background]
    clipping.check_counts(train, events, int(data.get("least_clips", 4)))
    if background is None:
        train, kept = ([c for c in part if c.label in labels] for part in (train, kept))
    features = Features(recipe["front_end"], window_frames(recipe), cache)
    once = bool(data.get("once", False))
    good, plain, failed = load_all(features, train, trim=True, once=once, progress=progress)
    clipping.check_counts(good, events, int(data.get("least_clips", 4)))
    columns = [plain]
    for variant in data.get("variants", ()):
        _, rows, bad = load_all(features, good, variant, trim=True, once=once, progress=progress)
        failed += bad
        columns.append(rows)
    teacher = data.get("teacher")
    taught = taught_by(root / teacher, good, cache, progress) if teacher else None
    originals = sorted({c.label for c in good})
    other = len(labels) - 1
    material = Material(
        rows=[list(variants) for variants in zip(*columns, strict=True)],
        label=np.asarray([labels.index(c.label) if c.label in labels else other for c in good]),
        original=np.asarray([originals.index(c.label) for c in good]),
        origin=[c.origin for c in good],
        white=white_noise(features),
        taught=taught,
    )
    unjudged = {s["name"] for s in data["sets"] if not s.get("judged", True)}
    kept = [c for c in kept if c.label not in events or c.origin not in unjudged]
    kept_read, kept_rows, bad = load_all(features, kept, progress=progress)
    truth = np.asarray([labels.index(c.label) if c.label in labels else other for c in kept_read], np.int64)
    return Loaded(material, good, kept_read, kept_rows, truth, originals, [*failed, *bad], known)
