"""Pictures show what was learned, drawn with matplotlib (the extra ``plot``): the scores of clips that were left out
against other sound, the learning curve, and how the hardest clips look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from auricle.errors import OutputError
from auricle.features import front_end
from auricle.teach.course import Course

NAMES = ("scores.png", "curve.png", "hardest.png")


def draw(course: Course, folder: Path) -> None:
    """Draw three pictures into a folder.

    Raises:
        OutputError: they cannot be written there.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figures = [_scores(plt, course), _curve(plt, course), _hardest(plt, course)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in zip(NAMES, figures, strict=True):
            figure.savefig(folder / name, dpi=110)
    except OSError as e:
        raise OutputError(f"{e.filename or folder}: cannot be written: {e.strerror or e}") from None
    finally:
        for figure in figures:
            plt.close(figure)


def _scores(plt: Any, course: Course) -> Any:
    """Draw every clip's highest score, and what other sound is given, in the order in which it lies."""
    found = course.taught.judged
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.2), sharey=True, width_ratios=(1, 2), layout="constrained"
    )
    numbers = np.arange(1, len(found.best) + 1)
    left.bar(numbers, found.best, color="tab:green")
    left.set(title=f"{course.label}: clips left out", xlabel="clip", ylabel="highest score", ylim=(0, 1.02))
    minutes = np.arange(len(found.background)) * found.hours * 60 / len(found.background)
    right.plot(minutes, found.background, linewidth=0.6, color="tab:grey")
    right.set(title="other sound, left out", xlabel="minutes")
    for axis in (left, right):
        axis.axhline(found.threshold, color="tab:red", label="one false alarm an hour")
        axis.axhline(found.threshold_of_a_day, color="tab:red", linestyle=":", label="one a day")
    right.legend(loc="upper left", fontsize="small")
    return figure


def _curve(plt: Any, course: Course) -> Any:
    figure, axis = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
    clips, recall = zip(*course.taught.judged.curve, strict=True)
    axis.plot(clips, recall, marker="o")
    axis.set(
        title=f"{course.label}: what more clips gave", xlabel="clips", ylabel="recall at one false alarm an hour",
        xlim=(0, None), ylim=(0, 1.02),
    )  # fmt: skip
    return figure


def _hardest(plt: Any, course: Course) -> Any:
    """Draw the hardest clips as the network takes them, bands over time."""
    hardest = course.hardest
    figure, axes = plt.subplots(1, len(hardest), figsize=(4 * len(hardest), 4.2), squeeze=False, layout="constrained")
    settings = course.trunk.card.front_end
    for axis, (clip, score) in zip(axes[0], hardest, strict=True):
        stages = front_end(**settings.params())
        short = max(0, stages.span - len(clip.sound))
        rows = stages.process(np.pad(clip.sound, (0, short)))
        seconds = len(rows) * settings.hop_length / settings.sample_rate
        axis.imshow(rows.T, origin="lower", aspect="auto", extent=(0, seconds, 0, rows.shape[1]))
        axis.set(title=f"{clip.path.name}: {score:.2f}", xlabel="seconds", ylabel="band")
    return figure
