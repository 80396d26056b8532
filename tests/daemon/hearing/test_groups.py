"""Of many labels only those that are wanted raise events: by name, but for some, or as groups of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import NominalClock, Segment, Sound
from auricle.config.read import check_labels
from auricle.errors import ConfigError
from auricle.hearing import groups, pipeline, precedence
from auricle.hearing.ear import Ear
from auricle.hearing.groups import Highest
from auricle.hearing.hearer import Hearer
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.judge.evaluate import evaluate, gather, text
from auricle.judge.tune import fragment, narrow, tune
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from helpers import laws
from helpers.bundles import made_up, tone
from helpers.sounds import RATE, write

HZ = {"dog": 700.0, "cat": 1500.0, "bird": 3000.0, "car": 5500.0}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model of four labels, each heard where its tone is, and one for nothing."""
    labels = {name: [hz] for name, hz in HZ.items()}
    folder = made_up(
        tmp_path_factory.mktemp("models") / "house", {**labels, "silence": []}, background="silence",
        decision={"hop_ms": 160, "smoothing_ms": 160, "min_duration_ms": 0},
    )  # fmt: skip
    return bundles.load(str(folder))


def decided(wanted: dict[str, Any]) -> config.Decision:
    """The section `decision`, as it is read."""
    return config.load(None, environ={}, overrides={"decision": wanted}).decision


@pytest.mark.parametrize(
    ("wanted", "raise_events"),
    [
        ({}, ["dog", "cat", "bird", "car"]),
        ({"only": ["car", "dog"]}, ["dog", "car"]),
        ({"only": "cat"}, ["cat"]),
        ({"only": []}, []),
        ({"except": ["cat"]}, ["dog", "bird", "car"]),
        ({"only": ["dog", "cat"], "except": ["cat"]}, ["dog"]),
        ({"labels": {"pet": {"includes": ["dog", "cat"]}}}, ["bird", "car", "pet"]),
        ({"labels": {"pet": {"includes": ["dog", "cat"]}, "dog": {"threshold": 0.9}}}, ["dog", "bird", "car", "pet"]),
        ({"labels": {"pet": {"includes": ["dog", "cat"]}}, "only": ["pet", "cat"]}, ["cat", "pet"]),
        ({"labels": {"pet": {"includes": "dog"}}, "except": ["pet"]}, ["cat", "bird", "car"]),
        (
            {"labels": {"animal": {"includes": ["pet", "bird"]}, "pet": {"includes": ["dog", "cat"]}}},
            ["car", "animal"],
        ),
        (
            {"labels": {"animal": {"includes": ["pet", "bird"]}, "pet": {"includes": ["dog"], "threshold": 0.7}}},
            ["cat", "car", "animal", "pet"],
        ),
    ],
)
def test_who_may_raise_events(house: Bundle, wanted: dict[str, Any], raise_events: list[str]) -> None:
    """`only`, `except` and groups; members of a group are told as the group unless they are named."""
    decision = decided(wanted)
    assert list(groups.raising(house.card, decision)) == raise_events
    assert list(pipeline.rules(house, decision)) == raise_events


def test_a_group_scores_as_its_highest_member() -> None:
    """To the bit, row by row, and with the laws of a stage."""
    scores = np.random.default_rng(0).random((50, 4), np.float32)
    stage = Highest([[0, 1], [2], [0, 3]])
    wanted = np.stack([np.maximum(scores[:, 0], scores[:, 1]), scores[:, 2], np.maximum(scores[:, 0], scores[:, 3])], 1)
    np.testing.assert_array_equal(stage.process(scores), np.concatenate([scores, wanted], 1), strict=True)
    laws.hold(lambda: Highest([[0, 1], [2], [0, 3]]), scores, [1, 7, 0, 20])


def heard(house: Bundle, decision: config.Decision, sound: Any, **publish: Any) -> list[dict[str, Any]]:
    """The messages of a source that hears this sound."""
    told: list[dict[str, Any]] = []
    lane = Lane(
        Recordings("porch", [], model_rate=RATE), house, decision=decision, gate=config.Gate(),
        publish=config.load(None, environ={}, overrides={"publish": publish}).publish,
        publisher=Publisher("node", [lambda topic, payload: told.append({"topic": topic, **json.loads(payload)})]),
    )  # fmt: skip
    Together().feed(lane, [Segment(start=0, rate=RATE, clock=NominalClock(RATE)), Sound(sound)])
    lane.close()
    return told


