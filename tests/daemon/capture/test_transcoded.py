"""What libsndfile cannot read ffmpeg may: bounded, and of nothing but the file itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auricle.capture import transcoded
from auricle.capture.folders import find
from auricle.capture.reader import Reader
from auricle.errors import AudioError
from helpers.heard import heard
from helpers.sounds import RATE, varied, write

SECONDS = 4.0


@pytest.fixture(autouse=True)
def _ffmpeg(request: pytest.FixtureRequest, require: Callable[[bool, str], None]) -> None:
    """Every test here needs the real one."""
    require(shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None, "ffmpeg")


def made(target: Path, *options: str, sound: np.ndarray | None = None) -> Path:
    """A file of ffmpeg's, of varied sound."""
    wav = write(target.parent / "from.wav", varied(SECONDS) if sound is None else sound)
    command = ["ffmpeg", "-nostdin", "-y", "-v", "error", "-i", wav, *options, target]
    subprocess.run(command, check=True, timeout=60)
    wav.unlink()
    return target


def alike(given: np.ndarray, sound: np.ndarray) -> float:
    """How like two sounds are in their course of loudness, at the best shift of half a second: 1 is equal."""
    envelope = [np.abs(s[: len(s) // 80 * 80].reshape(-1, 80)).mean(1) for s in (given, sound)]
    n = min(map(len, envelope)) - 100
    return max(float(np.corrcoef(envelope[0][s : s + n], envelope[1][:n])[0, 1]) for s in range(100))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("phone.m4a", ["-c:a", "aac"]),
        ("raw.aac", ["-c:a", "aac"]),
        ("wrapped.opus", ["-c:a", "libopus", "-f", "webm"]),
        ("old.wma", ["-c:a", "wmav2"]),
        ("old.avi", ["-c:a", "mp3"]),
        ("lossless.wv", ["-c:a", "wavpack"]),
        ("lossless.oga", ["-c:a", "flac"]),
        ("film.mp4", ["-f", "lavfi", "-i", "testsrc=d=4:s=64x64:r=5", "-map", "0:a", "-map", "1:v", "-c:a", "aac"]),
    ],
)
def test_other_kinds_are_heard_whole(tmp_path: Path, name: str, options: list[str]) -> None:
    """Within a few codec frames it is the sound that was written, and nothing is said; a folder finds it."""
    path = made(tmp_path / name, *options)
    assert find([str(tmp_path)]) == ([str(path)], [])
    result = heard(path)
    assert (result.said, result.lost, result.questioned) == ([], 0, [])
    assert abs(len(result.sound) - SECONDS * RATE) <= 3 * 1024
    assert alike(result.sound, varied(SECONDS)) > 0.95


def test_two_channels_come_apart(tmp_path: Path) -> None:
    """Rate and channels are the file's own: one channel of a lossless one is that channel to the bit."""
    sound = np.round(np.stack([varied(1.0), varied(1.0, seed=1)], 1) * 32767) / 32768
    path = made(tmp_path / "two.m4a", "-c:a", "alac", sound=sound)
    reader = Reader(str(path), channel=2)
    assert (reader.rate, reader.channels) == (RATE, 2)
    np.testing.assert_array_equal(np.concatenate(list(reader.blocks(999))), sound[:, 1].astype(np.float32))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", ["-c:a", "aac", "-movflags", "+faststart"]),
        ("a.mka", ["-c:a", "libopus"]),
        ("a.wma", ["-c:a", "wmav2"]),
        ("a.avi", ["-c:a", "mp3"]),
        ("a.tta", []),
    ],
)
def test_a_cut_file_is_heard_up_to_there(tmp_path: Path, name: str, options: list[str]) -> None:
    """Its stated rest is told as lost, and it is named."""
    path = made(tmp_path / name, *options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    result = heard(path)
    (line,) = result.said
    assert line.startswith(f"{path}: ")
    assert 0.4 < len(result.sound) / (SECONDS * RATE) < 0.9
    assert abs(len(result.sound) + result.lost * RATE / result.segments[0].rate - SECONDS * RATE) <= 2 * 1024


@pytest.mark.parametrize("codec", ["flac", "libspeex"])
def test_a_cut_ogg_is_named(tmp_path: Path, codec: str) -> None:
    """Nothing states how much is missing, but its last page is."""
    path = made(tmp_path / "a.oga", "-c:a", codec)
    path.write_bytes(path.read_bytes()[:-500])
    (line,) = heard(path).said
    assert line == f"{path}: cut short: the stream's last page is missing"


@pytest.mark.parametrize("codec", ["flac", "libspeex"])
def test_a_chain_of_ogg_is_heard(tmp_path: Path, codec: str) -> None:
    """Streams one after the other are one recording; where the rate changes, a new segment begins, at its time."""
    one, other = (made(tmp_path / f"{rate}.oga", "-c:a", codec, "-ar", str(rate)) for rate in (RATE, 2 * RATE))
    path = tmp_path / "chain.oga"
    path.write_bytes(2 * one.read_bytes())
    result = heard(path)
    assert (result.said, result.lost, len(result.segments)) == ([], 0, 1)
    assert abs(len(result.sound) - 2 * SECONDS * RATE) <= 2 * 1024
    path.write_bytes(2 * one.read_bytes() + other.read_bytes() + one.read_bytes())
    result = heard(path, start_us=0)
    assert (result.said, result.lost) == ([], 0)
    assert [segment.rate for segment in result.segments] == [RATE, 2 * RATE, RATE]
    for length, share in zip(result.lengths(), (2, 1, 1), strict=True):
        assert abs(length - share * SECONDS * RATE) <= 2 * 1024
    for segment, begin in zip(result.segments, (0, 2, 3), strict=True):
        assert abs(segment.clock.utc_us(segment.start) / 1e6 - begin * SECONDS) < 0.25
    assert alike(result.sound[-int(SECONDS * RATE) :], varied(SECONDS)) > 0.95


@pytest.mark.parametrize(("form", "codec"), [("asf", "wmav2"), ("avi", "mp3"), ("wv", "wavpack"), ("matroska", "flac")])
def test_what_was_written_into_a_pipe_states_nothing(tmp_path: Path, form: str, codec: str) -> None:
    """A length that could not be filled in is no loss: all is heard, and nothing is said."""
    wav = write(tmp_path / "from.wav", varied(SECONDS))
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", wav, "-c:a", codec, "-f", form, "pipe:1"]
    path = tmp_path / "a.bin"
    path.write_bytes(subprocess.run(command, check=True, timeout=60, capture_output=True).stdout)
    result = heard(path)
    assert (result.said, result.lost) == ([], 0)
    assert abs(len(result.sound) - SECONDS * RATE) <= 3 * 1024


def test_nothing_but_the_file_itself_is_opened(tmp_path: Path) -> None:
    """Playlists, lists of files and addresses in them are refused in one line; nothing they name is opened."""
    made(tmp_path / "a.aac", "-c:a", "aac")
    lists = {
        "hls.m4a": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\na.aac\n#EXT-X-ENDLIST\n",
        "address.m4a": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\nhttp://127.0.0.1:9/a.aac\n#EXT-X-ENDLIST\n",
        "concat.m4a": "ffconcat version 1.0\nfile a.aac\n",
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AudioError, match=r"not a recording that can be read .*playlist"):
            Reader(str(tmp_path / name))


def test_what_holds_no_sound_is_refused(tmp_path: Path) -> None:
    """A silent film, a picture, text and a name that looks like an option or an address: one line each."""
    film = made(tmp_path / "film.mp4", "-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5", "-map", "1:v")
    for path, reason in ((film, "holds no sound"), (write_text(tmp_path / "http:x"), "not a recording")):
        with pytest.raises(AudioError, match=reason):
            Reader(str(path))
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(AudioError, match=r"-i\.m4a: not a recording"):
            Reader(str(write_text(Path("-i.m4a"))))
        made(tmp_path / "concat:a.m4a", "-c:a", "aac")
        assert sum(map(len, Reader("concat:a.m4a").blocks(999))) > 3 * RATE
    finally:
        os.chdir(here)


def write_text(path: Path) -> Path:
    """A file that is no sound."""
    path.write_text("this is no sound\n" * 50)
    return path


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A program that is called in ffmpeg's place, for a file that is said to be ten seconds of sound."""

    def make(does: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        told = '{"streams": [{"codec_type": "audio", "sample_rate": "16000", "channels": 1}], "format": {}}'
        for name, script in (("ffprobe", f"echo '{told}'"), ("ffmpeg", does)):
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return write_text(tmp_path / "a.m4a")

    return make


def test_one_that_hangs_is_ended(stand_in: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gave is heard; what it does not give in time is told, and it is no longer there."""
    monkeypatch.setattr(transcoded, "STALL_S", 2.0)
    began_s = time.monotonic()
    result = heard(stand_in("head -c 32000 /dev/zero; exec sleep 1000"))
    assert time.monotonic() - began_s < 60
    assert len(result.sound) == 8000
    assert "broken after 0.500 s (ffmpeg gave nothing for 2 s)" in result.said[0]


def test_one_that_fails_is_told_in_its_own_words(stand_in: Callable[[str], Path]) -> None:
    """However much it complains, it is heard, and the last complaint stands in the line."""
    result = heard(
        stand_in("head -c 64000 /dev/zero; yes '[aac @ 0x1] oh' | head -c 1000000 >&2; echo x: torn >&2; exit 69")
    )
    assert len(result.sound) == 16000
    assert result.said[0].endswith("broken after 1.000 s (ffmpeg: torn)")


def test_its_last_words_are_read_to_their_end(stand_in: Callable[[str], Path]) -> None:
    """It may complain for longer than a pipe holds after its sound has ended."""
    result = heard(
        stand_in("head -c 64000 /dev/zero; exec >&-; yes oh | head -c 300000 >&2; echo x: torn >&2; exit 69")
    )
    assert result.said[0].endswith("broken after 1.000 s (ffmpeg: torn)")


def test_one_that_leaves_a_program_behind_is_not_waited_for(
    stand_in: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that holds its pipes open when it has ended costs the time of one stall, no more."""
    monkeypatch.setattr(transcoded, "STALL_S", 2.0)
    began_s = time.monotonic()
    result = heard(stand_in("head -c 64000 /dev/zero; sleep 1000 >&- & echo x: torn >&2; exit 69"))
    assert time.monotonic() - began_s < 60
    assert result.said[0].endswith("broken after 1.000 s (ffmpeg: torn)")


def test_more_sound_than_a_file_can_hold_is_refused(
    stand_in: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes that make days of sound are heard up to the bound, and told."""
    monkeypatch.setattr(transcoded, "MOST_S", 5)
    result = heard(stand_in("exec cat /dev/zero"))
    assert len(result.sound) <= 6 * RATE
    assert "more sound than its size can hold" in result.said[0]


def test_its_memory_is_bounded(stand_in: Callable[[str], Path]) -> None:
    """It may take no more than 512 MB and write no file."""
    path = stand_in("until [ $(ulimit -f) = 0 ]; do sleep 0.05; done; ulimit -d >&2; ulimit -f >&2; exit 1")
    result = heard(path)
    assert f"{transcoded.MOST_BYTES // 1024} 0" in " ".join(result.said) or "(ffmpeg: 0)" in result.said[0]


def test_where_there_is_none_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that only ffmpeg would read is no silent miss: the line says what to install."""
    path = made(tmp_path / "a.m4a", "-c:a", "aac")
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = heard(path).said
    assert "apt-get install ffmpeg" in line


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", ["-c:a", "aac", "-movflags", "+faststart"]),
        ("a.mka", ["-c:a", "libopus"]),
        ("a.webm", ["-c:a", "libvorbis"]),
        ("a.avi", ["-c:a", "mp3"]),
    ],
)
def test_a_missing_end_is_named_however_short(tmp_path: Path, name: str, options: list[str]) -> None:
    """Of a few bytes no lost sample can be counted; what wraps the sound says that they are missing."""
    path = made(tmp_path / name, *options)
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    (line,) = heard(path).said
    assert line == f"{path}: cut short: the file's last 3 of {len(content)} bytes are missing"


def test_of_a_lossless_codec_every_sample_is_told(tmp_path: Path) -> None:
    """A frame less than a codec's usual one is no play: it is lost."""
    path = made(tmp_path / "a.m4a", "-c:a", "alac", "-movflags", "+faststart")
    whole = heard(path)
    path.write_bytes(path.read_bytes()[:-3])
    result = heard(path)
    assert 0 < result.lost == len(whole.sound) - len(result.sound)
    assert "cut short" in result.said[0]


def test_a_film_in_which_no_sound_has_begun_is_named(tmp_path: Path) -> None:
    """ffmpeg gives nothing and complains of nothing: the file is not passed over."""
    path = write(tmp_path / "a.aiff", varied(1.0))
    path.write_bytes(path.read_bytes()[:44])
    result = heard(path)
    assert len(result.sound) == 0
    assert len(result.said) == 1
