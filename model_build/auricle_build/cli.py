"""The command line of the model side; each command imports what it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import typer

from auricle import __version__
from auricle.errors import AuricleError, ConfigError

if TYPE_CHECKING:
    from auricle_build.grammar.recipes import Recipe
    from auricle_build.learn.training import Progress

app = typer.Typer(
    name="auricle-build",
    help="Make models for Auricle: train, quantise, judge, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeFile = Annotated[Path, typer.Argument(help="The recipe: a YAML file, or the name of one in the package.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the recordings; the recipe's data.root unless told.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Where checkpoints, logs and cached features are kept.")]
Threads = Annotated[int, typer.Option("--threads", help="Threads to compute with.")]


def _recipe(path: Path) -> Recipe:
    from auricle_build.grammar import read

    return read.load(path)


def _tensorflow(command: str) -> None:
    """Refuse a command that trains or judges networks where TensorFlow is not installed.

    Raises:
        ConfigError: it is not.
    """
    from importlib.util import find_spec

    if find_spec("tensorflow") is None:
        raise ConfigError([f"{command}: TensorFlow is not installed; pip install 'auricle[build]'"])


class _Live:
    """Progress on a terminal as a bar, elsewhere as lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bars = Bars(*columns, console=self.console, disable=not self.console.is_terminal)
        self._reading: Any = None
        self._training: Any = None

    def reading(self, done: int, total: int) -> None:
        if self._reading is None or done == 1:
            self._reading = self.bars.add_task("features", total=total)
        self.bars.update(self._reading, completed=done)

    def training(self, now: Progress) -> None:
        if self._training is None:
            self._training = self.bars.add_task("training", total=now.steps)
        self.bars.update(self._training, completed=now.step)
        if self.console.is_terminal and not now.judged and now.step < now.steps:
            return  # between checks the bar tells enough
        judged = ", ".join(f"{k} {v:.3f}" for k, v in now.judged.items())
        self.say(
            f"step {now.step} of {now.steps}: loss {now.loss:.3f}, accuracy {now.accuracy:.3f}"
            + (f"; kept aside: {judged}" if judged else "")
            + (f"; {now.mistaken} mistaken" if now.mistaken else "")
            + f"; {now.left_s / 60:.0f} min left"
        )

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False)


@app.command()
def train(
    config: RecipeFile,
    data: Data = None,
    hold_out: Annotated[
        list[int] | None, typer.Option("--hold-out", help="A fold to judge on; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The bundle's folder; RUNS/NAME/bundle unless told.")
    ] = None,
    runs: Runs = Path("runs"),
    threads: Threads = 2,
) -> None:
    """Train a recipe, quantise it and write the bundle; an interrupted run goes on where it was."""
    from auricle_build.grammar.recipes import ClassicRecipe, StreamingRecipe

    rec = _recipe(config)
    _tensorflow("train")
    root = rec.data.folder(data)
    if isinstance(rec, ClassicRecipe):
        from auricle_build.reports import classic

        if out is not None:
            raise ConfigError(["--out: classic is trained to be judged, not shipped; leave it out"])
        live = _Live()
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
    from auricle_build import build
    from auricle_build.reports import crossval as crossvalidation

    assert isinstance(rec, StreamingRecipe)
    tag = "".join(f"-without-{fold}" for fold in hold_out or [])
    folder = runs / f"{rec.name}{tag}"
    live = _Live()
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
    data: Data = None,
    folds: Annotated[
        list[int] | None, typer.Option("--fold", help="A fold to judge on; every fold unless told.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps for each fold, if not the recipe's.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("docs"),
    thresholds_of: Annotated[
        str | None,
        typer.Option("--thresholds-of", help="A bundle: tell the false alarms at the thresholds it ships with too."),
    ] = None,
    runs: Runs = Path("runs"),
    threads: Threads = 2,
) -> None:
    """Train and judge fold by fold, and write one report: Markdown with pictures."""
    rec = _recipe(config)
    _tensorflow("crossval")
    from auricle.model import bundle
    from auricle_build.reports import crossval as crossvalidation

    live = _Live()
    with live.bars:
        report = crossvalidation.run(
            rec,
            folds,
            steps,
            root=rec.data.folder(data),
            runs=runs,
            out=out,
            threads=threads,
            say=live.say,
            report=live.training,
            reading=live.reading,
            shipped=bundle.load(thresholds_of) if thresholds_of else None,
        )
    live.say(str(report))


@app.command("gate-report")
def gate_report(
    model: Annotated[str, typer.Argument(help="A model's name or a bundle's folder.")] = "esc10",
    data: Data = None,
    folds: Annotated[list[int] | None, typer.Option("--fold", help="Folds to judge on; 4 unless told.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("docs"),
) -> None:
    """Judge a model in real noise with and without the noise gate, and write the report."""
    from auricle.model import bundle
    from auricle_build.reports import gate_report as gates

    live = _Live()
    with live.bars:
        path = gates.report(bundle.load(model, None), data, folds or [4], out, live.reading)
    live.say(str(path))


@app.command()
def scenes(
    config: RecipeFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the scenes and their truth.")],
    folds: Annotated[
        list[int] | None,
        typer.Option("--fold", help="A fold that the model never saw; may be repeated. data.held_out is always taken."),
    ] = None,
    data: Data = None,
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
    seed: Annotated[int, typer.Option("--seed")] = 1,
) -> None:
    """Make long recordings with exact truth from clips that a model was not trained on."""
    from auricle_build.material import scenes as composing

    rec = _recipe(config)
    plan = composing.Plan(60 * minutes, rec.front_end.sample_rate, snr, every)
    chosen = composing.material(rec, folds or [], rec.data.folder(data))
    composing.write(out, chosen, plan, seed=seed, number=number, negatives=negatives, say=_Live().say)


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
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to keep scores in.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written.")] = False,
) -> None:
    """Tune the thresholds and minimum durations that a bundle ships with, measure its lags; write all into its card."""
    import yaml

    from auricle.model import bundle as bundles
    from auricle_build.judge import thresholds as tuning

    if len(judges) != len(scenes):
        raise ConfigError([f"thresholds: {len(judges)} judges and {len(scenes)} folders of scenes; give one for each"])
    opened = bundles.load(str(bundle))
    shipped = tuning.choose(
        opened,
        [(bundles.load(str(judge)), folder) for judge, folder in zip(judges, scenes, strict=True)],
        unseen or (),
        judged=judged or (),
        per_hour=per_hour,
        cache=cache,
        say=_Live().say,
    )
    onset, offset, lags = shipped.lags
    rules = {"thresholds": shipped.thresholds, "min_durations_ms": shipped.min_durations_ms}
    told = {**rules, "lags": {"all": [onset, offset], **{k: [*v] for k, v in lags.items()}}}
    typer.echo(yaml.safe_dump({**told, "detector": shipped.figures}, sort_keys=False, default_flow_style=None))
    if not dry_run:
        written = tuning.write(opened, shipped)
        _Live().say(f"{written.path}/card.yaml: {written.card.name} is now {written.hash}")


@app.command()
def keys() -> None:
    """Print every key of a recipe as a Markdown table."""
    from auricle_build.grammar.table import table

    typer.echo(table(), nl=False)


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
    """The entry point: errors as one line each, exit codes as DESIGN has them."""
    try:
        app()
    except AuricleError as error:
        for line in error.lines():
            print(f"auricle-build: error: {line}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
