"""`auricle show` draws a recording as people want to see it first: the sound, what the model makes of it, the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.errors import EXIT_SKIPPED, OutputError, UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge import plots, truth
from auricle.judge.portrait import portray
from auricle.terminal import options
from auricle.terminal.options import ConfigFile, ModelName, Truth
from auricle.terminal.text import complain


def command(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A recording.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The picture: .png, .svg or .pdf.")],
    truth_file: Truth = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Draw a recording into a picture; return the exit code.

    Raises:
        UsageError: matplotlib is missing, or the picture's name says no form.
        AudioError: the recording cannot be read.
        ConfigError: the truth file does not hold.
        OutputError: the picture cannot be written.
    """
    if not plots.available():
        raise UsageError(f"show: {plots.MISSING}")
    if out.suffix.lower() not in FORMS:
        raise UsageError(f"--out: {out.name} has no form of a picture; use {', '.join(FORMS)}")
    cfg = options.load(config, model)
    hearer = Hearer(options.model_of(cfg), cfg.decision, cfg.gate)
    known = None if truth_file is None else truth.read(truth.find(truth_file, [path])[path], path)
    found = portray(path, hearer, known)
    try:
        plots.portrait(found, out)
    except OSError as e:
        raise OutputError(f"{out}: {e.strerror or e}") from None
    print(f"{found.name}: {found.duration_s:.2f} s, {len(found.events)} events -> {out}")
    if found.note:
        complain(f"auricle: {found.note}")
        return EXIT_SKIPPED
    return 0


FORMS = (".png", ".svg", ".pdf")
"""The endings of pictures that are drawn."""
