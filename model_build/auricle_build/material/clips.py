"""There are recordings to learn from here, with label, source and fold, read from the layouts people keep them in."""

from __future__ import annotations

import csv
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auricle.errors import ConfigError
from auricle.judge import truth
from auricle_build.grammar.material import ClipSet

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"}
    | {".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka", ".amr"}
)
"""The endings of files that are taken for sound; those that cannot be read here are named and counted, not passed
over."""


@dataclass(frozen=True)
class Clip:
    """Names a recording, or a part of one, of one label.

    Args:
        path: the audio file.
        label: what is heard.
        group: takes of one source or speaker; a group never falls on two sides of a split.
        fold: the fold the set's authors gave, or one drawn from the group's name.
        onset_s, offset_s: the part that is meant; the whole file unless given.
        origin: the name of the set.
    """

    path: Path
    label: str
    group: str
    fold: int
    onset_s: float = 0.0
    offset_s: float | None = None
    origin: str = ""


def fold_of(group: str, n_folds: int = 5) -> int:
    """Return a fold from 1 to ``n_folds`` that depends on nothing but the group's name."""
    return zlib.crc32(group.encode()) % n_folds + 1


def _rows(path: Path, needed: Iterable[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([f"{path}: cannot be read as a table: {error}"]) from error
    missing = set(needed) - set(rows[0] if rows else ())
    if missing:
        raise ConfigError(
            [f"{path}:1: no column {', '.join(sorted(missing))}; use a comma-separated table with a header"]
        )
    return rows


def _number(text: str | None, where: str) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError([f"{where}: {text!r} is not a number of seconds"]) from None


def read_table(path: Path) -> list[Clip]:
    """Read a CSV: file, label, and group or fold; onset and offset in seconds if only a part is meant.

    Files are relative to the table. Where the name is ``fold-source-take`` as ESC-50 has it, the source is the group.
    """
    clips = []
    for line, row in enumerate(_rows(path, ("file", "label")), start=2):
        where = f"{path}:{line}"
        parts = Path(row["file"]).stem.split("-")
        source = parts[1] if len(parts) >= 3 and parts[0].isdigit() else row["file"]
        group = row.get("group") or source
        fold = int(_number(row.get("fold"), where) or fold_of(group))
        onset_s, offset_s = _number(row.get("onset"), where) or 0.0, _number(row.get("offset"), where)
        if not 0 <= onset_s < (math.inf if offset_s is None else offset_s):
            raise ConfigError([f"{where}: onset {onset_s:g} and offset {offset_s} are no part of a recording"])
        clips.append(Clip(path.parent / row["file"], row["label"], group, fold, onset_s, offset_s))
    return clips


def read_esc50(path: Path, *, esc10: bool = False) -> list[Clip]:
    """Read ESC-50 as Piczak (2015) published it: ``meta/esc50.csv`` beside ``audio/``; ``esc10`` keeps the small
    set."""
    clips = []
    for row in _rows(path / "meta" / "esc50.csv", ("filename", "fold", "category")):
        if esc10 and row.get("esc10", "").lower() != "true":
            continue
        source = row.get("src_file") or row["filename"].split("-")[1]
        clips.append(Clip(path / "audio" / row["filename"], row["category"], source, int(row["fold"])))
    return clips


def read_esc10(path: Path) -> list[Clip]:
    """Read ESC-10 as Piczak (2015) published it: a folder ``001 - Dog bark`` per class, files ``fold-source-take``."""
    clips = []
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and " - " in p.name):
        label = folder.name.split(" - ", 1)[1].strip().lower().replace(" ", "_")
        for file in _sounds(folder):
            fold, *source = file.stem.split("-")
            if not fold.isdigit() or not source:
                raise ConfigError([f"{file}: not named fold-source-take, as ESC-10 is; rename it or move it away"])
            clips.append(Clip(file, label, source[0], int(fold)))
    return clips


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def read_fsdd(path: Path) -> list[Clip]:
    """Read the Free Spoken Digit Dataset: ``{digit}_{speaker}_{index}``; the speaker is the group."""
    clips = []
    for file in _sounds(path):
        digit, *rest = file.stem.split("_")
        if digit not in set("0123456789") or len(rest) != 2:
            raise ConfigError([f"{file}: not named digit_speaker_index, as FSDD is; rename it or move it away"])
        clips.append(Clip(file, DIGITS[int(digit)], rest[0], fold_of(rest[0])))
    return clips


def _sounds(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)


def read_folders(path: Path) -> list[Clip]:
    """Read a folder per class, named as the label; sound directly in the folder bears that folder's own name."""
    clips = []
    for file in _sounds(path):
        label = file.relative_to(path.parent).parts[1] if file.parent != path else path.name
        clips.append(Clip(file, label, file.stem, fold_of(file.stem)))
    return clips


def _recording(annotation: Path) -> Path:
    stem = annotation.name.split(".")[0]
    found = [p for p in _sounds(annotation.parent) if p.name.split(".")[0] == stem and p.parent == annotation.parent]
    if len(found) != 1:
        raise ConfigError([f"{annotation}: {len(found)} recordings named {stem!r} lie beside it; keep exactly one"])
    return found[0]


def read_annotated(path: Path) -> list[Clip]:
    """Read parts of a recording named by a truth file, as `auricle.judge.truth` reads them; the recording lies beside
    it.

    Such are Audacity's exported labels, Raven's selection tables, and onset, offset and label parted by tabs. Of a
    folder, `auricle-build scenes` writes such, every truth file in it and below.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in truth.SUFFIXES)
        return [clip for file in files for clip in read_annotated(file)]
    recording = _recording(path)
    group = recording.stem
    return [
        Clip(recording, event.label, group, fold_of(group), event.onset_s, event.offset_s)
        for event in truth.read(path, str(recording))
    ]


READERS: dict[str, Callable[..., list[Clip]]] = {
    "table": read_table,
    "esc50": read_esc50,
    "esc10": read_esc10,
    "fsdd": read_fsdd,
    "folders": read_folders,
    "annotated": read_annotated,
}


def read(sets: Sequence[ClipSet], root: Path) -> list[Clip]:
    """Read all clips of a recipe's ``data.sets``.

    Args:
        root: the folder that paths are relative to.

    Raises:
        ConfigError: a set is not there, holds nothing, or lacks what the recipe names.
    """
    clips: list[Clip] = []
    for entry in sets:
        path = root / entry.path
        if not path.exists():
            raise ConfigError([f"{path}: not there; give the folder of the recordings with --data"])
        found = READERS[entry.reader](path)
        if not found:
            raise ConfigError([f"{path}: no recordings for reader {entry.reader!r}"])
        unknown = {*entry.relabel, *entry.exclude} - {c.path.name for c in found} - {c.label for c in found}
        if unknown:
            raise ConfigError([f"{path}: relabel or exclude names {min(unknown)!r}, which is not there"])
        for clip in found:
            if clip.path.name in entry.exclude or (entry.labels and clip.label not in entry.labels):
                continue
            label = entry.relabel.get(clip.path.name, entry.relabel.get(clip.label, entry.label or clip.label))
            if label in entry.leave_out:
                continue
            fold = entry.folds.get(clip.group, clip.fold)
            clips.append(replace(clip, label=label, fold=fold, origin=entry.name))
    return clips


def split(clips: Sequence[Clip], held_out: Iterable[int]) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """Divide clips into those to train on and those kept aside, by fold, and those that belong to neither.

    Two sets may hold takes of one source in different folds, as ESC-10 and the rest of ESC-50 do: what is trained on
    from one of them is not judged by in the other.

    Raises:
        ConfigError: takes of one group of a set lie on both sides.
    """
    out = frozenset(held_out)
    train, kept = [c for c in clips if c.fold not in out], [c for c in clips if c.fold in out]
    leaks = {(c.origin, c.group) for c in train} & {(c.origin, c.group) for c in kept}
    if leaks:
        origin, group = sorted(leaks)[0]
        raise ConfigError([f"{origin}: takes of {group!r} lie on both sides of the split; give them one fold"])
    known = {c.group for c in train}
    return train, [c for c in kept if c.group not in known], [c for c in kept if c.group in known]


def check_counts(clips: Sequence[Clip], labels: Iterable[str], least: int) -> None:
    """Say which labels have too few clips, before hours are spent on them."""
    counts = Counter(c.label for c in clips)
    poor = [f"{label}: {counts[label]} clips to train on; at least {least} are needed" for label in labels]
    poor = [line for line, label in zip(poor, labels, strict=True) if counts[label] < least]
    if poor:
        raise ConfigError(poor)
