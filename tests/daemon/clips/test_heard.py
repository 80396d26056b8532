"""A clip is heard: played into a real sound server, and recorded from what its loudspeaker is given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auricle.clips.keeper import Order
from auricle.clips.past import Cut, Run
from helpers import kept, soundserver
from helpers.running import LIMIT_S, wait_for
from helpers.sounds import RATE, varied

pytestmark = pytest.mark.alone


def test_a_clip_is_heard(tmp_path: Path, require: Callable[[bool, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loudspeaker is given is the clip from its first sample to its last, bit for bit."""
    require(not soundserver.missing(), soundserver.missing())
    sound = np.rint(0.5 * varied(3.0) * 2**15) / 2**15
    clip = kept.lay(tmp_path / "clips", Order(kept.order(1).clip, Cut(RATE, [Run(0, sound.astype(np.float32))])))
    heard = tmp_path / "heard.raw"
    with soundserver.running(monkeypatch, RATE) as server:
        command = ["parec", "--device=mic.monitor", f"--rate={RATE}", "--channels=1", "--format=s16le", "--raw"]
        with heard.open("wb") as file:
            recorder = subprocess.Popen([*command, "--latency-msec=40"], stdout=file, env=server.env)
        try:
            wait_for(lambda: heard.stat().st_size > 0, "the recorder hears")
            play = [sys.executable, "-m", "auricle", "clips", "play", "--folder", str(tmp_path / "clips")]
            done = subprocess.run(
                [*play, "--device", "pipewire"], capture_output=True, text=True, env=server.env, timeout=LIMIT_S
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert clip.id in done.stdout
            size = heard.stat().st_size
            wait_for(lambda: heard.stat().st_size > size + RATE, "what was on its way is recorded")
        finally:
            recorder.terminate()
            recorder.wait(timeout=LIMIT_S)
    found = np.frombuffer(heard.read_bytes()[: heard.stat().st_size // 2 * 2], "<i2")
    loud = np.flatnonzero(found)
    wanted = np.trim_zeros((sound * 2**15).astype(np.int16))
    got = found[loud[0] : loud[-1] + 1]
    assert len(got) == len(wanted)
    np.testing.assert_array_equal(got, wanted)
