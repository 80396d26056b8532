"""Pictures are drawn here with matplotlib, which nothing else at run time needs: the extra ``plot``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from auricle.config import printable
from auricle.judge.figures import Evaluation, Point
from auricle.judge.portrait import Portrait

NAMED = 12
"""The most labels that a legend names; the curves of others are grey."""
NAMED_EVENTS = 60
"""How many events of a recording a picture has room to name."""
MISSING = "matplotlib is missing; pip install 'auricle[plot]'"


def available() -> bool:
    """Return whether there is matplotlib."""
    return find_spec("matplotlib") is not None


def _figure(columns: int) -> tuple[Any, Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=(5.5 * columns, 4.6), layout="constrained", squeeze=False)
    return plt, figure, axes[0]


def _pairs(points: Sequence[Point], x: str, y: str) -> tuple[list[float], list[float]]:
    found = [(getattr(p, x), getattr(p, y)) for p in points]
    found = [(a, b) for a, b in found if a is not None and b is not None]
    return [a for a, _ in found], [b for _, b in found]


def curves(report: Evaluation, path: Path) -> None:
    """Draw precision over recall, and misses over false alarms an hour (DET), by label and over all."""
    plt, figure, (left, right) = _figure(2)
    heard = {label: points for label, points in report.curves.items() if any(p.recall is not None for p in points)}
    drawn = heard or report.curves
    for i, (label, points) in enumerate([*drawn.items(), ("all", report.curve)]):
        style: dict[str, Any] = {"label": label, "linewidth": 2.2 if label == "all" else 0.9}
        if i >= NAMED:
            style |= {"label": None, "color": "lightgrey"}
        if label == "all":
            style |= {"label": label, "color": "black"}
        recall, precision = _pairs(points, "recall", "precision")
        left.plot(recall, precision, **style)
        rate, recall = _pairs(points, "false_alarms_per_hour", "recall")
        right.plot(rate, [1 - r for r in recall], **style)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    right.set(xlabel="false alarms an hour", ylabel="missed", ylim=(0, 1.02))
    least = 0.5 / report.hours if report.hours else 0.1
    right.set_xscale("symlog", linthresh=least)
    right.set_xlim(left=0)
    now = report.overall
    if now.true and now.false_alarms.per_hour is not None:
        right.plot(
            [now.false_alarms.per_hour], [1 - now.noticed / now.true], "o", color="black", label="rules in force"
        )
    right.legend(fontsize=7)
    figure.suptitle(f"{report.model.name}: {report.recordings} recordings, {report.hours:.2f} h")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def tuning(
    curves_by_label: Mapping[str, Sequence[tuple[float, float, float | None]]],
    chosen: Mapping[str, tuple[float, float]],
    path: Path,
) -> None:
    """Draw false alarms an hour, and recall where the truth is known, over the threshold, each label at its duration
    chosen.

    Args:
        curves_by_label: label -> (threshold, false alarms an hour, recall) from low to high.
        chosen: label -> threshold before and after.
    """
    plt, figure, (left, right) = _figure(2)
    for i, (label, points) in enumerate(curves_by_label.items()):
        color, name = (f"C{i % 10}", label) if i < NAMED else ("lightgrey", None)
        thresholds = [t for t, _, _ in points]
        left.plot(thresholds, [rate for _, rate, _ in points], color=color, label=name, linewidth=1.1)
        left.axvline(chosen[label][1], color=color, linewidth=0.6, linestyle=":")
        recall = [(t, r) for t, _, r in points if r is not None]
        if recall:
            right.plot([t for t, _ in recall], [r for _, r in recall], color=color, linewidth=1.1)
            after = min(recall, key=lambda pair: abs(pair[0] - chosen[label][1]))
            right.plot(*after, "o", color=color, markersize=5)
    left.set(xlabel="threshold", ylabel="false alarms an hour", xlim=(0, 1))
    left.set_yscale("symlog", linthresh=0.5)
    left.set_ylim(bottom=0)
    left.legend(fontsize=7)
    right.set(xlabel="threshold (dot: chosen)", ylabel="recall", xlim=(0, 1), ylim=(0, 1.02))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def portrait(found: Portrait, path: Path) -> None:
    """Draw a recording: its spectrogram and level, the scores of the best labels, events and truth, over one time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    heights = {"spectrogram": 3.0, "level": 0.9, "scores": 1.8, "events": 1.1}
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(13, 8), layout="constrained", sharex=True, height_ratios=list(heights.values())
    )
    spectrum, level, scores, events = axes
    top = float(found.spectrogram.max())
    columns = len(found.level)
    extent = (0.0, columns * found.column_s, 0.0, found.top_hz)
    spectrum.imshow(
        found.spectrogram, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=top - 80, vmax=top
    )
    spectrum.set(ylabel="Hz")
    level.plot([(i + 0.5) * found.column_s for i in range(columns)], found.level, linewidth=0.7)
    level.set(ylabel="dBFS")
    for i, curve in enumerate(found.curves):
        scores.plot(curve.times_s, curve.scores, color=f"C{i}", linewidth=1.0, label=curve.label)
        scores.axhline(curve.threshold, color=f"C{i}", linewidth=0.6, linestyle=":")
    scores.set(ylabel="score (dotted: threshold)", ylim=(0, 1.02))
    if found.curves:
        scores.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    rows = {"reported": found.events} | ({} if found.truth is None else {"truth": found.truth})
    for y, told in enumerate(rows.values()):
        for event in told:
            # What is shorter than a line is wide would not be seen.
            lasts_s = max(event.offset_s - event.onset_s, found.duration_s / 1000)
            events.broken_barh([(event.onset_s, lasts_s)], (y - 0.4, 0.8), color=f"C{y}", alpha=0.5)
            if len(told) <= NAMED_EVENTS:
                events.text(event.onset_s, y, event.label, fontsize=7, va="center", clip_on=True)
    events.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(-0.6, len(rows) - 0.4), xlabel="s")
    events.set_xlim(0, max(found.duration_s, 1e-3))
    figure.suptitle(f"{printable(found.name)}{'' if not found.note else ' (cut short)'}", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)
