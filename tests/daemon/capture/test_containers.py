"""What a recording holds against what its header says: heard to its end, or its loss told, whatever wrote it."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.capture.container import layout
from auricle.capture.reader import Reader
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Gap, Skipped, Sound
from helpers.sounds import RATE, varied, write

PCM = {
    "a.wav": "PCM_16",
    "b.wav": "PCM_24",
    "c.wav": "FLOAT",
    "a.rf64": "PCM_16",
    "a.w64": "PCM_24",
    "a.aiff": "PCM_16",
    "a.au": "PCM_16",
    "a.caf": "PCM_24",
}
LENGTH_AT = {"wav": (-4, "<I"), "rf64": (-4, "<I"), "w64": (-8, "<Q"), "aiff": (-12, ">I"), "au": (8, ">I")}
"""Where the length is: counted from the first byte of sound, of an AU from the file's first."""


def heard(path: Path) -> tuple[np.ndarray, list[str], int]:
    """The sound of a file, what was said of it, and the samples that were told as lost."""
    source = Recordings("x", [str(path)], model_rate=RATE, speed=None)
    source.open()
    blocks, said, lost = [np.empty(0, np.float32)], [], 0
    while not source.done:
        for piece in source.poll(0.0):
            match piece:
                case Sound():
                    blocks.append(piece.samples)
                case Skipped():
                    said.append(piece.reason)
                case Gap():
                    assert not piece.estimated
                    assert piece.start == sum(map(len, blocks))
                    lost += piece.samples
                case End(cause):
                    assert cause in ("end", "gap")
    assert all("\n" not in line and "92233720" not in line for line in said)
    return np.concatenate(blocks), said, lost


def made(folder: Path, name: str, seconds: float = 1.5) -> tuple[Path, np.ndarray]:
    """A file of a container, and what is heard in it."""
    path = write(folder / name, varied(seconds), subtype=PCM[name])
    return path, soundfile.read(path, dtype="float32")[0]


def with_length(path: Path, stated: int) -> None:
    """State another length of sound in the header, in bytes as the container counts them."""
    at, form = LENGTH_AT[path.suffix[1:]]
    content = bytearray(path.read_bytes())
    with path.open("rb") as file:
        found = layout(file)
    assert found is not None
    place = at if at > 0 else found.at + at
    struct.pack_into(form, content, place, stated % 2 ** (8 * struct.calcsize(form)))
    path.write_bytes(content)


@pytest.mark.parametrize("name", PCM)
def test_a_whole_file_is_heard_to_the_bit_and_nothing_is_said(tmp_path: Path, name: str) -> None:
    """Every container, as its writer leaves it, gives the samples that it holds and no line."""
    path, whole = made(tmp_path, name)
    given, said, lost = heard(path)
    np.testing.assert_array_equal(given, whole, strict=True)
    assert (said, lost) == ([], 0)


@pytest.mark.parametrize("name", PCM)
def test_what_a_cut_takes_away_is_a_gap_to_the_sample(tmp_path: Path, name: str) -> None:
    """Cut anywhere in its sound, a file is heard up to there, is named, and its stated rest is told as lost."""
    path, whole = made(tmp_path, name)
    content = path.read_bytes()
    with path.open("rb") as file:
        found = layout(file)
    assert found is not None
    chance = random.Random(name)
    for _ in range(8):
        path.write_bytes(content[: chance.randrange(found.at + 8, len(content) - 64)])
        given, said, lost = heard(path)
        assert len(given) + lost == len(whole)
        assert lost > 0
        np.testing.assert_array_equal(given, whole[: len(given)], strict=True)
        (line,) = said
        assert line.startswith(f"{path}: cut short: {len(given)} of {len(whole)} samples")
        cut = Reader(str(path))
        assert cut.cut == line
        cut.close()


@pytest.mark.parametrize("stated", [0, 2**32 - 1, 0x7FFFF000, 0x80000000, 0x7FFFFFFF, 0x80000000 - 36, 2**32 - 37])
@pytest.mark.parametrize("name", ["a.wav", "b.wav", "c.wav", "a.aiff", "a.au"])
def test_a_length_left_open_means_to_the_end(tmp_path: Path, name: str, stated: int) -> None:
    """Whatever a writer leaves where it meant to put the length, the file is heard to its end and nothing is said."""
    path, whole = made(tmp_path, name)

    with_length(path, stated)
    given, said, lost = heard(path)
    np.testing.assert_array_equal(given, whole, strict=True)
    assert (said, lost) == ([], 0)


