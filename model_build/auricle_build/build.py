"""A recipe becomes a bundle here: material, training, int8, judgement, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from auricle.config import values
from auricle.config.sections import DEFAULT_HOP_MS
from auricle.errors import ConfigError
from auricle.model import bundle as bundles
from auricle_build import export, recipe
from auricle_build.grammar import read as recipes
from auricle_build.grammar.material import Front, Variant
from auricle_build.grammar.recipes import Recipe, StreamingRecipe
from auricle_build.grammar.trunk import Reach
from auricle_build.int8 import graph, quantise
from auricle_build.int8.quantise import Quantised
from auricle_build.judge import alarms, evaluate, lags
from auricle_build.judge.alarms import Quiet
from auricle_build.judge.evaluate import Judgement
from auricle_build.learn import training
from auricle_build.learn.batches import Batches
from auricle_build.learn.network import Network
from auricle_build.material.rows import Features, Rows
from auricle_build.recipe import Loaded

Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """Holds a trained and quantised model with what it was judged on.

    Args:
        float_judgement, int8_judgement: on the clips kept aside, None where there are none.
        compared: float and int8 on the same clips of events, those kept aside or else some that were trained on: the
            export is refused where int8 falls behind.
    """

    recipe: StreamingRecipe
    loaded: Loaded
    reach: Reach
    network: Network
    quantised: Quantised
    steps: int
    float_judgement: Judgement | None
    int8_judgement: Judgement | None
    compared: tuple[Judgement, Judgement]


def default_hop_frames(front: Front) -> int:
    """Return the daemon's default decision hop in frames of a front end."""
    return round(DEFAULT_HOP_MS * front.sample_rate / 1000 / front.hop_length)


