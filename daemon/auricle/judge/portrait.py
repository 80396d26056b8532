"""A recording's portrait is made here, no wider than a picture or a page can show however long the recording is."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.capture.reader import Reader
from auricle.hearing.hearer import Hearer, Reported
from auricle.judge.truth import Event

SILENCE_DB = -120.0
"""What is quieter is drawn as this."""


@dataclass(frozen=True, slots=True)
class Detail:
    """Says how much of a recording is to be seen.

    Args:
        columns: width of the spectrogram: so many at least, and fewer than twice as many, where there are enough.
        bands: its height.
        labels: how many labels' scores are drawn.
    """

    columns: int
    bands: int
    labels: int


PICTURE = Detail(columns=1600, bands=256, labels=10)


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
        column_s: how many seconds one column of the spectrogram is.
        spectrogram: ``(bands, columns)`` power in dB, the lowest band first.
        level: ``(columns,)`` dBFS, the power of a full-scale square wave is 0.
        curves: of the labels in events and truth, and of those that came nearest to their thresholds.
        events: what the daemon would report.
        truth: what is really there; ``None`` where nobody says.
        start_us: microseconds since 1970 UTC of its first sample, where that is known.
        note: why there is no more of it; else empty.
    """

    name: str
    duration_s: float
    top_hz: float
    column_s: float
    spectrogram: NDArray[np.float32]
    level: NDArray[np.float32]
    curves: Sequence[Curve]
    events: Sequence[Reported]
    truth: Sequence[Event] | None
    start_us: int | None = None
    note: str = ""


def portray(
    path: str,
    hearer: Hearer,
    truth: Sequence[Event] | None = None,
    detail: Detail = PICTURE,
    *,
    channel: int | str = "mix",
    local: bool = False,
) -> Portrait:
    """Hear a recording twice: once as it is, for the eye, and once as the model does.

    Args:
        path: the recording.
        hearer: hears it, on the same channel.
        truth: what is really in it, where anybody says.
        detail: how much of it is to be seen.
        channel: the one to listen to, 1 is the first; ``mix``: the mean of all.
        local: whether a recorder's time without a zone is this machine's local one; else it is UTC.

    Raises:
        AudioError: it cannot be read.
    """
    hearing = hearer.hear(path)
    reader = Reader(path, channel=channel)
    start_us = reader.start_us(local=local)
    columns = _seen(reader, detail)
    powers = columns.all()
    events = hearer.decide(hearing)
    asked = {event.label for event in events} | {event.label for event in truth or ()}
    return Portrait(
        name=reader.name,
        duration_s=reader.duration_s,
        top_hz=reader.rate / 2,
        column_s=columns.each * 2 * detail.bands / reader.rate,
        spectrogram=powers[:-1],
        level=powers[-1],
        curves=_curves(hearer, hearing.scores, detail, asked),
        events=events,
        truth=truth,
        start_us=start_us,
        note=hearing.cut or "",
    )


class _Columns:
    """Averages rows of powers ``(n, width)`` into columns, fewer than twice as many as wanted however many come."""

    def __init__(self, wanted: int, width: int) -> None:
        self.each = 1
        """How many rows one column is made of."""
        self._most = 2 * wanted
        self._found: list[NDArray[np.float32]] = []
        self._rows = 0
        self._total = np.zeros(width)

    def add(self, rows: NDArray[np.float64]) -> None:
        while len(rows):
            now, rows = np.split(rows, [self.each - self._rows])
            self._total += now.sum(0)
            self._rows += len(now)
            if self._rows == self.each:
                self._put()

    def _put(self) -> None:
        self._found.append((self._total / self._rows).astype(np.float32))
        self._total, self._rows = np.zeros_like(self._total), 0
        if len(self._found) == self._most:
            self._found = [
                np.asarray((a + b) / 2, np.float32) for a, b in zip(self._found[::2], self._found[1::2], strict=True)
            ]
            self.each *= 2

    def all(self) -> NDArray[np.float32]:
        """Return all columns in dB, ``(width, columns)``."""
        if self._rows:
            self._put()
        powers = np.stack(self._found, 1)
        np.maximum(powers, 10.0 ** (SILENCE_DB / 10), out=powers)
        return np.multiply(np.log10(powers, out=powers), 10, out=powers)


def _seen(reader: Reader, detail: Detail) -> _Columns:
    """Return the powers of the bands, and behind them the level's, over as many columns as there is room for."""
    frame = 2 * detail.bands
    window = np.hanning(frame).astype(np.float32)
    full = float(np.sum(window)) ** 2 / 4  # the power of a full-scale sine in its band
    columns, left = _Columns(detail.columns, detail.bands + 1), np.empty(0, np.float32)

    def look(samples: NDArray[np.float32]) -> None:
        frames = samples.reshape(-1, frame)
        bands = np.abs(np.fft.rfft(frames * window)[:, : detail.bands]) ** 2 / full
        columns.add(np.concatenate([bands, np.square(frames, dtype=np.float64).mean(1, keepdims=True)], 1))

    for block in reader.heard(frame * 64):
        sound = np.concatenate([left, block])
        whole = len(sound) // frame * frame
        look(sound[:whole])
        left = sound[whole:]
    if len(left):
        look(np.resize(left, frame))
    return columns


def _curves(hearer: Hearer, scores: NDArray[np.float32], detail: Detail, asked: Container[str]) -> list[Curve]:
    """Return the curves of as many labels as there is room for, those asked for first, and each from its best on."""
    if not len(scores):
        return []
    places = {label: hearer.bundle.labels.index(label) for label in hearer.labels}
    above = {label: float(scores[:, i].max()) - hearer.rules[label].threshold for label, i in places.items()}
    times_s = (hearer.span + np.arange(len(scores)) * hearer.hop) / hearer.rate
    fold = -(-len(scores) // detail.columns)
    begins = np.arange(0, len(scores), fold)
    return [
        Curve(
            label,
            times_s[begins],
            np.maximum.reduceat(scores[:, places[label]], begins),
            hearer.rules[label].threshold,
        )
        for label in sorted(above, key=lambda label: (label not in asked, -above[label]))[: detail.labels]
    ]
