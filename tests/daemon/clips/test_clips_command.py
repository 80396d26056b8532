"""`auricle clips` lists, plays and exports what a daemon has kept."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from auricle.clips.beside import BESIDE
from auricle.clips.picture import ROWS, spectrogram
from auricle.clips.reading import clip_of
from auricle.clips.writer import Writer
from auricle.commands.cli import app
from auricle.errors import AudioError, AuricleError
from auricle.messages import Clip
from helpers.kept import order
from helpers.sounds import RATE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three clips, two of bells and one of a dog."""
    writer = Writer(tmp_path / "clips", max_mb=10, max_days=10_000)
    for n, label in ((1, "bell"), (2, "dog"), (13, "bell")):
        writer.put(order(n, 0.5, label=label))
    writer.finish()
    writer.wait(None)
    return tmp_path / "clips"


def ran(*words: object) -> Result:
    return CliRunner().invoke(app, ["clips", *map(str, words)])


def test_list(folder: Path) -> None:
    """All clips by their times, those of a label, of a time, or as JSON, each the message about it."""
    lines = ran("list", "--folder", folder).stdout.splitlines()
    assert [line.split()[3] for line in lines] == ["bell", "dog", "bell"]
    assert lines[1].startswith("1970-01-01 00:00:02.00Z  s  dog")
    assert lines[1].endswith("000000000002")
    lines = ran("list", "--folder", folder, "--label", "bell", "--since", "1970-01-01T00:00:05Z", "--json")
    (said,) = [json.loads(line) for line in lines.stdout.splitlines()]
    assert (said["label"], said["samples"], said["type"]) == ("bell", RATE // 2, "clip")
    assert soundfile.info(said["path"]).frames == RATE // 2
    assert ran("list", "--folder", folder, "--source", "t").stdout == ""


def test_what_cannot_be_read(folder: Path) -> None:
    """A file that is no clip is named on standard error, the others are listed, and the exit code says so."""
    broken = next((folder / "s").glob("*.dog.*"))
    broken.write_bytes(broken.read_bytes()[:50])
    done = ran("list", "--folder", folder)
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.count("\n") == 1
    assert str(broken) in done.stderr


def test_no_folder(tmp_path: Path) -> None:
    """Where there are no clips a line says what may be the reason."""
    error = ran("list", "--folder", tmp_path / "none").exception
    assert isinstance(error, AuricleError)
    assert "there are no clips; is clips.enabled set" in str(error)


def test_the_configured_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a folder is named it is that of the configuration, else the one in the state folder."""
    (tmp_path / "auricle.yaml").write_text(json.dumps({"clips": {"folder": str(folder)}}))
    assert len(ran("list", "-c", tmp_path / "auricle.yaml").stdout.splitlines()) == 3
    (tmp_path / "auricle.yaml").write_text("{}")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert len(ran("list", "-c", tmp_path / "auricle.yaml").stdout.splitlines()) == 3


def test_export(folder: Path, tmp_path: Path) -> None:
    """Copies are equal, and beside each lies what was said of it, with its sum, and a picture; nobody else may read
    them."""
    done = ran("export", tmp_path / "out", "--folder", folder, "--with", "json", "--with", "png", "--label", "bell")
    assert done.exit_code == 0
    copies = sorted((tmp_path / "out" / "s").glob("*.flac"))
    assert len(copies) == 2
    for copy in copies:
        assert copy.read_bytes() == (folder / "s" / copy.name).read_bytes()
        said = json.loads(copy.with_suffix(".json").read_bytes())
        assert said["sha256"] == hashlib.sha256(copy.read_bytes()).hexdigest()
        assert said["path"] == str(copy)
        assert copy.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out" / "s").iterdir()} == {0o600}
    assert {path.suffix for path in (tmp_path / "out" / "s").iterdir()} == {".flac", *(f".{each}" for each in BESIDE)}
    error = ran("export", tmp_path / "out", "--folder", folder, "--with", "gif").exception
    assert str(error) == "--with: 'gif' is not known; use json or png"
    assert len(ran("export", tmp_path / "one", "--folder", folder, "--event", "000002").stdout.splitlines()) == 1
    assert [path.name.split(".")[2] for path in (tmp_path / "one" / "s").iterdir()] == ["dog"]


def test_export_where_nothing_can_be_written(folder: Path, tmp_path: Path) -> None:
    """It is a line, and the exit code of output."""
    (tmp_path / "file").write_text("")
    error = ran("export", tmp_path / "file", "--folder", folder).exception
    assert isinstance(error, AuricleError)
    assert error.exit_code == 74
    assert str(error).endswith("name another folder")


def test_play(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest is played, or the one that is meant, to its last sample at its own rate; silence comes after it, since
    a sound server may drop the end."""
    sounddevice = pytest.importorskip("sounddevice")
    played: list[Any] = []

    class Speaker:
        def __init__(self, rate: int, **how: Any) -> None:
            played.append((rate, how["channels"], []))

        def __enter__(self) -> SimpleNamespace:
            return SimpleNamespace(write=lambda block: played[-1][2].append(block.copy()))

        def __exit__(self, *about: object) -> None:
            pass

    monkeypatch.setattr(sounddevice, "OutputStream", Speaker)
    assert "bell" in ran("play", "--folder", folder).stdout
    assert "dog" in ran("play", "000002", "--folder", folder).stdout
    wanted, _ = soundfile.read(next((folder / "s").glob("*.dog.*")), dtype="float32", always_2d=True)
    assert played[1][:2] == (RATE, 1)
    given = np.concatenate(played[1][2])
    np.testing.assert_array_equal(given[: len(wanted)], wanted)
    assert len(given) > len(wanted)
    assert not given[len(wanted) :].any()
    for part, why in (("ff", "there is no such clip"), ("0000", "is in the ids of 3 events; give more of it")):
        assert why in str(ran("play", part, "--folder", folder).exception)


def test_a_tone_is_drawn_where_it_lies() -> None:
    """A tone of 1 kHz at 16 kHz is brightest in an eighth of the height from below, while it sounds."""
    t = np.arange(2 * RATE) / RATE
    sound = np.where(t >= 1, 0.3 * np.sin(2 * np.pi * 1000 * t), 0).astype(np.float32)
    content = io.BytesIO(spectrogram(sound, RATE, (1.0, 1.5)))
    assert content.read(8) == b"\x89PNG\r\n\x1a\n"
    parts = {}
    while head := content.read(8):
        length, kind = struct.unpack(">I4s", head)
        parts[kind] = content.read(length)
        assert struct.unpack(">I", content.read(4))[0] == zlib.crc32(kind + parts[kind])
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    picture = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, width + 1)[:, 1:]
    assert height == ROWS
    assert picture[:, : width // 2 - 2].max() == 0
    column = picture[1::2, 3 * width // 5].astype(int)
    row = 1 + 2 * int(column.argmax())
    assert abs((ROWS - row) / ROWS * RATE / 2 - 1000) < 2 * RATE / 2 / ROWS
    marks = np.flatnonzero((picture == 255).any(axis=0)) / width * 2
    np.testing.assert_allclose(marks, [1.0, 1.5], atol=0.02)


def test_what_a_clip_says_of_itself_is_its_message(folder: Path) -> None:
    """The comment of a file is the message, but for path and sum, which it cannot know."""
    said = json.loads(soundfile.SoundFile(next((folder / "s").glob("*.dog.*"))).comment)
    assert set(said) >= {name for name in Clip.__struct_fields__ if name not in ("file", "t_known")}
    assert (said["path"], said["sha256"]) == (None, None)


def test_what_is_neither_flac_nor_ogg_is_given_to_no_decoder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file under a clip's name that begins as an MP3 does is one line, and no decoder writes of its own."""
    path = tmp_path / "a.flac"
    path.write_bytes(b"\xff\xfb\x90\x64" + bytes(3000))
    with pytest.raises(AudioError, match="it is no sound: neither FLAC nor Ogg"):
        clip_of(str(path))
    assert capfd.readouterr() == ("", "")
