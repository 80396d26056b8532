"""This is what outlives the daemon in its state folder: what the gates have learned of their rooms."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auricle import config
from auricle.config.keys import values
from auricle.errors import ConfigError
from auricle.gate import NoiseGate
from auricle.gate.noise import LEARNED
from auricle.messages.topics import part
from auricle.model.bundle import Bundle
from auricle.service.kept import UNUSABLE, Kept

log = logging.getLogger("auricle")

SAVE_INTERVAL_S = 60.0
PAUSE_S = 0.1
"""The pause between two files: many sources that have learned at once must not wait for the disk all at once."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep the state folder for this process, as long as the block lasts: two would overwrite what each has learned.

    The kernel lets go of it with the process. A folder that cannot be made or written is no reason not to hear.

    Raises:
        ConfigError: another daemon has it.
    """
    lock = None
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            who = b"" if lock is None else os.read(lock, 20).strip()
            whose = f"another auricle (process {who.decode()})" if who.isdigit() else "another auricle"
            line = f"{folder}: {whose} keeps its state there; stop it, or name another folder in STATE_DIRECTORY"
            raise ConfigError([line]) from None
        except OSError as e:
            log.warning("%s: cannot be kept for this daemon alone: %s", folder, e.strerror)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def room(wanted: config.Source, bundle: Bundle) -> str:
    """Name what a noise floor belongs to: this source, heard so, through the front end of this model."""
    front = bundle.card.front_end
    device = getattr(wanted, wanted.kind)
    about = [wanted.kind, values(device), bundle.card.name, front.sample_rate, front.n_fft, front.win_length]
    heard = [front.pre_emphasis, front.taper, front.remove_dc]
    if heard != [None, "hann", False]:
        about += heard
    digest = hashlib.sha256(json.dumps([*about, front.hop_length]).encode()).hexdigest()[:12]
    return f"{part(wanted.name)}-{digest}"


class Learned:
    """Keeps the noise floors of the gates, one file a room.

    Args:
        folder: where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._kept = Kept(folder, "learned noise")
        self._next_s: dict[str, float] = {}
        self._learning: dict[str, bool] = {}
        self._again_s = 0.0

    def restore(self, name: str, gate: NoiseGate) -> None:
        """Give the gate what it had learned in this room, unless it knows the noise already (from a noise profile)."""
        try:
            if gate.learned or (learned := self._kept.read(name, LEARNED)) is None:
                return
            gate.learned = learned
        except UNUSABLE as e:
            self._kept.refuse(name, e)
            return
        log.info("%s: the noise learned before is back", name.rpartition("-")[0])

    def tick(self, name: str, gate: NoiseGate, now_s: float) -> None:
        """Save once learning is done, and from time to time while the floor goes on following the room."""
        if now_s < self._again_s or self._kept.busy:
            return
        finished = self._learning.get(name, True) and not gate.learning
        self._learning[name] = gate.learning
        if finished or (gate.adaptation_s and now_s >= self._next_s.get(name, 0.0)):
            self._next_s[name] = now_s + SAVE_INTERVAL_S
            self._again_s = now_s + PAUSE_S
            try:
                self._kept.write_soon(name, dict(gate.learned))
            except MemoryError as e:
                self._kept.complain(e)

    def save(self, name: str, gate: NoiseGate) -> None:
        """Write what the gate knows of this room, if anything, and return once that is on the disk."""
        try:
            self._kept.write(name, dict(gate.learned))
        except MemoryError as e:
            self._kept.complain(e)
