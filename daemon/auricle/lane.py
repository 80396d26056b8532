"""One source on its way: its pieces in, decisions out."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle import config, messages, pipeline
from auricle.bundle import Bundle
from auricle.level import Level
from auricle.publisher import Publisher
from auricle.reporter import Reporter
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
        self.bundle = bundle
        self.counters = Counters()
        self.state = "starting"
        self.processed_s: float | None = None
        self.reporter = Reporter(source.name, bundle, publisher)
        self._level_dbfs: float | None = None
        self._model_rate = bundle.card.front_end.sample_rate
        self._score_interval = pipeline.samples(publish.score_interval_ms, bundle)
        scorer = pipeline.scorer(bundle, decision, gate)
        self.gate = scorer.front_end.gate
        self._gate_forced = self._is_forced(gate)
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
        self._hearing = False
        self._samples = 0
        self._rows = 0
        self._next_score = 0
        self._delivered_s: float | None = None

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
        if self._hearing:
            self._end(cause)

    def tell(self, state: str, detail: str = "") -> None:
        """Publish and log a change of the source's state."""
        self.state = state
        log.info("%s: %s%s", self.source.name, state, f": {detail}" if detail else "")
        self.reporter.status(state, detail, self._samples)

    def health(self, now_s: float) -> messages.SourceHealth:
        """The counters for the `health` message, the open segment included."""
        counters = self.counters
        heard, heard_s = counters.heard, counters.heard_s
        if self._hearing:
            heard += self.reporter.own_rate(self._samples)
            heard_s += self._samples / self._model_rate
        return messages.SourceHealth(
            state=self.state,
            heard_s=round(heard_s, 3),
            heard_samples=heard,
            lost_samples=counters.lost,
            gaps=counters.gaps,
            decisions=counters.decisions,
            events=counters.events,
            cleaned_samples=self.source.cleaned,
            skipped=counters.skipped,
            gate=self._gate_state,
            level_dbfs=None if self._level_dbfs is None else round(self._level_dbfs, 2),
            age_s=None if self.processed_s is None else round(now_s - self.processed_s, 3),
        )

    def _begin(self, segment: Segment) -> None:
        self.reporter.begin(segment)
        self._hearing = True
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

    def _decide(self, scores: NDArray[np.float32], levels: NDArray[np.float32]) -> None:
        changes = self._detector.process(scores)
        first = self._rows
        self._rows += len(scores)
        self.counters.decisions += len(scores)
        self._level_dbfs = float(levels[-1])
        told = 0
        # Scores and events leave in the order of their decisions.
        for row in range(len(scores)):
            at = self._stages.span + (first + row) * self._stages.hop
            if at >= self._next_score:
                self._next_score = at + self._score_interval
                self.reporter.scores(at, scores[row], float(levels[row]), self._delivered_s)
            while told < len(changes) and changes[told].at == at:
                self.counters.events += changes[told].phase == "onset"
                self.reporter.change(changes[told], self._delivered_s)
                told += 1

    def _end(self, cause: str) -> None:
        for change in self._detector.close(self._samples, cause):
            self.reporter.change(change, self._delivered_s)
        self.counters.heard += self.reporter.own_rate(self._samples)
        self.counters.heard_s += self._samples / self._model_rate
        judged = self._stages.span + (self._rows - 1) * self._stages.hop if self._rows else 0
        self.counters.tail += self._samples - judged
        self.reporter.end(self._samples)
        self._hearing = False

    def _lose(self, gap: Gap) -> None:
        self.counters.lost += gap.samples
        self.counters.gaps += 1
        log.warning("%s: gap of %.3f s (%s)", self.source.name, gap.samples / gap.rate, gap.cause)
        self.reporter.gap(gap, self._stages.span / self._model_rate)

    @property
    def _gate_state(self) -> str:
        """``off``, ``on`` or ``learning`` (sound passes unchanged), and whether that is not what the model knows."""
        state = "off" if self.gate is None else "learning" if self.gate.learning else "on"
        return f"{state}, forced" if self._gate_forced else state

    def _is_forced(self, gate: config.Gate) -> bool:
        trained = self.bundle.card.front_end.behind_gate
        forced = pipeline.gated(self.bundle, gate) != trained
        if forced:
            log.warning(
                "%s: gate.enabled is %s, but model %s was trained %s it",
                self.source.name,
                gate.enabled,
                self.bundle.card.name,
                "behind" if trained else "without",
            )
        return forced
