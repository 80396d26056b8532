"""Of every rule the user's word holds, else the card's, else the usual one; what cannot be with a card is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from auricle import config
from auricle.config import sections
from auricle.errors import ConfigError
from auricle.hearing import pipeline, precedence
from auricle.hearing.precedence import Value
from auricle.model import bundle
from auricle.model.card import BY_LABEL, Card, Proposal

CARD: dict[str, Any] = {
    "decision": Proposal(hop_ms=160, smoothing_ms=480, threshold=0.4, hysteresis=0.15, min_duration_ms=320),
    "smoothings_ms": {"rain": 1600},
    "thresholds": {"rain": 0.7},
    "hystereses": {"rain": 0.3},
    "min_durations_ms": {"rain": 2400},
}
WORDS = {"smoothing_ms": 800.0, "threshold": 0.6, "hysteresis": 0.05, "min_duration_ms": 40.0}
"""Something else than CARD and the defaults say, of every key that a card may propose."""


@pytest.fixture(scope="module")
def bare() -> Card:
    """A card that proposes nothing."""
    nothing: dict[str, Any] = {key: {} for key in BY_LABEL.values()}
    return msgspec.structs.replace(bundle.load("esc10").card, decision=Proposal(), **nothing)


@pytest.fixture(scope="module")
def card(bare: Card) -> Card:
    """A card that has a word of its own about everything."""
    return msgspec.structs.replace(bare, **CARD)


def decision(**given: object) -> config.Decision:
    """The rules that a user wrote."""
    return config.load(None, environ={}, overrides={f"decision.{key}": value for key, value in given.items()}).decision


@pytest.mark.parametrize("name", WORDS)
def test_the_users_word_then_the_cards_then_the_usual(card: Card, bare: Card, name: str) -> None:
    """For a label: what the user wrote of it, for all, what the card says of it, for all, the default."""
    of_rain, of_all = CARD[BY_LABEL[name]]["rain"], getattr(CARD["decision"], name)
    usual = getattr(sections, f"DEFAULT_{name.removesuffix('_ms').upper()}{'_MS' * name.endswith('_ms')}")

    def rain(of: Card, **given: object) -> Value:
        return getattr(precedence.held(of, decision(**given), "rain"), name)  # type: ignore[no-any-return]

    value = WORDS[name]
    assert rain(bare) == Value(usual, "default")
    assert getattr(precedence.held(card, decision(), "sneeze"), name) == Value(of_all, "card")
    assert rain(card) == Value(of_rain, "card")
    assert rain(card, **{name: value}) == Value(value, "user", name), "over the card's word of a label too"
    labels = {"rain": {name: value}}
    assert rain(card, labels=labels) == Value(value, "user", f"labels.rain.{name}")
    assert rain(card, labels=labels, **{name: 0.9}) == Value(value, "user", f"labels.rain.{name}")
    assert getattr(precedence.held(card, decision(labels=labels), "sneeze"), name) == Value(of_all, "card")


def test_the_hop_is_one_for_all_labels(card: Card, bare: Card) -> None:
    """The user's, else the card's, else the usual."""
    assert precedence.hop(bare, decision()) == Value(80, "default")
    assert precedence.hop(card, decision()) == Value(160, "card")
    assert precedence.hop(card, decision(hop_ms=40)) == Value(40, "user", "hop_ms")


def test_of_refractory_time_cards_say_nothing(card: Card) -> None:
    """It is the user's, or the default."""
    assert precedence.held(card, decision(), "rain").refractory_ms == Value(500, "default")
    assert precedence.held(card, decision(refractory_ms=900), "rain").refractory_ms == Value(
        900, "user", "refractory_ms"
    )
    own = decision(labels={"rain": {"refractory_ms": 0}})
    assert precedence.held(card, own, "rain").refractory_ms == Value(0, "user", "labels.rain.refractory_ms")


def test_what_nobody_wrote_leaves_room_for_an_event_to_end(card: Card, bare: Card) -> None:
    """A hysteresis of the card or the default is half of a threshold that it would reach, whosever the threshold is."""
    assert precedence.held(bare, decision(threshold=0.08), "rain").hysteresis == Value(0.04, "default")
    assert precedence.held(card, decision(threshold=0.2), "rain").hysteresis == Value(0.1, "card")
    assert precedence.held(card, decision(threshold=0.31), "rain").hysteresis == Value(0.3, "card")


def test_what_the_user_wrote_is_refused_where_no_event_could_end(card: Card, tmp_path: Path) -> None:
    """A hysteresis in the configuration that a threshold of the card does not allow is told with both, where it
    stands."""
    file = tmp_path / "auricle.yaml"
    file.write_text(
        "sources:\n- {name: a, microphone: {}}\n- name: b\n  microphone: {}\n"
        "  decision: {labels: {rain: {hysteresis: 0.8}}}\n"
        "decision:\n  hysteresis: 0.45\n"
    )
    cfg = config.load(file, environ={})
    with pytest.raises(ConfigError) as caught:
        precedence.check_all(cfg, {cfg.model: card})
    assert caught.value.lines() == [
        f"{file}:7: decision.hysteresis: a hysteresis of 0.45 is not below the threshold 0.4 of baby_cry and 8 more "
        "(card of esc10), so that no event would end; lower the hysteresis",
        f"{file}:5: sources[1].decision.labels.rain.hysteresis: a hysteresis of 0.8 is not below the threshold 0.7 of "
        "rain (card of esc10), so that no event would end; lower the hysteresis",
    ]
    shipped = bundle.load("esc10")
    shipped = bundle.Bundle(shipped.path, card, shipped.hash, shipped.whole, shipped.stream, shipped.raw)
    with pytest.raises(ConfigError, match=r"^decision\.hysteresis: a hysteresis of 0\.45"):
        pipeline.rules(shipped, cfg.decision)


def test_a_hop_that_the_network_cannot_step_is_refused(card: Card) -> None:
    """With the nearest that it can, and where it is written."""
    with pytest.raises(ConfigError, match=r"decision\.hop_ms: 90 is no multiple of 40, the step of .*; use 80"):
        precedence.check(decision(hop_ms=90), card)
    with pytest.raises(ConfigError, match=r"use 40"):
        precedence.check(decision(hop_ms=10), card)
    precedence.check(decision(hop_ms=120), card)
