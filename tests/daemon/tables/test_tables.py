"""Tables of what was heard: every form, one for all or one beside each, and what cannot be."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import messages
from auricle.commands import classify, replay
from auricle.commands.events import _selections
from auricle.commands.synth import scene
from auricle.errors import OutputError, UsageError
from auricle.judge import truth
from auricle.tables.formats import FORMATS, RAVEN
from auricle.tables.output import Tables, form_of
from auricle.tables.row import COLUMNS, Row, row_of
from helpers.sounds import RATE, write

ROW = Row("a.wav", 1.0, 2.5, None, None, "dog_bark", "Dog bark", 0.9, 0.7, "", "x", "home", "abc")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two scenes, one with its time in its name, and a silence."""
    folder = tmp_path_factory.mktemp("recordings")
    sound, _ = scene(["rain", "clock_tick"], RATE, sound_s=3.0, pause_s=1.0)
    paths = [folder / name for name in ("20240131_120000Z.wav", "b\tß.wav", "c.wav")]
    for path, samples in zip(paths, (sound, sound, np.zeros(2 * RATE, np.float32)), strict=True):
        write(path, samples)
    return paths


@pytest.fixture(scope="module")
def settings(recordings: list[Path]) -> Path:
    """Rules under which the scenes have events."""
    path = recordings[0].with_name("auricle.yaml")
    path.write_text("model: esc10\ndecision: {threshold: 0.12, hysteresis: 0.05, min_duration_ms: 100}\n")
    return path


