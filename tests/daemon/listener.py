"""Microphones whose child is the test's own, and what was heard of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from auricle.microphone import Microphone
from auricle.poller import Poller
from auricle.source import End, Gap, Piece, Segment, Sound, Status

RATE = 16000

FAKES = """if True:
    import json, os, signal, sys, time
    from auricle import capture
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


class Listener:
    """A microphone with a child of the test's own making, and all that it gave."""

    def __init__(self, poller: Poller, code: str, **options: Any) -> None:
        self.pieces: list[Piece] = []
        self.microphone = Microphone(
            "toy",
            poller=poller,
            model_rate=RATE,
            command=[sys.executable, "-I", "-c", FAKES + code],
            **{"block_s": 0.02, **options},
        )
        self.microphone.open()

    def poll(self) -> None:
        self.pieces += self.microphone.poll(time.monotonic())

    def until(self, ready: Callable[[], bool], timeout_s: float = 15.0) -> float:
        """Listen until it is so; the seconds that took."""
        return listen([self], ready, timeout_s)

    def all(self, kind: type) -> list[Any]:
        return [piece for piece in self.pieces if isinstance(piece, kind)]

    def states(self) -> list[str]:
        return [piece.state for piece in self.all(Status)]

    @property
    def pid(self) -> int:
        assert self.microphone._process is not None
        return self.microphone._process.pid

    def check(self) -> None:
        """Every sample is in its place, and heard + lost is where the source stands."""
        at = 0
        for piece in self.pieces:
            if isinstance(piece, Segment | Gap):
                assert piece.start == at
            if isinstance(piece, Gap):
                at += piece.samples
            elif isinstance(piece, Sound):
                at += len(piece.samples)
        counters = self.microphone.counters()
        assert at == counters.heard + counters.lost

    def unspliced(self) -> None:
        """Between two steps of the child's counting there is always the end of a segment."""
        last = None
        for piece in self.pieces:
            if isinstance(piece, Sound):
                steps = np.diff(piece.samples, prepend=piece.samples[0] - 1 if last is None else last)
                np.testing.assert_array_equal(steps, np.ones_like(steps))
                last = piece.samples[-1]
            elif isinstance(piece, End):
                last = None


def listen(listeners: list[Listener], ready: Callable[[], bool], timeout_s: float = 15.0) -> float:
    """Poll all of them, as the daemon does, until it is so."""
    began_s = time.monotonic()
    while True:
        for listener in listeners:
            listener.poll()
        if ready():
            return time.monotonic() - began_s
        assert time.monotonic() - began_s < timeout_s, [listener.pieces[-5:] for listener in listeners]
        time.sleep(0.01)
