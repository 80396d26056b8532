"""The truth says what is really in a recording: truth files of ours, of Raven and of Audacity, and the recordings they
belong to."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.config import shown
from auricle.errors import ConfigError, StoredError
from auricle.stored import plain

log = logging.getLogger("auricle")

_RAVEN_LABELS = ("Annotation", "Species", "Label", "Class")
_MOST_BYTES = 64 * 2**20
_MOST_ROWS = 1_000_000
_NEEDED = ["file", "begin_s", "end_s", "label"]
SUFFIXES = (".txt", ".tsv", ".csv", ".parquet")


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Holds something heard, or to be heard, in a recording: seconds from its start."""

    onset_s: float
    offset_s: float
    label: str


@dataclass(frozen=True, slots=True)
class _Row:
    """Is an event with the place where it stands, and the recording that its row names, where it names one."""

    where: str
    event: Event
    file: str | None = None


def read(path: Path, recording: str | None = None, *, length_s: float = math.inf) -> list[Event]:
    """Read the events of a truth file, by onset.

    The forms are onset, offset and label parted by tabs, as DCASE has them and as Audacity exports them, with a header
    or without; Raven's selection tables; and the tables of `auricle.tables`, CSV and Parquet. Audacity's lines of
    frequencies (a backslash first) are passed over. An empty file says that nothing is there.

    Args:
        recording: of a table of several recordings its rows alone are taken, by the file's name; all unless given.
        length_s: how long it is.

    Raises:
        ConfigError: a line is none of these, or begins behind the recording's end.
    """
    rows = _rows(path)
    named = {row.file for row in rows if row.file is not None}
    if recording is not None and (len(named) > 1 or _called(recording) in named):
        rows = [row for row in rows if row.file is None or row.file == _called(recording)]
    for row in rows:
        if row.event.onset_s >= length_s:
            begins = f"an event at {row.event.onset_s:g} s, and {recording} has {length_s:.2f} s"
            raise ConfigError([f"{row.where}: {begins}; is it another recording's?"])
    return sorted(row.event for row in rows)


