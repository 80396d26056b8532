"""`auricle tune`: rules under a budget, and what they promise."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from auricle import config
from auricle.commands.cli import app
from auricle.commands.tune import budgets, fragment_beside
from auricle.errors import UsageError
from auricle.hearing import pipeline
from auricle.hearing.decision import Rule
from auricle.hearing.hearer import Hearer, Hearing
from auricle.judge import budget, scoring, tune
from auricle.judge.budget import Outcome
from auricle.judge.evaluate import Heard
from auricle.judge.truth import Event
from auricle.model import bundle
from helpers.sounds import varied, write

RULE = Rule(0.5, 0.1, 1600, 8000)


@pytest.fixture(scope="module")
def esc10() -> bundle.Bundle:
    """The default model."""
    return bundle.load("esc10")


@pytest.fixture
def hearer(esc10: bundle.Bundle) -> Hearer:
    """At a threshold of 0.5, whatever the model ships with."""
    cfg = config.load(None, environ={}, overrides={"decision.threshold": 0.5, "decision.min_duration_ms": 100})
    return Hearer(esc10, cfg.decision, cfg.gate)


def hearing(hearer: Hearer, bumps: dict[str, list[tuple[float, float]]], seconds: float = 600.0) -> Hearing:
    """Scores that rise for a second to a height at a time, by label: ``(time, height)``."""
    rows = (round(seconds * hearer.rate) - hearer.span) // hearer.hop + 1
    at = (hearer.span + np.arange(rows) * hearer.hop) / hearer.rate
    scores = np.zeros((rows, len(hearer.bundle.labels)), np.float32)
    for label, spots in bumps.items():
        for time, height in spots:
            scores[(at >= time) & (at < time + 1.0), hearer.bundle.labels.index(label)] = height
    return Hearing("made", scores, round(seconds * hearer.rate))


def outcome(threshold: float, alarms: int, noticed: int = 0, true: int = 0) -> Outcome:
    return Outcome(dataclasses.replace(RULE, threshold=threshold), (alarms,), true, noticed, 0.5)


def test_the_choice_is_the_best_of_all() -> None:
    """Of three labels with random outcomes: no other combination within the budget notices more."""
    rng = np.random.default_rng(3)
    for _ in range(30):
        tried = {
            label: [
                outcome(t, int(a), int(n), 20)
                for t, a, n in zip(
                    (0.5, 0.7, 0.9, 1.0), (*rng.integers(0, 9, 3), 0), (*rng.integers(0, 20, 3), 0), strict=True
                )
            ]
            for label in "abc"
        }
        found = budget.choose(tried, dict.fromkeys("abc", RULE), 2.0, 4.0, {"b": 1.0})
        assert sum(o.alarms for o in found.values()) <= 8
        assert found["b"].alarms <= 2
        best = max(
            sum(o.noticed for o in way)
            for way in itertools.product(*tried.values())
            if sum(o.alarms for o in way) <= 8 and way[1].alarms <= 2
        )
        assert sum(o.noticed for o in found.values()) == best


def test_one_rule_at_two_smoothings_is_two_outcomes() -> None:
    """What is made stricter, and what is expected of new recordings, is counted at the smoothing that was chosen; of
    equals the shorter one is."""

    def tried(threshold: float, alarms: tuple[int, ...], noticed: int, ms: float) -> Outcome:
        return Outcome(dataclasses.replace(RULE, threshold=threshold), alarms, 20, noticed, 0.5, ms)

    quiet, loud = (0,) * 10, (1,) * 10
    options = [
        tried(0.5, loud, 9, 80.0),
        tried(0.7, loud, 9, 80.0),
        tried(0.9, loud, 9, 80.0),
        tried(0.5, quiet, 12, 640.0),
        tried(0.8, quiet, 10, 640.0),
        tried(0.5, quiet, 12, 1280.0),
        tried(1.0, quiet, 0, 80.0),
    ]
    rules = {"rain": RULE}
    (found,) = budget.choose({"rain": options}, rules, 1.0, 0.0, {}).values()
    assert (found.rule.threshold, found.smoothing_ms) == (0.5, 640.0)
    other = budget.stricter(options, found, 1)
    assert (other.rule.threshold, other.smoothing_ms) == (0.8, 640.0)
    assert budget.expected({"rain": options}, rules, [0.1] * 10, 0.0, {}, 0) == [0] * 10


def test_without_truth_a_rule_is_never_opened(hearer: Hearer) -> None:
    """From quiet recordings nobody learns what a lower threshold, or a shorter duration, would mistake: only raised.

    And no further than needed.
    """
    quiet = Heard(hearing(hearer, {"rain": [(100, 0.66), (200, 0.71)], "rooster": [(300, 0.3)]}), (), negative=True)
    tried = budget.sweep(hearer, [quiet])
    found = budget.choose(tried, hearer.rules, 1 / 6, 0.0, {})
    assert found["rain"].rule.threshold == pytest.approx(0.75)
    assert found["rooster"].rule.threshold == pytest.approx(0.5)
    card = msgspec.structs.replace(hearer.bundle.card, min_durations_ms={"rooster": 1200.0})
    slow = Hearer(dataclasses.replace(hearer.bundle, card=card), config.Decision(), config.Gate())
    kept = budget.choose(budget.sweep(slow, [quiet]), slow.rules, 1 / 6, 0.0, {})
    assert kept["rooster"].rule == slow.rules["rooster"]
    assert kept["rooster"].rule.min_duration_samples == 1.2 * slow.rate


def test_a_label_is_silenced_only_where_nothing_else_keeps_the_budget() -> None:
    """What notices nothing of these recordings may still be passed by a clearer sound, if that costs no alarm here."""
    tried = {
        "rain": [outcome(0.9, 1, 0, 20), outcome(0.99, 0, 0, 20), outcome(1.0, 0, 0, 20)],
        "rooster": [outcome(0.99, 1, 3, 20), outcome(1.0, 0, 0, 20)],
    }
    found = budget.choose(tried, dict.fromkeys(tried, RULE), 1.0, 0.0, {})
    assert {label: o.rule.threshold for label, o in found.items()} == {"rain": 0.99, "rooster": 1.0}


def test_with_truth_recall_decides(hearer: Hearer) -> None:
    """A threshold goes down to where the last event is noticed, if no false alarm stands against it."""
    true = [Event(50, 51, "dog_bark"), Event(150, 151, "dog_bark")]
    item = Heard(hearing(hearer, {"dog_bark": [(50.5, 0.9), (150.5, 0.37)], "sneeze": [(400, 0.99)]}), true)
    tuned, _ = tune.tune(hearer, [item], 0.0)
    dog, sneeze = tuned.labels["dog_bark"], tuned.labels["sneeze"]
    assert (dog.true, dog.noticed_before, dog.noticed, dog.threshold) == (2, 1, 2, 0.35)
    assert (sneeze.false_alarms_before, sneeze.false_alarms) == (1, 0)
    assert sneeze.threshold > 0.98


def test_expected_is_counted_by_rules_that_did_not_see_it(hearer: Hearer) -> None:
    """Alarms of ever other heights: none is left where the rules were fitted, about one a label comes anew."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(6):
        bumps = {
            label: [(float(t), float(h)) for t, h in zip(range(20, 3500, 60), rng.uniform(0.3, 0.95, 58), strict=True)]
            for label in ("rain", "rooster", "sneeze")
        }
        item = Heard(hearing(hearer, bumps, 3600.0), (), negative=True)
        tried = budget.sweep(hearer, [item], durations_ms=(100.0,))
        hours = budget.Stretches(hearer, [item]).hours
        assert len(hours) == 40
        assert sum(hours) == pytest.approx(1.0)
        chosen = budget.choose(tried, hearer.rules, 1.0, 0.5, {})
        assert sum(o.alarms for o in chosen.values()) == 0
        found.append(sum(budget.expected(tried, hearer.rules, hours, 0.5, {}, 0)))
    assert 1 <= np.mean(found) <= 6


