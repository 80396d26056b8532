"""The history may become so large and so old: what is over a bound goes with every write, a little at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from auricle.publish import table

PRUNED = 8
"""How many rows are taken away at most for each write: the bounds are kept without a pause for it."""
MARKS = 10
"""One part in so many of the history may be marks: marks push out marks, and never an event."""
_ROW_BYTES = 500
"""What a row costs beside its message, about."""


class Bounds:
    """Keeps the bounds of one history.

    Args:
        max_mb: of the database; a tenth of it for marks.
        max_days: since an event was published last.
        certain: whether the time of day can be believed. A clock that is wrong by years must not take all there is, so
            while it cannot be, nothing goes for its age.
    """

    def __init__(self, *, max_mb: float, max_days: float, certain: Callable[[], bool] = lambda: True) -> None:
        self.max_mb, self.max_days = max_mb, max_days
        self._certain = certain
        self._overdue = self._overdue_then = False
        self._marks_bytes = self._marks_coming = 0
        self._page_bytes = 4096

    def measure(self, db: sqlite3.Connection) -> None:
        """See how much is there, in a database that was just opened."""
        (self._page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        (self._marks_bytes,) = db.execute(
            f"SELECT coalesce(sum(length(first) + {_ROW_BYTES}), 0) FROM events WHERE {table.MARKS}"
        ).fetchone()

    def keep(self, db: sqlite3.Connection, now_us: int, marks: int, marks_bytes: int) -> None:
        """Take away what is over the bounds, within the transaction that writes more; `kept` once it is committed.

        Args:
            now_us: microseconds since 1970 UTC.
            marks, marks_bytes: the marks that the transaction writes, and how long they are together.
        """
        coming = self._marks_bytes + marks_bytes + marks * _ROW_BYTES
        if coming > self.max_mb * 1e6 / MARKS:
            gone = db.execute(
                f"SELECT n, coalesce(length(first), 0) FROM events WHERE {table.MARKS} ORDER BY n LIMIT {PRUNED}"
            ).fetchall()
            db.executemany("DELETE FROM events WHERE n = ?", [(n,) for n, _ in gone])
            coming -= sum(size + _ROW_BYTES for _, size in gone)
        oldest = f"SELECT n, topic, coalesce(length(first), 0) FROM events WHERE NOT going_on ORDER BY n LIMIT {PRUNED}"
        gone = db.execute(oldest).fetchall() if self.used_bytes(db) > self.max_mb * 1e6 else []
        db.executemany("DELETE FROM events WHERE n = ?", [(n,) for n, _, _ in gone])
        coming -= _marks_bytes(gone)
        self._marks_coming = coming - self._keep_young(db, now_us - round(self.max_days * 86_400e6))

    def kept(self) -> str | None:
        """Take note that what `keep` did is committed; return a line where something is to be said about it."""
        self._marks_bytes = self._marks_coming
        if self._overdue == self._overdue_then:
            return None
        self._overdue = self._overdue_then
        old = f"what is older than {self.max_days:g} days"
        if self._overdue:
            return f"{old} stays for now: the time of day is not certain"
        return f"{old} goes: the time of day is certain"

    def _keep_young(self, db: sqlite3.Connection, before_us: int) -> int:
        """Take away what was published last before then; return the bytes of marks among it."""
        # By their age, not by their place: what was told while the clock was ahead must not shield what is really old.
        old = (
            "SELECT n, topic, coalesce(length(first), 0) FROM events "
            f"WHERE told_us < ? AND NOT going_on ORDER BY told_us LIMIT {PRUNED}"
        )
        gone = db.execute(old, (before_us,)).fetchall()
        certain = self._certain()
        self._overdue_then = not certain and bool(gone or self._overdue)
        if not certain:
            return 0
        db.executemany("DELETE FROM events WHERE n = ?", [(n,) for n, _, _ in gone])
        return _marks_bytes(gone)

    def used_bytes(self, db: sqlite3.Connection) -> int:
        """Return how many bytes the database takes, without what is free in it."""
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (free,) = db.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * self._page_bytes


def _marks_bytes(rows: Iterable[tuple[int, object, int]]) -> int:
    """Add up what the marks among these rows take; each row has its number, topic and length."""
    return sum(size + _ROW_BYTES for _, topic, size in rows if str(topic).startswith("mark."))
