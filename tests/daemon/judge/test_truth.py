"""Truth files of three makers, and which recording each belongs to."""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from auricle.errors import ConfigError
from auricle.judge import truth
from auricle.judge.truth import Event
from auricle.tables.output import Tables
from auricle.tables.row import Row

OWL, FOX = Event(0.5, 1.25, "owl"), Event(2.0, 2.5, "fox")


@pytest.mark.parametrize(
    "text",
    [
        "0.5\t1.25\towl\n2.0\t2.5\tfox\n",
        "onset\toffset\tevent_label\n2.0\t2.5\tfox\n0.5\t1.25\towl\n",
        "0.500000\t1.250000\towl\r\n\\\t200.0\t900.0\r\n2.000000\t2.500000\tfox\r\n",
        "\ufeff0.5\t1.25\towl\n\n2.0\t2.5\tfox",
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tAnnotation\n"
        "1\tWaveform 1\t1\t0.5\t1.25\t0\towl\n1\tSpectrogram 1\t1\t0.5\t1.25\t0\towl\n"
        "2\tWaveform 1\t1\t2\t2.5\t0\tfox\n",
        "Begin Time (s)\tEnd Time (s)\tSpecies\n0.5\t1.25\towl\n2\t2.5\tfox\n",
    ],
    ids=["ours", "header", "audacity", "bom", "raven", "raven without selections"],
)
def test_every_maker_says_the_same(tmp_path: Path, text: str) -> None:
    """DCASE's tabs with and without a header, Audacity's labels with frequencies, Raven's tables: the same events."""
    file = tmp_path / "night.txt"
    file.write_bytes(text.encode())
    assert truth.read(file) == [OWL, FOX]


def test_written_is_read(tmp_path: Path) -> None:
    """What is written reads as the same, to the microsecond; nothing at all is the truth of a quiet night."""
    truth.write(tmp_path / "a.txt", [FOX, OWL, Event(0.123456, 3.0, "owl")])
    assert truth.read(tmp_path / "a.txt") == [Event(0.123456, 3.0, "owl"), OWL, FOX]
    truth.write(tmp_path / "b.txt", [])
    assert truth.read(tmp_path / "b.txt") == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0.5 1.25 owl\n", "a.txt:1: '0.5 1.25 owl' is not 'onset TAB offset TAB label'"),
        ("0.5\t1.25\towl\n1\tx\tfox\n", "a.txt:2: 'x' is not a number of seconds"),
        ("1\t1" + "0" * 5000 + "\tfox\n", f"a.txt:1: '1{'0' * 56}...' is not a number of seconds"),
        ("x" * 200_000, f"a.txt:1: '{'x' * 57}...' is not 'onset TAB offset TAB label'"),
        ("1\tnan\tfox\n", "a.txt:1: 'nan' is not a number of seconds"),
        ("2.5\t2\tfox\n", "a.txt:1: an event from 2.5 to 2 s; it must begin at 0 or later, and then end"),
        ("-1\t2\tfox\n", "a.txt:1: an event from -1 to 2 s; it must begin at 0 or later, and then end"),
        ("Begin Time (s)\tEnd Time (s)\n1\t2\n", "a.txt:1: no column Annotation, Species, Label or Class"),
        ("Begin Time (s)\tEnd Time (s)\tLabel\n1\t2\t\n", "a.txt:2: Label is empty; name what is selected"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    """A line that cannot be is one error: file, line, value."""
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ConfigError) as caught:
        truth.read(tmp_path / "a.txt")
    assert caught.value.lines() == [f"{tmp_path}/{complaint}"]


def test_every_recording_finds_its_own(tmp_path: Path) -> None:
    """By name in a folder, Raven's long names too; one file serves one recording; what lacks or doubles is told."""
    for name in ("night.txt", "night.2.txt", "marsh.Table.1.selections.txt", "twice.txt", "twice.tsv"):
        (tmp_path / name).write_text("")
    found = truth.find(tmp_path, ["x/night.flac", "x/marsh.wav"])
    assert {recording: file.name for recording, file in found.items()} == {
        "x/night.flac": "night.txt",
        "x/marsh.wav": "marsh.Table.1.selections.txt",
    }
    assert truth.find(tmp_path / "night.txt", ["other.wav"]) == {"other.wav": tmp_path / "night.txt"}
    with pytest.raises(ConfigError, match="one file for 2 recordings"):
        truth.find(tmp_path / "night.txt", ["a.wav", "b.wav"])
    with pytest.raises(ConfigError) as caught:
        truth.find(tmp_path, ["twice.wav", "none.wav"])
    assert [line.split(" ", 2)[1] for line in caught.value.lines()] == ["twice.wav", str(tmp_path)]


RAVEN = (
    "Selection\tView\tBegin Path\tFile Offset (s)\tBegin Time (s)\tEnd Time (s)\tAnnotation\n"
    "1\tSpectrogram 1\tC:\\night\\a.wav\t0.5\t0.5\t1.25\towl\n"
    "2\tSpectrogram 1\tC:\\night\\b.wav\t2.0\t62.0\t62.5\tfox\n"
)
OURS = "file,begin_s,end_s,label\nnight/a.wav,0.5,1.25,owl\nnight/b.wav,2,2.5,fox\n"


