"""Live sources are listened to here as a test does it, and microphones get a child of the test's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.capture.live import Live
from auricle.capture.microphone import Microphone
from auricle.capture.poller import Poller
from auricle.capture.source import End, Gap, Piece, Segment, Sound, Status, Terms

RATE = 16000

FAKES = """if True:
    import json, os, signal, sys, time
    from auricle.capture import child as capture
    os.set_blocking(1, False)
    RATE = 16000
    def hello(channels=1):
        capture.send(capture.HELLO, json.dumps({"device": "toy", "rate": RATE, "channels": channels}).encode())
    def tone(start, n):
        # Whole numbers that float32 holds exactly: a sample's value is its index.
        import array
        return array.array("f", [float((start + i) % 16777216) for i in range(n)]).tobytes()
    def pace(index, began):
        time.sleep(max(0, began + index / RATE - time.monotonic()))
    def steady(until=1 << 60):
        index, began = 0, time.monotonic()
        while index < until:
            pace(index + 320, began)
            capture.send(capture.PCM, tone(index, 320), index=index, clock_ns=time.monotonic_ns())
            index += 320
"""


class Hearing:
    """Opens a live source and keeps all that it gives; ``keep=False`` forgets the samples, not their number."""

    def __init__(self, source: Live, *, keep: bool = True) -> None:
        self.source = source
        self.pieces: list[Piece] = []
        self._keep = keep
        source.open()

    def poll(self) -> None:
        for piece in self.source.poll(time.monotonic()):
            if isinstance(piece, Sound) and not self._keep:
                n = len(piece.samples)
                if isinstance(self.pieces[-1], Sound):
                    n += len(self.pieces.pop().samples)  # type: ignore[union-attr]
                piece.samples = np.broadcast_to(np.float32(0), n)
            self.pieces.append(piece)

    def until(self, ready: Callable[[], bool], timeout_s: float = 15.0) -> float:
        """Listen until it is so; return the seconds that took."""
        return listen([self], ready, timeout_s)

    def speaks(self, timeout_s: float = 15.0) -> float:
        """Listen until something new is heard; return the seconds that took."""
        heard = self.source.counters().heard
        return self.until(lambda: self.source.counters().heard > heard, timeout_s)

    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([sound.samples for sound in self.all(Sound)] or [np.empty(0, np.float32)])

    def all(self, kind: type) -> list[Any]:
        return [piece for piece in self.pieces if isinstance(piece, kind)]

    def states(self) -> list[str]:
        return [piece.state for piece in self.all(Status)]

    @property
    def pid(self) -> int:
        assert self.source._process is not None
        return self.source._process.pid

    def check(self) -> None:
        """Assert that every sample is in its place, and that heard + lost is where the source stands."""
        at = 0
        for piece in self.pieces:
            if isinstance(piece, Segment | Gap):
                assert piece.start == at
            if isinstance(piece, Gap):
                at += piece.samples
            elif isinstance(piece, Sound):
                at += len(piece.samples)
        counters = self.source.counters()
        assert at == counters.heard + counters.lost

    def unspliced(self) -> None:
        """Assert that between two steps of the child's counting there is always the end of a segment."""
        last = None
        for piece in self.pieces:
            if isinstance(piece, Sound):
                steps = np.diff(piece.samples, prepend=piece.samples[0] - 1 if last is None else last)
                np.testing.assert_array_equal(steps, np.ones_like(steps))
                last = piece.samples[-1]
            elif isinstance(piece, End):
                last = None


def terms_of(options: dict[str, Any]) -> Terms:
    """Take the terms out of these options; 16 kHz and blocks of 20 ms unless they say otherwise."""
    given = {field.name: options.pop(field.name) for field in fields(Terms) if field.name in options}
    return Terms(**{"model_rate": RATE, "block_s": 0.02, **given})


def scripted(poller: Poller, code: str, **options: Any) -> Hearing:
    """Open a microphone whose child runs this code, after `FAKES`."""
    command = [sys.executable, "-I", "-c", FAKES + code]
    return Hearing(Microphone("toy", terms_of(options), poller=poller, command=command, **options))


def listen(listeners: Sequence[Hearing], ready: Callable[[], bool], timeout_s: float = 15.0) -> float:
    """Poll all of them, as the daemon does, until it is so; return the seconds that took."""
    began_s = time.monotonic()
    while True:
        for listener in listeners:
            listener.poll()
        if ready():
            return time.monotonic() - began_s
        assert time.monotonic() - began_s < timeout_s, [listener.pieces[-5:] for listener in listeners]
        time.sleep(0.01)
