"""`auricle devices` shows what can be heard on this machine: the microphones, their rates, and a level meter to clap
at."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, TypedDict

import numpy as np
import typer

from auricle.capture import child
from auricle.capture.microphone import Microphone
from auricle.capture.poller import Poller
from auricle.capture.source import Sound, Status, Terms
from auricle.config import printable
from auricle.errors import DeviceError
from auricle.terminal import options
from auricle.terminal.options import Json
from auricle.terminal.text import say

LIST_TIMEOUT_S = 10.0
METER_RATE = 16000
METER_S = 0.1
FLOOR_DB = -80.0
BAR = 40


class Device(TypedDict):
    """Describes a microphone as PortAudio does; ``rate`` is its own, ``rates`` are those of the usual ones that it
    takes."""

    index: int
    name: str
    channels: int
    rate: int
    rates: list[int]
    default: bool


class Reading(TypedDict):
    """Holds the level of a tenth of a second, dB below full scale; `None` for digital silence."""

    level_dbfs: float | None
    peak_dbfs: float | None


def devices(command: Sequence[str] = (sys.executable, "-I", "-m", "auricle.capture")) -> list[Device]:
    """Ask PortAudio for the microphones, in a process of its own: a frozen sound server would hang this one.

    Raises:
        DeviceError: PortAudio is missing, hangs, or knows no microphone.
    """
    try:
        done = subprocess.run([*command, "--list"], capture_output=True, timeout=LIST_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"devices: the sound server has not answered for {LIST_TIMEOUT_S:g} s; is it frozen? restart it"
        ) from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(f"devices: {lines[-1] if lines else f'capture ended with status {done.returncode}'}")
    found: list[Device] = json.loads(done.stdout)
    if not found:
        raise DeviceError("devices: no microphone; is one plugged in, and may this user hear it (group audio)?")
    return found


def command(
    named: Annotated[
        str | None,
        typer.Option("--meter", metavar="NAME", help="Show the level of this one: default, a name, a number."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="End the meter by itself.")] = None,
    json: Json = False,
) -> int:
    """List the microphones, or show the level of one; return the exit code."""
    if named is None:
        return print_devices(as_json=json)
    return meter(options.device(named), seconds=seconds, as_json=json)


def print_devices(*, as_json: bool = False) -> int:
    """Print a line for each microphone; return the exit code."""
    found = devices()
    if as_json:
        for device in found:
            print(json.dumps(device))
        return 0
    width = max(len(device["name"]) for device in found)
    for device in found:
        mark = "*" if device["default"] else " "
        many = device["channels"] > child.MAX_MIXED
        channels = "any channels" if many else f"{device['channels']} channel{'s' * (device['channels'] != 1)}"
        rates = " ".join(f"{rate / 1000:g}" for rate in device["rates"])
        say(f"{mark} {device['index']:>3}  {device['name']:<{width}}  {channels}, {rates or 'no usual rate'} kHz")
    print("* is the default. A name, or a part of it, is a microphone's device: in the YAML;")
    print("auricle devices --meter NAME shows its level.")
    return 0


def levels(
    device: int | str, *, channel: int | str = "mix", seconds: float | None = None
) -> Iterator[Reading | Status]:
    """Yield the levels of a device, ten a second, and in between what becomes of the device.

    Args:
        device: ``default``, a name or part of one, or a number.
        channel: 1 is the first; ``mix`` the mean of all.
        seconds: how long; for ever unless given.
    """
    with Poller() as poller:
        terms = Terms(model_rate=METER_RATE, silence_alarm_s=3.0)
        microphone = Microphone("meter", terms, poller=poller, device=device, channel=channel)
        microphone.open()
        began_s = time.monotonic()
        block = np.empty(0, np.float32)
        step = round(METER_RATE * METER_S)
        try:
            while seconds is None or time.monotonic() - began_s < seconds:
                for piece in microphone.poll(time.monotonic()):
                    if isinstance(piece, Status):
                        yield piece
                    elif isinstance(piece, Sound):
                        block = np.concatenate([block, piece.samples])
                while len(block) >= step:
                    yield reading(block[:step])
                    block = block[step:]
                time.sleep(max(0.0, microphone.due_s(0.0) - time.monotonic()))
        finally:
            microphone.close()


def meter(device: int | str, *, seconds: float | None = None, as_json: bool = False) -> int:
    """Show the level until interrupted, or for so many seconds; return 1 if nothing was heard."""
    heard = False
    live = sys.stdout.isatty() and not as_json
    try:
        for found in levels(device, seconds=seconds):
            if isinstance(found, Status):
                line = {"state": found.state, "detail": found.detail}
                text = printable(f"{found.state}: {found.detail}")
                print(json.dumps(line) if as_json else f"\r{text:<{BAR + 24}}" if live else text, flush=True)
                continue
            heard = True
            if as_json:
                print(json.dumps(found), flush=True)
            else:
                print(f"\r{drawn(found)}" if live else drawn(found), end="" if live else "\n", flush=True)
    except KeyboardInterrupt:
        pass
    if live:
        print()
    return 0 if heard else 1


def reading(block: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Reading:
    """Return the level of a block of samples ``(n,)``."""
    return Reading(
        level_dbfs=_db(math.sqrt(float(np.mean(np.square(block, dtype=np.float64))))),
        peak_dbfs=_db(float(np.max(np.abs(block)))),
    )


def _db(amplitude: float) -> float | None:
    return round(20 * math.log10(amplitude), 1) if amplitude > 0 else None


def drawn(level: Reading) -> str:
    """Draw a level as a bar, with its peak."""

    def place(db: float | None) -> int:
        return 0 if db is None else round(BAR * min(max(1 - db / FLOOR_DB, 0.0), 1.0))

    bar = f"{'#' * place(level['level_dbfs']):<{BAR}}"
    if peak := place(level["peak_dbfs"]):
        bar = bar[: peak - 1] + "|" + bar[peak:]
    told = "digital silence" if level["level_dbfs"] is None else f"{level['level_dbfs']:6.1f} dBFS"
    return f"[{bar}] {told:<15}"
