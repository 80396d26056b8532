"""A daemon and a subscriber run here, each in a process of its own, with real sound and a real ZeroMQ between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SUBSCRIBER = """
import json, sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe("")
socket.connect(sys.argv[1])
poller = zmq.Poller()
poller.register(socket, zmq.POLLIN)
while poller.poll(20000):
    topic, payload = socket.recv_multipart()
    print(json.dumps({"topic": topic.decode(), **json.loads(payload)}), flush=True)
    if topic.startswith(b"status.") and json.loads(payload)["state"] == "stopped":
        break
"""


@contextmanager
def subscriber(endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """Run a subscriber in a process of its own, with nothing of Auricle in it."""
    process = subprocess.Popen([sys.executable, "-c", SUBSCRIBER, endpoint], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(folder: Path, recordings: object, *, speed: object = "max", model: str | None = None) -> list[dict[str, Any]]:
    """Return what the subscriber heard of a daemon that plays these recordings, with the default model or another."""
    endpoint = f"ipc://{folder}/events"
    config = {
        **({"model": model} if model else {}),
        "decision": {"threshold": 0.5, "min_duration_ms": 100},
        "sources": [{"name": "porch", "recording": {"path": recordings, "speed": speed}}],
        "publish": {"endpoint": endpoint, "query": f"ipc://{folder}/query"},
        "store": {"enabled": False},
    }
    (folder / "auricle.yaml").write_text(json.dumps(config))
    with subscriber(endpoint) as process:
        daemon = subprocess.run(
            [sys.executable, "-m", "auricle", "run", "-c", folder / "auricle.yaml"],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "AURICLE__NODE": "test-node"},
        )
        assert process.stdout is not None
        heard = [json.loads(line) for line in process.stdout]
    assert daemon.returncode == 0, daemon.stderr
    return heard
