"""A table of one of several forms is written here row by row: what is there after a kill are whole rows."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

from auricle.config import printable
from auricle.errors import OutputError
from auricle.tables.row import COLUMNS, Row

RAVEN = [
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "File Offset (s)", "Annotation", "Name", "Peak", "Mean", "Begin (UTC)", "Model", "Hash"),
]
"""The columns of a selection table: Raven's own, then ours, which Raven shows and keeps."""


class Table(Protocol):
    """Takes rows until it is closed, as a table of whatever form does."""

    def add(self, row: Row, before_s: float) -> None:
        """Write a row; ``before_s`` is the length of the recordings before the row's own."""

    def close(self) -> None:
        """Write what is left and close the file."""


class _Lines:
    """Writes a text file of rows, each whole on the disk before the next; standard output where there is no path."""

    def __init__(self, path: Path | None, delimiter: str, header: Sequence[str] = ()) -> None:
        self._path = path
        self._line = io.StringIO()
        self._writer = csv.writer(self._line, delimiter=delimiter, lineterminator="\n")
        try:
            self._file = sys.stdout if path is None else path.open("w", encoding="utf-8", newline="")
        except OSError as e:
            raise OutputError(f"{path}: {e.strerror or e}") from None
        if header:
            self.put(header)

    def put(self, fields: Sequence[Any]) -> None:
        """Write a line; ``None`` is an empty field."""
        self._writer.writerow(["" if value is None else value for value in fields])
        try:
            self._file.write(self._line.getvalue())
            self._file.flush()
        except OSError as e:
            if self._path is None:
                raise
            with suppress(OSError):  # what could not be written is tried once more
                self._file.close()
            raise OutputError(f"{self._path}: {e.strerror or e}; free some space, or write elsewhere") from None
        self._line.seek(0)
        self._line.truncate()

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            self._file.close()


class Csv:
    """Writes comma-separated values with a header, the `COLUMNS`."""

    def __init__(self, path: Path | None, high_hz: float) -> None:
        self._lines = _Lines(path, ",", list(COLUMNS))

    def add(self, row: Row, before_s: float) -> None:
        """Write the row."""
        self._lines.put(astuple(row))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class Raven:
    """Writes a selection table of Raven: times count over the recordings in a row, as Raven opens several.

    Args:
        high_hz: the upper edge of the selections; the lower one is 0.
    """

    def __init__(self, path: Path | None, high_hz: float) -> None:
        self._lines = _Lines(path, "\t", RAVEN)
        self._high_hz = high_hz
        self._rows = 0

    def add(self, row: Row, before_s: float) -> None:
        """Write the row as a selection."""
        self._rows += 1
        times = (round(before_s + row.begin_s, 6), round(before_s + row.end_s, 6), 0, self._high_hz)
        ours = (row.label, row.name, row.peak, row.mean, row.begin, row.model, row.hash)
        self._lines.put((self._rows, "Spectrogram 1", 1, *times, printable(row.file), row.begin_s, *ours))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class Audacity:
    """Writes the labels of one recording as Audacity imports them: begin, end and label."""

    def __init__(self, path: Path | None, high_hz: float) -> None:
        self._lines = _Lines(path, "\t")

    def add(self, row: Row, before_s: float) -> None:
        """Write the row as a label."""
        self._lines.put((f"{row.begin_s:.6f}", f"{row.end_s:.6f}", row.label))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _parquet(path: Path | None, high_hz: float) -> Table:
    from auricle.tables.parquet import Parquet  # pyarrow is an extra, and takes its time

    assert path is not None
    return Parquet(path)


FORMATS: dict[str, tuple[str, Callable[[Path | None, float], Table]]] = {
    "csv": (".csv", Csv),
    "raven": (".selections.txt", Raven),
    "audacity": (".txt", Audacity),
    "parquet": (".parquet", _parquet),
}
"""Every form stands here by its name, with the ending of its files' names and what writes it."""
