"""What `auricle scan` promises, measured: speed by processes, start, memory, the ledger's share, twenty kills.

    python tests/bench/bench_scan.py --folder /tmp/scanned                    # as promised, all of it: hours
    python tests/bench/bench_scan.py --folder /tmp/scanned --pairs 1 apart stream     # one pair more of each
    python tests/bench/bench_scan.py --folder /tmp/scanned told               # what there is so far
    python tests/bench/bench_scan.py --folder /tmp/short --hours 0.5 --files 25 --small 300 --pairs 1 --kills 3

Every measurement is a line of measured.jsonl in the folder, so that they may be collected over days; what is printed,
as Markdown, are the medians of all lines of such material. Material is made once and kept: 48 kHz FLAC, as files that
have no time and are heard one by one (`apart`), and the same sound as one recorder's, whose files follow each other
(`stream`); one file of ten hours (`long`); many of a second (`small`). Wants a quiet machine of two cores or more: what
others took of it meanwhile is told, in cores. As root, `nice -n -15` before it keeps most of them away.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from auricle import start  # before anything that computes: it has each process compute with one thread
from auricle.commands import scan
from auricle.scan.ledger import Ledger
from auricle.scan.work import Unit, hash_of

RATE = 48_000
LONG_H = 10.0
SOUNDS = 50
"""Files that are made; the others are copies of them, since it takes longer to make sound than to hear it."""
TABLES = ("events.csv", "files.csv")
RULES = "model: {model}\ndecision: {{threshold: 0.12, hysteresis: 0.05, min_duration_ms: 100}}\n"
ALL = ("apart", "stream", "long", "small", "kills")


def make(folder: Path, hours: float, files: int, small: int) -> None:
    """Write the recordings that are not there yet."""
    for name in ("apart", "stream", "small"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    length = round(hours * 3600 / files)
    for number in range(files):
        at = number * length
        name = f"R_2024{1 + at // 2_419_200:02d}{1 + at // 86_400 % 28:02d}_"
        name += f"{at // 3600 % 24:02d}{at // 60 % 60:02d}{at % 60:02d}.flac"
        paths = folder / "apart" / f"{number:05d}.flac", folder / "stream" / name
        if paths[1].exists():
            continue
        if number < SOUNDS:
            soundfile.write(paths[0], noise(length, number), RATE, subtype="PCM_16")
        else:
            shutil.copyfile(folder / "apart" / f"{number % SOUNDS:05d}.flac", paths[0])
        os.link(paths[0], paths[1])
    for number in range(small):
        if not (path := folder / "small" / f"{number:05d}.flac").exists():
            sound = 0.1 * np.random.default_rng(number).standard_normal(16_000)
            soundfile.write(path, sound, 16_000, subtype="PCM_16")


def make_long(folder: Path, hours: float) -> None:
    """Write one long recording, if it is not there yet."""
    path, new = folder / "long" / "R_20240101_000000.flac", folder / "long.new"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        minutes = [noise(60, number) for number in range(10)]
        with soundfile.SoundFile(new, "w", RATE, 1, "PCM_16", format="FLAC") as file:
            for number in range(round(hours * 60)):
                file.write(minutes[number % len(minutes)])
        new.rename(path)


def noise(length: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds of noise whose level changes, and of a tone now and then."""
    rng = np.random.default_rng(seed)
    t = np.arange(length * RATE) / RATE
    level = np.interp(t, np.linspace(0, length, 9), 10.0 ** rng.uniform(-3, -1, 9))
    sound = level * rng.standard_normal(len(t)) + 0.1 * np.sin(t * rng.uniform(800, 9_000)) * (t % 3 < 1)
    return np.clip(sound, -1, 1)


def command(folder: Path, name: str, out: Path, jobs: int, form: str = "csv") -> list[str]:
    """The command line of a scan."""
    words = ("scan", folder / name, "--out", out, "--jobs", jobs, "--format", form, "--config", folder / "auricle.yaml")
    return [sys.executable, "-m", "auricle", *map(str, words)]


