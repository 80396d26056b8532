"""Scores are made to mean what they say here: scale and shift of every label's logits, fitted on sounds kept aside
(Platt 1999).

Of the windows with a calibrated score of about 0.7, about seven in ten hold the label.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError

Floats = NDArray[np.float32]

PRIOR = 3.0
"""How firmly a scale is held to 1 and a shift to 0, in windows: a label with few windows stays near what it said."""
EDGES = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True)
class UnseenWindows:
    """Holds windows of sounds that a network was not trained on.

    Args:
        logits: what the network said ``(n, n_labels)``.
        y: what is in them ``(n, n_labels)``, 0 or 1.
        weight: how sure that is ``(n, n_labels)``.
    """

    logits: Floats
    y: Floats
    weight: Floats

    def save(self, path: Path) -> None:
        """Keep the windows."""
        np.savez_compressed(path, logits=self.logits, y=self.y, weight=self.weight)

    @classmethod
    def load(cls, path: Path) -> UnseenWindows:
        """Load what :meth:`save` kept.

        Raises:
            ConfigError: the file is not there, or is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["logits"], stored["y"], stored["weight"])
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError([f"{path}: no windows of a fold kept aside: {error}"]) from error

    @classmethod
    def joined(cls, parts: Sequence[UnseenWindows]) -> UnseenWindows:
        """Join several lots."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "y", "weight")))


def fit(windows: UnseenWindows, taught: Sequence[bool]) -> tuple[Floats, Floats]:
    """Fit the scale and shift of each label ``(n_labels,)``; 1 and 0 of labels that no recording taught.

    Logistic regression by Newton's method, pulled towards what the network said.
    """
    n = windows.logits.shape[1]
    scale, shift = np.ones(n), np.zeros(n)
    for label in np.flatnonzero(taught).tolist():
        x = windows.logits[:, label].astype(np.float64)
        y, weight = (part[:, label].astype(np.float64) for part in (windows.y, windows.weight))
        ab = np.asarray([1.0, 0.0])
        design = np.stack([x, np.ones_like(x)], axis=1)
        for _ in range(30):
            p = 1.0 / (1.0 + np.exp(-np.clip(design @ ab, -30.0, 30.0)))
            gradient = design.T @ (weight * (p - y)) + PRIOR * (ab - [1.0, 0.0])
            curvature = (design * (weight * p * (1.0 - p))[:, None]).T @ design + PRIOR * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            ab -= np.clip(step, -1.0, 1.0)
            if np.abs(step).max() < 1e-6:
                break
        scale[label], shift[label] = max(ab[0], 0.2), ab[1]
    return scale.astype(np.float32), shift.astype(np.float32)


@dataclass(frozen=True)
class Bin:
    """Counts windows and labels whose scores lie together: how many, their mean score, and the share that holds the
    label."""

    low: float
    high: float
    count: int
    score: float
    held: float


def reliability(windows: UnseenWindows, taught: Sequence[bool], scale: Floats, shift: Floats) -> list[Bin]:
    """Tabulate calibrated scores against the truth, over all labels that were taught."""
    mine = np.flatnonzero(taught)
    score = 1.0 / (1.0 + np.exp(-(windows.logits[:, mine] * scale[mine] + shift[mine])))
    weight, y = windows.weight[:, mine], windows.y[:, mine]
    sure = weight > 0.5
    score, y = score[sure], y[sure]
    found = []
    for low, high in itertools.pairwise(EDGES):
        inside = (score >= low) & ((score < high) | (high == 1.0))
        if inside.any():
            found.append(
                Bin(float(low), float(high), int(inside.sum()), float(score[inside].mean()), float(y[inside].mean()))
            )
    return found


def error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: by how much score and truth differ, over the bins (Guo et al. 2017)."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.score - each.held) for each in bins) / total if total else 0.0


def crossed(parts: Sequence[UnseenWindows]) -> tuple[list[Bin], list[Bin]]:
    """Tabulate several lots of windows as they are, and each calibrated by all of the others.

    A fit fits its own lot best: so each lot is calibrated by a fit made without that lot.
    """
    y = np.concatenate([part.y for part in parts])
    taught: list[bool] = np.any(y > 0.5, axis=0).tolist()
    told = []
    for i, part in enumerate(parts):
        scale, shift = fit(UnseenWindows.joined([*parts[:i], *parts[i + 1 :]]), taught)
        told.append(UnseenWindows(part.logits * scale + shift, part.y, part.weight))
    one, zero = np.ones(y.shape[1], np.float32), np.zeros(y.shape[1], np.float32)
    before, after = (reliability(UnseenWindows.joined(lots), taught, one, zero) for lots in (parts, told))
    return before, after
