"""Pictures are drawn here with matplotlib, which nothing else at run time needs: the extra ``plot``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from auricle.config import printable
from auricle.judge.figures import Evaluation, Point
from auricle.judge.portrait import Portrait

NAMED = 10
"""The most labels that a legend names, each in a colour of its own; the curves of others are grey."""
MOST_ROWS = 12
"""How many labels have a row for their events in the picture of a recording; others share one."""
OTHERS = "others"
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


def _apart(ticks: Iterable[float], least: float) -> list[float]:
    """Return the ticks of an axis that is linear below ``least`` without those that would be written over its 0."""
    return [tick for tick in ticks if tick == 0 or tick >= least]


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
    right.set_xticks(_apart(right.get_xticks(), least))
    now = report.overall
    if now.true and now.false_alarms.per_hour is not None:
        right.plot(
            [now.false_alarms.per_hour], [1 - now.noticed / now.true], "o", color="black", label="rules in force"
        )
    figure.legend(*right.get_legend_handles_labels(), fontsize=7, loc="outside right upper")
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
    # What has a recall, and then what raises the most false alarms, is what a person looks for.
    order = sorted(
        curves_by_label.items(),
        key=lambda item: (all(r is None for _, _, r in item[1]), -max((rate for _, rate, _ in item[1]), default=0.0)),
    )
    for i, (label, points) in reversed(list(enumerate(order))):
        color, name = (f"C{i}", label) if i < NAMED else ("lightgrey", None)
        thresholds = [t for t, _, _ in points]
        left.plot(thresholds, [rate for _, rate, _ in points], color=color, label=name, linewidth=1.1)
        if name is not None:
            left.axvline(chosen[label][1], color=color, linewidth=0.6, linestyle=":")
        recall = [(t, r) for t, _, r in points if r is not None]
        if recall:
            right.plot([t for t, _ in recall], [r for _, r in recall], color=color, linewidth=1.1)
            after = min(recall, key=lambda pair: abs(pair[0] - chosen[label][1]))
            right.plot(*after, "o", color=color, markersize=5)
    left.set(xlabel="threshold (dotted: chosen)", ylabel="false alarms an hour", xlim=(0, 1))
    left.set_yscale("symlog", linthresh=0.5)
    left.set_ylim(bottom=0)
    left.set_yticks(_apart(left.get_yticks(), 0.5))
    lines, names = left.get_legend_handles_labels()
    figure.legend(lines[::-1], names[::-1], fontsize=7, loc="outside right upper")
    right.set(xlabel="threshold (dot: chosen)", ylabel="recall", xlim=(0, 1), ylim=(0, 1.02))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def portrait(found: Portrait, path: Path) -> None:
    """Draw a recording: its spectrogram and level, scores, events and truth, over one time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    labels = rows(found)
    heights = {"spectrogram": 3.0, "level": 0.9, "scores": 1.8, "events": 0.4 + 0.22 * len(labels)}
    figure, axes = plt.subplots(
        len(heights),
        1,
        figsize=(13, 1.2 + sum(heights.values())),
        layout="constrained",
        sharex=True,
        height_ratios=list(heights.values()),
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
    colors = {curve.label: f"C{i}" for i, curve in enumerate(found.curves)}
    for told, height, what in ((found.events, -0.4, "reported"), (found.truth or (), 0.0, "truth")):
        for event in told:
            # What is shorter than a line is wide would not be seen.
            lasts_s = max(event.offset_s - event.onset_s, found.duration_s / 1000)
            name = printable(event.label)
            y = labels.index(name if name in labels else OTHERS)
            color = "grey" if what == "truth" else colors.get(event.label, "black")
            events.broken_barh([(event.onset_s, lasts_s)], (y + height, 0.4), color=color)
    shown = "reported" if found.truth is None else "reported, and below it in grey the truth"
    events.set(
        yticks=range(len(labels)), yticklabels=labels, ylim=(max(1, len(labels)) - 0.4, -0.6), xlabel=f"s ({shown})"
    )
    events.tick_params(axis="y", labelsize=7)
    events.grid(axis="y", linewidth=0.3)
    events.set_axisbelow(True)
    events.set_xlim(0, max(found.duration_s, 1e-3))
    figure.suptitle(f"{printable(found.name)}{'' if not found.note else ' (cut short)'}", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def rows(found: Portrait) -> list[str]:
    """Return the labels of a recording's events and truth, in the order in which they begin; too many end in one."""
    told = [(event.onset_s, event.label) for event in found.events]
    told += [(event.onset_s, event.label) for event in found.truth or ()]
    labels = list(dict.fromkeys(printable(label) for _, label in sorted(told)))
    return labels if len(labels) <= MOST_ROWS else [*labels[: MOST_ROWS - 1], OTHERS]
