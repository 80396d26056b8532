"""`auricle evaluate`: how good the daemon's decisions are on recordings whose truth is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from auricle import config
from auricle.commands.progress import bar
from auricle.commands.text import complain, say
from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge.evaluate import evaluate, gather, text, write
from auricle.model.bundle import Bundle


def command(
    paths: Sequence[str],
    cfg: config.Config,
    bundle: Bundle,
    *,
    truth_path: Path | None,
    negatives: Sequence[str],
    json: bool,
    report: Path | None,
    cache: Path | None = None,
) -> int:
    """Evaluate and print; the exit code."""
    hearer = Hearer(bundle, cfg.decision, cfg.gate, cache=cache)
    with bar("hearing", shown=not json) as progress:
        heard, faults = gather(hearer, paths, truth_path, negatives, progress)
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
