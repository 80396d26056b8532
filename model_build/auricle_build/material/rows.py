"""Feature rows of every clip are computed here by the daemon's own stages and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import AudioError
from auricle.features import front_end
from auricle_build.grammar.material import Variant
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip

Rows = NDArray[np.floating[Any]]
Counting = Callable[[int, int], None]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Features:
    """Computes the rows of a recipe's front end, with a cache.

    Args:
        params: what ``auricle.features.front_end`` takes.
        window_frames: rows that a clip must have at least; shorter recordings are repeated (``wrap``).
        cache: folder for the rows; computed each time where none is given.
    """

    params: Mapping[str, Any]
    window_frames: int
    cache: Path | None = None

    @property
    def sample_rate(self) -> int:
        """Return the samples a second that the front end was made for."""
        return int(self.params["sample_rate"])

    @property
    def hop(self) -> int:
        """Return the samples from one row to the next."""
        return int(self.params["hop_length"])

    @cached_property
    def span(self) -> int:
        """Return the samples that one row needs."""
        return front_end(**self.params).span

    @property
    def window_samples(self) -> int:
        """Return the samples that one window needs."""
        return (self.window_frames - 1) * self.hop + self.span

    def of(self, sound: sounds.Sound, *, once: bool = False) -> Rows:
        """Compute the rows ``(k, n_features)`` float32 of samples ``(n,)``, repeated to one window where they are
        fewer.

        With ``once`` they are not repeated, only filled up with zeros to a single row.
        """
        missing = max(0, self.span - len(sound))
        sound = np.pad(sound, (0, missing)) if once else sounds.wrap(sound, self.window_samples)
        return front_end(**self.params).process(sound).astype(np.float32, copy=False)

    def load(self, clip: Clip, variant: Variant | None = None, *, trim: bool = False, once: bool = False) -> Rows:
        """Compute the rows of a clip, or find them in the cache, in half precision.

        Args:
            variant: changes to the sound; with ``gate`` it is heard through the daemon's noise gate, which with
                ``lead_s`` has learned a faint noise for so long before it.
            trim: drop the digital silence at its ends.
            once: leave a clip that is shorter than a window as it is.

        Raises:
            AudioError: the recording cannot be read.
        """
        try:
            source = _hash(clip.path)
        except OSError as error:
            raise AudioError(f"{clip.path}: cannot be read: {error}") from error
        what = [
            dict(self.params),
            self.window_frames,
            source,
            clip.onset_s,
            clip.offset_s,
            variant and variant.said(),
            trim,
        ]
        what += ["once"] * once
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
        stored = self.cache / key[:2] / f"{key}.npy" if self.cache else None
        if stored is not None and stored.exists():
            return np.asarray(np.load(stored))
        samples = sounds.load(clip.path, self.sample_rate, clip.onset_s, clip.offset_s)
        if trim:
            start, end = sounds.sounding(samples)
            samples = samples[start:end]
        if variant:
            samples = sounds.vary(samples, variant, int(source[:8], 16), self.sample_rate)
        # The gate is no property of the sound: it is the daemon's own stage, put before the features.
        gated = {**self.params, "gate": {}} if variant and variant.gate else self.params
        lead = int((variant.lead_s if variant else 0.0) * self.sample_rate) // self.hop * self.hop
        if lead:
            if not once:
                samples = sounds.wrap(samples, self.window_samples)
            samples = sounds.after_noise(samples, lead, int(source[:8], 16))
        rows = replace(self, params=gated).of(samples, once=once)[lead // self.hop :]
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            part = stored.with_suffix(f".{os.getpid()}.part")
            with part.open("wb") as file:
                np.save(file, rows.astype(np.float16))
            part.replace(stored)
        # Half precision errs by 0.03 dB at most: a sixteenth of the step of the network's input.
        return rows.astype(np.float16)


def load_all(
    features: Features,
    clips: Sequence[Clip],
    variant: Variant | None = None,
    *,
    trim: bool = False,
    once: bool = False,
    progress: Counting | None = None,
) -> tuple[list[Clip], list[Rows], list[str]]:
    """Compute the rows of many clips; those that cannot be read are left out and named.

    Returns:
        the clips that were read, their rows, and a line for each that was not.
    """
    read: list[Clip] = []
    rows: list[Rows] = []
    failed: list[str] = []
    for i, clip in enumerate(clips, start=1):
        try:
            rows.append(features.load(clip, variant, trim=trim, once=once))
            read.append(clip)
        except AudioError as error:
            failed.append(str(error))
        if progress:
            progress(i, len(clips))
    return read, rows, failed
