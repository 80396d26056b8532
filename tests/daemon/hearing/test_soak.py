"""Over hours of sound the daemon's memory stays where it was after a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.sounds import RATE, varied, write

HOURS = 10

_REPLAY = """
import os, sys
from auricle import config
from auricle.capture.recording import Recordings
from auricle.hearing import engine, pipeline
from auricle.hearing.lane import Lane
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.stages import allocator

allocator.keep_freed()
path, repeats = sys.argv[1], int(sys.argv[2])
cfg = config.load(None, environ={}, overrides={"gate.enabled": "on", "publish.score_interval_ms": 1000})
model = bundle.load("esc10")
source = Recordings("soak", [path] * repeats, model_rate=16000, speed=None, block_samples=5120)
publisher = Publisher("soak", [lambda topic, payload: None])
lane = Lane(source, model, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=publisher)

def rss_kb():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

marks = []
def progress():
    if len(marks) < 1 and lane.counters.decisions >= 60 / (pipeline.hop_ms(cfg.decision, model) / 1000):
        marks.append(rss_kb())

source.open()
stop = engine.Stop()
engine.run([lane], publisher, stop, progress=progress)
print(marks[0], rss_kb(), round(lane.counters.heard_s))
"""


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_memory_after_ten_hours_is_that_after_one_minute(tmp_path: Path) -> None:
    """Ten hours at full speed, gate, scores and events: resident memory within 2 MB of that after the first minute."""
    path = write(tmp_path / "minutes.wav", varied(600.0), RATE, subtype="PCM_16")
    out = subprocess.run(
        [sys.executable, "-c", _REPLAY, str(path), str(HOURS * 6)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    early_kb, late_kb, heard_s = map(int, out.stdout.split())
    print(f"after a minute {early_kb / 1024:.1f} MB, after {heard_s / 3600:.1f} hours {late_kb / 1024:.1f} MB")
    assert heard_s == HOURS * 3600
    assert abs(late_kb - early_kb) <= 2048
