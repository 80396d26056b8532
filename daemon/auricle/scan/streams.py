"""Recordings that follow each other without a gap are one stream, which is divided here into stretches to be heard
apart.

A stretch is some minutes of decisions and the sound that they are made of, with its warm-up: so much sound before it
that each of its scores has the bits that it has where the stream is heard from its start. That takes two things: stages
that say how far back their rows reach (`auricle.stages.stage.reach_of`), and a place at which the resampler may be
begun (`auricle.capture.conditioning.joints`). Where either is missing a stream is one stretch, whatever its length.

Where a stream is divided depends on its recordings alone, never on who hears them.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from auricle.capture.conditioning import joints
from auricle.scan.work import Part, Stamp, Unit
from auricle.stages.stage import Pipeline, reach_of

STRETCH_S = 120.0
"""How much sound a stretch has; the first of a stream a quarter of it, so that there is a result soon. What would be
less than half of one at a stream's end goes with the one before: most recordings of a minute are then one."""
COARSE_US, FINE_US = 1_000_000, 20_000
"""How far the start that a recording states may lie from the end of the one before: where both are told in whole
seconds, and where not."""
DRIFT = 1e-4
"""By how much of a whole stream's length a recorder's clock may be wrong besides."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Says what is known of a recording before it is heard.

    Args:
        frames: samples that can be read.
        start_us: when it began, microseconds since 1970 UTC, where that is known.
        reason: why there is no more of it, or why it is refused.
        alone: it is heard by itself, to its end, whatever is in it.
        refused: it is not heard.
    """

    path: str
    stamp: Stamp
    rate: int = 0
    channels: int = 0
    frames: int = 0
    start_us: int | None = None
    reason: str = ""
    alone: bool = False
    refused: bool = False


