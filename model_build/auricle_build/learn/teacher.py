"""A larger network says what it hears in a clip: a second target to learn from (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from auricle.errors import AudioError, ConfigError
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip
from auricle_build.material.rows import Counting

SAMPLE_RATE = 16000


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


def taught_by(
    model: Path, clips: Sequence[Clip], cache: Path | None = None, progress: Counting | None = None
) -> list[Taught]:
    """Ask a waveform classifier (YAMNet: 15,600 samples in, 521 scores out) for its logits along each clip.

    They are standardised: mean 0 and variance 1 over all windows of all clips. A clip's digital silence is cut off, a
    short clip repeated.

    Raises:
        ConfigError: the model is not there.
        AudioError: a clip cannot be read or is empty.
    """
    if not model.exists():
        raise ConfigError([f"{model}: no teacher there; give its path or leave data.teacher out"])
    version = "windows " + hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    n = int(np.prod(source["shape"]))

    def heard(samples: sounds.Sound) -> NDArray[np.float16]:
        logits = []
        for begin in range(0, len(samples) - n + 1, n // 2):
            interpreter.set_tensor(source["index"], samples[begin : begin + n].reshape(source["shape"]))
            interpreter.invoke()
            p = np.clip(interpreter.get_tensor(target["index"]).reshape(-1).astype(np.float64), 1e-6, 1.0 - 1e-6)
            logits.append(np.log(p / (1.0 - p)))
        return np.asarray(logits, np.float16)

    found, centres = [], []
    for i, clip in enumerate(clips, start=1):
        what = f"{version} {clip.onset_s} {clip.offset_s} {hashlib.sha256(clip.path.read_bytes()).hexdigest()}"
        key = hashlib.sha256(what.encode()).hexdigest()[:32]
        stored = cache / "teacher" / f"{key}.npz" if cache else None
        if stored is not None and stored.exists():
            with np.load(stored) as kept:
                logits, length = kept["logits"], int(kept["length"])
        else:
            samples = sounds.load(clip.path, SAMPLE_RATE, clip.onset_s, clip.offset_s)
            start, end = sounds.sounding(samples)
            samples = sounds.wrap(samples[start:end], n)
            if len(samples) < n:
                raise AudioError(f"{clip.path}: no sound to teach from")
            logits, length = heard(samples), len(samples)
            if stored is not None:
                stored.parent.mkdir(parents=True, exist_ok=True)
                part = stored.with_suffix(f".{os.getpid()}.part")
                with part.open("wb") as file:
                    np.savez(file, logits=logits, length=length)
                part.replace(stored)
        found.append(logits)
        centres.append((np.arange(len(logits)) * (n // 2) + n / 2) / length)
        if progress:
            progress(i, len(clips))
    everything = np.concatenate(found).astype(np.float32)
    mean, scatter = everything.mean(axis=0), everything.std(axis=0) + 1e-3
    return [Taught(((logits - mean) / scatter).astype(np.float16), c) for logits, c in zip(found, centres, strict=True)]
