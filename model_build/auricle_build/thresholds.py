"""The thresholds and lags that a bundle ships with: tuned through the runtime's decisions, written into its card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from auricle import budget, config, scoring
from auricle import bundle as bundles
from auricle import evaluate as evaluates
from auricle.budget import Outcome
from auricle.bundle import Bundle
from auricle.config_sections import DEFAULT_THRESHOLD
from auricle.decision import Rule
from auricle.errors import ConfigError
from auricle.evaluate import Heard
from auricle.hearing import Hearer

LEAST_EVENTS = 5
"""Of a label with fewer events found, the lag of all is taken."""


def with_timing(bundle: Bundle, onset: int, offset: int, lags: Mapping[str, tuple[int, int]] | None = None) -> Bundle:
    """The same model with other lags."""
    timing = msgspec.structs.replace(
        bundle.card.timing, onset_lag_samples=onset, offset_lag_samples=offset, lags=dict(lags or {})
    )
    return dataclasses.replace(bundle, card=msgspec.structs.replace(bundle.card, timing=timing))


def measure_lags(
    hearer: Hearer, heard: Sequence[Heard], rules: Mapping[str, Rule]
) -> tuple[int, int, dict[str, tuple[int, int]]]:
    """How late the decisions speak, in samples: medians over the events found, by label and over the labels.

    The onset lag is the decision that passes the threshold minus the true onset; the offset lag the decision that ends
    the event minus the true offset. None is longer than what one decision hears: at a high threshold an event may be
    told seconds after its onset, but then for what was heard last.

    Args:
        hearer: of a bundle without lags (`with_timing(bundle, 0, 0)`), so that nothing is back-dated.
        heard: scenes with their truth.
        rules: those that will be in force.
    """
    late: dict[str, list[tuple[float, float]]] = {}
    for item in heard:
        reported = hearer.decide(item.hearing, rules)
        for true in item.truth:
            mine = [
                said
                for said in reported
                if said.label == true.label and true.onset_s <= said.onset_s <= true.offset_s + 1.0
            ]
            if mine:
                first, last = min(mine), max(mine)
                late.setdefault(true.label, []).append((first.onset_s - true.onset_s, last.offset_s - true.offset_s))
    lags = {
        label: (
            min(hearer.span, round(max(0.0, float(np.median([on for on, _ in found]))) * hearer.rate)),
            min(hearer.span, round(max(0.0, float(np.median([off for _, off in found]))) * hearer.rate)),
        )
        for label, found in sorted(late.items())
        if len(found) >= LEAST_EVENTS
    }
    if not lags:
        raise ConfigError(["thresholds: hardly an event of the scenes is found: no lag can be measured"])
    onset, offset = (round(float(np.median([pair[i] for pair in lags.values()]))) for i in (0, 1))
    return onset, offset, lags


def never_silent(
    tried: budget.Outcomes, chosen: Mapping[str, Outcome], hours: float, least_recall: float, spare_per_hour: float
) -> dict[str, Outcome]:
    """A label that would notice less than ``least_recall`` of its events is opened, if that costs little enough.

    One clip that sounds like a dog, in an hour or two of foreign sounds, would else silence every dog for ever. Taken
    is what notices most at no more than ``spare_per_hour`` of its false alarms, but at one in any case.
    """
    found = dict(chosen)
    for label, outcome in chosen.items():
        if outcome.recall is None or outcome.recall >= least_recall:
            continue
        within = [o for o in tried[label] if o.alarms <= max(1.0, spare_per_hour * hours)]
        best = max(within, key=lambda o: (o.recall or 0.0, -o.alarms, o.rule.threshold))
        found[label] = best
    return found


@dataclasses.dataclass(frozen=True)
class Shipped:
    """What is written into the card."""

    thresholds: dict[str, float]
    lags: tuple[int, int, dict[str, tuple[int, int]]]
    figures: dict[str, Any]


def choose(
    bundle: Bundle,
    judges: Sequence[tuple[Bundle, Path]],
    unseen: Sequence[str],
    *,
    per_hour: float,
    least_recall: float,
    spare_per_hour: float,
    cache: Path | None,
    say: Callable[[str], None],
) -> Shipped:
    """Tune on scenes and negatives; raise what the bundle itself mistakes in what it never saw; measure the lags.

    Args:
        bundle: gets the thresholds.
        judges: models of the same recipe, each with a folder of scenes and ``negatives`` that it was not trained on:
            together they stand for the bundle itself, which has heard nearly everything.
        unseen: recordings without events that the bundle itself was not trained on.
        per_hour: false alarms of all labels together.
        least_recall, spare_per_hour: a label that would notice less of its events may cost so many false alarms.

    Raises:
        ConfigError: the two models have other labels, or there is nothing to hear.
    """
    for judge, _ in judges:
        if bundle.labels != judge.labels:
            raise ConfigError([f"--judge: {judge.path} has other labels than {bundle.path}"])
    decision, gate = config.Decision(), config.Gate()
    usual = decision.for_label("").min_duration_ms
    heard: list[Heard] = []
    for judge, scenes in judges:
        # The daemon's defaults, without thresholds of an earlier tuning or lags of an earlier measurement.
        hearer = Hearer(_bare(judge), decision, gate, cache=cache)
        found, faults = evaluates.gather(hearer, [str(scenes / "*.flac")], scenes, [str(scenes / "negatives")])
        heard += found
        say(f"{judge.path}: heard {hearer.hours([item.hearing for item in found]):.2f} h")
        for fault in faults:
            say(f"skipped: {fault}")
    hours = hearer.hours([item.hearing for item in heard])
    tried = budget.sweep(hearer, heard, durations_ms=(usual,))
    strict = budget.choose(tried, hearer.rules, hours, per_hour, {})
    chosen = never_silent(tried, strict, hours, least_recall, spare_per_hour)
    thresholds = {label: o.rule.threshold for label, o in chosen.items()}
    figures: dict[str, Any] = {
        "budget_per_hour": per_hour,
        "scenes_and_negatives": {
            "judged_by": [f"{judge.card.name} {judge.hash}" for judge, _ in judges],
            "recordings": len(heard),
            "strictly_in_budget": _summary(strict, hours),
            "shipped": _summary(chosen, hours),
        },
    }
    if unseen:
        own = Hearer(_bare(bundle, thresholds), decision, gate, cache=cache)
        quiet, faults = evaluates.gather(own, (), None, unseen)
        for fault in faults:
            say(f"skipped: {fault}")
        own_hours = own.hours([item.hearing for item in quiet])
        before = budget.outcomes(own, quiet, own.rules)
        raised = budget.choose(budget.sweep(own, quiet, durations_ms=(usual,)), own.rules, own_hours, per_hour, {})
        for label, o in raised.items():
            # Raised to silence it would be of no use to anybody: then the scenes' threshold stands, and the card tells.
            if before[label].alarms and o.rule.threshold < 1:
                thresholds[label] = max(thresholds[label], o.rule.threshold)
        after = budget.outcomes(
            own, quiet, {k: dataclasses.replace(r, threshold=thresholds[k]) for k, r in own.rules.items()}
        )
        figures["unseen"] = {"judged_by": "itself", "recordings": len(quiet), "shipped": _summary(after, own_hours)}
    rules = {label: dataclasses.replace(r, threshold=thresholds[label]) for label, r in hearer.rules.items()}
    lags = measure_lags(hearer, heard, rules)
    judged = Hearer(with_timing(_bare(bundle, thresholds), *lags), decision, gate)
    report = evaluates.evaluate(judged, [item for item in heard if not item.negative])
    told = msgspec.to_builtins(report.overall)
    figures["scenes_as_shipped"] = {k: v for k, v in told.items() if k != "false_alarms"}
    return Shipped({label: round(t, 4) for label, t in thresholds.items()}, lags, figures)


def _bare(bundle: Bundle, thresholds: Mapping[str, float] | None = None) -> Bundle:
    """The bundle without lags, and with other thresholds."""
    bare = with_timing(bundle, 0, 0)
    given = dict(thresholds or dict.fromkeys(bundle.labels, DEFAULT_THRESHOLD))
    return dataclasses.replace(bare, card=msgspec.structs.replace(bare.card, thresholds=given))


def _summary(chosen: Mapping[str, Outcome], hours: float) -> dict[str, Any]:
    count = sum(o.alarms for o in chosen.values())
    low, high = scoring.poisson_interval(count)
    found: dict[str, Any] = {
        "hours": round(hours, 3),
        "false_alarms": count,
        "per_hour": round(count / hours, 3),
        "interval_95_per_hour": [round(low / hours, 3), round(high / hours, 3)],
        "false_alarms_by_label": {label: o.alarms for label, o in chosen.items() if o.alarms},
    }
    if any(o.true for o in chosen.values()):
        found["recall"] = {label: round(o.recall, 3) for label, o in chosen.items() if o.recall is not None}
    return found


def write(bundle: Bundle, shipped: Shipped) -> Bundle:
    """Write thresholds, lags and figures into the card, and load the bundle as the daemon does.

    The card's text is hashed, so that the bundle's hash changes; the hashes of its files stay.
    """
    onset, offset, lags = shipped.lags
    card: dict[str, Any] = dict(bundle.raw)
    card["thresholds"] = dict(shipped.thresholds)
    card["timing"] = {
        **card["timing"],
        "onset_lag_samples": onset,
        "offset_lag_samples": offset,
        "lags": {label: list(pair) for label, pair in lags.items()},
    }
    card["figures"] = {**(card.get("figures") or {}), "detector": shipped.figures}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (bundle.path / "card.yaml").write_text(text, encoding="utf-8")
    return bundles.load(str(bundle.path))
