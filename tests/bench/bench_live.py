"""The daemon as a user has it, from outside: replay of an hour, one source, hundreds of sources, start, memory.

    python tests/bench/bench_live.py [SECONDS]

The daemon gets a core of its own where the system allows it (SCHED_FIFO: run it as root), since a shared core measures
its neighbours. Of every live measurement the first 5 s are left out, in which files are opened and gates learn. Beside
one source stand a bare loop that wakes at its pace and does nothing, and its stages alone at several paces: what a tick
costs is decided by what the caches have lost since the last one. A deadline is missed when a decision comes later than
one decision hop after its sound was delivered; the daemon counts these itself, `late` in `health`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import zmq

import own_core
from auricle import config
from auricle.hearing.ear import Ear
from auricle.model import bundle
from auricle.stages import allocator

RATE, HOP_MS = 16_000, 40
GATE = {"AURICLE__GATE__ENABLED": "on", "AURICLE__DECISION__HOP_MS": str(HOP_MS)}
SOURCES = 200
SETTLED_S = 5.0
"""Nothing is counted before: files are opened, gates learn."""
BARE_LOOP = """
import sys, time
import own_core
own_core.take()
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    time.sleep(0.04)
"""

AWAY = """
import sys, time
import own_core
own = "of its own" in own_core.take(first=True)
worst = 0.0
until = time.monotonic() + float(sys.argv[1])
while (began := time.monotonic()) < until:
    time.sleep(0.005)
    worst = max(worst, time.monotonic() - began - 0.005)
print(1000 * worst if own else "nan")
"""
"""A loop ahead of everything on the daemon's core: what delays it is neither the daemon nor anything else here."""


