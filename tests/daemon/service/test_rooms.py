"""A room is remembered as embeddings of what was heard there, where that is allowed, and never what is private."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from auricle.hearing import room as rooms
from auricle.hearing.room import Room
from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.service.rooms import Rooms, name_of
from auricle.teach import course
from auricle.teach.embedding import Trunk
from helpers import lessons, sounds
from helpers.bundles import made_up, tone
from helpers.faults import failing_call, failing_line
from helpers.reloading import RATE, Daemon, daemon

__all__ = ["daemon"]

KEEP_H = 0.5
SURE = 0.99


@pytest.fixture
def house(tmp_path: Path) -> Bundle:
    """A bundle of two tones with an embedding."""
    return lessons.house(tmp_path / "house")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let windows be remembered as often as every second."""
    monkeypatch.setattr(rooms, "LEAST_S", 1.0)


def yard(path: Path, *, siren: bool = False) -> Path:
    """Noise of twelve seconds; a siren in the middle of it, if wanted."""
    sound = sounds.varied(12.0, seed=5)
    if siren:
        at = 5 * RATE
        sound[at : at + RATE] = tone(1000.0, seconds=1.0, amplitude=0.3)
    return sounds.write(path, sound)


def wanted(house: Bundle, recording: Path, **more: Any) -> dict[str, Any]:
    """A daemon of one source that remembers its room."""
    source = {"name": "porch", "recording": {"path": str(recording), "speed": "max"}, **more.pop("source", {})}
    return {
        "model": str(house.path), "sources": [source], "gate": {"enabled": "off"}, "room": {"keep_h": KEEP_H}, **more,
    }  # fmt: skip


def remembered(here: Daemon) -> Room:
    """The room of the source, once all of it was heard."""
    here.listen(13 * RATE)
    return there(here)


def there(here: Daemon) -> Room:
    """The room of the source now."""
    room = here.lane().room
    assert room is not None
    return room


def test_what_is_remembered_is_what_the_network_made_of_it(
    tmp_path: Path, house: Bundle, daemon: Callable[[dict[str, Any]], Daemon]
) -> None:
    """Every second or so there is the embedding of a window, bit for bit that of the recording at its time; messages
    are those of a daemon that remembers nothing."""
    recording = yard(tmp_path / "yard.wav", siren=True)
    here = daemon(wanted(house, recording))
    known = remembered(here).known
    assert 9 <= len(known["times"]) <= 12
    trunk = Trunk(house)
    embeddings, _ = trunk.windows(soundfile.read(recording, dtype="float32")[0], hop_frames=1)
    assert np.all(np.diff(known["times"]) >= 900_000)
    for embedding in known["embeddings"]:
        assert (embeddings == embedding).all(axis=1).any()
    told = [{**message, "t": None} for message in here.heard]
    here.close()
    plain = daemon(wanted(house, recording, room={"keep_h": 0}))
    plain.listen(13 * RATE)
    assert plain.lane().room is None
    strip = ("topic", "scores", "label", "phase", "score", "sample")
    assert [[m.get(key) for key in strip] for m in told] == [[m.get(key) for key in strip] for m in plain.heard]


def test_it_is_there_again_after_a_start(
    tmp_path: Path, house: Bundle, daemon: Callable[[dict[str, Any]], Daemon]
) -> None:
    """The next daemon goes on with the room of the one before, from a file that nobody else may read; one that allows
    no room deletes it, and so does a reload."""
    recording = yard(tmp_path / "yard.wav")
    one = daemon(wanted(house, recording))
    before = remembered(one).known["embeddings"]
    one.close()
    assert house.trunk is not None
    path = tmp_path / "room" / f"{name_of('porch', house.trunk)}.npz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    two = daemon(wanted(house, recording))
    two.turn(two.lane())
    np.testing.assert_array_equal(there(two).known["embeddings"][: len(before)], before)
    half_written = path.with_name(f".{path.name}.new")
    half_written.write_bytes(b"left by a crash")
    two.rooms._kept._writer = SimpleNamespace(is_alive=lambda: True)  # type: ignore[assignment]
    assert two.change(wanted(house, recording, room={"keep_h": 0})) == []
    assert path.exists(), "what is being written would be there again"
    two.rooms._kept._writer = None
    two.rooms.tick(1e9)
    assert not half_written.exists()
    assert two.lane().room is None
    assert two.lane().ear.tap is None
    assert not path.exists()
    two.close()
    assert not path.exists()


