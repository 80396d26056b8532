"""A pretrained network is cross-validated here: every fold's bundle, calibrated by the other folds, named clip by
clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from auricle.errors import ConfigError
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle_build import build, finetune, ship
from auricle_build.grammar.recipes import PretrainedRecipe
from auricle_build.judge import calibration, verdicts
from auricle_build.judge.alarms import Quiet
from auricle_build.learn import training
from auricle_build.material import clips as clipping
from auricle_build.material.clips import Clip
from auricle_build.reports import clips as page


def folds_of(rec: PretrainedRecipe, everything: Sequence[Clip], sets: Sequence[str]) -> list[int]:
    """Return the folds that can be kept aside and judged: those of the clips of some sets."""
    events = frozenset(rec.events)
    return sorted({clip.fold for clip in everything if clip.origin in sets and clip.label in events})


def run(
    rec: PretrainedRecipe,
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
    beside: Mapping[str, str] | None = None,
) -> Path:
    """Train, ship and judge the folds asked for, then report on every fold of the recipe that was judged in ``runs``.

    All are trained before the first is shipped, since each is calibrated by what the others said of their own folds.
    What was done before is not done again, as long as it would be the same.

    Args:
        beside: other bundles by name, which name the same clips: yardsticks that learned of none of them.

    Returns:
        the report's path.

    Raises:
        ConfigError: a fold has no clips, or its folder holds a run of another recipe.
    """
    others = {name: _beside(name, path, rec) for name, path in (beside or {}).items()}
    everything = clipping.read(rec.data.sets, root)
    sets = verdicts.judged_sets(rec, everything)
    known = [fold for fold in folds_of(rec, everything, sets) if fold not in rec.data.held_out]
    wanted = list(known if folds is None else folds)
    if strange := [fold for fold in wanted if fold not in known]:
        raise ConfigError(
            [f"--fold: {fold} has no clips to judge by; use {', '.join(map(str, known))}" for fold in strange]
        )
    rec = replace(rec, schedule=replace(rec.schedule, steps=rec.schedule.steps if steps is None else steps))

    def trained(fold: int) -> finetune.Trained:
        return finetune.train(
            rec,
            [fold],
            folder(fold),
            root=root,
            cache=runs / "rows",
            threads=threads,
            say=say,
            report=report,
            reading=reading,
        )

    def folder(fold: int) -> Path:
        return runs / f"{rec.name}-without-{fold}"

    for fold in wanted:
        build.claim(folder(fold), rec)
        if not (folder(fold) / "aside.npz").exists():  # which is the last thing that training leaves
            say(f"fold {fold}: training")
            trained(fold)
    for fold in wanted:
        bundle = _shipped(folder(fold), ship.asides(rec, runs, [fold]))
        if bundle is None:
            say(f"fold {fold}: the bundle")
            bundle = ship.ship(trained(fold), folder(fold) / "bundle", ship.asides(rec, runs, [fold]))
        kept = folder(fold) / "judged.npz"
        if kept.exists() and verdicts.load(kept)[0] == bundle.hash:
            say(f"fold {fold}: judged before, in {folder(fold)}")
            continue
        say(f"fold {fold}: judging")
        _, aside = finetune.split(rec, [fold], root)
        named = [clip for clip in aside if clip.origin in sets and clip.label in rec.events]
        silent = [clip for clip in aside if clip.fold == fold and clip.label not in rec.events]
        verdicts.save(kept, bundle, verdicts.judge(bundle, named, say), verdicts.quiet(bundle, silent, say))
    judged = [clip for clip in everything if clip.origin in sets and clip.label in rec.events and clip.fold in known]
    said = {name: _said_beside(name, bundle, judged, runs, say) for name, bundle in others.items()}
    return write(rec, known, sets, runs, out, said)


def _beside(name: str, path: str, rec: PretrainedRecipe) -> Bundle:
    """Open a yardstick, which must know the recipe's labels."""
    found = bundles.load(path)
    if missing := [label for label in rec.events if label not in found.labels]:
        raise ConfigError(
            [f"--beside: {name!r} lacks {missing[0]!r} ({len(missing)} labels of {rec.name}); give one that has them"]
        )
    return found


def _said_beside(
    name: str, bundle: Bundle, clips: Sequence[Clip], runs: Path, say: Callable[[str], None]
) -> verdicts.Verdicts:
    """Return what a yardstick says of the clips, now or before."""
    kept = runs / f"beside-{name}.npz"
    if kept.exists():
        judged_by, said = verdicts.load(kept)
        if judged_by == bundle.hash and len(said.truth) == len(clips):
            say(f"{name}: judged before, in {kept}")
            return said
    say(f"{name}: judging")
    said = verdicts.judge(bundle, clips, say)
    verdicts.save(kept, bundle, said, Quiet([], []))
    return said


def _shipped(folder: Path, others: Sequence[Path]) -> Bundle | None:
    """Return the bundle of a fold's network, if there is one that was calibrated by the same others."""
    if not (folder / "bundle" / "card.yaml").exists():
        return None
    found = bundles.load(str(folder / "bundle"))
    by = found.raw.get("figures", {}).get("calibration", {}).get("by", [])
    return found if by == [path.parent.name for path in others] else None


def write(
    rec: PretrainedRecipe,
    known: Sequence[int],
    sets: Sequence[str],
    runs: Path,
    out: Path,
    beside: Mapping[str, verdicts.Verdicts] | None = None,
) -> Path:
    """Write the page about what was judged in ``runs``, by this very recipe or with other steps, and what yardsticks
    said."""
    folders = {fold: runs / f"{rec.name}-without-{fold}" for fold in known}
    mine = {
        fold: folder
        for fold, folder in folders.items()
        if (folder / "judged.npz").exists() and build.differing(folder, rec) in (None, "schedule.steps")
    }
    found = {
        fold: page.Judged(bundles.load(str(folder / "bundle")), verdicts.load(folder / "judged.npz")[1])
        for fold, folder in mine.items()
    }
    asides = [folder / "aside.npz" for folder in mine.values()]
    kept = [calibration.UnseenWindows.load(path) for path in asides if path.exists()]
    return page.write(rec.name, found, known, sets, calibration.crossed(kept) if len(kept) > 1 else None, out, beside)
