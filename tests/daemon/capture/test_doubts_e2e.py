"""Sound that no microphone gives, given by one: questioned in the same words as that of a recording."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auricle.capture.microphone import Microphone
from auricle.capture.poller import Poller
from auricle.capture.source import Status, Terms
from helpers import soundserver
from helpers.sounds import RATE, varied, write
from helpers.soundserver import SoundServer

pytestmark = pytest.mark.alone

TWO = "</usr/share/alsa/alsa.conf>\npcm.two { type pipewire channels 2 }\n"
"""A device of two channels: the server's own has 64, and is asked for mono."""

SOUND = varied(12.0) * np.float32(0.5)
STRANGE = {
    "cancel each other": np.stack([SOUND, -SOUND], 1),
    "nothing on channel 2": np.stack([SOUND, np.zeros_like(SOUND)], 1),
    "full scale is 1": np.stack([SOUND, SOUND], 1) * np.float32(32768),
    "a constant offset of": np.stack([SOUND, SOUND], 1) + np.float32(0.05),
}


def questions(server: SoundServer, path: Path) -> list[str]:
    """What a microphone is asked while this is played into it: the first question, and those within a few looks."""
    said: list[str] = []
    with Poller() as poller:
        source = Microphone("mic", Terms(model_rate=RATE), poller=poller, device="two")
        source.open()
        player, until_s = None, time.monotonic() + 120
        while (player is None or player.poll() is None) and len(said) < 2:
            now_s = time.monotonic()
            assert now_s < until_s
            told = [piece for piece in source.poll(now_s) if isinstance(piece, Status)]
            said += [piece.detail for piece in told if piece.state == "questioned"]
            if player is None and source.counters().heard:
                player = server.play(path)
            time.sleep(0.02)
        source.close()
    return said


def test_a_microphone_is_questioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[bool, str], None]
) -> None:
    """Channels that cancel, a dead one, the range of whole numbers, an offset: a line each; ordinary sound: none."""
    require(not soundserver.missing(), soundserver.missing())
    monkeypatch.setattr("auricle.capture.doubts.LOOK_S", 2.0)
    with tempfile.TemporaryDirectory() as folder:
        server = SoundServer(Path(folder) / "run", RATE, channels=2)
        (Path(folder) / "asound.conf").write_text(TWO)
        for key, value in {**server.env, "ALSA_CONFIG_PATH": f"{folder}/asound.conf"}.items():
            monkeypatch.setenv(key, value)
        server.start()
        try:
            for words, sound in STRANGE.items():
                (line,) = questions(server, write(tmp_path / "a.wav", sound, subtype="FLOAT"))
                assert words in line
            ordinary = np.stack([SOUND, np.roll(SOUND, 99)], 1)
            assert questions(server, write(tmp_path / "a.wav", ordinary, subtype="FLOAT")) == []
        finally:
            server.kill()
