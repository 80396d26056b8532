"""Mutated messages come back to the daemon here: questions of anybody, and the history that it has written itself."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from auricle import messages
from auricle.messages.questions import Refused
from helpers.fuzz import mutate
from helpers.fuzz.kind import Kind
from helpers.wire import Daemon, daemon

QUESTIONS: tuple[dict[str, Any], ...] = (
    {"v": 1, "ask": "snapshot"},
    {"v": 1, "ask": "status", "tag": "x"},
    {"v": 1, "ask": "events", "since": "2026-03-01T06:30:00Z", "label": "rain", "source": "porch"},
    {"v": 1, "ask": "events", "since": None, "after": "1772346600000000:1"},
    {"v": 1, "ask": "events", "since": {"instance": "x", "last_seq": {"event.porch.rain.": 1}}, "topics": ["event."]},
    {"v": 1, "ask": "explain", "since": "2026-03-01T06:30:00Z", "until": "2026-03-01T06:30:10Z", "labels": ["rain"]},
    {"v": 1, "ask": "pause", "source": "porch", "for_s": 3600},
    {"v": 1, "ask": "resume", "source": None},
    {"v": 1, "ask": "mark", "text": "now", "label": "rain", "source": "porch"},
)


def _events(one: Daemon) -> None:
    for label in ("rain", "siren"):
        one.event("onset", label)
        one.event("update", label)
    one.event("offset")


def _question(chance: random.Random, folder: Path, seeds: None) -> str:
    with daemon(folder) as one:
        _events(one)
        answers = []
        for _ in range(8):
            asked = dict(chance.choice(QUESTIONS))
            if isinstance(asked.get("since"), dict):
                asked["since"] = {**asked["since"], "instance": one.publisher.instance}
            match chance.randrange(4):
                case 0:
                    frame = mutate.content(chance, json.dumps(asked).encode(), 200)
                case 1:
                    frame = mutate.text(chance, json.dumps(asked, indent=1)).encode("utf-8", "surrogatepass")
                case _:
                    frame = json.dumps(mutate.tree(chance, asked), default=str).encode()
            frames = [frame] * chance.choice((1, 1, 1, 1, 0, 2))
            answer = one.query.answer(frames, b"asker")
            assert b"\n" not in msgspec.json.encode(answer)
            answers.append("refused" if isinstance(answer, Refused) else type(answer).__name__)
        one.serve()
    return " ".join(answers)


def _history_files(folder: Path) -> bytes:
    """Write a history with events that ended and that go on, and a mark; return its database."""
    with daemon(folder) as one:
        _events(one)
        one.query.answer([b'{"ask": "mark", "text": "now"}'])
        one.kill()
    path = folder / "state" / "events.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def _history(chance: random.Random, folder: Path, seeds: bytes) -> str:
    place = chance.choice((mutate.HEAD, 4096, len(seeds)))
    if chance.random() < 0.5:
        content = bytearray(seeds)
        row = seeds.index(b'"phase"')
        for _ in range(chance.randint(1, 3)):
            bit = chance.randrange(8 * (row - 400), 8 * (row + 800)) if chance.random() < 0.6 else chance.randrange(800)
            content[bit // 8] ^= 1 << bit % 8
        mutated = bytes(content)
    else:
        mutated = mutate.content(chance, seeds, place)
    (folder / "state").mkdir()
    (folder / "state" / "events.db").write_bytes(mutated)
    with daemon(folder) as one:
        assert one.store is not None
        _events(one)
        one.serve()
        told = [event for _, event in one.sent if isinstance(event, messages.Event)]
        kept = one.store.report()
    return f"{len(told)} told; {kept.events} kept; {kept.trouble}"


QUESTION = Kind(lambda folder: None, _question)
HISTORY = Kind(_history_files, _history)
