"""A reporter says what becomes of one source, as messages: decisions, events, gaps, changes of state, each at its
sample and time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from auricle import messages
from auricle.capture.source import Gap, Segment
from auricle.hearing.decision import Change
from auricle.hearing.spectrogram import Columns
from auricle.messages.ids import uuid7
from auricle.messages.topics import part
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher


class Reporter:
    """Turns positions in a segment, at the model's rate, into samples and times of the source, and publishes.

    Args:
        source: its name.
        bundle: the model that speaks.
        labels: what is scored with it, its own labels unless given.
        publisher: numbers and sends.
    """

    def __init__(self, source: str, bundle: Bundle, publisher: Publisher, labels: Sequence[str] | None = None) -> None:
        self.source = source
        self.latencies_ms: deque[float] = deque(maxlen=1024)
        self._publisher = publisher
        self._segment: Segment | None = None
        self._before = 0
        self._last_sample = 0
        self._ids: dict[str, str] = {}
        name = part(source)
        self._score_topic = f"score.{name}."
        self.spectrum_topic = f"spectrum.{name}."
        self._gap_topic = f"gap.{name}."
        self._status_topic = f"status.{name}."
        self.use(bundle, labels or bundle.labels)

    def use(self, bundle: Bundle, labels: Sequence[str]) -> None:
        """Speak for another model, and what is scored with it, from now on; between two segments only."""
        self.model = messages.Model(bundle.card.name, bundle.hash)
        self._model_rate = bundle.card.front_end.sample_rate
        self._labels = labels
        self._display = bundle.card.display
        self._event_topics = {label: f"event.{part(self.source)}.{part(label)}." for label in labels}

    @property
    def place(self) -> tuple[Segment, int] | None:
        """Return the open segment of the source, and how far into it positions begin to count."""
        return None if self._segment is None else (self._segment, self._before)

    def begin(self, segment: Segment, before: int = 0) -> None:
        """Count positions from this segment's start from now on, or from ``before`` samples after it."""
        self._segment = segment
        self._before = before

    def end(self, at: int) -> None:
        """End the segment at this position."""
        self._last_sample = self.place_of(at)[0]
        self._segment = None

    def sample(self, at: int) -> int:
        """Return the source's own sample at this position in the segment."""
        assert self._segment is not None
        return self._segment.start + (self._before + at) * self._segment.rate // self._model_rate

    def own_rate(self, samples: int) -> int:
        """Convert the segment's first ``samples`` at the model's rate to samples at the source's own."""
        if self._segment is None:
            return samples
        begin, end = ((self._before + n) * self._segment.rate // self._model_rate for n in (0, samples))
        return end - begin

    def status(self, state: messages.SourceNews, detail: str, at: int) -> messages.Status:
        """Publish that the source changed its state at this position; return what was said."""
        place = self.place_of(at) if self._segment else (self._last_sample, time.time_ns() // 1000)
        message = messages.Status(**self._common(place), state=state, detail=detail)
        self._publisher.send(self._status_topic, message)
        return message

    def gap(self, gap: Gap, resume_s: float) -> messages.Gap:
        """Publish that sound was not heard, and return what was said; decisions resume so many seconds of sound after
        it."""
        message = messages.Gap(
            **self._common((gap.start, gap.clock.utc_us(gap.start))),
            cause=gap.cause,
            samples=gap.samples,
            duration_s=gap.samples / gap.rate,
            estimated=gap.estimated,
            decisions_resume_s=resume_s,
        )
        self._publisher.send(self._gap_topic, message)
        return message

    def scores(
        self,
        at: int,
        scores: NDArray[np.float32],
        level_dbfs: float,
        delivered_s: float | None,
        *,
        held_back: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        top: int | None = None,
    ) -> None:
        """Publish a decision; with why labels above their thresholds have no event, and from time to time with the
        thresholds and with what people call the labels.

        Args:
            top: only so many of the highest scores are told, highest first, and of thresholds theirs.
        """
        names = self._labels
        if top is not None and top < len(names):
            best = np.argsort(-scores, kind="stable")[:top]
            names, scores = [names[i] for i in best.tolist()], scores[best]
            thresholds = {name: thresholds[name] for name in names if name in thresholds} if thresholds else None
        display = {name: self._display[name] for name in names if name in self._display} if thresholds else None
        message = messages.Scores(
            **self._decided(at, delivered_s),
            scores=dict(zip(names, _rounded(scores), strict=True)),
            level_dbfs=round(level_dbfs, 2),
            held_back=dict(held_back) if held_back else UNSET,
            thresholds=dict(thresholds) if thresholds else UNSET,
            display=display or UNSET,
        )
        self._publisher.send(self._score_topic, message)

    def spectrum(self, columns: Columns, column_s: float, top_hz: float, delivered_s: float | None) -> None:
        """Publish columns of the spectrum.

        Args:
            column_s: from the beginning of one column to that of the next.
            top_hz: the upper end of the bands.
        """
        message = messages.Spectrum(
            **self._heard(columns.at, delivered_s),
            columns=columns.n,
            column_s=round(column_s, 6),
            top_hz=top_hz,
            bands=columns.bands,
            gated=UNSET if columns.gated is None else columns.gated,
        )
        self._publisher.send(self.spectrum_topic, message)

    def change(self, change: Change, delivered_s: float | None) -> messages.Event:
        """Publish that an event began, goes on or ended; return what was said."""
        assert self._segment is not None
        if change.phase == "onset":
            self._ids[change.label] = str(uuid7())
        onset_sample, onset_us = self.place_of(change.onset)
        message = messages.Event(
            **self._decided(change.at, delivered_s),
            phase=change.phase,
            id=self._ids[change.label],
            label=change.label,
            display=self._display.get(change.label, UNSET),
            score=round(change.score, 6),
            peak=round(change.peak, 6),
            onset=messages.rfc3339(onset_us),
            onset_sample=onset_sample,
            offset=None,
            offset_sample=None,
            duration_s=round(change.lasted / self._model_rate, 6),
            also=list(change.also) if change.also else UNSET,
        )
        if change.offset is not None:
            message.offset_sample, offset_us = self.place_of(change.offset)
            message.offset = messages.rfc3339(offset_us)
            message.mean = round(change.mean, 6)
            message.cause = UNSET if change.cause is None else change.cause
            del self._ids[change.label]
        if self._segment.file is not None:
            message.onset_s = self._file_s(change.onset)
            message.offset_s = None if change.offset is None else self._file_s(change.offset)
        self._publisher.send(self._event_topics[change.label], message)
        return message

    def place_of(self, at: int) -> tuple[int, int]:
        """Return the source's sample of a position in the segment, and its time in microseconds."""
        assert self._segment is not None
        sample = self.sample(at)
        return sample, self._segment.clock.utc_us(sample)

    def _file_s(self, at: int) -> float:
        assert self._segment is not None
        return round(self._segment.start / self._segment.rate + (self._before + at) / self._model_rate, 6)

    def _common(self, place: tuple[int, int]) -> dict[str, Any]:
        return {
            "node": self._publisher.node,
            "instance": self._publisher.instance,
            "seq": 0,
            "source": self.source,
            "model": self.model,
            "t": messages.rfc3339(place[1]),
            "sample": place[0],
        }

    def _decided(self, at: int, delivered_s: float | None) -> dict[str, Any]:
        """Return what a decision says; its latency counts among those that `health` tells of."""
        common = self._heard(at, delivered_s)
        if common["latency_ms"] is not None:
            self.latencies_ms.append(common["latency_ms"])
        return common

    def _heard(self, at: int, delivered_s: float | None) -> dict[str, Any]:
        assert self._segment is not None
        common = self._common(self.place_of(at))
        common["latency_ms"] = None
        if delivered_s is not None:
            common["latency_ms"] = round((time.monotonic() - delivered_s) * 1000, 3)
        if self._segment.file is not None:
            common["file"] = self._segment.file
            common["t_known"] = self._segment.clock.known
        return common


def _rounded(scores: NDArray[np.float32]) -> Sequence[float]:
    """Round float32 to short decimals, within the schema's bounds."""
    return [round(min(max(score, 0.0), 1.0), 6) for score in scores.tolist()]
