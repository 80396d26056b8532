"""Recordings as a source: every format, every bad file, any pace, the same samples however they are cut."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.capture.folders import find
from auricle.capture.reader import Reader
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Segment, Skipped, Sound
from auricle.errors import AudioError
from helpers.sounds import RATE, varied, write


def read(path: Path, samples: int = 4096, rate: int | None = RATE) -> np.ndarray:
    """The whole file through the reader."""
    return np.concatenate(list(Reader(str(path), rate).blocks(samples)))


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("pcm16.wav", "PCM_16", 2**-15),
        ("pcm24.wav", "PCM_24", 2**-23),
        ("u8.wav", "PCM_U8", 2**-7),
        ("float.wav", "FLOAT", 0.0),
        ("double.wav", "DOUBLE", 0.0),
        ("pcm16.flac", "PCM_16", 2**-15),
        ("pcm16.aiff", "PCM_16", 2**-15),
    ],
)
def test_every_depth_is_read_at_its_scale(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    """Full scale is 1.0 whatever the file's depth: int16 is divided by 32768, floats pass unchanged."""
    sound = varied(0.5) * np.float32(0.9)
    given = read(write(tmp_path / name, sound, subtype=subtype))
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, sound, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["sound.ogg", "sound.mp3"])
def test_lossy_formats_are_read(tmp_path: Path, name: str) -> None:
    """OGG and MP3 give sound of the same length (a codec's frame apart), and a tone stays the tone it was."""
    sound = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32) * np.float32(0.5)
    given = read(write(tmp_path / name, sound))
    assert abs(len(given) - len(sound)) <= 2304
    spectrum = np.abs(np.fft.rfft(given[4000 : 4000 + RATE]))
    assert int(spectrum.argmax()) == 440
    assert abs(20 * np.log10(np.std(given[4000:20000]) / np.std(sound[4000:20000]))) < 0.5


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_resampled_sound_does_not_depend_on_blocks(tmp_path: Path, rate: int) -> None:
    """From any rate, the samples are the same bits for every block size, and as many as the length says."""
    path = write(tmp_path / "a.wav", varied(1.0, rate=rate), rate)
    whole = read(path, 10**6)
    assert abs(len(whole) - RATE) <= 1
    for samples in (1, 77, 1280, 5000):
        np.testing.assert_array_equal(read(path, samples), whole, strict=True)


def test_six_channels_are_mixed_to_their_mean(tmp_path: Path) -> None:
    """Mix-down is the mean over all channels."""
    channels = np.stack([varied(0.2, seed=seed) for seed in range(6)], axis=1)
    given = read(write(tmp_path / "six.wav", channels, subtype="FLOAT"))
    np.testing.assert_allclose(given, channels.mean(axis=1), atol=1e-6)


def test_non_finite_samples_become_zero_and_are_counted(tmp_path: Path) -> None:
    """NaN and infinity never leave the source; what was replaced is counted."""
    sound = varied(0.5)
    sound[[10, 20, 30]] = np.nan, np.inf, -np.inf
    reader = Reader(str(write(tmp_path / "nan.wav", sound, subtype="FLOAT")), RATE)
    given = np.concatenate(list(reader.blocks(1000)))
    assert np.isfinite(given).all()
    assert (given[[10, 20, 30]] == 0).all()
    assert reader.cleaned == 3


def _bad(folder: Path) -> dict[str, str]:
    """Files that cannot be heard, and what must be said of each."""
    for name in ("cut.wav", "cut.flac", "cut.ogg", "cut.mp3"):
        content = write(folder / name, varied(3.0)).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound\n" * 50)
    (folder / "header.wav").write_bytes(b"RIFF")
    soundfile.write(folder / "none.wav", np.empty(0, np.float32), RATE)
    return {
        "cut.wav": "cut short",
        "cut.flac": "broken after",
        "cut.ogg": "cut short",
        "cut.mp3": "cut short",
        "empty.wav": "the file is empty",
        "text.wav": "not a recording",
        "header.wav": "not a recording",
        "none.wav": "holds no sample",
    }


def test_bad_files_are_named_and_the_good_ones_heard(tmp_path: Path) -> None:
    """In a folder of good and bad files each bad one is named with its reason, and every good one is heard whole."""
    expected = _bad(tmp_path)
    for name in ("a.wav", "z.wav"):
        write(tmp_path / name, varied(1.0))
    (tmp_path / "notes.txt").write_text("passed over: not named like a recording")
    source = Recordings("x", [str(tmp_path), str(tmp_path / "missing.wav")], model_rate=RATE, speed=None)
    source.open()
    reasons: list[str] = []
    heard: dict[str, int] = {}
    file = ""
    while not source.done:
        for piece in source.poll(0.0):
            match piece:
                case Segment():
                    file = Path(piece.file or "").name
                    heard[file] = 0
                case Sound():
                    heard[file] += len(piece.samples)
                case Skipped():
                    reasons.append(piece.reason)
    assert heard["a.wav"] == heard["z.wav"] == RATE
    for name, reason in {**expected, "missing.wav": "No such file"}.items():
        (said,) = [r for r in reasons if r.startswith(str(tmp_path / name))]
        assert reason in said
        assert "\n" not in said


