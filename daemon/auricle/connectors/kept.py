"""Small files keep what outlives a bridge: how far it has come, and what it left with a broker."""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from auricle.client import AnyMessage, Bookmark, Health, Missed, Snapshot
from auricle.client.follow import Item
from auricle.messages.topics import topic_of

log = logging.getLogger("auricle")

MOST_BYTES = 32 * 2**20
"""Fifty sources with five hundred labels each, and room."""
QUIET_S = 60.0
"""While nothing but the time goes on, it is written down no more often than this."""

_T = TypeVar("_T")


Topic = Annotated[str, msgspec.Meta(pattern=r"^[^+#\x00]+$", max_length=16_000)]
"""A topic that a broker takes: MQTT 3.1.1, sections 4.7.1 and 4.7.3."""


class Left(msgspec.Struct):
    """Names what was left with a broker: the topics that may bear a retained message, and the components that Home
    Assistant may know, with their platforms."""

    retained: list[Topic] = []
    components: dict[str, str] = {}


def read(path: Path, kind: type[_T]) -> _T | None:
    """Read such a file; ``None`` where there is none, or one that does not hold, which is told."""
    try:
        with open(path, "rb", opener=lambda at, flags: os.open(at, flags | os.O_NONBLOCK)) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        told, _, checksum = content.rpartition(b"\n")
        if checksum != _checksum(told):
            raise ValueError("it is damaged")
        return msgspec.json.decode(told, type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as e:  # msgspec's errors are values' errors
        log.warning("%s: cannot be read, so it begins anew: %s", path, e)
        return None


def write(path: Path, content: object) -> None:
    """Replace such a file by a whole new one: a reader, or a power cut, sees the old or the new.

    A folder that cannot be written is told; the bridge goes on, and a start after a crash begins further back.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            told = msgspec.json.encode(content)
            file.write(told + b"\n" + _checksum(told))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as e:
        log.warning("%s: cannot be written: %s; give us that folder", path, e.strerror)


def _checksum(told: bytes) -> bytes:
    """Make what stands below a file's JSON: a topic in which a bit has tipped would clear what is another's."""
    return b"%08x" % zlib.crc32(told)


class Progress:
    """Knows how far what the daemon said has been handed on, and keeps it in a file.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.at = read(path, Bookmark)
        """Where to go on; ``None`` where nothing was ever handed on."""
        self._moved = False
        self._next_s = 0.0

    def begin(self, snapshot: Snapshot) -> None:
        """Note that nothing before this moment is wanted, unless something was handed on before."""
        if self.at is None:
            self.at = Bookmark(snapshot.instance, _told(snapshot.last_seq), snapshot.t)
            self._moved = True

    def advance(self, item: Item) -> None:
        """Note that this item, and everything before it, was handed on."""
        match item:
            case Missed() | Snapshot():
                return
            case Health():
                # All that was published before it was given before it.
                self.at = Bookmark(item.instance, _told(item.last_seq), item.t)
            case _:
                self._pass(item)

    def _pass(self, message: AnyMessage) -> None:
        if self.at is None or self.at.instance != message.instance:
            self.at = Bookmark(message.instance, {}, message.t if self.at is None else self.at.t)
        name = topic_of(message)
        self.at.last_seq[name] = max(message.seq, self.at.last_seq.get(name, 0))
        self._moved = True

    def due(self, now_s: float) -> bool:
        """Return whether it should be written down: it has moved; or the time alone, which goes on always, long ago."""
        return self._moved or (self.at is not None and now_s >= self._next_s)

    def save(self, now_s: float) -> None:
        """Write it down; another thread may go on meanwhile."""
        self._moved, self._next_s = False, now_s + QUIET_S
        if self.at is not None:
            write(self._path, self.at)


def _told(last_seq: dict[str, int]) -> dict[str, int]:
    """Leave out what no history holds."""
    return {name: seq for name, seq in last_seq.items() if not name.startswith(("score.", "health."))}
