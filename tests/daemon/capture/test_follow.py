"""Recordings that grow while they are heard."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.capture import reader as readers
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Piece, Sound, Status
from helpers.sounds import RATE, varied, write

SOUND = varied(3.0)
KINDS = {"a.wav": "PCM_16", "a.flac": "PCM_16", "a.ogg": "VORBIS", "a.mp3": None, "a.w64": "PCM_24"}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LOOK_S", 0.01)
    monkeypatch.setattr("auricle.capture.recording.LOOK_S", 0.01)


class Listener:
    """Hears a source in small steps until it is done, in the test's own time."""

    def __init__(self, source: Recordings) -> None:
        self.source, self.pieces = source, list[Piece]()
        source.open()

    @property
    def sound(self) -> np.ndarray:
        blocks = [piece.samples for piece in self.pieces if isinstance(piece, Sound)]
        return np.concatenate([np.empty(0, np.float32), *blocks])

    def until(self, samples: float) -> None:
        """Hear until there are so many samples, or the source is done."""
        until_s = time.monotonic() + 20
        while len(self.sound) < samples and not self.source.done:
            assert time.monotonic() < until_s, "it was not heard in time"
            if self.source.due_s(now_s := time.monotonic()) <= now_s:
                self.pieces += self.source.poll(now_s)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_appended_is_heard(tmp_path: Path, name: str) -> None:
    """In pieces of any size, the whole is heard as if it had been there at once: bit for bit, as one segment."""
    whole = write(tmp_path / name, SOUND, subtype=KINDS[name])
    expected = Listener(Recordings("x", [str(whole)], model_rate=RATE, speed=None))
    expected.until(np.inf)
    content, growing = whole.read_bytes(), tmp_path / f"growing-{name}"
    growing.write_bytes(content[: len(content) // 4])
    listener = Listener(Recordings("x", [str(growing)], model_rate=RATE, speed=None, follow_s=1.0))
    for share in (0.25, 0.6, 0.61, 1.0):
        with growing.open("r+b") as file:
            file.write(content[: int(len(content) * share)])
        listener.until(max(0.0, share - 0.5) * len(expected.sound))
    listener.until(np.inf)
    np.testing.assert_array_equal(listener.sound, expected.sound, strict=True)
    assert [piece.cause for piece in listener.pieces if isinstance(piece, End)] == ["end"]


def test_a_writer_that_never_states_a_length_is_followed_at_a_pace(tmp_path: Path) -> None:
    """A recorder's file, begun empty, played as it grows: heard to its end, and not called lost while it waits."""
    path = tmp_path / "a.wav"
    path.touch()
    listener = Listener(Recordings("x", [str(path)], model_rate=RATE, speed=50.0, follow_s=3.0))

    def record() -> None:
        with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
            for at in range(0, len(SOUND), RATE):
                file.write(SOUND[at : at + RATE])
                file.flush()
                listened.wait(0.1)

    listened = threading.Event()
    recorder = threading.Thread(target=record)
    recorder.start()
    listener.until(np.inf)
    recorder.join()
    np.testing.assert_array_equal(listener.sound, soundfile.read(path, dtype="float32")[0], strict=True)
    assert not [piece for piece in listener.pieces if isinstance(piece, Status)]


def test_without_follow_what_was_there_is_heard(tmp_path: Path) -> None:
    """A file that could still grow ends where it ended when it was opened."""
    path = write(tmp_path / "a.wav", SOUND)
    listener = Listener(Recordings("x", [str(path)], model_rate=RATE, speed=None, block_samples=RATE))
    listener.until(RATE)
    write(path, np.concatenate([SOUND, SOUND]))
    listener.until(np.inf)
    assert len(listener.sound) == len(SOUND)


def test_what_is_still_missing_in_the_end_is_told(tmp_path: Path) -> None:
    """A file that stops growing before its stated end is cut short, as any other."""
    path = write(tmp_path / "a.wav", SOUND)
    path.write_bytes(path.read_bytes()[: 44 + 2 * RATE])
    source = Recordings("x", [str(path)], model_rate=RATE, speed=None, follow_s=0.2)
    listener = Listener(source)
    listener.until(np.inf)
    assert any("cut short" in str(piece) for piece in listener.pieces)
    assert [piece.cause for piece in listener.pieces if isinstance(piece, End)] == ["gap"]
