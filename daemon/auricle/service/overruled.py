"""A configuration may hold on to something although the model, or the package, knows better by now; that is found
here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from auricle import config
from auricle.config import sections
from auricle.model.card import BY_LABEL, Card

log = logging.getLogger("auricle")


def overruled(cfg: config.Config, cards: Mapping[str, Card]) -> list[str]:
    """Return a line, with the place, the value and the remedy, for each value for all labels that goes before other
    ones of a card, and for each model that was the default once. Whoever wrote a rule for a single label meant it.

    Args:
        cards: by what the configuration calls the model; sources of other models are passed over.
    """
    found: dict[str, None] = {}
    for i, source in enumerate(cfg.sources):
        for path, line in [*_models(source), *_rules(source, cards.get(source.model))]:
            places = (cfg.origins.get(key, "default") for key in (f"sources[{i}].{path}", path))
            place = next((place for place in places if place != "default"), "default")
            if place not in ("default", "command line"):
                found[f"{place}: {path}: {line}"] = None
    return list(found)


def _models(source: config.Source) -> Iterator[tuple[str, str]]:
    new = sections.DEFAULT_MODEL
    if source.model in sections.FORMER_MODELS and source.model != new:
        yield "model", f"{source.model} was the default before {new}; remove it to hear with {new}"


def _rules(source: config.Source, card: Card | None) -> Iterator[tuple[str, str]]:
    if card is None:
        return
    hop_ms, proposed_ms = source.decision.hop_ms, card.decision.hop_ms
    if hop_ms is not None and proposed_ms is not None and hop_ms != proposed_ms:
        yield _line("hop_ms", hop_ms, [proposed_ms], card)
    for name in BY_LABEL:
        value = getattr(source.decision, name)
        proposed = [card.proposes(name, label) for label in card.labels if label != card.background]
        known = sorted({each for each in proposed if each is not None})
        if value is not None and known and known != [value]:
            yield _line(name, value, known, card)


def _line(name: str, value: float, proposed: list[float], card: Card) -> tuple[str, str]:
    says = f"{proposed[0]:g}" if len(proposed) == 1 else f"{proposed[0]:g} to {proposed[-1]:g}, by label"
    line = f"{value:g} goes before what the card of {card.name} says ({says}); remove it to follow the model"
    return f"decision.{name}", line


class Overruled:
    """Says each of these lines in the log, once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def tell(self, cfg: config.Config, cards: Mapping[str, Card]) -> None:
        """Log the lines that have not been logged yet."""
        for line in overruled(cfg, cards):
            if line not in self._said:
                self._said.add(line)
                log.warning("%s", line)