def events(messages: list[dict[str, Any]]) -> list[str]:
    """The labels of the events that begin."""
    return [message["label"] for message in messages if message["type"] == "event" and message["phase"] == "onset"]


def test_one_sound_is_one_event_of_its_group(house: Bundle) -> None:
    """A dog and then a cat are a pet, with the pet's rule and topic; the car is a car."""
    decision = decided({"labels": {"pet": {"includes": ["dog", "cat"], "threshold": 0.8}}})
    quiet = tone(seconds=1.0)
    sound = np.concatenate([quiet, tone(HZ["dog"]), quiet, tone(HZ["cat"]), quiet, tone(HZ["car"]), quiet])
    told = heard(house, decision, sound)
    assert events(told) == ["pet", "pet", "car"]
    assert {message["topic"] for message in told if message["type"] == "event"} == {
        "event.porch.pet.", "event.porch.car.",
    }  # fmt: skip
    scores = [message["scores"] for message in told if message["type"] == "score"]
    assert all(each["pet"] == max(each["dog"], each["cat"]) for each in scores)
    assert next(message["thresholds"] for message in told if message["type"] == "score")["pet"] == 0.8


def test_only_the_highest_scores_are_told(house: Bundle) -> None:
    """With `publish.scores.top` a message says so many of the highest, highest first, and of thresholds theirs."""
    sound = np.concatenate([tone(seconds=0.5), tone(HZ["bird"])])
    every = [message for message in heard(house, decided({}), sound) if message["type"] == "score"]
    some = [message for message in heard(house, decided({}), sound, scores={"top": 2}) if message["type"] == "score"]
    assert len(every) == len(some) > 3
    for all_told, told in zip(every, some, strict=True):
        best = sorted(all_told["scores"].values(), reverse=True)[:2]
        assert list(told["scores"].values()) == best
        assert set(told.get("thresholds", {})) <= set(told["scores"])
    assert next(iter(some[-1]["scores"])) == "bird"
    assert "thresholds" in some[0]


def test_a_rule_that_goes_ends_its_event(house: Bundle) -> None:
    """A label that is left out while its event goes on has no event any more, and the daemon goes on."""
    ear = Ear(house, decided({}), config.Gate(), config.Publish())
    detector = ear.detector
    row = np.zeros((1, 5), np.float32)
    row[0, 0] = 1.0
    assert [change.phase for change in detector.process(row)] == ["onset"]
    ear.configure(decided({"except": ["dog"]}), config.Gate(), config.Publish())
    assert [(change.label, change.phase) for change in detector.process(row)] == [("dog", "offset")]
    assert detector.process(row) == []


def problems(wanted: Mapping[str, Any], labels: list[str] | None = None) -> list[str]:
    """What is wrong with a configuration, read and held against a model's labels."""

    def check() -> None:
        cfg = config.load(None, environ={}, overrides={"model": "house", **wanted})
        check_labels(cfg, {"house": labels or [*HZ, "silence"]})

    with pytest.raises(ConfigError) as found:
        check()
    return found.value.lines()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"only": ["dgo"]}, "decision.only: the model has no label 'dgo'; did you mean 'dog'?"),
        ({"except": ["cow"]}, "decision.except: the model has no label 'cow'; it has bird, car, cat, dog and silence"),
        (
            {"labels": {"pet": {"includes": ["dog", "kat"]}}},
            "decision.labels.pet.includes: the model has no label 'kat'; did you mean 'cat'?",
        ),
        (
            {"labels": {"dog": {"includes": ["cat"]}}},
            "decision.labels: the model has a label 'dog'; give the group a name of its own",
        ),
        (
            {"labels": {"a": {"includes": ["b"]}, "b": {"includes": ["a"]}}},
            "decision.labels.a.includes: a group cannot be in itself: a in b in a; take one out",
        ),
        (
            {"labels": {"Haustiere": {"includes": ["dog"]}}},
            "decision.labels.Haustiere.includes: 'Haustiere' is no name for a group; use a-z, 0-9 and _",
        ),
    ],
)
def test_what_cannot_be_is_refused(wanted: dict[str, Any], said: str) -> None:
    """Unknown names and groups in a circle, each in a line with its key."""
    (line,) = problems({"decision": wanted})
    assert line.endswith(said), line