def replay(folder: Path, name: str) -> list[str]:
    """The command line of a replay of the same files, all of it in one process."""
    words = ("replay", "--speed", "max", "--no-publish", folder / name, "--config", folder / "auricle.yaml")
    return [sys.executable, "-m", "auricle", *map(str, words)]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def machine_s() -> float:
    """Seconds of its cores that the machine has been busy."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


class Watched:
    """A program that has run, and what was seen of it.

    Attributes:
        took_s: all of it; `first_s`: until its first result was in the ledger.
        cpu_s: computing time of all its processes; `others`: cores that were busy with something else.
        worker_mb, arrow: the most memory of a worker, and whether one had loaded pyarrow.
    """

    def __init__(self, words: list[str], out: Path) -> None:
        shutil.rmtree(out, ignore_errors=True)
        self.first_s, self.worker_mb, self.arrow = 0.0, 0.0, False
        began_s, busy_s, before = time.monotonic(), machine_s(), os.times()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ledger = out / "ledger.jsonl"
        while process.poll() is None:
            if not self.first_s and ledger.exists() and ledger.read_bytes().count(b"\n") > 1:
                self.first_s = time.monotonic() - began_s
            if self.first_s:
                self._look(process.pid)
            time.sleep(0.5 if self.first_s else 0.01)
        self.took_s = time.monotonic() - began_s
        now = os.times()
        self.cpu_s = now.children_user + now.children_system - before.children_user - before.children_system
        self.others = (machine_s() - busy_s - self.cpu_s) / self.took_s
        assert process.returncode == 0, f"{' '.join(words)}: {process.returncode}"

    def _look(self, pid: int) -> None:
        for child in children(pid):
            try:
                status = Path(f"/proc/{child}/status").read_text()
                self.arrow |= "libarrow" in Path(f"/proc/{child}/maps").read_text()
            except OSError:
                continue
            if "VmHWM" in status:
                self.worker_mb = max(self.worker_mb, int(status.split("VmHWM:")[1].split()[0]) / 1024)

    def said(self) -> dict[str, float]:
        """What was seen, as figures."""
        figures = {"s": self.took_s, "cpu_s": self.cpu_s, "first_s": self.first_s}
        figures |= {"worker_mb": self.worker_mb, "arrow": self.arrow, "others": self.others}
        return {name: round(figure, 3) for name, figure in figures.items()}


def pair(folder: Path, name: str, turn: int) -> dict[str, Any]:
    """Run one process, two, and `replay` on the same files, each time another first."""
    out = folder / "out"
    runs = {"one": command(folder, name, out, 1), "two": command(folder, name, out, 2), "replay": replay(folder, name)}
    order = [*runs, *runs][turn % 3 :][:3]
    return {each: Watched(runs[each], out).said() for each in order}


def long(folder: Path) -> dict[str, Any]:
    """Hear one long recording, and write what no worker shall have loaded for it."""
    return Watched(command(folder, "long", folder / "out", 2, "csv,parquet"), folder / "out").said()


class Spent:
    """Computing time of this process that goes into some functions, those within others once."""

    def __init__(self) -> None:
        self.s = 0.0
        self._within = False

    def on(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, counted."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._within:
                return function(*args, **kwargs)
            self._within, began_s = True, time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.s += time.process_time() - began_s
                self._within = False

        return counted


def small(folder: Path) -> dict[str, Any]:
    """Hear small files here, and count what their ledger takes: keys, lines written and read, hashes of the files."""
    out, spent = folder / "out", Spent()
    shutil.rmtree(out, ignore_errors=True)
    for name in ("__init__", "__contains__", "heard", "finding", "add", "close"):
        setattr(Ledger, name, spent.on(getattr(Ledger, name)))
    setattr(Unit, "key", property(spent.on(Unit.key.fget)))  # type: ignore[attr-defined]  # noqa: B010
    told = dict[str, Any]()
    for run in ("first", "again"):
        spent.s, before, began_s = 0.0, os.times(), time.monotonic()
        code = scan.command([str(folder / "small")], out, jobs=2, config_file=folder / "auricle.yaml")
        assert code == 0, code
        now, took_s = os.times(), time.monotonic() - began_s
        own = now.user + now.system - before.user - before.system
        workers = now.children_user + now.children_system - before.children_user - before.children_system
        told[run] = {"s": took_s, "own_cpu_s": own, "cpu_s": own + workers, "ledger_s": spent.s}
    began_s = time.process_time()
    for path in (folder / "small").iterdir():
        hash_of(str(path))
    told["hashes_s"] = time.process_time() - began_s
    return told


def kills(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Kill workers and scans at random, and compare what comes out in the end."""
    out, chance = folder / "out", random.Random(seed)
    seen = Watched(command(folder, "stream", out, 2), out)
    wanted = [(out / table).read_bytes() for table in TABLES]
    shutil.rmtree(out)
    process = None
    for _ in range(count):
        if process is None or process.poll() is not None:
            process = subprocess.Popen(
                command(folder, "stream", out, chance.choice((1, 2, 3))), stdout=subprocess.DEVNULL
            )
        time.sleep(chance.uniform(0.2, max(1.0, 2 * seen.took_s / count)))
        victims = [process.pid, *children(process.pid)]
        try:
            os.kill(chance.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert process is not None
    process.wait()
    subprocess.run(command(folder, "stream", out, 2), stdout=subprocess.DEVNULL, check=False)
    return {"kills": count, "seed": seed, "same": [(out / table).read_bytes() for table in TABLES] == wanted}


def table(lines: Iterable[dict[str, Any]]) -> Iterable[str]:
    """What was measured so far, by its medians, beside the aims."""
    by_what: dict[str, list[Any]] = {what: [] for what in ALL}
    for line in lines:
        by_what[line["what"]].append(line["told"])
    for name in ("apart", "stream"):
        if not (pairs := by_what[name]):
            continue
        times = [tuple(told[run]["s"] for run in ("one", "two", "replay")) for told in pairs]
        scans = [told[run] for told in pairs for run in ("one", "two")]
        for of, ratios, aim in (
            ("two processes are so many times as fast as one", [one / two for one, two, _ in times], ">= 1.75"),
            ("one against `replay`", [replayed / one for one, _, replayed in times], ">= 0.9"),
        ):
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            yield f"| {name}: {of} ({each}) | {statistics.median(ratios):.2f} | {aim} |"
        firsts = [scanned["first_s"] for scanned in scans]
        first_s = statistics.median(firsts)
        yield f"| {name}: start to first result, at most {max(firsts):.2f} s | {first_s:.2f} s | < 2 s |"
        yield f"| {name}: memory of a worker | {max(each['worker_mb'] for each in scans):.0f} MB | <= 150 MB |"
        others = [told[run]["others"] for told in pairs for run in told]
        yield f"| {name}: cores that others took, at most {max(others):.2f} | {statistics.median(others):.2f} | 0 |"
    for told in by_what["long"]:
        yield f"| one file of {told['hours']:g} h: memory of a worker | {told['worker_mb']:.0f} MB | <= 150 MB |"
        yield f"| the same, written as Parquet: a worker with pyarrow | {bool(told['arrow'])} | False |"
    for told in by_what["small"]:
        first, again, files = told["first"], told["again"], told["files"]
        for of, ledger_s in (
            ("", first["ledger_s"]),
            (", with hashes of all files", first["ledger_s"] + told["hashes_s"]),
        ):
            share = ledger_s / (first["cpu_s"] - ledger_s)
            yield f"| {files} files of a second ({first['s']:.0f} s): the ledger adds{of} | {share:.1%} | <= 5 % |"
        yield f"| again, all of it in the ledger: {again['s']:.1f} s, of it the ledger | {again['ledger_s']:.1f} s | |"
    for told in by_what["kills"]:
        yield f"| {told['kills']} times kill -9 | {'the same' if told['same'] else 'OTHER'} tables | the same |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(ALL)}, told; all, unless told")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=20.0)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--long", type=float, default=LONG_H)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="esc10")
    args = parser.parse_args()
    if unknown := [what for what in args.what if what not in (*ALL, "told")]:
        parser.error(f"{unknown[0]} is none of {', '.join(ALL)}, told")
    measured = args.folder / "measured.jsonl"
    of = {"hours": args.hours, "files": args.files, "model": args.model}

    def lines() -> list[dict[str, Any]]:
        text = measured.read_text() if measured.exists() else ""
        return [line for line in map(json.loads, text.splitlines()) if {name: line[name] for name in of} == of]

    def note(what: str, told: dict[str, Any]) -> None:
        line = {"what": what, **of, "at": time.strftime("%Y-%m-%dT%H:%M:%S"), "told": told}
        with measured.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{what}: {told}", file=sys.stderr)

    start.allocator.keep_freed()
    what = args.what or ALL
    if what != ["told"]:
        make(args.folder, args.hours, args.files, args.small if "small" in what else 0)
        (args.folder / "auricle.yaml").write_text(RULES.format(model=args.model))
    for _ in range(args.pairs):
        for name in ("apart", "stream"):
            if name in what:
                note(name, pair(args.folder, name, sum(line["what"] == name for line in lines())))
    if "long" in what:
        make_long(args.folder, args.long)
        note("long", {"hours": args.long, **long(args.folder)})
    if "small" in what:
        note("small", {"files": len(list((args.folder / "small").iterdir())), **small(args.folder)})
    if "kills" in what:
        note("kills", kills(args.folder, args.kills, args.seed))
    print(f"| {args.hours:g} h of 48 kHz FLAC in {args.files} files, model {args.model} | | aim |\n|-|-|-|")
    print("\n".join(table(lines())))


if __name__ == "__main__":
    main()
