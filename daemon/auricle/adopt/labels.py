"""Lists of labels as other people write them down are read here, and each label gets the name that Auricle calls it
by."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.adopt.facts import Told
from auricle.errors import ModelError, StoredError
from auricle.stored import plain

_MOST_BYTES = 4 * 2**20
_NUMBERED = re.compile(r"\s*(\d{1,9})\s*[\s:,;.)-]\s*(\S.*)")
_NAMES = ("display_name", "common_name", "label", "name", "class", "class_name")
"""These columns of a table hold a name, the better first."""
_SCIENTIFIC = re.compile(r"([A-Z][a-z-]+ [^_]+)_([^_]+)")
"""Matches a scientific and a common name in one, as in ``Turdus merula_Eurasian Blackbird``."""
_SAME = re.compile(r"([^_]+)_\1")
"""Matches what stands among such names for what has no scientific one, as ``Siren_Siren``."""
QUIET = ("background", "background_noise", "silence", "noise", "background_noises")
"""Others call a label by these names that stands for nothing."""


@dataclass(frozen=True)
class Labels:
    """Holds the labels of a network, in the order of its scores.

    Args:
        slugs: what topics and rules call them.
        display: what people call them.
        found: where they stand.
    """

    slugs: tuple[str, ...]
    display: tuple[str, ...]
    found: str

    @property
    def background(self) -> str | None:
        """Return the label that says that there is nothing."""
        return next((slug for slug in self.slugs if slug in QUIET), None)

    def in_order(self) -> Labels:
        """Return the same in the order of the alphabet, in which some networks give them whatever their list says."""
        order = sorted(range(len(self.display)), key=lambda i: self.display[i])
        slugs, display = (tuple(names[i] for i in order) for names in (self.slugs, self.display))
        return Labels(slugs, display, f"{self.found}, in the order of the alphabet")

    def at(self, name: str) -> int | None:
        """Return the place of a label that somebody names as they please."""
        wanted = name.casefold()
        for names in (self.slugs, self.display):
            for i, each in enumerate(names):
                if each.casefold() == wanted:
                    return i
        return self.slugs.index(slug(name)) if slug(name) in self.slugs else None


def slug(name: str) -> str:
    """Write a name as small Latin letters, digits and underscores; empty where nothing of it can be written so."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return re.sub("[^a-z0-9]+", "_", bare.casefold().replace("ß", "ss")).strip("_")


def named(names: Sequence[str], where: str) -> Labels:
    """Return labels of these names.

    Raises:
        ModelError: a name is there twice, or one is empty.
    """
    doubled = [name for name, n in Counter(names).items() if n > 1]
    if doubled:
        more = f" and {len(doubled) - 1} more" if len(doubled) > 1 else ""
        raise ModelError(f"{where}: {doubled[0]!r}{more} stands there twice; every label needs a name of its own")
    display, latin = _in_two(names) or (tuple(names), ("",) * len(names))
    slugs: list[str] = []
    taken: set[str] = set()
    for i, (name, of) in enumerate(zip(display, latin, strict=True)):
        base = own = slug(name) or slug(of) or f"label_{i}"
        n = 2
        while own in taken:
            own, n = f"{base}_{n}", n + 1
        taken.add(own)
        slugs.append(own)
    return Labels(tuple(slugs), display, where)


