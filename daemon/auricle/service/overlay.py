"""Thresholds that were set while the daemon ran lie over its configuration, as the last layer: here they are laid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

from auricle import config
from auricle.config.read import no_label
from auricle.hearing import groups, precedence
from auricle.model.card import Card

Thresholds: TypeAlias = Mapping[str, Mapping[str, float]]
"""By source, by label."""


def overlay(
    cfg: config.Config, thresholds: Thresholds, cards: Mapping[str, Card], place: str
) -> tuple[config.Config, list[str]]:
    """Lay thresholds over a configuration; return it, and a line for each that cannot be in force, which is left out.

    A source may have gone, a model or a hysteresis may be another than when a threshold was set: that must not keep a
    daemon from starting, and what comes back finds its threshold again.

    Args:
        cfg: what files, environment and command line say.
        thresholds: what was set.
        cards: by what the configuration calls the model.
        place: where they are kept, for the lines and as the origin of the values.
    """
    sources, origins, waiting = list(cfg.sources), dict(cfg.origins), []
    for i, source in enumerate(sources):
        decision = source.decision
        for label, value in thresholds.get(source.name, {}).items():
            if (why := misfit(cards[source.model], decision, label, value)) is not None:
                waiting.append(f"{place}: {source.name}: {label}: {value:g} is not in force: {why}")
                continue
            decision = with_threshold(decision, label, value)
            origins[f"sources[{i}].decision.labels.{label}.threshold"] = place
        sources[i] = dataclasses.replace(source, decision=decision)
    here = {source.name for source in sources}
    waiting += [f"{place}: {name}: there is no such source now" for name in thresholds if name not in here]
    return dataclasses.replace(cfg, sources=tuple(sources), origins=origins), waiting


def misfit(card: Card, decision: config.Decision, label: str, value: float) -> str | None:
    """Return why events of a label cannot begin at a score, with the remedy; ``None`` where they can."""
    known = groups.raising(card, decision)
    if label not in known:
        if label in card.labels or label in groups.groups(card, decision):
            return "the label raises no event here; decision.only, except and groups say which do"
        return no_label(label, sorted(known))
    hysteresis = precedence.held(card, with_threshold(decision, label, value), label).hysteresis.value
    if hysteresis >= value:
        return f"it is not above the hysteresis {hysteresis:g}, so that no event would end; use a higher one"
    return None


def with_threshold(decision: config.Decision, label: str, value: float) -> config.Decision:
    """Return rules in which events of one label begin at this score."""
    rule = decision.labels.get(label, config.LabelRule())
    labels = {**decision.labels, label: dataclasses.replace(rule, threshold=value)}
    return dataclasses.replace(decision, labels=labels)
