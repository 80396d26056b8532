"""The query socket answers the questions of late joiners, monitors and people, between two messages."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import zmq

from auricle import __version__, messages
from auricle.errors import EndpointError, UsageError
from auricle.messages import Mark
from auricle.messages.questions import (
    AnyQuestion,
    AskEvents,
    AskExplain,
    AskMark,
    AskPause,
    AskResume,
    AskSnapshot,
    AskStatus,
    AskThreshold,
    AskUndo,
    ClipsReport,
    Explained,
    History,
    HistoryReport,
    Marked,
    Overridden,
    OverridesReport,
    Paused,
    Position,
    Question,
    Refused,
    Report,
    Snapshot,
    SourceReport,
    Tag,
)
from auricle.messages.topics import topic
from auricle.publish.admission import Admission
from auricle.publish.door import CONNECTIONS, Door
from auricle.publish.journal import Journal
from auricle.publish.place import Place
from auricle.publish.publisher import Publisher
from auricle.publish.store import Store
from auricle.service.allowance import ROUND_S, Allowances
from auricle.service.asked import Asked, deaf
from auricle.service.marks import Marks

log = logging.getLogger("auricle")

LONGEST_QUESTION = 256 * 1024
"""The bytes of the longest question: a position may name thousands of topics."""
ANSWERS_WAITING = 8
"""How many answers wait for one asker; who asks on without reading loses the rest."""
VERBS = ("snapshot", "status", "events", "mark", "explain", "pause", "resume", "threshold", "undo")

Reply = Snapshot | Report | History | Marked | Explained | Paused | Overridden | Refused


class _Misasked(Exception):
    """Says what is wrong with a question, and the remedy."""


class _Tagged(msgspec.Struct):
    """Holds what must be known of a question that is not answered now."""

    tag: Tag = None


class Query:
    """Answers DEALER and REQ sockets through a ROUTER socket, JSON each way.

    Args:
        context: of ZeroMQ.
        bind: the endpoint.
        group: of an ipc socket.
        publisher: whose messages are asked for.
        journal: an outlet of the publisher.
        lanes: the sources; may change while it runs.
        most: connections at a time.
        config_hash: may be set anew.
        store: the history, if there is one.
        admission: lets in those with allowed keys alone, where there are keys; everybody unless given.
        patient: whether an address that is in use, or not there yet, is tried again (`Place`).

    Raises:
        EndpointError: the endpoint is none; or in use, and it is not patient.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        bind: str,
        *,
        publisher: Publisher,
        journal: Journal,
        lanes: Sequence[Asked],
        config_hash: str,
        store: Store | None,
        group: str | None = None,
        most: int = CONNECTIONS,
        admission: Admission | None = None,
        patient: bool = False,
    ) -> None:
        self.config_hash = config_hash
        self._publisher = publisher
        self._journal = journal
        self._lanes = lanes
        self._store = store
        self._began_s = time.monotonic()
        self._allowances = Allowances(self._began_s)
        self._marks = Marks(lanes, journal, store)
        self._tags = msgspec.json.Decoder(_Tagged)
        self._questions: msgspec.json.Decoder[AnyQuestion] = msgspec.json.Decoder(AnyQuestion)
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_QUESTION)
        self._socket.rcvhwm = ANSWERS_WAITING
        self._socket.sndhwm = ANSWERS_WAITING
        self.door = Door(context, self._socket, most)
        self.door.tell = partial(publisher.tell, "crowded")
        self._keyed = admission is not None and admission.allowed is not None
        if admission is not None:
            admission.guard(self._socket)
        self.moved: Callable[[], None] = lambda: None
        """Called when it was bound at last, and `endpoint` may be another."""
        self.reasons: Callable[[], Iterable[str]] = tuple
        """Gives what else is not as it should be, for `auricle status`."""
        self.clips: Callable[[], ClipsReport] = lambda: ClipsReport(enabled=False)
        """Gives how the keeping of clips fares."""
        self.missed: Callable[[Mark], str | None] = lambda mark: "clips are off (clips.enabled)"
        """Has the sound around what was missed kept; gives why there will be none."""
        self.explain: Callable[[AskExplain, dict[str, Any]], Explained] | None = None
        """Gives what is remembered of a time, to be said by whom; raises `UsageError` where that cannot be asked."""
        self.pause: Callable[[AskPause | AskResume, dict[str, Any]], Paused] | None = None
        """Pauses and resumes, and gives what is paused then; raises `UsageError` where that cannot be."""
        self.override: Callable[[AskThreshold | AskUndo, dict[str, Any]], Overridden] | None = None
        """Changes thresholds, and gives what is set then; raises `UsageError` where that may or can not be."""
        self.overrides: Callable[[], OverridesReport] = OverridesReport
        """Gives what is set over the configuration."""
        try:
            self.place = Place(
                self._socket, bind, group=group, key="publish.query", patient=patient, opened=self._opened
            )
        except EndpointError:
            self.door.close()
            raise
        self.pollable = self._socket

    @property
    def resting(self) -> bool:
        """Return whether so much has been answered that further questions must wait."""
        return self._allowances.all.later_s(time.monotonic()) > 0

    @property
    def endpoint(self) -> str:
        """Return the endpoint where it is bound, or will be."""
        return self.place.endpoint

    def serve(self) -> None:
        """Answer the questions that wait, as far as the time for questions reaches; does not block."""
        if not self.place.bound:
            self.place.look(time.monotonic())
            return
        self.door.look()
        until_s = time.monotonic() + ROUND_S
        while (began_s := time.monotonic()) < until_s and self._allowances.all.later_s(began_s) <= 0:
            try:
                parts = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            if self._keyed:
                self.door.note_key(parts[-1])
            asker, *frames = (part.bytes for part in parts)
            envelope = [asker]
            if len(frames) == 2 and not frames[0]:  # a REQ socket's delimiter
                envelope.append(frames.pop(0))
            allowance = self._allowances.of(asker, began_s)
            later_s = allowance.later_s(began_s)
            answer = msgspec.json.encode(self.answer(frames, asker) if later_s <= 0 else self._later(frames, later_s))
            # Whoever asked may have gone, or does not read.
            with suppress(zmq.ZMQError):
                self._socket.send_multipart([*envelope, answer], zmq.DONTWAIT)
            taken_s = time.monotonic() - began_s
            self._allowances.all.spend(taken_s, began_s)
            if later_s <= 0:
                allowance.spend(taken_s, began_s)

    def answer(self, frames: Sequence[bytes], asker: bytes = b"") -> Reply:
        """Return the answer to a question's frames, whatever they hold, whoever asks."""
        tag: str | int | None = None
        try:
            question = self._understood(frames)
            tag = question.tag
            reply = self._answer(question, asker)
        except (_Misasked, UsageError) as e:
            reply = Refused(**self._who, error=str(e))
        except MemoryError:
            log.warning("no memory is left for an answer; its asker is told so")
            reply = Refused(**self._who, error="no memory is left for the answer; ask again, or for less")
        reply.tag = tag
        return reply

    def _later(self, frames: Sequence[bytes], later_s: float) -> Refused:
        """Return the answer to an asker that has used up its allowance."""
        tag: str | int | None = None
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            tag = self._tags.decode(frames[0] if frames else b"{}").tag
        later_s = math.ceil(1000 * later_s) / 1000
        error = f"later: more was asked than one asker may; ask again in {later_s:g} s"
        return Refused(**self._who, tag=tag, error=error, later_s=later_s)

    def close(self, linger_ms: int = 500) -> None:
        """Close the socket, after a moment in which askers may take their answers."""
        self.door.close()
        self._socket.close(linger_ms)

    def _opened(self, endpoint: str) -> None:
        self.door.bound(endpoint)
        self.moved()

    def _understood(self, frames: Sequence[bytes]) -> AnyQuestion:
        if len(frames) != 1:
            raise _Misasked(f"{len(frames)} frames; a question is one frame of JSON")
        try:
            version = msgspec.json.decode(frames[0], type=dict[str, msgspec.Raw]).get("v", b"1")
            if bytes(version) != str(messages.VERSION).encode():
                raise _Misasked(f"v: {bytes(version)[:20].decode()} is not spoken here; use {messages.VERSION}")
            return self._questions.decode(frames[0])
        except msgspec.ValidationError as e:
            raise _Misasked(f'{e}; ask one of {", ".join(VERBS)}, as in {{"v": 1, "ask": "status"}}') from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise _Misasked(f'not JSON ({e}); ask as in {{"v": 1, "ask": "status"}}') from None

    def _answer(self, question: Question, asker: bytes) -> Reply:
        match question:
            case AskSnapshot():
                return self._snapshot()
            case AskStatus():
                return self._report()
            case AskEvents():
                return self._events(question)
            case AskMark():
                return self._mark(question, asker)
            case AskExplain() if self.explain is not None:
                return self.explain(question, self._who)
            case AskPause() | AskResume() if self.pause is not None:
                return self.pause(question, self._who)
            case AskThreshold() | AskUndo() if self.override is not None:
                return self.override(question, self._who)
        raise _Misasked(f"use one of {', '.join(VERBS)}")

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            **self._who,
            t=messages.rfc3339(time.time_ns() // 1000),
            version=__version__,
            config=self.config_hash,
            sources=self._sources(),
            open=list(self._journal.open.values()),
            last_seq=dict(self._publisher.last_seq),
            history=self._history(),
        )

    def _report(self) -> Report:
        sources, history = self._sources(), self._history()
        reasons = [f"{lane.name}: {why}" for lane in self._lanes if not lane.done and (why := deaf(sources[lane.name]))]
        if history.trouble is not None:
            reasons.append(f"history: {history.trouble}")
        if (clips := self.clips()).trouble is not None:
            reasons.append(f"clips: {clips.trouble}")
        reasons += self.reasons()
        return Report(
            **self._who,
            t=messages.rfc3339(time.time_ns() // 1000),
            version=__version__,
            config=self.config_hash,
            uptime_s=round(time.monotonic() - self._began_s, 3),
            hearing=not reasons,
            reasons=reasons,
            sources=sources,
            history=history,
            clips=clips,
            overrides=self.overrides(),
        )

    def _events(self, question: AskEvents) -> History:
        if isinstance(question.since, Position):
            return self._since_position(question.since, question.topics)
        if self._store is None:
            raise _Misasked("no history is kept (store.enabled: false); ask since a position")
        try:
            since_us = 0 if question.since is None else messages.microseconds(question.since)
            after = None if question.after is None else _place(question.after)
        except (ValueError, OverflowError) as e:
            raise _Misasked(f"since: {e}; use a time such as 2026-03-01T06:30:00Z") from None
        try:
            found, end = self._store.page(since_us, after, label=question.label, source=question.source)
        except sqlite3.Error as e:
            raise _Misasked(f"the history cannot be read now: {e}") from None
        following = None if end is None else f"{end[0]}:{end[1]}"
        return History(**self._who, messages=list(found), next=following)

    def _since_position(self, position: Position, topics: Sequence[str]) -> History:
        if position.instance != self._publisher.instance:
            raise _Misasked(f"since: instance {position.instance[:40]} has ended; ask since a time")
        told, following, complete = self._journal.since(position, topics)
        # The journal holds nothing fleeting.
        kept = [m for m in told if not isinstance(m, messages.Fleeting)]
        return History(**self._who, messages=kept, next=following, complete=complete)

    def _mark(self, question: AskMark, asker: bytes) -> Marked:
        mark = self._marks.mark(question, self._who, asker)
        self._publisher.send(topic("mark", mark.source), mark)
        no_clip = self.missed(mark) if mark.kind == "missed" else None
        return Marked(**self._who, id=mark.id, mark=mark, no_clip=no_clip)

    def _sources(self) -> dict[str, SourceReport]:
        now_s = time.monotonic()
        found = {}
        for lane in self._lanes:
            found[lane.name] = SourceReport(**msgspec.structs.asdict(lane.health(now_s)), model=lane.model)
        return found

    def _history(self) -> HistoryReport:
        return HistoryReport(enabled=False) if self._store is None else self._store.report()

    @property
    def _who(self) -> dict[str, Any]:
        return {"node": self._publisher.node, "instance": self._publisher.instance}


def _place(after: str) -> tuple[int, int]:
    """Read where a page ended, as the asker gives it back."""
    told_us, _, n = after.partition(":")
    place = int(told_us), int(n)
    if not all(0 <= number < 1 << 62 for number in place):
        raise ValueError(f"{after[:40]!r} is no `next` of an answer")
    return place