def _in_two(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Part scientific and common names where names are both in one; return what people call each, which says of which
    species it is where several are called so, and the scientific name."""
    if not all(_SCIENTIFIC.fullmatch(name) or _SAME.fullmatch(name) for name in names) or not any(
        _SCIENTIFIC.fullmatch(name) for name in names
    ):
        return None
    latin, common = zip(*(name.split("_", 1) for name in names), strict=True)
    often = Counter(common)
    pairs = zip(common, latin, strict=True)
    return tuple(name if often[name] == 1 else f"{name} ({of})" for name, of in pairs), latin


def read(path: str | Path) -> Labels:
    """Return the labels of a file.

    Raises:
        ModelError: it cannot be read, or holds no labels.
    """
    try:
        content = plain.read(path, _MOST_BYTES)
    except StoredError as e:
        raise ModelError(str(e)) from None
    return parsed(content, str(path))


def parsed(content: bytes, where: str) -> Labels:
    """Read the labels in the content of a file: a line each, with numbers before them or not, or a table with a column
    of names, or the JSON of a wake word.

    Raises:
        ModelError: there are none, or it is no UTF-8.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:200]:
        raise ModelError(f"{where}: is written in UTF-16, or is no text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ModelError(f"{where}: is no UTF-8 at byte {e.start}; save it as UTF-8") from None
    if text.lstrip().startswith("{"):
        return named([_wake_word(text, where)], where)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ModelError(f"{where}: is empty; write a label a line, in the order of the scores")
    try:
        names = _column(lines) or _without_numbers(lines)
    except csv.Error as e:
        raise ModelError(f"{where}: cannot be read as a table ({e}); write a label a line") from None
    if any(not name.isprintable() for name in names):
        raise ModelError(f"{where}: holds what cannot be printed; write a label a line")
    return named(names, where)


def _wake_word(text: str, where: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"{where}: begins like JSON, but is none") from None
    word = found.get("wake_word")
    if not isinstance(word, str) or not word.strip():
        raise ModelError(f"{where}: names no wake_word; write a label a line instead")
    return word.strip()


def _column(lines: Sequence[str]) -> list[str]:
    """Return the names in a table, if it is one: its first line names its columns."""
    heads = [head.strip().casefold() for head in next(csv.reader(lines[:1]), [])]
    which = next((heads.index(name) for name in _NAMES if name in heads), None)
    if len(heads) < 2 or which is None:
        return []
    rows = list(csv.reader(io.StringIO("\n".join(lines[1:]))))
    return [row[which].strip() for row in rows if len(row) > which]


def _without_numbers(lines: Sequence[str]) -> list[str]:
    """Return the names without the numbers before them, where these count from 0 or 1."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(match[1]) for match in found if match is not None]
    if len(numbers) == len(lines) and numbers == list(range(numbers[0], numbers[0] + len(lines))) and numbers[0] < 2:
        return [match[2].strip() for match in found if match is not None]
    return list(lines)


def beside(path: Path, content: bytes, told: Told) -> Labels | None:
    """Return the labels that come with a network: in the zip at its end, or in a file beside it.

    Raises:
        ModelError: what is there cannot be read.
    """
    if (found := _in_tail(path, content, told)) is not None:
        return found
    folder, stem = path.parent, path.stem
    candidates = [
        path.with_suffix(".json"),
        *(folder / name for name in (f"{stem}_Labels.txt", f"{stem}_labels.txt", f"{stem}.txt", "labels.txt")),
        *sorted(folder.glob("*_Labels.txt")),
        *sorted(folder.glob("*class_map*.csv")),
    ]
    file = next((each for each in candidates if each.is_file()), None)
    return None if file is None else read(file)


def _in_tail(path: Path, content: bytes, told: Told) -> Labels | None:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as tail:
            names = tail.namelist()
            texts = [name for name in names if name.casefold().endswith((".txt", ".csv"))]
            candidates = [name for name in told.label_files if name in names]
            candidates += [name for name in texts if "label" in name.casefold()] + texts[: len(texts) == 1]
            if not candidates:
                return None
            if tail.getinfo(candidates[0]).file_size > _MOST_BYTES:
                raise ModelError(f"{path}: {candidates[0]} in it is larger than a list of labels")
            return parsed(tail.read(candidates[0]), f"{path}: {candidates[0]} in it")
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as e:
        raise ModelError(
            f"{path}: the zip at its end, which holds its labels, is damaged ({e}); give --labels"
        ) from None
