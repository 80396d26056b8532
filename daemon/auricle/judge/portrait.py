"""A recording's portrait is made here, no wider than a picture however long the recording is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.capture.reader import Reader
from auricle.hearing.hearer import Hearer, Reported
from auricle.judge.truth import Event

COLUMNS, BANDS = 1600, 256
"""The width and height of the spectrogram."""
LABELS = 6
"""How many labels' scores are drawn."""
_FRAME = 2 * BANDS
_SILENCE_DB = -120.0


@dataclass(frozen=True)
class Curve:
    """Follows one label: times in seconds, scores ``(n,)``, and the threshold that is in force."""

    label: str
    times_s: NDArray[np.float64]
    scores: NDArray[np.float32]
    threshold: float


@dataclass(frozen=True)
class Portrait:
    """Holds everything that is drawn of one recording.

    Args:
        name: what the recording is called.
        duration_s: how long the recording is.
        top_hz: half its sample rate.
        spectrogram: ``(BANDS, columns)`` power in dB, the lowest band first.
        level: ``(columns,)`` dBFS, the power of a full-scale square wave is 0.
        curves: of the labels that came nearest to their thresholds, or farthest above.
        events: what the daemon would report.
        truth: what is really there; ``None`` where nobody says.
        note: why there is no more of it; else empty.
    """

    name: str
    duration_s: float
    top_hz: float
    spectrogram: NDArray[np.float32]
    level: NDArray[np.float32]
    curves: Sequence[Curve]
    events: Sequence[Reported]
    truth: Sequence[Event] | None
    note: str = ""


def portray(path: str, hearer: Hearer, truth: Sequence[Event] | None = None) -> Portrait:
    """Hear a recording twice: once as it is, for the eye, and once as the model does.

    Raises:
        AudioError: it cannot be read.
    """
    hearing = hearer.hear(path)
    reader = Reader(path)
    spectrogram, level = _seen(reader)
    return Portrait(
        name=reader.name,
        duration_s=reader.duration_s,
        top_hz=reader.rate / 2,
        spectrogram=spectrogram,
        level=level,
        curves=_curves(hearer, hearing.scores),
        events=hearer.decide(hearing),
        truth=truth,
        note=hearing.cut or "",
    )


class _Columns:
    """Averages rows of powers ``(n, BANDS + 1)`` into fewer than twice `COLUMNS` columns, however many come."""

    def __init__(self) -> None:
        self._found: list[NDArray[np.float64]] = []
        self._each, self._rows = 1, 0
        self._total = np.zeros(BANDS + 1)

    def add(self, rows: NDArray[np.float64]) -> None:
        for row in rows:
            self._total += row
            self._rows += 1
            if self._rows == self._each:
                self._put()

    def _put(self) -> None:
        self._found.append(self._total / self._rows)
        self._total, self._rows = np.zeros(BANDS + 1), 0
        if len(self._found) == 2 * COLUMNS:
            self._found = [(a + b) / 2 for a, b in zip(self._found[::2], self._found[1::2], strict=True)]
            self._each *= 2

    def all(self) -> NDArray[np.float64]:
        """Return all columns, ``(BANDS + 1, columns)``."""
        if self._rows:
            self._put()
        return np.stack(self._found, 1)


def _seen(reader: Reader) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return spectrogram and level over as many columns as there is room for, in dB."""
    window = np.hanning(_FRAME).astype(np.float32)
    full = float(np.sum(window)) ** 2 / 4  # the power of a full-scale sine in its band
    columns, left = _Columns(), np.empty(0, np.float32)

    def look(samples: NDArray[np.float32]) -> None:
        frames = samples.reshape(-1, _FRAME)
        bands = np.abs(np.fft.rfft(frames * window)[:, :BANDS]) ** 2 / full
        columns.add(np.concatenate([bands, np.square(frames, dtype=np.float64).mean(1, keepdims=True)], 1))

    for block in reader.heard(_FRAME * 64):
        sound = np.concatenate([left, block])
        whole = len(sound) // _FRAME * _FRAME
        look(sound[:whole])
        left = sound[whole:]
    if len(left):
        look(np.resize(left, _FRAME))
    powers = _decibels(columns.all())
    return powers[:-1], powers[-1]


def _decibels(power: NDArray[np.float64]) -> NDArray[np.float32]:
    least = 10.0 ** (_SILENCE_DB / 10)
    return np.asarray(10 * np.log10(np.maximum(power, least)), np.float32)


def _curves(hearer: Hearer, scores: NDArray[np.float32]) -> list[Curve]:
    if not len(scores):
        return []
    places = {label: hearer.bundle.labels.index(label) for label in hearer.labels}
    above = {label: float(scores[:, i].max()) - hearer.rules[label].threshold for label, i in places.items()}
    times_s = (hearer.span + np.arange(len(scores)) * hearer.hop) / hearer.rate
    fold = -(-len(scores) // COLUMNS)
    begins = np.arange(0, len(scores), fold)
    return [
        Curve(
            label,
            times_s[begins],
            np.maximum.reduceat(scores[:, places[label]], begins),
            hearer.rules[label].threshold,
        )
        for label in sorted(above, key=lambda label: -above[label])[:LABELS]
    ]
