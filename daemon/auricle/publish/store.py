"""The history of events in SQLite: kept before it is told, bounded, and never in the way of hearing."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from auricle import messages
from auricle.messages import DaemonNews, Event, Mark
from auricle.messages.questions import HistoryReport
from auricle.messages.topics import part

log = logging.getLogger("auricle")

FORMAT = 1
PAGE = 64
"""Rows read for one answer."""
PRUNED = 8
"""Rows taken away at most for each one that is written: the bounds are kept without ever stopping for it."""
RETRY_S = 10.0
CHECKPOINT_S = 30.0
WAITING = 10_000
"""Messages that wait in memory while the disk is full."""
BUSY_S = 0.2
LOOK_S = 0.5
"""How often to see whether the file is still there, and still the same."""
MARKS = 10
"""One part in so many of the history, and of what waits, may be marks: they push out marks, and never an event."""
_ROW_BYTES = 500
"""What a row costs beside its message, about."""

_TABLE = """
CREATE TABLE events (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  topic TEXT NOT NULL,
  source TEXT,
  label TEXT,
  going_on INTEGER NOT NULL,
  told_us INTEGER NOT NULL,
  first BLOB NOT NULL,
  last BLOB
);
CREATE INDEX events_told ON events (told_us, n);
CREATE INDEX events_going_on ON events (n) WHERE going_on;
"""

# Made where a database of before has none. The upper end of the range is the sign after the dot.
_MARKS = "topic >= 'mark.' AND topic < 'mark/'"
_MARKS_INDEX = f"CREATE INDEX IF NOT EXISTS events_marks ON events (n) WHERE {_MARKS}"

# The first message of an event, and the newest: of an update only that it was the newest matters to history.
_WRITE = """
INSERT INTO events (id, topic, source, label, going_on, told_us, first) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET going_on = excluded.going_on, told_us = excluded.told_us, last = excluded.first
"""


_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _Foreign(sqlite3.DatabaseError):
    """A database that is whole, but does not hold our table."""


class Store:
    """The history, as an outlet.

    A message is committed before the next outlet gets it, so it outlives the process. WAL with synchronous=NORMAL:
    a commit writes to the system's cache and does not wait for the disk; a thread syncs every `CHECKPOINT_S`, and a
    power cut costs at most what came after that. What cannot be written waits in memory and is tried again.

    Args:
        path: of the database; its folder is made if need be.
        max_mb, max_days: bounds; may be set while it runs.
    """

    def __init__(self, path: Path, *, max_mb: float, max_days: float) -> None:
        self.path = path
        self.max_mb, self.max_days = max_mb, max_days
        self.trouble: str | None = None
        self.lost = 0
        self.pollable: None = None
        self.resting = False
        self._tell: Callable[[DaemonNews, str], None] | None = None
        self._news: deque[str] = deque(maxlen=16)
        self._db: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._marks_waiting = 0
        self._marks_bytes = 0
        self._open: dict[str, list[tuple[str, bytes]]] = {}
        self._file: tuple[int, int] | None = None
        self._look_s = 0.0
        self._retry_s = 0.0
        self._page_bytes = 4096
        self._decoder: msgspec.json.Decoder[Event | Mark] = msgspec.json.Decoder(Event | Mark)
        self._unread = False
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync, name="history", daemon=True)

    def open(self) -> list[tuple[str, Event]]:
        """Open the database; what a crash left going on, as the topic and the newest message of each event."""
        left: list[tuple[str, Event]] = []

        def find() -> None:
            left.clear()
            db, unread = self._connect(), []
            rows = db.execute(
                "SELECT n, id, topic, coalesce(last, first) FROM events WHERE going_on ORDER BY n"
            ).fetchall()  # fmt: skip
            for n, id, topic, payload in rows:
                event = next(self._read(payload), None)
                if isinstance(event, Event) and event.id == id and topic == _topic(event) and _closes(event):
                    left.append((topic, event))
                else:
                    unread.append((n,))
            if unread:
                # They stay where they are for whoever can read them, and are not met again at the next start.
                db.executemany("UPDATE events SET going_on = 0 WHERE n = ?", unread)
                self._say(
                    f"{self.path}: {len(unread)} events that went on cannot be read; left as they are, not closed"
                )

        if not self._attempt(find) and self._retry_s == 0.0:
            self._attempt(find)
        self._syncing.start()
        return left

    def report_to(self, tell: Callable[[DaemonNews, str], None]) -> None:
        """Say there, as state ``store``, when the history has a trouble and when it has it no more."""
        self._tell = tell

    def __call__(self, topic: str, payload: bytes) -> None:
        """Keep an event's message; anything else is no history."""
        if not topic.startswith(("event.", "mark.")):
            return
        self._wait((topic, payload))
        if self.trouble is None:
            self._attempt(self._write)

    def serve(self) -> None:
        """Try again when it is time, see that the file is there, and say what has changed; does not block."""
        self._look(time.monotonic())
        if self.trouble is not None and time.monotonic() >= self._retry_s:
            self._attempt(self._write)
        while self._news and self._tell is not None:
            self._tell("store", self._news.popleft())

    def page(
        self, since_us: int, after: tuple[int, int] | None, *, label: str | None, source: str | None
    ) -> tuple[list[Event | Mark], tuple[int, int] | None]:
        """First and newest message of the events that changed since a time, in the order of their changes.

        Args:
            since_us: microseconds since 1970 UTC.
            after: where the page before ended.

        Returns:
            The messages, and where the page ends if there are more.

        Raises:
            sqlite3.Error: the history cannot be read.
        """
        if self._db is None:
            raise sqlite3.OperationalError(self.trouble or "closed")
        rows = self._db.execute(
            "SELECT told_us, n, source, label, first, last FROM events WHERE (told_us, n) > (?, ?) "
            "AND typeof(told_us) = 'integer' ORDER BY told_us, n LIMIT ?",
            (*(after or (since_us - 1, 1 << 62)), PAGE),
        ).fetchall()
        found = [
            message
            for _, _, heard, called, first, last in rows
            if (label is None or called == label) and (source is None or heard == source)
            for payload in (first, last)
            for message in self._read(payload)
        ]
        return found, (rows[-1][0], rows[-1][1]) if len(rows) == PAGE else None

    def report(self) -> HistoryReport:
        """How it fares."""
        report = HistoryReport(enabled=True, trouble=self.trouble, missed=self.lost)
        if self._db is not None:
            try:
                # Rows go at the old end, so the span of n is their number; to count them would read them all.
                low, high = (self._db.execute(f"SELECT {end}(n) FROM events").fetchone()[0] for end in ("min", "max"))
                report.events = 0 if low is None else high - low + 1
                report.mb = round(self._used_bytes(self._db) / 1e6, 3)
            except sqlite3.Error as e:
                self._fail(e)
                report.trouble = self.trouble
        return report

    def close(self) -> None:
        """Write what waits, sync and let go."""
        if self._waiting:
            self._attempt(self._write)
        self._closing.set()
        if self._syncing.is_alive():
            self._syncing.join()
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _wait(self, told: tuple[str, bytes]) -> None:
        """Keep a message until it is written; of too many the oldest go, marks among themselves."""
        self._waiting.append(told)
        mark = told[0].startswith("mark.")
        self._marks_waiting += mark
        if mark and self._marks_waiting > WAITING // MARKS:
            oldest = next(n for n, (topic, _) in enumerate(self._waiting) if topic.startswith("mark."))
        elif len(self._waiting) > WAITING:
            oldest = 0
        else:
            return
        self._marks_waiting -= self._waiting[oldest][0].startswith("mark.")
        del self._waiting[oldest]
        self.lost += 1

    def _look(self, now_s: float) -> None:
        """Begin a new file where ours was deleted or replaced: what is written into it then is found by nobody."""
        if self._db is None or now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_S
        if _identity(self.path) == self._file:
            return
        self._disconnect()
        if self._lock is not None and _identity(self._lock_path) != _identity(self._lock):
            os.close(self._lock)  # of a file that has gone too: it keeps nobody out any more
            self._lock = None
        self._waiting.extendleft(reversed([told for messages in self._open.values() for told in messages]))
        n = len(self._open)
        if self._attempt(self._write):
            self._say(f"{self.path}: was deleted or replaced; a new one begins, with the {n} events that go on")

    def _attempt(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except (sqlite3.Error, OSError) as e:
            self._fail(e)
            return False
        if self.trouble is not None:
            self.trouble = None
            self._say(f"{self.path}: kept again" + (f"; {self.lost} messages were lost" if self.lost else ""))
        return True

    def _fail(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        before, self.trouble = self.trouble, f"{self.path}: {error}"
        self._retry_s = time.monotonic() + RETRY_S
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            self._disconnect()  # else what is there can still be read
        if isinstance(error, _Foreign) or code in _BROKEN:
            self._say(f"{self.trouble}; moved to {self._set_aside()}, a new one begins")
            self._retry_s = 0.0
        elif before is None:
            self._say(f"{self.trouble}; events are not kept until that is mended; tried again every {RETRY_S:g} s")

    def _say(self, news: str) -> None:
        log.warning("history: %s", news)
        self._news.append(news)

    def _read(self, payload: object) -> Iterator[Event | Mark]:
        """The message, unless there is none or what lies there is none of ours (any more): that is told once."""
        if payload is None:
            return
        try:
            if not isinstance(payload, bytes):
                raise TypeError(f"a message is kept as {type(payload).__name__}")
            message = self._decoder.decode(payload)
            for time_of_day in (message.t, *((message.onset, message.offset) if isinstance(message, Event) else ())):
                if time_of_day is not None:
                    messages.microseconds(time_of_day)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as e:
            log.debug("history: a row cannot be read: %s", e)
            if not self._unread:
                self._unread = True
                self._say(f"{self.path}: holds rows that cannot be read; they are left as they are, and out of answers")
        else:
            yield message

    def _connect(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = self._take_lock()
        # What was heard at home is not for every user of the machine; SQLite's other files take over the mode.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
        db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        # Text that is none any more is a row's own trouble, not the file's.
        db.text_factory = _text
        try:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found > FORMAT:
                raise sqlite3.OperationalError(f"was written by a newer auricle (format {found}); move it away")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA wal_autocheckpoint=0")  # it syncs, so it is done by the thread
            if found == 0:
                db.executescript(f"BEGIN; {_TABLE} PRAGMA user_version={FORMAT}; COMMIT;")
            self._check(db)
            db.execute("SELECT count(*) FROM events WHERE going_on").fetchone()
            db.execute(_MARKS_INDEX)
            (self._marks_bytes,) = db.execute(
                f"SELECT coalesce(sum(length(first) + {_ROW_BYTES}), 0) FROM events WHERE {_MARKS}"
            ).fetchone()
            self._file = _identity(self.path)
            (self._page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        """Refuse a database that is whole but not ours: one that cannot be written would be of no use for ever."""
        try:
            db.execute(f"EXPLAIN {_WRITE}", (None,) * 7)
            db.execute("EXPLAIN SELECT n, id, topic, source, label, going_on, told_us, first, last FROM events")
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
                raise
            raise _Foreign(f"no history of ours: {e}") from e

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-lock")

    def _take_lock(self) -> int:
        """Two daemons on one history would close each other's events. The kernel lets go of it with the process."""
        lock = os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise sqlite3.OperationalError("another auricle keeps its history there; set another store.path") from None
        return lock

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # a broken file may not even close cleanly
                db.close()

    def _set_aside(self) -> Path:
        """Keep a broken file for whoever wants to save what is in it; the newest one only."""
        aside = self.path.with_name(f"{self.path.name}.broken")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
        return aside

    def _write(self) -> None:
        db = self._connect()
        told_us = time.time_ns() // 1000
        marks_bytes = self._marks_bytes
        db.execute("BEGIN IMMEDIATE")
        try:
            for topic, payload in self._waiting:
                message = self._decoder.decode(payload)
                going_on = isinstance(message, Event) and message.phase != "offset"
                if isinstance(message, Mark):
                    marks_bytes += len(payload) + _ROW_BYTES
                row = (message.id, topic, message.source, message.label, going_on, told_us, payload)
                db.execute(_WRITE, row)
            marks_bytes = self._prune(db, told_us, marks_bytes)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._marks_bytes = marks_bytes
        self._marks_waiting = 0
        while self._waiting:
            self._remember(*self._waiting.popleft())

    def _remember(self, topic: str, payload: bytes) -> None:
        """Hold the first and the newest message of what goes on, for a file that must begin anew."""
        message = self._decoder.decode(payload)
        if not isinstance(message, Event):
            return
        if message.phase == "offset":
            self._open.pop(message.id, None)
        else:
            self._open[message.id] = [*self._open.get(message.id, [])[:1], (topic, payload)]

    def _prune(self, db: sqlite3.Connection, now_us: int, marks_bytes: int) -> int:
        """Take away what is over the bounds; the bytes of the marks that are left."""
        if marks_bytes > self.max_mb * 1e6 / MARKS:
            gone = db.execute(
                f"SELECT n, coalesce(length(first), 0) FROM events WHERE {_MARKS} ORDER BY n LIMIT {PRUNED}"
            ).fetchall()
            db.executemany("DELETE FROM events WHERE n = ?", [(n,) for n, _ in gone])
            marks_bytes -= sum(size + _ROW_BYTES for _, size in gone)
        oldest = f"SELECT n, topic, coalesce(length(first), 0) FROM events WHERE NOT going_on ORDER BY n LIMIT {PRUNED}"
        gone = db.execute(oldest).fetchall() if self._used_bytes(db) > self.max_mb * 1e6 else []
        db.executemany("DELETE FROM events WHERE n = ?", [(n,) for n, _, _ in gone])
        marks_bytes -= sum(size + _ROW_BYTES for _, topic, size in gone if str(topic).startswith("mark."))
        oldest = f"SELECT n FROM events WHERE NOT going_on ORDER BY n LIMIT {PRUNED}"
        before_us = now_us - round(self.max_days * 86_400e6)
        db.execute(f"DELETE FROM events WHERE told_us < ? AND n IN ({oldest})", (before_us,))
        return marks_bytes

    def _used_bytes(self, db: sqlite3.Connection) -> int:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (free,) = db.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * self._page_bytes

    def _sync(self) -> None:
        """Bring to disk what was committed. Of its own: a card may take seconds for it."""
        done = False
        while not done:
            done = self._closing.wait(CHECKPOINT_S)
            if self.trouble is None and self.path.exists():
                try:
                    db = sqlite3.connect(self.path, timeout=BUSY_S)
                    try:
                        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    finally:
                        db.close()
                except sqlite3.Error as e:
                    # Whoever writes next meets the same trouble and tells it.
                    log.debug("history: cannot be synced: %s", e)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _topic(event: Event) -> str | None:
    """The topic on which an event is told; ``None`` if it is of no source."""
    return None if event.source is None else f"event.{part(event.source)}.{part(event.label)}."


def _closes(event: Event) -> bool:
    """Whether the message with which it would be closed is one that can be sent and read."""
    try:
        messages.decode(messages.encode(closed(event, event.instance)))
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
        return False
    return True


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Which file it is, whatever its name; ``None`` if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def closed(event: Event, instance: str) -> Event:
    """The offset of an event that a crash left going on: at the last sample that is known of it."""
    onset_us = messages.microseconds(event.onset)
    # What is known of an event is never shorter than it was told to be.
    duration_s = max(event.duration_s, (messages.microseconds(event.t) - onset_us) / 1e6)
    ending = msgspec.structs.replace(
        event,
        instance=instance,
        phase="offset",
        offset=messages.rfc3339(onset_us + round(duration_s * 1e6)),
        offset_sample=None if event.sample is None else max(event.sample, event.onset_sample + 1),
        duration_s=duration_s,
        cause="restart",
        estimated=True,
        latency_ms=None,
    )
    if isinstance(event.onset_s, float):
        ending.offset_s = round(event.onset_s + duration_s, 6)
    return ending
