"""What a larger network hears in a clip: a second target to learn from (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from auricle.errors import AudioError, ConfigError
from auricle_build import sound as sounds
from auricle_build.clips import Clip
from auricle_build.rows import Progress

SAMPLE_RATE = 16000


def taught_by(
    model: Path, clips: Sequence[Clip], cache: Path | None = None, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Mean logits of a waveform classifier (YAMNet: 15,600 samples in, 521 scores out) over each clip, standardised.

    Shape:
        ``(n_clips, n_scores)`` float32, of mean 0 and variance 1 over the clips; a clip's digital
        silence is cut off, a short clip repeated.

    Raises:
        ConfigError: the model is not there.
    """
    if not model.exists():
        raise ConfigError([f"{model}: no teacher there; give its path or leave data.teacher out"])
    version = "logits " + hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    n = int(np.prod(source["shape"]))
    out = []
    for i, clip in enumerate(clips, start=1):
        what = f"{version} {clip.onset_s} {clip.offset_s} {hashlib.sha256(clip.path.read_bytes()).hexdigest()}"
        key = hashlib.sha256(what.encode()).hexdigest()[:32]
        stored = cache / "teacher" / f"{key}.npy" if cache else None
        if stored is not None and stored.exists():
            mean = np.load(stored)
        else:
            samples = sounds.load(clip.path, SAMPLE_RATE, clip.onset_s, clip.offset_s)
            start, end = sounds.sounding(samples)
            samples = sounds.wrap(samples[start:end], n)
            if len(samples) < n:
                raise AudioError(f"{clip.path}: no sound to teach from")
            scores = []
            for begin in range(0, len(samples) - n + 1, n // 2):
                interpreter.set_tensor(source["index"], samples[begin : begin + n].reshape(source["shape"]))
                interpreter.invoke()
                p = np.clip(interpreter.get_tensor(target["index"]).reshape(-1).astype(np.float64), 1e-6, 1.0 - 1e-6)
                scores.append(np.log(p / (1.0 - p)))
            mean = np.mean(scores, axis=0)
            if stored is not None:
                stored.parent.mkdir(parents=True, exist_ok=True)
                np.save(stored, mean)
        out.append(mean)
        if progress:
            progress(i, len(clips))
    logits = np.stack(out)
    return np.asarray((logits - logits.mean(axis=0)) / (logits.std(axis=0) + 1e-3), np.float32)
