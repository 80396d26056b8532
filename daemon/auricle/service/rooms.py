"""The rooms of the sources are remembered across starts here, where that is allowed (`room.keep_h`): one file a source
and network, for `auricle teach` to read."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from auricle import config
from auricle.hearing.lane import Lane
from auricle.hearing.room import MEMBERS, Room
from auricle.messages.topics import part
from auricle.service.kept import UNUSABLE, Kept

log = logging.getLogger("auricle")

FOLDER = "room"
"""In the state folder."""
LOOK_S = 0.5
"""How often to see whether a source has come or gone, or hears through another network."""
SAVE_S = 600.0
"""How often each room is written: 0.8 MB at most."""


def name_of(source: str, trunk: str) -> str:
    """Return under which name the room of a source is kept as this network heard it."""
    return f"{part(source)}-{trunk}"


def files(folder: Path, trunk: str) -> list[Path]:
    """Return the files of all rooms that were heard through a network.

    Raises:
        OSError: the folder cannot be looked into.
    """
    return sorted(path for path in folder.iterdir() if path.name.endswith(f"-{trunk}.npz") and path.name[0] != ".")


class Rooms:
    """Remembers the room of every lane, as configured.

    Args:
        lanes: may change while it runs.
        folder: where the files lie.
    """

    def __init__(self, lanes: Sequence[Lane], folder: Path) -> None:
        self._lanes, self._kept = lanes, Kept(folder, "remembered room", mode=0o600)
        self._wanted = config.Room()
        self._privacy: dict[str, tuple[Sequence[str], float]] = {}
        self._rooms: dict[str, Room] = {}
        self._told: set[tuple[str, str]] = set()
        self._next_s = 0.0
        self._unswept = False
        self._save_s: dict[str, float] = {}

    def configure(self, cfg: config.Config) -> None:
        """Remember as this says, from now on; what is not allowed any more is deleted."""
        self._wanted = cfg.room
        self._privacy = {source.name: (source.privacy, cfg.clips.privacy_threshold) for source in cfg.sources}
        if not cfg.room.keep_h:
            for lane in self._lanes:
                if lane.room is not None:
                    lane.remember(None)
            self._rooms = {}
        self._unswept = True
        self._sweep()
        self._next_s = 0.0
        for name, room in self._rooms.items():
            self._set(name, room)

    def tick(self, now_s: float) -> None:
        """See, when it is time to, to what is remembered and to what is to be written; called after every round.

        Args:
            now_s: monotonic clock.
        """
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        if self._unswept:
            self._sweep()
        if self._wanted.keep_h:
            for lane in self._lanes:
                self._attend(lane, now_s)
        for name in self._rooms.keys() - {lane.name for lane in self._lanes}:
            self._save(name)
            del self._rooms[name]
        due = next((name for name in self._rooms if now_s >= self._save_s[name]), None)
        if due is not None and not self._kept.busy:
            self._save_s[due] = now_s + SAVE_S
            room = self._rooms[due]
            self._kept.write_soon(name_of(due, room.trunk), room.known)

    def close(self) -> None:
        """Write what is remembered."""
        for name in self._rooms:
            self._save(name)

    def _attend(self, lane: Lane, now_s: float) -> None:
        """Let the lane's room be remembered, as its network hears it now."""
        room, trunk = self._rooms.get(lane.name), lane.bundle.trunk
        if trunk is None:
            if (lane.name, lane.bundle.hash) not in self._told:
                self._told.add((lane.name, lane.bundle.hash))
                name = lane.bundle.card.name
                log.warning("%s: room.keep_h: model %s gives no embedding to remember the room by", lane.name, name)
            return
        if room is None or room.trunk != trunk:
            if room is not None:
                self._save(lane.name)
            room = self._restored(lane, trunk)
            self._set(lane.name, room)
            self._save_s[lane.name] = now_s + SAVE_S
            self._rooms[lane.name] = room
        if lane.room is not room or lane.ear.tap is None:
            lane.remember(room)

    def _restored(self, lane: Lane, trunk: str) -> Room:
        room, name = Room(trunk), name_of(lane.name, trunk)
        assert lane.bundle.card.embedding is not None
        try:
            if (known := self._kept.read(name, MEMBERS)) is not None:
                room.restore(known, lane.bundle.card.embedding.size)
                log.info("%s: the room remembered before is back, %d windows", lane.name, len(room))
        except UNUSABLE as e:
            self._kept.refuse(name, e)
        return room

    def _set(self, name: str, room: Room) -> None:
        room.keep_h = self._wanted.keep_h
        room.privacy, room.privacy_score = self._privacy.get(name, ((), 1.0))

    def _save(self, name: str) -> None:
        room = self._rooms[name]
        try:
            self._kept.write(name_of(name, room.trunk), room.known)
        except MemoryError as e:
            self._kept.complain(e)

    def _sweep(self) -> None:
        """Delete what is older than what may be remembered: of sources and networks that are gone, or all of it, with
        what a crash left half written; as soon as nothing is being written, which would be there again."""
        if self._kept.busy:
            return
        self._unswept = False
        oldest_s = time.time() - self._wanted.keep_h * 3600
        try:
            for path in [*self._kept.folder.glob("*.npz*")] if self._kept.folder.is_dir() else []:
                if not self._wanted.keep_h or path.stat().st_mtime < oldest_s:
                    path.unlink()
                    log.info("%s: deleted, nothing as old is remembered (room.keep_h)", path)
        except OSError as e:
            log.warning("%s: what was remembered of the room cannot be deleted: %s", self._kept.folder, e.strerror)