@pytest.mark.parametrize("text", [RAVEN, OURS], ids=["raven", "ours"])
def test_a_table_of_several_is_split_by_recording(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each recording has its own rows, at their places in it; rows of others, and recordings without one, are told."""
    table = tmp_path / "night.txt"
    table.write_text(text)
    assert truth.find(table, ["x/a.wav", "y/b.wav"]) == {"x/a.wav": table, "y/b.wav": table}
    assert caplog.messages == []
    assert truth.read(table, "x/a.wav") == [OWL]
    assert truth.read(table, "y/b.wav") == [FOX]
    assert truth.find(table, ["a.wav"]) == {"a.wav": table}
    assert truth.find(table, ["a.wav", "c.wav"]) == {"a.wav": table, "c.wav": table}
    assert truth.read(table, "c.wav") == []
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "rows of other recordings are left out: b.wav",
        "rows of other recordings are left out: b.wav",
        "no row of c.wav: taken as without events",
    ]
    with pytest.raises(ConfigError, match=r"which a\.wav is meant"):
        truth.find(table, ["x/a.wav", "y/a.wav"])


def test_a_parquet_of_ours_is_a_truth(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """What `replay --out` wrote is read as the same events, split by recording; what is no such table is one line."""
    require(importlib.util.find_spec("pyarrow") is not None, "pyarrow, extra parquet")
    import pyarrow
    from pyarrow import parquet

    table = tmp_path / "night.parquet"
    tables = Tables("parquet", 8000.0, table, 2)
    for name, event in (("night/a.wav", OWL), ("night/b.wav", FOX)):
        tables.add(
            name, Row(name, event.onset_s, event.offset_s, None, None, event.label, "", 0.9, 0.7, "", "x", "m", "h")
        )
    tables.close()
    assert truth.find(table, ["x/a.wav", "x/b.wav"]) == {"x/a.wav": table, "x/b.wav": table}
    assert (truth.read(table, "x/a.wav"), truth.read(table, "x/b.wav")) == ([OWL], [FOX])
    with pytest.raises(ConfigError, match=r"night\.parquet: row 2: an event at 2 s, and b\.wav has 1\.00 s"):
        truth.read(table, "b.wav", length_s=1.0)
    content = table.read_bytes()
    parquet.write_table(pyarrow.table({"begin_s": [0.0], "label": ["owl"]}), tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match=r"no column end_s, file"):
        truth.read(tmp_path / "other.parquet")
    chance = random.Random(7)
    for _ in range(200):
        broken = bytearray(content[: chance.choice([len(content), chance.randrange(1, len(content))])])
        for _ in range(chance.randrange(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        table.write_bytes(broken)
        try:
            truth.read(table)
        except ConfigError as error:
            (line,) = error.lines()
            assert line.startswith(f"{table}: ")


def test_a_row_behind_the_end_is_refused(tmp_path: Path) -> None:
    """An event that begins where its recording has ended is a mistake, told with its line; a late end is none."""
    table = tmp_path / "night.txt"
    table.write_text("0.5\t9\towl\n5.6\t6\tfox\n")
    with pytest.raises(ConfigError) as caught:
        truth.read(table, "a.wav", length_s=5.5)
    assert caught.value.lines() == [f"{table}:2: an event at 5.6 s, and a.wav has 5.50 s; is it another recording's?"]
    assert len(truth.read(table, "a.wav", length_s=5.7)) == 2


def test_a_table_of_several_needs_the_place_in_each(tmp_path: Path) -> None:
    """Raven's begin times count over all recordings: without their own offsets nobody knows where the rows lie."""
    table = tmp_path / "night.txt"
    table.write_text(RAVEN.replace("File Offset (s)", "Other"))
    with pytest.raises(ConfigError, match=r"has no column File Offset \(s\)"):
        truth.read(table, "a.wav")


def test_labels_that_the_model_lacks() -> None:
    """They are named once, in order, and no others."""
    assert truth.unknown_labels([OWL, FOX, OWL], ["fox"]) == ["owl"]


@pytest.mark.parametrize("content", [b"x" * 200_000, b'"' + b"x" * 200_000, b"1\t2\n\0\t3", b"\xff\xfe"])
@pytest.mark.parametrize("head", [b"", b"Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n"])
def test_no_content_is_more_than_a_line(tmp_path: Path, head: bytes, content: bytes) -> None:
    """A field of 200 kB, an open quote, a NUL, no UTF-8: one line that names the file."""
    path = tmp_path / "night.txt"
    path.write_bytes(head + content)
    with pytest.raises(ConfigError, match=r"night\.txt"):
        truth.read(path)


def test_a_truth_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to is refused at once."""
    os.mkfifo(tmp_path / "night.txt")
    with pytest.raises(ConfigError, match=r"night\.txt: no plain file"):
        truth.read(tmp_path / "night.txt")
