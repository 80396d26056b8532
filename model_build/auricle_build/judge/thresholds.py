"""The thresholds and lags that a bundle ships with are chosen here: tuned through the runtime's decisions, written into
its card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from auricle import config
from auricle.config.sections import DEFAULT_THRESHOLD
from auricle.errors import ConfigError
from auricle.hearing import pipeline
from auricle.hearing.decision import Rule, Smoother
from auricle.hearing.hearer import Hearer, Hearing
from auricle.judge import budget, scoring
from auricle.judge import evaluate as evaluates
from auricle.judge.budget import Outcome
from auricle.judge.evaluate import Heard
from auricle.judge.truth import Event
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle.model.card import contained
from auricle_build.judge.alarms import Quiet

LEAST_EVENTS = 5
"""A label with fewer events found takes the lag of all."""

DURATIONS_MS = (100.0, 300.0, 600.0, 1200.0, 2400.0)
"""Minimum durations that are tried: the event of what lasts, such as rain, may come late; that of a bark may not."""


def with_timing(bundle: Bundle, onset: int, offset: int, lags: Mapping[str, tuple[int, int]] | None = None) -> Bundle:
    """Return the same model with other lags."""
    timing = msgspec.structs.replace(
        bundle.card.timing, onset_lag_samples=onset, offset_lag_samples=offset, lags=dict(lags or {})
    )
    return dataclasses.replace(bundle, card=msgspec.structs.replace(bundle.card, timing=timing))


def measure_lags(
    hearer: Hearer, heard: Sequence[Heard], rules: Mapping[str, Rule]
) -> tuple[int, int, dict[str, tuple[int, int]]]:
    """Measure how late the decisions speak, in samples: medians over the events found, by label and over the labels.

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


@dataclasses.dataclass(frozen=True)
class Shipped:
    """Holds what is written into the card; ``smoothings_ms`` is empty where but one was tried."""

    thresholds: dict[str, float]
    min_durations_ms: dict[str, float]
    smoothings_ms: dict[str, float]
    lags: tuple[int, int, dict[str, tuple[int, int]]]
    figures: dict[str, Any]
    hystereses: dict[str, float] = dataclasses.field(default_factory=dict)


