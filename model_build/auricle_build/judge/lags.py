"""A model speaks late; how late is measured here, so that the daemon can date an event back to where it was heard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auricle_build.grammar.material import Front
from auricle_build.judge.evaluate import RowScorer
from auricle_build.learn.batches import FLOOR_DB, add_db, coloured_noise
from auricle_build.material.rows import Rows


def measure(
    scorer: RowScorer,
    clips: Sequence[Rows],
    truth: NDArray[np.int64],
    background: int | None,
    white: Rows,
    front: Front,
    window_frames: int,
    hop_frames: int,
    *,
    threshold: float = 0.5,
    per_label: int = 8,
) -> tuple[int, int]:
    """Measure the onset and offset lag in samples: medians over the labels' medians.

    Each sound, cut from its first to its last loud frame (20 dB below its loudest), is set into six seconds of quiet
    noise 40 dB below it. The onset lag is the end of the first window over the threshold minus the sound's onset; the
    offset lag the end of the last window over it minus the sound's offset.
    """
    hop_length, row = front.hop_length, front.span
    rng = np.random.default_rng(5)
    onsets: dict[int, list[float]] = {}
    offsets: dict[int, list[float]] = {}
    for rows, label in zip(clips, truth.tolist(), strict=True):
        if label == background or len(onsets.get(label, ())) >= per_label:
            continue
        rows = np.asarray(rows, np.float32)
        level = rows.mean(axis=1)
        loud = np.flatnonzero(level > level.max() - 20.0)
        sound = rows[loud[0] : loud[-1] + 1][:600]
        before = window_frames + 40
        noise = coloured_noise(rng, white, 1, before + len(sound) + window_frames + 40)[0]
        noise = np.maximum(noise - noise.mean() + level.max() - 40.0, FLOOR_DB).astype(np.float32)
        scene = noise.copy()
        scene[before : before + len(sound)] = add_db(noise[before : before + len(sound)], sound)
        over = np.flatnonzero(scorer(scene)[:, label] > threshold)
        ends = (over * hop_frames + window_frames - 1) * hop_length + row
        after_onset = ends[ends > before * hop_length]
        if len(after_onset):
            onsets.setdefault(label, []).append(float(after_onset[0] - before * hop_length))
            offsets.setdefault(label, []).append(float(ends[-1] - ((before + len(sound) - 1) * hop_length + row)))
    if not onsets:
        return 0, 0
    middle = [float(np.median([np.median(v) for v in found.values()])) for found in (onsets, offsets)]
    return round(middle[0]), round(middle[1])