def test_the_prediction_interval_covers() -> None:
    """Counts of the same rate again lie inside in at least 93 of 100; clumped ones too, where the clumps are seen."""
    rng = np.random.default_rng(1)
    for clump in (1, 4):
        inside = 0
        for _ in range(400):
            now, then = (clump * rng.poisson(12 / clump / 40, 40) for _ in range(2))
            low, high = scoring.prediction_interval(now.tolist())
            inside += low <= then.sum() <= high
        assert inside >= 372, clump
    assert scoring.prediction_interval([0] * 40)[0] == 0
    assert 2 <= scoring.prediction_interval([0] * 40)[1] <= 4


def test_too_few_hours_are_told() -> None:
    """Nothing in ten minutes bounds the rate at 18 an hour; 0.5 takes six hours; a hundred quiet hours promise it."""
    few = tune.Tuned(0.5, 1 / 6, 0, 3, 0.0, 0.0, 18.0, 17.97, 5.99, False, {})
    assert "Too few hours to promise 0.5 an hour" in "\n".join(tune.remarks(few))
    assert "6.0 h without one" in "\n".join(tune.remarks(few))
    many = msgspec.structs.replace(few, hours=100.0, bound_per_hour=0.03, promised=True)
    assert "Too few" not in "\n".join(tune.remarks(many))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration of one's own beside recordings of an evening."""
    rng = np.random.default_rng(5)
    for i in range(2):
        write(tmp_path / "evening" / f"{i}.wav", varied(5.0, seed=i) if i else 0.01 * rng.standard_normal(80_000))
    file = tmp_path / "auricle.yaml"
    file.write_text("node: porch\ndecision:\n  labels:\n    rain: {threshold: 0.7}\n")
    return file