@pytest.fixture(scope="module")
def events(recordings: list[Path], settings: Path) -> list[dict[str, Any]]:
    """The events of a replay that have ended, as its messages have them."""
    command = [sys.executable, "-m", "auricle", "replay", "--speed", "max", "--json", "--no-publish", "-c", settings]
    done = subprocess.run([*command, *recordings], capture_output=True, text=True, timeout=60, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [message for message in found if message["type"] == "event" and message["phase"] == "offset"]


def test_one_table_for_all_holds_every_event(
    recordings: list[Path], settings: Path, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    """CSV and Raven have a row for each event of the messages, with the same figures; times where they are known."""
    assert {event["file"] for event in events} == {str(path) for path in recordings[:2]}
    tables = {}
    for name, form in (("t.csv", None), ("t.selections.txt", None), ("t.txt", "raven")):
        out = tmp_path / name
        code = replay.command(
            [str(p) for p in recordings], speed="max", no_publish=True, config=settings, out=out, form=form
        )
        assert code == 0
        with out.open(newline="", encoding="utf-8") as file:
            tables[name] = list(csv.DictReader(file, delimiter="," if name == "t.csv" else "\t"))
    assert tables["t.txt"] == tables["t.selections.txt"]
    length_s = {str(path): (path.stat().st_size - 44) / 2 / RATE for path in recordings}
    before_s = 0.0
    for event, row, selection in zip(events, tables["t.csv"], tables["t.txt"], strict=True):
        assert list(row) == list(COLUMNS)
        assert list(selection) == RAVEN
        known = event["file"] == str(recordings[0])
        assert (row["begin"], row["end"]) == ((event["onset"], event["offset"]) if known else ("", ""))
        assert row["begin"].startswith("2024-01-31T12:00:" if known else "")
        for column, value in {
            "file": event["file"],
            "begin_s": event["onset_s"],
            "end_s": event["offset_s"],
            "label": event["label"],
            "peak": event["peak"],
            "mean": event["mean"],
            "model": "esc10",
            "hash": event["model"]["hash"],
        }.items():
            assert row[column] == str(value)
        assert row["name"] == event["label"].replace("_", " ").capitalize()
        before_s = 0.0 if known else length_s[str(recordings[0])]
        assert float(selection["Begin Time (s)"]) == pytest.approx(before_s + event["onset_s"], abs=1e-5)
        assert float(selection["File Offset (s)"]) == event["onset_s"]
        assert selection["Annotation"] == event["label"]
        assert "\t" not in selection["Begin Path"]


@pytest.mark.parametrize("form", ["csv", "raven", "audacity"])
def test_one_beside_each_is_there_also_for_silence(
    recordings: list[Path], settings: Path, events: list[dict[str, Any]], form: str
) -> None:
    """Each recording has its table, named after it, in its own time; our own truth files read what Raven and Audacity
    read."""
    replay.command([str(p) for p in recordings], speed="max", no_publish=True, config=settings, beside=True, form=form)
    for path in recordings:
        table = path.with_name(f"{path.stem}.auricle{FORMATS[form][0]}")
        own = [event for event in events if event["file"] == str(path)]
        if form == "csv":
            with table.open(newline="", encoding="utf-8") as file:
                assert len(list(csv.DictReader(file))) == len(own)
        else:
            found = [(e.label, e.onset_s, e.offset_s) for e in truth.read(table)]
            assert found == [(e["label"], e["onset_s"], e["offset_s"]) for e in sorted(own, key=lambda e: e["onset_s"])]
        table.unlink()


def test_parquet_holds_times(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """The columns are those of CSV, times are timestamps, and the file is there once it is whole."""
    require(importlib.util.find_spec("pyarrow") is not None, "pyarrow, extra parquet")
    from pyarrow import parquet

    out = tmp_path / "t.parquet"
    table = Tables("parquet", 8000.0, out, 1)
    known = "2024-01-31T12:00:01.500000Z"
    for begin in (None, known):
        table.add("a.wav", Row("a.wav", 1.5, 2.5, begin, begin, "rain", "Rain", 0.5, None, "", "x", "home", "abc"))
    assert not out.exists()
    table.close()
    found = parquet.read_table(out)
    assert found.column_names == list(COLUMNS)
    first, second = found.to_pylist()
    assert (first["begin"], first["mean"], first["begin_s"]) == (None, None, 1.5)
    assert second["begin"].isoformat() == "2024-01-31T12:00:01.500000+00:00"
    assert list(tmp_path.iterdir()) == [out]


def test_classify_writes_its_verdicts(recordings: list[Path], settings: Path, tmp_path: Path) -> None:
    """A row a recording: its whole length, label and scores, and its time where it is known."""
    out = tmp_path / "t.csv"
    assert classify.command([str(p) for p in recordings], config=settings, out=out) == 0
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [str(path) for path in recordings]
    assert [row["begin"] for row in rows] == ["2024-01-31T12:00:00.000000Z", "", ""]
    assert float(rows[2]["end_s"]) == 2.0
    assert all(float(row["mean"]) <= float(row["peak"]) for row in rows)


def test_a_long_recording_is_told_by_when(settings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One word for an hour says little: what was strongest, and where in it, is printed and is what the table holds."""
    sound, _ = scene(["rain"], RATE, sound_s=3.0, pause_s=1.0)
    path = write(tmp_path / "long.wav", np.concatenate([np.zeros(60 * RATE, np.float32), sound]))
    out = tmp_path / "t.csv"
    assert classify.command([str(path)], config=settings, out=out) == 0
    line = capfd.readouterr().out
    assert "strongest: " in line
    assert "1:06.00" in line.partition(" strongest")[0]
    with out.open(newline="", encoding="utf-8") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert f"rain {float(rows['rain']['peak']):.2f} at 1:0" in line
    assert 58 < float(rows["rain"]["begin_s"]) < float(rows["rain"]["end_s"]) <= 60 + len(sound) / RATE


def test_live_events_count_from_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """In a selection table of the history an event of a microphone has no file, and begins so long after the first."""
    common = {"node": "n", "instance": "i", "seq": 1, "model": messages.Model("home", "abc"), "latency_ms": 1.0}
    events = [
        messages.Event(
            **common,
            source="mic",
            t=end,
            sample=1,
            phase="offset",
            id="x",
            label="rain",
            score=0.1,
            peak=0.9,
            mean=0.8,
            onset=begin,
            onset_sample=0,
            offset=end,
            offset_sample=1,
            duration_s=2.0,
        )
        for begin, end in (
            ("2026-03-01T06:30:00.000000Z", "2026-03-01T06:30:02.000000Z"),
            ("2026-03-01T06:31:00.500000Z", "2026-03-01T06:31:02.500000Z"),
        )
    ]
    _selections(events)
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter="\t"))
    assert [(float(row["Begin Time (s)"]), float(row["End Time (s)"])) for row in rows] == [(0, 2), (60.5, 62.5)]
    assert [row["Begin (UTC)"] for row in rows] == [event.onset for event in events]
    assert row_of(events[0]).source == "mic"


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    """Unknown forms, names that say no form, labels of several recordings in one file, a folder that is not there."""
    for out, form, words in (
        (Path("a.txt"), None, "which form has a.txt"),
        (Path("a.csv"), "xml", "'xml' is no form of a table; use csv, raven, audacity, parquet"),
        (None, None, "add --format"),
    ):
        with pytest.raises(UsageError, match=words):
            form_of(out, form)
    with pytest.raises(UsageError, match="use --beside"):
        Tables("audacity", 8000.0, tmp_path / "a.txt", 2)
    with pytest.raises(OutputError, match="full: No space left on device; free some space"):
        Tables("csv", 8000.0, Path("/dev/full"), 1)
    with pytest.raises(OutputError, match="No such file"):
        Tables("csv", 8000.0, tmp_path / "none" / "a.csv", 1)
    for words, given in {
        "one of them at a time": {"out": tmp_path / "a.csv", "beside": True},
        "of which table": {"form": "csv"},
        "no end": {"out": tmp_path / "a.csv", "loop": True},
    }.items():
        with pytest.raises(UsageError, match=words):
            replay.command([str(tmp_path)], no_publish=True, **given)  # type: ignore[arg-type]
