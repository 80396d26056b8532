"""Every call to the system that a clip takes is made to fail once: it is told, no half file is believed, and the next
clip is kept."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle import messages
from auricle.clips import folder as folders
from auricle.clips.beside import beside
from auricle.clips.encode import encode
from auricle.clips.folder import Shelf, files, name_of
from auricle.clips.keeper import Order
from auricle.clips.reading import clip_of
from auricle.clips.reading import clips as lying
from auricle.clips.writer import Writer, comment
from auricle.messages import Clip
from helpers.faults import failing_call, failing_line
from helpers.kept import order
from helpers.running import wait_for
from helpers.sounds import RATE


class Here(Writer):
    """A writer that writes at once, in the test's own thread."""

    def _begin(self) -> bool:
        return True

    def write(self, order: Order) -> Clip:
        return self._made(order)


def whole(clip: Clip) -> None:
    """The file is there, is what was said of it, and nobody else may read it."""
    assert clip.path is not None
    assert len(soundfile.read(clip.path)[0]) == clip.samples
    assert os.stat(clip.path).st_mode & 0o777 == 0o600


def one_in_turn(
    tmp_path: Path, failing: Callable[[int], object], caplog: pytest.LogCaptureFixture, why: messages.ClipLoss
) -> int:
    """Write with the first thing that fails, the second, and so on; return how many there were."""
    k = 0
    while True:
        k += 1
        caplog.clear()
        here = Here(tmp_path / str(k), max_mb=1, max_days=1)
        here.beside = ["json", "png"]
        with failing(k) as fault:  # type: ignore[attr-defined]
            clip = here.write(order(1, 0.2))
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert not [line for line in lines if "fault of our own" in line], (fault.hit, lines)
        if clip.path is None:
            assert clip.why == why, fault.hit
            assert len(lines) == 1, (fault.hit, lines)
            assert list(here.news) == [lines[0].removeprefix("clips: ")]
            assert not list((tmp_path / str(k)).glob("*/*.flac"))
        else:
            whole(clip)
        again = here.write(order(2, 0.2))
        whole(again)
        assert here.trouble is None
        here._shelf.close()
        names = {Path(path).name for path, _ in lying(tmp_path / str(k))}
        assert names == {name_of(each) for each in (clip, again) if each.path is not None}
        if not fault.hit:
            return k - 1


def test_every_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever call fails: the clip is whole, or there is none and one line says why; the next one is kept."""
    assert one_in_turn(tmp_path, failing_call, caplog, "disk") > 20


@pytest.mark.parametrize("form", ["flac", "opus"])
def test_no_code_is_made_at_run_time(monkeypatch: pytest.MonkeyPatch, form: messages.ClipForm) -> None:
    """A clip and its picture are made without libsndfile's callbacks, for which there is no memory in the installed
    unit (MemoryDenyWriteExecute=yes)."""

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(soundfile.SoundFile, "_init_virtual_io", refuse)
    asked = order(1, 0.2, form=form)
    content, facts = encode(asked.sound, form, lambda facts: comment(asked.clip, facts))
    assert facts.samples > 0
    assert beside(asked.clip, content, ["png"])["png"].startswith(b"\x89PNG")


def test_every_line_without_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So it is with whichever line of what encodes and writes has no memory."""

    def failing(k: int) -> object:
        return failing_line(7 * k, "auricle/clips/")

    assert one_in_turn(tmp_path, failing, caplog, "memory") > 10


def test_what_waits_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the disk hangs, so much sound waits and no more: what does not fit is told as lost at once, in one line for
    all; when the disk answers again, what waited is written."""
    answers = threading.Event()
    write = folders._write

    def hang(path: Path, content: bytes) -> None:
        answers.wait(60)
        write(path, content)

    monkeypatch.setattr(folders, "_write", hang)
    monkeypatch.setattr("auricle.clips.writer.WAITING_MB", 1)
    writer = Writer(tmp_path, max_mb=100, max_days=1)
    seconds = 2.0
    fits = int(1e6 / (4 * RATE * seconds))
    for n in range(fits + 5):
        writer.put(order(n, seconds))
    lost = list(writer.done)
    assert [clip.why for clip in lost] == ["slow"] * 5
    assert len(writer.news) == 1
    assert "does not keep up" in writer.news[0]
    answers.set()
    wait_for(lambda: len(writer.done) == fits + 5, "all are told")
    for clip in list(writer.done)[5:]:
        whole(clip)
    assert "kept again" in writer.news[1]
    writer.finish()
    writer.wait(None)


def test_an_end_that_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not written by the time of the end is told as lost, and is not there afterwards either."""
    answers = threading.Event()
    write = folders._write

    def hang(path: Path, content: bytes) -> None:
        answers.wait(60)
        write(path, content)

    monkeypatch.setattr(folders, "_write", hang)
    writer = Writer(tmp_path, max_mb=100, max_days=1)
    for n in range(3):
        writer.put(order(n))
    writer.finish()
    writer.wait(0.0)
    assert [clip.why for clip in writer.done] == ["slow"] * 3
    answers.set()
    assert writer._thread is not None
    writer._thread.join(60)
    assert list(lying(tmp_path)) == []


