"""Recordings in bulk: the same output from any number of workers, after any interruption, every file accounted for."""

from __future__ import annotations

import csv
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import config
from auricle.commands import scan
from auricle.commands.synth import scene
from auricle.errors import EXIT_SKIPPED, OutputError, UsageError
from auricle.scan import workers
from auricle.scan.ledger import Ledger
from auricle.scan.work import Finding, Heard, Lost, Part, Result, Settings, Told, Unit, stamp_of
from auricle.scan.workers import CRASHES, KILLS, Workers
from helpers import dying
from helpers.sounds import RATE, varied, write

PARQUET = ("parquet",) if importlib.util.find_spec("pyarrow") else ()
TABLES = ("events.csv", "events.selections.txt", "files.csv", *(f"events.{form}" for form in PARQUET))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings with events, one of them cut short, and one that is none."""
    folder = tmp_path_factory.mktemp("night")
    for number in range(6):
        sound, _ = scene(["rain", "clock_tick"], RATE, sound_s=2.0 + number / 4, pause_s=1.0)
        write(folder / f"{number}.wav", sound)
    cut = folder / "5.wav"
    cut.write_bytes(cut.read_bytes()[:150_000])
    (folder / "none.wav").write_text("no sound at all")
    (folder / "auricle.yaml").write_text(
        "model: esc10\ndecision: {threshold: 0.12, hysteresis: 0.05, min_duration_ms: 100}\n"
    )
    return folder


def command(folder: Path, out: Path, jobs: int) -> list[str]:
    """The command line of a scan."""
    forms = ",".join(("csv", "raven", *PARQUET))
    words = ["scan", folder, "--out", out, "--jobs", jobs, "--format", forms, "--config", folder / "auricle.yaml"]
    return [sys.executable, "-m", "auricle", *map(str, words)]


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker writes without any interruption."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = subprocess.run(command(folder, out, 1), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, "a file was refused"
    assert "1 cut short, 1 refused" in done.stdout
    assert "5.wav: cut short" in done.stderr
    return {name: (out / name).read_bytes() for name in TABLES}


@pytest.mark.timeout(900)
def test_it_is_what_replay_hears(folder: Path, undisturbed: dict[str, bytes]) -> None:
    """Every event of every recording, with the figures that `replay` gives of that recording alone."""
    rows = list(csv.DictReader(undisturbed["events.csv"].decode().splitlines()))
    assert len(rows) > 6
    for name in ("0.wav", "5.wav"):
        words = ["replay", "--speed", "max", "--json", "--no-publish", "-c", folder / "auricle.yaml", folder / name]
        done = subprocess.run([sys.executable, "-m", "auricle", *words], capture_output=True, text=True, timeout=300)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        ended = [e for e in events if e["type"] == "event" and e["phase"] == "offset"]
        own = [row for row in rows if row["file"] == str(folder / name)]
        assert [(row["label"], float(row["begin_s"]), float(row["peak"]), float(row["mean"])) for row in own] == [
            (event["label"], event["onset_s"], event["peak"], event["mean"]) for event in ended
        ]


def test_every_file_is_accounted_for(folder: Path, undisturbed: dict[str, bytes]) -> None:
    """Heard, cut or refused, with the reason and the hash of its bytes, in order."""
    files = list(csv.DictReader(undisturbed["files.csv"].decode().splitlines()))
    assert [Path(row["file"]).name for row in files] == [*(f"{number}.wav" for number in range(6)), "none.wav"]
    assert [row["state"] for row in files] == ["heard"] * 5 + ["cut", "refused"]
    assert all(len(row["sha256"]) == 64 for row in files)
    assert [bool(row["reason"]) for row in files] == [row["state"] != "heard" for row in files]


@pytest.mark.timeout(900)
def test_killed_again_and_again_the_output_is_the_same(
    folder: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Killed after some files, and started again with another number of workers: every table equal, bit for bit."""
    out = tmp_path / "out"
    ledger = out / "ledger.jsonl"
    for lines, jobs in ((3, 1), (6, 3)):
        process = subprocess.Popen(command(folder, out, jobs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_s = time.monotonic() + 200
        while not (ledger.exists() and ledger.read_bytes().count(b"\n") >= lines):
            assert time.monotonic() < until_s
            if process.poll() is not None:
                break
        process.kill()
        process.wait()
        with ledger.open("ab") as file:
            file.write(b'{"path": "half a li')
    done = subprocess.run(command(folder, out, 2), capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr
    assert {name: (out / name).read_bytes() for name in TABLES} == undisturbed
    keys = [json.loads(line).get("key") for line in ledger.read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 7, "no file was heard twice"


def settings() -> Settings:
    """A model, and its own rules."""
    return Settings(config.load(None, environ={}, overrides={"model": "esc10"}), "mix", False)


def alone(path: Path) -> Unit:
    """A recording to be heard by itself."""
    return Unit((Part(os.fsencode(path), stamp_of(str(path))),), whole=True, ends=(0,))


def test_a_worker_that_dies_gives_its_unit_back(tmp_path: Path) -> None:
    """Whichever is killed, every unit has its result, and the others hear on."""
    units = [alone(write(tmp_path / f"{number}.wav", varied(3.0, seed=number))) for number in range(6)]
    pool = Workers(2)
    assert len(multiprocessing.active_children()) == 1, "the first starts before there is anything to hear"
    results: dict[str, Result | Lost] = {}
    for unit, result in pool.hear(settings(), units):
        results[unit.key] = result
        if len(results) in (1, 3):
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
    pool.close()
    assert set(results) == {unit.key for unit in units}
    assert {result.told[0].state for result in results.values() if isinstance(result, Heard)} == {"heard"}
    assert not [result for result in results.values() if not isinstance(result, Heard)]
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("worker", "tries", "how"), [(dying.crash, 2, 11), (dying.killed, 3, 9)])
def test_a_unit_over_which_every_worker_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: Any, tries: int, how: int
) -> None:
    """After few that crash, after many that are killed, which may be by chance; with the signal, and nobody hangs."""
    assert CRASHES < 20 < KILLS, "twenty that are killed at random are none too many"
    monkeypatch.setattr(workers, "CRASHES", 2)
    monkeypatch.setattr(workers, "KILLS", 3)
    monkeypatch.setattr(workers, "_work", worker)
    pool = Workers(1)
    ((_, result),) = pool.hear(settings(), [alone(write(tmp_path / "a.wav", varied(1.0)))])
    pool.close()
    assert result == Lost(f"{tries} processes ended that heard it (signal {how})")


def test_a_ledger_knows_what_was_heard_and_found(tmp_path: Path) -> None:
    """Also when it is opened again; what was found of a file that has changed since does not count."""
    path = write(tmp_path / "a.wav", varied(1.0))
    unit, name = alone(path), os.fsencode(path)
    ledger = Ledger(tmp_path / "ledger.jsonl", "x")
    assert unit.key not in ledger
    first = Heard(unit.key, [], [Told(name, seconds=1.0)])
    finding = Finding(name, stamp_of(path.as_posix()), 100, "broken")
    ledger.add(first)
    ledger.add(finding)
    for _ in range(2):
        assert unit.key in ledger
        assert ledger.heard(unit.key) == first
        assert ledger.finding(name, finding.stamp) == finding
        ledger.close()
        ledger = Ledger(tmp_path / "ledger.jsonl", "x")
    write(path, varied(2.0))
    assert alone(path).key not in ledger
    assert ledger.finding(name, stamp_of(path.as_posix())) is None
    second = Heard(alone(path).key, [], [Told(name, seconds=2.0)])
    ledger.add(second)
    assert ledger.heard(second.key) == second
    assert ledger.heard(first.key) == first
    ledger.close()


def test_a_folder_of_another_scan_is_refused(tmp_path: Path) -> None:
    """Other settings, a scan that goes on there now, what is no ledger, a full disk: one line each."""
    path = tmp_path / "out" / "ledger.jsonl"
    first = Ledger(path, "x")
    with pytest.raises(UsageError, match="another scan writes into"):
        Ledger(path, "x")
    first.close()
    with pytest.raises(UsageError, match="another model, configuration or version"):
        Ledger(path, "y")
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(UsageError, match=r"ledger\.jsonl:2: is no line of a ledger"):
        Ledger(path, "x")
    full = Ledger(tmp_path / "other.jsonl", "x")
    full._file.close()
    with open("/dev/full", "ab", buffering=0) as full._file:
        with pytest.raises(OutputError, match="No space left on device; free some space"):
            full.add(Heard("a", [], []))
        assert "a" not in full


@pytest.mark.timeout(900)
def test_a_full_disk_ends_it_in_a_line(folder: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Wherever the limit is met, in the ledger or in a table: with room again the same command ends it."""
    out = tmp_path / "out"
    for limit in (1200, len(undisturbed["events.csv"]) - 1):
        words = ["prlimit", f"--fsize={limit}", *command(folder, out, 2)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == 74, done.stderr
        assert done.stderr.splitlines()[-1].startswith("auricle: error: ")
        assert "File too large; free some space" in done.stderr
        assert not (out / "events.csv").exists()
    assert subprocess.run(command(folder, out, 2), capture_output=True, timeout=300).returncode == 1
    assert {name: (out / name).read_bytes() for name in TABLES} == undisturbed


def test_who_hears_loads_nothing_that_prints_or_writes_tables() -> None:
    """Neither what the command line needs, nor pyarrow, nor a cluster's own libraries."""
    heavy = {"pyarrow", "pandas", "typer", "rich", "dask", "distributed", "auricle.tables.formats"}
    code = "import sys, auricle.scan.workers, auricle.scan.cluster, auricle.scan.listener; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert "auricle.model.bundle" in done.stdout.split()
    assert not heavy & set(done.stdout.split())


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    """Forms and numbers of processes that there are not."""
    for given, words in (
        ({"form": "csv,audacity"}, "'audacity' is no form for several recordings"),
        ({"jobs": 0}, "--jobs: 0; use 1 to"),
        ({"jobs": 2, "dask": "tcp://x:1"}, "--jobs and --dask: processes here, or a cluster's"),
    ):
        with pytest.raises(UsageError, match=words):
            scan.command([str(tmp_path)], tmp_path / "out", **given)  # type: ignore[arg-type]
    assert not np.any([path.name == "out" for path in tmp_path.iterdir()])


def test_recordings_over_which_every_worker_ends_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream each is heard by itself to find out which it is; the scan goes on to its end, and says so again."""
    monkeypatch.setattr(workers, "CRASHES", 1)
    monkeypatch.setattr(workers, "_work", dying.crash)
    (tmp_path / "auricle.yaml").write_text("model: digits\n")
    (tmp_path / "night").mkdir()
    for number in range(2):
        write(tmp_path / "night" / f"R_20240501_03000{number}.flac", varied(1.0, seed=number))
    for _ in range(2):
        code = scan.command([str(tmp_path / "night")], tmp_path / "out", jobs=1, config_file=tmp_path / "auricle.yaml")
        assert code == EXIT_SKIPPED
        files = list(csv.DictReader((tmp_path / "out" / "files.csv").read_text().splitlines()))
        assert [row["state"] for row in files] == ["refused"] * 2
        assert all(row["reason"] == f"{row['file']}: 1 processes ended that heard it (signal 11)" for row in files)


HEAR_ONE = """
import os, sys
from auricle import config
from auricle.scan.work import Part, Settings, Stamp, Unit
from auricle.scan.workers import Workers
unit = Unit((Part(os.fsencode(sys.argv[1]), Stamp(1, 1)),), whole=True, ends=(0,))
cfg = config.load(None, environ={}, overrides={"model": "digits"})
list(Workers(1).hear(Settings(cfg, "mix", False), [unit]))
"""


def test_nobody_hears_on_for_a_scan_that_was_killed(tmp_path: Path) -> None:
    """Also in the middle of a unit that would last for ever: here a pipe that gives nothing."""
    os.mkfifo(pipe := tmp_path / "pipe.wav")
    process = subprocess.Popen([sys.executable, "-c", HEAR_ONE, str(pipe)])
    until_s = time.monotonic() + 90
    writer = None
    while writer is None:
        assert time.monotonic() < until_s
        with suppress(OSError):  # nobody reads yet
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert workers
    process.kill()
    process.wait()
    while any(_lives(worker) for worker in workers):
        assert time.monotonic() < until_s
    os.close(writer)


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
