"""End to end: `auricle run` in one process, a real ZeroMQ subscriber in another, real sound between them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auricle.commands.synth import scene
from auricle.messages import rfc3339
from helpers.processes import run, subscriber
from helpers.sounds import RATE, write


def test_a_subscriber_in_another_process_hears_the_daemon(tmp_path: Path) -> None:
    """At real time a synthesised sound becomes events with onset and offset, on its own topic, in order."""
    samples, (part,) = scene(["baby_cry"], RATE, sound_s=3.5, pause_s=1.0)
    write(tmp_path / "scene.wav", samples)
    heard = run(tmp_path, str(tmp_path / "scene.wav"), speed=1, model="esc10")
    events = [m for m in heard if m["topic"] == "event.porch.baby_cry."]
    phases = "".join({"onset": "(", "update": "", "offset": ")"}[m["phase"]] for m in events)
    assert phases
    assert phases == "()" * (len(phases) // 2)
    assert len({m["id"] for m in events}) == len(phases) // 2
    assert abs(events[0]["onset_s"] - part.onset_s) < 1.0
    assert all(m["node"] == "test-node" for m in heard)
    scores = [m for m in heard if m["topic"] == "score.porch."]
    assert all(m["latency_ms"] is not None for m in scores)
    assert [m["sample"] for m in scores] == sorted(m["sample"] for m in scores)
    assert scores[0]["t"] == rfc3339(scores[0]["sample"] * 1_000_000 // RATE)
    health = [m for m in heard if m["topic"] == "health."]
    assert health[-1]["sources"]["porch"]["lost_samples"] == 0


def test_real_recordings_get_their_right_labels(tmp_path: Path, data: Path) -> None:
    """Real clips of ESC-10, played through `auricle run`: the event that lasts longest bears the clip's label."""
    labels = ["dog_bark", "rain", "rooster", "helicopter", "chainsaw"]
    clips = {label: sorted((data / "esc10" / label).glob("4-*"))[1] for label in labels}
    heard = run(tmp_path, [str(path) for path in clips.values()], speed=8)
    for label, clip in clips.items():
        lasted: dict[str, float] = {}
        for m in heard:
            if m["topic"].startswith("event.") and m["phase"] == "offset" and m["file"] == str(clip):
                lasted[m["label"]] = lasted.get(m["label"], 0.0) + m["duration_s"]
        assert lasted, f"no event in {clip.name} ({label})"
        assert max(lasted, key=lasted.__getitem__) == label


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_daemon_cleanly(tmp_path: Path, signal_name: str) -> None:
    """SIGTERM and SIGINT close open events with cause stop, say stopped, and exit 0 within two seconds."""
    import signal
    import time

    samples, _ = scene(["baby_cry"], RATE, sound_s=20.0, pause_s=0.5)
    write(tmp_path / "scene.wav", samples)
    endpoint = f"ipc://{tmp_path}/events"
    config = {
        "decision": {"threshold": 0.5, "min_duration_ms": 100},
        "sources": [{"name": "porch", "recording": {"path": str(tmp_path / "scene.wav"), "speed": 4}}],
        "publish": {"endpoint": endpoint, "query": f"ipc://{tmp_path}/query"},
        "store": {"enabled": False},
    }
    (tmp_path / "auricle.yaml").write_text(json.dumps(config))
    with subscriber(endpoint) as process:
        daemon = subprocess.Popen([sys.executable, "-m", "auricle", "run", "-c", str(tmp_path / "auricle.yaml")],
                                  stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert process.stdout is not None
        heard = []
        for line in process.stdout:
            heard.append(json.loads(line))
            if heard[-1]["topic"] == "event.porch.baby_cry." and daemon.poll() is None and len(heard) and asked(heard):
                began_s = time.monotonic()
                daemon.send_signal(getattr(signal, signal_name))
                break
        heard += [json.loads(line) for line in process.stdout]
        _, complaints = daemon.communicate(timeout=5)
    assert daemon.returncode == 0, complaints
    assert time.monotonic() - began_s < 2.0
    (closed,) = [m for m in heard if m["topic"] == "event.porch.baby_cry." and m["phase"] == "offset"]
    assert closed["cause"] == "stop"
    assert heard[-1]["state"] == "stopped"


def asked(heard: list[dict[str, Any]]) -> bool:
    """Whether the first onset has just come."""
    return heard[-1]["phase"] == "onset"
