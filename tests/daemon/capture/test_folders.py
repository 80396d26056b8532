"""Which files of a folder are heard, and what is said of the others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from auricle.capture.folders import find, shown
from helpers.heard import heard
from helpers.sounds import RATE, varied, write


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says how many files of which kind are no recordings; none is there for a folder of nothing else."""
    write(tmp_path / "a.wav", varied(0.1))
    find([str(tmp_path)])
    assert caplog.messages == []
    for name in ("a.txt", "b.TXT", "deep/c.txt", "d.jpg", "README", ".hidden", "x\x1b.o\x1bdd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no sound")
    found, faults = find([str(tmp_path)])
    assert (found, faults) == ([str(tmp_path / "a.wav")], [])
    (line,) = caplog.messages
    assert line == f"{tmp_path}: passed over: 3 .txt, 2 without an extension, 1 .jpg, 1 .o\x1bdd"
    caplog.clear()
    find([str(tmp_path)], tell=False)
    assert caplog.messages == []


def test_a_loop_tells_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Recordings that are played again and again name what they pass over at their first pass."""
    from auricle.capture.recording import Recordings

    write(tmp_path / "a.wav", varied(0.1))
    (tmp_path / "notes.txt").write_text("no sound")
    source = Recordings("x", [str(tmp_path)], model_rate=RATE, speed=None, loop=True)
    source.open()
    for _ in range(10):
        list(source.poll(0.0))
    assert [line.rpartition(": ")[2] for line in caplog.messages] == ["1 .txt"]


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    """A folder behind a link is searched; one that is reached twice, or holds itself, gives its files once."""
    for name in ("here/a.wav", "elsewhere/b.wav"):
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, varied(0.1))
    here = tmp_path / "here"
    (here / "linked").symlink_to(tmp_path / "elsewhere")
    (here / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(here)
    (here / "nowhere").symlink_to(tmp_path / "gone")
    found, faults = find([str(here)])
    assert [os.path.relpath(file, here) for file in found] == ["a.wav", "again/b.wav"]
    assert faults == []


def test_a_name_that_is_no_utf_8_is_heard_and_shown_escaped(tmp_path: Path) -> None:
    """Such a file, and a folder of such a name, is heard like any other, and named in text that anybody can take."""
    odd = os.fsdecode(bytes(tmp_path) + b"/n\xe4chte")
    os.mkdir(odd)
    for name in ("ok", "cut"):
        write(tmp_path / "x.flac", varied(1.0))
        shutil.move(tmp_path / "x.flac", f"{odd}/{name}-\udcff.flac")
    content = Path(f"{odd}/cut-\udcff.flac").read_bytes()
    Path(f"{odd}/cut-\udcff.flac").write_bytes(content[: len(content) // 2])
    Path(f"{odd}/none-\udcff.flac").write_bytes(b"no sound at all")
    result = heard(odd)
    assert [segment.file for segment in result.segments] == [
        f"{tmp_path}/n\\xe4chte/{name}-\\xff.flac" for name in ("cut", "ok")
    ]
    assert result.lengths()[1] == RATE
    assert [line.partition(": ")[0] for line in result.said] == [
        f"{tmp_path}/n\\xe4chte/{name}-\\xff.flac" for name in ("cut", "none")
    ]
    for line in result.said:
        line.encode()
    assert shown("plain/näme.wav") == "plain/näme.wav"


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    """A pipe with nobody at its other end, a device: in a folder neither stops the others from being heard."""
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "b.wav").symlink_to("/dev/zero")
    (tmp_path / "c.wav").symlink_to("nowhere")
    write(tmp_path / "d.wav", varied(0.1))
    found, faults = find([str(tmp_path)])
    assert found == [str(tmp_path / "c.wav"), str(tmp_path / "d.wav")]
    assert faults == [
        f"{tmp_path / name}: a pipe, a socket or a device, not a file; it is not heard" for name in ("a.wav", "b.wav")
    ]
