"""A real Dask scheduler with two real workers hears what processes of one's own hear, whoever of them dies."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import soundfile

from auricle.errors import UsageError
from auricle.scan import cluster
from helpers.sounds import varied

WAIT_S = 90.0
TABLES = ("events.csv", "files.csv")


class Dask:
    """A scheduler and its workers on this machine, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""
        self.schedule()

    def schedule(self) -> None:
        """Start a scheduler, where the one before was."""
        file, port = self._folder / "scheduler.json", self.address.rpartition(":")[2] or "0"
        file.unlink(missing_ok=True)
        words = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start(words)
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def work(self, count: int) -> None:
        """Start so many workers of one thread."""
        for _ in range(count):
            words = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self._folder)]
            self.workers.append(self._start(["worker", self.address, *words]))

    def scan(self, folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
        """Start a scan of a folder."""
        words = ("scan", ".", "--out", str(out), "--config", str(self._folder / "auricle.yaml"), *more)
        process = subprocess.Popen(
            [sys.executable, "-m", "auricle", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def close(self) -> None:
        """End all of them."""
        self._stack.close()

    def _start(self, words: list[str]) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([sys.executable, "-m", "dask", *words], stdout=quiet, stderr=quiet)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.fixture
def dask(tmp_path: Path, require: Callable[[bool, str], None]) -> Iterator[Dask]:
    """A scheduler without workers."""
    require(importlib.util.find_spec("distributed") is not None, "distributed, extra dask")
    running = Dask(tmp_path)
    yield running
    running.close()


@pytest.mark.timeout(400)
def test_a_cluster_gives_what_processes_give(dask: Dask, tmp_path: Path) -> None:
    """Whether its workers die or its scheduler, and whatever it was that heard the rest: every table equal."""
    folder, out = tmp_path / "night", tmp_path / "out"
    folder.mkdir()
    (tmp_path / "auricle.yaml").write_text("model: digits\ndecision: {threshold: 0.1, hysteresis: 0.05}\n")
    for number in range(8):
        soundfile.write(folder / f"R_20240501_0300{4 * number:02d}.flac", varied(4.0, seed=number), 16_000)
        soundfile.write(folder / f"other{number}.wav", varied(3.0, seed=50 + number), 48_000)
    own = dask.scan(folder, tmp_path / "own", "--jobs", "1")
    _, said = own.communicate(timeout=WAIT_S)
    assert own.returncode == 0, said
    wanted = [(tmp_path / "own" / table).read_bytes() for table in TABLES]
    assert len(wanted[0].splitlines()) > 5

    first = dask.scan(folder, out, "--dask", dask.address)
    assert first.stderr is not None
    assert first.stderr.readline() == "--dask: the cluster has no worker; waiting for one\n"
    dask.work(2)
    ledger = out / "ledger.jsonl"
    until(lambda: ledger.read_bytes().count(b"\n") > 2)
    os.kill(dask.workers[0].pid, signal.SIGKILL)
    _, said = first.communicate(timeout=WAIT_S)
    assert first.returncode == 0, said
    assert [(out / table).read_bytes() for table in TABLES] == wanted

    os.kill(dask.workers[1].pid, signal.SIGKILL)
    again = tmp_path / "again"
    second = dask.scan(folder, again, "--dask", dask.address)
    assert second.stderr is not None
    assert "no worker" in second.stderr.readline()
    os.kill(dask.scheduler.pid, signal.SIGKILL)
    _, said = second.communicate(timeout=WAIT_S)
    assert (second.returncode, said) == (
        75,
        f"auricle: error: --dask: the scheduler at {dask.address} is gone; start it, and give the same command again\n",
    )
    third = dask.scan(folder, again, "--jobs", "1")
    third.communicate(timeout=WAIT_S)
    assert [(again / table).read_bytes() for table in TABLES] == wanted


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_twenty_times_at_random(dask: Dask, tmp_path: Path) -> None:
    """A worker, the scan or the scheduler, each time another: once it is done the tables are those of nobody's kill."""
    folder, out, chance = tmp_path / "night", tmp_path / "out", random.Random(0)
    folder.mkdir()
    (tmp_path / "auricle.yaml").write_text("model: digits\ndecision: {threshold: 0.1, hysteresis: 0.05}\n")
    for number in range(60):
        name = f"R_20240501_03{number:02d}00.flac"
        soundfile.write(folder / name, varied(60.0, rate=48_000, seed=number), 48_000)
    own = dask.scan(folder, tmp_path / "own", "--jobs", "2")
    own.communicate()
    wanted = [(tmp_path / "own" / table).read_bytes() for table in TABLES]
    running: subprocess.Popen[str] | None = None
    ledger = out / "ledger.jsonl"

    def lines() -> int:
        return ledger.read_bytes().count(b"\n") if ledger.exists() else 0

    for number in range(20):
        if dask.scheduler.poll() is not None:
            dask.schedule()
        dask.work(2 - sum(worker.poll() is None for worker in dask.workers))
        if running is None or running.poll() is not None:
            running = dask.scan(folder, out, "--dask", dask.address)
        if number % 2:  # once something more was heard; else at any moment, while it starts perhaps
            going, before = running, lines()
            until(lambda: lines() > before or going.poll() is not None)  # noqa: B023
        time.sleep(chance.uniform(0.0, 5.0))
        victims = [running, dask.scheduler, *(worker for worker in dask.workers if worker.poll() is None)]
        victim = chance.choice(victims)
        victim.kill()
        victim.wait()
    assert running is not None
    running.kill()
    running.wait()
    last = dask.scan(folder, out, "--jobs", "2")
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert [(out / table).read_bytes() for table in TABLES] == wanted


def test_no_scheduler_is_a_line(monkeypatch: pytest.MonkeyPatch, require: Callable[[bool, str], None]) -> None:
    """Whether nobody listens there, or the address is none."""
    require(importlib.util.find_spec("distributed") is not None, "distributed, extra dask")
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(
            UsageError, match=rf"--dask: no scheduler at {address} \(.*\); start one with: dask scheduler"
        ):
            cluster.Cluster(address)
