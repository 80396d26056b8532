"""This draws what a daemon remembers of a time: scores, thresholds, events, and what was not heard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from auricle import messages
from auricle.config import printable
from auricle.messages import Event, Gap
from auricle.messages.questions import Explained


def draw(found: Explained, events: Sequence[Event], path: Path) -> None:
    """Draw each label's score over time, dotted its threshold, as bars the events, and grey what was not heard.

    Raises:
        OSError: the picture cannot be written.
        ValueError: there is nothing to draw, or the file's name says no form of a picture.
    """
    if not found.decisions:
        raise ValueError("no decisions are remembered of this time; ask about another")
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    begin_us = messages.microseconds(found.decisions[0].t)

    def after_s(time: str) -> float:
        return (messages.microseconds(time) - begin_us) / 1e6

    last_s = after_s(found.decisions[-1].t)
    gaps = [(after_s(each.t), after_s(each.t) + each.duration_s) for each in found.news if isinstance(each, Gap)]
    figure, (scores, level) = plt.subplots(
        2, 1, figsize=(10, 5.5), layout="constrained", sharex=True, height_ratios=(4, 1)
    )
    for i, (label, rule) in enumerate(found.rules.items()):
        rows = [row for row in found.decisions if label in row.scores]
        color = f"C{i % 10}"
        times, values = parted([(after_s(row.t), row.scores[label]) for row in rows], gaps)
        scores.plot(times, values, color=color, linewidth=1.0, label=printable(label))
        if rule is not None:
            scores.axhline(rule.threshold, color=color, linewidth=0.6, linestyle=":")
        for event in events:
            if event.label == label:
                onset_s = after_s(event.onset)
                offset_s = last_s if event.offset is None else after_s(event.offset)
                scores.broken_barh([(onset_s, offset_s - onset_s)], (1.02 + 0.03 * i, 0.025), color=color)
    for lost_s, back_s in gaps:
        for axes in (scores, level):
            axes.axvspan(lost_s, back_s, color="0.85")
    scores.set(ylabel="score (dotted: threshold; bars: events)", ylim=(0, 1.05 + 0.03 * len(found.rules)))
    scores.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    level.plot(*parted([(after_s(row.t), row.level_dbfs) for row in found.decisions], gaps), linewidth=0.7)
    level.set(ylabel="dBFS", xlabel=f"s after {found.decisions[0].t}", xlim=(0, max(last_s, 1e-3)))
    figure.suptitle(printable(found.source), fontsize=10)
    try:
        figure.savefig(path, dpi=110)
    finally:
        plt.close(figure)


def parted(
    points: Sequence[tuple[float, float]], gaps: Sequence[tuple[float, float]]
) -> tuple[list[float], list[float]]:
    """Return the times and values of a curve, with a nan between those that have a gap between them: no line leads over
    what was not heard.

    Args:
        points: times and values, by time.
        gaps: their first and last moments.
    """
    times: list[float] = []
    values: list[float] = []
    for at_s, value in points:
        if times and any(lost_s < at_s and back_s > times[-1] for lost_s, back_s in gaps):
            times.append(at_s)
            values.append(math.nan)
        times.append(at_s)
        values.append(value)
    return times, values