def scene(seconds: float, seed: int = 0) -> np.ndarray:
    """Make noise whose level changes: the gate opens and closes, now and then an event begins."""
    rng = np.random.default_rng(seed)
    level = np.repeat(10.0 ** rng.uniform(-3, -1, int(seconds * 5) + 1), RATE // 5)[: int(seconds * RATE)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def replay(folder: Path) -> dict[str, float]:
    """Measure how many times real time `auricle replay` of an hour is, start-up taken off, by processor time."""
    minute = scene(60.0)
    kinds = {
        "16 kHz mono WAV": (RATE, "WAV", minute),
        "48 kHz mono FLAC": (48_000, "FLAC", soxr.resample(minute, RATE, 48_000)),
    }
    speeds = {}
    for name, (rate, container, sound) in kinds.items():
        short, long = folder / f"minute.{container}", folder / f"hour.{container}"
        soundfile.write(short, sound, rate, subtype="PCM_16", format=container)
        with soundfile.SoundFile(long, "w", rate, 1, "PCM_16", format=container) as file:
            for _ in range(60):
                file.write(sound)
        costs = {}
        for path in (short, long):
            arguments = ("replay", "--speed", "max", "--no-publish", path)
            own_core.cost(arguments, GATE)  # into the page cache
            costs[path] = min(own_core.cost(arguments, GATE).cpu_s for _ in range(3))
        speeds[name] = 59 * 60 / (costs[long] - costs[short])
    return speeds


@contextmanager
def daemon(folder: Path, n_sources: int, seconds: float, score_interval_ms: float) -> Iterator[tuple[Any, Any]]:
    """Run a daemon that hears so many recordings at speed 1, and a subscriber to it."""
    sources = []
    for i in range(n_sources):
        path = folder / f"{i}.wav"
        soundfile.write(path, scene(seconds, i), RATE, subtype="PCM_16")
        sources.append({"name": f"s{i}", "recording": {"path": str(path), "speed": 1}})
    endpoint = f"ipc://{folder}/events"
    config = {
        "sources": sources,
        "gate": {"enabled": "on"},
        "decision": {"hop_ms": HOP_MS},
        "publish": {"endpoint": endpoint, "query": f"ipc://{folder}/q", "score_interval_ms": score_interval_ms},
        "log": {"level": "error"},
    }
    (folder / "auricle.yaml").write_text(json.dumps(config))
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        for topic in (b"score.", b"health.", b"status."):
            socket.subscribe(topic)
        socket.connect(endpoint)
        state = {"XDG_STATE_HOME": str(folder), "STATE_DIRECTORY": str(folder)}
        process = own_core.auricle("run", "--config", folder / "auricle.yaml", environ=state)
        try:
            yield process, socket
        finally:
            process.terminate()
            process.wait()


def hear(n_sources: int, seconds: float, score_interval_ms: float) -> dict[str, float]:
    """Measure processor share, memory and lateness of a daemon of so many sources, past its first seconds.

    Beside it runs a loop that wakes every 5 ms ahead of everything on that core: how long the core itself was away.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        daemon(Path(name), n_sources, seconds, score_interval_ms) as (process, socket),
    ):
        latencies: list[float] = []
        marks: list[tuple[float, float, int, int]] = []
        memory = 0.0
        stopped = 0
        began = time.monotonic()
        away = None
        while stopped < n_sources:
            topic, payload = socket.recv_multipart()
            message = json.loads(payload)
            settled = time.monotonic() - began > SETTLED_S
            if settled and away is None:
                run = [sys.executable, "-c", AWAY, str(seconds - SETTLED_S - 1.0)]
                away = subprocess.Popen(run, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
            if topic.startswith(b"score."):
                if settled:
                    latencies.append(message["latency_ms"])
            elif topic.startswith(b"status."):
                ended = message["source"] is not None and message["state"] == "stopped"
                if ended and not stopped:
                    # Once only: while the kernel adds it up, the daemon waits for its own memory.
                    memory = own_core.pss_mb(process.pid)
                stopped += ended
            elif settled:
                heard = message["sources"].values()
                marks.append(
                    (
                        time.monotonic(),
                        own_core.cpu_s(process.pid),
                        sum(each["late"] for each in heard),
                        sum(each["decisions"] for each in heard),
                    )
                )
    (t0, c0, late0, n0), (t1, c1, late1, n1) = marks[0], marks[-1]
    latencies.sort()
    assert away is not None
    return {
        "cpu_percent": 100 * (c1 - c0) / (t1 - t0),
        "pss_mb": memory,
        "late": late1 - late0,
        "decisions": n1 - n0,
        "p50_ms": statistics.median(latencies),
        "p99_ms": latencies[int(0.99 * (len(latencies) - 1))],
        "worst_ms": latencies[-1],
        "away_ms": float(away.communicate()[0]),
    }


def bare_loop(seconds: float) -> float:
    """Measure the processor share of a loop that wakes every 40 ms and does nothing."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", BARE_LOOP, str(seconds + 1)], env=environ)
    time.sleep(1.0)
    before = own_core.cpu_s(process.pid)
    time.sleep(seconds - 1)
    used = own_core.cpu_s(process.pid) - before
    process.wait()
    return 100 * used / (seconds - 1)


