"""`auricle noise` from a microphone, on a real sound server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from auricle.commands.noise import noise_of_microphone
from auricle.errors import AudioError, DeviceError
from auricle.gate import NoiseGate
from auricle.gate.noise import load_profile
from helpers import soundserver
from helpers.soundserver import SoundServer, write_wav

pytestmark = pytest.mark.alone

RATE = 48_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, require: Callable[[bool, str], None]) -> Iterator[SoundServer]:
    """A sound server of the test's own, up and running."""
    require(not soundserver.missing(), soundserver.missing())
    with soundserver.running(monkeypatch, RATE) as own:
        yield own


def test_a_rooms_noise_is_recorded(server: SoundServer, tmp_path: Path) -> None:
    """What a microphone hears becomes a profile of the length asked for, from which a gate takes its floor."""
    hiss = np.random.default_rng(0).integers(-3000, 3000, 6 * RATE).astype(np.int16)
    player = server.play(write_wav(tmp_path / "hiss.wav", hiss, RATE))
    out = tmp_path / "room.npz"
    line = noise_of_microphone("pipewire", out=out, seconds=1.5)
    player.kill()
    player.wait()
    assert line.startswith("microphone pipewire: 1.5 s of noise at ")
    noise = load_profile(out, RATE)
    assert len(noise) == int(1.5 * RATE)
    assert np.abs(noise).max() > 0.05
    assert not NoiseGate(sample_rate=16_000, n_fft=512, hop_length=160, noise_profile=out).learning


def test_silence_and_missing_microphones_are_refused(server: SoundServer, tmp_path: Path) -> None:
    """A muted microphone makes no profile; one that is not there is named at once."""
    with pytest.raises(AudioError, match="microphone pipewire: digital silence; record the room"):
        noise_of_microphone("pipewire", out=tmp_path / "n.npz", seconds=0.5)
    with pytest.raises(DeviceError, match=r"microphone no such one: .*; auricle devices lists what there is"):
        noise_of_microphone("no such one", out=tmp_path / "n.npz", seconds=0.5)
    assert not (tmp_path / "n.npz").exists()
