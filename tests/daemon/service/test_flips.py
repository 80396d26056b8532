"""Every single bit that can be flipped in what the daemon believes at its start."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from auricle.gate import NoiseGate
from auricle.messages import Event
from auricle.publish.leftover import closed
from auricle.publish.publisher import Publisher
from auricle.publish.store import Store
from auricle.service.state import Learned
from helpers.wire import daemon

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]
FRAME = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160}


def test_every_bit_of_an_open_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The row of an event that a crash left going on: whichever bit is flipped, a start closes it, or tells in a line
    that it cannot; it keeps the next event, and the start after it has nothing left to close."""
    caplog.set_level(logging.WARNING)
    with daemon(tmp_path) as one:
        one.event("onset")
        one.kill()
    path = tmp_path / "state" / "events.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=DELETE")
    (good,) = db.execute("SELECT first FROM events").fetchone()
    db.close()
    told = 0
    for bit in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("DELETE FROM events WHERE n > 1")
        db.execute("UPDATE events SET first = ?, last = NULL, going_on = 1", (bytes(damaged),))
        db.close()
        caplog.clear()
        seen: list[Event] = []
        for start in range(2):
            store = Store(path, max_mb=1, max_days=10_000)
            publisher = Publisher("test", [store])
            left: list[tuple[str, Event]] = []
            store.open(lambda topic, event, left=left: left.append((topic, event)))  # type: ignore[misc]
            assert store.trouble is None
            assert start == 0 or not left
            for topic, event in left:
                publisher.send(topic, closed(event, publisher.instance))
                seen.append(event)
            store.page(0, None, label=None, source=None)
            store.close()
        assert bool(seen) != bool(caplog.records), bit
        told += not seen
    print(f"{8 * len(good)} flips, {told} of them told as unreadable")


def test_every_bit_of_a_learned_noise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file of what a gate has learned: whichever bit is flipped, it is back, or one line says why not; and the gate
    goes on."""
    caplog.set_level(logging.INFO)
    learned, gate = Learned(tmp_path), NoiseGate(**FRAME)
    power = np.random.default_rng(0).exponential(1e-4, (2000, 257)).astype(np.float32)
    gate.process(power)
    learned.save("porch-0", gate)
    path = tmp_path / "porch-0.npz"
    good = path.read_bytes()
    back, anew = 0, NoiseGate(**FRAME)
    for bit in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        caplog.clear()
        anew.learned = {}
        learned.restore("porch-0", anew)
        assert len(caplog.records) == 1
        back += caplog.records[0].levelno == logging.INFO
        assert (caplog.records[0].levelno == logging.INFO) == bool(anew.learned)
        if bit % 64 == 0:
            anew.process(power[:10])
    print(f"{8 * len(good)} flips, {back} of them harmless")
