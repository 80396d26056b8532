"""Recordings go through the runtime's decisions here, and these are held against the truth."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from auricle import messages
from auricle.errors import UsageError
from auricle.hearing.decision import Rule
from auricle.hearing.hearer import Hearer, Hearing, Progress
from auricle.judge import plots, scoring, truth
from auricle.judge.figures import Alarms, Evaluation, Figures, Point
from auricle.judge.scoring import Tally
from auricle.judge.truth import Event

CURVE = tuple(round(float(t), 4) for t in (*np.arange(0.05, 0.9, 0.05), *np.arange(0.9, 0.999, 0.01), 0.995))
"""Thresholds at which the curves are drawn."""
MANY = 100
"""Of more labels than this, only those are reported, drawn and tuned of which there is something to report."""


@dataclasses.dataclass(frozen=True)
class Heard:
    """Holds a recording, and what is really in it; nothing, of a negative."""

    hearing: Hearing
    truth: Sequence[Event]
    negative: bool = False


def gather(
    hearer: Hearer,
    paths: Sequence[str],
    truth_path: Path | None,
    negatives: Sequence[str],
    progress: Progress | None = None,
) -> tuple[list[Heard], list[str]]:
    """Hear recordings with their truth, and negatives; with a line for each that cannot be heard to its end.

    Raises:
        UsageError: recordings without truth, or nothing to hear.
        ConfigError: a truth file is missing or wrong.
    """
    if paths and truth_path is None:
        raise UsageError(
            "recordings need their truth: give --truth, or name them with --negatives if nothing is in them"
        )
    if not paths and not negatives:
        raise UsageError("nothing to hear; give recordings with --truth, or --negatives FOLDER")
    share = 0.5 if paths and negatives else 1.0

    def part(begin: float) -> Progress:
        return lambda done: None if progress is None else progress(begin + share * done)

    known, faults = hearer.hear_all(paths, part(0.0))
    found: list[Heard] = []
    if truth_path is not None and known:
        files = truth.find(truth_path, [hearing.path for hearing in known])
        for hearing in known:
            length_s = hearing.samples / hearer.rate
            # What lies behind a cut was not heard, and is no miss; behind the end of a whole file there can be nothing.
            events = truth.read(
                files[hearing.path], hearing.path, length_s=math.inf if hearing.cut is not None else length_s
            )
            events = [event for event in events if event.onset_s < length_s]
            found.append(Heard(hearing, truth.as_told(events, hearer.labels, hearer.contained)))
    quiet, more = hearer.hear_all(negatives, part(1.0 - share))
    found += [Heard(hearing, (), negative=True) for hearing in quiet]
    return found, faults + more


def alarms(count: int, hours: float) -> Alarms:
    """Turn a count in so many hours into a rate with its interval."""
    if hours <= 0:
        return Alarms(count, 0.0, None, None, None)
    low, high = scoring.poisson_interval(count)
    rate, low, high = (round(n / hours, 4) for n in (count, low, high))
    return Alarms(count, round(hours, 4), rate, low, high)


def evaluate(hearer: Hearer, heard: Sequence[Heard]) -> Evaluation:
    """Judge what the rules in force report."""
    labels = hearer.labels
    onset, both, segments = Tally(labels), Tally(labels), Tally(labels)
    wrong: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    late: dict[str, list[float]] = {label: [] for label in labels}
    for item in heard:
        reported = hearer.decide(item.hearing)
        onset.add_events(item.truth, reported, offsets=False)
        both.add_events(item.truth, reported, offsets=True)
        segments.add_segments(item.truth, reported, item.hearing.samples / hearer.rate)
        # A siren reported as an alarm is not wrong, though the siren was not noticed.
        right = truth.with_wholes(item.truth, hearer.contained)
        wrong.update(event.label for event in scoring.false_alarms(right, reported))
        noticed.update(event.label for event in scoring.noticed(item.truth, reported))
        for label, found in scoring.delays(item.truth, reported).items():
            if label in late:
                late[label] += found
    hours = hearer.hours([item.hearing for item in heard])

    def f1(tally: Tally, label: str) -> float | None:
        # Of a label that never occurs every figure would be 0: its false alarms say what there is to say.
        return _figure(tally.per_label[label].f1) if tally.per_label[label].true else None

    def of(label: str) -> Figures:
        counts = onset.per_label[label]
        return Figures(
            counts.true,
            counts.reported,
            noticed[label],
            f1(onset, label),
            f1(both, label),
            f1(segments, label),
            delay_s=_median(late[label]),
            false_alarms=alarms(wrong[label], hours),
        )

    def told(label: str) -> bool:
        return len(labels) <= MANY or bool(onset.per_label[label].true or onset.per_label[label].reported)

    total = onset.overall
    by_threshold = [(threshold, _counts(hearer, heard, threshold)) for threshold in CURVE]
    return Evaluation(
        model=messages.Model(hearer.bundle.card.name, hearer.bundle.hash),
        recordings=len(heard),
        hours=round(hours, 4),
        hours_without_events=round(hearer.hours([item.hearing for item in heard if item.negative]), 4),
        unknown_labels=truth.unknown_labels((event for item in heard for event in item.truth), labels),
        overall=Figures(
            total.true,
            total.reported,
            sum(noticed[label] for label in labels),
            _figure(onset.macro_f1),
            _figure(both.macro_f1),
            _figure(segments.macro_f1),
            delay_s=_median([delay for found in late.values() for delay in found]),
            false_alarms=alarms(wrong.total(), hours),
        ),
        event_error_rate=_figure(onset.error_rate),
        event_error_rate_with_offset=_figure(both.error_rate),
        segment_error_rate=_figure(segments.error_rate),
        event_f1_micro=_figure(total.f1),
        segment_f1_micro=_figure(segments.overall.f1),
        labels={label: of(label) for label in labels if told(label)},
        others=sum(not told(label) for label in labels),
        curve=[_point(threshold, list(found.values()), hours) for threshold, found in by_threshold],
        curves={
            label: [_point(threshold, [found[label]], hours) for threshold, found in by_threshold]
            for label in labels
            if len(labels) <= MANY or any(found[label].true or found[label].reported for _, found in by_threshold)
        },
    )


def at_threshold(rules: Mapping[str, Rule], threshold: float) -> dict[str, Rule]:
    """Return the same rules with another threshold for all; the hysteresis leaves room for an event to end."""
    return {
        label: dataclasses.replace(rule, threshold=threshold, hysteresis=min(rule.hysteresis, threshold / 2))
        for label, rule in rules.items()
    }


@dataclasses.dataclass(slots=True)
class _Counts:
    true: int = 0
    noticed: int = 0
    reported: int = 0
    wrong: int = 0


def _counts(hearer: Hearer, heard: Sequence[Heard], threshold: float) -> dict[str, _Counts]:
    found = {label: _Counts() for label in hearer.labels}
    rules = at_threshold(hearer.rules, threshold)

    def count(events: Sequence[scoring.Said], what: str) -> None:
        for event in events:
            if event.label in found:
                setattr(found[event.label], what, getattr(found[event.label], what) + 1)

    for item in heard:
        reported = hearer.decide(item.hearing, rules)
        count(item.truth, "true")
        count(reported, "reported")
        count(scoring.noticed(item.truth, reported), "noticed")
        count(scoring.false_alarms(truth.with_wholes(item.truth, hearer.contained), reported), "wrong")
    return found


def _point(threshold: float, counts: Sequence[_Counts], hours: float) -> Point:
    true, noticed = sum(c.true for c in counts), sum(c.noticed for c in counts)
    reported, wrong = sum(c.reported for c in counts), sum(c.wrong for c in counts)
    return Point(
        threshold,
        round((reported - wrong) / reported, 4) if reported else None,
        round(noticed / true, 4) if true else None,
        round(wrong / hours, 4) if hours else None,
    )


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None


def text(report: Evaluation) -> list[str]:
    """Write the report as lines of a Markdown table and what belongs to it; plain enough for a terminal."""
    rows = [("all", report.overall), *report.labels.items()]
    width = max(len(name) for name, _ in rows)
    lines = [
        f"| {'label':{width}} | events | noticed | F1 onset | F1 both | F1 1 s | delay s | false alarms/h (95 %)     |",
        f"|-{'-' * width}-|-------:|--------:|---------:|--------:|-------:|--------:|---------------------------|",
    ]
    for name, f in rows:
        share = f"{f.noticed / f.true:.2f}" if f.true else "-"
        alarm = f.false_alarms
        rate = "-" if alarm.per_hour is None else f"{alarm.per_hour:.2f} ({alarm.low:.2f} to {alarm.high:.2f})"
        lines.append(
            f"| {name:{width}} | {f.true:6d} | {share:>7} | {_two(f.event_f1):>8} | "
            f"{_two(f.event_f1_with_offset):>7} | {_two(f.segment_f1):>6} | {_two(f.delay_s):>7} | {rate:25} |"
        )
    lines += [
        "",
        f"Model {report.model.name} {report.model.hash}: {report.recordings} recordings, {report.hours:.2f} h, of them "
        f"{report.hours_without_events:.2f} h without events; {report.overall.false_alarms.count} false alarms.",
    ]
    if report.overall.true:
        lines.append(
            f"Error rate {_two(report.event_error_rate)} (onset), {_two(report.event_error_rate_with_offset)} (both), "
            f"{_two(report.segment_error_rate)} (segments). F1 of 'all' is the mean over the labels that occur."
        )
    if report.others:
        lines.append(f"Of {report.others} other labels there was nothing, and nothing was reported.")
    if report.unknown_labels:
        lines.append(f"Not judged, the model does not know them: {', '.join(report.unknown_labels)}.")
    return lines


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def write(report: Evaluation, folder: Path) -> list[Path]:
    """Write ``report.md``, ``report.json`` and, where matplotlib is there, ``curves.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Evaluation", "", *text(report)]
    written = [folder / "report.md", folder / "report.json"]
    if plots.available():
        plots.curves(report, folder / "curves.png")
        written.append(folder / "curves.png")
        lines += ["", "![Precision and recall; misses and false alarms](curves.png)"]
    else:
        lines += ["", f"No curves: {plots.MISSING}."]
    written[0].write_text("\n".join(lines) + "\n", encoding="utf-8")
    written[1].write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return written
