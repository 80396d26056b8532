"""Marked clips become material to learn from and truth to judge by: copies of clips, sorted, and tables."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from auricle.clips import reading
from auricle.errors import AudioError
from auricle.messages import Clip, Mark, microseconds

Sort = Literal["right", "false"]
SORTS: tuple[Sort, ...] = ("right", "false")
"""What was heard rightly, or should have been; and what was none."""
TRUTH, MATERIAL = "truth.csv", "material.csv"


@dataclass(frozen=True, slots=True)
class Marked:
    """Holds a clip, and what somebody said of it."""

    clip: Clip
    mark: Mark

    @property
    def sort(self) -> Sort:
        """Return what it is an example of: its label, or what its label is not."""
        return "false" if self.mark.kind == "false" else "right"


def about(mark: Mark) -> str:
    """Return the id of the clip that a mark is about: its event's, or of what was missed its own."""
    return mark.event or mark.id


def lasting(marks: Iterable[Mark]) -> list[Mark]:
    """Return the marks that count, by their times: those about a sound, and of several about an event the last."""
    said = sorted((mark for mark in marks if mark.kind != "note"), key=lambda mark: mark.t)
    return list({about(mark): mark for mark in said}.values())


def pick(marks: Iterable[Mark], clips: Iterable[Clip]) -> list[Marked]:
    """Return the clips that marks are about, with the marks that count."""
    lying = {clip.id: clip for clip in clips}
    return [Marked(lying[about(mark)], mark) for mark in lasting(marks) if about(mark) in lying]


def copy(found: Sequence[Marked], out: Path) -> None:
    """Copy clips to ``OUT/right/LABEL/`` and ``OUT/false/LABEL/``, for nobody else either; who has thought better of it
    finds a clip in the other folder.

    Raises:
        OSError: they cannot be written.
    """
    for each in found:
        assert each.clip.path is not None
        origin = Path(each.clip.path)
        for sort in SORTS:
            target = out / sort / each.clip.label / origin.name
            if sort != each.sort:
                target.unlink(missing_ok=True)
                continue
            target.parent.mkdir(0o700, parents=True, exist_ok=True)
            half = target.with_name(f".{target.name}.part")
            half.touch(0o600)
            shutil.copyfile(origin, half)
            os.replace(half, target)


def write_tables(out: Path) -> tuple[int, int]:
    """Write the tables of what lies there, copied now or before; return how many clips are right and false.

    `TRUTH` says where in each clip what was marked as right lies, as `auricle tune` and `evaluate` take it; of a clip
    without a row nothing is in it. `MATERIAL` is `auricle-build`'s own kind of table: the same, and beside it what was
    none, labelled ``not_LABEL``, which no recipe names, so that it is learned as something else.

    Raises:
        OSError: they cannot be read or written.
        AudioError: a file there is no clip.
    """
    right, false = ([(path, _clip(path)) for path in _files(out / sort)] for sort in SORTS)
    truth, material = [], []
    for path, clip in [*right, *false]:
        for _, other in right:
            if (part := _part_in(other, clip)) is not None:
                truth.append((path.name, *(f"{at_s:.6f}" for at_s in part), other.label))
    for said, clips in (("", right), ("not_", false)):
        for path, clip in clips:
            begin_s, end_s = _part(clip)
            group = f"{clip.source} {clip.t[:10]}"
            row = str(path.relative_to(out)), f"{said}{clip.label}", group, f"{begin_s:.6f}", f"{end_s:.6f}"
            material.append(row)
    _write(out / TRUTH, ("file", "begin_s", "end_s", "label"), truth)
    _write(out / MATERIAL, ("file", "label", "group", "onset", "offset"), material)
    return len(right), len(false)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for label in sorted(folder.iterdir()):
            yield from sorted(path for path in label.iterdir() if path.suffix in (".flac", ".opus"))


def _clip(path: Path) -> Clip:
    try:
        return reading.clip_of(str(path))
    except AudioError as e:
        raise AudioError(f"{path}: {e}; move it away") from None


def _part(clip: Clip) -> tuple[float, float]:
    """Return where in a clip its event lies; of what was missed, all of it, since nobody knows."""
    part = reading.part(clip)
    return (0.0, clip.duration_s) if part is None else part


def _part_in(other: Clip, clip: Clip) -> tuple[float, float] | None:
    """Return where the event of a clip lies in another one of the same source, or ``None``."""
    if (other.source, other.file) != (clip.source, clip.file):
        return None
    later_s = (microseconds(other.t) - microseconds(clip.t)) * 1e-6
    begin_s, end_s = (min(max(0.0, at_s + later_s), clip.duration_s) for at_s in _part(other))
    return (begin_s, end_s) if end_s > begin_s else None


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    half = path.with_name(f".{path.name}.part")
    half.touch(0o600)
    half.write_text(text.getvalue(), encoding="utf-8")
    os.replace(half, path)
