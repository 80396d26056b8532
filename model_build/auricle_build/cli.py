"""The model side has its command line here; each command imports what it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import typer

from auricle import __version__
from auricle.errors import AuricleError, ConfigError
from auricle_build import judging
from auricle_build.terminal import DataFolder, Display, RecipeFile, Runs, Threads, recipe, tensorflow

app = typer.Typer(
    name="auricle-build",
    help="Make models for Auricle: train, quantise, judge, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def train(
    config: RecipeFile,
    data: DataFolder = None,
    hold_out: Annotated[
        list[int] | None, typer.Option("--hold-out", help="A fold to judge on; may be repeated.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", help="A label to do without, and its recordings: to teach it later; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The bundle's folder; RUNS/NAME/bundle unless told.")
    ] = None,
    runs: Runs = Path("runs"),
    threads: Threads = 2,
) -> None:
    """Train a recipe, quantise it and write the bundle; an interrupted run goes on where it was."""
    from auricle_build.grammar.recipes import ClassicRecipe, PretrainedRecipe, StreamingRecipe

    rec = recipe(config)
    if leave_out:
        rec = rec.without(leave_out)
    tensorflow("train")
    root = rec.data.folder(data)
    tag = "".join(f"-without-{fold}" for fold in hold_out or [])
    folder = runs / f"{rec.name}{tag}"
    if isinstance(rec, ClassicRecipe):
        from auricle_build.reports import classic

        if out is not None:
            raise ConfigError(["--out: classic is trained to be judged, not shipped; leave it out"])
        live = Display()
        with live.bars:
            classic.run(
                rec,
                hold_out or [],
                root=root,
                cache=runs / "rows",
                threads=threads,
                say=live.say,
                reading=live.reading,
            )
        return
    live = Display()
    if isinstance(rec, PretrainedRecipe):
        from auricle_build import finetune, ship

        with live.bars:
            trained = finetune.train(
                rec,
                hold_out or [],
                folder,
                root=root,
                cache=runs / "rows",
                threads=threads,
                say=live.say,
                report=live.training,
                reading=live.reading,
            )
            opened = ship.ship(trained, out or folder / "bundle", ship.asides(rec, runs, hold_out or []))
        live.say(f"{opened.path}: {opened.card.name} {opened.hash}, model.tflite {len(opened.whole) / 1000:.0f} KB")
        return
    from auricle_build import build
    from auricle_build.reports import crossval as crossvalidation

    assert isinstance(rec, StreamingRecipe)
    with live.bars:
        made = build.make(
            rec,
            hold_out or [],
            folder,
            root=root,
            cache=runs / "rows",
            threads=threads,
            say=live.say,
            report=live.training,
            reading=live.reading,
        )
        judged = crossvalidation.measured(rec, crossvalidation.folds_of(rec, root), runs)
        heard = crossvalidation.false_alarms(rec, judged, runs)
        stated = {} if hold_out else crossvalidation.stated(judged, heard)
        opened = build.ship(made, out or folder / "bundle", stated=stated)
    live.say(f"{opened.path}: {opened.card.name} {opened.hash}, model.tflite {len(opened.whole) / 1000:.0f} KB")


@app.command()
def crossval(
    config: RecipeFile,
    data: DataFolder = None,
    folds: Annotated[
        list[int] | None, typer.Option("--fold", help="A fold to judge on; every fold unless told.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps for each fold, if not the recipe's.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("docs"),
    thresholds_of: Annotated[
        str | None,
        typer.Option("--thresholds-of", help="A bundle: tell the false alarms at the thresholds it ships with too."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--beside",
            metavar="NAME=BUNDLE",
            help="A yardstick of the same labels that names the clips too; repeatable.",
        ),
    ] = None,
    runs: Runs = Path("runs"),
    threads: Threads = 2,
) -> None:
    """Train and judge fold by fold, and write one report: Markdown with pictures."""
    from auricle_build.grammar.recipes import PretrainedRecipe

    rec = recipe(config)
    tensorflow("crossval")
    from auricle.model import bundle
    from auricle_build.reports import crossval as crossvalidation
    from auricle_build.reports import pretrained, scene_report

    if beside and not isinstance(rec, PretrainedRecipe):
        raise ConfigError([f"--beside: {rec.name} is no pretrained network; leave it out"])
    if isinstance(rec, PretrainedRecipe) and thresholds_of is not None:
        raise ConfigError(["--thresholds-of: here scene-report tells the false alarms; leave it out"])
    live = Display()
    given: dict[str, Any] = {"root": rec.data.folder(data), "runs": runs, "out": out, "threads": threads}
    given |= {"say": live.say, "report": live.training, "reading": live.reading}
    with live.bars:
        if isinstance(rec, PretrainedRecipe):
            page = pretrained.run(rec, folds, steps, **given, beside=scene_report.named(beside or (), "--beside"))
        else:
            shipped = bundle.load(thresholds_of) if thresholds_of else None
            page = crossvalidation.run(rec, folds, steps, **given, shipped=shipped)
    live.say(str(page))


@app.command()
def thresholds(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder; its card is written anew.")],
    judges: Annotated[
        list[Path],
        typer.Option("--judge", help="A bundle of the same recipe, trained without some folds; repeatable."),
    ],
    scenes: Annotated[
        list[Path],
        typer.Option("--scenes", help="What auricle-build scenes --negatives made of these folds, for each judge."),
    ],
    unseen: Annotated[
        list[str] | None,
        typer.Option("--unseen", metavar="PATH", help="Without events, and never seen by BUNDLE itself; repeatable."),
    ] = None,
    judged: Annotated[
        list[Path] | None, typer.Option("--judged", help="RUN/judged.npz of a fold: its clips as they are; repeatable.")
    ] = None,
    per_hour: Annotated[float, typer.Option("--false-alarms-per-hour", help="Of all labels together.")] = 0.1,
    per_label: Annotated[
        float | None, typer.Option("--false-alarms-per-hour-and-label", help="Of each label by itself.")
    ] = None,
    smoothing_ms: Annotated[
        list[float] | None,
        typer.Option("--smoothing-ms", help="A smoothing to try for each label, in place of durations; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="LABEL", help="Write the rules of this label alone; repeatable."),
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to keep scores in.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written.")] = False,
) -> None:
    """Tune thresholds, minimum durations and hystereses that a bundle ships with, measure its lags; write its card."""
    import yaml

    from auricle.model import bundle as bundles
    from auricle_build.judge import thresholds as tuning

    if len(judges) != len(scenes):
        raise ConfigError([f"thresholds: {len(judges)} judges and {len(scenes)} folders of scenes; give one for each"])
    opened = bundles.load(str(bundle))
    if unknown := sorted(set(only or ()) - set(opened.labels)):
        raise ConfigError(
            [f"--only: {opened.card.name} has no label {unknown[0]!r}; it has {', '.join(opened.labels)}"]
        )
    shipped = tuning.choose(
        opened,
        [(bundles.load(str(judge)), folder) for judge, folder in zip(judges, scenes, strict=True)],
        unseen or (),
        judged=judged or (),
        per_hour=per_hour,
        per_label=per_label,
        smoothings_ms=smoothing_ms or (),
        only=only or (),
        cache=cache,
        say=Display().say,
    )
    onset, offset, lags = shipped.lags
    rules = {"thresholds": shipped.thresholds, "min_durations_ms": shipped.min_durations_ms}
    if shipped.hystereses:
        rules["hystereses"] = shipped.hystereses
    if shipped.smoothings_ms:
        rules["smoothings_ms"] = shipped.smoothings_ms
    told = {**rules, "lags": {"all": [onset, offset], **{k: [*v] for k, v in lags.items()}}}
    typer.echo(yaml.safe_dump({**told, "detector": shipped.figures}, sort_keys=False, default_flow_style=None))
    if not dry_run:
        written = tuning.write(opened, shipped, only or ())
        Display().say(f"{written.path}/card.yaml: {written.card.name} is now {written.hash}")


@app.command()
def keys() -> None:
    """Print every key of a recipe as a Markdown table."""
    from auricle_build.grammar.table import table

    typer.echo(table(), nl=False)


app.command("gate-report")(judging.gate_report)
app.command()(judging.scenes)
app.command("scene-report")(judging.scene_report)
app.command()(judging.yamnet)
app.command()(judging.bank)
app.command("teach-report")(judging.teach_report)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"auricle-build {__version__}")
        raise typer.Exit


@app.callback()
def _root_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the program: errors as one line each, exit codes as DESIGN has them."""
    try:
        app()
    except AuricleError as error:
        for line in error.lines():
            print(f"auricle-build: error: {line}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
