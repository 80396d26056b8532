"""Embeddings of recordings are kept here, in memory and on disk: making them is what costs, and every run that tries
another way to teach asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.capture.reader import Reader
from auricle.errors import OutputError, StoredError
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member
from auricle.teach import embedding
from auricle.teach.clips import Clip as Lesson
from auricle.teach.clips import sounding
from auricle.teach.embedding import Embeddings, Room, Trunk
from auricle_build import bank
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip

CROPS = 10
_MOST_BYTES = 2**30
Vectors = NDArray[np.float64]


class Embedded:
    """Gives embeddings of recordings as numbers, made once.

    Args:
        trunk: makes them.
        cache: the folder to keep them in; None keeps none.
    """

    def __init__(self, trunk: Trunk, cache: Path | None) -> None:
        self.trunk, self._cache = trunk, cache

    def crops(self, clip: Clip) -> Vectors:
        """Return ten windows of a clip, somewhere in what sounds of it, as it was recorded ``(10, size)``."""
        return self._kept(f"{CROPS} crops", [clip], lambda: _crops(self.trunk, clip))

    def lesson(self, clip: Clip) -> Vectors:
        """Return windows of a clip as `auricle teach` draws them where no room is given ``(k, size)``."""
        what = f"{embedding.DRAWS} draws at {embedding.GAINS_DB} dB"
        return self._kept(what, [clip], lambda: _lesson(self.trunk, clip))

    def bank(
        self, clips: Sequence[Clip], places: Collection[str], vectors: int, say: Callable[[str], None]
    ) -> tuple[Vectors, list[str]]:
        """Return a bank as `auricle_build.bank` makes it, and the kind of each of its windows."""
        kinds: list[str] = []

        def made() -> Embeddings:
            embeddings, of = bank.made(self.trunk, clips, places, vectors, say=say)
            kinds.extend(of)
            return embeddings

        named = f"bank of {vectors}, {sorted(places)}"
        values = self._kept(named, clips, made)
        whose = self._file(named + " kinds", clips)
        if whose is not None and kinds:
            _write(whose, np.frombuffer("\n".join(kinds).encode(), np.uint8))
        elif whose is not None:
            kinds = _read(whose, 1).tobytes().decode().split("\n")
        return values, kinds

    def heard(self, path: Path) -> Vectors:
        """Return every decision of a recording, as the daemon hears it ``(k, size)``."""

        def made() -> Embeddings:
            return self.trunk.windows(np.concatenate(list(Reader(str(path), self.trunk.rate).heard(1 << 16))))[0]

        return self._kept(f"every {self.trunk.hop}", [Clip(path, "", "", 0)], made)

    def _kept(self, what: str, clips: Sequence[Clip], make: Callable[[], Embeddings]) -> Vectors:
        """Return what is kept of these clips, or make it and keep it."""
        file = self._file(what, clips)
        if file is not None and file.exists():
            return self.trunk.values(_read(file, 2))
        made = make()
        if file is not None:
            _write(file, made)
        return self.trunk.values(made)

    def _file(self, what: str, clips: Sequence[Clip]) -> Path | None:
        """Name the file: the network, what is made, and of what; a recording that was written anew is another."""
        if self._cache is None:
            return None
        of = [
            f"{clip.path.absolute()} {clip.path.stat().st_mtime_ns} {clip.onset_s} {clip.offset_s} {clip.label}"
            for clip in clips
        ]
        named = "\n".join((self.trunk.bundle.hash, what, *of))
        return self._cache / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.npz"


def _read(file: Path, dimensions: int) -> Embeddings:
    try:
        content = plain.read(file, _MOST_BYTES)
        held = arrays.read(file, content, {"kept": Member("iu", dimensions)}, _MOST_BYTES)
    except StoredError as e:
        raise OutputError(f"{e}; remove it") from None
    return held["kept"]


def _write(file: Path, kept: NDArray[np.int8] | NDArray[np.uint8]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new.npz")
        np.savez(new, kept=kept)
        new.replace(file)
    except OSError as e:
        raise OutputError(f"{file}: cannot be written: {e.strerror or e}") from None


def _sound(trunk: Trunk, clip: Clip) -> tuple[sounds.Sound, int, int]:
    sound = sounds.load(clip.path, trunk.rate, clip.onset_s, clip.offset_s)
    begin, end, _ = sounding(sound, trunk.rate)
    return sound, begin, end


def _crops(trunk: Trunk, clip: Clip) -> Embeddings:
    sound, begin, end = _sound(trunk, clip)
    sound, rng = sound[begin:end], np.random.default_rng(end - begin)
    windows = []
    for _ in range(CROPS):
        part = sound[int(rng.integers(max(1, len(sound) - trunk.span + 1))) :][: trunk.span]
        window = np.zeros(trunk.span, np.float32)
        at = int(rng.integers(trunk.span - len(part) + 1))
        window[at : at + len(part)] = part
        windows.append(trunk.windows(window)[0])
    return np.concatenate(windows)


def _lesson(trunk: Trunk, clip: Clip) -> Embeddings:
    sound, begin, end = _sound(trunk, clip)
    lesson = Lesson(clip.path, sound, begin, end, "")
    return embedding.drawn(trunk, lesson, Room(trunk, None), np.random.default_rng(end - begin))