def choose(
    bundle: Bundle,
    judges: Sequence[tuple[Bundle, Path]],
    unseen: Sequence[str],
    *,
    judged: Sequence[Path] = (),
    per_hour: float,
    per_label: float | None = None,
    smoothings_ms: Sequence[float] = (),
    only: Sequence[str] = (),
    cache: Path | None,
    say: Callable[[str], None],
) -> Shipped:
    """Tune on scenes, on negatives, and on what the bundle itself never heard; measure the lags.

    Each label's hysteresis is the one whose onsets are the best: one event for one sound, where another would break it
    up or run two together. None is taken that notices less or raises more false alarms.

    Args:
        bundle: gets the thresholds.
        judges: models of the same recipe, each with a folder of scenes and ``negatives`` that it was not trained on:
            together they stand for the bundle itself, which has heard nearly everything.
        unseen: recordings without events that the bundle itself was not trained on, and which it judges itself.
        judged: ``judged.npz`` of cross-validated folds: what they kept aside without any label, clip by clip and as
            loud as it is, where the negatives of scenes follow each other at drawn levels.
        per_hour: false alarms of all labels together, over all that was heard.
        per_label: a tighter budget for each label by itself.
        smoothings_ms: lengths of the scores' moving mean that are tried for each label; without any, what is in force.
            They take the place of minimum durations: what lasts is smoothed for longer.
        only: the labels that share the budget; rules of the others mean nothing then. All, unless given.

    Raises:
        ConfigError: the two models have other labels, or there is nothing to hear.
    """
    for judge, _ in judges:
        if bundle.labels != judge.labels:
            raise ConfigError([f"--judge: {judge.path} has other labels than {bundle.path}"])
    decision, gate = config.Decision(), config.Gate()
    hop_ms = pipeline.hop_ms(decision, bundle)
    # The daemon's defaults, without thresholds of an earlier tuning or lags of an earlier measurement. Where smoothing
    # is to be chosen, what is heard is not smoothed yet.
    unsmoothed = hop_ms if smoothings_ms else None
    hearer = Hearer(_bare(bundle, unsmoothed), decision, gate, cache=cache)
    heard: list[Heard] = []
    contains = contained(bundle.card.includes)

    def gathered(model: Bundle, scenes: Path | None, negatives: Sequence[str]) -> list[Heard]:
        mine = Hearer(_bare(model, unsmoothed), decision, gate, cache=cache)
        found, faults = evaluates.gather(mine, [str(scenes / "*.flac")] if scenes else (), scenes, negatives)
        found = [dataclasses.replace(item, truth=_with_containing(item.truth, contains)) for item in found]
        heard.extend(found)
        say(f"{model.path}: heard {mine.hours([item.hearing for item in found]):.2f} h")
        for fault in faults:
            say(f"skipped: {fault}")
        return found

    for judge, scenes in judges:
        gathered(judge, scenes, [str(scenes / "negatives")])
    as_they_are = [item for path in judged for item in _kept_aside(path, hearer)]
    heard.extend(as_they_are)
    if as_they_are:
        say(f"{len(as_they_are)} clips of the folds as they are: {_hours(hearer, as_they_are):.2f} h")
    own = gathered(bundle, None, unseen) if unseen else []
    hours = _hours(hearer, heard)
    tried, smoothed = _tried(hearer, heard, smoothings_ms, hop_ms, say)
    if only:
        tried = {label: tried[label] for label in only}
    own_budgets = {} if per_label is None else dict.fromkeys(hearer.labels, per_label)
    chosen = budget.choose(tried, hearer.rules, hours, per_hour, own_budgets)
    smoothing = {label: o.smoothing_ms for label, o in chosen.items() if o.smoothing_ms is not None}
    heard = _mixed(heard, smoothed, smoothing, hearer.bundle.labels) if smoothing else heard
    chosen = {label: o for label, o in budget.settle(hearer, heard, chosen).items() if label in chosen}
    rules = {**hearer.rules, **{label: o.rule for label, o in chosen.items()}}
    lags = measure_lags(hearer, heard, rules)
    thresholds = {label: round(rule.threshold, 4) for label, rule in rules.items()}
    durations_ms = {label: 1000 * rule.min_duration_samples / hearer.rate for label, rule in rules.items()}
    hystereses = {label: rule.hysteresis for label, rule in rules.items()}
    figures: dict[str, Any] = {
        "budget_per_hour": per_hour,
        "scenes_and_negatives": {
            "judged_by": [f"{judge.card.name} {judge.hash}" for judge, _ in judges],
            "recordings": len(heard),
            **_summary(chosen, hours),
            **_promise(
                budget.expected(tried, hearer.rules, budget.Stretches(hearer, heard).hours, per_hour, own_budgets, 0),
                hours,
            ),
        },
    }
    for name, part, by in (
        ("of_these_clips_as_they_are", as_they_are, "the same"),
        ("of_these_unseen", own, "itself"),
    ):
        if part:
            found = _summary(budget.outcomes(hearer, part, rules), _hours(hearer, part))
            figures[name] = {"judged_by": by, "recordings": len(part), **found}
    as_shipped = Hearer(
        with_timing(_bare(bundle, unsmoothed, thresholds, durations_ms, hystereses), *lags), decision, gate
    )
    report = evaluates.evaluate(as_shipped, [item for item in heard if not item.negative])
    told = msgspec.to_builtins(report.overall)
    figures["scenes_as_shipped"] = {k: v for k, v in told.items() if k != "false_alarms"}
    return Shipped(thresholds, durations_ms, smoothing, lags, figures, hystereses)


def _hours(hearer: Hearer, heard: Sequence[Heard]) -> float:
    return hearer.hours([item.hearing for item in heard])


def _kept_aside(path: Path, hearer: Hearer) -> list[Heard]:
    """Return what a fold's model heard in the clips kept aside that hold none of the labels."""
    try:
        with np.load(path) as stored:
            quiet = Quiet.of_arrays(stored)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError([f"--judged: {path} is no judged.npz of auricle-build crossval: {error}"]) from error
    found = []
    for origin, windows in zip(quiet.origins, quiet.windows, strict=True):
        scores = pipeline.smoother(hearer.bundle, hearer.decision).process(windows)
        samples = hearer.span + max(0, len(scores) - 1) * hearer.hop
        found.append(Heard(Hearing(f"{path} {origin}", scores, samples), (), negative=True))
    return found


def _with_containing(truth: Sequence[Event], contains: Mapping[str, frozenset[str]]) -> tuple[Event, ...]:
    """Return the truth, and of every event the labels that contain its own: an alarm is no mistake where a siren is."""
    above = [
        dataclasses.replace(event, label=label)
        for event in truth
        for label, parts in contains.items()
        if event.label in parts
    ]
    return (*truth, *sorted(above))


def _tried(
    hearer: Hearer,
    heard: Sequence[Heard],
    smoothings_ms: Sequence[float],
    hop_ms: float,
    say: Callable[[str], None],
) -> tuple[dict[str, list[Outcome]], dict[float, list[Heard]]]:
    """Try every rule at every smoothing; return what each gives, with what was heard, smoothed so."""
    if not smoothings_ms:
        return budget.sweep(hearer, heard, durations_ms=DURATIONS_MS), {}
    tried: dict[str, list[Outcome]] = {label: [] for label in hearer.labels}
    smoothed: dict[float, list[Heard]] = {}
    for ms in smoothings_ms:
        smoothed[ms] = [_smoothed(item, max(1, round(ms / hop_ms))) for item in heard]
        for label, options in budget.sweep(hearer, smoothed[ms], durations_ms=()).items():
            tried[label] += [dataclasses.replace(o, smoothing_ms=ms) for o in options]
        say(f"tried: a smoothing of {ms:g} ms")
    return tried, smoothed


