"""Recordings are read here as the front end wants them, and changed as a room, a microphone or another speed would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from auricle.errors import AudioError
from auricle_build.grammar.material import Variant
from auricle_build.material import codec

Sound = NDArray[np.float32]

QUIET = 2e-4  # digital zeros that went through a lossy coder: below -74 dBFS


def load(path: Path, sample_rate: int, onset_s: float = 0.0, offset_s: float | None = None) -> Sound:
    """Load a recording or a part of it, mixed down and at ``sample_rate``; non-finite samples become 0.

    Shape:
        ``(n,)`` float32.

    Raises:
        AudioError: the file is not there, is empty or cannot be decoded.
    """
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(min(int(onset_s * file.samplerate), file.frames))
            n = -1 if offset_s is None else round((offset_s - onset_s) * file.samplerate)
            block = file.read(n, dtype="float32", always_2d=True)
            rate = file.samplerate
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"{path}: cannot be read: {error}") from error
    if not len(block):
        raise AudioError(
            f"{path}: holds no sound between {onset_s} s and {'its end' if offset_s is None else offset_s}"
        )
    mono = np.nan_to_num(block.mean(axis=1), nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(soxr.resample(mono, rate, sample_rate, quality="HQ"), np.float32)


def wrap(sound: Sound, n: int) -> Sound:
    """Repeat the recording until it has at least ``n`` samples, and cut it to ``n``; a longer one stays as it is."""
    if len(sound) >= n or not len(sound):
        return sound
    return np.asarray(np.resize(sound, n), np.float32)


def sounding(sound: Sound, block: int = 160) -> tuple[int, int]:
    """Find the first and last sample of the part that is not digital silence at the file's ends, on a grid of
    ``block``.

    Some recordings of ESC-50 are filled up with zeros; zeros are no class.
    """
    n = len(sound) // block
    loud = np.flatnonzero(np.abs(sound[: n * block].reshape(n, block)).max(axis=1, initial=0.0) > QUIET)
    return (int(loud[0]) * block, int(loud[-1] + 1) * block) if len(loud) else (0, len(sound))


def change_speed(sound: Sound, factor: float) -> Sound:
    """Play the tape ``factor`` times as fast: pitch and tempo together."""
    return np.asarray(soxr.resample(sound, 1000.0 * factor, 1000.0, quality="MQ"), np.float32)


def room(seed: int, sample_rate: int) -> NDArray[np.float64]:
    """Draw an impulse response: the direct sound and a tail of noise that dies by 60 dB in 0.15 to 0.7 s (Polack
    1988)."""
    rng = np.random.default_rng(seed)
    rt60 = rng.uniform(0.15, 0.7)
    t = np.arange(int(rt60 * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(t)) * 10.0 ** (-3.0 * t / rt60)
    tail[: int(rng.uniform(0.002, 0.01) * sample_rate)] = 0.0
    direct_to_tail_db = rng.uniform(0.0, 12.0)
    tail *= 10.0 ** (-direct_to_tail_db / 20.0) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def in_room(sound: Sound, response: NDArray[np.float64]) -> Sound:
    """Put the sound through an impulse response, as long as it was."""
    n = len(sound) + len(response) - 1
    size = 1 << (n - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)]
    return wet.astype(np.float32)


def band_limit(sound: Sound, low: float, high: float, sample_rate: int) -> Sound:
    """Keep only ``low`` to ``high`` Hz, with slopes of a third octave: a telephone, a small loudspeaker."""
    spectrum = np.fft.rfft(sound)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(sound), 1.0 / sample_rate), 1.0))
    slope = np.clip((octaves - np.log2(low)) * 3.0 + 1.0, 1e-3, 1.0) * np.clip(
        (np.log2(high) - octaves) * 3.0 + 1.0, 1e-3, 1.0
    )
    return np.fft.irfft(spectrum * slope, len(sound)).astype(np.float32)


def overdriven(sound: Sound, drive_db: float) -> Sound:
    """Put the sound through a limiter that its peak is ``drive_db`` above: a hyperbolic tangent, the peak as it was."""
    peak = float(np.abs(sound).max(initial=0.0))
    if not peak:
        return sound
    drive = 10.0 ** (drive_db / 20.0)
    return np.asarray(np.tanh(sound * (drive / peak)) * (peak / np.tanh(drive)), np.float32)


def after_noise(sound: Sound, lead: int, seed: int, below_db: float = 40.0) -> Sound:
    """Put the sound after ``lead`` samples of white noise that goes on beneath it, ``below_db`` under its loud tenth.

    A stage that learns the noise of a room has learned one by the time that a short sound begins.
    """
    level = float(np.sqrt(np.quantile(np.square(sound, dtype=np.float64), 0.9)))
    noise = np.random.default_rng(seed).standard_normal(lead + len(sound)) * level * 10.0 ** (-below_db / 20.0)
    noise[lead:] += sound
    return np.asarray(noise, np.float32)


def vary(sound: Sound, variant: Variant, seed: int, sample_rate: int) -> Sound:
    """Make one variant of a recording: another speed, a room, a band, a limiter and a codec, in this order.

    Raises:
        ConfigError: a codec is asked for, and ffmpeg could not code the sound.
    """
    if variant.speed != 1.0:
        sound = change_speed(sound, variant.speed)
    if variant.room:
        sound = in_room(sound, room(seed, sample_rate))
    if variant.band is not None:
        sound = band_limit(sound, *variant.band, sample_rate)
    if variant.overdriven_db is not None:
        sound = overdriven(sound, variant.overdriven_db)
    if variant.opus_bps is not None:
        sound = codec.coded(sound, sample_rate, variant.opus_bps)
    return sound
