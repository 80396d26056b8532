"""The truth says what is really in a recording: truth files of ours, of Raven and of Audacity, and the recordings they
belong to."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.config import shown
from auricle.errors import ConfigError, StoredError
from auricle.stored import plain

_RAVEN_LABELS = ("Annotation", "Species", "Label", "Class")
_MOST_BYTES = 64 * 2**20
SUFFIXES = (".txt", ".tsv", ".csv")


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Holds something heard, or to be heard, in a recording: seconds from its start."""

    onset_s: float
    offset_s: float
    label: str


def read(path: Path) -> list[Event]:
    """Read the events of a truth file, by onset.

    The forms are onset, offset and label parted by tabs, as DCASE has them and as Audacity exports them, with a header
    or without; and Raven's selection tables. Audacity's lines of frequencies (a backslash first) are passed over. An
    empty file says that nothing is there.

    Raises:
        ConfigError: a line is none of these.
    """
    try:
        text = plain.read(path, _MOST_BYTES).decode("utf-8-sig")
    except StoredError as error:
        raise ConfigError([str(error)]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text; save it as UTF-8"]) from None
    first = text.splitlines()[0] if text.strip() else ""
    events = _raven(path, text) if "Begin Time (s)" in first else _tabbed(path, text)
    return sorted(events)


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


def _tabbed(path: Path, text: str) -> list[Event]:
    events = []
    for line, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.startswith(("\\", "#")):
            continue
        fields = [field.strip() for field in row.split("\t")]
        if line == 1 and fields[:2] == ["onset", "offset"]:
            continue
        if len(fields) < 3 or not fields[2]:
            raise ConfigError([f"{path}:{line}: {shown(row)} is not 'onset TAB offset TAB label'"])
        events.append(_event(f"{path}:{line}", *fields[:3]))
    return events


def _raven(path: Path, text: str) -> list[Event]:
    try:
        rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    except csv.Error as error:
        raise ConfigError([f"{path}: is no table that can be read ({error}); export it from Raven anew"]) from None
    column = next((name for name in _RAVEN_LABELS if rows and name in rows[0]), None)
    if rows and column is None:
        raise ConfigError([f"{path}:1: no column {', '.join(_RAVEN_LABELS[:-1])} or {_RAVEN_LABELS[-1]}"])
    events: dict[str, Event] = {}
    for line, row in enumerate(rows, start=2):
        onset, offset = row.get("Begin Time (s)") or "", row.get("End Time (s)") or ""
        label = (row[column] or "").strip() if column else ""
        if not label:
            raise ConfigError([f"{path}:{line}: {column} is empty; name what is selected"])
        # Raven writes a selection once per view (waveform, spectrogram): one is enough.
        events[row.get("Selection") or str(line)] = _event(f"{path}:{line}", onset, offset, label)
    return list(events.values())


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
    """Find the truth file of every recording: the file itself for a single one, else the one of its name in the folder.

    ``night.flac`` has ``night.txt``, ``night.tsv``, or as Raven names them ``night.Table.1.selections.txt``.

    Raises:
        ConfigError: a recording has none, or several.
    """
    if truth.is_file():
        if len(recordings) != 1:
            raise ConfigError([f"--truth: {truth} is one file for {len(recordings)} recordings; give its folder"])
        return {recordings[0]: truth}
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


def unknown_labels(events: Iterable[Event], labels: Sequence[str]) -> list[str]:
    """Return the labels of events that the model does not have, each once: they cannot be judged."""
    return sorted({event.label for event in events} - set(labels))


def write(path: Path, events: Sequence[Event]) -> None:
    """Write our own form: onset, offset, label, parted by tabs, by onset."""
    lines = [f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t{event.label}\n" for event in sorted(events)]
    path.write_text("".join(lines), encoding="utf-8")
