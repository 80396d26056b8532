"""A recording that is being written is whole at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.capture import writer as writers
from auricle.capture.reader import Reader
from auricle.capture.writer import Writer
from auricle.errors import OutputError
from helpers.heard import heard
from helpers.sounds import RATE, varied

SOUND = varied(4.0)
SIXTEEN = np.clip(np.rint(SOUND * np.float32(32768)), -32768, 32767).astype(np.float32) / np.float32(32768)
START_US = 1_770_000_000_250_000


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    """To the bit of 16, with the time of the first sample; what is too loud is counted, and a gap is silence."""
    path = tmp_path / f"a.{suffix}"
    writer = Writer(path, RATE, START_US)
    for at in range(0, len(SOUND), 999):
        writer.write(SOUND[at : at + 999])
    writer.silence(2 * RATE)
    writer.write(np.array([1.5, -1.5, 0.5], np.float32))
    writer.close()
    assert (writer.samples, writer.clipped) == (6 * RATE + 3, 2 + int(np.count_nonzero(SOUND * 32768 > 32767.5)))
    result = heard(path)
    np.testing.assert_array_equal(result.sound[: len(SOUND)], SIXTEEN, strict=True)
    assert not result.sound[len(SOUND) : -3].any()
    assert (result.said, result.lost) == ([], 0)
    reader = Reader(str(path))
    assert reader.start_us() == START_US
    reader.close()
    with pytest.raises(OutputError, match="is there already"):
        Writer(path, RATE, START_US)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_recorder_that_is_killed_loses_nothing(tmp_path: Path, suffix: str) -> None:
    """Killed at any moment, what it had written is heard to its end, without a word; of FLAC but for a last block."""
    path = tmp_path / f"a.{suffix}"
    code = (
        "import sys, os, numpy as np\n"
        "from pathlib import Path\n"
        "from auricle.capture.writer import Writer\n"
        f"writer = Writer(Path(sys.argv[1]), {RATE}, {START_US})\n"
        "sound = np.load(sys.argv[2])\n"
        "for at in range(0, len(sound), 640): writer.write(sound[at:at + 640])\n"
        "print(writer.samples, flush=True)\n"
        "os.read(0, 1)\n"
    )
    np.save(tmp_path / "sound.npy", SOUND)
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "sound.npy")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    written = int(process.stdout.readline())
    process.kill()
    process.communicate()
    result = heard(path)
    assert written - len(result.sound) <= (0 if suffix == "wav" else 2 * 4096)
    np.testing.assert_array_equal(result.sound, SIXTEEN[: len(result.sound)], strict=True)
    assert (result.said, result.lost) == ([], 0)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_what_a_power_cut_leaves_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """What was brought onto the disk, and whatever of the rest came there too, is sound to its end; the file's name is
    brought there first; what was written since the last time is lost, and no more."""
    path, left = tmp_path / f"a.{suffix}", tmp_path / f"left.{suffix}"
    onto_disk: list[tuple[int, bytes]] = []
    named: list[int] = []
    monkeypatch.setattr(writers, "SYNC_S", 0.0)
    monkeypatch.setattr(os, "fdatasync", lambda fd: onto_disk.append((writer.samples, path.read_bytes())))
    monkeypatch.setattr(os, "fsync", lambda fd: named.append(os.stat(fd).st_ino))
    writer = Writer(path, RATE, START_US)
    assert named == [tmp_path.stat().st_ino]
    for at in range(0, len(SOUND), 8_000):
        writer.write(SOUND[at : at + 8_000])
    writer.close()
    assert len(onto_disk) == len(SOUND) // 8_000 + 1
    chance = random.Random(suffix)
    for number, (samples, content) in enumerate(onto_disk[1:-1], start=1):
        later = onto_disk[number + 1][1]
        for kept in (content, later[: chance.randrange(len(content), len(later) + 1)]):
            left.write_bytes(kept)
            result = heard(left)
            assert samples - len(result.sound) <= (0 if suffix == "wav" else 2 * 4096)
            np.testing.assert_array_equal(result.sound, SIXTEEN[: len(result.sound)], strict=True)
            assert kept is not content or result.said == []


def test_a_header_beyond_4_gib_says_to_the_end(tmp_path: Path) -> None:
    """What a WAV's lengths cannot hold they do not state wrongly."""
    path = tmp_path / "a.wav"
    writer = Writer(path, RATE, START_US)
    writer._file._bytes = 2**32 - 4  # type: ignore[attr-defined]
    writer.write(SOUND[:100])
    writer.close()
    with path.open("rb") as file:
        head = file.read(200)
    assert head[4:8] == b"\xff" * 4
    assert head[head.index(b"data") + 4 :][:4] == b"\xff" * 4
    reader = Reader(str(path))
    assert reader.frames == (2**32 - 4) // 2 + 100
    reader.close()


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """It says what to do, and whoever records ends with it."""
    with pytest.raises(OutputError, match=r"No such file or directory; free some space, or write elsewhere"):
        Writer(tmp_path / "none" / "a.wav", RATE, START_US)
