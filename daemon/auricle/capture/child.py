"""The child hears one PortAudio device and writes what it hears to standard output: a process of its own for each
microphone.

A frozen sound server makes every call of PortAudio hang for ever, and a thread cannot be given up; a process can. So
the child only opens, reads and writes, ends at the first error with its reason, and is started anew. It reads in a
blocking way, since cffi builds callbacks in memory that is writable and executable, which `MemoryDenyWriteExecute=yes`
forbids.

Standard output is a pipe of records no longer than ``PIPE_BUF``, which arrive whole or not at all. When the pipe is
full a record is dropped, and the next one's sample index tells how much is missing. The end of standard input ends
the process.

    python -I -m auricle.capture '{"device": "default", "channel": "mix", "rates": [16000]}'
    python -I -m auricle.capture --list
"""

from __future__ import annotations

import json
import os
import re
import select
import struct
import sys
import threading
import time
from typing import Any

HEADER = struct.Struct("<BBHIQQ")
"""Kind, flags, payload bytes, 0, index of the first frame, monotonic clock in ns when the last frame was delivered."""
HELLO, PCM, BYE = 1, 2, 3
"""Payloads: JSON of what was opened; float32 frames, interleaved; the reason of the end, UTF-8."""
OVERFLOW = 1
"""Flag: the sound system lost sound before this record."""
MAX_PAYLOAD = (select.PIPE_BUF - HEADER.size) // 8 * 8
READS_PER_S = 50
LATENCY_S = 0.1
"""What the sound system may hold back before it loses sound: a busy machine does not run this process every 10 ms."""
MAX_MIXED = 8
"""A device with more channels is no microphone but a sound server, and is asked for mono."""
TRIED_RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000)

_ADDRESS = re.compile(r" \((?:hw|plughw):[^()]*\)$")


class Unavailable(Exception):
    """The device cannot be heard; the message is the one-line reason."""


def stable(name: str) -> str:
    """Return a device's name without the card's number, which changes when something is plugged in."""
    return _ADDRESS.sub("", name)