@pytest.fixture(autouse=True)
def _evening(tmp_path: Path) -> None:
    (tmp_path / "evening").mkdir()


def test_the_fragment_comes_into_force_and_is_never_built_upon(place: Path, tmp_path: Path) -> None:
    """It is written beside the user's file, which stays as it was; it is read; the next tuning begins without it."""
    before = place.read_bytes()
    arguments = ["tune", str(tmp_path / "evening"), "-c", str(place), "--cache", str(tmp_path / "kept")]
    shown = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert shown.exit_code == 0, shown.output
    target = tmp_path / "conf.d" / "50-tuned.yaml"
    assert not target.exists()
    result = CliRunner().invoke(app, [*arguments, "--json", "--plot", str(tmp_path / "tuned.png")])
    assert result.exit_code == 0, result.output
    assert target.read_text() == shown.stdout
    assert place.read_bytes() == before
    assert (tmp_path / "tuned.png").read_bytes().startswith(b"\x89PNG")
    said = json.loads(result.stdout)["labels"]
    cfg = config.load(place, environ={})
    for label, tuned in said.items():
        if tuned["changed"]:
            rule = cfg.decision.for_label(label)
            assert (rule.threshold, rule.hysteresis) == (tuned["threshold"], tuned["hysteresis"])
    target.write_text("decision:\n  labels: {rain: {threshold: 0.99}, sneeze: {threshold: 0.99}}\n")
    rules = config.load(place, environ={}, without=fragment_beside(place)).decision
    assert rules.for_label("sneeze").threshold is None
    assert rules.for_label("rain").threshold == 0.7, "the user's own, under the fragment"
    CliRunner().invoke(app, arguments)
    assert target.read_text() == shown.stdout


def test_the_fragment_is_a_configuration(hearer: Hearer) -> None:
    """Silenced and unchanged labels, and none changed at all: YAML that the configuration takes."""
    loud = Heard(hearing(hearer, {"rain": [(100, 0.9962)]}), (), negative=True)
    still = Heard(hearing(hearer, {}), (), negative=True)
    for item in (loud, still):
        tuned, _ = tune.tune(hearer, [item], 0.5)
        text = tune.fragment(tuned, 1)
        config.load(None, environ={}, overrides=yaml.safe_load(text))
        assert ("Silenced" in text) == (item is loud)


