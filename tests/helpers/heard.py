"""What a recording gives as a source, piece by piece, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.capture.recording import Recordings
from auricle.capture.source import End, Gap, Segment, Skipped, Sound, Status
from helpers.sounds import RATE


@dataclass
class Heard:
    """All that was heard: the sound of every segment, and what was said of it."""

    segments: list[Segment] = field(default_factory=list)
    sounds: list[list[NDArray[np.float32]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    questioned: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    lost: int = 0

    @property
    def sound(self) -> NDArray[np.float32]:
        """Everything, joined."""
        return np.concatenate([np.empty(0, np.float32), *(block for sound in self.sounds for block in sound)])

    def lengths(self) -> list[int]:
        """Samples of each segment."""
        return [sum(map(len, sound)) for sound in self.sounds]


def heard(*paths: Path | str, rate: int = RATE, **settings: Any) -> Heard:
    """Hear recordings to their end, at full speed."""
    source = Recordings("x", [str(path) for path in paths], model_rate=rate, speed=None, **settings)
    source.open()
    found = Heard()
    while not source.done:
        for piece in source.poll(0.0):
            match piece:
                case Segment():
                    found.segments.append(piece)
                    found.sounds.append([])
                case Sound():
                    found.sounds[-1].append(piece.samples)
                case Skipped():
                    found.said.append(piece.reason)
                case Status(state="questioned"):
                    found.questioned.append(piece.detail)
                case End():
                    found.ends.append(piece.cause)
                case Gap():
                    found.lost += piece.samples
    assert all("\n" not in line for line in found.said)
    return found
