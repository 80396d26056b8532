"""Cross-validation of a pretrained network: every fold's bundle, calibrated by the other folds, named clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from auricle.errors import ConfigError
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle_build import build, finetune, ship
from auricle_build.grammar.recipes import PretrainedRecipe
from auricle_build.judge import calibration, verdicts
from auricle_build.learn import training
from auricle_build.material import clips as clipping
from auricle_build.material.clips import Clip
from auricle_build.reports import clips as page


def folds_of(rec: PretrainedRecipe, everything: Sequence[Clip], sets: Sequence[str]) -> list[int]:
    """The folds that can be kept aside and judged: those of the clips of some sets."""
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
    report: Callable[[training.Progress], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Path:
    """Train, ship and judge the folds asked for, then report on every fold of the recipe that was judged in ``runs``.

    All are trained before the first is shipped, since each is calibrated by what the others said of their own folds.
    What was done before is not done again, as long as it would be the same.

    Returns:
        the report's path.

    Raises:
        ConfigError: a fold has no clips, or its folder holds a run of another recipe.
    """
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
        others = [clip for clip in aside if clip.fold == fold and clip.label not in rec.events]
        verdicts.save(kept, bundle, verdicts.judge(bundle, named, say), verdicts.quiet(bundle, others, say))
    return write(rec, known, sets, runs, out)


def _shipped(folder: Path, others: Sequence[Path]) -> Bundle | None:
    """The bundle of a fold's network, if there is one that was calibrated by the same others."""
    if not (folder / "bundle" / "card.yaml").exists():
        return None
    found = bundles.load(str(folder / "bundle"))
    by = found.raw.get("figures", {}).get("calibration", {}).get("by", [])
    return found if by == [path.parent.name for path in others] else None


def write(rec: PretrainedRecipe, known: Sequence[int], sets: Sequence[str], runs: Path, out: Path) -> Path:
    """The page about what was judged in ``runs``, by this very recipe or with other steps."""
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
    kept = [calibration.Windows.load(path) for path in asides if path.exists()]
    return page.write(rec.name, found, known, sets, calibration.crossed(kept) if len(kept) > 1 else None, out)
