"""`auricle teach --record`: clips are recorded one after the other from a source, each after a count-down."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auricle.capture.poller import Poller
from auricle.capture.source import Gap, Segment, Sound, Status
from auricle.capture.writer import Writer
from auricle.commands import devices, record
from auricle.errors import AudioError, OutputError, UsageError
from auricle.hearing.engine import IDLE_S, Stop
from auricle.service.sources import source_of
from auricle.terminal.text import complain, say

if TYPE_CHECKING:
    from auricle.config import Config
    from auricle.model.bundle import Bundle

Samples: TypeAlias = NDArray[np.float32]

COUNTED = 3
"""Seconds that are counted down before each clip."""
MOST, LONGEST_S = 100, 30.0


def record_clips(
    cfg: Config, model: Bundle, label: str, folder: Path, clips: int, seconds: float, source: str | None
) -> None:
    """Record so many clips of a source into a folder, beside those that are there.

    Raises:
        UsageError: so many, or so long ones, or such a source cannot be.
        AudioError: the source ends before, or somebody stops it.
        OutputError: the folder cannot be written.
    """
    if not 1 <= clips <= MOST or not 0.1 <= seconds <= LONGEST_S:
        raise UsageError(f"--record: {clips} clips of {seconds:g} s; use 1 to {MOST}, of 0.1 to {LONGEST_S:g} s")
    wanted = record.wanted(cfg, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"{folder}: cannot be written: {e.strerror}") from None
    with ExitStack() as stack:
        poller = stack.enter_context(Poller())
        heard = source_of(wanted, cfg.capture, model, poller)
        stop = Stop()
        stack.callback(stop.close)
        stack.enter_context(stop.on_signals())
        takes = Takes(folder, label, clips, seconds, model.card.front_end.sample_rate, _meter)
        stack.callback(takes.close)
        heard.open()
        stack.callback(heard.close)
        while not (takes.done or stop.asked or heard.done):
            now_s = time.monotonic()
            if (due_s := heard.due_s(now_s)) > now_s:
                select.select([stop], (), (), min(due_s - now_s, IDLE_S))
                continue
            for piece in heard.poll(now_s):
                takes.take(piece)
    if not takes.done:
        raise AudioError(f"{wanted.name}: ended after {takes.taken} of {clips} clips; they are in {folder}")


def _meter(samples: Samples) -> None:
    if sys.stdout.isatty():
        print(f"\r{devices.drawn(devices.reading(samples))}", end="", flush=True)


class Takes:
    """Cuts the sound of a source into clips: `COUNTED` seconds to get ready, then a clip, again and again.

    Time is counted in sound. What is lost spoils the clip in which it falls, which is counted down anew.

    Args:
        folder: of the clips, ``LABEL-001.flac`` and so on.
        label: begins their names.
        clips: how many.
        seconds: of each.
        rate: of the source, in Hz.
        meter: is shown the sound of a clip, piece by piece.
    """

    def __init__(
        self, folder: Path, label: str, clips: int, seconds: float, rate: int, meter: Callable[[Samples], None]
    ) -> None:
        self._folder, self._label, self._clips, self._rate, self._meter = folder, label, clips, rate, meter
        self._long, self._wait = round(seconds * rate), COUNTED * rate
        self._writer: Writer | None = None
        self._path = folder
        self._counted = 0
        self._start_us = 0
        self.taken = 0
        """Clips that are whole."""

    @property
    def done(self) -> bool:
        """Return whether all clips are there."""
        return self.taken >= self._clips

    def take(self, piece: object) -> None:
        """Take the next piece of the source."""
        match piece:
            case Segment() | Gap():
                if isinstance(piece, Segment):
                    self._start_us = piece.clock.utc_us(piece.start)
                self._spoilt()
            case Sound():
                samples = piece.samples
                while len(samples) and not self.done:
                    samples = samples[self._some(samples) :]
            case Status():
                complain(f"auricle: {piece.state}{f': {piece.detail}' if piece.detail else ''}")
            case _:
                pass

    def close(self) -> None:
        """Throw away a clip that is not whole."""
        self._spoilt()

    def _some(self, samples: Samples) -> int:
        """Take some of the samples, to the next second of the count-down or the end of the clip; return how many."""
        length = len(samples)
        if self._writer is None:
            left = self._rate - self._counted % self._rate
            if self._counted % self._rate == 0:
                seconds = (self._wait - self._counted) // self._rate
                say(f"clip {self.taken + 1} of {self._clips} in {seconds}")
            n = min(length, left)
            self._counted += n
            if self._counted >= self._wait:
                say("now")
                self._begin()
            return n
        n = min(length, self._long - self._writer.samples)
        part = samples[:n]
        self._writer.write(part)
        self._meter(part)
        if self._writer.samples >= self._long:
            self._writer.close()
            self._writer = None
            self._counted = 0
            self.taken += 1
            say(f"\r{self._path}" if sys.stdout.isatty() else str(self._path))
        return n

    def _begin(self) -> None:
        number = 1
        while (path := self._folder / f"{self._label}-{number:03d}.flac").exists():
            number += 1
        self._path = path
        self._writer = Writer(path, self._rate, self._start_us)

    def _spoilt(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._path.unlink(missing_ok=True)
        self._counted = 0
