"""A daemon without ears serves tests of its messages: real sockets, history and journal, driven step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from auricle import messages
from auricle.client import Client, Item
from auricle.messages import Clip, Event, Phase, Scores, SourceState, Spectrum, Status, rfc3339
from auricle.messages.ids import uuid7
from auricle.messages.topics import topic
from auricle.publish.admission import Admission
from auricle.publish.journal import Journal
from auricle.publish.leftover import closed
from auricle.publish.publisher import Publisher
from auricle.publish.store import Store
from auricle.publish.zeromq import Socket
from auricle.service.query import Query

MODEL = messages.Model("test", "0" * 12)
LIMIT_S = 20.0


def well() -> messages.SourceHealth:
    """Return the counters of a source that is heard as it should be."""
    return messages.SourceHealth(
        state="running", heard_s=1.0, heard_samples=16000, lost_samples=0, gaps=0, decisions=1, events=0,
        cleaned_samples=0, skipped=0, gate="on", level_dbfs=-30.0, age_s=0.1,
    )  # fmt: skip


@dataclass
class Source:
    """Holds what the query socket wants to know of a source, as the test has it."""

    name: str
    done: bool = False
    model: messages.Model = MODEL
    labels: tuple[str, ...] = ("rain", "dog_bark", "siren")
    told: messages.SourceHealth = field(default_factory=well)

    def health(self, now_s: float) -> messages.SourceHealth:
        return self.told


class Daemon:
    """Says what it is told to say, and answers."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        *,
        store: bool = True,
        held: int = 4096,
        queue: int = 10_000,
        most: int = 400,
        max_mb: float = 50,
    ):
        self.endpoint, self.query_endpoint = f"ipc://{folder}/events", f"ipc://{folder}/query"
        self.sent: list[tuple[str, messages.AnyMessage]] = []
        self.lanes = [Source("porch"), Source("hall")]
        self._context = context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        self.store = Store(folder / "state" / "events.db", max_mb=max_mb, max_days=1) if store else None
        self.journal = Journal(held)
        self.admission = Admission(context)
        stack.callback(self.admission.close)
        self.socket = Socket(context, self.endpoint, queue=queue, most=most, admission=self.admission)
        stack.callback(self.socket.close, 0)
        outlets = [self.journal, self.socket, self._remember]
        self.publisher = Publisher("test", [self.store, *outlets] if self.store else outlets)
        self.query = Query(
            context, self.query_endpoint, publisher=self.publisher, journal=self.journal, lanes=self.lanes,
            config_hash="c" * 12, store=self.store, most=most,
        )  # fmt: skip
        stack.callback(self.query.close, 0)
        self.socket.greet(self.publisher, self.query.endpoint)
        self.ahead_us = 0
        """By how much its clock is ahead of ours."""
        self._open: dict[tuple[str, str], Event] = {}
        self._sample = 0
        if self.store:
            stack.callback(self.store.close)
            self.store.report_to(self.publisher.tell)
            self.store.open(lambda name, event: self.publisher.send(name, closed(event, self.publisher.instance)))

    def kill(self) -> None:
        """Leave what SIGKILL leaves: nothing is published, nothing closed as it should be; the kernel closes sockets
        and locks."""
        if self.store is not None:
            self.store.database.release()
        self._context.destroy(linger=0)

    def serve(self) -> None:
        """Do what the engine does after every round."""
        for attendant in (self.admission, self.socket, self.query, self.store):
            if attendant is not None:
                attendant.serve()

    def scores(self, source: str = "porch") -> None:
        """Publish a decision."""
        message = Scores(**self._heard(source), scores={"rain": 0.5, "dog_bark": 0.25}, level_dbfs=-30.0)
        self.publisher.send(topic("score", source), message)

    def spectrum(self, bands: bytes, at_us: int, source: str = "porch", *, column_s: float = 0.08) -> None:
        """Publish columns of the spectrum, the first of which begins at a time."""
        heard = self._heard(source) | {"t": rfc3339(at_us)}
        message = Spectrum(**heard, columns=len(bands) // 64, column_s=column_s, top_hz=8000.0, bands=bands)
        self.publisher.send(topic("spectrum", source), message)

    def gap(self, at_us: int, seconds: float, source: str = "porch") -> None:
        """Publish that sound was not heard from a time on."""
        common = self._common(source) | {"t": rfc3339(at_us)}
        lost = messages.Gap(
            **common, cause="lost", samples=round(16000 * seconds), duration_s=seconds, estimated=False,
            decisions_resume_s=1.0,
        )  # fmt: skip
        self.publisher.send(topic("gap", source), lost)

    def event(self, phase: Phase, label: str = "rain", source: str = "porch") -> Event:
        """Publish a phase of the event that this label has, which an onset begins."""
        heard = self._heard(source)
        if phase == "onset":
            event = Event(
                **heard, phase="onset", id=str(uuid7()), label=label, score=0.9, peak=0.9, onset=heard["t"],
                onset_sample=heard["sample"], offset=None, offset_sample=None, duration_s=0.0,
            )  # fmt: skip
        else:
            before = self._open[source, label]
            event = Event(**{name: getattr(before, name) for name in Event.__struct_fields__} | heard)
            event.phase = phase
            event.duration_s = (event.sample or 0) / 16000 - before.onset_sample / 16000
        if phase == "offset":
            event.offset, event.offset_sample, event.cause = heard["t"], heard["sample"], "score"
            del self._open[source, label]
        else:
            self._open[source, label] = event
        self.publisher.send(topic("event", source, label), event)
        return event

    def clip(self, event: Event, path: str | None = "/clips/a.flac") -> Clip:
        """Publish that the event's sound lies in a file, or in none."""
        clip = Clip(
            **self._common(event.source), id=event.id, label=event.label, path=path,
            why="privacy" if path is None else None, format="flac", exact=True, sha256="0" * 64, rate=16_000,
            samples=16_000, duration_s=1.0, source_rate=16_000, onset=event.onset, onset_s=0.5, offset_s=0.75,
        )  # fmt: skip
        self.publisher.send(topic("clip", event.source, event.label), clip)
        return clip

    def status(self, state: SourceState = "lost", source: str = "porch") -> None:
        """Publish a change of state."""
        self.publisher.send(topic("status", source), Status(**self._common(source), state=state, detail=""))

    def health(self) -> None:
        """Publish the heartbeat."""
        message = messages.Health(
            **self._common(None), uptime_s=1.0, sources={lane.name: lane.told for lane in self.lanes},
            last_seq=dict(self.publisher.last_seq), latency_p99_ms=None, cpu_percent=0.0, rss_mb=0.0,
        )  # fmt: skip
        self.publisher.send("health.", message)

    def random_step(self, rng: Any) -> None:
        """Publish something that a daemon might say now."""
        source, label = rng.choice(["porch", "hall"]), rng.choice(["rain", "dog_bark", "siren"])
        choice = rng.random()
        if choice < 0.5:
            self.scores(source)
        elif choice < 0.6:
            self.status(source=source)
        elif choice < 0.65:
            self.health()
        elif (source, label) in self._open:
            self.event(rng.choice(["update", "update", "offset"]), label, source)
        else:
            self.event("onset", label, source)

    def _remember(self, name: str, payload: bytes) -> None:
        self.sent.append((name, messages.decode(payload)))

    def _common(self, source: str | None) -> dict[str, Any]:
        self._sample += 1600
        return {
            "node": "test",
            "instance": self.publisher.instance,
            "seq": 0,
            "source": source,
            "model": None if source is None else MODEL,
            "t": rfc3339(time.time_ns() // 1000 + self.ahead_us),
            "sample": None if source is None else self._sample,
        }

    def _heard(self, source: str) -> dict[str, Any]:
        return {**self._common(source), "latency_ms": 1.0}


@contextmanager
def daemon(folder: Path, **how: Any) -> Iterator[Daemon]:
    """Run a daemon that ends as it should."""
    with ExitStack() as stack:
        yield Daemon(folder, stack, **how)


def pump(daemons: Sequence[Daemon], client: Client, until: Callable[[list[Item]], bool]) -> list[Item]:
    """Gather what the client gives until that is true of it."""
    items: list[Item] = []
    deadline_s = time.monotonic() + LIMIT_S
    while not until(items):
        assert time.monotonic() < deadline_s, f"not within {LIMIT_S} s; so far {items[-3:]}"
        for each in daemons:
            each.serve()
        if (item := client.receive(0.002)) is not None:
            items.append(item)
    return items
