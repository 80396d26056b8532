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


class Verdict(msgspec.Struct):
    """Says what `classify` makes of one file: ``scores`` are means over its windows, ``label`` has the highest of
    them."""

    file: str
    label: str
    score: float
    scores: dict[str, float]
    duration_s: float
    padded: bool
    model: messages.Model


class Classifier:
    """Gives whole recordings one verdict each; every file begins from the same state."""

    def __init__(self, bundle: Bundle, decision: config.Decision, gate: config.Gate) -> None:
        self._bundle = bundle
        scorer = pipeline.scorer(bundle, decision, gate)
        self._afresh = Afresh(scorer.stages, scorer.front_end.gate)
        self.span = scorer.stages.span
        """Samples at the model's rate in a window; a shorter recording is padded."""
        self._block = pipeline.block_samples(bundle)

    def scores(self, path: str) -> tuple[NDArray[np.float32], float, bool]:
        """Return every window's scores ``(n, n_labels)`` of a file, the file's length in seconds, and whether it was
        padded.

        A file shorter than the model's window is repeated until it fills one, as the model was trained.

        Raises:
            AudioError: the file cannot be read, or the model gives what is no number.
        """
        reader = Reader(path, self._bundle.card.front_end.sample_rate)
        rows, samples = self._afresh.hear(reader.blocks(self._block), at_least=self.span)
        if not samples:
            raise AudioError(f"{path}: too short to be resampled; use at least one millisecond of sound")
        if not np.isfinite(rows).all():
            raise AudioError(f"{path}: model {self._bundle.card.name} gives scores that are no numbers")
        return rows, reader.duration_s, samples < self.span

    def verdict(self, path: str) -> Verdict:
        """Classify one file.

        Raises:
            AudioError: the file cannot be read.
        """
        rows, duration_s, padded = self.scores(path)
        mean = rows.mean(axis=0, dtype=np.float64)
        scores = {label: round(float(score), 6) for label, score in zip(self._bundle.labels, mean, strict=True)}
        label = self._bundle.labels[int(mean.argmax())]
        model = messages.Model(self._bundle.card.name, self._bundle.hash)
        return Verdict(path, label, scores[label], scores, round(duration_s, 6), padded, model)