def _rows(path: Path) -> list[_Row]:
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    try:
        text = plain.read(path, _MOST_BYTES).decode("utf-8-sig")
    except StoredError as error:
        raise ConfigError([str(error)]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text; save it as UTF-8"]) from None
    first = text.splitlines()[0] if text.strip() else ""
    if "Begin Time (s)" in first:
        return _raven(path, text)
    return _ours(path, text) if first.startswith("file,begin_s,end_s,") else _tabbed(path, text)


def _called(file: str) -> str:
    """Return the last part of a path, as Unix or Windows writes it."""
    return file.replace("\\", "/").rpartition("/")[2]


def with_wholes(events: Sequence[Event], contained: Mapping[str, Collection[str]]) -> list[Event]:
    """Return the events, by onset, and beside each its like of every label that contains its own: a siren is an alarm.

    Args:
        contained: of labels that contain others, all that they contain.
    """
    wholes = [
        Event(event.onset_s, event.offset_s, whole)
        for event in events
        for whole, parts in contained.items()
        if event.label in parts
    ]
    written = [(event.label, event.onset_s, event.offset_s) for event in events]
    # Where the whole is written itself, it is not there twice.
    added = [
        event
        for event in wholes
        if not any(
            label == event.label and onset_s < event.offset_s and offset_s > event.onset_s
            for label, onset_s, offset_s in written
        )
    ]
    return sorted([*events, *added])


def as_told(events: Sequence[Event], labels: Collection[str], contained: Mapping[str, Collection[str]]) -> list[Event]:
    """Return the events as they would be told: where a label raises none itself, as the groups that it is in.

    Args:
        labels: those, and the groups, that may raise events.
        contained: of labels and groups that contain others, all that they contain.
    """
    found = []
    for event in events:
        groups = [whole for whole, parts in contained.items() if event.label in parts and whole in labels]
        names = [event.label] if event.label in labels else groups
        found += [Event(event.onset_s, event.offset_s, name) for name in names or [event.label]]
    return sorted(found)


def _tabbed(path: Path, text: str) -> list[_Row]:
    rows = []
    for line, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.startswith(("\\", "#")):
            continue
        fields = [field.strip() for field in row.split("\t")]
        if line == 1 and fields[:2] == ["onset", "offset"]:
            continue
        if len(fields) < 3 or not fields[2]:
            raise ConfigError([f"{path}:{line}: {shown(row)} is not 'onset TAB offset TAB label'"])
        rows.append(_Row(f"{path}:{line}", _event(f"{path}:{line}", *fields[:3])))
    return rows


def _ours(path: Path, text: str) -> list[_Row]:
    return _named((f"{path}:{line}", row) for line, row in enumerate(_columns(path, text, ","), start=2))


def _parquet(path: Path) -> list[_Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigError([f"{path}: pyarrow is missing; pip install 'auricle[parquet]'"]) from None
    try:
        content = parquet.ParquetFile(io.BytesIO(plain.read(path, _MOST_BYTES)))
        if missing := sorted({*_NEEDED} - {*content.schema_arrow.names}):
            raise ConfigError([f"{path}: no column {', '.join(missing)}; it is none of Auricle's tables"])
        if content.metadata.num_rows > _MOST_ROWS:
            raise ConfigError([f"{path}: {content.metadata.num_rows} rows; it may have {_MOST_ROWS}"])
        rows = content.read(_NEEDED).to_pylist()
    except StoredError as error:
        raise ConfigError([str(error)]) from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ConfigError([f"{path}: no Parquet that can be read ({str(error).splitlines()[0]})"]) from None
    return _named(
        (f"{path}: row {number}", {name: "" if value is None else str(value) for name, value in row.items()})
        for number, row in enumerate(rows, start=1)
    )


def _named(table: Iterable[tuple[str, Mapping[str, str]]]) -> list[_Row]:
    """Read the rows of a table of ours, each with its place."""
    rows = []
    for where, row in table:
        if not row.get("label"):
            raise ConfigError([f"{where}: label is empty; name what was heard"])
        event = _event(where, row.get("begin_s") or "", row.get("end_s") or "", row["label"])
        rows.append(_Row(where, event, _called(row.get("file") or "") or None))
    return rows


def _raven(path: Path, text: str) -> list[_Row]:
    rows = _columns(path, text, "\t")
    column = next((name for name in _RAVEN_LABELS if rows and name in rows[0]), None)
    if rows and column is None:
        raise ConfigError([f"{path}:1: no column {', '.join(_RAVEN_LABELS[:-1])} or {_RAVEN_LABELS[-1]}"])
    found: dict[str, _Row] = {}
    for line, row in enumerate(rows, start=2):
        where = f"{path}:{line}"
        label = (row[column] or "").strip() if column else ""
        if not label:
            raise ConfigError([f"{where}: {column} is empty; name what is selected"])
        event = _event(where, row.get("Begin Time (s)") or "", row.get("End Time (s)") or "", label)
        if offset := row.get("File Offset (s)"):
            # Begin and end count over all recordings in a row; this column says where in its own the event lies.
            onset_s = _seconds(where, offset)
            lasts_s = event.offset_s - event.onset_s
            event = _event(where, str(onset_s), str(round(onset_s + lasts_s, 6)), label)
        file = _called(row.get("Begin Path") or row.get("Begin File") or "") or None
        # Raven writes a selection once per view (waveform, spectrogram): one is enough.
        found[row.get("Selection") or str(line)] = _Row(where, event, file)
    if len({row.file for row in found.values()}) > 1 and rows and "File Offset (s)" not in rows[0]:
        raise ConfigError([f"{path}:1: names several recordings and has no column File Offset (s); add it in Raven"])
    return list(found.values())


def _columns(path: Path, text: str, delimiter: str) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    except csv.Error as error:
        raise ConfigError([f"{path}: is no table that can be read ({error}); export it anew"]) from None


def _event(where: str, onset: str, offset: str, label: str) -> Event:
    onset_s, offset_s = _seconds(where, onset), _seconds(where, offset)
    if not 0 <= onset_s <= offset_s:
        span = f"an event from {onset_s:g} to {offset_s:g} s"
        raise ConfigError([f"{where}: {span}; it must begin at 0 or later, and then end"])
    return Event(onset_s, offset_s, label)


def _seconds(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError([f"{where}: {shown(text)} is not a number of seconds"])
    return value


def find(truth: Path, recordings: Sequence[str]) -> dict[str, Path]:
    """Find the truth file of every recording: the file itself for a single one, or where it names them; else the
    one of its name in the folder.

    ``night.flac`` has ``night.txt``, ``night.tsv``, or as Raven names them ``night.Table.1.selections.txt``.

    Raises:
        ConfigError: a recording has none, or several.
    """
    if truth.is_file():
        return _of_all(truth, recordings)
    if not truth.is_dir():
        raise ConfigError([f"--truth: {truth} is not there; give a truth file, or the folder of several"])
    files = [file for file in sorted(truth.iterdir()) if file.suffix.lower() in SUFFIXES]
    found, problems = {}, []
    for recording in recordings:
        stem = Path(recording).stem
        mine = [file for file in files if file.stem == stem]
        mine = mine or [file for file in files if file.name.startswith(f"{stem}.")]
        if len(mine) == 1:
            found[recording] = mine[0]
        elif mine:
            problems.append(f"--truth: {recording} has {' and '.join(file.name for file in mine)}; keep one")
        else:
            problems.append(
                f"--truth: {truth} holds no {stem}.txt for {recording}; an empty file says that nothing is there"
            )
    if problems:
        raise ConfigError(problems)
    return found


def _of_all(truth: Path, recordings: Sequence[str]) -> dict[str, Path]:
    """Let one file serve all recordings if its rows name them, or the only one there is."""
    named = {row.file for row in _rows(truth) if row.file is not None}
    if len(recordings) == 1 and len(named) < 2:
        return {recordings[0]: truth}
    if not named:
        raise ConfigError([f"--truth: {truth} is one file for {len(recordings)} recordings; give its folder"])
    called = [_called(recording) for recording in recordings]
    if doubled := sorted({name for name in called if called.count(name) > 1}):
        raise ConfigError([f"--truth: {truth} cannot say which {doubled[0]} is meant, of several; give a folder"])
    if others := sorted(named - set(called)):
        log.warning("%s: rows of other recordings are left out: %s", truth, ", ".join(others))
    if without := sorted(set(called) - named):
        log.warning("%s: no row of %s: taken as without events", truth, ", ".join(without))
    return dict.fromkeys(recordings, truth)


def unknown_labels(events: Iterable[Event], labels: Sequence[str]) -> list[str]:
    """Return the labels of events that the model does not have, each once: they cannot be judged."""
    return sorted({event.label for event in events} - set(labels))


def write(path: Path, events: Sequence[Event]) -> None:
    """Write our own form: onset, offset, label, parted by tabs, by onset."""
    lines = [f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t{event.label}\n" for event in sorted(events)]
    path.write_text("".join(lines), encoding="utf-8")
