"""The file of the history is looked after here: opened, kept for one daemon alone, set aside when broken."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from auricle.publish import table

log = logging.getLogger("auricle")

CHECKPOINT_S = 30.0
BUSY_S = 0.2
LOOK_S = 0.5
"""How often to see whether the file is still there, and still the same."""


class Database:
    """Holds a database with the history's table, and the connection to it.

    WAL with synchronous=NORMAL: a commit writes to the system's cache and does not wait for the disk; a thread syncs
    every `CHECKPOINT_S`, and a power cut costs at most what came after that.

    Args:
        path: its folder is made if need be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._file: tuple[int, int] | None = None
        self._look_s = 0.0
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync, name="history", daemon=True)

    def connect(self) -> sqlite3.Connection:
        """Open the database, or make it; what is there must hold our table.

        Raises:
            table.Foreign, sqlite3.Error, OSError: the database cannot be used.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._keep_out()
        # What was heard at home is not for every user of the machine; SQLite's other files take over the mode.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
        db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, factory=_Connection)
        try:
            # Text that is none any more is a row's own trouble, not the file's.
            db.text_factory = _text
            table.prepare(db)
            self._keep_synced()
            self._file = _identity(self.path)
        except BaseException:
            db.close()
            raise
        self.connection = db
        return db

    def disconnect(self) -> None:
        """Let go of the connection; the next one is made anew."""
        db, self.connection = self.connection, None
        if db is not None:
            with suppress(sqlite3.Error):  # a broken file may not even close cleanly
                db.close()

    def has_gone(self, now_s: float) -> bool:
        """Return whether the file was deleted or replaced, which is looked at from time to time: what is written then
        is found by nobody."""
        if self.connection is None or now_s < self._look_s:
            return False
        self._look_s = now_s + LOOK_S
        if _identity(self.path) == self._file:
            return False
        self.disconnect()
        if self._lock is not None and _identity(self._lock_path) != _identity(self._lock):
            self._let_in()  # the lock's file has gone too: it keeps nobody out any more
        return True

    def set_aside(self) -> Path:
        """Keep a broken file for whoever wants to save what is in it; the newest one only."""
        aside = self.path.with_name(f"{self.path.name}.broken")
        # The file itself last: what is written ahead of it must not be found beside a new one.
        for suffix in ("-shm", "-wal", ""):
            with suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
        return aside

    def release(self) -> None:
        """Let go of the connection and of the lock."""
        self.disconnect()
        if self._lock is not None:
            self._let_in()

    def close(self) -> None:
        """Sync and let go."""
        self._closing.set()
        if self._syncing.is_alive():
            self._syncing.join()
        self.release()

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-lock")

    def _keep_out(self) -> None:
        """Lock the history for this process: two daemons would close each other's events. The kernel lets go of the
        lock with the process."""
        self._lock = os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._let_in()
            raise sqlite3.OperationalError("another auricle keeps its history there; set another store.path") from None
        except BaseException:
            self._let_in()
            raise

    def _let_in(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):  # the kernel lets go of it all the same
                os.close(lock)

    def _keep_synced(self) -> None:
        """Bring to disk what is committed, from now on; in a thread, since a card may take seconds for it."""
        if not self._syncing.is_alive():
            try:
                self._syncing.start()
            except RuntimeError as e:
                raise sqlite3.OperationalError(f"cannot be synced: {e}") from None

    def _sync(self) -> None:
        done = False
        while not done:
            done = self._closing.wait(CHECKPOINT_S)
            if self.connection is None:
                continue
            try:
                # To be read and written only: a file that has gone meanwhile is not made again, empty.
                address = f"{self.path.absolute().as_uri()}?mode=rw"
                db = sqlite3.connect(address, timeout=BUSY_S, uri=True, factory=_Connection)
                try:
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                finally:
                    db.close()
            except (sqlite3.Error, OSError, MemoryError) as e:
                # Whoever writes next meets the same trouble and tells it.
                log.debug("history: cannot be synced: %s", e)


class _Connection(sqlite3.Connection):
    """Connects to a file that may be broken: where SQLite quotes what is in it, Python cannot always decode the error,
    and would raise that instead."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as e:
            broken = sqlite3.DatabaseError(_text(e.object))
            broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise broken from None


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Return which file this is, whatever its name; ``None`` if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino
