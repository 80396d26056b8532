"""These commands judge models beyond their clips: with the gate, in scenes, and beside what others ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.errors import ConfigError
from auricle_build.terminal import DataFolder, Display, RecipeFile, recipe, tensorflow


def gate_report(
    model: Annotated[str, typer.Argument(help="A model's name or a bundle's folder.")] = "esc10",
    data: DataFolder = None,
    folds: Annotated[list[int] | None, typer.Option("--fold", help="Folds to judge on; 4 unless told.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("docs"),
) -> None:
    """Judge a model in real noise with and without the noise gate, and write the report."""
    from auricle.model import bundle
    from auricle_build.reports import gate_report as gates

    live = Display()
    with live.bars:
        path = gates.report(bundle.load(model, None), data, folds or [4], out, live.reading)
    live.say(str(path))


def scenes(
    config: RecipeFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the scenes and their truth.")],
    folds: Annotated[
        list[int] | None,
        typer.Option("--fold", help="A fold that the model never saw; may be repeated. data.held_out is always taken."),
    ] = None,
    data: DataFolder = None,
    number: Annotated[int, typer.Option("--number", min=0, help="How many scenes.")] = 1,
    minutes: Annotated[float, typer.Option("--minutes", min=0.2, help="Length of each.")] = 15.0,
    snr: Annotated[tuple[float, float], typer.Option("--snr", help="Events over the background, dB: from, to.")] = (
        0,
        20,
    ),
    every: Annotated[float, typer.Option("--every", min=1.0, help="Seconds of scene for each event.")] = 12.0,
    negatives: Annotated[
        bool, typer.Option("--negatives", help="Also write what holds no event: foreign sounds, speech, backgrounds.")
    ] = False,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="Events of this label alone, what is of others is foreign; may be repeated."),
    ] = None,
    phone: Annotated[
        bool, typer.Option("--phone", help="As phones would have recorded it all: room, band, limiter, Opus.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed")] = 1,
) -> None:
    """Make long recordings with exact truth from clips that a model was not trained on."""
    from auricle_build.material import scenes as composing

    rec = recipe(config)
    plan = composing.Plan(60 * minutes, rec.front_end.sample_rate, snr, every)
    chosen = composing.material(rec, folds or [], rec.data.folder(data), labels or ())
    composing.write(out, chosen, plan, seed=seed, number=number, negatives=negatives, phone=phone, say=Display().say)
    composing.state(
        out, plan, recipe=rec.name, folds=folds or [], labels=labels or [], seed=seed, scenes=number, phone=phone
    )


def scene_report(
    models: Annotated[
        list[str],
        typer.Option(
            "--model", metavar="NAME=BUNDLE", help="A model to judge; {fold} stands for each fold; repeatable."
        ),
    ],
    scenes: Annotated[
        str, typer.Option("--scenes", help="What auricle-build scenes made; {fold} stands for each fold.")
    ],
    folds: Annotated[list[int] | None, typer.Option("--fold", help="A fold; repeatable.")] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rules", metavar="NAME=BUNDLE", help="Whose rules a model decides by, if not by its own."),
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="A label to judge; those of the truth unless told; repeatable.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Names the page: scenes-NAME.md.")] = "home",
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("docs"),
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to keep scores in.")] = None,
) -> None:
    """Judge models in scenes by the rules that ship, side by side, and write the report."""
    from auricle_build.reports import scene_report as reporting

    page = reporting.run(
        reporting.named(models, "--model"),
        reporting.named(rules or (), "--rules"),
        scenes,
        folds or (),
        labels or (),
        name=name,
        out=out,
        cache=cache,
        say=Display().say,
    )
    Display().say(str(page))


def yamnet(
    model: Annotated[Path, typer.Argument(help="YAMNet as a TFLite file, its classes zipped into it.")],
    config: Annotated[Path, typer.Argument(help="The recipe whose labels it gets, by their AudioSet classes.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle's folder.")],
) -> None:
    """Write YAMNet as it is as a bundle with a recipe's labels: a yardstick for what a model of one's own brings."""
    rec = recipe(config)
    tensorflow("yamnet")
    from auricle_build.reports import yamnet as yardstick

    opened = yardstick.write(model, rec, out)
    Display().say(f"{opened.path}: {opened.card.name} {opened.hash}, model.tflite {len(opened.whole) / 1000:.0f} KB")


def bank(
    config: RecipeFile,
    model: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that is given the bank.")],
    vectors: Annotated[int, typer.Option("--vectors", min=200, max=20_000, help="How many embeddings.")] = 2000,
    data: DataFolder = None,
) -> None:
    """Put embeddings of a recipe's recordings into a bundle, for auricle teach to learn the difference from."""
    from auricle_build import bank as banks

    rec = recipe(config)
    live = Display()
    opened = banks.write(rec, model, root=rec.data.folder(data), vectors=vectors, say=live.say)
    size = (opened.path / "bank.npz").stat().st_size
    live.say(f"{opened.path}: {opened.card.name} is now {opened.hash}, bank.npz {size / 1000:.0f} KB")


def teach_report(
    config: RecipeFile,
    model: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The trunk, which was not taught these classes.")],
    only: Annotated[
        list[str] | None, typer.Option("--label", help="A class to teach; all of 30 clips unless told.")
    ] = None,
    scenes: Annotated[
        Path | None, typer.Option("--scenes", help="Scenes to hear, as auricle-build scenes made.")
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="What the trunk did not hear; the scenes' too.")] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to keep embeddings in.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The page; else it is printed.")] = None,
    data: DataFolder = None,
) -> None:
    """Judge how well auricle teach teaches classes that a trunk was not taught, from twenty clips and from five."""
    from auricle.model import bundle
    from auricle_build.reports import teach_report as reports

    if scenes is not None and fold is None:
        raise ConfigError(["teach-report: --scenes of which fold? name it, --fold N"])
    rec = recipe(config)
    root, say = rec.data.folder(data), Display().say
    page = reports.of(
        rec, bundle.load(str(model)), root=root, only=only or (), scenes=scenes, fold=fold, cache=cache, say=say
    )
    if out is None:
        typer.echo("\n".join(page))
    else:
        out.write_text("\n".join(page) + "\n", encoding="utf-8")
