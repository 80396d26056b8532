"""This module decides which rule holds for every label: what the user wrote, else what the model's card proposes, else
the usual."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from auricle import config
from auricle.config import sections
from auricle.errors import ConfigError
from auricle.hearing import groups
from auricle.model.card import BY_LABEL, Card

By: TypeAlias = Literal["user", "card", "default"]

_USUAL = {
    "smoothing_ms": sections.DEFAULT_SMOOTHING_MS,
    "threshold": sections.DEFAULT_THRESHOLD,
    "hysteresis": sections.DEFAULT_HYSTERESIS,
    "min_duration_ms": sections.DEFAULT_MIN_DURATION_MS,
    "refractory_ms": sections.Decision().refractory_ms,
}


@dataclass(frozen=True, slots=True)
class Value:
    """Holds a value in force and whose word it is; of the user's, at which key below `decision` it is written."""

    value: float
    by: By
    key: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Holds the rule in force for a label; names and units are those of `decision`."""

    smoothing_ms: Value
    threshold: Value
    hysteresis: Value
    min_duration_ms: Value
    refractory_ms: Value


def hop(card: Card, decision: config.Decision) -> Value:
    """Return the decision hop in ms."""
    if decision.hop_ms is not None:
        return Value(decision.hop_ms, "user", "hop_ms")
    if card.decision.hop_ms is not None:
        return Value(card.decision.hop_ms, "card")
    return Value(sections.DEFAULT_HOP_MS, "default")


def held(card: Card, decision: config.Decision, label: str) -> Held:
    """Return the rule that holds for a label.

    A hysteresis that the user did not write leaves room below the threshold, so that events can end: it is half of a
    threshold that it would reach.
    """
    rule = Held(**{item.name: _value(card, decision, item.name, label) for item in dataclasses.fields(Held)})
    threshold, hysteresis = rule.threshold.value, rule.hysteresis
    if hysteresis.by != "user" and hysteresis.value >= threshold:
        return dataclasses.replace(rule, hysteresis=dataclasses.replace(hysteresis, value=threshold / 2))
    return rule


def all_held(card: Card, decision: config.Decision) -> dict[str, Held]:
    """Return the rule of every label and group that may raise an event."""
    return {label: held(card, decision, label) for label in groups.raising(card, decision)}


def _value(card: Card, decision: config.Decision, name: str, label: str) -> Value:
    own: float | None = getattr(decision.labels.get(label), name, None)
    if own is not None:
        return Value(own, "user", f"labels.{label}.{name}")
    top: float | None = getattr(decision, name)
    # What no card proposes is never null: at its default nobody need have written it.
    if top is not None and (name in BY_LABEL or top != _USUAL[name]):
        return Value(top, "user", name)
    if name in BY_LABEL and (proposed := card.proposes(name, label)) is not None:
        return Value(proposed, "card")
    return Value(_USUAL[name], "default")


def faults(card: Card, decision: config.Decision) -> Iterator[tuple[str, str]]:
    """Yield what the user wrote that cannot be with this model: the key below `decision`, and what is wrong there."""
    wanted, step_ms = hop(card, decision), 1000 * card.step_samples / card.front_end.sample_rate
    samples = round(wanted.value * card.front_end.sample_rate / 1000)
    if samples == 0 or samples % card.step_samples:
        yield (
            "hop_ms",
            f"{wanted.value:g} is no multiple of {step_ms:g}, the step of model {card.name!r}; "
            f"use {max(1, round(wanted.value / step_ms)) * step_ms:g}",
        )
    too_much: dict[str, list[str]] = {}
    rules = all_held(card, decision)
    for label, rule in rules.items():
        if rule.hysteresis.value >= rule.threshold.value:
            too_much.setdefault(rule.hysteresis.key or rule.threshold.key, []).append(label)
    for key, labels in too_much.items():
        rule, more = rules[labels[0]], f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        yield (
            key,
            f"a hysteresis of {rule.hysteresis.value:g} is not below the threshold {rule.threshold.value:g} of "
            f"{labels[0]}{more} ({words(rule.threshold, card)}), so that no event would end; lower the hysteresis",
        )


def words(value: Value, card: Card) -> str:
    """Say whose word a value is, for people."""
    return {"user": "the configuration's", "card": f"card of {card.name}", "default": "default"}[value.by]


def check(decision: config.Decision, card: Card) -> None:
    """Refuse what the user wrote where it cannot be with this model.

    Raises:
        ConfigError: every such value, by its key.
    """
    if found := [f"decision.{key}: {what}" for key, what in faults(card, decision)]:
        raise ConfigError(found)


def check_all(cfg: config.Config, cards: Mapping[str, Card]) -> None:
    """Refuse the same for every source of a configuration, with the place where each value is written.

    Args:
        cards: by what the configuration calls the model.

    Raises:
        ConfigError: every such value once.
    """
    problems: dict[str, None] = {}
    for i, source in enumerate(cfg.sources):
        for key, what in faults(cards[source.model], source.decision):
            problems[placed(cfg, i, f"decision.{key}", what)] = None
    if problems:
        raise ConfigError(problems)


def placed(cfg: config.Config, source: int, key: str, what: str) -> str:
    """Name the place of a fault: the key at the top, or that of the source where the source has a word of its own."""
    own = f"sources[{source}].{key}"
    path = key if cfg.origins.get(own, "default") == cfg.origins.get(key, "default") else own
    place = cfg.origins.get(path, "default")
    return f"{path}: {what}" if place == "default" else f"{place}: {path}: {what}"
