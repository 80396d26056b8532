"""Marks are made here: what somebody says of a moment, or of an event, which is found by what is said of it."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from auricle import config, messages
from auricle.errors import UsageError
from auricle.messages import Event, Mark
from auricle.messages.ids import uuid7
from auricle.messages.questions import AskMark
from auricle.publish.journal import Journal
from auricle.publish.store import Store
from auricle.service.allowance import ASKERS

PER_S = 10
"""How many marks one asker may make in a second."""
LIKE = 64
"""Among so many of the newest events one is looked for whose id is like the one that was asked for."""


class Heard(Protocol):
    """This is what marks ask of a lane."""

    @property
    def name(self) -> str:
        """Return the name of the lane's source."""

    @property
    def labels(self) -> Sequence[str]:
        """Return the labels that may have events."""


class Marks:
    """Makes marks of questions.

    Args:
        lanes: the sources; may change.
        journal: knows the events of late.
        store: knows those of the history, if there is one.
    """

    def __init__(self, lanes: Sequence[Heard], journal: Journal, store: Store | None) -> None:
        self._lanes, self._journal, self._store = lanes, journal, store
        self._made: dict[bytes, deque[float]] = {}
        """When each asker made its last marks."""

    def mark(self, question: AskMark, who: Mapping[str, Any], asker: bytes) -> Mark:
        """Return the mark that is asked for.

        Args:
            who: says whose message it is.
            asker: may make a few in a second.

        Raises:
            UsageError: it was more than a few; or there is no such source, label or event, or several.
        """
        now_s = time.monotonic()
        made = self._made.get(asker) or deque(maxlen=PER_S)
        if len(made) == PER_S and now_s - made[0] < 1.0:
            raise UsageError(f"more than {PER_S} marks a second; wait")
        mark = self._understood(question, who)
        made.append(now_s)
        if len(self._made) >= ASKERS:
            self._made = {one: times for one, times in self._made.items() if now_s - times[-1] < 1.0}
        self._made[asker] = made
        return mark

    def _understood(self, question: AskMark, who: Mapping[str, Any]) -> Mark:
        now_us = time.time_ns() // 1000
        at_us = None if question.at is None else _moment(question.at, now_us)
        lane = self._lane(question.source)
        mark = Mark(
            **who,
            seq=0,
            source=question.source,
            model=None,
            t=messages.rfc3339(now_us),
            sample=None,
            id=str(uuid7()),
            text=question.text,
            label=question.label,
            kind=question.kind,
            at=None if at_us is None else messages.rfc3339(at_us),
        )
        if question.kind == "missed":
            if question.event is not None:
                raise UsageError("event: what was missed has none; say when it was, at")
            if lane is None and len(self._lanes) != 1:
                raise UsageError(f"source: say which one: {self._known()}")
            lane = lane or self._lanes[0]
            _check(question, lane.labels)
            mark.source = lane.name
        elif question.kind != "note" or question.event is not None:
            event = self._event(question, at_us)
            mark.source, mark.event, mark.at = event.source, event.id, event.onset
            if question.kind != "note":
                mark.label = event.label
        return mark

    def _lane(self, source: str | None) -> Heard | None:
        lane = next((lane for lane in self._lanes if lane.name == source), None)
        if source is not None and lane is None:
            raise UsageError(f"source: there is none called {source[:40]!r}; use one of {self._known()}")
        return lane

    def _known(self) -> str:
        return ", ".join(lane.name for lane in self._lanes)

    def _event(self, question: AskMark, at_us: int | None) -> Event:
        """Return the one event that is meant."""
        label = None if question.kind == "note" else question.label
        if label is not None and label not in (labels := self._labels()):
            raise UsageError(f"label: {config.no_label(label, labels)}")
        known = (
            event
            for event in self._events(question.event)
            if question.source in (None, event.source) and label in (None, event.label)
        )
        if question.event is None and at_us is None:
            if (last := next(known, None)) is None:
                raise UsageError(f"there is no event{_of(question)} to mark; auricle events shows those there are")
            return last
        found = list(known)
        if question.event is not None:
            meant = [event for event in found if question.event in event.id]
            if not meant:
                near = config.nearest(question.event, [event.id for event in found[:LIKE]])
                hint = f"did you mean {near}?" if near else "auricle events --json shows those there are"
                raise UsageError(f"event: none has {question.event[:36]!r} in its id; {hint}")
            if len(meant) > 1:
                raise UsageError(f"event: {question.event!r} is in the ids of {len(meant)} events; give more of it")
            return meant[0]
        assert at_us is not None
        meant = [event for event in found if _distance_us(event, at_us) == 0]
        if len(meant) > 1:
            several = config.listed([f"{event.label} of {event.source} ({event.id})" for event in meant[:3]], "and")
            raise UsageError(f"at: {len(meant)} events{_of(question)} went on then: {several}; give an id")
        if not meant:
            nearest = min(found, key=lambda event: _distance_us(event, at_us), default=None)
            hint = ""
            if nearest is not None:
                hint = f"; did you mean {nearest.label} of {nearest.source} at {nearest.onset[:19]}Z?"
            raise UsageError(f"at: no event{_of(question)} went on at {messages.rfc3339(at_us)[:19]}Z{hint}")
        return meant[0]

    def _labels(self) -> list[str]:
        return list(dict.fromkeys(label for lane in self._lanes for label in lane.labels))

    def _events(self, id: str | None) -> Iterator[Event]:
        """Yield the newest message of the events that are known, the newest event first; of an older one that has just
        this id too."""
        if self._store is not None:
            try:
                yield from self._store.events(id)
                return
            except sqlite3.Error:
                pass  # told elsewhere; memory has the newest
        yield from self._journal.events()


def _check(question: AskMark, labels: Sequence[str]) -> None:
    if question.label is None:
        raise UsageError("label: say what was missed")
    if question.new and question.label in labels:
        raise UsageError(f"label: {question.label} is none that is new: the model has it; leave --new out")
    if not question.new and question.label not in labels:
        raise UsageError(f"label: {config.no_label(question.label, labels)}; what is to be taught yet is new (--new)")


def _of(question: AskMark) -> str:
    return (f" of {question.label}" if question.label else "") + (f" of {question.source}" if question.source else "")


def _moment(given: str, now_us: int) -> int:
    try:
        at_us = messages.microseconds(given)
    except (ValueError, OverflowError) as e:
        raise UsageError(f"at: {e}; use a time such as 2026-03-01T06:30:00Z") from None
    if at_us > now_us + 1_000_000:
        raise UsageError(f"at: {given[:40]} is yet to come; say when it was")
    return at_us


def _distance_us(event: Event, at_us: int) -> int:
    """Return how far a time is from an event, 0 where the event was going on; one without an offset still is."""
    before_us = messages.microseconds(event.onset) - at_us
    after_us = -1 if event.offset is None else at_us - messages.microseconds(event.offset)
    return max(0, before_us, after_us)
