"""A fork server reads each case of mutated input in a child of its own, which it watches and judges.

    python -m helpers.fuzz.server FIRST COUNT [KIND]    judge these cases, faults as JSON lines, then what there was

A case is well if it ends in a result or in an error of ours, one line each, within `CPU_S` of the processor and
`MOST_BYTES` above what the program had before, without a traceback, a warning, or a word of anybody's on standard
output or error.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from auricle.config import printable
from auricle.errors import AuricleError
from helpers.fuzz.kind import Kind
from helpers.fuzz.kinds import KINDS, ORDER

CPU_S = 5
WALL_S = 60.0
"""A child may take so long by the clock, on a machine that others use too; what waits for ever is found all the
same."""
MOST_BYTES = 300 * 2**20
LONGEST_LINE = 2000
SEED = 19


@dataclass
class Verdict:
    """Says what became of a case; ``fault`` is empty where it is well."""

    n: int
    kind: str
    end: str = ""
    said: str = ""
    fault: str = ""
    cpu_s: float = 0.0
    peak_mb: float = 0.0


@dataclass
class Summary:
    """Counts how the cases ended, and holds the slowest and the largest of them."""

    cases: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    faults: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)
    slowest: dict[str, Any] = field(default_factory=dict)
    largest: dict[str, Any] = field(default_factory=dict)


class Server:
    """Judges cases, as a context.

    Args:
        kinds: what there is to read, by name.
        order: the kinds of the cases in turn.
    """

    def __init__(self, kinds: Mapping[str, Kind] = KINDS, order: Sequence[str] = ORDER) -> None:
        self._kinds = kinds
        self._order = order
        shared = Path("/dev/shm")
        self._place = tempfile.TemporaryDirectory(prefix="auricle-fuzz-", dir=shared if shared.is_dir() else None)
        self._seeds: dict[str, Any] = {}

    def __enter__(self) -> Server:
        for name in dict.fromkeys(self._order):
            folder = Path(self._place.name) / name
            folder.mkdir()
            self._seeds[name] = self._kinds[name].seeds(folder)
        gc.collect()
        gc.freeze()  # what the children share stays shared
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    def judge(self, n: int) -> Verdict:
        """Read one case in a child, and return what became of it."""
        name = self._order[n % len(self._order)]
        kind = self._kinds[name]
        folder = Path(self._place.name) / "case"
        folder.mkdir()
        report, write = os.pipe()
        loose = os.memfd_create("loose")
        child = os.fork()
        if child == 0:
            os.close(report)
            _child(kind, random.Random(f"{SEED}/{name}/{n}"), folder, self._seeds[name], write, loose)
        os.close(write)
        verdict = Verdict(n, name)
        hung = not _ended(child, WALL_S)
        if hung:
            os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        with os.fdopen(report, "rb") as pipe:
            told = pipe.read()
        verdict.cpu_s = round(usage.ru_utime + usage.ru_stime, 3)
        verdict.peak_mb = round(max(0, usage.ru_maxrss - _resident_kb()) / 1024, 1)
        if hung:
            verdict.fault = f"not done within {WALL_S:g} s"
        elif os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            how = f"not done within {CPU_S} s of the processor" if number == signal.SIGXCPU else f"signal {number}"
            if kind.may_die:
                verdict.end, verdict.said = "died", how
            else:
                verdict.fault = how
        else:
            for key, value in json.loads(told).items():
                setattr(verdict, key, value)
        os.lseek(loose, 0, os.SEEK_SET)
        if not verdict.fault and not kind.may_die and (words := os.read(loose, 500)):
            verdict.fault = f"written past us: {words.decode(errors='replace')!r}"
        os.close(loose)
        shutil.rmtree(folder)
        return verdict

    def run(self, cases: Sequence[int]) -> Iterator[Verdict | Summary]:
        """Yield the verdicts of the cases that are not well, and at last a summary of all."""
        summary, ends, cpu_s = Summary(), Counter[str](), Counter[str]()
        slowest = largest = Verdict(-1, "none")
        for n in cases:
            verdict = self.judge(n)
            summary.cases += 1
            ends[f"{verdict.kind}: {'fault' if verdict.fault else verdict.end}"] += 1
            cpu_s[verdict.kind] += verdict.cpu_s  # type: ignore[assignment]
            slowest = max(slowest, verdict, key=lambda each: each.cpu_s)
            largest = max(largest, verdict, key=lambda each: each.peak_mb)
            if verdict.fault:
                summary.faults += 1
                yield verdict
        summary.cpu_s = {kind: round(spent_s, 1) for kind, spent_s in cpu_s.items()}
        summary.ends = dict(sorted(ends.items()))
        summary.slowest, summary.largest = asdict(slowest), asdict(largest)
        yield summary


def _child(kind: Kind, chance: random.Random, folder: Path, seeds: Any, report: int, loose: int) -> None:
    """Read the case, say how it ended, and end."""
    found: dict[str, str] = {"end": "", "said": "", "fault": ""}
    told: list[logging.LogRecord] = []
    warned: list[str] = []
    try:
        os.dup2(loose, 1)
        os.dup2(loose, 2)
        os.chdir(folder)
        _bound()
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_, **__: warned.append(f"{category.__name__}: {message}")
        log = logging.getLogger("auricle")
        log.handlers[:] = [_Kept(told)]
        log.propagate = False
        try:
            found["end"], found["said"] = "result", kind.read(chance, folder, seeds)
        except AuricleError as e:
            lines = [printable(line) for line in e.lines()]
            found["end"], found["said"] = "line", lines[0] if lines else ""
            if not lines or max(map(len, lines)) > LONGEST_LINE or not min(map(len, lines)):
                found["fault"] = f"no line, or one of {max(map(len, lines), default=0)} characters"
            elif odd := [line for line in e.lines() if "\n" in line]:
                found["fault"] = f"more than a line: {odd[0]!r}"
        for record in told:
            if record.exc_info or "\n" in record.getMessage():
                found["fault"] = found["fault"] or f"logged: {logging.Formatter().format(record)}"
        if warned:
            found["fault"] = found["fault"] or f"warned: {warned[0]}"
    except BaseException:
        found["fault"] = traceback.format_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[1],) * 2)
        found = {key: value[-1500:] for key, value in found.items()}
        os.write(report, json.dumps(found).encode())
    finally:
        os._exit(0)


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, told: list[logging.LogRecord]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record)


def _bound() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_BYTES, hard))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _ended(child: int, limit_s: float) -> bool:
    """Return whether the child ends within so long; it is not buried yet."""
    handle = os.pidfd_open(child)
    try:
        return bool(select.select([handle], [], [], limit_s)[0])
    finally:
        os.close(handle)


def _resident_kb() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def main(first: int, count: int, *only: str) -> int:
    """Judge cases, of one kind or of all; return 1 if one was not well."""
    began_s = time.monotonic()
    summary = Summary()
    with Server(order=only or ORDER) as server:
        for found in server.run(range(first, first + count)):
            print(json.dumps(asdict(found)), flush=True)
            if isinstance(found, Summary):
                summary = found
    print(f"{summary.cases} cases in {time.monotonic() - began_s:.0f} s, {summary.faults} not well", file=sys.stderr)
    return 1 if summary.faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
