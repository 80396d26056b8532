"""Recordings as the real writers leave them, whole, killed and streamed: heard to their end."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auricle.capture.container import extent
from helpers.heard import heard
from helpers.sounds import RATE, varied, write

SOUND = (varied(4.0) * 32767).astype("<i2")
FLOATS = SOUND.astype(np.float32) / np.float32(32768)


def piped(command: list[str], length: int | None = None, **environ: str) -> bytes:
    """What a writer gives into a pipe: all of it, or so many bytes, and then it is killed."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **environ}
    )
    assert process.stdout is not None
    if length is None:
        return process.communicate(SOUND.tobytes(), 60)[0]
    found = process.stdout.read(length)
    process.kill()
    process.communicate()
    return found


def ffmpeg(source: Path, target: Path, *options: str) -> Path:
    """Have ffmpeg write a file, and give its path."""
    subprocess.run(["ffmpeg", "-nostdin", "-y", "-v", "error", "-i", source, *options, target], check=True, timeout=60)
    return target


def test_what_arecord_leaves_when_it_is_killed(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """It states 0x80000000 bytes and never goes back: all that it wrote is heard, to the sample, without a word."""
    require(shutil.which("arecord") is not None, "arecord (alsa-utils)")
    (tmp_path / "room.raw").write_bytes(SOUND.tobytes())
    room = f'pcm.room {{ type file slave.pcm {{ type null }} file /dev/null infile "{tmp_path}/room.raw" format raw }}'
    (tmp_path / "asound.conf").write_text(room)
    command = ["arecord", "-q", "-D", "room", "-f", "S16_LE", "-r", str(RATE), "-c", "1", "-t", "wav", "-"]
    content = piped(command, 44 + 2 * 50_001, ALSA_CONFIG_PATH=str(tmp_path / "asound.conf"))
    assert content[40:44] == struct.pack("<I", 0x80000000)
    path = tmp_path / "killed.wav"
    path.write_bytes(content)
    result = heard(path)
    np.testing.assert_array_equal(result.sound, FLOATS[:50_001], strict=True)
    assert (result.said, result.lost) == ([], 0)


@pytest.mark.parametrize("suffix", ["wav", "w64", "caf", "au", "aiff", "flac", "sph", "wv", "ogg"])
def test_what_sox_streams(tmp_path: Path, require: Callable[[bool, str], None], suffix: str) -> None:
    """sox cannot go back in a pipe either: each container that it can stream is heard whole, and nothing is said."""
    require(shutil.which("sox") is not None, "sox")
    raw = ["-t", "raw", "-r", str(RATE), "-b", "16", "-e", "signed", "-c", "1", "-"]
    path = tmp_path / f"streamed.{suffix}"
    path.write_bytes(piped(["sox", *raw, "-t", suffix, "-"]))
    result = heard(path)
    assert (result.said, result.lost) == ([], 0)
    if suffix == "ogg":
        assert abs(len(result.sound) - len(SOUND)) <= 1024
    else:
        np.testing.assert_array_equal(result.sound, FLOATS, strict=True)


@pytest.mark.parametrize("suffix", ["wav", "w64", "caf", "au", "aiff"])
def test_what_sox_was_killed_at(tmp_path: Path, require: Callable[[bool, str], None], suffix: str) -> None:
    """Cut anywhere, also within the headers that it repeats, sound alone is heard, to the last whole sample."""
    require(shutil.which("sox") is not None, "sox")
    raw = ["-t", "raw", "-r", str(RATE), "-b", "16", "-e", "signed", "-c", "1", "-"]
    content = piped(["sox", *raw, "-t", suffix, "-"])
    path = tmp_path / f"killed.{suffix}"
    chance = random.Random(suffix)
    headers = {"w64": 208, "caf": 2 * 4096}.get(suffix, 100)
    for length in (*(chance.randrange(headers + 9, len(content)) for _ in range(4)), headers - 9, headers + 9):
        path.write_bytes(content[:length])
        result = heard(path)
        assert len(result.sound) == 0 or length - 2 * len(result.sound) <= 3 * headers // 2 + 16
        np.testing.assert_array_equal(result.sound, FLOATS[: len(result.sound)], strict=True)


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_ms"])
def test_a_wav_whose_samples_bytes_do_not_count(
    tmp_path: Path, require: Callable[[bool, str], None], codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A dictaphone's WAV: its length may be open or older than the file, and a cut one is told, within two blocks."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    wav = write(tmp_path / "from.wav", FLOATS, subtype="PCM_16")
    path = ffmpeg(wav, tmp_path / "memo.wav", "-c:a", codec)
    content = bytearray(path.read_bytes())
    whole, at = heard(path).sound, content.index(b"data") + 4
    for stated in (0, 2**32 - 1, 0x80000000, 10_240):
        struct.pack_into("<I", content, at, stated)
        path.write_bytes(content)
        result = heard(path)
        np.testing.assert_array_equal(result.sound, whole, strict=True)
        assert (result.said, result.lost) == ([], 0)
    (line,) = caplog.messages
    assert "its header states 10240 bytes of sound" in line
    path = ffmpeg(wav, tmp_path / "memo.wav", "-c:a", codec)
    path.write_bytes(path.read_bytes()[: len(content) * 2 // 3])
    result = heard(path)
    assert "cut short" in result.said[0]
    assert abs(len(result.sound) + result.lost - len(whole)) <= 2 * 2048
    np.testing.assert_array_equal(result.sound[:-2048], whole[: len(result.sound) - 2048])


@pytest.mark.parametrize("suffix", ["wav", "w64", "caf", "aiff", "au"])
def test_what_ffmpeg_was_killed_at(tmp_path: Path, require: Callable[[bool, str], None], suffix: str) -> None:
    """Cut anywhere, a stream of unknown length is heard to its last whole sample."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    wav = write(tmp_path / "from.wav", FLOATS, subtype="PCM_16")
    raw = ["-c:a", "pcm_s16le"] if suffix == "caf" else []
    content = piped(["ffmpeg", "-nostdin", "-v", "error", "-i", str(wav), *raw, "-f", suffix, "pipe:1"])
    if not content:
        pytest.skip(f"this ffmpeg does not stream {suffix}")
    path = tmp_path / f"killed.{suffix}"
    chance = random.Random(suffix)
    for _ in range(4):
        kept = content[: chance.randrange(len(content) // 3, len(content) - 200)]
        path.write_bytes(kept)
        result = heard(path)
        assert 0 <= len(kept) - 2 * len(result.sound) < 4200, "a header, at most"
        np.testing.assert_array_equal(result.sound, FLOATS[: len(result.sound)], strict=True)


@pytest.mark.parametrize("codec", ["libvorbis", "libmp3lame"])
def test_rate_and_channels_change_at_a_part(tmp_path: Path, require: Callable[[bool, str], None], codec: str) -> None:
    """A stream whose sender changed its rate, then its channels, is one recording of three segments, all heard."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    suffix = {"libvorbis": "ogg", "libmp3lame": "mp3"}[codec]
    wav = write(tmp_path / "from.wav", FLOATS, subtype="PCM_16")
    kinds = [("16000", "1"), ("32000", "1"), ("32000", "2")]
    parts = [
        ffmpeg(wav, tmp_path / f"{n}.{suffix}", "-c:a", codec, "-ar", rate, "-ac", channels, "-write_xing", "0")
        if suffix == "mp3"
        else ffmpeg(wav, tmp_path / f"{n}.{suffix}", "-c:a", codec, "-ar", rate, "-ac", channels)
        for n, (rate, channels) in enumerate(kinds)
    ]
    path = tmp_path / f"chain.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = heard(path, start_us=0)
    assert [segment.rate for segment in result.segments] == [16_000, 32_000, 32_000]
    assert result.ends == ["end"] * 3
    assert (result.said, result.lost) == ([], 0)
    for number, (length, segment) in enumerate(zip(result.lengths(), result.segments, strict=True)):
        assert abs(length - len(SOUND)) <= 3 * 1152
        assert abs(segment.clock.utc_us(segment.start) / 1e6 - 4 * number) < 0.25
        assert segment.file == str(path)


def test_a_length_that_has_wrapped_at_4_gib(tmp_path: Path) -> None:
    """A header of 32 bits cannot state more: what lies behind is sound, unless chunks follow where it says."""
    path = tmp_path / "long.wav"
    content = write(tmp_path / "short.wav", FLOATS, subtype="PCM_16").read_bytes()
    long = 2**32 + 4_000
    with path.open("wb") as file:
        file.write(content[:40] + struct.pack("<I", 4_000))
        file.truncate(44 + long)
        found = None
        with path.open("rb") as written:
            found = extent(written, "PCM_16", 1)
    assert found is not None
    assert (found.frames, found.stated, found.note) == (long // 2, long // 2, "")
    with path.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    with path.open("rb") as written:
        found = extent(written, "PCM_16", 1)
    assert found is not None
    assert (found.frames, found.stated) == (long // 2, long // 2)


def test_an_mp3_in_a_wav(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """Nothing counts its samples: whole, it is heard whole and nothing is said; cut, the share of its bytes that is
    missing is told, within two of its frames."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    wav = write(tmp_path / "from.wav", FLOATS, subtype="PCM_16")
    path = ffmpeg(wav, tmp_path / "memo.wav", "-c:a", "libmp3lame")
    whole = heard(path)
    assert (whole.said, whole.lost) == ([], 0)
    assert 0 <= len(whole.sound) - len(SOUND) <= 3 * 576
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        result = heard(path)
        assert "cut short" in result.said[0]
        assert abs(len(result.sound) + result.lost - len(whole.sound)) <= 2 * 576


def test_a_voc_of_many_blocks(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """ffmpeg writes a block every two thousand samples: their headers are no sound, and of a cut one what its last
    block states is told."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    wav = write(tmp_path / "from.wav", FLOATS, subtype="PCM_16")
    path = ffmpeg(wav, tmp_path / "a.voc", "-c:a", "pcm_s16le")
    result = heard(path)
    np.testing.assert_array_equal(result.sound, FLOATS, strict=True)
    assert (result.said, result.lost) == ([], 0)
    content = path.read_bytes()
    chance = random.Random(0)
    for _ in range(6):
        path.write_bytes(content[: chance.randrange(6000, len(content) - 4200)])
        result = heard(path)
        assert "cut short" in result.said[0]
        assert (len(result.sound) + result.lost) % 2048 == 0
        np.testing.assert_array_equal(result.sound, FLOATS[: len(result.sound)], strict=True)