def make(
    rec: StreamingRecipe,
    held_out: Sequence[int],
    folder: Path,
    *,
    root: Path,
    cache: Path | None,
    threads: int = 2,
    say: Say = print,
    report: Callable[[training.Standing], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Made:
    """Train a recipe with some folds held out, quantise it, and judge both on these folds.

    A run that was interrupted goes on from the checkpoint in ``folder``.

    Raises:
        ConfigError: the recipe or its material does not hold.
    """
    claim(folder, rec)
    training.repeatable(rec.seed, threads)
    loaded = recipe.prepare(rec, held_out, root=root, cache=cache, progress=reading)
    for line in loaded.failed:
        say(f"skipped: {line}")
    if loaded.failed:
        say(f"{len(loaded.failed)} recordings could not be read")
    if loaded.known:
        names = ", ".join(sorted(clip.path.name for clip in loaded.known))
        say(f"not judged by, because another set has takes of their source to train on: {names}")
    ops, shape = rec.shape()
    say(
        f"{len(loaded.train_clips)} clips to train on, {len(loaded.kept_clips)} aside; window {shape.window_frames} "
        f"frames, a column sees {shape.receptive_frames}"
    )
    labels, head, background = rec.names, rec.head, rec.background
    common: dict[str, Any] = {
        "window_frames": shape.window_frames,
        "n_labels": len(labels),
        "seed": rec.seed,
        "background": background is not None,
        "multi_label": head == "sigmoid",
    }
    batches = Batches(loaded.train, rec.batch, **common)
    heads = [len(labels), batches.n_original, batches.n_taught]
    network = Network(ops, shape.columns, heads, rec.network.dropout, rec.seed)
    hop = default_hop_frames(rec.front_end)
    scorer = evaluate.float_scorer(
        network, window_frames=shape.window_frames, hop_frames=hop, stride_frames=shape.stride_frames, head=head
    )

    def judge() -> Mapping[str, float]:
        return evaluate.summary(evaluate.judge(scorer, loaded.kept, loaded.truth, labels, background))

    n_events = len(rec.events)

    def mistakes() -> NDArray[np.int64]:
        return evaluate.mistakes(
            scorer, loaded.train.rows, batches.background_clips, n_events, shape.window_frames, hop
        )

    steps = training.train(
        network,
        batches,
        rec.schedule,
        folder,
        objective=training.labelled(network, rec),
        patience=rec.schedule.patience,
        judge=judge if loaded.kept else None,
        mistakes=mistakes if rec.batch.mistaken else None,
        report=report,
    )
    training.curves(folder / "log.csv", folder / "curves.png")

    kept_grids = folder / f"quantised-{steps}.npz"
    if kept_grids.exists():
        model = Quantised.load(kept_grids, ops, shape.columns, head)
    else:
        model = quantise.calibrate(network, batches, head, rec.network.input_db)
        # Towards the end the sounds may come as they are heard later, less mixed and less changed.
        late = Batches(loaded.train, rec.schedule.quantised_batch, **common)
        late.mistaken = batches.mistaken
        model = quantise.settle(model, late, rec, lambda s, loss: say(f"int8: step {s}, loss {loss:.3f}"))
        model.save(kept_grids)
    whole = graph.whole(model, rec.name, rec.front_end.n_features)
    scorers = (
        evaluate.folded_scorer(
            model, window_frames=shape.window_frames, hop_frames=hop, stride_frames=shape.stride_frames
        ),
        evaluate.int8_scorer(whole, window_frames=shape.window_frames, hop_frames=hop),
    )
    kept: list[Judgement | None] = [None, None]
    if loaded.kept:
        kept = [evaluate.judge(s, loaded.kept, loaded.truth, labels, background) for s in scorers]
    if kept[0] is not None and kept[1] is not None and kept[0].of_events().any():
        return Made(rec, loaded, shape, network, model, steps, kept[0], kept[1], (kept[0], kept[1]))
    rows, truth = _some_events(loaded, shape.window_frames, n_events)
    one, other = (evaluate.judge(s, rows, truth, labels, background) for s in scorers)
    return Made(rec, loaded, shape, network, model, steps, kept[0], kept[1], (one, other))


def _some_events(loaded: Loaded, window_frames: int, n_events: int, most: int = 400) -> tuple[list[Rows], Any]:
    """Choose clips of events that were trained on, spread over all of them, with their labels."""
    mine = np.flatnonzero(loaded.train.label < n_events)
    mine = mine[:: -(-len(mine) // most)].tolist()
    rows = [loaded.train.rows[i][0] for i in mine]
    # A sound shorter than the window is repeated, as `classify` does.
    whole = [r if len(r) >= window_frames else r[np.arange(window_frames) % len(r)] for r in rows]
    return whole, loaded.train.label[mine]


def differing(folder: Path, rec: Recipe) -> str | None:
    """Return a key in which the recipe of the run in a folder differs, but for what is written for people; ``None`` if
    none does."""
    stored = folder / "recipe.yaml"
    if not stored.exists():
        return None
    try:
        before, now = (_flat(values(r)) for r in (recipes.load(stored), rec))
    except ConfigError:  # the run that began here has no recipe of today
        return stored.name
    told = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    return min(told - {"description", "licence"}, default=None)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + str(key): value})
    return found


def claim(folder: Path, rec: Recipe) -> None:
    """Take a folder for a run of this recipe: new, or one that the same recipe began.

    Raises:
        ConfigError: the folder holds a run of another recipe, which must not be gone on from.
    """
    other = differing(folder, rec)
    if other is not None:
        raise ConfigError([f"{folder}: holds a run of another recipe, {other} differs; remove it or give other --runs"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(values(rec), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def behind_gate(made: Made) -> Judgement:
    """Judge the int8 model on the event clips kept aside, heard through the noise gate at its default settings."""
    rec, loaded = made.recipe, made.loaded
    labels = rec.names
    mine = [i for i in range(len(loaded.kept)) if labels[int(loaded.truth[i])] != rec.background]
    features = Features(rec.front_end.params, made.reach.window_frames)
    gated = Variant(gate=True, lead_s=rec.data.gate_lead_s)
    rows = [features.load(loaded.kept_clips[i], gated) for i in mine]
    whole = graph.whole(made.quantised, rec.name, rec.front_end.n_features)
    hop = default_hop_frames(rec.front_end)
    scorer = evaluate.int8_scorer(whole, window_frames=made.reach.window_frames, hop_frames=hop)
    return evaluate.judge(scorer, rows, loaded.truth[mine], labels, rec.background)


def figures(made: Made) -> dict[str, Any]:
    """Return the figures of the card about the clips kept aside, float and int8."""
    out: dict[str, Any] = {"steps": made.steps}
    if made.int8_judgement is None or made.float_judgement is None:
        return out
    out["clips"] = int(made.int8_judgement.of_events().sum())
    for name, judgement in (("float", made.float_judgement), ("int8", made.int8_judgement)):
        out[name] = {k: round(float(v), 4) for k, v in evaluate.summary(judgement).items() if np.isfinite(v)}
        out[name]["recall"] = {k: round(v, 3) for k, v in judgement.recall_among_events().items()}
    return out


def ship(made: Made, folder: Path, *, stated: Mapping[str, Any] | None = None) -> bundles.Bundle:
    """Write the bundle; refuse it where int8 falls behind float on the clips that they were compared on.

    Args:
        stated: further figures for the card, those of a cross-validation for instance.

    Raises:
        ModelError: int8 fell behind, or the daemon would not load what was written.
    """
    rec, shape = made.recipe, made.reach
    export.refuse(*made.compared)
    labels, background = rec.names, rec.background
    n_features = rec.front_end.n_features
    whole = graph.whole(made.quantised, rec.name, n_features)
    hop = default_hop_frames(rec.front_end)
    int8 = evaluate.int8_scorer(whole, window_frames=shape.window_frames, hop_frames=hop)
    late = lags.measure(
        int8,
        [variants[0] for variants in made.loaded.train.rows],
        made.loaded.train.label,
        labels.index(background) if background else None,
        made.loaded.train.white,
        rec.front_end,
        shape.window_frames,
        hop,
    )
    said: dict[str, Any] = {"kept_aside": figures(made), **(stated or {})}

    def written() -> bundles.Bundle:
        export.write(
            folder,
            made.quantised,
            rec,
            n_features=n_features,
            clips=made.loaded.train_clips,
            lags=late,
            figures=said,
        )
        return bundles.load(str(folder))

    opened = written()
    if background and made.int8_judgement is not None:
        said["kept_aside"]["false_alarms"] = alarms.count(opened, quiet(made))
        opened = written()
    return opened


def quiet(made: Made) -> Quiet:
    """Return the clips kept aside that hold none of the labels, with their int8 scores."""
    judged = made.int8_judgement
    assert judged is not None
    mine = np.flatnonzero(~judged.of_events()).tolist()
    return Quiet([made.loaded.kept_clips[i].origin for i in mine], [judged.windows[i] for i in mine])
