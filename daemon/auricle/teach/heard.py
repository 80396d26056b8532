"""The rooms that the daemon remembers (`room.keep_h`) become background here: a sound is learned apart from the place
where it will be heard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle import messages
from auricle.errors import StoredError
from auricle.hearing.room import MEMBERS, checked
from auricle.model.bundle import Bundle
from auricle.service import rooms
from auricle.stored import arrays, plain
from auricle.teach.embedding import ROOM_WINDOWS, Embeddings
from auricle.teach.fit import Vectors, fit

log = logging.getLogger("auricle")

_ALIKE = 0.1
"""The share of the clips' windows that score lower than a window of the room must, to be taken for the sound itself.

Chosen in rooms in which the sound was: recall of eight classes at one false alarm an hour is 0.48 where all of the room
is background, 0.51 at a half, 0.52 at a quarter, 0.56 at a tenth, and 0.53 without just what holds the sound.
"""
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Heard:
    """Holds what was heard of rooms, and when.

    Args:
        embeddings: ``(n, size)``.
        times_us: ``(n,)``, in microseconds since 1970 UTC.
    """

    embeddings: Embeddings
    times_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times_us)

    def line(self, alike: NDArray[np.bool_]) -> str:
        """Return what there is to tell of it, for people.

        Args:
            alike: ``(n,)``, which windows are like the sound.
        """
        since = messages.rfc3339(int(self.times_us.min()))[:16].replace("T", " ")
        said = f"the room: {len(self)} windows that the daemon heard since {since} UTC"
        if not alike.any():
            return said
        times = [messages.rfc3339(int(t))[5:19].replace("T", " ") for t in self.times_us[alike]]
        some = ", ".join(times[:_NAMED]) + (f" and {len(times) - _NAMED} more" if len(times) > _NAMED else "")
        are = "1 is" if len(times) == 1 else f"{len(times)} are"
        return f"{said}; {are} taken for the sound itself, and left out: {some}"


def read(folder: Path, bundle: Bundle) -> Heard | None:
    """Read the rooms that are remembered, of all sources that were heard through this network; ``None`` where there are
    none. What cannot be read is named in a warning, and is as good as not there.

    Args:
        folder: in which the daemon keeps them.
    """
    assert bundle.trunk is not None
    assert bundle.card.embedding is not None
    found: list[tuple[Embeddings, NDArray[np.int64]]] = []
    try:
        files = rooms.files(folder, bundle.trunk)
    except FileNotFoundError:
        return None
    except OSError as e:
        log.warning("%s: %s: the room that the daemon remembers cannot be used; try as its user", folder, e.strerror)
        return None
    for path in files:
        try:
            content = plain.read(path, arrays.MOST_BYTES)
            found.append(checked(arrays.read(path, content, MEMBERS), bundle.card.embedding.size))
        except (StoredError, ValueError) as e:
            why = e if isinstance(e, StoredError) else f"{path}: {e}"
            log.warning("%s: the room that the daemon remembers cannot be used", why)
    if not found:
        return None
    embeddings, times = (np.concatenate(parts) for parts in zip(*found, strict=True))
    some = np.linspace(0, len(times) - 1, min(len(times), ROOM_WINDOWS)).astype(int)
    return Heard(embeddings[some], times[some])


def alike(drawn: Sequence[Vectors], without: Vectors, heard: Vectors) -> NDArray[np.bool_]:
    """Return which windows of a room ``(n,)`` are taken for the sound itself, which may well have been there.

    Two heads are fitted, each upon half of the clips. A window is the sound if both hear it in there, as surely as in
    the least sure tenth of the windows of clips that they do not know.

    Args:
        drawn: of each clip, windows that hold it ``(k, size)``.
        without: background that does not hold it ``(m, size)``.
        heard: the windows of the room ``(n, size)``.
    """
    found = np.ones(len(heard), np.bool_)
    for half in (0, 1):
        head = fit(np.concatenate(drawn[half::2]), without)
        found &= head(heard) >= np.quantile(head(np.concatenate(drawn[1 - half :: 2])), _ALIKE)
    return found
