"""One source on its way: its pieces in, its messages out."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import uuid6

from auricle import config, messages, pipeline
from auricle.bundle import Bundle
from auricle.decision import Change
from auricle.level import Level
from auricle.publisher import Publisher, part
from auricle.source import End, Gap, Piece, Segment, Skipped, Sound, Source, Status
from auricle.stage import Pipeline

log = logging.getLogger("auricle")


@dataclass
class Counters:
    """What a source has come to since the start; samples at the source's own rate unless told."""

    heard: int = 0
    heard_s: float = 0.0
    tail: int = 0
    """At the model's rate: what segments held after their last decision, or before a first one."""
    lost: int = 0
    gaps: int = 0
    decisions: int = 0
    events: int = 0
    skipped: int = 0


class Lane:
    """A source, its stages and its decisions.

    Args:
        source: gives the pieces.
        bundle: the model.
        decision: the rules.
        gate: the noise gate.
        publish: how often scores and updates are told.
        publisher: takes the messages.
    """

    def __init__(
        self,
        source: Source,
        bundle: Bundle,
        *,
        decision: config.Decision,
        gate: config.Gate,
        publish: config.Publish,
        publisher: Publisher,
    ) -> None:
        self.source = source
        self.counters = Counters()
        self.state = "starting"
        self.level_dbfs: float | None = None
        self.processed_s: float | None = None
        self.latencies_ms: deque[float] = deque(maxlen=1024)
        self._bundle = bundle
        self._publisher = publisher
        self._model = messages.Model(bundle.card.name, bundle.hash)
        self._model_rate = bundle.card.front_end.sample_rate
        self._score_interval = pipeline.samples(publish.score_interval_ms, bundle)
        scorer = pipeline.scorer(bundle, decision, gate)
        self.gate = scorer.front_end.gate
        self._gate_forced = gate.enabled != "auto" and pipeline.gated(bundle, gate) != bundle.card.front_end.behind_gate
        if self._gate_forced:
            trained = "behind" if bundle.card.front_end.behind_gate else "without"
            log.warning(
                "%s: gate.enabled is %s, but %s was trained %s it", source.name, gate.enabled, bundle.card.name, trained
            )
        self._stages = Pipeline([scorer.stages, pipeline.smoother(bundle, decision)])
        self._level = Level(self._stages.span, self._stages.hop)
        self._detector = pipeline.detector(
            bundle,
            decision,
            span=self._stages.span,
            hop=self._stages.hop,
            update_interval_s=publish.update_interval_s,
        )
        self._block = pipeline.block_samples(bundle)
        self._segment: Segment | None = None
        self._last_sample = 0
        self._samples = 0
        self._rows = 0
        self._next_score = 0
        self._ids: dict[str, str] = {}
        self._delivered_s: float | None = None
        name = part(source.name)
        self._score_topic = f"score.{name}."
        self._event_topics = {label: f"event.{name}.{part(label)}." for label in bundle.labels}
        self._gap_topic = f"gap.{name}."
        self._status_topic = f"status.{name}."

    def take(self, piece: Piece) -> None:
        """Do what the piece asks for; sound becomes messages before this returns."""
        match piece:
            case Sound():
                self._hear(piece)
            case Segment():
                self._begin(piece)
            case End():
                self._end(piece.cause)
            case Gap():
                self._lose(piece)
            case Status():
                self.tell(piece.state, piece.detail)
            case Skipped():
                self.counters.skipped += 1
                log.warning("%s: skipped: %s", self.source.name, piece.reason)

    def close(self, cause: str = "stop") -> None:
        """End the open segment and its events."""
        if self._segment is not None:
            self._end(cause)

    def tell(self, state: str, detail: str = "") -> None:
        """Publish and log a change of the source's state."""
        self.state = state
        log.info("%s: %s%s", self.source.name, state, f": {detail}" if detail else "")
        self._publisher.send(
            self._status_topic,
            messages.Status(**self._common(self._position()), state=state, detail=detail),
        )

    def _begin(self, segment: Segment) -> None:
        self._segment = segment
        self._samples = self._rows = self._next_score = 0
        self._stages.reset()
        self._level.reset()
        self._detector.reset()
        if self.state not in ("running", "found"):
            self.tell("running", segment.file or "")

    def _hear(self, sound: Sound) -> None:
        self._delivered_s = sound.delivered_s
        for start in range(0, len(sound.samples), self._block):
            block = sound.samples[start : start + self._block]
            self._samples += len(block)
            scores = self._stages.process(block)
            levels = self._level.process(block)
            if len(scores):
                self._decide(scores, levels)
        self.processed_s = time.monotonic()

    def _decide(self, scores: Any, levels: Any) -> None:
        changes = self._detector.process(scores)
        first = self._rows
        self._rows += len(scores)
        self.counters.decisions += len(scores)
        self.level_dbfs = float(levels[-1])
        told = 0
        # Scores and events leave in the order of their decisions.
        for row in range(len(scores)):
            at = self._stages.span + (first + row) * self._stages.hop
            if at >= self._next_score:
                self._next_score = at + self._score_interval
                self._send_scores(at, scores[row], float(levels[row]))
            while told < len(changes) and changes[told].at == at:
                self._send_event(changes[told])
                told += 1

    def _end(self, cause: str) -> None:
        assert self._segment is not None
        for change in self._detector.close(self._samples, cause):
            self._send_event(change)
        self.counters.heard += self._own(self._samples)
        self._last_sample = self._segment.start + self._own(self._samples)
        self.counters.heard_s += self._samples / self._model_rate
        judged = self._stages.span + (self._rows - 1) * self._stages.hop if self._rows else 0
        self.counters.tail += self._samples - judged
        self._segment = None

    def _lose(self, gap: Gap) -> None:
        self.counters.lost += gap.samples
        self.counters.gaps += 1
        duration_s = gap.samples / gap.rate
        log.warning("%s: gap of %.3f s (%s)", self.source.name, duration_s, gap.cause)
        self._publisher.send(
            self._gap_topic,
            messages.Gap(
                **self._common((gap.start, gap.clock.utc_us(gap.start))),
                cause=gap.cause,
                samples=gap.samples,
                duration_s=duration_s,
                estimated=gap.estimated,
                decisions_resume_s=self._stages.span / self._model_rate,
            ),
        )

    def health(self, now_s: float) -> messages.SourceHealth:
        """The counters for the `health` message."""
        counters = self.counters
        heard_s = counters.heard_s + (self._samples / self._model_rate if self._segment else 0.0)
        return messages.SourceHealth(
            state=self.state,
            heard_s=round(heard_s, 3),
            heard_samples=self.heard_samples,
            lost_samples=counters.lost,
            gaps=counters.gaps,
            decisions=counters.decisions,
            events=counters.events,
            cleaned_samples=self.source.cleaned,
            skipped=counters.skipped,
            gate=self._gate_state,
            level_dbfs=None if self.level_dbfs is None else round(self.level_dbfs, 2),
            age_s=None if self.processed_s is None else round(now_s - self.processed_s, 3),
        )

    @property
    def _gate_state(self) -> str:
        """``off``, ``on`` or ``learning`` (sound passes unchanged), and whether that is not what the model knows."""
        state = "off" if self.gate is None else "learning" if self.gate.learning else "on"
        return f"{state}, forced" if self._gate_forced else state

    @property
    def heard_samples(self) -> int:
        """At the source's own rate, the open segment included."""
        return self.counters.heard + (self._own(self._samples) if self._segment else 0)

    def _own(self, samples: int) -> int:
        """Samples at the model's rate as samples at the source's own."""
        return samples * self._segment.rate // self._model_rate if self._segment else samples

    def _position(self) -> tuple[int, int]:
        """Sample and time of now."""
        if self._segment is None:
            return self._last_sample, time.time_ns() // 1000
        return self._place(self._samples)

    def _place(self, at: int) -> tuple[int, int]:
        """Sample of the source, and its time, of a position in the segment at the model's rate."""
        assert self._segment is not None
        sample = self._segment.start + self._own(at)
        return sample, self._segment.clock.utc_us(sample)

    def _common(self, place: tuple[int, int]) -> dict[str, Any]:
        return {
            "node": self._publisher.node,
            "instance": self._publisher.instance,
            "seq": 0,
            "source": self.source.name,
            "model": self._model,
            "t": messages.rfc3339(place[1]),
            "sample": place[0],
        }

    def _heard(self, at: int) -> dict[str, Any]:
        assert self._segment is not None
        common = self._common(self._place(at))
        common["latency_ms"] = None
        if self._delivered_s is not None:
            common["latency_ms"] = round((time.monotonic() - self._delivered_s) * 1000, 3)
            self.latencies_ms.append(common["latency_ms"])
        if self._segment.file is not None:
            common["file"] = self._segment.file
            common["t_known"] = self._segment.clock.known
        return common

    def _send_scores(self, at: int, scores: Any, level_dbfs: float) -> None:
        message = messages.Scores(
            **self._heard(at),
            scores=dict(zip(self._bundle.labels, _rounded(scores), strict=True)),
            level_dbfs=round(level_dbfs, 2),
        )
        self._publisher.send(self._score_topic, message)

    def _send_event(self, change: Change) -> None:
        assert self._segment is not None
        if change.phase == "onset":
            self._ids[change.label] = str(uuid6.uuid7())
            self.counters.events += 1
        onset_sample, onset_us = self._place(change.onset)
        end = change.at if change.offset is None else change.offset
        message = messages.Event(
            **self._heard(change.at),
            phase=change.phase,  # type: ignore[arg-type]
            id=self._ids[change.label],
            label=change.label,
            score=round(change.score, 6),
            peak=round(change.peak, 6),
            onset=messages.rfc3339(onset_us),
            onset_sample=onset_sample,
            offset=None,
            offset_sample=None,
            duration_s=round((end - change.onset) / self._model_rate, 6),
        )
        if change.offset is not None:
            message.offset_sample, offset_us = self._place(change.offset)
            message.offset = messages.rfc3339(offset_us)
            message.cause = change.cause
            del self._ids[change.label]
        if self._segment.file is not None:
            message.onset_s = round(change.onset / self._model_rate, 6)
            message.offset_s = None if change.offset is None else round(change.offset / self._model_rate, 6)
        self._publisher.send(self._event_topics[change.label], message)


def _rounded(scores: Any) -> list[float]:
    """float32 as the shortest decimals that mean it, within the schema's bounds."""
    return [round(score, 6) for score in np.clip(scores, 0.0, 1.0).tolist()]
