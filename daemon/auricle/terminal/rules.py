"""The rule of every label is shown here to people: as a model proposes it, and as it holds under a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from auricle import config
from auricle.clips.keeper import longest_mb
from auricle.config.show import scalar
from auricle.errors import AuricleError
from auricle.hearing import pipeline, precedence
from auricle.hearing.precedence import Held, Value
from auricle.model import bundle
from auricle.model.card import Card, contained
from auricle.service.clips import rules_of

_NAMES = tuple(item.name for item in dataclasses.fields(Held))


def proposed(card: Card) -> Iterator[dict[str, Any]]:
    """Yield for every label what holds where nobody configures anything, what the label contains, and how it was
    measured.

    ``onset_lag_s`` and ``offset_lag_s`` are how late the decisions speak: events are dated back by so much.
    """
    rate, timing, parts = card.front_end.sample_rate, card.timing, contained(card.includes)
    for label in card.labels:
        rule = precedence.held(card, config.Decision(), label)
        onset, offset = timing.lags.get(label, (timing.onset_lag_samples, timing.offset_lag_samples))
        values = {name: getattr(rule, name).value for name in _NAMES}
        lags = {"onset_lag_s": round(onset / rate, 3), "offset_lag_s": round(offset / rate, 3)}
        quiet: dict[str, Any] = dict.fromkeys([*values, *lags])
        yield {
            "label": label,
            **(quiet if label == card.background else {**values, **lags}),
            "contains": [other for other in card.labels if other in parts.get(label, ())],
            "measured": card.measured.get(label),
            "display": card.display.get(label),
        }


def table(card: Card) -> Iterator[str]:
    """Yield what the model proposes as lines of a table."""
    rows = list(proposed(card))
    columns = [name for name in rows[0] if name not in ("contains", "measured", "display")]
    width = max(len(label) for label in ("label", *card.labels))
    yield "  ".join([f"{'label':{width}}", *columns[1:]])
    for row in rows:
        figures = ["-" if row[name] is None else scalar(row[name]) for name in columns[1:]]
        cells = [f"{figure:>{len(name)}}" for figure, name in zip(figures, columns[1:], strict=True)]
        said = [row["display"]] if row["display"] else []
        said += [f"contains {', '.join(row['contains'])}"] if row["contains"] else []
        said += ["raises no event"] if row["label"] == card.background else []
        said += [row["measured"]] if row["measured"] else []
        yield "  ".join([f"{row['label']:{width}}", *cells, "; ".join(said)]).rstrip()


def in_force(cfg: config.Config) -> Iterator[str]:
    """Yield the rules in force, as comments: each value with whose word it is, what holds for every label first.

    Sources that are decided upon alike are listed together.
    """
    groups: list[list[int]] = []
    for i, source in enumerate(cfg.sources):
        for group in groups:
            first = cfg.sources[group[0]]
            if (first.model, first.decision) == (source.model, source.decision):
                group.append(i)
                break
        else:
            groups.append([i])
    for group in groups:
        model, names = cfg.sources[group[0]].model, ", ".join(cfg.sources[i].name for i in group)
        yield f"# The rules that hold for {names}, with model {model}:"
        try:
            card = bundle.card_of(model, cfg.models_dir)
            lines = list(_of_source(cfg, group[0], card))
        except AuricleError as e:
            lines = [f"are not known: {line}" for line in e.lines()]
        yield from (f"#   {line}" for line in lines)


def _of_source(cfg: config.Config, source: int, card: Card) -> Iterator[str]:
    decision = cfg.sources[source].decision
    rules = precedence.all_held(card, decision)
    if not rules:
        return

    def place(value: Value) -> str:
        if value.by == "user":
            return cfg.origins.get(f"sources[{source}].decision.{value.key}", "the configuration")
        return f"card of {card.name}" if value.by == "card" else "default"

    hop = precedence.hop(card, decision)
    yield _line("hop_ms", scalar(hop.value), place(hop))
    found = {
        name: {(getattr(rule, name).value, place(getattr(rule, name))) for rule in rules.values()} for name in _NAMES
    }
    same = [name for name in _NAMES if len(found[name]) == 1]
    for name in same:
        ((value, where),) = found[name]
        yield _line(f"{name}, every label", scalar(value), where)
    for label, rule in rules.items():
        own = {name: getattr(rule, name) for name in _NAMES if name not in same}
        if own:
            by_place: dict[str, list[str]] = {}
            for name, value in own.items():
                by_place.setdefault(place(value), []).append(name)
            values = ", ".join(f"{name}: {scalar(value.value)}" for name, value in own.items())
            places = "; ".join(f"{', '.join(names)}: {where}" for where, names in by_place.items())
            yield _line(label, f"{{{values}}}", places if len(by_place) > 1 else next(iter(by_place)))


def _line(name: str, value: str, place: str) -> str:
    return f"{f'{name}: {value}':44}  # {place}"


USUAL_HZ = 48_000
"""The rate of most microphones, where a source's own is not known before it is opened."""


def held_for_clips(clips: config.Clips, source: config.Source, model: bundle.Bundle) -> str:
    """Say how much memory the clips of a source take, at its own rate where the configuration knows it."""
    rate = (source.stdin and source.stdin.rate) or (source.microphone and source.microphone.sample_rate) or USUAL_HZ
    detector = pipeline.detector(model, source.decision, span=0, hop=0)
    back_s = detector.back_samples / model.card.front_end.sample_rate
    held_mb, most_mb = longest_mb(rules_of(clips, source), back_s, rate)
    return (
        f"{source.name}: clips: holds {held_mb:.1f} MB of sound at {rate / 1000:g} kHz, "
        f"{most_mb:.1f} MB while an event lasts for {clips.max_s:g} s"
    )
