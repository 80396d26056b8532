"""The history of events lies in SQLite: a message is kept before it is published, and the history is bounded and never
in the way of hearing."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from auricle.errors import one_line
from auricle.messages import Clip, DaemonNews, Event, Mark, rfc3339
from auricle.messages.questions import Anew, HistoryReport
from auricle.publish import table
from auricle.publish.bounds import Bounds
from auricle.publish.database import Database
from auricle.publish.leftover import closable
from auricle.publish.waiting import Waiting

log = logging.getLogger("auricle")

RETRY_S = 10.0
FAILURES = (sqlite3.Error, OSError, MemoryError)
"""Errors that the history survives, whatever it was doing."""
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Store:
    """Keeps the history, as an outlet.

    A message is committed before the next outlet gets it, so it outlives the process. Messages that cannot be written
    wait in memory and are tried again.

    Args:
        path: of the database; its folder is made if need be.
        max_mb, max_days, certain: the bounds, as of `Bounds`.
    """

    def __init__(
        self, path: Path, *, max_mb: float, max_days: float, certain: Callable[[], bool] = lambda: True
    ) -> None:
        self.path = path
        self.bounds = Bounds(max_mb=max_mb, max_days=max_days, certain=certain)
        """The bounds of the history, which may be changed while it runs."""
        self.database = Database(path)
        self.trouble: str | None = None
        self.pollable: None = None
        self.resting = False
        self._tell: Callable[[DaemonNews, str], None] | None = None
        self._news: deque[str] = deque(maxlen=16)
        self._anew: Anew | None = None
        self._waiting = Waiting()
        self._left: deque[tuple[str, Event]] | None = None
        self._close: Callable[[str, Event], None] | None = None
        self._retry_s = 0.0
        self._unread = False

    @property
    def lost(self) -> int:
        """Return how many messages were never written."""
        return self._waiting.lost

    def open(self, close: Callable[[str, Event], None] = lambda topic, event: None) -> None:
        """Open the database, and have what a crash left going on closed: now, or as soon as that can be read.

        Args:
            close: called with the topic and the newest message of each such event.
        """
        self._close = close
        if not self._attempt(self._find) and self._retry_s == 0.0:
            self._attempt(self._find)
        self._close_left()

    def report_to(self, tell: Callable[[DaemonNews, str], None]) -> None:
        """Publish through ``tell``, as state ``store``, when the history has a trouble and when it has it no more."""
        self._tell = tell

    def __call__(self, topic: str, payload: bytes) -> None:
        """Keep what is said of an event, and marks; anything else is no history."""
        if not topic.startswith(("event.", "mark.", "clip.")):
            return
        self._waiting.add(table.row_of(topic, payload))
        if self.trouble is None:
            self._attempt(self._write)

    def serve(self) -> None:
        """Try again when it is time, see that the file is there, and say what has changed; does not block."""
        now_s = time.monotonic()
        if self.database.has_gone(now_s):
            n, gone = self._waiting.again(), "was deleted or replaced"
            self._begins_anew(gone)
            if self._attempt(self._write):
                self._say(f"{self.path}: {gone}; a new one begins, with the {n} events that go on")
            else:
                self._say(f"{self.path}: {gone}")
        if self.trouble is not None and now_s >= self._retry_s:
            self._attempt(self._write if self._left is not None else self._find)
            self._close_left()
        while self._news and self._tell is not None:
            self._tell("store", self._news.popleft())

    def page(
        self, since_us: int, after: tuple[int, int] | None, *, label: str | None, source: str | None
    ) -> tuple[list[Event | Mark | Clip], tuple[int, int] | None]:
        """Return first and newest message and clip of the events that changed since a time, in the order of their
        changes.

        Args:
            since_us: microseconds since 1970 UTC.
            after: where the page before ended.

        Returns:
            The messages, and where the page ends if there are more.

        Raises:
            sqlite3.Error: the history cannot be read.
        """
        if self.database.connection is None:
            raise sqlite3.OperationalError(self.trouble or "closed")
        rows = table.changed(self.database.connection, after or (since_us - 1, 1 << 62))
        found = [
            message
            for _, _, heard, called, *payloads in rows
            if (label is None or called == label) and (source is None or heard == source)
            for payload in payloads
            if payload is not None and (message := self._read(payload)) is not None
        ]
        return found, (rows[-1][0], rows[-1][1]) if len(rows) == table.PAGE else None

    def events(self, id: str | None = None) -> Iterator[Event]:
        """Yield the newest message of every event of late, the newest event first, each once.

        Args:
            id: of an event that comes first of all, however old it is.

        Raises:
            sqlite3.Error: the history cannot be read.
        """
        if self.database.connection is None:
            raise sqlite3.OperationalError(self.trouble or "closed")
        given: set[str] = set()
        for payload in table.latest(self.database.connection, id):
            if isinstance(event := self._read(payload), Event) and event.id not in given:
                given.add(event.id)
                yield event

    def report(self) -> HistoryReport:
        """Return how the history fares."""
        report = HistoryReport(enabled=True, trouble=self.trouble, missed=self.lost, anew=self._anew)
        if (db := self.database.connection) is not None:
            try:
                report.events = table.count(db)
                report.mb = round(self.bounds.used_bytes(db) / 1e6, 3)
            except sqlite3.Error as e:
                self._fail(e)
                report.trouble = self.trouble
        return report

    def close(self) -> None:
        """Write what waits, sync, and close the files."""
        if self._waiting:
            self._attempt(self._write)
        self.database.close()

    def _connect(self) -> sqlite3.Connection:
        if (db := self.database.connection) is not None:
            return db
        db = self.database.connect()
        try:
            self.bounds.measure(db)
        except BaseException:
            self.database.disconnect()
            raise
        return db

    def _find(self) -> None:
        """Find what a crash left going on, before anything is written; then write what waits."""
        db, unread = self._connect(), []
        left: deque[tuple[str, Event]] = deque()
        for n, id, topic, payload in table.going_on(db):
            event = self._read(payload)
            if isinstance(event, Event) and isinstance(topic, str) and closable(id, topic, event):
                left.append((topic, event))
            else:
                unread.append(n)
        if unread:
            table.give_up(db, unread)
            self._say(f"{self.path}: {len(unread)} events that went on cannot be read; left as they are, not closed")
        self._left = left
        if self._waiting:
            self._write()

    def _close_left(self) -> None:
        while self._left and self._close is not None:
            self._close(*self._left.popleft())

    def _write(self) -> None:
        """Write all that waits, and take away what is over the bounds, in one transaction."""
        db = self._connect()
        told_us = time.time_ns() // 1000
        marks = [len(row.payload) for row in self._waiting if row.mark]
        db.execute("BEGIN IMMEDIATE")
        try:
            for row in self._waiting:
                table.write(db, row, told_us)
            self.bounds.keep(db, told_us, len(marks), sum(marks))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                try:
                    db.execute("ROLLBACK")
                except FAILURES:
                    self.database.disconnect()  # which takes it back as well
            raise
        if (news := self.bounds.kept()) is not None:
            self._say(f"{self.path}: {news}")
        self._waiting.written()

    def _attempt(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except FAILURES as e:
            self._fail(e)
            return False
        if self.trouble is not None:
            self.trouble = None
            self._say(f"{self.path}: kept again" + (f"; {self.lost} messages were lost" if self.lost else ""))
        return True

    def _fail(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        before, self.trouble = self.trouble, f"{self.path}: {one_line(str(error)) or 'no memory is left'}"
        self._retry_s = time.monotonic() + RETRY_S
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            self.database.disconnect()  # else what is there can still be read
        if (isinstance(error, table.Foreign) or code in _BROKEN) and (aside := self._set_aside()):
            self._say(f"{self.trouble}; moved to {aside}, a new one begins")
            self._retry_s = 0.0
        elif before is None:
            self._say(f"{self.trouble}; events are not kept until that is mended; tried again every {RETRY_S:g} s")

    def _set_aside(self) -> Path | None:
        try:
            aside = self.database.set_aside()
        except OSError as e:
            self.trouble = f"{self.trouble}; cannot be moved away: {e.strerror}"
            return None
        self._begins_anew(f"was broken; moved to {aside}")
        return aside

    def _begins_anew(self, why: str) -> None:
        self._anew = Anew(t=rfc3339(time.time_ns() // 1000), why=why)

    def _say(self, news: str) -> None:
        log.warning("history: %s", news)
        self._news.append(news)

    def _read(self, payload: object) -> Event | Mark | Clip | None:
        """Read a message as it was kept; ``None`` where it cannot be read, which is published once."""
        try:
            return table.message_of(payload)
        except table.Unreadable as e:
            log.debug("history: a row cannot be read: %s", e)
            if not self._unread:
                self._unread = True
                self._say(f"{self.path}: holds rows that cannot be read; they are left as they are, and out of answers")
            return None