def paces() -> str:
    """Measure a row: what the stages of one source cost a tick, called at once again, and after 40 ms spent in other
    ways."""
    code = "import own_core; own_core.take(); import bench_live; print(bench_live.paced())"
    run = [sys.executable, "-c", code]
    return subprocess.run(run, cwd=Path(__file__).parent, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def paced() -> str:
    """Measure as `paces` does, in this process; the ways take turns, ten ticks each; medians of processor time."""
    allocator.keep_freed()
    cfg = config.load(None, environ={}, overrides={"gate.enabled": "on", "decision.hop_ms": HOP_MS})
    ear = Ear(bundle.load("esc10"), cfg.decision, cfg.gate, cfg.publish)
    size = RATE * HOP_MS // 1000
    ways: dict[str, Callable[[float], None]] = {"none": lambda s: None, "asleep": time.sleep, "counting": count}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    settled = int(SETTLED_S * RATE)
    sound = scene(SETTLED_S + 3 * 100 * HOP_MS / 1000)
    ear.stages.process(sound[:settled])
    ear.level.process(sound[:settled])
    for tick, at in enumerate(range(settled, len(sound) - size + 1, size)):
        way = list(ways)[tick // 10 % len(ways)]
        ways[way](HOP_MS / 1000)
        block = sound[at : at + size]
        began = time.thread_time()
        ear.stages.process(block)
        ear.level.process(block)
        if tick % 10:  # the first of a turn still knows the turn before
            taken[way].append(1e6 * (time.thread_time() - began))
    none, asleep, counting = (statistics.median(each) for each in taken.values())
    return (
        "| its stages alone, a tick: at once again; after 40 ms asleep; after 40 ms of a loop that reads the clock | | "
        f"{none:.0f}; {asleep:.0f} ({asleep / none:.1f} x); {counting:.0f} us ({counting / none:.1f} x) |"
    )


def count(seconds: float) -> None:
    """Keep the core, and touch next to nothing."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def start(folder: Path) -> tuple[float, float]:
    """Measure the seconds from the start of the process to its `status running` and to its first second heard, best of
    five."""
    running, first = [], []
    for _ in range(5):
        with daemon(folder, 1, 6.0, 0) as (_, socket):
            began = time.monotonic()
            while True:
                topic, payload = socket.recv_multipart()
                message = json.loads(payload)
                if topic.startswith(b"status.") and message["state"] == "running" and message["source"] is not None:
                    running.append(time.monotonic() - began)
                elif topic.startswith(b"score.") and len(running) > len(first):
                    # The first decision is about the first window: what came before it was its sound at live pace.
                    heard_s = message["sample"] / RATE
                    first.append(time.monotonic() - began - heard_s + HOP_MS / 1000)
                    break
    return min(running), min(first)


def measure(seconds: float) -> list[str]:
    """Write the table as lines of Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speeds = replay(folder)
        running_s, first_s = start(folder)
    stages = paces()
    loop = bare_loop(10.0)
    one = hear(1, SETTLED_S + seconds, 0)
    many = hear(SOURCES, SETTLED_S + seconds, 1000)
    wav, flac = speeds.values()
    further_mb = (many["pss_mb"] - one["pss_mb"]) / (SOURCES - 1)
    return [
        f"Live, the first {SETTLED_S:.0f} s are left out: files are opened and gates learn.",
        "",
        "| | aim | here |",
        "|-|-|-|",
        f"| `auricle replay --speed max --no-publish`, marginal, 16 kHz WAV | >= 1000 x | {wav:.0f} x real time |",
        f"| the same, 48 kHz FLAC | | {flac:.0f} x real time |",
        f"| one live source, decisions every 40 ms, all published | <= 2 % of a core | {one['cpu_percent']:.2f} % "
        f"(a bare loop of that pace {loop:.2f} %) |",
        stages,
        "| sample to message at live pace, at the model's rate (no resampler, the gate without look-ahead, as it is by "
        f"default); p50, p99, worst | p99 <= 45 ms | {one['p50_ms']:.1f}, "
        f"{one['p99_ms']:.1f}, {one['worst_ms']:.1f} ms |",
        f"| {SOURCES} recordings at speed 1 on one core for {seconds:.0f} s | no deadline of 40 ms missed | "
        f"{many['late']:.0f} of {many['decisions']:.0f} missed, {many['cpu_percent']:.0f} % of the core |",
        f"| the same, sample to message, p99, worst; the core itself away, worst | | {many['p99_ms']:.1f}, "
        f"{many['worst_ms']:.1f}; {many['away_ms']:.1f} ms |",
        f"| process start to `status running`; to the first hop processed | < 0.5 s | {running_s:.2f}; {first_s:.2f} s "
        "|",
        f"| memory (PSS), one source | <= 80 MB | {one['pss_mb']:.0f} MB |",
        f"| memory of a further source | <= 2 MB | {further_mb:.2f} MB |",
    ]


if __name__ == "__main__":
    print("\n".join(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)))
