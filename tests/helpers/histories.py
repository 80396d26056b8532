"""A history is driven here by hand, from its opening on, in a copy of a folder."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from auricle import messages
from auricle.hearing.engine import Trouble
from auricle.messages import Event, Mark
from auricle.messages.questions import Position
from auricle.messages.topics import topic_of
from auricle.publish.journal import Journal
from auricle.publish.leftover import closed
from auricle.publish.publisher import Publisher
from auricle.publish.store import Store


class Life:
    """Holds a history beside a journal, and does with them what a daemon's round does.

    Args:
        folder: the folder as it is at the start.
        at: where the folder is copied to.
    """

    def __init__(self, folder: Path, at: Path) -> None:
        shutil.copytree(folder, at)
        self.told: list[messages.AnyMessage] = []
        self.store = Store(at / "events.db", max_mb=1, max_days=10_000)
        self.journal = Journal()
        self.publisher = Publisher("test", [self.store, self.journal, self._hear])
        self._trouble = Trouble(self.publisher)
        self.store.report_to(self.publisher.tell)

    def open(self) -> None:
        """Open the history, and close the events that were left open in it."""
        self.store.open(lambda name, event: self.publisher.send(name, closed(event, self.publisher.instance)))

    def live(self, said: Sequence[messages.AnyMessage]) -> None:
        """Keep all that is said, answer a question, and let the history look at its file."""
        for message in said:
            self.publisher.send(topic_of(message), message)
        with suppress(sqlite3.Error):  # the asker is told
            self.store.page(0, None, label=None, source=None)
        self.store.report()
        self.store.database._look_s = 0.0
        self.store.serve()

    def survive(self, action: Callable[[], object]) -> None:
        """Do an action as a part of the engine's round."""
        self._trouble.survive("history", action)

    def heal(self) -> None:
        """Let the history try again at once, as if ten seconds had passed."""
        self.store._retry_s = 0.0
        self.store.serve()
        assert self.store.trouble is None

    def kept(self) -> set[tuple[str, str | None]]:
        """Return id and newest phase of all that is kept."""
        found, after = self.store.page(0, None, label=None, source=None)
        assert after is None
        return {(m.id, getattr(m, "phase", None)) for m in found if isinstance(m, Event | Mark)}

    def round(self, said: Sequence[messages.AnyMessage]) -> None:
        """Let the same be said in the engine's rounds, each thing in one of its own, which survive what may be."""
        self.survive(self.open)
        for message in said:
            self.survive(partial(self.publisher.send, topic_of(message), message))
        self.survive(self.store.serve)
        self.survive(self.store.report)

    def agrees(self) -> None:
        """Hold history and journal to what was published: all of that is kept, and can be asked for."""
        self.heal()
        newest = {m.id: getattr(m, "phase", None) for m in self.told if isinstance(m, Event | Mark)}
        assert set(newest.items()) <= self.kept()
        found, after, _ = self.journal.since(Position(instance="", last_seq={}), [""])
        assert after is None
        held = [(topic_of(m), m.seq) for m in found]
        assert len(held) == len(set(held))
        assert {(topic_of(m), m.seq) for m in self.told} <= set(held)

    def _hear(self, _: str, payload: bytes) -> None:
        self.told.append(messages.decode(payload))
