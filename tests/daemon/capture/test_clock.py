"""The capture clock: near the truth, never back, drift found, steps followed."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.capture import clock
from auricle.capture.clock import CaptureClock

START_NS = 5_000_000_000_000


def deliveries(rng: np.random.Generator, rate: int, seconds: float, ppm: float, jitter_ms: float, block: int = 640):
    """Sample indices and delivery times of a card that runs ``ppm`` fast, each late by a random time."""
    n = int(seconds * rate) // block
    samples = np.arange(1, n + 1) * block
    true_ns = START_NS + samples / (rate * (1 + ppm * 1e-6)) * 1e9
    late_ns = rng.exponential(jitter_ms * 1e6 / 3, n).clip(0, jitter_ms * 1e6)
    # A block cannot overtake the one before it.
    return samples.tolist(), true_ns, np.maximum.accumulate(true_ns + late_ns).astype(np.int64).tolist()


@pytest.mark.parametrize("ppm", [-120.0, 0.0, 35.0, 300.0])
def test_drift_is_found_and_the_time_stays_right(ppm: float) -> None:
    """After ten minutes with 20 ms of jitter the drift is known to 10 ppm, and each sample's time to 10 ms."""
    rate = 16000
    heard = CaptureClock(rate)
    samples, true_ns, delivered = deliveries(np.random.default_rng(3), rate, 600, ppm, 20.0)
    heard.begin(0, START_NS)
    errors = []
    for sample, true, delivered_ns in zip(samples, true_ns.tolist(), delivered, strict=True):
        heard.hear(sample, delivered_ns)
        errors.append(heard.monotonic_ns(sample) - true)
    assert heard.drift_ppm == pytest.approx(ppm, abs=10)
    assert np.abs(errors[len(errors) // 10 :]).max() < 10e6


def test_drift_is_not_claimed_before_it_can_be_known() -> None:
    """Half a minute of jitter says nothing about parts per million."""
    heard = CaptureClock(16000)
    samples, _, delivered = deliveries(np.random.default_rng(4), 16000, 30, 50, 20.0)
    heard.begin(0, START_NS)
    for sample, delivered_ns in zip(samples, delivered, strict=True):
        heard.hear(sample, delivered_ns)
    assert heard.drift_ppm is None


def test_hiccups_are_no_drift() -> None:
    """A card that skips a tenth of a second is not slow: no drift is claimed from it."""
    heard = CaptureClock(16000)
    samples, _, delivered = deliveries(np.random.default_rng(6), 16000, 120, 20, 10.0)
    heard.begin(0, START_NS)
    for sample, delivered_ns in zip(samples, delivered, strict=True):
        heard.hear(sample, delivered_ns + (100_000_000 if sample > 30 * 16000 else 0))
    assert heard.drift_ppm is None


def test_time_never_goes_back_and_never_changes_its_mind() -> None:
    """Wild jitter, bursts and losses: told times only rise, and a sample asked for again later has the same time."""
    rng = np.random.default_rng(5)
    rate = 8000
    heard = CaptureClock(rate)
    heard.begin(0, START_NS)
    told: dict[int, int] = {}
    sample, now_ns, last = 0, START_NS, 0
    for _ in range(2000):
        n = int(rng.integers(80, 1600))
        if rng.random() < 0.01:  # a loss that the clock counted, not quite rightly
            lost_ns = int(rng.integers(1, 5_000_000_000))
            now_ns += lost_ns
            sample += int(lost_ns * rate / 1e9 * rng.uniform(0.97, 1.0))
            heard.begin(sample, now_ns + int(rng.integers(-50_000_000, 50_000_000)))
        sample += n
        now_ns += int(n / rate * 1e9 * rng.choice([0.1, 1.0, 1.0, 1.9]))
        heard.hear(sample, now_ns)
        us = heard.utc_us(sample)
        assert us >= last
        last = told[sample] = us
        back = max(0, sample - int(rng.integers(0, 3 * rate)))
        assert heard.utc_us(back) <= us
    recent = [s for s in told if s > sample - 60 * rate]
    assert len(recent) > 50
    assert [heard.utc_us(s) for s in recent] == [told[s] for s in recent]


def test_a_burst_at_the_start_is_worked_off() -> None:
    """A stream that begins with four seconds at once is in the future for a while only, and its time still rises."""
    rate = 16000
    heard = CaptureClock(rate)
    heard.begin(0, START_NS)
    ahead = []
    last = 0
    for i in range(1, 2000):
        delivered_ns = START_NS + max(0, i * 40_000_000 - 4_000_000_000)
        heard.hear(i * 640, delivered_ns)
        now = heard.monotonic_ns(i * 640)
        assert now >= last
        last = now
        ahead.append((now - delivered_ns) / 1e9)
    assert 1 < max(ahead) <= 4
    assert abs(ahead[-1]) < 0.2


def test_a_step_of_the_system_clock_is_told_once_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When UTC steps by an hour, so does the mapping, also of samples already heard; small differences are no step."""
    offset = 1_700_000_000_000_000_000
    monkeypatch.setattr(clock, "utc_offset_ns", lambda: offset)
    heard = CaptureClock(16000)
    heard.begin(0, START_NS)
    heard.hear(16000, START_NS + 1_000_000_000)
    assert heard.stepped() is None
    assert heard.utc_us(16000) == (START_NS + 1_000_000_000 + offset) // 1000
    before = heard.utc_us(8000)
    offset += 3_000_000
    assert heard.stepped() is None
    offset += 3_600_000_000_000
    assert heard.stepped() == pytest.approx(3600.003)
    assert heard.stepped() is None
    assert heard.utc_us(8000) == before + 3_600_003_000


def test_the_offset_agrees_with_the_system() -> None:
    """UTC minus monotonic is measured to better than a millisecond, again and again."""
    measured = [clock.utc_offset_ns() for _ in range(50)]
    assert max(measured) - min(measured) < 1_000_000


def test_months_are_held_in_constant_memory() -> None:
    """Lines, seconds and points that are remembered do not grow with the time heard."""
    heard = CaptureClock(100)
    heard.begin(0, START_NS)
    for second in range(1, 10_000):
        heard.hear(second * 100, START_NS + second * 1_000_000_000)
    sizes = [len(value) for value in vars(heard).values() if hasattr(value, "__len__")]
    assert max(sizes) <= max(clock.HISTORY, clock.FIT_POINTS)
    assert heard.drift_ppm == pytest.approx(0, abs=0.1)
