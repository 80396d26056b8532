"""Rules decide here which events somebody is told of, when and in how many messages: events and times in, notices out.

There is no clock here and nothing is sent: who calls says what time it is, in local time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from auricle.client import Clip, Event, Snapshot

MOST_KEPT = 10_000
"""So many events that go on are remembered; of more, the oldest may be told twice."""
MOST_PICTURED = 1000
"""So many events that were told wait for their clips; of more, the oldest have no picture."""


@dataclass(frozen=True)
class Hours:
    """A span of every day; past midnight where it begins after it ends."""

    first: time
    last: time

    def holds(self, now: datetime) -> bool:
        """Return whether it is that time."""
        at = now.time().replace(second=0, microsecond=0)
        if self.first <= self.last:
            return self.first <= at < self.last
        return at >= self.first or at < self.last


@dataclass(frozen=True)
class Rule:
    """Says which events somebody is told of; the words are those of ``bridges.notify.rules``."""

    name: str
    labels: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    least_peak: float = 0.0
    least_duration_s: float = 0.0
    hours: Hours | None = None
    not_while: frozenset[str] = frozenset()
    cooldown_s: float = 300.0
    digest_s: float = 0.0
    urgent: bool = False
    picture: bool = False
    to: tuple[str, ...] | None = None

    def wants(self, event: Event, on: Iterable[tuple[str | None, str]], now: datetime) -> bool:
        """Return whether the event is one of the rule's, as it is now.

        Args:
            event: its newest message.
            on: source and label of every event that goes on.
            now: local time.
        """
        return (
            (self.labels is None or event.label in self.labels)
            and (self.sources is None or event.source in self.sources)
            and event.peak >= self.least_peak
            and event.duration_s >= self.least_duration_s
            and (self.hours is None or self.hours.holds(now))
            and not any(source == event.source and label in self.not_while for source, label in on)
        )


@dataclass(frozen=True)
class Notice:
    """A notice is a line that somebody is to be told: some targets, or all."""

    rule: str
    text: str
    to: tuple[str, ...] | None


@dataclass
class _Count:
    """Counts what was not told singly, by label and source."""

    since: datetime
    n: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        key = _said(event), event.source or ""
        self.n[key] = self.n.get(key, 0) + 1

    def __str__(self) -> str:
        parts = [f"{n} {said} at {source}" for (said, source), n in sorted(self.n.items())]
        return ", ".join(parts)


class Notices:
    """Applies rules to what a daemon says.

    Args:
        rules: each looks at every event.
        quiet: hours in which only urgent rules speak.
    """

    def __init__(self, rules: Sequence[Rule], quiet: Hours | None = None) -> None:
        self._rules = rules
        self._quiet = quiet
        self._joined = False
        self._on: dict[str, tuple[str | None, str]] = {}
        self._told: dict[tuple[str, str], None] = {}
        self._until: dict[tuple[str, str], datetime] = {}
        self._before: dict[tuple[str, str], int] = {}
        self._digests: dict[str, _Count] = {}
        self._while_quiet: dict[str, _Count] = {}
        self._pictured: dict[str, list[Notice]] = {}

    def join(self, snapshot: Snapshot) -> None:
        """Take up what goes on at a daemon; what went on before we came nobody is told of."""
        self._on = {event.id: (event.source, event.label) for event in snapshot.open}
        if not self._joined:
            self._told = {(rule.name, id): None for rule in self._rules for id in self._on}
        self._joined = True

    def take(self, event: Event, now: datetime) -> Iterator[Notice]:
        """Take the newest message of an event; yield what is to be told at once."""
        if event.phase == "offset":
            self._on.pop(event.id, None)
        else:
            self._on[event.id] = event.source, event.label
        others = [on for id, on in self._on.items() if id != event.id]
        for rule in self._rules:
            key = rule.name, event.id
            if key not in self._told and rule.wants(event, others, now):
                self._told[key] = None
                if len(self._told) > MOST_KEPT:
                    del self._told[next(iter(self._told))]
                yield from self._apply(rule, event, now)
            if event.phase == "offset":
                self._told.pop(key, None)

    def draw(self, clip: Clip, now: datetime) -> Iterator[Notice]:
        """Take the clip of an event, which comes after its end; yield whom it is to be shown to."""
        rules = {rule.name: rule for rule in self._rules}
        for told in self._pictured.pop(clip.id, ()):
            if clip.path is not None and not self._is_quiet(rules[told.rule], now):
                yield Notice(told.rule, f"The sound of {told.text}", told.to)

    def due(self, now: datetime) -> Iterator[Notice]:
        """Yield what is to be told because of the time: digests, and what there was in the quiet hours."""
        for rule in self._rules:
            quiet = self._is_quiet(rule, now)
            count = self._digests.get(rule.name)
            if count is not None and not quiet and now >= _end(count.since, rule.digest_s):
                del self._digests[rule.name]
                end = _end(count.since, rule.digest_s)
                yield Notice(rule.name, f"{count} between {count.since:%H:%M} and {end:%H:%M}", rule.to)
            if rule.name in self._while_quiet and not quiet:
                count = self._while_quiet.pop(rule.name)
                yield Notice(rule.name, f"While it was quiet, from {count.since:%H:%M} on: {count}", rule.to)

    def _is_quiet(self, rule: Rule, now: datetime) -> bool:
        return self._quiet is not None and not rule.urgent and self._quiet.holds(now)

    def _apply(self, rule: Rule, event: Event, now: datetime) -> Iterator[Notice]:
        if rule.digest_s:
            self._digests.setdefault(rule.name, _Count(_start(now, rule.digest_s))).add(event)
            return
        if self._is_quiet(rule, now):
            self._while_quiet.setdefault(rule.name, _Count(now)).add(event)
            return
        key = rule.name, event.label
        if now < self._until.get(key, now):
            self._before[key] = self._before.get(key, 0) + 1
            return
        self._until[key] = now + timedelta(seconds=rule.cooldown_s)
        before = self._before.pop(key, 0)
        more = f", and {before} more before it" if before else ""
        notice = Notice(rule.name, f"{now:%H:%M:%S} {_said(event)} at {event.source}", rule.to)
        if rule.picture:
            self._pictured.setdefault(event.id, []).append(notice)
            if len(self._pictured) > MOST_PICTURED:
                del self._pictured[next(iter(self._pictured))]
        yield Notice(rule.name, f"{notice.text}{more}", rule.to)


def _said(event: Event) -> str:
    return event.display if isinstance(event.display, str) else event.label.replace("_", " ")


def _start(now: datetime, every_s: float) -> datetime:
    """Return when the digest began that holds now: they stand at whole multiples of their length since midnight."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(seconds=(now - midnight).total_seconds() // every_s * every_s)


def _end(start: datetime, every_s: float) -> datetime:
    """Return when a digest ends: at midnight at the latest."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return min(start + timedelta(seconds=every_s), midnight)