def test_what_raises_no_alarm_stays_as_it_is(hearer: Hearer) -> None:
    """Ten minutes of nothing change no rule, wherever it stands; a label's own budget is told to be unproved."""
    card = msgspec.structs.replace(hearer.bundle.card, thresholds={"rain": 0.66, "sneeze": 0.1, "rooster": 0.999})
    shipped = Hearer(dataclasses.replace(hearer.bundle, card=card), config.Decision(), config.Gate())
    quiet = Heard(hearing(shipped, {}), (), negative=True)
    tuned, _ = tune.tune(shipped, [quiet], 100.0, {"dog_bark": 0.1, "rain": 0.0})
    assert not [label for label, found in tuned.labels.items() if found.changed]
    assert tuned.promised
    assert tuned.unpromised == {"dog_bark": 29.96, "rain": None}
    text = "\n".join(tune.remarks(tuned))
    assert "the budget of dog_bark alone: it takes 30.0 h without one" in text
    assert "the budget of rain alone: no number of hours is enough" in text


def test_budgets_on_the_command_line() -> None:
    """LABEL=RATE; what is none, and a label that is not the model's, is told."""
    assert budgets(["dog_bark=0.1", "rain=0"], ["dog_bark", "rain"]) == {"dog_bark": 0.1, "rain": 0.0}
    for wrong in ("dog_bark", "dog_bark=x", "dog_bark=-1", "dog_bark=nan"):
        with pytest.raises(UsageError, match="no budget"):
            budgets([wrong], ["dog_bark"])
    with pytest.raises(UsageError, match="no label 'owl'"):
        budgets(["owl=1"], ["dog_bark"])


def test_rules_are_the_users_then_the_cards_then_the_default(esc10: bundle.Bundle) -> None:
    """A number at the top holds for all labels, one of a label for it; else the card's, else 0.5 and 100 ms.

    Events can end: a hysteresis that a card's threshold leaves no room for is halved.
    """
    card = msgspec.structs.replace(
        esc10.card,
        thresholds={"rain": 0.8, "sneeze": 0.08},
        min_durations_ms={"rain": 1200.0, "sneeze": 0.0},
        timing=msgspec.structs.replace(esc10.card.timing, lags={"rain": (9, 7)}),
    )
    shipped = dataclasses.replace(esc10, card=card)

    def of(**overrides: object) -> dict[str, Rule]:
        given = {f"decision.{key}": value for key, value in overrides.items()}
        return dict(pipeline.rules(shipped, config.load(None, environ={}, overrides=given).decision))

    plain = of()
    assert (plain["rain"].threshold, plain["dog_bark"].threshold) == (0.8, 0.5)
    assert plain["rain"].hysteresis == 0.1
    assert (plain["sneeze"].threshold, plain["sneeze"].hysteresis) == (0.08, 0.04)
    assert {rule.threshold for rule in of(threshold=0.5).values()} == {0.5}
    own = of(labels={"rain": {"threshold": 0.6}})
    assert (own["rain"].threshold, own["sneeze"].threshold) == (0.6, 0.08)

    def lasting(rules: dict[str, Rule], *labels: str) -> list[float]:
        return [rules[label].min_duration_samples / 16 for label in labels]

    assert lasting(plain, "rain", "sneeze", "dog_bark") == [1200, 0, 100]
    assert lasting(own, "rain", "sneeze") == [1200, 0], "each of the two is the user's by itself"
    assert plain["rain"].lags == (9, 7), "measured under the card's own rule"
    assert of(threshold=0.5)["rain"].lags is of(min_duration_ms=0)["rain"].lags is plain["dog_bark"].lags is None
    assert lasting(of(min_duration_ms=320), "rain", "sneeze", "dog_bark") == [320, 320, 320]
    assert lasting(of(labels={"rain": {"min_duration_ms": 0}}), "rain", "dog_bark") == [0, 100]
