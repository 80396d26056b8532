"""Tables for programs are written here as Apache Parquet, by pyarrow, which nothing else needs: the extra
``parquet``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from auricle.errors import OutputError, UsageError
from auricle.tables.row import COLUMNS, Row

_ROWS = 10_000
"""How many rows are written at once."""


class Parquet:
    """Writes the `COLUMNS`, times as UTC timestamps; the file has its name once it is whole.

    Raises:
        UsageError: pyarrow is missing.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise UsageError("parquet: pyarrow is missing; pip install 'auricle[parquet]'") from None
        kinds = dict.fromkeys(COLUMNS, pyarrow.string())
        kinds |= dict.fromkeys(("begin_s", "end_s", "peak", "mean"), pyarrow.float64())
        kinds |= dict.fromkeys(("begin", "end"), pyarrow.timestamp("us", tz="UTC"))
        self._schema = pyarrow.schema(list(kinds.items()))
        self._arrow = pyarrow
        self._path, self._part = path, path.with_name(f"{path.name}.part")
        self._rows: list[Row] = []
        self._file = self._told(lambda: parquet.ParquetWriter(self._part, self._schema))

    def add(self, row: Row, before_s: float) -> None:
        """Keep the row, and write many at once."""
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self._write()

    def close(self) -> None:
        """Write what is left, and give the file its name."""
        self._write()
        self._told(self._file.close)
        self._told(lambda: self._part.replace(self._path))

    def _write(self) -> None:
        columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in self._rows] for name in COLUMNS}
        for name in ("begin", "end"):
            columns[name] = [None if time is None else datetime.fromisoformat(time) for time in columns[name]]
        self._rows = []
        self._told(lambda: self._file.write_table(self._arrow.table(columns, schema=self._schema)))

    def _told(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except OSError as e:
            raise OutputError(f"{self._path}: {e.strerror or e}; free some space, or write elsewhere") from None
