"""Raw samples come without records around them here, as ffmpeg and arecord write them."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auricle.capture.conditioning import mono
from auricle.capture.live import Live
from auricle.capture.poller import Feed, Poller
from auricle.capture.source import Piece, Terms

SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
"""The formats, named as ffmpeg names them."""


def to_float(data: memoryview, form: str) -> NDArray[np.float32]:
    """Convert ``n * SAMPLE_BYTES[form]`` bytes to samples ``(n,)`` float32, full scale 1.0."""
    if form == "f32le":
        return np.frombuffer(data, "<f4")
    if form == "s16le":
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
    if form == "s32le":
        return np.frombuffer(data, "<i4").astype(np.float32) / np.float32(2**31)
    if form == "u8":
        return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(2**7)) / np.float32(2**7)
    if form == "s24le":
        # The three bytes become the upper ones of 32 bits, which keeps the sign.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    raise ValueError(f"format: {form!r}; use {', '.join(SAMPLE_BYTES)}")


class PcmFeed(Feed):
    """Reads interleaved samples of a known rate.

    Args:
        rate, form, channels: of what comes through the pipe; ``form`` is one of `SAMPLE_BYTES`.
        fd, ring_s, errors_fd, before: as of `Feed`.
        device: what to call the other side.
    """

    def __init__(
        self,
        fd: int,
        *,
        rate: int,
        form: str,
        channels: int,
        ring_s: float,
        errors_fd: int | None = None,
        before: Feed | None = None,
        device: str = "",
    ) -> None:
        super().__init__(fd, ring_s=ring_s, errors_fd=errors_fd, before=before)
        self.ahead_s = ring_s / 2
        self.device = device
        self._form = form
        self._channels = channels
        self._frame_bytes = SAMPLE_BYTES[form] * channels
        self.begin(rate)
        # A pipe that can wait is never emptied into a ring that has no room.
        self.read_bytes = min(self.read_bytes, max(1, round(rate * ring_s / 8)) * self._frame_bytes)

    def take(self, data: memoryview, now_ns: int) -> int:
        """Use all whole frames; return the bytes used."""
        n = len(data) // self._frame_bytes
        used = n * self._frame_bytes
        if n:
            frames = to_float(data[:used], self._form).reshape(n, self._channels)
            block = mono(frames)
            self.doubts.look(frames, block, self.rate)
            self.put(block, now_ns)
        return used

    def go_on(self, before: PcmFeed) -> None:
        """Begin with the part of a frame that the feed before this one has left, on the same pipe."""
        self._filled = before._filled
        self._buffer[: self._filled] = before._buffer[: self._filled]


class StdinPcm(Live):
    """Hears raw samples on standard input, as from ``arecord -t raw``, as a `Source`; done at the end of its input.

    What comes faster than real time (a file) is read at real time.

    Args:
        name: of the source.
        terms: on which the source is heard; after a stall it is waited for.
        poller: moves the sound of all sources into their rings.
        rate: in Hz.
        form: one of `SAMPLE_BYTES`.
        channels: interleaved; they are mixed down.
        fd: read instead of standard input; it stays open.
    """

    can_pause = False

    def __init__(
        self,
        name: str,
        terms: Terms,
        *,
        poller: Poller,
        rate: int,
        form: str = "s16le",
        channels: int = 1,
        fd: int = 0,
    ) -> None:
        if form not in SAMPLE_BYTES:
            raise ValueError(f"form: {form!r}; use {', '.join(SAMPLE_BYTES)}")
        super().__init__(name, terms, poller=poller)
        self._form = (rate, form, channels)
        self._fd = fd

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes] | None]:
        if before is None and stat.S_ISCHR(os.fstat(self._fd).st_mode) and os.isatty(self._fd):
            raise OSError("standard input is a terminal; pipe raw samples into it, as from arecord -t raw")
        rate, form, channels = self._form
        feed = PcmFeed(
            os.dup(self._fd),
            rate=rate,
            form=form,
            channels=channels,
            ring_s=self.terms.ring_s,
            before=before,
            device="standard input",
        )
        if isinstance(before, PcmFeed):
            feed.go_on(before)
        return feed, None

    def _hanging(self, feed: Feed, now_s: float) -> str | None:
        # Once lost, the pipe is only waited for: it can be neither restarted nor opened anew.
        return None if self._lost_ns is not None else super()._hanging(feed, now_s)

    def _gone(self, now_s: float, reason: str) -> Iterator[Piece]:
        self.done = True
        track, self._track = self._track, None
        if track is not None:
            yield from track.end("end")
