"""The table of the history in SQLite is made here and known again, written and read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from auricle import messages
from auricle.messages import Clip, Event, Mark

FORMAT = 1
PAGE = 64
"""How many rows are read for one answer."""
MARKS = "topic >= 'mark.' AND topic < 'mark/'"
"""The condition by which a row is a mark; the upper end of the range is the sign after the dot."""
EVENTS = "topic >= 'event.' AND topic < 'event/'"
"""The condition by which a row is an event's."""
LATEST = 4096
"""How many rows are looked through for an event that is meant."""

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
  last BLOB,
  clip BLOB
);
CREATE INDEX events_told ON events (told_us, n);
CREATE INDEX events_going_on ON events (n) WHERE going_on;
"""

# The first message of an event, and the newest: of an update only that it was the newest matters to history.
_WRITE = """
INSERT INTO events (id, topic, source, label, going_on, first, told_us) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET going_on = excluded.going_on, told_us = excluded.told_us, last = excluded.first
"""
_CLIP = "UPDATE events SET clip = ?, told_us = ? WHERE id = ?"
_READ = (
    "SELECT told_us, n, source, label, first, last, clip FROM events WHERE (told_us, n) > (?, ?) "
    "AND typeof(told_us) = 'integer' ORDER BY told_us, n LIMIT ?"
)
_ONE = f"SELECT coalesce(last, first) FROM events WHERE id = ? AND {EVENTS}"
_NEWEST = (
    f"SELECT coalesce(last, first) FROM events WHERE n > (SELECT max(n) FROM events) - ? AND {EVENTS} ORDER BY n DESC"
)
_decoder: msgspec.json.Decoder[Event | Mark | Clip] = msgspec.json.Decoder(Event | Mark | Clip)


class Foreign(sqlite3.DatabaseError):
    """A database is whole, but does not hold our table."""


class Unreadable(ValueError):
    """A row holds no message of ours (any more)."""


class Row(NamedTuple):
    """Holds a message as the history keeps it."""

    id: str
    topic: str
    source: str | None
    label: str | None
    going_on: bool
    payload: bytes

    @property
    def mark(self) -> bool:
        """Return whether the message is a mark."""
        return self.topic.startswith("mark.")

    @property
    def clip(self) -> bool:
        """Return whether the message is about an event's clip, and so no row of its own."""
        return self.topic.startswith("clip.")


def row_of(topic: str, payload: bytes) -> Row:
    """Make the row of a message that is published on this topic.

    Raises:
        msgspec.MsgspecError: it is neither an event's, nor a mark's, nor a clip's.
    """
    message = _decoder.decode(payload)
    going_on = isinstance(message, Event) and message.phase != "offset"
    return Row(message.id, topic, message.source, message.label, going_on, payload)


def message_of(payload: object) -> Event | Mark | Clip:
    """Read the message of a row.

    Raises:
        Unreadable: the payload is no message of ours (any more).
    """
    try:
        if not isinstance(payload, bytes):
            raise TypeError(f"a message is kept as {type(payload).__name__}")
        message = _decoder.decode(payload)
        for time_of_day in (message.t, *((message.onset, message.offset) if isinstance(message, Event) else ())):
            if time_of_day is not None:
                messages.microseconds(time_of_day)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as e:
        raise Unreadable(str(e)) from e
    return message


def prepare(db: sqlite3.Connection) -> None:
    """Make the table where there is none yet, and see that it is ours: a foreign one could not be written for ever.

    Raises:
        Foreign: the table is not ours.
        sqlite3.Error: it cannot be read or written, or is of a newer auricle.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise sqlite3.OperationalError(f"was written by a newer auricle (format {found}); move it away")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA wal_autocheckpoint=0")  # it syncs, so it is done by a thread
    if found == 0:
        db.executescript(f"BEGIN; {_TABLE} PRAGMA user_version={FORMAT}; COMMIT;")
    try:
        if "clip" not in [name for _, name, *_ in db.execute("PRAGMA table_info(events)")]:
            db.execute("ALTER TABLE events ADD COLUMN clip BLOB")  # older databases have none
        db.execute(f"EXPLAIN {_WRITE}", (None,) * 7)
        db.execute("EXPLAIN SELECT n, id, topic, source, label, going_on, told_us, first, last, clip FROM events")
    except sqlite3.OperationalError as e:
        if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
            raise
        raise Foreign(f"no history of ours: {e}") from e
    db.execute("SELECT count(*) FROM events WHERE going_on").fetchone()
    # Older databases have none.
    db.execute(f"CREATE INDEX IF NOT EXISTS events_marks ON events (n) WHERE {MARKS}")


def write(db: sqlite3.Connection, row: Row, told_us: int) -> None:
    """Keep a message; it is an event's first one, its newest, or about its clip, which goes with the event."""
    if row.clip:
        db.execute(_CLIP, (row.payload, told_us, row.id))
    else:
        db.execute(_WRITE, (*row, told_us))


def going_on(db: sqlite3.Connection) -> list[tuple[int, object, object, object]]:
    """Return number, id, topic and newest message of every event that goes on, as they lie there."""
    rows = db.execute("SELECT n, id, topic, coalesce(last, first) FROM events WHERE going_on ORDER BY n")
    return rows.fetchall()


def give_up(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Let these rows lie as they are, for whoever can read them, and meet them no more among what goes on."""
    db.executemany("UPDATE events SET going_on = 0 WHERE n = ?", [(n,) for n in numbers])


def changed(db: sqlite3.Connection, after: tuple[int, int]) -> list[tuple[Any, ...]]:
    """Return a page of rows in the order of their changes after a time and number: told_us, n, source, label, first,
    last, clip."""
    return db.execute(_READ, (*after, PAGE)).fetchall()


def latest(db: sqlite3.Connection, id: str | None) -> Iterator[object]:
    """Yield the newest message of the event with this id, and of those among the newest rows, the newest event
    first."""
    for query, given in ((_ONE, id), (_NEWEST, LATEST)):
        for (payload,) in db.execute(query, (given,)):
            yield payload


def count(db: sqlite3.Connection) -> int:
    """Return about how many rows there are: rows go at the old end, so the span of n says it; to count would read them
    all."""
    low, high = (db.execute(f"SELECT {end}(n) FROM events").fetchone()[0] for end in ("min", "max"))
    return 0 if low is None else int(high - low + 1)
