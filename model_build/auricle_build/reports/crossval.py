"""Grouped k-fold cross-validation keeps every fold aside once, judges it as the daemon would, and reports all in one
page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.errors import ConfigError, ModelError
from auricle.model import bundle as bundles
from auricle_build import build
from auricle_build.grammar.recipes import Recipe, StreamingRecipe
from auricle_build.int8 import graph
from auricle_build.judge import alarms, evaluate
from auricle_build.learn import training
from auricle_build.material import clips
from auricle_build.reports import report as reporting
from auricle_build.reports.fold import Fold, merged


def folds_of(rec: Recipe, root: Path) -> list[int]:
    """Return the folds that hold every event label: those that a model can be judged on."""
    found: dict[int, set[str]] = {}
    for clip in clips.read(rec.data.sets, root):
        found.setdefault(clip.fold, set()).add(clip.label)
    return sorted(fold for fold, labels in found.items() if labels.issuperset(rec.events))


def run(
    rec: Recipe,
    folds: Sequence[int] | None,
    steps: int | None,
    *,
    root: Path,
    runs: Path,
    out: Path,
    threads: int,
    say: Callable[[str], None],
    report: Callable[[training.Standing], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
    shipped: bundles.Bundle | None = None,
) -> Path:
    """Train and judge the folds asked for, then report on every fold of the recipe that was ever judged in ``runs``.

    Args:
        shipped: a bundle; the false alarms at its thresholds are reported too.

    Returns:
        the report's path.

    Raises:
        ConfigError: the recipe is no streaming one, or a fold's folder holds a run of another recipe.
    """
    if not isinstance(rec, StreamingRecipe):
        raise ConfigError([f"crossval: {rec.name} is no streaming network; judge it with train --hold-out FOLD"])
    if rec.schedule.patience:
        say("schedule.patience: each fold's model stops by that very fold, which flatters it; 0 does not")
    known = folds_of(rec, root)
    shorter = replace(rec, schedule=replace(rec.schedule, steps=steps or rec.schedule.steps))
    for fold in known if folds is None else folds:
        folder = runs / f"{rec.name}-without-{fold}"
        if (folder / "judged.npz").exists():
            build.claim(folder, shorter)
            say(f"fold {fold}: judged before, in {folder}")
            continue
        say(f"fold {fold}")
        made = build.make(
            shorter,
            [fold],
            folder,
            root=root,
            cache=runs / "rows",
            threads=threads,
            say=say,
            report=report,
            reading=reading,
        )
        assert made.float_judgement is not None
        assert made.int8_judgement is not None
        found = (made.float_judgement, made.int8_judgement, build.behind_gate(made), build.quiet(made))
        Fold(fold, made.steps, *found).save(folder / "judged.npz")
        try:
            build.ship(made, folder / "bundle")
        except ModelError as refused:
            # A fold that would not be shipped is reported with the rest: to leave it out would flatter the report.
            say(f"fold {fold}: {refused}")
    folds_found = measured(rec, known, runs)
    heard = false_alarms(rec, folds_found, runs)
    as_shipped = false_alarms(rec, folds_found, runs, shipped) if shipped else {}
    return write(rec, folds_found, known, out, heard, as_shipped)


def false_alarms(
    rec: Recipe, folds: Sequence[Fold], runs: Path, shipped: bundles.Bundle | None = None
) -> dict[str, Any]:
    """Count events at a threshold of 0.5, or at those of what ships, on what all folds kept aside without a label, by
    set."""
    if not folds or rec.background is None:
        return {}
    bundle = next((b for f in folds if (b := runs / f"{rec.name}-without-{f.fold}" / "bundle").exists()), None)
    if bundle is None:  # every one was refused
        return {}
    opened = bundles.load(str(bundle))
    return dict(alarms.count(opened, alarms.joined([f.quiet for f in folds]), shipped=shipped))


def measured(rec: Recipe, folds: Sequence[int], runs: Path) -> list[Fold]:
    """Load the folds of a recipe that were judged in ``runs``, by this very recipe or with other steps."""
    stored = [runs / f"{rec.name}-without-{fold}" / "judged.npz" for fold in folds]
    mine = [p for p in stored if p.exists() and build.differing(p.parent, rec) in (None, "schedule.steps")]
    return [Fold.load(path, rec.names, rec.background) for path in mine]


def stated(folds: Sequence[Fold], heard: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says of models of the same recipe, each judged on a fold that it never saw."""
    if not folds:
        return {}
    out: dict[str, Any] = {"folds": [f.fold for f in folds], "steps": [f.steps for f in folds]}
    for name, judgement in (("float", [f.whole for f in folds]), ("int8", [f.int8 for f in folds])):
        all_folds = merged(judgement)
        figures = {k: round(float(v), 4) for k, v in evaluate.summary(all_folds).items() if np.isfinite(v)}
        by_fold = [round(j.accuracy(), 4) for j in judgement]
        recall = {k: round(v, 3) for k, v in all_folds.recall_among_events().items()}
        out[name] = {**figures, "by_fold": by_fold, "recall": recall}
    out["int8_behind_gate"] = {"accuracy": round(merged([f.gated for f in folds]).accuracy(), 4)}
    out["false_alarms_at_default"] = dict(heard)
    return {"held_out": out}


def write(
    rec: StreamingRecipe,
    folds: Sequence[Fold],
    known: Sequence[int],
    out: Path,
    heard: Mapping[str, Any],
    shipped: Mapping[str, Any],
) -> Path:
    """Write the report of these folds below ``out``; return its path."""
    ops, shape = rec.shape()
    n_features = rec.front_end.n_features
    content, microseconds = untrained(rec)
    size = {
        "model_kb": len(content) / 1000,
        "macs": reporting.operations(ops, shape.window_frames, n_features, shape.columns, len(rec.labels)),
        "us": microseconds,
    }
    return reporting.write(rec, folds, known, out, size, heard, shipped)


def untrained(rec: StreamingRecipe) -> tuple[bytes, float]:
    """Make a graph of the recipe's shape, and measure the median time of a window in it, in microseconds on one
    thread."""
    from ai_edge_litert.interpreter import Interpreter

    ops, shape = rec.shape()
    content = graph.whole(graph.of_shape(ops, shape.columns, len(rec.labels)), rec.name, rec.front_end.n_features)
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    times = []
    for _ in range(200):
        began = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - began)
    return content, float(np.median(times)) * 1e6
