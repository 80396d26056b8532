"""What the daemon costs, as a user has it: `auricle run` with one recording at real time, watched from outside.

Prints start to `running`, memory, CPU and latency, beside what an empty Python process of the same imports costs.
Run it with `make bench`, or alone: python tests/bench/bench_daemon.py [SECONDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import zmq

RUNS = 5
RATE = 16_000


def _subscribe(endpoint: str) -> tuple[zmq.Context, zmq.Socket]:
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RECONNECT_IVL, 5)
    socket.subscribe("")
    socket.connect(endpoint)
    return context, socket


def _daemon(folder: Path, seconds: float) -> tuple[subprocess.Popen[bytes], str]:
    rng = np.random.default_rng(0)
    soundfile.write(folder / "noise.wav", 0.05 * rng.standard_normal(int(seconds * RATE)), RATE)
    endpoint = f"ipc://{folder}/events"
    config = {
        "sources": [{"name": "bench", "recording": {"path": str(folder / "noise.wav"), "speed": 1}}],
        "publish": {"endpoint": endpoint, "query": f"ipc://{folder}/query"},
        "store": {"enabled": False},
    }
    (folder / "auricle.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "auricle", "run", "-c", str(folder / "auricle.yaml")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL), endpoint


def start_s() -> float:
    """Measure the seconds from the start of the process to its first `status running`."""
    with tempfile.TemporaryDirectory() as name:
        _, socket = _subscribe(f"ipc://{name}/events")
        began = time.monotonic()
        daemon, _ = _daemon(Path(name), 3.0)
        try:
            while True:
                topic, payload = socket.recv_multipart()
                if topic.startswith(b"status.") and json.loads(payload)["state"] == "running":
                    return time.monotonic() - began
        finally:
            daemon.terminate()
            daemon.wait()


def empty_s() -> float:
    """Measure the seconds that Python and the daemon's heaviest imports take by themselves."""
    began = time.monotonic()
    code = "import numpy, zmq, soundfile, soxr, ai_edge_litert.interpreter"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - began


def real_time(seconds: float) -> dict[str, float]:
    """Measure CPU share, memory and latency of one source at real time."""
    with tempfile.TemporaryDirectory() as name:
        _, socket = _subscribe(f"ipc://{name}/events")
        daemon, _ = _daemon(Path(name), seconds)
        latencies: list[float] = []
        usage: list[tuple[float, float, float]] = []
        while True:
            topic, payload = socket.recv_multipart()
            message = json.loads(payload)
            if topic.startswith(b"score."):
                latencies.append(message["latency_ms"])
            elif topic.startswith(b"health."):
                status = Path(f"/proc/{daemon.pid}/status").read_text()
                rss_mb = int(status.split("VmRSS:")[1].split()[0]) / 1024
                fields = Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
                cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                usage.append((time.monotonic(), cpu_s, rss_mb))
            elif topic.startswith(b"status.") and message["state"] == "stopped":
                break
        daemon.wait()
    (t0, c0, _), (t1, c1, rss_mb) = usage[1], usage[-1]
    latencies.sort()
    return {
        "cpu_percent": 100 * (c1 - c0) / (t1 - t0),
        "rss_mb": rss_mb,
        "latency_p50_ms": statistics.median(latencies),
        "latency_p99_ms": latencies[int(0.99 * (len(latencies) - 1))],
        "decisions": float(len(latencies)),
    }


def main(seconds: float = 20.0) -> None:
    """Print the figures beside their aims."""
    starts, empties = zip(*((start_s(), empty_s()) for _ in range(RUNS)), strict=True)
    start, empty = statistics.median(starts), statistics.median(empties)
    print(f"start to `status running`   {start:6.3f} s   ({start / empty:.2f} x its bare imports; aim <= 1 s)")
    figures = real_time(seconds)
    print(f"memory (RSS)                {figures['rss_mb']:6.1f} MB  (aim <= 120 MB)")
    print(f"CPU at real time            {figures['cpu_percent']:6.2f} %   (aim <= 5 % of a core)")
    print(f"sample to message, p50      {figures['latency_p50_ms']:6.2f} ms")
    print(f"sample to message, p99      {figures['latency_p99_ms']:6.2f} ms  (aim <= decision hop + 20 ms = 100 ms)")
    print(f"                            over {figures['decisions']:.0f} decisions of 80 ms")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
