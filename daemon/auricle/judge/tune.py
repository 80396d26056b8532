"""The rules of every label are tuned here for a budget of false alarms, from one's own recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from auricle.hearing.hearer import Hearer, Progress
from auricle.judge import scoring
from auricle.judge.budget import Outcome, Stretches, outcomes, settle, sweep, with_margin
from auricle.judge.evaluate import MANY, Heard
from auricle.judge.truth import with_wholes


class LabelTuned(msgspec.Struct):
    """Says what was chosen for a label, and what it gave; before are the rules that were in force."""

    threshold: float
    hysteresis: float
    min_duration_ms: float
    changed: bool
    false_alarms: int
    false_alarms_before: int
    true: int
    noticed: int
    noticed_before: int


class Tuned(msgspec.Struct):
    """Holds what `tune` found.

    ``false_alarms`` is counted on the recordings that the rules were fitted to; ``expected_per_hour`` by rules fitted
    without the stretch that is counted; the rate of as many hours again should lie, with 95 % probability, from ``low``
    to ``high``. ``bound_per_hour`` is the exact one-sided 95 % bound of the rate, by the expected count.
    """

    budget_per_hour: float
    hours: float
    false_alarms: int
    false_alarms_before: int
    expected_per_hour: float
    low_per_hour: float
    high_per_hour: float
    bound_per_hour: float
    hours_needed: float | None
    promised: bool
    labels: dict[str, LabelTuned]
    unpromised: dict[str, float | None] = {}
    """Labels with a budget of their own that these hours are too few for; how many hours without an alarm it takes."""


def tune(
    hearer: Hearer,
    heard: Sequence[Heard],
    per_hour: float,
    own: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> tuple[Tuned, dict[str, list[Outcome]]]:
    """Choose the rules for a budget; return them with all that was tried."""
    tried = sweep(hearer, heard, progress)
    hours = hearer.hours([item.hearing for item in heard])
    chosen, counts = with_margin(tried, hearer.rules, Stretches(hearer, heard).hours, per_hour, own or {})
    chosen = settle(hearer, heard, chosen)
    before = outcomes(hearer, heard, hearer.rules)
    low, high = scoring.prediction_interval(counts)
    bound = scoring.poisson_bound(sum(counts)) / hours
    labels = {
        label: LabelTuned(
            threshold=round(o.rule.threshold, 4),
            hysteresis=round(o.rule.hysteresis, 4),
            min_duration_ms=round(1000 * o.rule.min_duration_samples / hearer.rate, 3),
            changed=o.rule != hearer.rules[label],
            false_alarms=o.alarms,
            false_alarms_before=before[label].alarms,
            true=o.true,
            noticed=o.noticed,
            noticed_before=before[label].noticed,
        )
        for label, o in chosen.items()
    }
    tuned = Tuned(
        budget_per_hour=per_hour,
        hours=round(hours, 4),
        false_alarms=sum(o.alarms for o in chosen.values()),
        false_alarms_before=sum(o.alarms for o in before.values()),
        expected_per_hour=round(sum(counts) / hours, 4),
        low_per_hour=round(low / hours, 4),
        high_per_hour=round(high / hours, 4),
        bound_per_hour=round(bound, 4),
        hours_needed=round(scoring.poisson_bound(0) / per_hour, 2) if per_hour else None,
        promised=bound <= per_hour,
        unpromised={
            label: round(scoring.poisson_bound(0) / limit, 2) if limit else None
            for label, limit in (own or {}).items()
            if scoring.poisson_bound(labels[label].false_alarms) / hours > limit
        },
        labels=labels,
    )
    return tuned, tried


def narrow(hearer: Hearer, heard: Sequence[Heard]) -> int:
    """Leave out of hundreds of labels those that cannot be tuned, and return how many: there is no truth of them, and
    no score reaches the rule in force, which is only ever raised then."""
    if len(hearer.rules) <= MANY:
        return 0
    true = {event.label for item in heard for event in with_wholes(item.truth, hearer.contained)}
    scores = [item.hearing.scores for item in heard if len(item.hearing.scores)]
    highest = dict(zip(hearer.scored, np.max([each.max(axis=0) for each in scores], axis=0).tolist(), strict=True))
    before = len(hearer.rules)
    hearer.rules = {
        label: rule for label, rule in hearer.rules.items() if label in true or highest[label] >= rule.threshold
    }
    return before - len(hearer.rules)


def remarks(tuned: Tuned) -> list[str]:
    """Say in lines what the figures mean, and what they cannot say."""
    lines = [
        f"{tuned.false_alarms} false alarms in these {tuned.hours:.2f} h; {tuned.false_alarms_before} before.",
        f"On new recordings expect {tuned.expected_per_hour:.2f} an hour (95 %: {tuned.low_per_hour:.2f} to "
        f"{tuned.high_per_hour:.2f} in as many hours again): rules fit best what they were fitted to.",
    ]
    if not tuned.promised:
        needed = (
            "no number of hours is enough" if tuned.hours_needed is None else f"{tuned.hours_needed:.1f} h without one"
        )
        lines.append(
            f"Too few hours to promise {tuned.budget_per_hour:g} an hour: it may be {tuned.bound_per_hour:.2f} (95 %). "
            f"No alarm in H hours bounds it only at 3/H: for a promise, {needed}. Record more, and tune again."
        )
    for label, hours_needed in tuned.unpromised.items():
        enough = (
            "no number of hours is enough" if hours_needed is None else f"it takes {hours_needed:.1f} h without one"
        )
        lines.append(f"Too few hours to promise the budget of {label} alone: {enough}.")
    silenced = [label for label, found in tuned.labels.items() if found.threshold >= 1]
    if silenced:
        lines.append(f"Silenced, because no threshold below 1 keeps the budget: {', '.join(silenced)}.")
    blind = [label for label, found in tuned.labels.items() if not found.true]
    if blind and len(blind) < len(tuned.labels):
        lines.append(f"Without true events, hence only ever raised: {', '.join(blind)}.")
    elif blind:
        lines.append("No true events were given: what the labels now miss is not known. Thresholds were only raised.")
    return lines


def fragment(tuned: Tuned, recordings: int) -> str:
    """Write the configuration's fragment, with what each line rests on."""
    lines = [
        f"# By auricle tune, for at most {tuned.budget_per_hour:g} false alarms an hour, from {recordings} recordings.",
        "# The next tuning writes this file anew: put what is yours elsewhere, such as conf.d/60-own.yaml.",
        *(f"# {line}" for line in remarks(tuned)),
        "decision:",
        "  labels:",
    ]
    changed = 0
    for label, found in tuned.labels.items():
        values = f"threshold: {found.threshold:g}, hysteresis: {found.hysteresis:g}"
        recall = f", noticed {found.noticed} of {found.true}" if found.true else ""
        gave = f"# {found.false_alarms} false alarms{recall}"
        if found.changed:
            changed += 1
            lines.append(f"    {label}: {{{values}, min_duration_ms: {found.min_duration_ms:g}}}  {gave}")
        else:
            lines.append(f"    # {label}: as it was  {gave}")
    if not changed:
        lines[lines.index("  labels:")] = "  labels: {}"
    return "\n".join(lines) + "\n"


def curve(options: Sequence[Outcome], duration: int, hours: float) -> list[tuple[float, float, float | None]]:
    """Return threshold, false alarms an hour and recall of what was tried at one minimum duration."""
    return [(o.rule.threshold, o.alarms / hours, o.recall) for o in options if o.rule.min_duration_samples == duration]
