"""Sound that no microphone gives is questioned, once, and heard all the same."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from auricle.capture.doubts import Doubts
from auricle.capture.pcm import StdinPcm
from auricle.capture.poller import Poller
from auricle.capture.reader import Reader
from auricle.capture.source import Piece, Status, Terms
from auricle.errors import AudioError
from helpers.heard import heard
from helpers.sounds import RATE, varied, write

SOUND = varied(3.0) * np.float32(0.5)
STRANGE = {
    "cancelled": (np.stack([SOUND, -SOUND], 1), "cancel each other"),
    "dead": (np.stack([SOUND, np.zeros_like(SOUND)], 1), "nothing on channel 2"),
    "scale": (SOUND * np.float32(32768), "full scale is 1"),
    "offset": (SOUND + np.float32(0.05), "offset of 5.0 %"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_strange_is_told_once_a_source(tmp_path: Path, kind: str) -> None:
    """Two files with the same trouble, one line; the sound is heard as it is; the sound file is named."""
    sound, words = STRANGE[kind]
    paths = [write(tmp_path / name, sound, subtype="FLOAT") for name in ("a.wav", "b.wav")]
    result = heard(*paths)
    (line,) = result.questioned
    assert line.startswith(f"{paths[0]}: ")
    assert words in line
    assert result.said == []
    assert result.lengths() == [len(SOUND)] * 2


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_ordinary_sound_is_not_questioned(tmp_path: Path, channels: int) -> None:
    """Loud or quiet, equal on all channels or different, with a silent stretch: nothing is said."""
    sounds = [varied(25.0, seed=seed) for seed in range(channels)]
    sounds[0][:RATE] = 0
    for factor in (1.0, 1e-3):
        path = write(tmp_path / "a.wav", np.stack(sounds, 1) * np.float32(factor))
        assert heard(path).questioned == []
    assert heard(write(tmp_path / "b.wav", np.stack([sounds[0]] * 2, 1))).questioned == []
    assert heard(write(tmp_path / "c.wav", np.zeros((RATE, 2), np.float32))).questioned == []


def test_trouble_that_begins_in_the_night_is_told(tmp_path: Path) -> None:
    """Every stretch is looked at: a channel that dies after half a minute is found."""
    sound = np.stack([varied(60.0)] * 2, 1)
    sound[30 * RATE :, 0] = 0
    (line,) = heard(write(tmp_path / "a.wav", sound)).questioned
    assert "nothing on channel 1" in line


def test_one_channel_is_listened_to(tmp_path: Path) -> None:
    """The channel that is chosen is heard alone, to the bit, and what the others do is no matter."""
    path = write(tmp_path / "a.wav", np.stack([SOUND, -SOUND], 1), subtype="FLOAT")
    for channel, sound in ((1, SOUND), (2, -SOUND)):
        result = heard(path, channel=channel)
        np.testing.assert_array_equal(result.sound, sound, strict=True)
        assert result.questioned == []
    with pytest.raises(AudioError, match="has no channel 3; it has 2"):
        Reader(str(path), channel=3)
    assert "has no channel 3" in heard(path, channel=3).said[0]


def test_a_reader_by_itself_logs_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody asks for doubts (`classify`, `evaluate`) they are in the log, with the file's name."""
    path = write(tmp_path / "a.wav", STRANGE["offset"][0], subtype="FLOAT")
    list(Reader(str(path)).blocks(1000))
    (line,) = caplog.messages
    assert line.startswith(f"{path}: a constant offset")


def test_samples_that_are_not_finite_raise_no_doubt_and_no_warning() -> None:
    """They are cleaned and counted elsewhere."""
    doubts = Doubts()
    block = np.stack([SOUND, SOUND], 1)
    block[5] = np.nan, np.inf
    doubts.look(block, SOUND, RATE)
    doubts.end()
    assert doubts.take() == []


def test_infinities_of_both_signs_raise_no_warning() -> None:
    """Of plus and minus infinity there is no sum; the block that holds them is not looked at, the next one is."""
    doubts = Doubts()
    struck = np.full((4000, 1), 0.1, np.float32)
    struck[10], struck[20] = np.inf, -np.inf
    doubts.look(struck, struck[:, 0], 4000)
    struck[10:21] = 0.1
    doubts.look(struck, struck[:, 0], 4000)
    doubts.end()
    (said,) = doubts.take()
    assert "a constant offset of 10.0 %" in said


def test_a_live_source_is_questioned_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw samples with an offset on one of their channels: told once, while they are heard."""
    monkeypatch.setattr("auricle.capture.doubts.LOOK_S", 1.0)
    sound = np.stack([SOUND, np.float32(0.05) - SOUND], 1)
    (tmp_path / "in.raw").write_bytes(np.tile(sound, (8, 1)).astype("<f4").tobytes())
    pieces: list[Piece] = []
    with Poller() as poller, (tmp_path / "in.raw").open("rb") as file:
        terms = Terms(model_rate=RATE)
        source = StdinPcm("in", terms, poller=poller, rate=RATE, form="f32le", channels=2, fd=file.fileno())
        source.open()
        until_s = time.monotonic() + 20
        while not any(isinstance(piece, Status) and piece.state == "questioned" for piece in pieces):
            assert time.monotonic() < until_s
            pieces += source.poll(time.monotonic())
        source.close()
    (line,) = [piece.detail for piece in pieces if isinstance(piece, Status) and piece.state == "questioned"]
    assert "offset of 2.5 %" in line
