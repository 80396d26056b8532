"""Files, folders and patterns stand for recordings, which are found here; what in a folder is none is named."""

from __future__ import annotations

import glob
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    (".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".sph", ".voc", ".w64")
) | {".wav", ".wave"}
"""The endings of the files that a folder is searched for; a file that is named itself may be called anything."""
WITH_FFMPEG = frozenset(
    {".3gp", ".aac", ".ac3", ".amr", ".ape", ".asf", ".avi", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka"}
    | {".mkv", ".mov", ".mp2", ".mp4", ".mpg", ".mts", ".tta", ".vob", ".webm", ".wma", ".wmv", ".wv"}
)
"""Further names, of recordings and films whose sound `auricle.capture.transcoded` reads."""
NO_FILE = "a pipe, a socket or a device, not a file; it is not heard"
_NAMED = 8
"""How many kinds of files passed over are named; of the rest the number is told."""


def shown(path: str) -> str:
    r"""Write a path as text for messages and people: bytes in it that are no UTF-8 are escaped, as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def find(paths: Sequence[str], *, tell: bool = True) -> tuple[list[str], list[str]]:
    """Find the recordings that files, folders (searched deeply) and globs stand for, and write a line for what stands
    for none.

    Files keep the name under which they were reached; a folder's files come in sorted order. A folder that is reached
    twice, by a symbolic link, is searched once.

    Args:
        tell: whether to log what is passed over in a folder.
    """
    found: list[str] = []
    faults: list[str] = []

    def search(folder: str) -> None:
        before = len(found), len(faults)
        passed: Counter[str] = Counter()
        for file in _files(folder, faults):
            kind = Path(file).suffix.lower()
            if kind in EXTENSIONS or kind in WITH_FFMPEG:
                if endless(file):
                    faults.append(f"{shown(file)}: {NO_FILE}")
                else:
                    found.append(file)
            else:
                passed[kind or "without an extension"] += 1
        if before == (len(found), len(faults)):
            use = ", ".join(sorted(EXTENSIONS))
            faults.append(f"{shown(folder)}: no recording in this folder; use one with {use} files")
        if passed and tell:
            log.warning("%s: passed over: %s", shown(folder), _counted(passed))

    for path in paths:
        if os.path.isdir(path):
            search(path)
        elif os.path.exists(path) or not glob.has_magic(path):
            found.append(path)
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                faults.append(f"{shown(path)}: no file matches this pattern")
            for match in matches:
                search(match) if os.path.isdir(match) else found.append(match)
    return found, faults


def endless(path: str) -> bool:
    """Return whether a path is no file but a pipe, a socket or a device, at which one might wait for ever."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False  # whoever opens it says why it cannot be


def _files(folder: str, faults: list[str]) -> Iterator[str]:
    """Yield every file below a folder, also behind symbolic links to other folders, none of which is entered twice."""

    def fault(error: OSError) -> None:
        faults.append(f"{shown(error.filename)}: {error.strerror}")

    entered: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, onerror=fault, followlinks=True):
        try:
            about = os.stat(root)
        except OSError as error:
            fault(error)
            folders.clear()
            continue
        if (about.st_dev, about.st_ino) in entered:
            folders.clear()
            continue
        entered.add((about.st_dev, about.st_ino))
        folders.sort()
        yield from (os.path.join(root, file) for file in sorted(files))


def _counted(passed: Counter[str]) -> str:
    """Write ``12 .txt, 2 .jpg``, the most first."""
    kinds = sorted(passed.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count} {shown(kind)}" for kind, count in kinds[:_NAMED]]
    if rest := sum(count for _, count in kinds[_NAMED:]):
        named.append(f"{rest} of other kinds")
    return ", ".join(named)
