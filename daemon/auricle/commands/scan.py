"""`auricle scan` hears recordings in bulk, with several processes, and goes on where it was interrupted."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auricle import __version__, config
from auricle.capture.folders import find, shown
from auricle.errors import EXIT_SKIPPED, OutputError, UsageError
from auricle.model.bundle import Bundle
from auricle.scan.ledger import Ledger, Result
from auricle.scan.workers import Settings, Workers
from auricle.tables.formats import FORMATS
from auricle.tables.output import Tables
from auricle.terminal import options
from auricle.terminal.options import Channel, ConfigFile, Local, ModelName, Paths
from auricle.terminal.progress import bars
from auricle.terminal.text import complain, duration

MOST_JOBS = 1024


def command(
    paths: Paths,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A folder for ledger and tables; the same to go on.")
    ],
    form: Annotated[str, typer.Option("--format", help="Of the tables: csv, raven, parquet, or several.")] = "csv",
    jobs: Annotated[int | None, typer.Option("--jobs", help="Processes; one a core unless told.")] = None,
    channel: Channel = "mix",
    local: Local = False,
    config_file: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Hear all recordings that are not in the ledger yet, and write the tables; return the exit code.

    Raises:
        UsageError: an option's value cannot be, or the folder is another scan's.
        OutputError: ledger or tables cannot be written.
    """
    forms = _forms(form)
    jobs = len(os.sched_getaffinity(0)) if jobs is None else jobs
    if not 0 < jobs <= MOST_JOBS:
        raise UsageError(f"--jobs: {jobs}; use 1 to {MOST_JOBS}")
    cfg = options.load(config_file, model)
    bundle = options.model_of(cfg)
    settings = Settings(cfg, options.channel(channel), local)
    files, faults = find(paths)
    for fault in faults:
        complain(f"auricle: skipped: {fault}")
    ledger = Ledger(out / "ledger.jsonl", _digest(settings, bundle))
    try:
        _hear(files, ledger, settings, jobs)
        found = ledger.results(files)
        for each in forms:
            _tables(found, out / f"events{FORMATS[each][0]}", each, bundle)
        _accounts(found, out / "files.csv")
    finally:
        ledger.close()
    states = Counter(result.state for result in found)
    events = Counter(row.label for result in found for row in result.rows)
    named = ", ".join(f"{n} {label}" for label, n in sorted(events.items())) or "no event"
    heard = duration(sum(result.seconds for result in found))
    print(f"{heard} in {len(found)} files, {states['cut']} cut short, {states['refused']} refused: {named} -> {out}")
    return EXIT_SKIPPED if faults or len(found) != states["heard"] else 0


def _forms(given: str) -> list[str]:
    forms = list(dict.fromkeys(given.split(",")))
    for form in forms:
        if form not in FORMATS or form == "audacity":
            raise UsageError(f"--format: {form!r} is no form for several recordings; use csv, raven, parquet")
    return forms


def _digest(settings: Settings, bundle: Bundle) -> str:
    """Return a digest of all that results depend on besides the files."""
    cfg: config.Config = settings.cfg
    zone = time.tzname if settings.local else ()
    words = (__version__, bundle.hash, cfg.decision, cfg.gate, settings.channel, settings.local, zone)
    return hashlib.sha256(repr(words).encode()).hexdigest()


def _hear(files: Sequence[str], ledger: Ledger, settings: Settings, jobs: int) -> None:
    left = [file for file in dict.fromkeys(files) if ledger.result(file) is None]
    began_s, heard_s = time.monotonic(), 0.0
    workers = Workers(settings, min(jobs, max(1, len(left))))
    with bars(counted=True) as drawn:
        task = drawn.add_task("scan", total=len(files), completed=len(files) - len(left))
        try:
            for result in workers.hear(left):
                ledger.add(result)
                heard_s += result.seconds
                speed = heard_s / max(1e-3, time.monotonic() - began_s)
                drawn.update(task, advance=1, description=f"{heard_s / 3600:.1f} h, {speed:.0f} x real time")
                for line in (result.reason, *result.notes):
                    if line:
                        complain(f"auricle: {line}")
        finally:
            workers.close()


def _tables(found: Sequence[Result], path: Path, form: str, bundle: Bundle) -> None:
    table = Tables(form, bundle.card.front_end.sample_rate / 2, path, len(found), bundle.card.display)
    for result in found:
        for row in result.rows:
            table.add("", row)
        table.heard("", result.seconds)
    table.close()


def _accounts(found: Sequence[Result], path: Path) -> None:
    """Write what came of every file, in order: heard, cut or refused, why, how long, and its hash."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "state", "seconds", "events", "sha256", "reason", "notes"))
            for each in found:
                name = shown(os.fsdecode(each.path))
                writer.writerow(
                    (name, each.state, each.seconds, len(each.rows), each.sha256, each.reason, "; ".join(each.notes))
                )
    except OSError as e:
        raise OutputError(f"{path}: {e.strerror or e}; free some space, and give the same command again") from None