@pytest.mark.parametrize("name", ["a.wav", "b.wav", "a.w64", "a.aiff", "a.au"])
def test_a_header_older_than_its_file_is_told(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Sound behind the stated length is heard, with one line that says so: nothing is lost, and none is silent."""
    path, whole = made(tmp_path, name)
    with_length(path, 9_600)
    given, said, lost = heard(path)
    np.testing.assert_array_equal(given, whole, strict=True)
    assert (said, lost) == ([], 0)
    (line,) = caplog.messages
    assert f"it holds {len(whole)}: all of them are heard" in line


def test_chunks_behind_the_sound_are_not_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Notes that a recorder appends are the container's own, not sound that its header forgot."""
    path, whole = made(tmp_path, "a.wav")
    with path.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 5) + b"hello\0" + b"bext" + struct.pack("<I", 4) + b"note")
    given, said, lost = heard(path)
    np.testing.assert_array_equal(given, whole, strict=True)
    assert (said, lost, caplog.messages) == ([], 0, [])


def test_whatever_the_header_says_every_sample_is_heard_or_told(tmp_path: Path) -> None:
    """Heard and told as lost are together what the header states or what the file holds, whichever is more."""
    chance = random.Random(18)
    for _ in range(40):
        path, whole = made(tmp_path, chance.choice(["a.wav", "a.aiff", "a.au"]), 0.2)
        stated = chance.choice([chance.randrange(2, 20_000, 2), chance.randrange(2, 2**30, 2)])
        with_length(path, stated + 8 * (path.suffix == ".aiff"))
        given, said, lost = heard(path)
        assert len(given) + lost == max(len(whole), stated // 2)
        assert bool(said) == bool(lost)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "aiff", "au", "caf", "w64"])
def test_what_ffmpeg_streams_into_a_pipe_is_heard(tmp_path: Path, suffix: str) -> None:
    """ffmpeg cannot go back to the header of a pipe: what it leaves there never costs sound, and nothing is said."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    wav = write(tmp_path / "from.wav", varied(3.0))
    form = {"ogg": ["-c:a", "libvorbis", "-f", "ogg"], "caf": ["-f", "caf", "-c:a", "pcm_s16le"]}.get(
        suffix, ["-f", suffix]
    )
    extra = ["-write_xing", "0"] if suffix == "mp3" else []
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(wav), *form, *extra, "pipe:1"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"this ffmpeg does not stream {suffix}: {done.stderr.decode()[-80:]}")
    path = tmp_path / f"piped.{suffix}"
    path.write_bytes(done.stdout)
    given, said, lost = heard(path)
    assert (said, lost) == ([], 0)
    if suffix == "mp3":
        assert 3 * RATE - 1152 <= len(given) <= 3 * RATE + 3 * 1152
    elif suffix == "ogg":
        assert abs(len(given) - 3 * RATE) <= 1024
    else:
        assert len(given) == 3 * RATE


def test_an_mp3_without_a_length_is_heard_to_its_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Quiet then loud, of a changing bit rate and without a header: all frames, with no line of a decoder's own."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    sound = varied(6.0)
    sound[: 3 * RATE] *= 0.001
    wav = write(tmp_path / "from.wav", sound)
    path = tmp_path / "dump.mp3"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", wav, "-q:a", "4", "-write_xing", "0", path]
    subprocess.run(command, check=True, timeout=60)
    alone, said, lost = heard(path)
    assert (said, lost) == ([], 0)
    assert 6 * RATE - 1152 <= len(alone) <= 6 * RATE + 3 * 1152
    twice = tmp_path / "twice.mp3"
    twice.write_bytes(b"no sound at all" * 99 + path.read_bytes() + path.read_bytes() + b"TAG" + bytes(125))
    given, said, lost = heard(twice)
    assert (said, lost) == ([], 0)
    assert 0 <= len(given) - 2 * len(alone) <= 1152
    assert capfd.readouterr().err == ""


def test_chained_ogg_is_one_recording(tmp_path: Path) -> None:
    """Streams one after the other, as Icecast dumps them, are all heard; the end of a cut one is told."""
    one, two = (write(tmp_path / f"{n}.ogg", varied(n * 1.0, seed=n)) for n in (1, 2))
    both = tmp_path / "both.ogg"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    given, said, lost = heard(both)
    np.testing.assert_array_equal(given, np.concatenate([heard(one)[0], heard(two)[0]]), strict=True)
    assert (said, lost) == ([], 0)
    both.write_bytes(both.read_bytes()[:-1500])
    given, said, lost = heard(both)
    assert len(given) > RATE
    assert "last page is missing" in said[0]


def test_a_cut_flac_is_heard_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    """What a damaged FLAC still gives is given to the bit, and its stated rest is a gap."""
    path = write(tmp_path / "a.flac", varied(3.0))
    whole = soundfile.read(path, dtype="float32")[0]
    content = path.read_bytes()
    for share in (0.3, 0.55, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        given, said, lost = heard(path)
        assert len(given) + lost == len(whole)
        assert len(given) > (share - 0.15) * len(whole)
        np.testing.assert_array_equal(given, whole[: len(given)], strict=True)
        (line,) = said
        assert "broken after" in line