def test_each_network_has_its_own_room(
    tmp_path: Path, house: Bundle, daemon: Callable[[dict[str, Any]], Daemon]
) -> None:
    """A reload to another network begins another room, without a gap, and keeps the one before; a label that is taught
    to the network changes no room."""
    recording = yard(tmp_path / "yard.wav")
    here = daemon(wanted(house, recording))
    here.listen(6 * RATE)
    before = there(here)
    other = bundle.load(str(made_up(tmp_path / "other", {"horn": [400.0], "bell": [900.0]}, embedding="embedding")))
    assert other.trunk != house.trunk
    assert here.change(wanted(other, recording)) == []
    here.listen(RATE // 2)
    here.rooms._next_s = 0.0  # it is looked twice a second, and this daemon hears faster than that
    after = remembered(here)
    assert after is not before
    assert after.trunk == other.trunk
    assert len(after) >= 4
    assert not here.of("gap.")
    here.close()
    names = {path.name for path in (tmp_path / "room").iterdir()}
    assert names == {f"{name_of('porch', str(each.trunk))}.npz" for each in (house, other)}
    taught = course.run(
        house, "gate", course.Material([str(lessons.clips(tmp_path / "gate", 8))], [], None), tmp_path / "models",
        again=False, anyway=False, progress=lambda share: None,
    )  # fmt: skip
    assert taught.bundle.trunk == house.trunk


@pytest.mark.parametrize("damage", ["cut", "wide", "early", "empty", "floats"])
def test_a_room_that_is_none_begins_anew(
    tmp_path: Path, house: Bundle, daemon: Callable[[dict[str, Any]], Daemon], damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Whatever is wrong with the file: one line, and the room is remembered anew."""
    assert house.trunk is not None
    assert house.card.embedding is not None
    size = house.card.embedding.size
    embeddings, times = np.zeros((3, size), np.int8), np.arange(3)
    path = tmp_path / "room" / f"{name_of('porch', house.trunk)}.npz"
    path.parent.mkdir()
    match damage:
        case "wide":
            embeddings = np.zeros((3, size + 1), np.int8)
        case "early":
            times = times - 10
        case "empty":
            embeddings, times = embeddings[:0], times[:0]
        case "floats":
            embeddings = embeddings.astype(np.int16)
    np.savez(path, embeddings=embeddings, times=times)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    here = daemon(wanted(house, yard(tmp_path / "yard.wav")))
    assert len(remembered(here)) >= 9
    (line,) = [record.getMessage() for record in caplog.records if "remembered room" in record.getMessage()]
    assert line.startswith(f"{path}: ")
    assert line.endswith("the remembered room cannot be used, it begins anew")


def test_what_is_private_is_not_remembered(
    tmp_path: Path, house: Bundle, daemon: Callable[[dict[str, Any]], Daemon]
) -> None:
    """With `privacy: siren` no window is remembered in which the siren was heard, nor one beside it; the others are.
    Without it there are such windows."""
    recording = yard(tmp_path / "yard.wav", siren=True)
    trunk = Trunk(house)
    embeddings, scores = trunk.windows(soundfile.read(recording, dtype="float32")[0], hop_frames=1)
    siren = scores[:, house.labels.index("siren")] >= SURE
    assert siren.any()

    def with_it(known: np.ndarray) -> int:
        return sum((embeddings[siren] == each).all(axis=1).any() for each in known)

    assert with_it(remembered(daemon(wanted(house, recording))).known["embeddings"])
    (tmp_path / "private").mkdir()
    sure = {"clips": {"privacy_threshold": SURE}}
    here = Daemon(tmp_path / "private", wanted(house, recording, source={"privacy": ["siren"]}, **sure))
    try:
        known = remembered(here).known["embeddings"]
    finally:
        here.close()
    assert len(known) >= 5
    assert with_it(known) == 0


def test_a_network_without_an_embedding_is_told(
    tmp_path: Path, daemon: Callable[[dict[str, Any]], Daemon], caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be remembered it is said once, and the source is heard as ever."""
    here = daemon({**wanted_plain(yard(tmp_path / "yard.wav")), "room": {"keep_h": 1}})
    here.listen(3 * RATE)
    assert here.lane().room is None
    lines = [record.getMessage() for record in caplog.records if "room.keep_h" in record.getMessage()]
    assert lines == ["porch: room.keep_h: model esc10 gives no embedding to remember the room by"]


def wanted_plain(recording: Path) -> dict[str, Any]:
    """A daemon of a model without an embedding."""
    source = {"name": "porch", "recording": {"path": str(recording), "speed": "max"}}
    return {"model": "esc10", "sources": [source], "gate": {"enabled": "off"}}


def test_hours_and_windows_are_bounded() -> None:
    """What is hours older than the newest goes, and so does what a clock that was set makes hours older or younger;
    there are never more windows than allowed."""
    room = Room("0" * 12)
    room.keep_h = 2.0
    hour_us = 3_600_000_000
    one = np.zeros(4, np.int8)
    for hour in range(5):
        room._keep(hour * hour_us, one)
    assert room.known["times"].tolist() == [2 * hour_us, 3 * hour_us, 4 * hour_us]
    for jumped_us in (100 * hour_us, 7 * hour_us):
        room._keep(jumped_us, one)
        assert room.known["times"].tolist() == [jumped_us]
    for i in range(rooms.MOST + 5):
        room._keep(i, one)
    assert len(room) == rooms.MOST


@pytest.mark.parametrize("failing", [failing_call, lambda k: failing_line(k, "auricle/service/rooms")])
def test_whatever_fails_costs_the_room_alone(
    tmp_path: Path, house: Bundle, failing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever call fails, or line has no memory, while rooms are kept: a line or an error that the engine tells, and
    the next time the room is kept."""
    here = Daemon(tmp_path, wanted(house, yard(tmp_path / "yard.wav")))
    try:
        room, hits = remembered(here), 0
        size = room.known["embeddings"].shape[1]
        for k in range(1, 60):
            kept, again = (Rooms(here.roster.lanes, tmp_path / str(k)) for _ in range(2))
            kept.configure(here.reload.cfg)
            kept.tick(0.0)
            there(here).restore(room.known, size)
            caplog.clear()
            with failing(k) as fault, suppress(MemoryError):
                kept.close()
                again.configure(here.reload.cfg)
                again.tick(0.0)
            lines = [record for record in caplog.records if record.levelname == "WARNING"]
            assert len(lines) <= 1, (fault.hit, lines)
            hits += bool(fault.hit)
            kept.close()
            again = Rooms(here.roster.lanes, tmp_path / str(k))
            again.configure(here.reload.cfg)
            again.tick(100.0)
            np.testing.assert_array_equal(there(here).known["embeddings"], room.known["embeddings"])
            if not fault.hit:
                break
        assert hits > 3
    finally:
        here.close()
