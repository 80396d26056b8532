"""A larger network says what it hears in a clip: a second target to learn from (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from auricle import config
from auricle.errors import AudioError, ConfigError
from auricle.hearing.hearer import Hearer
from auricle.model import bundle as bundles
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip
from auricle_build.material.rows import Counting

SAMPLE_RATE = 16000
HOP_MS = 480.0
"""A bundle says so often what it hears: two windows of YAMNet's overlap as much."""


@dataclass(frozen=True)
class Taught:
    """Holds what a teacher heard in a clip, in time.

    Args:
        scores: standardised logits ``(n_windows, n_scores)`` float16.
        centres: middle of each of its windows, as a share (0 to 1) of the clip.
    """

    scores: NDArray[np.float16]
    centres: NDArray[np.float64]

    def at(self, share: float) -> NDArray[np.float32]:
        """Return the scores ``(n_scores,)`` about a place in the clip, between the two nearest windows in
        proportion."""
        right = int(np.searchsorted(self.centres, share))
        if right in (0, len(self.centres)):
            return np.asarray(self.scores[min(right, len(self.centres) - 1)], np.float32)
        before, after = self.centres[right - 1 : right + 1]
        part = np.float32((share - before) / (after - before))
        return np.asarray((1 - part) * self.scores[right - 1] + part * self.scores[right], np.float32)


class _Teacher(Protocol):
    """Whoever is asked: it hears ``span`` samples at a time, every ``hop`` samples."""

    version: str
    span: int
    hop: int

    def logits(self, samples: sounds.Sound) -> NDArray[np.float16]:
        """Return the logits ``(n_windows, n_scores)`` along the samples, of which there is one window at least."""


class _Waveform:
    """Asks a TFLite graph that takes samples and gives scores (YAMNet: 15,600 samples in, 521 scores out)."""

    def __init__(self, model: Path) -> None:
        self.version = "windows " + hashlib.sha256(model.read_bytes()).hexdigest()[:16]
        self._interpreter = Interpreter(str(model), num_threads=1)
        self._interpreter.allocate_tensors()
        (self._source,), (self._target, *_) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self.span = int(np.prod(self._source["shape"]))
        self.hop = self.span // 2

    def logits(self, samples: sounds.Sound) -> NDArray[np.float16]:
        found = []
        for begin in range(0, len(samples) - self.span + 1, self.hop):
            self._interpreter.set_tensor(
                self._source["index"], samples[begin : begin + self.span].reshape(self._source["shape"])
            )
            self._interpreter.invoke()
            found.append(self._interpreter.get_tensor(self._target["index"]).reshape(-1))
        return _log_odds(np.asarray(found))


class _Bundle:
    """Asks a bundle of ours, heard as the daemon hears it, without smoothing."""

    def __init__(self, folder: Path) -> None:
        bundle = bundles.load(str(folder))
        if bundle.card.front_end.sample_rate != SAMPLE_RATE:
            raise ConfigError([f"{folder}: a teacher hears {SAMPLE_RATE} samples a second; name another"])
        decision = config.Decision(hop_ms=HOP_MS, smoothing_ms=0.0)
        self._hearer = Hearer(bundle, decision, config.Gate())
        self.version = f"bundle {bundle.hash}"
        self.span, self.hop = self._hearer.span, self._hearer.hop

    def logits(self, samples: sounds.Sound) -> NDArray[np.float16]:
        return _log_odds(self._hearer.hear_blocks("a clip", iter([samples])).scores)


def _log_odds(scores: NDArray[np.float32]) -> NDArray[np.float16]:
    p = np.clip(scores.astype(np.float64), 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(p / (1.0 - p)), np.float16)


def taught_by(
    model: Path, clips: Sequence[Clip], cache: Path | None = None, progress: Counting | None = None
) -> list[Taught]:
    """Ask a waveform classifier, or a bundle of ours, for its logits along each clip.

    They are standardised: mean 0 and variance 1 over all windows of all clips. A clip's digital silence is cut off, a
    short clip repeated.

    Args:
        model: a TFLite graph that takes samples, or a bundle's folder.

    Raises:
        ConfigError: the model is not there, or hears another rate.
        AudioError: a clip cannot be read or is empty.
    """
    if not model.exists():
        raise ConfigError([f"{model}: no teacher there; give its path or leave data.teacher out"])
    teacher: _Teacher = _Bundle(model) if model.is_dir() else _Waveform(model)
    found, centres = [], []
    for i, clip in enumerate(clips, start=1):
        what = f"{teacher.version} {clip.onset_s} {clip.offset_s} {hashlib.sha256(clip.path.read_bytes()).hexdigest()}"
        key = hashlib.sha256(what.encode()).hexdigest()[:32]
        stored = cache / "teacher" / f"{key}.npz" if cache else None
        if stored is not None and stored.exists():
            with np.load(stored) as kept:
                logits, length = kept["logits"], int(kept["length"])
        else:
            samples = sounds.load(clip.path, SAMPLE_RATE, clip.onset_s, clip.offset_s)
            start, end = sounds.sounding(samples)
            samples = sounds.wrap(samples[start:end], teacher.span)
            if len(samples) < teacher.span:
                raise AudioError(f"{clip.path}: no sound to teach from")
            logits, length = teacher.logits(samples), len(samples)
            if stored is not None:
                stored.parent.mkdir(parents=True, exist_ok=True)
                part = stored.with_suffix(f".{os.getpid()}.part")
                with part.open("wb") as file:
                    np.savez(file, logits=logits, length=length)
                part.replace(stored)
        found.append(logits)
        centres.append((np.arange(len(logits)) * teacher.hop + teacher.span / 2) / length)
        if progress:
            progress(i, len(clips))
    everything = np.concatenate(found).astype(np.float32)
    mean, scatter = everything.mean(axis=0), everything.std(axis=0) + 1e-3
    return [Taught(((logits - mean) / scatter).astype(np.float16), c) for logits, c in zip(found, centres, strict=True)]
