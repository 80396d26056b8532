"""The recordings that a label is taught from are read here, and refused where nothing can be learned from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.capture.folders import find
from auricle.capture.reader import Reader
from auricle.clips import reading
from auricle.errors import AudioError, UsageError

Sound = NDArray[np.float32]
"""Samples ``(n,)`` at the model's rate, from -1 to 1."""

FEWEST = 5
MOST = 500
SHORTEST_S, LONGEST_S = 0.1, 30.0
"""A clip is one sound: of less nothing is told, and in more there is more than one."""
QUIETEST_DBFS = -70.0
_FLOOR_DB = 30.0
"""What is so far below a clip's loudest moment is the room, not the sound."""
_STEP_S = 0.02
_AROUND_S = 0.5
"""So much around its event is learned from a clip that the daemon has kept; the rest is the room in which it was."""
_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class Clip:
    """Holds one recording of a sound.

    Args:
        path: where it was read.
        sound: all of it.
        begin, end: the samples between which it sounds.
        hash: SHA-256 of its samples.
        around: what a clip of the daemon's holds besides its event: the room, in pieces.
    """

    path: Path
    sound: Sound
    begin: int
    end: int
    hash: str
    around: Sequence[Sound] = ()

    @property
    def sounding(self) -> Sound:
        """Return the part that sounds."""
        return self.sound[self.begin : self.end]


def read(paths: Sequence[str], rate: int, option: str = "--clips", fewest: int = FEWEST) -> list[Clip]:
    """Read the clips among files and folders, in the order of their names.

    Args:
        paths: files, folders or globs.
        rate: in Hz, the model's.
        option: how the command line names them.
        fewest: how many there must be that differ.

    Raises:
        AudioError: one cannot be read, is silent, or too short or long; every such clip is named.
        UsageError: there are too few, or too many.
    """
    files, faults = find(paths)
    if len(files) > MOST:
        raise UsageError(f"{option}: {len(files)} clips; use {MOST} at most")
    clips: list[Clip] = []
    for number, file in enumerate(files, start=1):
        try:
            clips.append(_read(Path(file), rate))
        except AudioError as e:
            faults.append(f"clip {number}: {e}")
    if faults:
        raise AudioError("; ".join(faults))
    if len(clips) < fewest:
        raise UsageError(f"{option}: {_clips(len(clips))}; use {fewest} to {MOST}, of which twenty are a good number")
    if (different := len({clip.hash for clip in clips})) < fewest:
        raise UsageError(
            f"{option}: {_clips(len(clips))}, of which {different} differ: the others are copies; use {fewest} or more"
        )
    return list({clip.hash: clip for clip in reversed(clips)}.values())[::-1]


def _clips(n: int) -> str:
    return "1 clip" if n == 1 else f"{n} clips"


def _read(path: Path, rate: int) -> Clip:
    reader = Reader(str(path), rate)
    if reader.duration_s > LONGEST_S:
        reader.close()
        raise AudioError(f"{reader.name}: {reader.duration_s:.0f} s; a clip is one sound, of {LONGEST_S:g} s at most")
    blocks, n = [], 0
    for block in reader.heard(_BLOCK):
        blocks.append(block)
        if (n := n + len(block)) > (LONGEST_S + 1) * rate:  # its header said less
            reader.close()
            raise AudioError(f"{reader.name}: goes on after {LONGEST_S:g} s; a clip is one sound, and no longer")
    sound = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    sound, around = _event(path, sound, rate)
    if len(sound) < SHORTEST_S * rate:
        raise AudioError(f"{reader.name}: {len(sound) / rate:.2f} s; a clip has at least {SHORTEST_S:g} s")
    begin, end, level = sounding(sound, rate)
    if level < QUIETEST_DBFS:
        raise AudioError(f"{reader.name}: silence, nowhere louder than {max(level, -120):.0f} dBFS; record it anew")
    return Clip(path, sound, begin, end, hashlib.sha256(sound.tobytes()).hexdigest(), around)


def _event(path: Path, sound: Sound, rate: int) -> tuple[Sound, Sequence[Sound]]:
    """Return the part of a clip in which its event was, as its file says, and the parts before and after it; all of
    what is no clip of the daemon's, and no other part."""
    try:
        part = reading.part(reading.clip_of(str(path)))
    except AudioError:
        return sound, ()
    if part is None:
        return sound, ()
    begin, end = max(0, round((part[0] - _AROUND_S) * rate)), round((part[1] + _AROUND_S) * rate)
    return sound[begin:end], [rest for rest in (sound[:begin], sound[end:]) if len(rest) >= _AROUND_S * rate]


def sounding(sound: Sound, rate: int) -> tuple[int, int, float]:
    """Return the samples between which a recording is no further below its loudest moment than a room is, and how loud
    that moment is in dBFS (RMS)."""
    step = max(1, round(_STEP_S * rate))
    parts = np.array_split(sound, max(1, len(sound) // step))
    power = np.array([float(np.mean(np.square(part, dtype=np.float64))) for part in parts])
    if (loudest := float(power.max())) <= 0:
        return 0, len(sound), -np.inf
    heard = np.flatnonzero(power >= loudest * 10 ** (-_FLOOR_DB / 10))
    edges = np.cumsum([0, *(len(part) for part in parts)])
    return int(edges[heard[0]]), int(edges[heard[-1] + 1]), 10 * float(np.log10(loudest))
