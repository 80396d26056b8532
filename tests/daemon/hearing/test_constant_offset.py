"""A microphone whose silence is not zero is heard as any other, by a network whose front end takes the mean away."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

from helpers.sounds import RATE, write


def test_the_events_are_those_without_an_offset(tmp_path: Path) -> None:
    """A beep of 3.1 kHz every second, with 5 % of full scale added and without: the same label, from the same time to
    the same."""
    t = np.arange(6 * RATE) / RATE
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    beep = 0.3 * np.sin(2 * np.pi * 3100 * t) * (t % 1.0 < 0.5) + noise
    plain, offset = write(tmp_path / "plain.wav", beep), write(tmp_path / "offset.wav", beep + 0.05)
    settings, table = tmp_path / "auricle.yaml", tmp_path / "events.csv"
    settings.write_text("model: home\n")
    command = [sys.executable, "-m", "auricle", "replay", "--speed", "max", "--no-publish", "-c", str(settings)]
    subprocess.run([*command, "--out", table, plain, offset], check=True, capture_output=True, timeout=300)
    with table.open(encoding="utf-8") as file:
        rows = [(row["file"], row["label"], row["begin_s"], row["end_s"]) for row in csv.DictReader(file)]
    first, second = ([row[1:] for row in rows if row[0].endswith(name)] for name in ("plain.wav", "offset.wav"))
    assert [row[0] for row in first] == ["smoke_alarm"]
    assert second == first