class Cutter:
    """Knows how decisions may be divided.

    Args:
        stages: from samples to smoothed scores.
        rate: of the samples, in Hz.
        stretch_s: sound in a stretch, about.
    """

    def __init__(self, stages: Pipeline, rate: int, stretch_s: float = STRETCH_S) -> None:
        self.rate, self.span, self.hop = rate, stages.span, stages.hop
        reach = reach_of(stages)
        self.forgets = reach is not None
        self.warm = 0 if reach is None else -(-(reach - self.span) // self.hop)
        """Decisions before a stretch's first that reach back to sound before its warm-up."""
        self._rows = 4 * max(1, round(stretch_s * rate / self.hop / 4))

    def edge(self, stretch: int) -> int:
        """Return the first decision of a stretch."""
        return max(0, stretch * self._rows - 3 * self._rows // 4)

    @property
    def least(self) -> int:
        """Return how many decisions a stretch has at least, but where there is no other."""
        return self._rows // 2


class Stream:
    """Holds recordings that follow each other without a gap; the last one may be added to while units are taken.

    Args:
        cutter: divides it.
        first: the recording that it begins with.
    """

    def __init__(self, cutter: Cutter, first: Facts) -> None:
        self.files = [first]
        self.begins = [0]
        """At which sample of the stream, at its own rate, each recording begins."""
        self.frames = first.frames
        self._cutter = cutter
        self._given = 0
        self._joints = joints(first.rate, cutter.rate) if cutter.forgets and first.rate else None
        common = math.gcd(first.rate, cutter.rate)
        self._in, self._out = (first.rate // common, cutter.rate // common) if first.rate else (1, 1)

    def joins(self, facts: Facts) -> bool:
        """Return whether a recording goes on where this stream ends, as far as their times tell."""
        first, last = self.files[0], self.files[-1]
        if last.reason or any(each.alone or each.refused for each in (first, facts)):
            return False
        if (facts.rate, facts.channels) != (last.rate, last.channels):
            return False
        if os.path.dirname(facts.path) != os.path.dirname(last.path):
            return False
        return _follows(facts, first, self.frames, DRIFT) and _follows(facts, last, last.frames, 0.0)

    def add(self, facts: Facts) -> None:
        """Let the stream go on with this recording."""
        self.files.append(facts)
        self.begins.append(self.frames)
        self.frames += facts.frames

    def file_at(self, sample: int) -> int:
        """Return which of the recordings holds a sample of the model's rate."""
        return self._holds(sample * self._in // self._out)

    def units(self, *, ended: bool) -> Iterator[Unit]:
        """Yield what can be heard of it and was not given yet, of a stream that has ended all that is left."""
        facts = self.files[0]
        if facts.refused or facts.alone:
            if ended and facts.alone:
                stamp = facts.stamp
                yield Unit((Part(os.fsencode(facts.path), stamp),), True, ends=(0,), bytes=max(0, stamp.size))
            return
        while self._reaches(self._given + 1, ended):
            self._given += 1
            yield self._stretch(self._given - 1, last=False)
        if ended:
            yield self._stretch(self._given, last=True)

    def _holds(self, sample: int) -> int:
        """Return which of the recordings holds a sample of the stream's own rate."""
        return bisect_right(self.begins, sample) - 1

    def _reaches(self, stretch: int, ended: bool) -> bool:
        """Return whether there is enough of this stretch for it to be one, and all sound of those before it."""
        if self._joints is None:
            return False
        rows = self._cutter.edge(stretch) + self._cutter.least
        # How the resampler rounds does not matter: a few samples more or less never make the last stretch empty.
        sure = self.frames * self._out // self._in - 2
        return sure >= rows * self._cutter.hop + self._cutter.span and (ended or self.frames >= self._needed(rows))

    def _needed(self, rows: int) -> int:
        """Return how many samples at the stream's own rate give so many decisions."""
        assert self._joints is not None
        samples = (rows - 1) * self._cutter.hop + self._cutter.span
        return -(-samples * self._in // self._out) + self._joints.late

    def _stretch(self, number: int, *, last: bool) -> Unit:
        hop = self._cutter.hop
        first = self._cutter.edge(number)
        end_row = None if last else self._cutter.edge(number + 1)
        warm = min(first, self._cutter.warm)
        at = (first - warm) * hop
        origin = self._origin(at)
        end = self.frames if end_row is None else min(self.frames, self._needed(end_row))
        parts, ends, size = list[Part](), list[int](), 0.0
        low = first * hop * self._in // self._out if number else -1
        high = self.frames if end_row is None else end_row * hop * self._in // self._out
        for place in range(self._holds(origin), self._holds(end - 1) + 1):
            begin, facts = self.begins[place], self.files[place]
            behind = begin + facts.frames
            if low < behind <= high:
                ends.append(len(parts))
            size += facts.stamp.size * max(0, min(behind, high) - max(begin, low)) / facts.frames
            part = Part(os.fsencode(facts.path), facts.stamp, max(0, origin - begin), min(facts.frames, end - begin))
            parts.append(part)
        return Unit(
            tuple(parts),
            rate=self.files[0].rate,
            skip=at - origin * self._out // self._in,
            warm=warm,
            rows=None if end_row is None else end_row - first,
            ends=tuple(ends),
            at=at,
            bytes=round(size),
        )

    def _origin(self, at: int) -> int:
        """Return the sample of the stream at which the resampler is begun, for what is wanted from a place at the
        model's rate on."""
        if not at or self._joints is None:
            return 0
        every = self._joints.every
        return max(0, (at - self._joints.warm) * self._in // self._out // every * every)


def plan(
    files: Iterable[str], facts_of: Callable[[str], Facts], cutter: Cutter
) -> Iterator[tuple[Stream, Unit | None]]:
    """Yield the units of all recordings, each with its stream, in order; behind the last one of a stream ``None``.

    Recordings are looked at no sooner than they are needed.
    """
    stream: Stream | None = None
    for file in files:
        facts = facts_of(file)
        if stream is not None and stream.joins(facts):
            stream.add(facts)
        else:
            if stream is not None:
                yield from _ended(stream)
            stream = Stream(cutter, facts)
        for unit in stream.units(ended=False):
            yield stream, unit
    if stream is not None:
        yield from _ended(stream)


def _ended(stream: Stream) -> Iterator[tuple[Stream, Unit | None]]:
    for unit in stream.units(ended=True):
        yield stream, unit
    yield stream, None


def _follows(facts: Facts, before: Facts, frames: int, drift: float) -> bool:
    """Return whether a recording begins so many samples after another one did, as far as that can be seen."""
    if facts.start_us is None or before.start_us is None:
        return False
    lasted_us = frames * 1_000_000 / before.rate
    coarse = facts.start_us % 1_000_000 == before.start_us % 1_000_000 == 0
    off_us = abs(facts.start_us - before.start_us - lasted_us)
    return off_us < (COARSE_US if coarse else FINE_US) + drift * lasted_us