def _smoothed(item: Heard, length: int) -> Heard:
    """Smooth what was heard as the daemon would beside a label that is not smoothed at all."""
    scores = item.hearing.scores
    smoother = Smoother([*[length] * scores.shape[1], 1])
    rows = smoother.process(np.pad(scores, ((0, 0), (0, 1))))[:, :-1]
    return dataclasses.replace(item, hearing=dataclasses.replace(item.hearing, scores=np.ascontiguousarray(rows)))


def _mixed(
    heard: Sequence[Heard],
    smoothed: Mapping[float, Sequence[Heard]],
    smoothing: Mapping[str, float],
    labels: Sequence[str],
) -> list[Heard]:
    """Smooth what was heard, every label as it was chosen; background, which raises no event, stays as it is.

    Args:
        labels: all that the model has.
    """
    found = []
    for i, item in enumerate(heard):
        columns = [
            (smoothed[smoothing[label]][i] if label in smoothing else item).hearing.scores[:, at]
            for at, label in enumerate(labels)
        ]
        scores = np.ascontiguousarray(np.stack(columns, axis=1))
        found.append(dataclasses.replace(item, hearing=dataclasses.replace(item.hearing, scores=scores)))
    return found


def _bare(
    bundle: Bundle,
    smoothing_ms: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    durations_ms: Mapping[str, float] | None = None,
    hystereses: Mapping[str, float] | None = None,
) -> Bundle:
    """Return the bundle without lags, and with other thresholds, minimum durations, hystereses and smoothing.

    Args:
        smoothing_ms: of all labels, in place of the card's; the card's own unless given.
    """
    given = dict(thresholds or dict.fromkeys(bundle.labels, DEFAULT_THRESHOLD))
    card = msgspec.structs.replace(
        with_timing(bundle, 0, 0).card,
        thresholds=given,
        min_durations_ms=dict(durations_ms or {}),
        hystereses=dict(hystereses or {}),
    )
    if smoothing_ms is not None:
        decision = msgspec.structs.replace(card.decision, smoothing_ms=smoothing_ms)
        card = msgspec.structs.replace(card, decision=decision, smoothings_ms={})
    return dataclasses.replace(bundle, card=card)


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


def _promise(counts: Sequence[int], hours: float) -> dict[str, Any]:
    """Say what to expect of new recordings, by rules that did not see the stretch that is counted."""
    low, high = scoring.prediction_interval(counts)
    return {
        "expected_per_hour": round(sum(counts) / hours, 3),
        "expected_interval_95_per_hour": [round(low / hours, 3), round(high / hours, 3)],
        "bound_95_per_hour": round(scoring.poisson_bound(sum(counts)) / hours, 3),
    }


def write(bundle: Bundle, shipped: Shipped, only: Sequence[str] = ()) -> Bundle:
    """Write thresholds, durations, hystereses, lags and figures into the card, and load the bundle as the daemon does.

    The card's text is hashed, so that the bundle's hash changes; the hashes of its files stay.

    Args:
        only: the labels whose rules are written; the others keep theirs. All, unless given.
    """
    onset, offset, lags = shipped.lags
    card: dict[str, Any] = dict(bundle.raw)

    def joined(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
        return {**(before or {}), **{label: now[label] for label in only if label in now}} if only else dict(now)

    card["thresholds"] = joined(card.get("thresholds"), shipped.thresholds)
    card["min_durations_ms"] = joined(card.get("min_durations_ms"), shipped.min_durations_ms)
    if shipped.hystereses:
        card["hystereses"] = joined(card.get("hystereses"), shipped.hystereses)
    if shipped.smoothings_ms:
        card["smoothings_ms"] = joined(card.get("smoothings_ms"), shipped.smoothings_ms)
    # The lags measured at the export, at a threshold of 0.5, stay for whoever sets rules of their own.
    every = {label: list(lags.get(label, (onset, offset))) for label in shipped.thresholds}
    card["timing"] = {**card["timing"], "lags": joined(card["timing"].get("lags"), every)}
    figures = dict(card.get("figures") or {})
    figures["detector_of_some" if only else "detector"] = {
        **({"labels": list(only)} if only else {}),
        **shipped.figures,
    }
    card["figures"] = figures
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (bundle.path / "card.yaml").write_text(text, encoding="utf-8")
    return bundles.load(str(bundle.path))
