"""This is how well a model hears: the scores of `auricle classify` over clips that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from auricle_build.int8.quantise import Quantised, forward
from auricle_build.learn.network import Network
from auricle_build.material.rows import Rows

Scores = NDArray[np.float32]
RowScorer = Callable[[Rows], Scores]
"""Takes a clip's rows ``(k, n_features)`` and gives scores ``(n_windows, n_labels)``."""


def activate(logits: Any, head: str) -> Any:
    """Turn logits into scores."""
    return tf.nn.sigmoid(logits) if head == "sigmoid" else tf.nn.softmax(logits)


def float_scorer(network: Network, *, window_frames: int, hop_frames: int, stride_frames: int, head: str) -> RowScorer:
    """Build a scorer before quantisation: the trunk runs once over the clip, its columns are pooled window by
    window."""

    def pool(x: Any) -> Any:
        y = network.columns_of(x, training=False)
        return tf.nn.avg_pool2d(y, [network.columns, 1], [hop_frames // stride_frames, 1], "VALID")[:, :, 0]

    pooled = tf.function(pool, reduce_retracing=True)

    w, b = network.heads[0]

    def score(rows: Rows) -> Scores:
        n = (len(rows) - window_frames) // hop_frames + 1
        return np.asarray(activate(pooled(rows[None])[0] @ w + b, head)[:n], np.float32)

    return score


def folded_scorer(model: Quantised, *, window_frames: int, hop_frames: int, stride_frames: int) -> RowScorer:
    """Build a scorer of the weights that int8 was made of, unrounded: int8 is compared with it."""

    def pool(columns: Any) -> Any:
        return tf.nn.avg_pool2d(columns, [model.columns, 1], [hop_frames // stride_frames, 1], "VALID")

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def scores(x: Any) -> Any:
        logits = forward(model.ops, model.weights, x, lambda place, op, y: y, fake=False, pool=pool)
        return activate(logits, model.head)

    def score(rows: Rows) -> Scores:
        n = (len(rows) - window_frames) // hop_frames + 1
        return np.asarray(scores(np.asarray(rows[None], np.float32))[0][:n], np.float32)

    return score


def int8_scorer(model: bytes, *, window_frames: int, hop_frames: int, threads: int = 1) -> RowScorer:
    """Build a scorer of a quantised ``model.tflite``, dequantised: every window on its own, as the format defines
    it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    in_scale, in_zero = source["quantization"]
    out_scale, out_zero = target["quantization"]

    def score(rows: Rows) -> Scores:
        q = np.clip(np.rint(rows / np.float32(in_scale)) + in_zero, -128, 127).astype(np.int8)
        out = []
        for begin in range(0, len(q) - window_frames + 1, hop_frames):
            interpreter.set_tensor(source["index"], q[begin : begin + window_frames].reshape(source["shape"]))
            interpreter.invoke()
            out.append(interpreter.get_tensor(target["index"]).reshape(-1).astype(np.float32))
        return np.asarray((np.stack(out) - out_zero) * np.float32(out_scale), np.float32)

    return score


@dataclass(frozen=True)
class Judgement:
    """Holds clip scores beside the truth.

    Args:
        labels: names, background last where there is one.
        truth: index of each clip's label.
        scores: ``(n_clips, n_labels)``, means over each clip's windows.
        windows: for each clip its ``(n_windows, n_labels)`` scores.
    """

    labels: Sequence[str]
    background: str | None
    truth: NDArray[np.int64]
    scores: Scores
    windows: Sequence[Scores]

    @property
    def events(self) -> list[int]:
        """Return indices of the labels other than background."""
        return [i for i, label in enumerate(self.labels) if label != self.background]

    def of_events(self) -> NDArray[np.bool_]:
        """Return which clips are of an event label."""
        return np.isin(self.truth, self.events)

    def accuracy(self, *, with_background: bool = False) -> float:
        """Return the share of the event clips whose highest score is right; among the event labels, or among all."""
        mine = self.of_events()
        if not mine.any():
            return float("nan")
        scores = self.scores[mine]
        if with_background:
            found = scores.argmax(axis=1)
        else:
            found = np.asarray(self.events)[scores[:, self.events].argmax(axis=1)]
        return float(np.mean(found == self.truth[mine]))

    def confusion(self) -> NDArray[np.int64]:
        """Count clips by truth (rows) and highest score (columns), background included."""
        n = len(self.labels)
        return np.bincount(self.truth * n + self.scores.argmax(axis=1), minlength=n * n).reshape(n, n)

    def per_label(self) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and the number of clips, by label, background included."""
        table = self.confusion()
        out = {}
        for i, label in enumerate(self.labels):
            hit, said, are = table[i, i], table[:, i].sum(), table[i].sum()
            precision, recall = hit / said if said else 0.0, hit / are if are else 0.0
            f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
            out[label] = {"precision": float(precision), "recall": float(recall), "f1": float(f1), "clips": int(are)}
        return out

    def recall_among_events(self) -> dict[str, float]:
        """Return the share of each event label's clips found, argmax without background."""
        events = np.asarray(self.events)
        found = events[self.scores[:, events].argmax(axis=1)]
        return {self.labels[i]: float(np.mean(found[self.truth == i] == i)) for i in events if (self.truth == i).any()}

    def calibration(self, n_bins: int = 10) -> float:
        """Return the expected calibration error: confidence against accuracy over bins of equal width (Guo et al.
        2017)."""
        top, right = self.scores.max(axis=1), self.scores.argmax(axis=1) == self.truth
        bins = np.minimum((top * n_bins).astype(int), n_bins - 1)
        gaps = [abs(right[bins == b].mean() - top[bins == b].mean()) * np.mean(bins == b) for b in set(bins.tolist())]
        return float(np.sum(gaps))


def judge(
    scorer: RowScorer, rows: Sequence[Rows], truth: NDArray[np.int64], labels: Sequence[str], background: str | None
) -> Judgement:
    """Score clips."""
    windows = [scorer(np.asarray(r, np.float32)) for r in rows]
    return Judgement(labels, background, truth, np.stack([w.mean(axis=0) for w in windows]), windows)


def mistakes(
    scorer: RowScorer,
    rows: Sequence[Sequence[Rows]],
    clips: NDArray[np.int64],
    n_events: int,
    window_frames: int,
    hop_frames: int,
    *,
    above: float = 0.2,
    per_clip: int = 12,
) -> NDArray[np.int64]:
    """Find where a network hears one of its labels in clips that hold none: hard negatives to train on.

    Args:
        rows: the clips' rows, unchanged ones first; ``clips`` says which of them hold none of the labels.
        n_events: the labels other than background, which stand first.
        above: the score from which a window counts.
        per_clip: at most so many places of a clip, evenly spread over it.

    Shape:
        ``(n, 2)``: clip, and the first row of the window.
    """
    found: list[tuple[int, int]] = []
    for clip in clips.tolist():
        if len(rows[clip][0]) < window_frames:
            continue
        score = scorer(np.asarray(rows[clip][0], np.float32))[:, :n_events].max(axis=1)
        windows = np.flatnonzero(score > above)
        found.extend((clip, i * hop_frames) for i in windows[:: max(1, -(-len(windows) // per_clip))].tolist())
    return np.asarray(found, np.int64).reshape(-1, 2)


def summary(judgement: Judgement) -> Mapping[str, float]:
    """Return the figures that a card and a log hold."""
    mine = judgement.of_events()
    picked = judgement.scores[np.arange(len(judgement.truth)), judgement.truth]
    return {
        "accuracy": judgement.accuracy(),
        "accuracy_with_background": judgement.accuracy(with_background=True),
        "background_kept": float(np.mean(judgement.scores[~mine].argmax(axis=1) == judgement.truth[~mine]))
        if (~mine).any()
        else float("nan"),
        "loss": float(-np.mean(np.log(np.maximum(picked, 1e-3)))),
        "calibration_error": judgement.calibration(),
    }
