"""`auricle scan` hears recordings in bulk, with several processes, and goes on where it was interrupted."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Protocol

import typer

from auricle import __version__, config
from auricle.capture.folders import find, shown
from auricle.errors import EXIT_SKIPPED, OutputError, UsageError
from auricle.model.bundle import Bundle
from auricle.scan.finisher import Account, Finisher
from auricle.scan.ledger import Ledger
from auricle.scan.listener import stages_of
from auricle.scan.streams import Cutter, plan
from auricle.scan.survey import Survey
from auricle.scan.work import Finding, Lost, Result, Settings, Unit
from auricle.scan.workers import Workers
from auricle.tables.formats import FORMATS
from auricle.tables.output import Tables
from auricle.terminal import options
from auricle.terminal.options import Channel, ConfigFile, Local, ModelName, Paths
from auricle.terminal.pace import Pace
from auricle.terminal.text import complain, duration

MOST_JOBS = 1024


class _Crew(Protocol):
    """Hears units of work, wherever that is."""

    def hear(self, settings: Settings, units: Iterable[Unit]) -> Iterator[tuple[Unit, Result | Lost]]:
        """Yield what came of every unit."""

    def close(self) -> None:
        """Let go of whoever hears."""


def command(
    paths: Paths,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A folder for ledger and tables; the same to go on.")
    ],
    form: Annotated[str, typer.Option("--format", help="Of the tables: csv, raven, parquet, or several.")] = "csv",
    jobs: Annotated[int | None, typer.Option("--jobs", help="Processes; one a core unless told.")] = None,
    dask: Annotated[
        str | None, typer.Option("--dask", metavar="ADDRESS", help="A Dask scheduler whose workers hear instead.")
    ] = None,
    channel: Channel = "mix",
    local: Local = False,
    config_file: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Hear all recordings that are not in the ledger yet, and write the tables; return the exit code.

    Raises:
        UsageError: an option's value cannot be, or the folder is another scan's.
        ClusterError: the cluster is gone.
        OutputError: ledger or tables cannot be written.
    """
    forms = _forms(form)
    if dask is not None and jobs is not None:
        raise UsageError("--jobs and --dask: processes here, or a cluster's; leave one of the two out")
    jobs = len(os.sched_getaffinity(0)) if jobs is None else jobs
    if not 0 < jobs <= MOST_JOBS:
        raise UsageError(f"--jobs: {jobs}; use 1 to {MOST_JOBS}")
    cfg = options.load(config_file, model)
    with ExitStack() as stack:
        crew: _Crew = Workers(jobs) if dask is None else _cluster(dask)
        stack.callback(crew.close)
        bundle = options.model_of(cfg)
        folder = "" if dask is None else os.getcwd()
        settings = Settings(cfg, options.channel(channel), local, folder, bundle.hash)
        files, faults = find(paths)
        files = list(dict.fromkeys(files))
        for fault in faults:
            complain(f"auricle: skipped: {fault}")
        ledger = Ledger(out / "ledger.jsonl", _digest(settings, bundle))
        stack.callback(ledger.close)
        stages, _ = stages_of(settings, bundle)
        cutter = Cutter(stages, bundle.card.front_end.sample_rate)
        survey = Survey(ledger, settings.channel, local, lambda line: complain(f"auricle: {line}"))
        while _hear(files, ledger, survey, cutter, crew, settings):
            pass  # something was found of recordings that changes what is to be heard
        accounts = Finisher(cfg, bundle, stages).accounts(plan(files, survey, cutter), ledger)
        seen = _write(accounts, out, forms, bundle)
    print(f"{seen.line()} -> {shown(str(out))}")
    return EXIT_SKIPPED if faults or seen.states["cut"] or seen.states["refused"] else 0


def _cluster(address: str) -> _Crew:
    from auricle.scan.cluster import Cluster  # Dask is an extra

    return Cluster(address)


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


def _hear(
    files: Sequence[str], ledger: Ledger, survey: Survey, cutter: Cutter, crew: _Crew, settings: Settings
) -> bool:
    """Have everything heard that is not in the ledger; return whether recordings must be looked at again."""
    anew = False
    with Pace("scan", files) as pace:

        def missing() -> Iterator[Unit]:
            for _, unit in plan(files, survey, cutter):
                if unit is not None and unit.key in ledger:
                    pace.passed(unit.bytes, len(unit.ends))
                elif unit is not None:
                    yield unit

        for unit, result in crew.hear(settings, missing()):
            if isinstance(result, Lost):
                anew = True
                _lose(unit, result, ledger, survey)
                continue
            ledger.add(result)
            if isinstance(result, Finding):
                anew = True
                survey.forget(os.fsdecode(result.path))
                continue
            for told in result.told:
                for line in (told.reason, *told.notes):
                    if line:
                        complain(f"auricle: {line}")
            heard_s = sum(run.samples for run in result.runs) / cutter.rate
            pace.heard(unit.bytes, len(unit.ends), heard_s)
    return anew


def _lose(unit: Unit, lost: Lost, ledger: Ledger, survey: Survey) -> None:
    """Refuse a recording over which workers end; of several hear each by itself, to find out which one it is."""
    first = unit.parts[0]
    if len(unit.parts) > 1:
        for part in unit.parts:
            survey.suspect(os.fsdecode(part.path))
        return
    path = os.fsdecode(first.path)
    ledger.add(Finding(first.path, first.stamp, -1, f"{shown(path)}: {lost.reason}"))
    survey.forget(path)


class _Seen:
    """Counts what all recordings come to."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._seconds = 0.0

    def add(self, account: Account) -> None:
        """Count a recording."""
        self.states[account.state] += 1
        self._events.update(row.label for row in account.rows)
        self._seconds += account.seconds

    def line(self) -> str:
        """Return a line for a person."""
        named = ", ".join(f"{n} {label}" for label, n in sorted(self._events.items())) or "no event"
        cut, refused = self.states["cut"], self.states["refused"]
        files = self.states.total()
        return f"{duration(self._seconds)} in {files} files, {cut} cut short, {refused} refused: {named}"


def _write(accounts: Iterable[Account], out: Path, forms: Sequence[str], bundle: Bundle) -> _Seen:
    """Write the tables, and what came of every file: each has its name once it is whole."""
    seen = _Seen()
    names = {out / f"new-events{FORMATS[form][0]}": out / f"events{FORMATS[form][0]}" for form in forms}
    half = bundle.card.front_end.sample_rate / 2
    made = [Tables(form, half, path, 2, bundle.card.display) for form, path in zip(forms, names, strict=True)]
    path = out / "new-files.csv"
    names[path] = out / "files.csv"
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "state", "seconds", "events", "sha256", "reason", "notes"))
            for each in accounts:
                seen.add(each)
                name, notes = shown(each.path), "; ".join(each.notes)
                writer.writerow((name, each.state, each.seconds, len(each.rows), each.sha256, each.reason, notes))
                for table in made:
                    for row in each.rows:
                        table.add("", row)
                    table.heard("", each.seconds)
        for table in made:
            table.close()
        for new, whole in names.items():
            new.replace(whole)
    except OSError as e:
        raise OutputError(f"{out}: {e.strerror or e}; free some space, and give the same command again") from None
    return seen
