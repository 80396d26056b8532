"""The last hours of a source's room are remembered here as embeddings, so that a sound of somebody's own can be taught
the difference from them (`auricle teach`).

A window is taken from time to time, and only where that is allowed (`room.keep_h`). The network is run once more on it,
so that nothing else of hearing changes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.hearing.ear import Ear
from auricle.stages.stage import Block
from auricle.stored.arrays import Member

MOST = 2000
"""So many windows are held at most."""
LEAST_S = 10.0
"""Windows are no nearer to each other than this: each costs a run of the network."""
MEMBERS = {"embeddings": Member("i", 2), "times": Member("i", 1)}
"""What a room is kept as: embeddings ``(n, size)`` int8, and when each window ended, in microseconds since 1970 UTC."""
_LATEST_US = 253_402_300_799_999_999


class Room:
    """Holds embeddings of what one source heard, through one network.

    A window in which, or close to which, a label of ``privacy`` was heard is none of them.

    Args:
        trunk: the network, as `Bundle.trunk` names it.
    """

    def __init__(self, trunk: str) -> None:
        self.trunk = trunk
        self.keep_h = 0.0
        """Hours that are remembered; may be set anew."""
        self.privacy: Sequence[str] = ()
        self.privacy_score = 1.0
        """The score from which such a label counts as heard; both may be set anew."""
        self._held: deque[tuple[int, NDArray[np.int8]]] = deque(maxlen=MOST)
        self._until_next = 0
        self._clear = 0
        """Decisions since a label of privacy was heard, or since the segment began."""
        self._waiting: tuple[int, Block, int] | None = None
        """A window that is due: its time, itself, and the decisions until nothing of it can be in any more."""

    def __len__(self) -> int:
        return len(self._held)

    def begin(self) -> None:
        """Begin a segment: what no decision will be made on is not remembered."""
        self._waiting, self._clear = None, 0

    def hear(self, ear: Ear, scores: NDArray[np.float32], t_us: int) -> None:
        """Take note of the decisions that an ear has just made.

        Args:
            scores: ``(n, n_labels)``, smoothed.
            t_us: when the last of them ended, in microseconds since 1970 UTC.
        """
        if ear.tap is None or ear.bundle.trunk != self.trunk:
            return
        self._until_next -= len(scores)
        if self._private(ear.labels, scores):
            if self._waiting is not None:
                self._until_next = 0
            self._waiting, self._clear = None, 0
            return
        self._clear += len(scores)
        if self._waiting is not None:
            at_us, window, left = self._waiting
            self._waiting = at_us, window, left - len(scores)
            if left <= len(scores):
                self._waiting = None
                self._keep(at_us, ear.bundle.windows.with_embedding(window)[1].copy())
        elif self._until_next <= 0 and ear.tap.window is not None:
            around = math.ceil(ear.stages.span / ear.stages.hop) if self.privacy else 0
            if self._clear >= around:
                every_s = max(LEAST_S, self.keep_h * 3600 / MOST)
                self._until_next = round(every_s / ear.hop_s)
                self._waiting = t_us, ear.tap.window, around

    def _private(self, labels: Sequence[str], scores: NDArray[np.float32]) -> bool:
        """Return whether sound that must not be kept was heard; what a model does not know may be in any sound."""
        if not self.privacy:
            return False
        if not set(self.privacy) <= set(labels):
            return True
        return any(float(scores[:, labels.index(label)].max()) >= self.privacy_score for label in self.privacy)

    def _keep(self, t_us: int, embedding: NDArray[np.int8]) -> None:
        """Hold an embedding; the oldest goes when it is hours older, or by a clock that was set hours younger."""
        self._held.append((t_us, embedding))
        while abs(t_us - self._held[0][0]) > self.keep_h * 3600e6:
            self._held.popleft()

    @property
    def known(self) -> dict[str, NDArray[Any]]:
        """Return what is held as arrays to be kept, nothing where nothing is held."""
        if not self._held:
            return {}
        times, embeddings = zip(*self._held, strict=True)
        return {"embeddings": np.stack(embeddings), "times": np.array(times, np.int64)}

    def restore(self, known: Mapping[str, NDArray[Any]], size: int) -> None:
        """Hold what was held when the daemon ran last.

        Args:
            size: of an embedding.

        Raises:
            ValueError: it is none of this network.
        """
        embeddings, times = checked(known, size)
        self._held.extend(zip(times.tolist(), embeddings, strict=True))


def checked(known: Mapping[str, NDArray[Any]], size: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return embeddings ``(n, size)`` and times ``(n,)`` of a room that was kept.

    Raises:
        ValueError: they are not those of a room.
    """
    embeddings, times = known["embeddings"], known["times"]
    fits = embeddings.dtype == np.int8 and embeddings.shape[1] == size and len(embeddings) == len(times)
    if not fits or not 0 < len(times) <= MOST:
        shape = f"{embeddings.shape} {embeddings.dtype}"
        raise ValueError(f"{shape} at {len(times)} times, no embeddings of {size} numbers")
    if not 0 <= times.min() <= times.max() <= _LATEST_US:
        raise ValueError("times before 1970 or after 9999")
    return embeddings, times.astype(np.int64)
