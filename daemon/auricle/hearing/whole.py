"""Whole recordings get one verdict each here."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from auricle import config, messages
from auricle.capture.reader import Reader
from auricle.errors import AudioError
from auricle.hearing import pipeline
from auricle.hearing.afresh import Afresh
from auricle.model.bundle import Bundle

NAMED = 10
"""A verdict says of at most so many labels when they were strongest."""


class Strongest(msgspec.Struct):
    """Names the window in which a label scored highest, by its middle in seconds from the recording's start."""

    label: str
    score: float
    at_s: float


class Verdict(msgspec.Struct):
    """Says what `classify` makes of one file: ``scores`` are means over its windows, ``label`` has the highest of them.

    ``strongest`` are the labels that reached their threshold in some window, the highest first; where none did, the
    one that came nearest to its own.
    """

    file: str
    label: str
    score: float
    scores: dict[str, float]
    duration_s: float
    padded: bool
    model: messages.Model
    peak: float
    """The label's score in its strongest window."""
    strongest: list[Strongest]
    t: str | None = None
    """When it began, RFC 3339 in UTC, where its name or notes tell."""
    cut: str | None = None
    """Why there is no more of it, where a file ends too soon."""

    def windows(self, span_s: float) -> list[tuple[str, float, float, float]]:
        """Return what a table holds of it: label, begin and end in seconds, and highest score.

        Of a short one that is its verdict for all of it; of a long one the windows of its strongest labels.

        Args:
            span_s: the length of a window.
        """
        if not self.long:
            return [(self.label, 0.0, self.duration_s, self.peak)]
        half = span_s / 2
        return [
            (found.label, max(0.0, found.at_s - half), min(self.duration_s, found.at_s + half), found.score)
            for found in sorted(self.strongest, key=lambda found: found.at_s)
        ]

    @property
    def long(self) -> bool:
        """Return whether one word for all of it says little: it is longer than a minute."""
        return self.duration_s > 60


class Classifier:
    """Gives whole recordings one verdict each; every file begins from the same state."""

    def __init__(
        self,
        bundle: Bundle,
        decision: config.Decision,
        gate: config.Gate,
        *,
        channel: int | str = "mix",
        local: bool = False,
    ) -> None:
        self._bundle = bundle
        self._channel, self._local = channel, local
        scorer = pipeline.scorer(bundle, decision, gate)
        self._afresh = Afresh(scorer.stages, scorer.front_end.gate)
        self._hop = scorer.stages.hop
        self.span = scorer.stages.span
        """Samples at the model's rate in a window; a shorter recording is padded."""
        self._block = pipeline.block_samples(bundle)
        rules = pipeline.rules(bundle, decision)
        self._thresholds = {bundle.labels.index(label): rule.threshold for label, rule in rules.items()}

    def scores(self, path: str) -> tuple[NDArray[np.float32], float, bool]:
        """Return every window's scores ``(n, n_labels)`` of a file, the file's length in seconds, and whether it was
        padded.

        A file shorter than the model's window is repeated until it fills one, as the model was trained.

        Raises:
            AudioError: the file cannot be read, or the model gives what is no number.
        """
        reader = self._reader(path)
        rows, padded = self._hear(reader)
        return rows, reader.duration_s, padded

    def _reader(self, path: str) -> Reader:
        return Reader(path, self._bundle.card.front_end.sample_rate, channel=self._channel)

    def _hear(self, reader: Reader) -> tuple[NDArray[np.float32], bool]:
        rows, samples = self._afresh.hear(reader.heard(self._block), at_least=self.span)
        if not samples:
            too_short = f"{reader.name}: too short to be resampled; use at least one millisecond of sound"
            raise AudioError(reader.short or too_short)
        if not np.isfinite(rows).all():
            raise AudioError(f"{reader.name}: model {self._bundle.card.name} gives scores that are no numbers")
        return rows, samples < self.span

    def verdict(self, path: str) -> Verdict:
        """Classify one file, as far as it can be heard.

        Raises:
            AudioError: the file cannot be read.
        """
        reader = self._reader(path)
        start_us = reader.start_us(local=self._local)
        rows, padded = self._hear(reader)
        mean = rows.mean(axis=0, dtype=np.float64)
        scores = {label: round(float(score), 6) for label, score in zip(self._bundle.labels, mean, strict=True)}
        label = self._bundle.labels[int(mean.argmax())]
        model = messages.Model(self._bundle.card.name, self._bundle.hash)
        return Verdict(
            reader.name,
            label,
            scores[label],
            scores,
            round(reader.duration_s, 6),
            padded,
            model,
            round(float(rows[:, mean.argmax()].max()), 6),
            self._strongest(rows),
            None if start_us is None else messages.rfc3339(start_us),
            reader.short,
        )

    def _strongest(self, rows: NDArray[np.float32]) -> list[Strongest]:
        places, rate = rows.argmax(axis=0), self._bundle.card.front_end.sample_rate
        above = {i: float(rows[places[i], i]) - threshold for i, threshold in self._thresholds.items()}
        reached = [i for i, margin in above.items() if margin >= 0] or sorted(above, key=lambda i: -above[i])[:1]
        found = [
            Strongest(
                self._bundle.labels[i],
                round(float(rows[places[i], i]), 6),
                round((int(places[i]) * self._hop + self.span / 2) / rate, 3),
            )
            for i in reached
        ]
        return sorted(found, key=lambda strongest: (-strongest.score, strongest.label))[:NAMED]