def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    """A folder that may not be read, an empty one, and a pattern without a match are each named."""
    (tmp_path / "empty").mkdir()
    found, faults = find([str(tmp_path / "empty"), str(tmp_path / "*.wav")])
    assert found == []
    assert "no recording in this folder" in faults[0]
    assert "no file matches" in faults[1]
    if os.geteuid() == 0:
        return  # root reads everything
    (tmp_path / "shut").mkdir(mode=0)
    assert "Permission denied" in find([str(tmp_path / "shut")])[1][0]


def test_a_folder_is_searched_deeply_and_in_order(tmp_path: Path) -> None:
    """Folders give their recordings in sorted order, globs too; other files are passed over."""
    for name in ("b/2.wav", "b/1.flac", "a/3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, varied(0.1))
    (tmp_path / "a" / "notes.txt").write_text("no sound")
    found, faults = find([str(tmp_path)])
    assert [Path(f).name for f in found] == ["3.wav", "1.flac", "2.wav"]
    assert [Path(f).name for f in find([str(tmp_path / "*" / "*.wav")])[0]] == ["3.wav", "2.wav"]
    assert faults == []


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_sound_comes_at_its_pace(tmp_path: Path, speed: float) -> None:
    """At a given speed a sample is given when it would have been recorded, never sooner, late by a block at most."""
    path = write(tmp_path / "a.wav", varied(2.0))
    source = Recordings("x", [str(path)], model_rate=RATE, speed=speed, block_samples=1280)
    source.open()
    began_s = source.due_s(0.0) - 1280 / RATE / speed
    given = 0
    for ms in range(0, 2500, 7):
        due = ms / 1000 * speed * RATE
        at_least = min(due - 1280, 2 * RATE) - 2
        asked_s = time.monotonic()
        while True:  # at the scripted time, once it has been read
            for piece in source.poll(began_s + ms / 1000):
                if isinstance(piece, Sound):
                    given += len(piece.samples)
            if given >= at_least or time.monotonic() > asked_s + 10:
                break
            os.sched_yield()
        assert at_least <= given <= min(max(due, 0), 2 * RATE) + 2
    assert given == 2 * RATE or speed == 1.0


def test_a_loop_begins_again(tmp_path: Path) -> None:
    """With loop, the recording is one segment after the other, and a source of nothing but bad files ends."""
    path = write(tmp_path / "a.wav", varied(0.5))
    source = Recordings("x", [str(path)], model_rate=RATE, speed=None, loop=True, block_samples=8000)
    source.open()
    pieces = [piece for _ in range(5) for piece in source.poll(0.0)]
    assert sum(isinstance(piece, Segment) for piece in pieces) == 5
    assert sum(isinstance(piece, End) for piece in pieces) == 4
    nothing = Recordings("x", [str(tmp_path / "missing.wav")], model_rate=RATE, speed=None, loop=True)
    nothing.open()
    assert all(isinstance(piece, Skipped) for piece in nothing.poll(0.0))
    assert nothing.done


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20240131_235958.wav", "2024-01-31T23:59:58"),
        ("porch_2024-01-31T23-59-58.wav", "2024-01-31T23:59:58"),
        ("20240131T2359.wav", "2024-01-31T23:59:00"),
        ("S4A01_20240131_235958+1000.wav", "2024-01-31T13:59:58"),
        ("2024-01-31T23-59-58-03:30.wav", "2024-02-01T03:29:58"),
        ("20240131T235958Z.wav", "2024-01-31T23:59:58"),
        ("20240131_235958+9900.wav", None),
        ("20240131_235958-0001.wav", "2024-01-31T23:59:58"),
        ("20240131_235958-2.wav", "2024-01-31T23:59:58"),
        ("20241331_235958.wav", None),
        ("99991231_235959.wav", None),
        ("00010101_000000+1000.wav", None),
        ("18991231_235959.wav", None),
        ("dog.wav", None),
    ],
)
def test_a_recordings_start_is_read_from_its_name(tmp_path: Path, name: str, expected: str | None) -> None:
    """Recorders name files by date: with a zone or in UTC: the time of sample 0. What cannot be is none."""
    us = Reader(str(write(tmp_path / name, varied(0.1)))).start_us()
    stated = None if us is None else np.datetime64(us, "us").astype("datetime64[s]").item().isoformat()
    assert stated == expected


def test_a_stated_start_runs_on_over_files(tmp_path: Path) -> None:
    """With a start time, the second file's clock begins where the first one ended."""
    for name in ("1.wav", "2.wav"):
        write(tmp_path / name, varied(1.5))
    source = Recordings("x", [str(tmp_path)], model_rate=RATE, speed=None, start_us=1_000_000)
    source.open()
    segments = []
    while not source.done:
        segments += [piece for piece in source.poll(0.0) if isinstance(piece, Segment)]
    assert [segment.clock.utc_us(0) for segment in segments] == [1_000_000, 2_500_000]
    assert all(segment.clock.known for segment in segments)


def test_an_impossible_rate_is_refused(tmp_path: Path) -> None:
    """A sample rate no sound has is named, not resampled."""
    with pytest.raises(AudioError, match="sample rate of 8 Hz"):
        Reader(str(write(tmp_path / "slow.wav", varied(1.0), rate=8)))
