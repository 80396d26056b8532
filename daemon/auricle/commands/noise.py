"""`auricle noise` records a room's noise, so that the gate knows what to take away."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from auricle.capture.microphone import Microphone
from auricle.capture.poller import Poller
from auricle.capture.reader import Reader
from auricle.capture.source import Segment, Sound, Status, Terms
from auricle.errors import EXIT_SKIPPED, AudioError, AuricleError, DeviceError, UsageError
from auricle.gate.noise import save_profile
from auricle.terminal import options, text
from auricle.terminal.options import Channel

MIN_S, MAX_S = 0.5, 60.0
_MICROPHONE_RATE = 48_000
_MICROPHONE_S = 5.0


def command(
    out: Annotated[Path, typer.Option(help="The profile to write, for gate.noise_profile.")],
    from_: Annotated[str | None, typer.Option("--from", metavar="FILE", help="A recording of the noise alone.")] = None,
    device: Annotated[str, typer.Option(help="Else this microphone: default, a name, a number.")] = "default",
    seconds: Annotated[
        float | None, typer.Option(help="How much; 5 of a microphone, up to a minute of a recording.")
    ] = None,
    channel: Channel = "mix",
) -> int:
    """Record a noise profile from a recording, or else from a microphone; return the exit code."""
    listened = options.channel(channel)
    if from_ is None:
        print(noise_of_microphone(options.device(device), out=out, seconds=seconds, channel=listened))
        return 0
    line, short = noise_of_file(from_, out=out, seconds=seconds, channel=listened)
    print(line)
    if short is not None:
        text.complain(f"auricle: {short}; the profile is of what was heard")
    return 0 if short is None else EXIT_SKIPPED


def record_noise(
    blocks: Iterable[NDArray[np.float32]], sample_rate: int, *, out: Path, seconds: float | None = None, where: str
) -> str:
    """Keep the first seconds of a sound as a noise profile.

    Args:
        blocks: mono float32 samples, in blocks of any length; no more of them are taken than needed.
        sample_rate: of the blocks, Hz.
        out: the profile to write.
        seconds: how much to keep; what there is, at most a minute, unless given.
        where: what the sound comes from, for errors.

    Returns:
        What was recorded, as a line: length, level, and how far the level moved.

    Raises:
        UsageError: ``seconds`` cannot be.
        AudioError: there is too little sound, or nothing but silence.
    """
    if seconds is not None and not MIN_S <= seconds <= MAX_S:
        raise UsageError(f"noise: --seconds {seconds:g} cannot be; use {MIN_S:g} to {MAX_S:g}")
    wanted = round((MAX_S if seconds is None else seconds) * sample_rate)
    parts: list[NDArray[np.float32]] = []
    have = 0
    for block in blocks:
        parts.append(block[: wanted - have].copy())
        have += len(parts[-1])
        if have >= wanted:
            break
    needed = round((MIN_S if seconds is None else seconds) * sample_rate)
    if have < needed:
        raise AudioError(
            f"{where}: {have / sample_rate:.2f} s of sound where {needed / sample_rate:g} are wanted; use a longer one"
        )
    noise = np.concatenate(parts)
    if not np.isfinite(noise).all():
        raise AudioError(f"{where}: holds samples that are no numbers; record again")
    if not noise.any():
        raise AudioError(f"{where}: digital silence; record the room, not a muted microphone")
    try:
        save_profile(out, noise, sample_rate)
    except OSError as e:
        raise AuricleError(f"{out}: {e.strerror or e}") from None
    tenths = noise[: len(noise) // (sample_rate // 10) * (sample_rate // 10)].reshape(-1, sample_rate // 10)
    levels = 10.0 * np.log10(np.square(tenths, dtype=np.float64).mean(axis=1) + 1e-12)
    line = f"{where}: {have / sample_rate:.1f} s of noise at {np.median(levels):.0f} dBFS -> {out}"
    if levels.max() - np.median(levels) > 12.0:
        at = int(levels.argmax()) / 10
        line += (
            f"\nlouder by {levels.max() - np.median(levels):.0f} dB at {at:.1f} s: if that was no noise, record again"
        )
    return line


def noise_of_file(
    path: str, *, out: Path, seconds: float | None = None, channel: int | str = "mix"
) -> tuple[str, str | None]:
    """Keep a recording's first seconds as a noise profile, at its own rate.

    Args:
        channel: 1 is the first; ``mix`` the mean of all.

    Returns:
        What was recorded, as a line; and if the file ended too soon for it, how.

    Raises:
        UsageError: ``seconds`` cannot be.
        AudioError: the recording cannot be read, has no such channel, is too short or silent.
    """
    reader = Reader(path, channel=channel)
    try:
        line = record_noise(reader.heard(reader.rate), reader.rate, out=out, seconds=seconds, where=path)
    finally:
        reader.close()
    return line, reader.short


def noise_of_microphone(
    device: int | str, *, out: Path, seconds: float | None = None, channel: int | str = "mix"
) -> str:
    """Record a microphone's room for a while, five seconds unless given, as a noise profile.

    Args:
        device: ``default``, a name or part of one, or a number.
        channel: 1 is the first; ``mix`` the mean of all.

    Raises:
        UsageError: ``seconds`` cannot be.
        DeviceError: the microphone cannot be heard, or was lost meanwhile.
        AudioError: nothing but silence.
    """
    seconds = _MICROPHONE_S if seconds is None else seconds
    blocks = _hear(device, channel)
    try:
        return record_noise(blocks, _MICROPHONE_RATE, out=out, seconds=seconds, where=f"microphone {device}")
    finally:
        blocks.close()


def _hear(device: int | str, channel: int | str) -> Generator[NDArray[np.float32], None, None]:
    """Yield blocks of unbroken sound from a microphone, as it comes."""
    with Poller() as poller:
        terms = Terms(model_rate=_MICROPHONE_RATE)
        microphone = Microphone("noise", terms, poller=poller, device=device, channel=channel)
        microphone.open()
        segments = 0
        try:
            while True:
                for piece in microphone.poll(time.monotonic()):
                    if isinstance(piece, Status) and piece.state == "lost":
                        raise DeviceError(f"microphone {device}: {piece.detail}; auricle devices lists what there is")
                    if isinstance(piece, Segment):
                        segments += 1
                        if segments > 1:
                            raise DeviceError(f"microphone {device}: sound was lost meanwhile; record again")
                    if isinstance(piece, Sound):
                        yield piece.samples
                time.sleep(max(0.0, microphone.due_s(0.0) - time.monotonic()))
        finally:
            microphone.close()
