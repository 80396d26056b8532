"""Files, folders and patterns stand for recordings, which are found here."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

EXTENSIONS = frozenset(
    (".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".w64", ".wav", ".wave")
)
"""The endings of the files that a folder is searched for; a file that is named itself may be called anything."""


def find(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Find the recordings that files, folders (searched deeply) and globs stand for, and write a line for what stands
    for none.

    Files keep the name under which they were reached; a folder's files come in sorted order.
    """
    found: list[str] = []
    faults: list[str] = []

    def walk(folder: str) -> None:
        before = len(found), len(faults)
        for root, folders, files in os.walk(folder, onerror=lambda e: faults.append(f"{e.filename}: {e.strerror}")):
            folders.sort()
            found.extend(os.path.join(root, f) for f in sorted(files) if Path(f).suffix.lower() in EXTENSIONS)
        if before == (len(found), len(faults)):
            faults.append(f"{folder}: no recording in this folder; use one with {', '.join(sorted(EXTENSIONS))} files")

    for path in paths:
        if os.path.isdir(path):
            walk(path)
        elif os.path.exists(path) or not glob.has_magic(path):
            found.append(path)
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                faults.append(f"{path}: no file matches this pattern")
            for match in matches:
                walk(match) if os.path.isdir(match) else found.append(match)
    return found, faults
