"""A follower knows what a subscriber must do to miss nothing and hear nothing twice, without any socket: messages in,
items out."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from auricle import messages
from auricle.messages import AnyMessage, Health
from auricle.messages.questions import (
    AnyAnswer,
    AnyQuestion,
    AskEvents,
    AskSnapshot,
    History,
    Position,
    Refused,
    Snapshot,
    Welcome,
)
from auricle.messages.topics import FLEETING, topic_of

ANSWER_S = 3.0
"""How long an answer is waited for before the stream goes on without it."""

_answers: msgspec.json.Decoder[AnyAnswer] = msgspec.json.Decoder(AnyAnswer)


class Missed(msgspec.Struct, frozen=True):
    """So many messages of a topic were lost and could not be had again.

    Of events, a superseded ``update`` may be what is missing: the history keeps onsets and offsets.
    """

    endpoint: str
    topic: str
    n: int


class Bookmark(msgspec.Struct, frozen=True):
    """A bookmark says how far a subscriber has come: it holds everything up to `last_seq` of an instance, and all that
    was published before `t`."""

    instance: str
    last_seq: dict[str, int]
    t: str


Item = AnyMessage | Snapshot | Missed


class Follower:
    """Follows one daemon through losses, reconnections and restarts.

    Subscribed to `subscriptions`, the follower waits for the publisher's welcome, asks for the snapshot while it holds
    what comes meanwhile, and goes on from there. Whatever its position and the stream's `seq` say is missing is asked
    for.

    Args:
        endpoint: of the daemon, for reports.
        topics: prefixes that are wanted.
        nonce: a word that no other subscriber has.
        since: what is held already, from an earlier life: everything after it is given.
    """

    def __init__(self, endpoint: str, topics: Sequence[str], nonce: str, since: Bookmark | None = None) -> None:
        self.endpoint = endpoint
        self.query: str | None = None
        """The endpoint to ask at, once the daemon has said so."""
        self.items: deque[Item] = deque()
        """The items that are ready, for the one who follows."""
        self.questions: deque[bytes] = deque()
        """Questions to be sent to `query`."""
        self.deadline_s: float | None = None
        """When, on the caller's clock, to call `give_up`."""
        self._topics = tuple(topics)
        self._welcome = f"welcome.{nonce}"
        self._instance = None if since is None else since.instance
        self._position: dict[str, int] = {} if since is None else dict(since.last_seq)
        self._before: tuple[str, dict[str, int]] | None = None  # what was held of an instance that has ended
        self._from_start = since is not None  # whether a topic without a position begins at 1
        self._known_t = None if since is None else since.t  # everything the daemon published before this is held
        self._settled = False
        self._held: deque[AnyMessage] = deque()
        self._targets: dict[str, int] = {}
        self._past: list[AnyMessage] | None = None  # from the history, where memory did not reach back
        self._asking_past = False
        self._recent: list[AnyMessage] = []  # from the daemon's memory
        self._tag = 0
        self._question: AnyQuestion | None = None
        self._again_s: float | None = None

    @property
    def subscriptions(self) -> list[str]:
        """Return the topics to subscribe to, in this order, the welcome last."""
        return [*self._topics, "health.", self._welcome]

    def hear(self, topic: str, payload: bytes, now_s: float) -> None:
        """Take a message that has come from the publisher; one that is none of ours is passed over."""
        try:
            if topic == self._welcome:
                welcome = _answers.decode(payload)
                if isinstance(welcome, Welcome):
                    self._join(welcome, now_s)
                return
            message = messages.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if self._settled and message.instance == self._instance:
            self._take(message, now_s)
            return
        self._settled = False
        self._held.append(message)
        if self.deadline_s is None:
            self.deadline_s = now_s + ANSWER_S

    def answered(self, payload: bytes, now_s: float) -> None:
        """Take an answer that has come from the query socket."""
        try:
            answer = _answers.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if answer.tag != self._tag or self._settled:
            return  # of a question that was given up
        match answer:
            case Snapshot():
                self._see(answer, now_s)
            case History():
                self._fill(answer, now_s)
            case Refused(later_s=float(later_s)):
                self._again_s = now_s + later_s
                self.deadline_s = self._again_s + ANSWER_S
            case Refused():
                self._fill(History(node=answer.node, instance=answer.instance, messages=[], next=None), now_s)

    def ask_again(self, now_s: float) -> None:
        """Ask anew, when it is time, what was answered with later."""
        if self._question is not None and self._again_s is not None and now_s >= self._again_s:
            self._ask(self._question, now_s)

    def give_up(self, now_s: float) -> None:
        """Go on with what there is, since nobody answers."""
        if self._instance is None or (self._held and self._held[-1].instance != self._instance):
            if not self._held:
                self.deadline_s = None
                return
            self._instance = self._held[-1].instance
            self._position, self._from_start, self._before, self._targets = {}, False, None, {}
        self._settle(now_s)

    def _join(self, welcome: Welcome, now_s: float) -> None:
        self.query = welcome.query
        self._settled = False
        if welcome.query is None:
            if welcome.instance != self._instance:
                self._instance = welcome.instance
                self._position, self._from_start = {}, False
            self._settle(now_s)
            return
        self._ask(AskSnapshot(), now_s)

    def _ask(self, question: AnyQuestion, now_s: float) -> None:
        self._tag += 1
        question.tag = self._tag
        self._question, self._again_s = question, None
        self.questions.append(msgspec.json.encode(question))
        self.deadline_s = now_s + ANSWER_S

    def _see(self, snapshot: Snapshot, now_s: float) -> None:
        """Go on from a snapshot, and ask for what was missed before it."""
        first = self._instance is None
        if snapshot.instance != self._instance:
            self._before = None if self._instance is None else (self._instance, self._position)
            self._instance = snapshot.instance
            self._position = dict(snapshot.last_seq) if first else {}
            self._from_start = True
        self.items.append(snapshot)
        if first:
            self._known_t = snapshot.t
            self.items.extend(event for event in snapshot.open if self._wants(topic_of(event)))
            self._settle(now_s)
            return
        self._recover(snapshot.last_seq.items(), now_s)

    def _wants(self, topic: str) -> bool:
        return topic.startswith(self._topics)

    def _take(self, message: AnyMessage, now_s: float) -> None:
        """Take a message in its turn: new, known, or the first after a hole."""
        topic = topic_of(message)
        if self._wants(topic):
            position = self._position.get(topic, 0 if self._from_start else message.seq - 1)
            if message.seq > position + 1:
                if not topic.startswith(FLEETING) and self.query is not None:
                    self._held.appendleft(message)
                    self._recover([(topic, message.seq - 1)], now_s)
                    return
                self._lose(topic, message.seq - 1)
        if isinstance(message, Health):
            told = [(name, seq) for name, seq in message.last_seq.items() if name != "health."]
            if not self._from_start:  # what was published before we came is no loss
                self._from_start = True
                for name, seq in told:
                    self._position.setdefault(name, seq)
            self._recover(told, now_s)
            if not self._settled:
                self._held.appendleft(message)  # again when what it tells of is there
                return
            self._known_t = message.t
        if self._wants(topic):
            self._give(topic, message)

    def _give(self, topic: str, message: AnyMessage) -> None:
        if message.seq > self._position.get(topic, 0):
            self._position[topic] = message.seq
            self.items.append(message)

    def _recover(self, last_seq: Iterable[tuple[str, int]], now_s: float) -> None:
        """Ask for what is missing up to these; go on at once if nothing is, or if it cannot be had."""
        behind = {name: seq for name, seq in last_seq if self._wants(name) and seq > self._position.get(name, 0)}
        for name in [name for name in behind if name.startswith(FLEETING) or self.query is None]:
            self._lose(name, behind.pop(name))
        if self._before is None and not behind:
            if not self._settled:
                self._settle(now_s)
            return
        self._settled = False
        self._targets = behind
        self._past, self._recent = None, []
        if self._before is not None and self._known_t is not None:
            self._ask_past(now_s)
        else:
            self._ask_memory(now_s)

    def _ask_memory(self, now_s: float, after: Position | None = None) -> None:
        if after is None:
            assert self._instance is not None
            held = {name: seq for name, seq in self._position.items() if self._wants(name)}
            after = Position(instance=self._instance, last_seq=held)
        self._ask(AskEvents(since=after, topics=list(self._topics)), now_s)

    def _ask_past(self, now_s: float, after: str | None = None) -> None:
        self._asking_past = True
        self._ask(AskEvents(since=self._known_t, after=after), now_s)

    def _fill(self, answer: History, now_s: float) -> None:
        if self._asking_past:
            self._past = [*(self._past or ()), *answer.messages]
            if isinstance(answer.next, str):
                self._ask_past(now_s, answer.next)
            else:
                self._asking_past = False
                self._ask_memory(now_s)
        elif not answer.complete and self._past is None and self._known_t is not None:
            self._ask_past(now_s)
        else:
            self._recent += answer.messages
            if isinstance(answer.next, Position):
                self._ask_memory(now_s, answer.next)
            else:
                self._give_found()
                self._settle(now_s)

    def _give_found(self) -> None:
        """Give the end of the instance before and those in between, then this one's: in the order of their times, and
        within a topic in that of the history, which memory goes on with."""
        instance, position = self._before or (None, {})
        by_topic: dict[str, list[AnyMessage]] = {}
        for message in self._past or ():
            topic = topic_of(message)
            held = self._position if message.instance == self._instance else position
            known = message.instance in (self._instance, instance) and message.seq <= held.get(topic, 0)
            if self._wants(topic) and not known:
                by_topic.setdefault(topic, []).append(message)
        past = [(topic_of(message), message) for message in heapq.merge(*by_topic.values(), key=lambda each: each.t)]
        for topic, message in past:
            if self._before is None or message.instance == self._instance:
                continue
            if message.instance == instance:
                if message.seq <= position.get(topic, 0):
                    continue
                position[topic] = message.seq
            self.items.append(message)
        first: dict[str, int] = {}
        for message in self._recent:
            first.setdefault(topic_of(message), message.seq)
        for topic, message in past:
            if message.instance == self._instance and message.seq < first.get(topic, message.seq + 1):
                self._give_after_loss(message)
        for message in self._recent:
            self._give_after_loss(message)

    def _give_after_loss(self, message: AnyMessage) -> None:
        topic = topic_of(message)
        if self._wants(topic) and message.seq > self._position.get(topic, 0):
            self._lose(topic, message.seq - 1)
            self._give(topic, message)

    def _lose(self, topic: str, upto: int) -> None:
        if (n := upto - self._position.get(topic, 0)) > 0:
            self._position[topic] = upto
            self.items.append(Missed(self.endpoint, topic, n))

    def _settle(self, now_s: float) -> None:
        """Take up the stream again, with what was held first."""
        for topic, seq in self._targets.items():
            self._lose(topic, seq)
        self._targets, self._before, self._past, self._recent, self._asking_past = {}, None, None, [], False
        self._settled = True
        self.deadline_s = self._again_s = None
        held, self._held = self._held, deque()
        while held:
            message = held.popleft()
            if self._settled and message.instance == self._instance:
                self._take(message, now_s)
            elif not self._settled:
                self._held.append(message)
