"""What a recording may be: bounded before it is read, refused in a line, and no decoder speaks for itself."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.capture import packets
from auricle.capture.decoder import open_parts
from auricle.capture.mute import muted
from auricle.capture.reader import MAX_CHANNELS, MAX_RATE, Reader
from auricle.errors import AudioError
from helpers.sounds import RATE, varied, write


def many(path: Path, channels: int, rate: int = RATE) -> Path:
    """A WAV of so many channels, 20,000 samples long."""
    return write(path, np.repeat(varied(1.25)[:, None], channels, axis=1), rate, "PCM_U8")


def test_more_channels_than_sound_has_are_refused(tmp_path: Path) -> None:
    """64 channels are heard as their mean; 65, and the 1,024 that libsndfile would take, are one line."""
    path = many(tmp_path / "a.wav", MAX_CHANNELS)
    given = np.concatenate(list(Reader(str(path), RATE).blocks(1000)))
    np.testing.assert_allclose(given, soundfile.read(path, dtype="float32")[0].mean(axis=1), atol=1e-6)
    for channels in (MAX_CHANNELS + 1, 1024):
        with pytest.raises(AudioError, match=rf"a\.wav: {channels} channels; use 1 to 64$"):
            Reader(str(many(path, channels)), RATE)


def test_what_is_read_at_once_is_bounded(tmp_path: Path) -> None:
    """The widest and fastest file that is let in takes less than 24 MB to be heard, and gives the same as any other."""
    path = many(tmp_path / "a.wav", MAX_CHANNELS, MAX_RATE)
    one = write(tmp_path / "one.wav", varied(1.25), MAX_RATE, "PCM_U8")
    tracemalloc.start()
    given = np.concatenate(list(Reader(str(path), RATE).blocks(4096)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 2**20
    np.testing.assert_allclose(given, np.concatenate(list(Reader(str(one), RATE).blocks(4096))), atol=1e-6)


def test_a_name_does_not_make_raw_samples_of_a_file(tmp_path: Path) -> None:
    """A WAV that is called .raw is heard; samples without a header are refused with what to do; no file stays open."""
    path = write(tmp_path / "a.wav", varied(0.5)).rename(tmp_path / "a.RAW")
    before = len(os.listdir("/proc/self/fd"))
    given = np.concatenate(list(Reader(str(path), RATE).blocks(1000)))
    np.testing.assert_allclose(given, varied(0.5), atol=2**-15)
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(AudioError, match=r"a\.RAW: not a recording .*; raw samples .* put a header before them"):
        Reader(str(path), RATE)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_damaged_mp3_says_nothing_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Bytes struck anywhere in an MP3: what is heard is finite, and the decoder writes no line."""
    content = write(tmp_path / "whole.mp3", varied(3.0)).read_bytes()
    chance = random.Random(14)
    path = tmp_path / "struck.mp3"
    for _ in range(20):
        struck = bytearray(content)
        for _ in range(40):
            struck[chance.randrange(len(struck))] = chance.randrange(256)
        path.write_bytes(struck)
        with suppress(AudioError):
            for block in Reader(str(path), RATE).blocks(4096):
                assert np.isfinite(block).all()
    assert capfd.readouterr().err == ""


def test_a_damaged_mpeg_of_another_layer_says_nothing_either(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], require: Callable[[bool, str], None]
) -> None:
    """The same decoder hears layers I and II, which a struck byte makes of an MP3 too: it writes no line."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    path = tmp_path / "a.mp2"
    words = ["ffmpeg", "-v", "error", "-i", str(write(tmp_path / "a.wav", varied(3.0))), "-c:a", "mp2", str(path)]
    subprocess.run(words, check=True)
    struck = bytearray(path.read_bytes())
    middle = len(struck) // 2
    struck[middle : middle + 400] = bytes(at * 7 % 256 for at in range(400))
    path.write_bytes(struck)
    assert soundfile.info(path).subtype == "MPEG_LAYER_II"
    with pytest.raises(AudioError, match=r"a\.mp2: (cut short|broken)"):
        list(Reader(str(path), RATE).blocks(4096))
    assert capfd.readouterr().err == ""


def test_a_sample_dump_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The decoder of MIDI's sample dumps prints to standard output, where messages go: it is not begun."""
    path = tmp_path / "a.wav"
    soundfile.write(path, varied(0.5), RATE, "PCM_16", format="SDS")
    content = bytearray(path.read_bytes())
    content[30:] = bytes(len(content) - 30)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.wav: a sample dump of MIDI is not heard; make a WAV of it"):
        Reader(str(path), RATE)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("struck", [b"\xff" * 7, b"\0\0", b"\x80" * 7 + b"\0"])
def test_a_damaged_table_of_packets_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str], struck: bytes) -> None:
    """Of a CAF with ALAC whose table has a size that cannot be, libsndfile prints to standard output, or loses the rest
    without a word: it is refused in one line, or its loss is told."""
    path = tmp_path / "a.caf"
    soundfile.write(path, varied(3.0), RATE, "ALAC_16")
    content = path.read_bytes()
    begin = content.index(b"pakt") + 40
    path.write_bytes(content[:begin] + struck + content[begin + len(struck) :])
    with pytest.raises(AudioError) as told:
        list(Reader(str(path), RATE).blocks(4096))
    assert str(told.value).count("\n") == 0
    assert re.search(r"a\.caf: (not a recording .*table of its packets is damaged|cut short|broken)", str(told.value))
    assert capfd.readouterr() == ("", "")


def test_a_whole_table_of_packets_is_believed(tmp_path: Path) -> None:
    """Every whole table, of short sizes and long ones, leaves the file with libsndfile, to the bit."""
    path = tmp_path / "a.caf"
    for seconds in (0.2, 3.0):
        sound = varied(seconds)
        soundfile.write(path, sound, RATE, "ALAC_16")
        with path.open("rb") as file:
            assert not packets.damaged(file)
        (part,) = open_parts(str(path))
        assert part.file.subtype == "ALAC_16"
        part.close()
        given = np.concatenate(list(Reader(str(path), RATE).blocks(4096)))
        np.testing.assert_array_equal(given, soundfile.read(path, dtype="float32")[0])


def test_silence_ends_with_the_last_who_wanted_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Two threads are inside, one leaves: still nothing is seen; the other leaves: standard error is as it was."""
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with muted():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    with muted():
        thread.start()
        assert inside.wait(20)
    os.write(2, b"muted\n")
    leave.set()
    thread.join()
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_the_programs_own_lines_are_not_muted() -> None:
    """While a decoder is muted, what `auricle` itself says arrives; so does an error at its end."""
    script = (
        "import os, sys\n"
        "from auricle import start\n"
        "from auricle.capture.mute import muted\n"
        "from auricle.errors import AudioError\n"
        "def command():\n"
        "    with muted():\n"
        "        os.write(2, b'a decoder\\n')\n"
        "        print('a line', file=sys.stderr)\n"
        "        raise AudioError('x: an error')\n"
        "start._command = command\n"
        "start.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "a line\nauricle: error: x: an error\n")
