"""A microphone is a source whose far side is `auricle.capture`; this is the parent's side."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from auricle.capture import child
from auricle.capture.conditioning import mono
from auricle.capture.live import Live
from auricle.capture.poller import Broken, Feed, Poller
from auricle.capture.source import Terms

PIPE_BYTES = 262_144
"""Four seconds at 16 kHz, more than the poller is ever late."""
FLOOD_S = 5.0
"""A device whose sound is so much longer than the time it took is no microphone."""


class RecordFeed(Feed):
    """Reads records of `auricle.capture`; a jump of the sample index is an overrun of the pipe."""

    def __init__(self, fd: int, *, ring_s: float, errors_fd: int, before: Feed | None) -> None:
        super().__init__(fd, ring_s=ring_s, errors_fd=errors_fd, before=before)
        self._channels = 1
        self._expected = 0

    def take(self, data: memoryview, now_ns: int) -> int:
        """Use all whole records; return the bytes used."""
        size = child.HEADER.size
        at = 0
        while len(data) - at >= size:
            kind, flags, length, _, index, clock_ns = child.HEADER.unpack_from(data, at)
            if len(data) - at < size + length:
                break
            payload = data[at + size : at + size + length]
            at += size + length
            if kind == child.PCM:
                self._pcm(payload, flags, index, clock_ns)
            elif kind == child.HELLO:
                hello = json.loads(bytes(payload))
                self.device, self._channels = hello["device"], hello["channels"]
                self.begin(hello["rate"])
            elif kind == child.BYE:
                self.reason = bytes(payload).decode(errors="replace")
            else:
                raise Broken(f"capture wrote a record of unknown kind {kind}")
        return at

    def _pcm(self, payload: memoryview, flags: int, index: int, clock_ns: int) -> None:
        frames = np.frombuffer(payload, "<f4").reshape(-1, self._channels)
        block = frames[:, 0] if self._channels == 1 else mono(frames)
        self.doubts.look(frames, block, self.rate)
        self.put(block, clock_ns, lost=index - self._expected, overflow=bool(flags & child.OVERFLOW))
        self._expected = index + len(block)
        if (ahead_s := self.ahead_ns(clock_ns) / 1e9) > FLOOD_S:
            raise Broken(f"{self.device!r} gives sound faster than real time ({ahead_s:.1f} s too much)")


class Microphone(Live):
    """Hears one PortAudio device by a child process of its own, as a `Source`.

    A child that hangs is killed and started anew.

    Args:
        name: of the source.
        terms: on which the source is heard.
        poller: moves the sound of all sources into their rings.
        device: ``default``, a name or part of one, or a number; the name that a number had when it was first heard wins
            over the number from then on.
        channel: 1 is the first; ``mix`` the mean of all.
        sample_rate: to open the device at; ``None``: the model's where the device takes it, else the device's own.
        command: that starts the child, in place of this Python's `auricle.capture`.
    """

    def __init__(
        self,
        name: str,
        terms: Terms,
        *,
        poller: Poller,
        device: int | str = "default",
        channel: int | str = "mix",
        sample_rate: int | None = None,
        command: Sequence[str] = (sys.executable, "-I", "-m", "auricle.capture"),
    ) -> None:
        super().__init__(name, terms, poller=poller)
        self._command = tuple(command)
        self._device = device
        self._channel = channel
        self._rates = [terms.model_rate if sample_rate is None else sample_rate]

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes]]:
        if isinstance(self._device, int) and before is not None and before.device:
            self._device = child.stable(before.device)
        wanted: dict[str, Any] = {"device": self._device, "channel": self._channel, "rates": self._rates}
        process = subprocess.Popen(
            [*self._command, json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # an interrupt at the terminal is for the parent
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with suppress(OSError):  # there is a limit for all pipes of a user; the usual size will do
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        # The poller closes its own copies; Popen's go at once, so that nobody closes a number twice.
        feed = RecordFeed(
            os.dup(process.stdout.fileno()),
            ring_s=self.terms.ring_s,
            errors_fd=os.dup(process.stderr.fileno()),
            before=before,
        )
        process.stdout.close()
        process.stderr.close()
        return feed, process
