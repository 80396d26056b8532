"""What `auricle scan` promises, measured: speed by processes, start, memory, the ledger's share, twenty kills.

    python tests/bench/bench_scan.py --folder /tmp/scanned             # as promised: 20 h, 1,000 files, five pairs
    python tests/bench/bench_scan.py --folder /tmp/scanned --hours 0.5 --files 25 --small 300 --pairs 1 --kills 3

Prints Markdown. Material is made once and kept: 48 kHz FLAC, as files without a time, which are heard one by one, and
the same sound as one recorder's, whose files follow each other. Wants a quiet machine of two cores or more.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 48_000
TABLES = ("events.csv", "files.csv")
RULES = "model: {model}\ndecision: {{threshold: 0.12, hysteresis: 0.05, min_duration_ms: 100}}\n"


def make(folder: Path, hours: float, files: int, small: int) -> None:
    """Write the recordings that are not there yet."""
    for name in ("apart", "stream", "small"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    length = round(hours * 3600 / files)
    rng = np.random.default_rng(0)
    t = np.arange(length * RATE) / RATE
    for number in range(files):
        at = number * length
        name = f"R_2024{1 + at // 2_419_200:02d}{1 + at // 86_400 % 28:02d}_"
        name += f"{at // 3600 % 24:02d}{at // 60 % 60:02d}{at % 60:02d}.flac"
        paths = folder / "apart" / f"{number:05d}.flac", folder / "stream" / name
        if paths[1].exists():
            continue
        level = np.interp(t, np.linspace(0, length, 9), 10.0 ** rng.uniform(-3, -1, 9))
        sound = level * rng.standard_normal(len(t)) + 0.1 * np.sin(t * rng.uniform(800, 9_000)) * (t % 3 < 1)
        soundfile.write(paths[0], np.clip(sound, -1, 1), RATE, subtype="PCM_16")
        os.link(paths[0], paths[1])
    for number in range(small):
        if not (path := folder / "small" / f"{number:05d}.flac").exists():
            soundfile.write(path, 0.1 * rng.standard_normal(16_000), 16_000, subtype="PCM_16")


def command(folder: Path, name: str, out: Path, jobs: int) -> list[str]:
    """The command line of a scan."""
    words = ("scan", folder / name, "--out", out, "--jobs", jobs, "--config", folder / "auricle.yaml")
    return [sys.executable, "-m", "auricle", *map(str, words)]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


class Watched:
    """A scan that runs, and what was seen of it.

    Attributes:
        took_s: all of it; `first_s`: until its first result was in the ledger.
        worker_mb, arrow: the most memory of a worker, and whether one had loaded pyarrow.
    """

    def __init__(self, words: list[str], out: Path) -> None:
        shutil.rmtree(out, ignore_errors=True)
        self.first_s, self.worker_mb, self.arrow = 0.0, 0.0, False
        began_s = time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ledger = out / "ledger.jsonl"
        while process.poll() is None:
            if not self.first_s and ledger.exists() and ledger.read_bytes().count(b"\n") > 1:
                self.first_s = time.monotonic() - began_s
            if self.first_s:
                self._look(process.pid)
            time.sleep(0.5 if self.first_s else 0.01)
        self.took_s = time.monotonic() - began_s

    def _look(self, pid: int) -> None:
        for child in children(pid):
            try:
                status = Path(f"/proc/{child}/status").read_text()
                self.arrow |= "libarrow" in Path(f"/proc/{child}/maps").read_text()
            except OSError:
                continue
            if "VmHWM" in status:
                self.worker_mb = max(self.worker_mb, int(status.split("VmHWM:")[1].split()[0]) / 1024)


def pairs(folder: Path, name: str, count: int) -> None:
    """Compare two processes with one, in turn."""
    ratios, one = [], []
    for number in range(count):
        took = {}
        for jobs in ((1, 2), (2, 1))[number % 2]:
            seen = Watched(command(folder, name, folder / "out", jobs), folder / "out")
            took[jobs] = seen.took_s
            print(
                f"| {name}, --jobs {jobs} | {seen.took_s:.1f} s | first result {seen.first_s:.2f} s, "
                f"a worker {seen.worker_mb:.0f} MB{', WITH PYARROW' if seen.arrow else ''} |",
                flush=True,
            )
        ratios.append(took[1] / took[2])
        one.append(took[1])
    print(f"| {name}: two are so many times as fast as one | {statistics.median(ratios):.2f} | >= 1.75 |")
    words = ("replay", "--speed", "max", "--no-publish", folder / name, "--config", folder / "auricle.yaml")
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-m", "auricle", *map(str, words)], stdout=subprocess.DEVNULL, check=False)
    replay_s = time.monotonic() - began_s
    print(f"| {name}: one against `replay` ({replay_s:.1f} s) | {replay_s / statistics.median(one):.2f} | >= 0.9 |")


def ledger(folder: Path, small: int) -> None:
    """Compare a scan of small files with the same one when all of it stands in the ledger."""
    out = folder / "out"
    first = Watched(command(folder, "small", out, 2), out)
    began_s = time.monotonic()
    subprocess.run(command(folder, "small", out, 2), stdout=subprocess.DEVNULL, check=False)
    again_s = time.monotonic() - began_s
    print(f"| {small} files of a second | {first.took_s:.1f} s | |")
    print(f"| all that is not hearing: start, looking at files, ledger, tables | {again_s / first.took_s:.1%} | |")


def kills(folder: Path, count: int, seed: int) -> None:
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
    same = [(out / table).read_bytes() for table in TABLES] == wanted
    print(f"| {count} times kill -9 | {'the same tables' if same else 'OTHER TABLES'} | the same |")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=20.0)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="esc10")
    args = parser.parse_args()
    make(args.folder, args.hours, args.files, args.small)
    (args.folder / "auricle.yaml").write_text(RULES.format(model=args.model))
    print(f"| {args.hours:g} h of 48 kHz FLAC in {args.files} files, model {args.model} | | aim |\n|-|-|-|", flush=True)
    for name in ("apart", "stream") if args.pairs else ():
        pairs(args.folder, name, args.pairs)
    if args.small:
        ledger(args.folder, args.small)
    if args.kills:
        kills(args.folder, args.kills, args.seed)


if __name__ == "__main__":
    main()
