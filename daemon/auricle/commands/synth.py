"""Sounds are made here by arithmetic alone, for `auricle demo`: no recording is in them, and no model was trained on
them.

Every sound is a function of length and sample rate, ``float32 (n,)`` with a peak near 0.5, the same on every call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]
Gain = Callable[[NDArray[np.floating]], NDArray[np.floating]]


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def _shaped(x: Sound, sample_rate: int, gain: Gain) -> Sound:
    """Filter by a gain over frequency in Hz, without a delay."""
    spectrum = np.fft.rfft(x)
    return np.fft.irfft(spectrum * gain(np.fft.rfftfreq(len(x), 1 / sample_rate)), len(x))


def _band(low_hz: float, high_hz: float, slope: float = 4.0) -> Gain:
    """Return the gain of a band with soft edges of ``slope`` powers."""

    def gain(f: NDArray[np.floating]) -> NDArray[np.floating]:
        f = np.maximum(f, 1e-3)
        return np.asarray(1.0 / (1.0 + (low_hz / f) ** slope) / (1.0 + (f / high_hz) ** slope))

    return gain


def _formants(*peaks: tuple[float, float, float]) -> Gain:
    """Return the gain of a throat's resonances (Hz, width in Hz, gain)."""

    def gain(f: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(np.sum([g / (1.0 + ((f - hz) / width) ** 2) for hz, width, g in peaks], axis=0))

    return gain


def _scattered(rng: np.random.Generator, n: int, sample_rate: int, per_s: float, decay_s: float) -> Sound:
    """Make clicks at random times with a decay, their strengths spread widely."""
    impulses = np.zeros(n)
    count = rng.poisson(per_s * n / sample_rate)
    impulses[rng.integers(0, n, count)] = rng.exponential(1.0, count) ** 2 * rng.choice([-1, 1], count)
    length = max(2, int(6 * decay_s * sample_rate))
    grain = rng.standard_normal(length) * np.exp(-np.arange(length) / (decay_s * sample_rate))
    return np.fft.irfft(np.fft.rfft(impulses, n + length) * np.fft.rfft(grain, n + length), n + length)[:n]


def _voice(pitch_hz: Sound, sample_rate: int, harmonics: int = 30, tilt: float = 1.0) -> Sound:
    """Make the harmonics of a gliding pitch, those over Nyquist left out, falling with ``tilt`` powers."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate
    total = np.zeros(len(pitch_hz))
    for k in range(1, harmonics + 1):
        total += np.where(k * pitch_hz < 0.45 * sample_rate, np.sin(k * phase), 0.0) / k**tilt
    return total


def _normal(x: Sound) -> NDArray[np.float32]:
    return np.asarray(0.5 * x / np.max(np.abs(x)), np.float32)


def rain(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make steady rain: a hiss of countless drops, and some near ones."""
    rng = _rng("rain")
    hiss = _shaped(rng.standard_normal(n), sample_rate, _band(700, 7000, 2))
    drops = _scattered(rng, n, sample_rate, 400, 0.0015)
    return _normal(hiss / np.std(hiss) + 0.35 * drops / np.std(drops))


def sea_waves(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make surf: noise that swells and falls over seconds, brighter as it breaks."""
    rng = _rng("sea")
    t = np.arange(n) / sample_rate
    swell = (0.5 - 0.5 * np.cos(2 * np.pi * t / 4.5 + 0.6)) ** 2
    noise = rng.standard_normal(n)
    body = _shaped(noise, sample_rate, lambda f: 1.0 / (1.0 + (f / 350) ** 1.1))
    foam = _shaped(noise, sample_rate, _band(600, 5000, 2))
    return _normal((0.25 + swell) * body / np.std(body) + 0.5 * swell**2 * foam / np.std(foam))


def clock_tick(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a clock: two kinds of short click, twice a second, in a quiet room."""
    rng = _rng("clock")
    x = 0.002 * rng.standard_normal(n)
    length = int(0.03 * sample_rate)
    t = np.arange(length) / sample_rate
    for i, start in enumerate(range(int(0.1 * sample_rate), n - length, sample_rate // 2)):
        modes = [(2600, 400), (4100, 500), (5900, 700)] if i % 2 else [(2300, 380), (3700, 500), (5300, 650)]
        click = sum(np.sin(2 * np.pi * hz * t) * np.exp(-decay * t) for hz, decay in modes)
        x[start : start + length] += click + 0.5 * rng.standard_normal(length) * np.exp(-900 * t)
    return _normal(x)


def helicopter(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a helicopter: blades that chop low noise some thirteen times a second, over a rumble and a whine."""
    rng = _rng("helicopter")
    t = np.arange(n) / sample_rate
    chop = (0.5 + 0.5 * np.cos(2 * np.pi * 13.0 * t)) ** 5
    low = _shaped(rng.standard_normal(n), sample_rate, lambda f: 1.0 / (1.0 + (f / 180) ** 2))
    mid = _shaped(rng.standard_normal(n), sample_rate, _band(250, 1800, 2))
    whine = 0.04 * np.sin(2 * np.pi * 780 * t)
    return _normal((0.25 + chop) * low / np.std(low) + 0.45 * (0.15 + chop) * mid / np.std(mid) + whine)


def chainsaw(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a chainsaw: a two-stroke engine that revs, harsh with harmonics."""
    rng = _rng("chainsaw")
    t = np.arange(n) / sample_rate
    wander = np.cumsum(rng.standard_normal(n)) / np.sqrt(sample_rate)
    revs = 115 + 35 * np.clip(np.sin(2 * np.pi * t / 2.2), -0.3, 1) + 3 * np.sin(9 * wander)
    engine = _voice(revs, sample_rate, 60, 0.55)
    rasp = _shaped(rng.standard_normal(n), sample_rate, _band(1500, 6000, 2)) * (1 + 0.7 * np.sign(engine))
    return _normal(np.tanh(1.5 * engine / np.std(engine)) + 0.35 * rasp / np.std(rasp))


def fire_crackling(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a fire: sharp cracks of every size over a faint roar."""
    rng = _rng("fire")
    roar = _shaped(rng.standard_normal(n), sample_rate, lambda f: 1.0 / (1.0 + (f / 250) ** 1.5))
    cracks = _scattered(rng, n, sample_rate, 14, 0.003) + 0.5 * _scattered(rng, n, sample_rate, 40, 0.001)
    return _normal(0.12 * roar / np.std(roar) + cracks / np.std(cracks))


def dog_bark(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a dog: barks in pairs, each a fifth of a second, hoarse, its pitch falling."""
    rng = _rng("dog")
    x = 0.001 * rng.standard_normal(n)
    length = int(0.2 * sample_rate)
    t = np.arange(length) / length
    start = int(0.1 * sample_rate)
    pause = [0.42, 0.8]
    i = 0
    while start + length < n:
        pitch = 480 * (1 + 0.25 * np.sin(np.pi * t)) * (1 - 0.35 * t) * (1 + 0.02 * rng.standard_normal())
        bark = _voice(pitch, sample_rate, 16, 0.7)
        bark = bark / np.std(bark) + 0.8 * rng.standard_normal(length)
        bark = _shaped(bark, sample_rate, _formants((750, 250, 1.0), (1500, 350, 0.8), (2900, 700, 0.3)))
        x[start : start + length] += bark / np.std(bark) * np.minimum(1, t / 0.06) * np.exp(-3.0 * t) * (1 - t) ** 0.5
        start += int(pause[i % 2] * sample_rate)
        i += 1
    return _normal(x)


def rooster(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a rooster: four notes, the last one long, rising and falling."""
    rng = _rng("rooster")
    x = 0.001 * rng.standard_normal(n)
    notes = [(0.1, 0.18, 620, 760), (0.36, 0.16, 800, 850), (0.6, 0.35, 850, 1050), (1.02, 0.95, 1000, 640)]
    for begin in np.arange(0, n / sample_rate - 2.0, 2.3):
        for at, seconds, low, high in notes:
            t = np.linspace(0, 1, int(seconds * sample_rate))
            pitch = low + (high - low) * t**1.5 + 8 * np.sin(2 * np.pi * 25 * t * seconds)
            note = _voice(pitch, sample_rate, 9, 0.6) + 0.15 * rng.standard_normal(len(t))
            note = _shaped(note, sample_rate, _formants((1300, 500, 1.0), (2600, 700, 0.7), (3900, 900, 0.3)))
            start = int((begin + at) * sample_rate)
            x[start : start + len(t)] += note / np.std(note) * np.sin(np.pi * t) ** 0.4
    return _normal(x)


def baby_cry(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a baby: cries of a second, one a breath, the pitch arched."""
    rng = _rng("baby")
    x = 0.001 * rng.standard_normal(n)
    length = int(0.95 * sample_rate)
    t = np.linspace(0, 1, length)
    for start in range(int(0.1 * sample_rate), n - length, int(1.25 * sample_rate)):
        arch = 400 + 110 * np.sin(np.pi * t) ** 0.7 + 6 * np.sin(2 * np.pi * 7 * t)
        cry = _voice(arch * (1 + 0.03 * rng.standard_normal()), sample_rate, 14, 0.5)
        cry += 0.2 * np.std(cry) * rng.standard_normal(length)
        cry = _shaped(cry, sample_rate, _formants((1100, 350, 1.0), (2900, 600, 0.5), (450, 200, 0.5)))
        x[start : start + length] += cry / np.std(cry) * np.sin(np.pi * t) ** 0.5
    return _normal(x)


def siren(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make a siren that yelps: a tone that climbs three times a second."""
    t = np.arange(n) / sample_rate
    phase = 2 * np.pi * np.cumsum(900 + 500 * (3 * t % 1)) / sample_rate
    harmonics = np.sin(np.arange(1, 6)[:, None] * phase)
    return _normal(np.asarray((1.0, 0.6, 0.4, 0.25, 0.15)) @ harmonics)


def whistle(n: int, sample_rate: int) -> NDArray[np.float32]:
    """Make somebody's whistling: nearly a sine, that bends, with a pause for breath."""
    t = np.arange(n) / sample_rate
    phase = 2 * np.pi * np.cumsum(1800 + 150 * np.sin(2 * np.pi * 0.6 * t)) / sample_rate
    return _normal((np.sin(phase) + 0.05 * np.sin(2 * phase)) * (t % 1.5 < 1.2))


@dataclass(frozen=True)
class Part:
    """Says what plays when in a scene, in seconds."""

    label: str
    onset_s: float
    offset_s: float


MADE: dict[str, Callable[[int, int], NDArray[np.float32]]] = {
    made.__name__: made
    for made in (
        *(rain, sea_waves, clock_tick, helicopter, chainsaw, fire_crackling, dog_bark, rooster, baby_cry),
        *(siren, whistle),
    )
}


def scene(
    labels: Sequence[str], sample_rate: int, *, sound_s: float = 3.8, pause_s: float = 1.4
) -> tuple[NDArray[np.float32], list[Part]]:
    """Put sounds one after the other, faded in and out, over a faint noise; return the scene with what plays when."""
    rng = _rng("scene")
    parts = [
        Part(label, pause_s + i * (sound_s + pause_s), (i + 1) * (sound_s + pause_s)) for i, label in enumerate(labels)
    ]
    total = int((len(labels) * (sound_s + pause_s) + 2 * pause_s) * sample_rate)
    x = (3e-4 * rng.standard_normal(total)).astype(np.float32)
    n, edge = int(sound_s * sample_rate), int(0.05 * sample_rate)
    fade = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / edge).astype(np.float32)
    for part in parts:
        start = int(part.onset_s * sample_rate)
        x[start : start + n] += fade * MADE[part.label](n, sample_rate)
    return x, parts
