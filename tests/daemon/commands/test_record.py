"""What the daemon would hear, written down: each sample at its time, what was lost told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.capture.reader import Reader
from auricle.capture.source import End, Gap, NominalClock, Segment, Sound, Status
from auricle.commands import record
from auricle.commands.record import Recorder
from auricle.errors import UsageError
from helpers.sounds import RATE, varied

SOUND = varied(3.0)


def auricle(*words: object) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "auricle", *map(str, words)]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """One source, raw samples on standard input."""
    path = tmp_path / "auricle.yaml"
    path.write_text(f"model: esc10\nsources: [{{name: pipe, stdin: {{rate: {RATE}, format: f32le}}}}]\n")
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_source_is_recorded_to_its_end(tmp_path: Path, settings: Path, suffix: str) -> None:
    """What comes in is in the file, to the bit of 16, with the time at which it came."""
    out = tmp_path / f"a.{suffix}"
    began_us = time.time_ns() // 1000
    command = auricle("record", "--out", out, "--config", settings)
    done = subprocess.run(command, input=SOUND.astype("<f4").tobytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"0:03.00 of pipe" in done.stdout
    found = soundfile.read(out, dtype="int16")[0]
    np.testing.assert_array_equal(found, np.clip(np.rint(SOUND * np.float32(32768)), -32768, 32767).astype(np.int16))
    reader = Reader(str(out))
    start_us = reader.start_us()
    reader.close()
    assert start_us is not None
    assert began_us - 5_000_000 < start_us < began_us + 30_000_000


def test_it_ends_after_its_time_and_at_a_signal(tmp_path: Path, settings: Path) -> None:
    """--for is kept to the sample; at SIGTERM what was heard until then is a whole file, and the exit code 0."""
    out = tmp_path / "a.wav"
    command = auricle("record", "--out", out, "--for", "1.5s", "--config", settings)
    done = subprocess.run(command, input=SOUND.astype("<f4").tobytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(out).frames == 1.5 * RATE
    out = tmp_path / "b.flac"
    process = subprocess.Popen(
        auricle("record", "--out", out, "--config", settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(SOUND.astype("<f4").tobytes())
    process.stdin.flush()
    until_s = time.monotonic() + 30
    while not (out.exists() and out.stat().st_size > 8_000):
        assert time.monotonic() < until_s
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert 0 < soundfile.info(out).frames <= len(SOUND)


def test_gaps_are_silence_in_their_place_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was lost is as long in the file as it was, at another rate too; a line and a label say so; before the first
    sound there is nothing to lose."""
    out = tmp_path / "a.wav"
    recording = Recorder(out, RATE)
    clock = NominalClock(48_000, 1_770_000_000_000_000, True)
    for piece in (
        Gap(0, 480, 48_000, "lost", True, clock),
        Segment(480, 48_000, clock),
        Sound(SOUND[:RATE]),
        End("gap"),
        Gap(48_480, 24_000, 48_000, "overrun", False, clock),
        Status("lost", "unplugged"),
        Segment(72_480, 48_000, clock),
        Sound(SOUND[RATE : 2 * RATE]),
    ):
        recording.take(piece)
    recording.close()
    found = soundfile.read(out)[0]
    assert len(found) == 2.5 * RATE
    assert not found[RATE : RATE * 3 // 2].any()
    assert found[RATE * 3 // 2 :].any()
    assert (tmp_path / "a.gaps.txt").read_text() == "1.000000\t1.500000\tgap overrun\n"
    assert recording.lost == 0.5
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("auricle: gap of 0.500 s (overrun) at 2026-02-02T02:40:01.01")
    assert said[1] == "auricle: lost: unplugged"
    reader = Reader(str(out))
    assert reader.start_us() == 1_770_000_000_010_000
    reader.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"out": Path("a.mp3")}, "a.mp3 has no form of a recording; use .flac or .wav"),
        ({"out": Path("a.wav"), "lasts": "soon"}, "--for: 'soon' is no span of time"),
        ({"out": Path("a.wav"), "lasts": "0s"}, "--for: '0s' is no span of time"),
        ({"out": Path("a.wav"), "source": "porch"}, "there is none called 'porch'; use pipe"),
    ],
)
def test_what_cannot_be_is_one_line(settings: Path, given: dict[str, object], words: str) -> None:
    """Before anything is heard."""
    with pytest.raises(UsageError) as caught:
        record.command(**given, config_file=settings)  # type: ignore[arg-type]
    assert words in str(caught.value)
