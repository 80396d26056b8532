"""An ear is everything between a source's samples and its decisions, as configured."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache

import numpy as np

from auricle import config
from auricle.hearing import groups, pipeline
from auricle.hearing.newest import Newest
from auricle.hearing.spectrogram import Spectrogram
from auricle.model.bundle import Bundle
from auricle.model.classifier import windows_at
from auricle.stages import batch
from auricle.stages.level import Level
from auricle.stages.stage import Pipeline


@cache
def _kind(*_: Hashable) -> object:
    return object()


class Ear:
    """Holds the stages from sample to score, the level meter and the rules of one source.

    Args:
        bundle: the model.
        decision: the rules.
        gate: the noise gate.
        publish: how often scores and updates are published.

    Raises:
        ConfigError: model, rules and gate do not fit together.
    """

    def __init__(self, bundle: Bundle, decision: config.Decision, gate: config.Gate, publish: config.Publish) -> None:
        self.bundle = bundle
        scorer = pipeline.scorer(bundle, decision, gate)
        self.gate = scorer.front_end.gate
        self.gate_forced = pipeline.gated(bundle, gate) != bundle.card.front_end.behind_gate
        smoother = pipeline.smoother(bundle, decision)
        self.means = smoother.lengths
        grouped = groups.groups(bundle.card, decision)
        self.stages = Pipeline([scorer.stages, *pipeline.grouping(bundle, decision), smoother])
        self.labels = pipeline.labels(bundle, decision)
        self.level = Level(self.stages.span, self.stages.hop)
        self.detector = pipeline.detector(
            bundle, decision, span=self.stages.span, hop=self.stages.hop, update_interval_s=publish.update_interval_s
        )
        self.score_interval = pipeline.samples(publish.score_interval_ms, bundle)
        self.top = publish.scores.top
        self.block = pipeline.block_samples(bundle)
        self.hop_s = self.stages.hop / bundle.card.front_end.sample_rate
        self.hop_length = bundle.card.front_end.hop_length
        self.chain = batch.chain(self.stages)
        self.doubtful = bundle.card.output.dtype == "float32"
        """Whether a score may be no number at all, which int8 cannot be."""
        self.kind = self._kind = _kind(
            *(bundle.hash, self.stages.hop, self.stages.span, smoother.lengths, self.gate is None, *grouped.items()),
            *(gate.frequency_smoothing_hz, gate.time_smoothing_ms, gate.lookahead_frames),
        )
        """Ears of the same kind can be computed in one batch. Their kind is one and the same object, so that lanes are
        sorted by identity at every tick, not by the values that make a kind."""
        self.spectrogram: Spectrogram | None = None
        """Makes columns, while somebody looks."""
        self.tap: Newest | None = None
        """Takes note of windows, while the room is remembered."""
        self._unwatched = self.chain, self.kind

    def configure(self, decision: config.Decision, gate: config.Gate, publish: config.Publish) -> None:
        """Take over what may change between two blocks without a new segment."""
        self.detector.configure(pipeline.rules(self.bundle, decision))
        self.detector.update_samples = pipeline.samples(1000 * publish.update_interval_s, self.bundle)
        self.score_interval = pipeline.samples(publish.score_interval_ms, self.bundle)
        self.top = publish.scores.top
        if self.gate is not None:
            self.gate.sensitivity = gate.sensitivity
            self.gate.reduction = gate.reduction
            self.gate.adaptation_s = gate.adaptation_s

    @property
    def back_s(self) -> float:
        """Return how far the onset of an event may lie before the decision that tells it."""
        return self.detector.back_samples / self.bundle.card.front_end.sample_rate

    @property
    def gate_state(self) -> str:
        """Return ``off``, ``on`` or ``learning`` (sound passes unchanged), and whether that differs from how the model
        was trained."""
        state = "off" if self.gate is None else "learning" if self.gate.learning else "on"
        return f"{state}, forced" if self.gate_forced else state

    @property
    def gate_doubt(self) -> str | None:
        """Return what speaks against the gate as it is forced, if it is."""
        if not self.gate_forced:
            return None
        forced, trained = ("off", "behind") if self.gate is None else ("on", "without")
        return f"gate.enabled forces the gate {forced}, but model {self.bundle.card.name} was trained {trained} it"

    def remember(self, wanted: bool) -> None:
        """Take note of the windows that the network is given from now on, or no more; `watch` is to be called after
        it. A model whose network gives no embedding of whole windows has none."""
        if wanted == (self.tap is not None) or self.bundle.trunk is None:
            return
        whole, kind = batch.chain(self.stages), self._kind
        self.tap = Newest() if wanted else None
        if self.tap is not None:
            whole.insert(windows_at(whole), self.tap)
            kind = _kind(kind, "remembered")
        self._unwatched = whole, kind

    def watch(self, columns_per_s: float | None, samples: int) -> None:
        """Make columns of what is heard from now on, or no more.

        Args:
            columns_per_s: at most so many; ``None``: nobody looks.
            samples: of the segment, heard so far.
        """
        self.chain, self.kind = self._unwatched
        self.spectrogram = None
        if columns_per_s is not None:
            rate = self.bundle.card.front_end.sample_rate
            self.spectrogram = Spectrogram(self.chain, self.gate, rate, columns_per_s)
            self.spectrogram.begin(samples)
            self.chain, self.kind = self.spectrogram.chain, _kind(self.kind, "watched")

    def reset(self) -> None:
        """Forget the signal: a segment begins."""
        self.stages.reset()
        if self.spectrogram is not None:
            self.spectrogram.begin()
        if self.tap is not None:
            self.tap.reset()
        self.level.reset()
        self.detector.reset()

    def warm(self) -> None:
        """Run the stages once, on digital silence, which teaches the gate nothing: the first decision is as fast as
        any."""
        self.stages.process(np.zeros(self.stages.span, np.float32))
        self.reset()

    def until_decision(self, samples: int) -> int:
        """Return how many more samples complete the next decision after so many, 0 if one is just made."""
        return (self.stages.span - samples) % self.stages.hop