def find(inputs: list[dict[str, Any]], wanted: int | str, default: int) -> dict[str, Any]:
    """Find the device that is meant: a number, ``default``, a name, or a part of one name only.

    Args:
        inputs: devices that can be heard, as PortAudio describes them.
        default: number of PortAudio's default input, -1 if it has none.

    Raises:
        Unavailable: there is none, or more than one.
    """
    names = ", ".join(repr(d["name"]) for d in inputs[:8]) + (", ..." if len(inputs) > 8 else "")
    if not inputs:
        raise Unavailable("the sound system knows no microphone; is one plugged in, and may this user use it?")
    if wanted == "default" and default >= 0:
        wanted = default
    if isinstance(wanted, int):
        for device in inputs:
            if device["index"] == wanted:
                return device
        numbers = ", ".join(str(d["index"]) for d in inputs)
        raise Unavailable(f"no microphone has the number {wanted}; there are {numbers}")
    name = wanted.casefold()
    bare = stable(wanted).casefold()
    for matches in (
        [d for d in inputs if d["name"].casefold() == name],
        [d for d in inputs if stable(d["name"]).casefold() == bare],
        [d for d in inputs if name in d["name"].casefold()],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            named = ", ".join(repr(d["name"]) for d in matches[:8])
            raise Unavailable(f"{len(matches)} microphones match {wanted!r}: {named}; give more of the name")
    raise Unavailable(f"no microphone matches {wanted!r}; there are {names}")


def send(kind: int, payload: bytes | memoryview, *, flags: int = 0, index: int = 0, clock_ns: int = 0) -> bool:
    """Write one record; return whether the pipe had room for it."""
    try:
        os.write(1, HEADER.pack(kind, flags, len(payload), 0, index, clock_ns) + payload)
    except BlockingIOError:
        return False
    return True


def hear(sd: Any, wanted: dict[str, Any]) -> None:
    """Open the device and pass on its sound until something fails.

    Args:
        sd: the module sounddevice.
        wanted: ``device`` (number or name), ``channel`` (from 1, or ``mix``), ``rates`` (tried in this order; then the
            device's own).

    Raises:
        Unavailable: the device is not there or cannot be as wanted.
        sounddevice.PortAudioError: the sound system failed.
    """
    device = find(_inputs(sd), wanted["device"], sd.default.device[0])
    has, channel = device["max_input_channels"], wanted["channel"]
    if channel == "mix":
        channels = has if has <= MAX_MIXED else 1
    elif channel <= has:
        channels = channel
    else:
        raise Unavailable(f"{device['name']!r} has no channel {channel}; it has {has}")
    rate = _rate(sd, device, channels, wanted["rates"])
    stream = sd.RawInputStream(
        device=device["index"], samplerate=rate, channels=channels, dtype="float32", latency=LATENCY_S
    )
    stream.start()
    sent = channels if channel == "mix" else 1
    hello = {"device": device["name"], "rate": rate, "channels": sent}
    send(HELLO, json.dumps(hello).encode())
    frames = max(1, rate // READS_PER_S)
    step = MAX_PAYLOAD // (4 * sent)
    index = 0
    while True:
        block, overflowed = stream.read(frames)
        clock_ns = time.monotonic_ns()
        pcm = memoryview(block).cast("B")
        if sent != channels:
            pcm = memoryview(pcm.cast("f")[channel - 1 :: channels].tobytes())
        # Sound that was lost before the first sample was heard is not missing from anything.
        flags = OVERFLOW if overflowed and index else 0
        for first in range(0, frames, step):
            n = min(step, frames - first)
            part = pcm[first * 4 * sent : (first + n) * 4 * sent]
            clock = clock_ns - (frames - first - n) * 1_000_000_000 // rate
            if send(PCM, part, flags=flags, index=index + first, clock_ns=clock):
                flags = 0
        index += frames


def _inputs(sd: Any) -> list[dict[str, Any]]:
    return [dict(d) for d in sd.query_devices() if d["max_input_channels"] > 0]


def _rate(sd: Any, device: dict[str, Any], channels: int, rates: list[int]) -> int:
    fault = None
    for rate in (*rates, round(device["default_samplerate"])):
        try:
            sd.check_input_settings(device["index"], channels=channels, dtype="float32", samplerate=rate)
        except sd.PortAudioError as e:
            fault = e
        else:
            return int(rate)
    raise Unavailable(f"{device['name']!r} cannot be opened: {_reason(fault)}")


def listing(sd: Any) -> list[dict[str, Any]]:
    """List what can be heard: index, name, channels, default rate, the rates it takes, whether it is the default."""
    found = []
    for device in _inputs(sd):
        rates = []
        for rate in TRIED_RATES:
            try:
                sd.check_input_settings(device["index"], channels=1, dtype="float32", samplerate=rate)
            except sd.PortAudioError:
                continue
            rates.append(rate)
        found.append(
            {
                "index": device["index"],
                "name": device["name"],
                "channels": device["max_input_channels"],
                "rate": round(device["default_samplerate"]),
                "rates": rates,
                "default": device["index"] == sd.default.device[0],
            }
        )
    return found


def _reason(fault: BaseException | None) -> str:
    """Return PortAudio's own words, on one line."""
    return " ".join(str(fault).split()) or type(fault).__name__


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> int:
    """Hear, or list; return the exit code. The reason of a failure is a record, or the last line of standard error."""
    listed = sys.argv[1] == "--list"
    if not listed:
        os.set_blocking(1, False)
        # The main thread may hang inside PortAudio for ever; this one notices when nobody listens any more.
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        try:
            import sounddevice as sd
        except ImportError as e:
            raise Unavailable(
                f"the Python package sounddevice cannot be imported ({_reason(e)}); pip install it"
            ) from None
        except OSError as e:
            raise Unavailable(
                f"PortAudio is not there ({_reason(e)}); on Debian: apt-get install libportaudio2"
            ) from None
        try:
            if listed:
                print(json.dumps(listing(sd)))
                return 0
            hear(sd, json.loads(sys.argv[1]))
        except sd.PortAudioError as e:
            raise Unavailable(f"the sound system failed: {_reason(e)}") from None
    except Unavailable as e:
        if listed or not send(BYE, str(e).encode()[:MAX_PAYLOAD]):
            print(e, file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    return 0
