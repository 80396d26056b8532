"""A made-up house whose alarm contains its sirens, from sound to messages: one sound is one event, and all is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import numpy as np
import pytest

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import End, NominalClock, Segment, Sound
from auricle.hearing.hearer import Hearer
from auricle.hearing.lane import THRESHOLDS_S, Lane
from auricle.hearing.together import Together
from auricle.judge import budget, evaluate
from auricle.judge.evaluate import Heard
from auricle.judge.truth import Event
from auricle.messages import topics
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from helpers.bundles import made_up, tone
from helpers.sounds import RATE

SIREN, SMOKE, OTHER, DOG = 1000.0, 3000.0, 5000.0, 400.0
"""Hz: the tones of the labels; the alarm also hears one that is neither of the sirens."""
LABELS = {"siren": [SIREN], "smoke_alarm": [SMOKE], "alarm": [SIREN, SMOKE, OTHER], "dog": [DOG]}
VALID = jsonschema.Draft202012Validator(topics.schema())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    """The model, which proposes how to decide."""
    folder = made_up(
        tmp_path_factory.mktemp("models") / "house",
        LABELS,
        includes={"alarm": ["siren", "smoke_alarm"]},
        decision={"hop_ms": 160, "smoothing_ms": 160, "hysteresis": 0.2, "min_duration_ms": 320},
        thresholds={"siren": 0.6},
        smoothings_ms={"dog": 640},
        min_durations_ms={"dog": 1600},
    )
    return bundle.load(str(folder))


def sound(*parts: tuple[float, ...] | None) -> np.ndarray:
    """A second of silence, then two seconds of each of these tones, or of silence, then silence."""
    return np.concatenate((tone(), *(tone(*(part or ()), seconds=2.0) for part in parts), tone(seconds=2.0)))


def hear(house: bundle.Bundle, samples: np.ndarray, **decision: object) -> list[dict[str, Any]]:
    """The messages of one segment, in blocks of any length; all keep the schema."""
    heard: list[dict[str, Any]] = []

    def outlet(topic: str, payload: bytes) -> None:
        heard.append(json.loads(payload))
        VALID.validate(heard[-1])

    cfg = config.load(None, environ={}, overrides={f"decision.{key}": value for key, value in decision.items()})
    lane = Lane(
        Recordings("test", [], model_rate=RATE),
        house,
        decision=cfg.decision,
        gate=cfg.gate,
        publish=cfg.publish,
        publisher=Publisher("node", [outlet]),
    )
    lane.take(Segment(0, RATE, NominalClock(RATE)))
    rng = np.random.default_rng(3)
    together = Together()
    while len(samples):
        n = int(rng.integers(1, 9000))
        together.feed(lane, [Sound(samples[:n])])
        samples = samples[n:]
    lane.take(End("end"))
    return heard


def told(heard: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """Phase, label and `also` of the events; of the onset none yet, if the other comes a decision later."""
    events = [m for m in heard if m["type"] == "event" and m["phase"] != "update"]
    return [(m["phase"], m["label"], m.get("also", [])) for m in events]


def test_one_sound_is_one_event(house: bundle.Bundle) -> None:
    """A siren is told as a siren that is an alarm too; a sound that only the alarm knows, as the alarm."""
    heard = hear(house, sound((SIREN,), None, (OTHER,)))
    assert [(phase, label) for phase, label, _ in told(heard)] == [
        ("onset", "siren"),
        ("offset", "siren"),
        ("onset", "alarm"),
        ("offset", "alarm"),
    ]
    assert told(heard)[1][2] == ["alarm"]
    assert all("also" not in m for m in heard if m.get("label") == "alarm")
    assert all(m["duration_s"] > 0 for m in heard if m["type"] == "event")


def test_scores_say_why_there_is_no_event(house: bundle.Bundle) -> None:
    """What is above its threshold without an event says why at every decision; thresholds come with the first one and
    every two seconds."""
    heard = hear(house, sound((SIREN, DOG), (DOG,)), refractory_ms=500)
    scores = [m for m in heard if m["type"] == "score"]
    why = [m.get("held_back", {}) for m in scores]
    assert {"siren": "short", "alarm": "in:siren"}.items() <= why[[bool(w) for w in why].index(True)].items()
    assert sum(w.get("alarm") == "in:siren" for w in why) > 8
    assert sum(w.get("dog") == "short" for w in why) == 10, "a minimum of 1.6 s is ten decisions"
    assert all(
        set(w) <= {label for label, s in m["scores"].items() if s >= 0.5} for w, m in zip(why, scores, strict=True)
    )
    first, *more = [m["sample"] for m in scores if "thresholds" in m]
    assert first == scores[0]["sample"]
    assert set(np.diff([first, *more])) == {THRESHOLDS_S * RATE + 0.08 * RATE}, "the first decision from 2 s on"
    assert scores[0]["thresholds"] == {"siren": 0.6, "smoke_alarm": 0.5, "alarm": 0.5, "dog": 0.5}


def test_the_card_decides_where_nobody_else_does(house: bundle.Bundle) -> None:
    """Hop, smoothing and minimum duration are the card's, of single labels too; the user's go before them."""
    heard = [m for m in hear(house, sound((DOG,))) if m["type"] == "score"]
    assert set(np.diff([m["sample"] for m in heard])) == {0.160 * RATE}
    rising = [m["scores"]["dog"] for m in heard]
    sharp = [m["scores"]["dog"] for m in hear(house, sound((DOG,)), smoothing_ms=160) if m["type"] == "score"]
    padded = [0.0, 0.0, 0.0, *sharp]
    np.testing.assert_allclose(rising, [np.mean(padded[i : i + 4]) for i in range(len(sharp))], atol=1e-6)
    fine = [m for m in hear(house, sound((DOG,)), hop_ms=80) if m["type"] == "score"]
    assert set(np.diff([m["sample"] for m in fine])) == {0.080 * RATE}


def heard_as(hearer: Hearer, parts: Mapping[str, tuple[float, ...]]) -> Heard:
    """These sounds one after the other, a second of silence between, with their truth."""
    pieces, events = [tone()], []
    for i, (label, hz) in enumerate(parts.items()):
        pieces += [tone(*hz, seconds=2.0), tone()]
        events.append(Event(1.0 + 3 * i, 3.0 + 3 * i, label))
    return Heard(hearer.hear_blocks("made up", iter(np.concatenate(pieces).reshape(-1, 160))), events)


def test_what_contains_others_is_judged_with_what_is_theirs(house: bundle.Bundle) -> None:
    """Rules are tried label by label: a siren is a true event of the alarm, which would report it by itself. What the
    daemon reports is judged as it is, and that a smoke alarm was told as an alarm is no false alarm."""
    hearer = Hearer(house, config.Decision(), config.Gate())
    item = heard_as(hearer, {"siren": (SIREN,), "alarm": (OTHER,)})
    assert [event.label for event in hearer.decide(item.hearing)] == ["siren", "alarm"]
    assert [event.label for event in hearer.decide(item.hearing, apart=True)] == ["alarm", "siren", "alarm"]
    found = budget.outcomes(hearer, [item], hearer.rules)
    assert (found["alarm"].true, found["alarm"].noticed, found["alarm"].alarms) == (2, 2, 0)
    assert (found["siren"].true, found["siren"].noticed, found["siren"].alarms) == (1, 1, 0)
    mistaken = heard_as(hearer, {"smoke_alarm": (OTHER,), "dog": (SMOKE,)})
    report = evaluate.evaluate(hearer, [mistaken])
    assert report.labels["alarm"].false_alarms.count == 0
    assert report.labels["smoke_alarm"].noticed == 0
    assert report.labels["smoke_alarm"].false_alarms.count == 1
