"""Opus and back: what a codec that spares bits leaves of a sound, by the system's ffmpeg."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError


def require(whose: str) -> None:
    """Refuse to go on without the codec.

    Args:
        whose: what asks for it, as its user wrote it.

    Raises:
        ConfigError: there is no ffmpeg, or it lacks Opus.
    """
    remedy = f"install it (apt-get install ffmpeg), or leave {whose.split()[-1]} out"
    if shutil.which("ffmpeg") is None:
        raise ConfigError([f"{whose} needs ffmpeg for the Opus codec, and it is not there; {remedy}"])
    if b" libopus " not in _ffmpeg(["-encoders"], b""):
        raise ConfigError([f"{whose}: this ffmpeg has no libopus; {remedy}"])


def coded(sound: NDArray[np.float32], sample_rate: int, bits: int) -> NDArray[np.float32]:
    """Put the sound ``(n,)`` through Opus at so many bits a second, as long as it was and in its place.

    The codec's delay stands in the Ogg stream as what is to be skipped, and ffmpeg skips it.

    Raises:
        ConfigError: ffmpeg could not code the sound.
    """
    pcm = ["-f", "f32le", "-ar", str(sample_rate), "-ac", "1"]
    opus = ["-c:a", "libopus", "-b:a", str(bits), "-application", "voip", "-f", "ogg"]
    stream = _ffmpeg([*pcm, "-i", "pipe:0", *opus, "pipe:1"], np.asarray(sound, "<f4").tobytes())
    decoded = np.frombuffer(_ffmpeg(["-f", "ogg", "-i", "pipe:0", *pcm, "pipe:1"], stream), "<f4")
    heard = np.zeros(len(sound), np.float32)
    heard[: len(decoded)] = decoded[: len(sound)]
    return heard


def _ffmpeg(arguments: list[str], given: bytes) -> bytes:
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise ConfigError(
            ["ffmpeg, which has the Opus codec, is not there; install it (apt-get install ffmpeg)"]
        ) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise ConfigError([f"ffmpeg: {said[-1]}; is it one with libopus?"])
    return done.stdout