def test_bounds(tmp_path: Path) -> None:
    """The oldest go, with what lies beside, before there is more than allowed; what is too old goes when the clock is
    certain, and not before; a clip that alone is too large is none."""
    certain = False
    here = Here(tmp_path, max_mb=0.2, max_days=1, certain=lambda: certain)
    here.beside = ["json"]
    made = [here.write(order(n)) for n in range(20)]
    there = [clip for clip in made if clip.path is not None and os.path.exists(clip.path)]
    assert there == made[-len(there) :]
    taken = sum(path.stat().st_size for path in (tmp_path / "s").iterdir())
    assert taken <= 2e5 < taken * (len(there) + 1) / len(there)
    assert here.mb * 1e6 == taken
    assert len(list((tmp_path / "s").glob("*.json"))) == len(there) == here.clips
    assert there[0].path is not None
    os.utime(there[0].path, (0, 0))
    here._shelf.close()
    here._attempt(here._keep)
    assert os.path.exists(there[0].path)
    certain = True
    here._attempt(here._keep)
    assert not os.path.exists(there[0].path)
    assert not Path(there[0].path).with_suffix(".json").exists()
    assert here.clips == len(there) - 1
    assert here.write(order(99, 30.0)).why == "disk"
    assert here.trouble is not None
    assert "is more than clips.max_mb" in here.trouble


def test_names(tmp_path: Path) -> None:
    """Whatever source and label are called, the file lies in the folder of its source, and nothing else is taken for a
    clip."""
    here = Here(tmp_path / "clips", max_mb=10, max_days=1)
    first = here.write(order(1, label="a.b/../c"))
    second = here.write(Order(messages_replace(order(2).clip, source="../x"), order(2).sound))
    for clip in (first, second):
        whole(clip)
        assert clip.path is not None
        assert Path(clip.path).resolve().parent.parent == tmp_path / "clips"
    for name in ("x.flac", "..flac", f".{name_of(first)}.part", f"{name_of(first)}.txt"):
        (tmp_path / "clips" / "s").mkdir(exist_ok=True)
        (tmp_path / "clips" / "s" / name).write_bytes(b"?")
    (tmp_path / "clips" / "s" / name_of(order(3).clip)).symlink_to("/etc/passwd")
    assert {entry.path for entry in files(tmp_path / "clips")} == {first.path, second.path}


def messages_replace(clip: Clip, **changes: object) -> Clip:
    import msgspec

    return msgspec.structs.replace(clip, **changes)


@pytest.mark.parametrize("damage", ["cut", "comment", "empty", "other", "longer"])
def test_what_is_no_clip_is_named(tmp_path: Path, damage: str) -> None:
    """A file that is cut short, empty, or says of itself what is not so, is told and not believed."""
    here = Here(tmp_path, max_mb=10, max_days=1)
    clip = here.write(order(1))
    assert clip.path is not None
    assert clip_of(clip.path).id == clip.id
    content = Path(clip.path).read_bytes()
    if damage == "cut":
        Path(clip.path).write_bytes(content[:100])
    elif damage == "empty":
        Path(clip.path).write_bytes(b"")
    elif damage == "comment":
        Path(clip.path).write_bytes(content.replace(b'"label"', b'"lable"'))
    elif damage == "longer":
        Path(clip.path).write_bytes(content.replace(b'"samples":16000', b'"samples":16001'))
    else:
        soundfile.write(clip.path, np.zeros(100), RATE, format="FLAC")
    ((path, found),) = lying(tmp_path)
    assert path == clip.path
    assert not isinstance(found, Clip)
    assert len(str(found).splitlines()) == 1


def test_a_shelf_counts_what_lies_there(tmp_path: Path) -> None:
    """A start finds what an earlier one has left, in the order of its times, and removes halves."""
    here = Here(tmp_path, max_mb=10, max_days=1)
    made = [here.write(order(n)) for n in range(3)]
    here._shelf.close()
    assert made[0].path is not None
    (tmp_path / "s" / ".half.flac.part").write_bytes(b"?")
    shelf = Shelf(tmp_path)
    shelf.look()
    assert (shelf.clips, shelf.half) == (3, 1)
    assert shelf.bytes == sum(path.stat().st_size for path in (tmp_path / "s").iterdir())
    shelf.keep(shelf.bytes - 1, None)
    assert not os.path.exists(made[0].path)
    shelf.close()


def test_privately_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment comes in which others may read a clip, whatever the umask."""
    modes: Callable[[Path], int] = lambda path: path.stat().st_mode & 0o777  # noqa: E731
    seen: list[int] = []
    replace = os.replace

    def look(half: Path, path: Path) -> None:
        seen.append(modes(Path(half)))
        replace(half, path)

    before = os.umask(0)
    try:
        monkeypatch.setattr(os, "replace", look)
        here = Here(tmp_path / "clips", max_mb=10, max_days=1)
        here.beside = ["json", "png"]
        here.write(order(1))
    finally:
        os.umask(before)
    assert seen == [0o600] * 3
    assert {modes(path) for path in (tmp_path / "clips", tmp_path / "clips" / "s")} == {0o700}
