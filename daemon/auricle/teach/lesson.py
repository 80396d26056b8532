"""A label is taught here: clips become embeddings, these a head that is judged and calibrated, and a rule for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.errors import UsageError
from auricle.hearing import precedence
from auricle.teach import embedding, heard, judged
from auricle.teach.bank import Background
from auricle.teach.clips import Clip
from auricle.teach.embedding import Embeddings, Room, Trunk
from auricle.teach.fit import fit
from auricle.teach.heard import Heard
from auricle.teach.judged import Judged, Lesson

LEAST_BACKGROUND = 200
"""Windows: with fewer nobody can say what a false alarm is."""
NOISES = 60
"""Windows of nothing but noise or room: what clips are mixed with is no sign of them."""
GOLDEN = 4
_SEED = 22
Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Taught:
    """Holds a label that was taught.

    Args:
        weights, bias: of the calibrated head, upon the embedding's int8 numbers.
        golden: embeddings of some of its clips ``(k, size)``.
        judged: what it is worth.
        kinds: of every window of the background.
        scores: of the network's own labels, the highest of each while the clips passed, on average ``(n_scores,)``.
        hysteresis: how far below the threshold its events end.
        lags: samples by which it speaks late of a beginning and an end.
        alike: which windows of a remembered room are taken for the sound itself; ``None`` without one.
    """

    weights: NDArray[np.float64]
    bias: float
    golden: Embeddings
    judged: Judged
    kinds: Sequence[str]
    scores: NDArray[np.float32]
    hysteresis: float
    lags: tuple[int, int]
    alike: NDArray[np.bool_] | None


def teach(
    trunk: Trunk,
    clips: Sequence[Clip],
    others: Sequence[Clip],
    room: Room,
    bank: Background,
    progress: Progress,
    remembered: Heard | None = None,
) -> Taught:
    """Teach one label.

    Args:
        trunk: the network.
        clips, others: with the sound and without.
        room: where it will be heard.
        bank: background.
        progress: told the share that is done.
        remembered: what the daemon does of its rooms.

    Raises:
        UsageError: there is too little background.
    """
    rng = np.random.default_rng(_SEED)
    drawn, passing, begins, own = [], [], [], []
    for i, clip in enumerate(clips):
        drawn.append(embedding.drawn(trunk, clip, room, rng))
        came, scores, begin = embedding.passing(trunk, clip, room, rng)
        passing.append(came)
        begins.append(begin)
        own.append(scores.max(axis=0))
        progress(0.6 * (i + 1) / len(clips))
    background = bank.joined(room.embeddings, "the room")
    for other in others:
        background = background.joined(embedding.drawn(trunk, other, room, rng), f"not/{other.path.name}")
    noises = [
        trunk.windows(room.piece(rng, trunk.span) * np.float32(10 ** -rng.uniform(1, 3)))[0] for _ in range(NOISES)
    ]
    background = background.joined(np.concatenate(noises), "noise")
    values = [trunk.values(each) for each in drawn]
    alike: NDArray[np.bool_] | None = None
    if remembered is not None:
        alike = np.zeros(len(remembered), np.bool_)
        if len(background.kinds) - NOISES >= LEAST_BACKGROUND:
            alike = heard.alike(values, trunk.values(background.embeddings), trunk.values(remembered.embeddings))
        background = background.joined(remembered.embeddings[~alike], "the room")
    if (others_are := len(background.kinds) - NOISES) < LEAST_BACKGROUND:
        raise UsageError(
            f"model {trunk.card.name}: it has no bank of background, and {others_are} windows of a room are too few; "
            f"give --room a recording of {LEAST_BACKGROUND * trunk.span / trunk.rate / 60:.0f} minutes or more"
        )
    progress(0.7)
    decision = precedence.held(trunk.card, config.Decision(), "")
    lesson = Lesson(
        drawn=values,
        passing=[trunk.values(each) for each in passing],
        negatives=trunk.values(background.embeddings),
        window_s=trunk.span / trunk.rate,
        smoothing=max(1, round(decision.smoothing_ms.value * trunk.rate / 1000 / trunk.hop)),
    )
    head = fit(np.concatenate(lesson.drawn), lesson.negatives)
    progress(0.8)
    found = judged.judge(lesson, head)
    progress(1.0)
    # Embeddings are scale * (q - zero_point): the head stands behind the int8 numbers q themselves.
    affine = trunk.card.embedding
    assert affine is not None
    weights = found.scale * affine.scale * head.weights
    bias = found.scale * head.bias + found.shift - float(weights.sum()) * affine.zero_point
    hysteresis = min(decision.hysteresis.value, found.threshold / 2)
    return Taught(
        weights=weights,
        bias=bias,
        golden=np.stack([each[0] for each in drawn[:GOLDEN]]),
        judged=found,
        kinds=background.kinds,
        scores=np.mean(own, axis=0),
        hysteresis=hysteresis,
        lags=_lags(trunk, clips, begins, lesson.smoothing, found, hysteresis),
        alike=alike,
    )


def _lags(
    trunk: Trunk, clips: Sequence[Clip], begins: Sequence[int], smoothing: int, found: Judged, hysteresis: float
) -> tuple[int, int]:
    """Measure how many samples after its beginning and its end the scores pass the threshold, and fall below what ends
    an event: medians over the clips that are noticed."""
    onsets, offsets = [], []
    for clip, begin, scores in zip(clips, begins, found.left, strict=True):
        ends = trunk.span + (smoothing - 1 + np.arange(len(scores))) * trunk.hop
        over = np.flatnonzero(scores >= found.threshold)
        if not len(over):
            continue
        lasting = np.flatnonzero(scores[over[0] :] < found.threshold - hysteresis)
        last = over[0] + (int(lasting[0]) - 1 if len(lasting) else len(scores) - 1 - over[0])
        onsets.append(max(0, int(ends[over[0]]) - begin))
        offsets.append(max(0, int(ends[last]) - begin - (clip.end - clip.begin)))
    if not onsets:
        return trunk.card.timing.onset_lag_samples, trunk.card.timing.offset_lag_samples
    return int(np.median(onsets)), int(np.median(offsets))
