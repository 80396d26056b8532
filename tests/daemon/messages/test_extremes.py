"""No message leaves that its schema refuses, whatever comes to those who make it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from auricle import messages
from auricle.capture.source import Gap, NominalClock, Segment
from auricle.hearing.decision import Change
from auricle.hearing.engine import Trouble
from auricle.hearing.reporter import Reporter
from auricle.messages import topics
from auricle.model import bundle
from auricle.publish.publisher import Publisher

VALID = jsonschema.Draft202012Validator(topics.schema())
FLOATS = [math.nan, math.inf, -math.inf, -1.0, -0.0, 5e-324, 1.0 + 1e-12, 1e308]
WHOLE = [-1, 0, 2**53, 2**63, 2**64]
OTHER = ["", "\0", "é" * 5000, "null", ":null", None, True, [], {}]
MODEL = bundle.load("esc10")


class Sent:
    """Takes what leaves, and holds it to the schema."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.publisher = Publisher("test", [self._take])

    def _take(self, topic: str, payload: bytes) -> None:
        self.messages.append(json.loads(payload))
        VALID.validate(self.messages[-1])


@pytest.mark.parametrize("family", [family for family in topics.TOPICS if family.kind is not messages.Scores])
def test_any_field_at_any_extreme(family: topics.Topic) -> None:
    """Every key of every message but scores, set to every extreme: it leaves as the schema has it, or not at all."""
    sent, example = Sent(), topics.examples()[family.name]
    refused = 0
    for name in family.kind.__struct_fields__:
        if name == "v":  # what the messages' version is, nobody says
            continue
        for extreme in (*FLOATS, *WHOLE, *OTHER):
            message = messages.decode(example)
            setattr(message, name, extreme)
            try:
                sent.publisher.send("a.", message)
            except (msgspec.ValidationError, OverflowError):
                refused += 1
    assert refused
    assert sent.messages
    if family.kind is messages.Health:
        for name in messages.SourceHealth.__struct_fields__:
            for extreme in (*FLOATS, *WHOLE, *OTHER):
                message = messages.decode(example)
                assert isinstance(message, messages.Health)
                for source in message.sources.values():
                    setattr(source, name, extreme)
                try:
                    sent.publisher.send("a.", message)
                except (msgspec.ValidationError, OverflowError):
                    continue
    assert [m["seq"] for m in sent.messages] == list(range(1, len(sent.messages) + 1)), (
        "what was refused leaves no hole"
    )


@pytest.mark.parametrize("delivered_s", [None, 0.0])
def test_scores_at_any_extreme(delivered_s: float | None) -> None:
    """Scores, levels and thresholds that are none: they leave as the schema has it, or not at all; others leave."""
    sent = Sent()
    reporter = Reporter("porch", MODEL, sent.publisher)
    reporter.begin(Segment(0, 16_000, NominalClock(16_000)))
    n = len(MODEL.labels)
    refused = 0
    for score in [0.5, *FLOATS]:
        for level in [-30.0, *FLOATS, float(np.float32(1e38))]:
            for threshold in [0.5, math.nan, math.inf]:
                scores = np.full(n, 0.25, np.float32)
                with np.errstate(over="ignore"):
                    scores[-1] = score
                try:
                    reporter.scores(1280, scores, level, delivered_s, thresholds=dict.fromkeys(MODEL.labels, threshold))
                except msgspec.ValidationError:
                    refused += 1
                    assert not all(map(math.isfinite, (score, level, threshold)))
                else:
                    assert math.isfinite(level)
                    assert math.isfinite(threshold)
                    assert not math.isnan(score)
    assert refused
    assert sent.messages


def test_events_and_gaps_at_any_extreme() -> None:
    """Changes and gaps with numbers that cannot be: they leave as the schema has it, or not at all."""
    sent = Sent()
    reporter = Reporter("porch", MODEL, sent.publisher)
    clock = NominalClock(16_000)
    reporter.begin(Segment(0, 16_000, clock))
    label = MODEL.labels[0]
    actions: list[Callable[[], None]] = []
    for extreme in FLOATS:
        change = Change("onset", label, at=2560, onset=0, offset=None, lasted=2560, score=0.5, peak=0.5, mean=0.5)
        end = replace(change, phase="offset", offset=2560, mean=extreme, cause="score")
        wrong = (replace(change, score=extreme), replace(change, peak=extreme), change, end)
        actions += [partial(reporter.change, each, None) for each in wrong]
        actions.append(partial(reporter.gap, Gap(0, 480, 48_000, "overrun", False, clock), extreme))
    refused = 0
    for action in actions:
        try:
            action()
        except (msgspec.ValidationError, ValueError):
            refused += 1
    assert refused
    assert {m["type"] for m in sent.messages} == {"event", "gap"}


def test_a_message_that_is_refused_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """In the engine's round it is told as a trouble, once, and the round goes on."""
    sent = Sent()
    trouble = Trouble(sent.publisher)
    message = messages.decode(topics.examples()["health."])
    assert isinstance(message, messages.Health)
    message.cpu_percent = math.nan
    for _ in range(3):
        trouble.survive("health", lambda: sent.publisher.send("health.", message))
    assert [m["state"] for m in sent.messages] == ["trouble"]
    assert "cpu_percent" in sent.messages[0]["detail"]
    assert len(caplog.records) == 1