def test_of_thousands_of_labels_only_some_are_listed() -> None:
    """A typo is not answered with a page of names."""
    (line,) = problems({"decision": {"only": ["xyz"]}}, [f"species_{i}" for i in range(6522)])
    assert len(line) < 1000
    assert line.endswith("and 6482 more (auricle models NAME)")


def test_a_source_may_want_others(house: Bundle) -> None:
    """Its own `only` goes before the one at the top, and what it takes over is told at the top alone."""
    source = {"name": "yard", "microphone": {}, "decision": {"only": ["bird"]}}
    cfg = config.load(None, environ={}, overrides={"decision": {"only": ["dog"]}, "sources": [source]})
    assert groups.raising(house.card, cfg.sources[0].decision) == ("bird",)
    source["decision"] = {"only": ["brid"]}
    (line,) = problems({"decision": {"only": ["dog"]}, "sources": [source]})
    assert "sources[0].decision.only: the model has no label 'brid'; did you mean 'bird'?" in line
    source["decision"] = {}
    assert len(problems({"decision": {"only": ["dgo"]}, "sources": [source]})) == 1


def test_groups_are_judged_by_what_is_in_them(house: Bundle, tmp_path: Path) -> None:
    """A dog that is told as a pet is no false alarm, and is noticed; only what may raise events is judged."""
    sound = np.concatenate([tone(seconds=1.0), tone(HZ["dog"]), tone(seconds=1.5)])
    file = write(tmp_path / "a.wav", sound, RATE)
    (tmp_path / "a.txt").write_text("1.0\t2.0\tdog\n")
    decision = decided({"only": ["pet"], "labels": {"pet": {"includes": ["dog", "cat"]}}})
    hearer = Hearer(house, decision, config.Gate())
    found, faults = gather(hearer, [str(file)], tmp_path / "a.txt", ())
    assert not faults
    report = evaluate(hearer, found)
    assert list(report.labels) == ["pet"]
    assert (report.labels["pet"].true, report.labels["pet"].noticed) == (1, 1)
    assert report.overall.false_alarms.count == 0
    assert report.unknown_labels == []
    assert precedence.all_held(house.card, decision).keys() == {"pet"}
    assert any("pet" in line for line in text(report))


def test_of_hundreds_of_labels_only_those_are_told_and_tuned_of_which_there_is_something(tmp_path: Path) -> None:
    """A report, a tuning and a typo name a handful of labels, not all that the model knows."""
    labels = {**{name: [hz] for name, hz in HZ.items()}, **{f"species_{i}": [7000.0] for i in range(150)}}
    many = bundles.load(str(made_up(tmp_path / "many", labels, decision={"hop_ms": 160, "min_duration_ms": 0})))
    sound = np.concatenate([tone(seconds=1.0), tone(HZ["dog"]), tone(seconds=1.0), tone(HZ["car"]), tone(seconds=1.0)])
    file = write(tmp_path / "a.wav", sound, RATE)
    (tmp_path / "a.txt").write_text("1.0\t2.0\tdog\n")
    hearer = Hearer(many, config.Decision(), config.Gate())
    found, _ = gather(hearer, [str(file)], tmp_path / "a.txt", ())
    report = evaluate(hearer, found)
    lines = text(report)
    assert [line.split()[1] for line in lines[2:5]] == ["all", "dog", "car"]
    assert "Of 152 other labels there was nothing, and nothing was reported." in lines
    assert len(lines) < 12
    assert set(report.curves) <= {"dog", "car", "cat", "bird"}
    assert narrow(hearer, found) == 152
    assert set(hearer.labels) == {"dog", "car"}
    tuned, _ = tune(hearer, found, 0.0)
    assert set(tuned.labels) == {"dog", "car"}
    assert len(fragment(tuned, 1).splitlines()) < 20
