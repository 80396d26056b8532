"""A phone changes a sound: a small room before it, a band, a limiter, and a codec that spares bits."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np

from auricle.errors import ConfigError
from auricle_build.material import sound as sounds
from auricle_build.material.sound import Sound

LOW_HZ, HIGH_HZ = (120.0, 250.0), (4500.0, 7000.0)
"""Where the band begins and ends, each drawn between two frequencies: microphones are small, and wind and hiss are
filtered out."""
DRIVE_DB = (3.0, 12.0)
"""How far the peak is above the limiter, drawn between two levels."""
BITS = 16_000
"""The codec's bits a second, as voice messages and calls have it."""
LOUDEST = 0.99


def require() -> None:
    """Refuse to go on without the codec.

    Raises:
        ConfigError: there is no ffmpeg, or it lacks Opus.
    """
    remedy = "install it (apt-get install ffmpeg), or leave --phone out"
    if shutil.which("ffmpeg") is None:
        raise ConfigError([f"scenes: --phone needs ffmpeg for the Opus codec, and it is not there; {remedy}"])
    if b" libopus " not in _ffmpeg(["-encoders"], b""):
        raise ConfigError([f"scenes: --phone: this ffmpeg has no libopus; {remedy}"])


def picked_up(sound: Sound, rng: np.random.Generator, sample_rate: int) -> Sound:
    """Put the sound across a room, in a phone's band and through its limiter, as long as it was; each drawn from
    ``rng``.

    The direct sound comes first and undelayed, so that what is known of the sound's time stays true.
    """
    heard = sounds.in_room(sound, sounds.room(int(rng.integers(2**31)), sample_rate))
    high = min(float(rng.uniform(*HIGH_HZ)), 0.45 * sample_rate)
    heard = sounds.band_limit(heard, float(rng.uniform(*LOW_HZ)), high, sample_rate)
    heard = sounds.overdriven(heard, float(rng.uniform(*DRIVE_DB)))
    peak = float(np.abs(heard).max(initial=0.0))
    return heard if peak <= LOUDEST else np.asarray(heard * np.float32(LOUDEST / peak), np.float32)


def coded(sound: Sound, sample_rate: int) -> Sound:
    """Put the sound through Opus at 16 kbit/s, as long as it was and in its place.

    The codec's delay stands in the Ogg stream as what is to be skipped, and ffmpeg skips it.

    Raises:
        ConfigError: ffmpeg could not code the sound.
    """
    pcm = ["-f", "f32le", "-ar", str(sample_rate), "-ac", "1"]
    opus = ["-c:a", "libopus", "-b:a", str(BITS), "-application", "voip", "-f", "ogg"]
    stream = _ffmpeg([*pcm, "-i", "pipe:0", *opus, "pipe:1"], np.asarray(sound, "<f4").tobytes())
    decoded = np.frombuffer(_ffmpeg(["-f", "ogg", "-i", "pipe:0", *pcm, "pipe:1"], stream), "<f4")
    heard = np.zeros(len(sound), np.float32)
    heard[: len(decoded)] = decoded[: len(sound)]
    return heard


def _ffmpeg(arguments: list[str], given: bytes) -> bytes:
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise ConfigError([f"ffmpeg: {said[-1]}; is it one with libopus?"])
    return done.stdout
