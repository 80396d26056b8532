"""`auricle evaluate` says how good the daemon's decisions are on recordings whose truth is known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge.evaluate import evaluate, gather, text, write
from auricle.terminal import options
from auricle.terminal.options import Channel, ConfigFile, Json, ModelName, Negatives, ScoreCache, Truth
from auricle.terminal.progress import bar
from auricle.terminal.text import complain, say


def command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="[RECORDING]...", help="Files, folders, globs.")] = None,
    truth: Truth = None,
    negatives: Negatives = None,
    json: Json = False,
    report: Annotated[Path | None, typer.Option(help="Write Markdown, JSON and curves into this folder.")] = None,
    channel: Channel = "mix",
    cache: ScoreCache = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Evaluate the decisions and print the figures; return the exit code.

    Raises:
        UsageError: nothing can be heard, or a truth file does not hold.
    """
    cfg = options.load(config, model)
    hearer = Hearer(options.model_of(cfg), cfg.decision, cfg.gate, cache=cache, channel=options.channel(channel))
    with bar("hearing", shown=not json) as progress:
        heard, faults = gather(hearer, paths or (), truth, negatives or (), progress)
    for fault in faults:
        complain(f"auricle: skipped: {fault}")
    if not heard:
        raise UsageError("evaluate: none of the recordings can be heard")
    found = evaluate(hearer, heard)
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        for line in text(found):
            say(line)
    if report is not None:
        written = write(found, report)
        print(f"wrote {', '.join(map(str, written))}", file=sys.stderr)
    return EXIT_SKIPPED if faults else 0
