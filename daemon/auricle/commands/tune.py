"""`auricle tune` writes a fragment of the configuration whose rules keep a budget of false alarms."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from auricle.config import no_label
from auricle.config.layers import SYSTEM_FILE
from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge import plots
from auricle.judge.evaluate import gather
from auricle.judge.tune import curve, fragment, narrow, remarks, tune
from auricle.terminal import options
from auricle.terminal.options import Channel, ConfigFile, Json, ModelName, Negatives, ScoreCache, Truth
from auricle.terminal.progress import bar
from auricle.terminal.text import complain

FRAGMENT = Path("conf.d") / "50-tuned.yaml"


def fragment_beside(config_file: Path | None) -> Path:
    """Return the path of the fragment that a tuning writes; a later tuning leaves it out, so that none builds on
    another."""
    return (config_file or SYSTEM_FILE).parent / FRAGMENT


def where(config_file: Path | None) -> Path:
    """Return the fragment's path beside the configuration in use.

    Raises:
        UsageError: there is no configuration in use.
    """
    if config_file is None and not SYSTEM_FILE.exists():
        raise UsageError(f"tune: no configuration in use to write {FRAGMENT} beside; give --config, or --dry-run")
    return fragment_beside(config_file)


def budgets(given: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Read the budgets of single labels, such as ``dog_bark=0.1``.

    Raises:
        UsageError: one is not of this form, or the model has no such label.
    """
    found = {}
    for text in given:
        label, _, rate = text.partition("=")
        try:
            found[label] = float(rate)
        except ValueError:
            found[label] = -1.0
        if not 0 <= found[label] < math.inf:
            raise UsageError(f"--label: {text!r} is no budget; use one such as dog_bark=0.1, false alarms an hour")
        if label not in labels:
            raise UsageError(f"--label: {no_label(label, labels)}")
    return found


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECORDING]...", help="Your own; without --truth: nothing is in them."),
    ] = None,
    per_hour: Annotated[float, typer.Option("--false-alarms-per-hour", help="The budget, all labels together.")] = 0.5,
    own: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL=RATE", help="A tighter budget for a label; may be repeated."),
    ] = None,
    truth: Truth = None,
    negatives: Negatives = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print conf.d/50-tuned.yaml instead of writing it.")
    ] = False,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this picture.")] = None,
    channel: Channel = "mix",
    cache: ScoreCache = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Tune the rules and write them as a fragment of the configuration; return the exit code.

    Raises:
        UsageError, ConfigError: what is asked for cannot be.
    """
    cfg = options.load(config, model, without=fragment_beside(config))  # no tuning builds on an earlier one
    bundle = options.model_of(cfg)
    if not 0 <= per_hour < math.inf:
        raise UsageError(f"--false-alarms-per-hour: {per_hour:g} is no budget; use a number such as 0.5")
    if plot is not None and not plots.available():
        raise UsageError(f"--plot: {plots.MISSING}")
    target = FRAGMENT if dry_run and config is None else where(config)
    hearer = Hearer(bundle, cfg.decision, cfg.gate, cache=cache, channel=options.channel(channel))
    limits = budgets(own or (), hearer.labels)
    # Recordings without truth are taken as what they are most often: evenings with nothing in them.
    recordings = paths or ()
    quiet = [*(negatives or ()), *(recordings if truth is None else ())]
    with bar("hearing", shown=not json) as progress:
        heard, faults = gather(hearer, recordings if truth is not None else (), truth, quiet, progress)
    for fault in faults:
        complain(f"auricle: skipped: {fault}")
    if not any(len(item.hearing.scores) for item in heard):
        raise UsageError("tune: none of the recordings can be heard, or all are shorter than the model's window")
    if left := narrow(hearer, heard):
        complain(f"auricle: {left} labels stay as they are: they have no true event, nor a score above their rule")
    if not hearer.rules:
        raise UsageError("tune: no label has a true event or a score above its rule; there is nothing to tune")
    with bar("tuning", shown=not json) as progress:
        tuned, tried = tune(hearer, heard, per_hour, limits, progress)
    text = fragment(tuned, len(heard))
    if json:
        print(msgspec.json.encode(tuned).decode())
    elif dry_run:
        print(text.rstrip("\n"))
    else:
        for line in remarks(tuned):
            print(line)
    if plot is not None:
        lasting = {label: round(found.min_duration_ms * hearer.rate / 1000) for label, found in tuned.labels.items()}
        plots.tuning(
            {label: curve(options, lasting[label], tuned.hours) for label, options in tried.items()},
            {label: (hearer.rules[label].threshold, found.threshold) for label, found in tuned.labels.items()},
            plot,
        )
    if not dry_run:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target}", file=sys.stderr)
    return EXIT_SKIPPED if faults else 0
