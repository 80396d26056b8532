"""Figures of a daemon are gathered here as Prometheus wants them, from what the daemon says.

What the daemon counts itself is told as it counts: a counter that begins again at 0 says that the daemon did.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from auricle.client import Event, Gap, Health, Item, Missed, Snapshot, Status
from auricle.messages import NOT_HEARD, SourceState

MOST_LABELS = 1000
"""So many pairs of source and label are counted apart; what comes beyond is counted under ``other``."""
OTHER = "other"
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_COUNTED = {
    "decisions": "Decisions.",
    "late": "Decisions over one decision hop after their sound was delivered.",
    "lost_samples": "Samples that were not heard.",
    "paused_samples": "Samples that were not heard because the source was paused.",
    "overloads": "Steps that were taken because decisions could not keep up.",
    "unsound": "Decisions in which the model gave what is no finite number.",
    "cleaned_samples": "Samples that were not finite, replaced by 0.",
}
"""Counters of `SourceHealth` that are told as they are."""


class Figures(Collector):
    """Gathers figures of one daemon; one thread takes what it says, others collect."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._health: Health | None = None
        self._alive = False
        self._about: dict[str, str] = {}
        self._models: dict[str, dict[str, str]] = {}
        self._states: dict[str, SourceState] = {}
        self._events: dict[tuple[str, str], int] = {}
        self._gaps: dict[tuple[str, str], tuple[int, float]] = {}
        self._latency: dict[str, tuple[list[int], float]] = {}
        self._missed = 0

    def take(self, item: Item) -> None:
        """Take what the daemon has said."""
        with self._lock:
            self._take(item)

    def alive(self, *, now: bool) -> None:
        """Note whether anything was heard of the daemon lately."""
        with self._lock:
            self._alive = now

    def _take(self, item: Item) -> None:
        match item:
            case Missed():
                self._missed += item.n
            case Snapshot():
                self._about = {"node": item.node, "version": item.version, "config": item.config}
                self._models = {
                    name: {"source": name, "model": told.model.name, "hash": told.model.hash}
                    for name, told in item.sources.items()
                    if told.model is not None
                }
                self._states = {name: told.state for name, told in item.sources.items()}
            case Health():
                self._health = item
                self._states = {name: told.state for name, told in item.sources.items()}
            case Status() if item.source is not None and item.state in get_args(SourceState):
                self._states[item.source] = item.state  # type: ignore[assignment]
            case Gap() if item.source is not None:
                n, seconds = self._gaps.get((item.source, item.cause), (0, 0.0))
                self._gaps[item.source, item.cause] = n + 1, seconds + item.duration_s
            case Event() if item.source is not None:
                self._hear(item, item.source)

    def _hear(self, event: Event, source: str) -> None:
        if event.phase == "onset":
            key = source, event.label
            if key not in self._events and len(self._events) >= MOST_LABELS:
                key = OTHER, OTHER
            self._events[key] = self._events.get(key, 0) + 1
        if event.model is not None and (source in self._models or len(self._models) < MOST_LABELS):
            self._models[source] = {"source": source, "model": event.model.name, "hash": event.model.hash}
        if event.latency_ms is not None and (source in self._latency or len(self._latency) < MOST_LABELS):
            counts, total_s = self._latency.setdefault(source, ([0] * (len(BUCKETS_S) + 1), 0.0))
            counts[bisect_left(BUCKETS_S, event.latency_ms / 1000)] += 1
            self._latency[source] = counts, total_s + event.latency_ms / 1000

    def collect(self) -> Iterator[Metric]:
        """Yield every figure as it is now."""
        with self._lock:
            found = [*self._of_daemon(), *self._of_sources(), *self._counted()]
        yield from found

    def _of_daemon(self) -> Iterator[Metric]:
        yield _gauge("up", "Whether the daemon says anything.", {(): float(self._alive)})
        if self._about:
            yield InfoMetricFamily("auricle", "The daemon.", self._about)
        models = InfoMetricFamily("auricle_model", "The model that hears a source.", labels=())
        for about in self._models.values():
            models.add_metric((), about)
        yield models
        if self._health is not None and self._alive:
            health = self._health
            yield _gauge("uptime_seconds", "Since the daemon's start.", {(): health.uptime_s})
            yield _gauge("cpu_ratio", "Of one core, by the daemon.", {(): health.cpu_percent / 100})
            yield _gauge("resident_memory_bytes", "Of the daemon.", {(): health.rss_mb * 2**20})
            if health.latency_p99_ms is not None:
                p99_s = health.latency_p99_ms / 1000
                yield _gauge("latency_p99_seconds", "Of all decisions lately, from sound to message.", {(): p99_s})

    def _of_sources(self) -> Iterator[Metric]:
        if not self._alive:
            # Stale figures would look like a daemon that hears.
            yield _gauge("hearing", "Whether a source is heard as it should be.", dict.fromkeys(_by(self._states), 0.0))
            return
        hearing = {(name,): float(state not in NOT_HEARD) for name, state in self._states.items()}
        yield _gauge("hearing", "Whether a source is heard as it should be.", hearing)
        states = {
            (name, word): float(word == now) for name, now in self._states.items() for word in get_args(SourceState)
        }
        yield _gauge("source_state", "1 for the state that a source is in.", states, ("source", "state"))
        sources = {} if self._health is None else self._health.sources
        levels = {(name,): told.level_dbfs for name, told in sources.items() if told.level_dbfs is not None}
        yield _gauge("level_dbfs", "Of the newest sound; a full-scale sine is -3.", levels)
        ages = {(name,): told.age_s for name, told in sources.items() if told.age_s is not None}
        yield _gauge("sound_age_seconds", "Since sound was last processed.", ages)

    def _counted(self) -> Iterator[Metric]:
        sources = {} if self._health is None else self._health.sources
        for name, what in _COUNTED.items():
            yield _counter(name, what, {(source,): getattr(told, name) for source, told in sources.items()})
        yield _counter("events", "Events that began, since the bridge did.", self._events, ("source", "label"))
        gaps = {key: n for key, (n, _) in self._gaps.items()}
        yield _counter("gaps", "Gaps, since the bridge began.", gaps, ("source", "cause"))
        seconds = {key: seconds for key, (_, seconds) in self._gaps.items()}
        yield _counter("gap_seconds", "What they lasted.", seconds, ("source", "cause"))
        yield _counter("missed", "Messages that could not be had again.", {(): self._missed}, ())
        latency = HistogramMetricFamily(
            "auricle_latency_seconds", "From the delivery of sound to a message about an event.", labels=("source",)
        )
        for source, (counts, total_s) in self._latency.items():
            edges = [*(f"{edge:g}" for edge in BUCKETS_S), "+Inf"]
            upto = [sum(counts[: n + 1]) for n in range(len(counts))]
            latency.add_metric((source,), list(zip(edges, upto, strict=True)), total_s)
        yield latency


def _by(states: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(name,) for name in states]


def _gauge(
    name: str, what: str, values: dict[tuple[str, ...], float] | dict[Any, float], labels: tuple[str, ...] | None = None
) -> Metric:
    return _filled(GaugeMetricFamily(f"auricle_{name}", what, labels=_labels(values, labels)), values)


def _counter(name: str, what: str, values: dict[Any, Any], labels: tuple[str, ...] | None = None) -> Metric:
    return _filled(CounterMetricFamily(f"auricle_{name}", what, labels=_labels(values, labels)), values)


def _labels(values: dict[Any, Any], labels: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the names of the labels: the source alone unless told, none where the only value has none."""
    return labels if labels is not None else () if list(values) == [()] else ("source",)


def _filled(metric: Any, values: dict[Any, Any]) -> Metric:
    for key, value in values.items():
        metric.add_metric(key, value)
    filled: Metric = metric
    return filled
