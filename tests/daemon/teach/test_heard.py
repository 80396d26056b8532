"""What the daemon remembers of its rooms is background to teach with, but for what may be the sound itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.model.bundle import Bundle
from auricle.service.rooms import name_of
from auricle.teach import course, heard
from auricle.teach.course import Course, Material
from auricle.teach.embedding import ROOM_WINDOWS, Room, Trunk
from helpers import lessons
from helpers.bundles import tone
from helpers.lessons import burst, clips

BEGAN_US = 1_772_346_600_000_000
OFTEN = 7
"""So many of the windows hold the sound itself."""


@pytest.fixture
def house(tmp_path: Path) -> Bundle:
    """A bundle of two labels with a bank."""
    return lessons.house(tmp_path / "house")


def room(folder: Path, house: Bundle, n: int = 300, source: str = "porch", of: int = OFTEN) -> Path:
    """The room of a source as a daemon keeps it: a hum that no bank holds, and now and then the sound."""
    trunk = Trunk(house)
    rng = np.random.default_rng(3)
    windows = []
    for i in range(n):
        window = 1e-3 * rng.standard_normal(trunk.span).astype(np.float32)
        window += tone(rng.uniform(480, 520), 960.0, seconds=1.0, amplitude=rng.uniform(0.02, 0.2))[: trunk.span]
        if i < of:
            window = burst(1000 + i)[2000 : 2000 + trunk.span]
        windows.append(trunk.windows(window)[0][0])
    assert house.trunk is not None
    folder.mkdir(exist_ok=True)
    path = folder / f"{name_of(source, house.trunk)}.npz"
    np.savez(path, embeddings=np.stack(windows), times=BEGAN_US + 60_000_000 * np.arange(n))
    return path


def taught(house: Bundle, tmp_path: Path, rooms: Path | None) -> Course:
    """Teach a sound where these rooms are remembered."""
    folder = tmp_path / "gate"
    given = Material([str(folder if folder.is_dir() else clips(folder, 12))], [], None, (), rooms)
    return course.run(
        house, "gate", given, tmp_path / "models", again=False, anyway=False, progress=lambda share: None
    )  # fmt: skip


def test_the_room_is_told_from_the_sound_and_the_sound_in_it_is_left_out(tmp_path: Path, house: Bundle) -> None:
    """Windows of the room are background; those in which the sound itself was are most of what is left out, and are
    named with their times, for people and programs; the card says what was taken."""
    room(tmp_path / "room", house)
    found = taught(house, tmp_path, tmp_path / "room")
    assert found.taught.alike is not None
    left_out = np.flatnonzero(found.taught.alike)
    assert len(left_out) >= OFTEN // 2
    assert left_out.max() < OFTEN
    assert found.taught.kinds.count("the room") == 300 - len(left_out)
    told = json.loads(json.dumps(found.told()))["remembered"]
    assert told == {"windows": 300, "since": "2026-03-01T06:30:00.000000Z", "left_out": len(left_out)}
    assert found.bundle.raw["taught"]["labels"]["gate"]["remembered"] == told
    (line,) = [line for line in found.lines() if line.startswith("the room: ")]
    assert line.startswith("the room: 300 windows that the daemon heard since 2026-03-01 06:30 UTC; ")
    assert f"{len(left_out)} are taken for the sound itself, and left out: 03-01 06:3" in line


def test_a_room_without_the_sound_is_taken_whole(tmp_path: Path, house: Bundle) -> None:
    """Rooms of all sources are taken, evenly, and no more than one lesson needs; nothing is left out of them."""
    room(tmp_path / "room", house, n=1000, of=0)
    room(tmp_path / "room", house, n=1000, source="hall", of=0)
    (tmp_path / "room" / "porch-0123456789ab.npz").write_bytes(b"of another network")
    found = taught(house, tmp_path, tmp_path / "room")
    assert found.heard is not None
    assert len(found.heard) == ROOM_WINDOWS
    assert found.taught.kinds.count("the room") == ROOM_WINDOWS
    assert next(line for line in found.lines() if line.startswith("the room: ")).endswith("UTC")


def test_a_room_that_cannot_be_read_is_told(tmp_path: Path, house: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    """Where a file is none there is one line, and the label is taught without it, but with those of other sources;
    where no room is remembered, there is none."""
    room(tmp_path / "room", house, n=30)
    path = room(tmp_path / "room", house, n=20, source="hall")
    path.write_bytes(path.read_bytes()[:-20])
    found = taught(house, tmp_path, tmp_path / "room")
    assert found.heard is not None
    assert len(found.heard) == 30
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{path}: ")
    assert line.endswith(": the room that the daemon remembers cannot be used")
    assert heard.read(tmp_path / "nowhere", house) is None


def test_clips_of_the_daemon_give_the_room(house: Bundle) -> None:
    """Where no recording of a room is given sounds are mixed with what the daemon's clips hold beside their events, as
    loud as any room; with noise where there is none."""
    trunk = Trunk(house)
    hum = tone(500.0, seconds=0.7, amplitude=0.01)
    made = Room(trunk, None, pieces=[hum, hum]).piece(np.random.default_rng(0), 2 * len(hum))
    np.testing.assert_allclose(made, np.concatenate((hum, hum)) / np.sqrt(np.mean(hum**2)), rtol=1e-3, atol=1e-6)
    noise = Room(trunk, None).piece(np.random.default_rng(0), 1000)
    assert abs(np.corrcoef(noise[:600], hum[:600])[0, 1]) < 0.3


def test_the_command_takes_the_daemons_room(tmp_path: Path, house: Bundle) -> None:
    """`auricle teach` reads the room in the state folder where the configuration lets it be remembered, and not
    otherwise."""
    room(tmp_path / "room", house)
    folder = clips(tmp_path / "gate", 8)
    for keep_h, windows in ((24, 300), (0, None)):
        configured = tmp_path / f"{keep_h}.yaml"
        source = "sources: [{name: pipe, stdin: {rate: 16000, format: f32le}}]"
        models = tmp_path / f"models-{keep_h}"
        configured.write_text(f"model: {house.path}\nmodels_dir: {models}\n{source}\nroom: {{keep_h: {keep_h}}}\n")
        done = subprocess.run(
            [sys.executable, "-m", "auricle", "teach", "gate", "--clips", folder, "--json", "-c", configured],
            capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)["remembered"]
        assert (told and told["windows"]) == windows
