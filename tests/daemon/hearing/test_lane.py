"""One source on its way: what its state is, and what of that is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import Status
from auricle.hearing.lane import Lane
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from helpers.sounds import RATE


@pytest.fixture
def told() -> list[dict[str, Any]]:
    """Every message of `lane`."""
    return []


@pytest.fixture
def lane(told: list[dict[str, Any]]) -> Lane:
    """A source that nobody has opened yet."""
    cfg = config.load(None, environ={})
    publisher = Publisher("node", [lambda topic, payload: told.append(json.loads(payload))])
    source = Recordings("porch", [], model_rate=RATE)
    return Lane(
        source,
        bundle.load("esc10"),
        decision=cfg.decision,
        gate=cfg.gate,
        publish=cfg.publish,
        publisher=publisher,
    )


def test_a_step_of_the_clock_leaves_a_source_lost(lane: Lane, told: list[dict[str, Any]]) -> None:
    """That the system's clock steps is told, and hides from nobody that the source is lost."""
    lane.take(Status("lost", "it was pulled out"))
    lane.take(Status("clock", "the system clock stepped by +1.000 s"))
    assert [message["state"] for message in told] == ["lost", "clock"]
    assert lane.state == lane.health(0.0).state == "lost"
