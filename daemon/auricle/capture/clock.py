"""This clock says when a sample was heard: samples of a sound card mapped to the time of day, and how far the card's
clock drifts."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque

HISTORY = 256
"""How many lines are remembered, one a second: events are back-dated by less than that."""
STEADY_PPM, HURRY = 500e-6, 0.5
"""By how much a line may lean to meet the measured time: usually, and when it is off by more than `FAR_NS`."""
FAR_NS = 250_000_000
FIT_S, FIT_POINTS, FIT_MIN_S = 10, 360, 60
"""Drift is fitted through the earliest delivery of every 10 s of the last hour, once there is a minute of it."""
STRAIGHT_S = 0.03
"""Deliveries that lie further from their line than this tell of hiccups, not of drift."""
STEP_NS = 20_000_000
"""The system clock is slewed together with the monotonic one; a difference beyond this is a step."""


def utc_offset_ns() -> int:
    """Return UTC minus the monotonic clock, taken where both can be read at nearly the same moment."""
    best, offset = 1 << 62, 0
    for _ in range(3):
        before = time.monotonic_ns()
        utc = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best:
            best, offset = after - before, utc - (before + after) // 2
        if best < 50_000:
            break
    return offset


class CaptureClock:
    """Maps the samples of a live source to time by a line through (sample, monotonic clock) that is refitted slowly and
    never goes back.

    Deliveries are late by varying amounts and never early, so the line follows the earliest ones. It is continued, not
    replaced: each second a new line begins where the last one is, leaning so that it meets the measured time. Which
    line a sample is on depends on the sample alone, so its time is the same whenever it is asked for; the UTC clock's
    steps excepted, which move all of them (`stepped`).

    Args:
        rate: nominal, of the source, in Hz.
    """

    known = True

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.drift_ppm: float | None = None
        """By how much the card runs fast against the system's clock; ``None`` before it has been heard for a minute."""
        self._offset_ns = utc_offset_ns()
        self._starts: list[int] = []
        self._lines: list[tuple[int, float, float]] = []  # first sample, its monotonic ns, ns a sample
        self._newest = 0
        self._second: tuple[int, int] | None = None  # earliest delivery of this second: sample, ns
        self._recent: deque[tuple[int, int]] = deque(maxlen=FIT_S)
        self._seconds = 0
        self._points: deque[tuple[int, int]] = deque(maxlen=FIT_POINTS)
        self._refit_at = 0

    def begin(self, sample: int, monotonic_ns: int) -> None:
        """Begin the sound, or begin again after a loss that only the clock could count.

        Args:
            sample: its index.
            monotonic_ns: when it was heard; where that lies before a time already given to a sample, that time
                instead.
        """
        at = float(monotonic_ns)
        if self._lines:
            at = max(at, self._at(self._newest))
        self._second = None
        self._recent.clear()
        self._points.clear()
        self._seconds = 0
        self._continue(sample, at, self._period_ns)
        self._newest = sample
        self._refit_at = sample + self.rate

    def hear(self, sample: int, delivered_ns: int) -> None:
        """Take note that all samples before this one have been delivered by then."""
        self._newest = sample
        late = delivered_ns - self._at(sample)
        if self._second is None or late < self._second[1] - self._at(self._second[0]):
            self._second = (sample, delivered_ns)
        if sample >= self._refit_at:
            self._refit_at = sample + self.rate
            self._recent.append(self._second)
            self._second = None
            self._refit()

    def utc_us(self, sample: int) -> int:
        """Return the time at which the sample was heard, in microseconds since 1970 UTC."""
        return (round(self._at(sample)) + self._offset_ns) // 1000

    def monotonic_ns(self, sample: int) -> int:
        """Return the monotonic clock at which the sample was heard."""
        return round(self._at(sample))

    def stepped(self) -> float | None:
        """Return by how many seconds the system's UTC clock has stepped since the last call, if it has; the mapping
        follows."""
        step_ns = utc_offset_ns() - self._offset_ns
        if abs(step_ns) < STEP_NS:
            return None
        self._offset_ns += step_ns
        return step_ns / 1e9

    @property
    def _period_ns(self) -> float:
        return 1e9 / self.rate * (1 - (self.drift_ppm or 0.0) * 1e-6)

    def _at(self, sample: int) -> float:
        first, at, period = self._lines[max(0, bisect_right(self._starts, sample) - 1)]
        return at + (sample - first) * period

    def _continue(self, sample: int, at: float, period: float) -> None:
        if self._starts and self._starts[-1] >= sample:
            self._starts.pop()
            self._lines.pop()
        self._starts.append(sample)
        self._lines.append((sample, at, period))
        if len(self._lines) > HISTORY:
            del self._lines[0], self._starts[0]

    def _refit(self) -> None:
        first, at, period = self._lines[-1]
        # How late the earliest of the last seconds was, had the present line always been there.
        error = min(ns - (at + (sample - first) * period) for sample, ns in self._recent)
        self._seconds += 1
        if self._seconds % FIT_S == 0:
            self._points.append(min(self._recent, key=lambda point: point[1] - point[0] * 1e9 / self.rate))
            self._fit()
        lean = HURRY if abs(error) > FAR_NS else STEADY_PPM
        horizon_ns = 2e9 if abs(error) > FAR_NS else 30e9
        correction = min(max(error / horizon_ns, -lean), lean)
        self._continue(self._newest, self._at(self._newest), self._period_ns * (1 + correction))

    def _fit(self) -> None:
        """Fit delivery over sample by least squares (Legendre 1805), as the difference from the nominal rate."""
        n = len(self._points)
        sample0, ns0 = self._points[0]
        if n < 3 or self._points[-1][1] - ns0 < FIT_MIN_S * 1e9 - FIT_S * 1e9:
            return
        x = [(sample - sample0) / self.rate for sample, _ in self._points]
        y = [(ns - ns0) / 1e9 - t for t, (_, ns) in zip(x, self._points, strict=True)]
        mean_x, mean_y = sum(x) / n, sum(y) / n
        slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
        if max(abs(b - mean_y - slope * (a - mean_x)) for a, b in zip(x, y, strict=True)) < STRAIGHT_S:
            self.drift_ppm = -slope / (1 + slope) * 1e6
