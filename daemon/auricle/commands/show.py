"""`auricle show` draws a recording as people want to see it first: the sound, what the model makes of it, the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.errors import EXIT_SKIPPED, OutputError, UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge import page, plots, truth
from auricle.judge.portrait import PICTURE, portray
from auricle.terminal import options
from auricle.terminal.options import Channel, ConfigFile, Local, ModelName, Truth
from auricle.terminal.text import complain, say


def command(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A recording.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A picture: .png, .svg or .pdf.")] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="A page to look through hours: it zooms, and needs no net."),
    ] = None,
    truth_file: Truth = None,
    channel: Channel = "mix",
    local: Local = False,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Draw a recording into a picture, or a page, or both; return the exit code.

    Raises:
        UsageError: nothing to draw, matplotlib is missing, or the picture's name says no form.
        AudioError: the recording cannot be read.
        ConfigError: the truth file does not hold.
        OutputError: the picture or page cannot be written.
    """
    if out is None and html is None:
        raise UsageError("show: nothing to draw; use --out FILE.png, or --html FILE.html")
    if out is not None and not plots.available():
        raise UsageError(f"show: {plots.MISSING}")
    if out is not None and out.suffix.lower() not in FORMS:
        raise UsageError(f"--out: {out.name} has no form of a picture; use {', '.join(FORMS)}, or --html")
    cfg, listened = options.load(config, model), options.channel(channel)
    hearer = Hearer(options.model_of(cfg), cfg.decision, cfg.gate, channel=listened)
    known = None if truth_file is None else truth.read(truth.find(truth_file, [path])[path], path)
    for target, detail, draw in ((out, PICTURE, plots.portrait), (html, page.PAGE, page.write)):
        if target is None:
            continue
        found = portray(path, hearer, known, detail, channel=listened, local=local)
        try:
            draw(found, target)
        except OSError as e:
            raise OutputError(f"{target}: {e.strerror or e}") from None
        say(f"{found.name}: {found.duration_s:.2f} s, {len(found.events)} events -> {target}")
    if found.note:
        complain(f"auricle: {found.note}")
        return EXIT_SKIPPED
    return 0


FORMS = (".png", ".svg", ".pdf")
"""The endings of pictures that are drawn."""
