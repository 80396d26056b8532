"""What is wrong with the history is told on one line."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from auricle.publish.store import Store


def test_a_fault_of_many_lines_is_one(tmp_path: Path) -> None:
    """SQLite quotes the schema of a damaged file, line by line: the trouble stays one line."""
    store = Store(tmp_path / "events.db", max_mb=1, max_days=1)
    store._fail(sqlite3.OperationalError("malformed database schema (a,\n  b TEXT,\n  c)"))
    assert store.trouble is not None
    assert store.trouble.splitlines() == [store.trouble]
    store.close()
