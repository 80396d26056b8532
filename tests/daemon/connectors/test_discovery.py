"""What Home Assistant is told holds to the rules of its own `mqtt` component, restated here from version 2025.4.4:
`schemas.py`, `discovery.py`, `binary_sensor.py`, `sensor.py` and `event.py` in `homeassistant/components/mqtt`.

Where it names classes and units, the rules are those of `homeassistant/components/sensor/const.py` of that version.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from auricle.connectors import discovery
from auricle.connectors.topics import Topics

TEXT = {"type": "string", "minLength": 1}
STATE_TOPIC = {"type": "string", "pattern": r"^[^+#\u0000]+$", "maxLength": 65535}
AVAILABILITY = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["topic"],
        "additionalProperties": False,
        "properties": {"topic": STATE_TOPIC, "payload_available": TEXT, "payload_not_available": TEXT},
    },
}
ENTITY = {
    "platform": {"enum": ["binary_sensor", "event", "sensor"]},
    "unique_id": TEXT,
    "name": TEXT,
    "state_topic": STATE_TOPIC,
    "value_template": TEXT,
    "qos": {"enum": [0, 1, 2]},
    "availability": AVAILABILITY,
    "availability_mode": {"enum": ["all", "any", "latest"]},
    "entity_category": {"enum": ["diagnostic"]},
    "json_attributes_topic": STATE_TOPIC,
}
REQUIRED = ["platform", "unique_id", "state_topic", "name"]


def component(platform: str, required: list[str], **properties: Any) -> dict[str, Any]:
    """The rules for an entity of a platform; a key that it does not know would be dropped there in silence."""
    return {
        "if": {"properties": {"platform": {"const": platform}}, "minProperties": 2},
        "then": {
            "required": [*REQUIRED, *required],
            "additionalProperties": False,
            "properties": {**ENTITY, **properties},
        },
    }


SCHEMA = {
    "type": "object",
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
    "properties": {
        "device": {
            "type": "object",
            "required": ["identifiers"],
            "additionalProperties": False,
            "properties": {
                "identifiers": {"type": "array", "minItems": 1, "items": TEXT},
                "name": TEXT,
                "manufacturer": TEXT,
                "model": TEXT,
                "sw_version": TEXT,
            },
        },
        "origin": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": TEXT,
                "sw_version": TEXT,
                "support_url": {"type": "string", "pattern": "^(https?|homeassistant)://"},
            },
        },
        "components": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["platform"],
                "properties": {"platform": ENTITY["platform"]},
                "allOf": [
                    component(
                        "binary_sensor",
                        [],
                        device_class={"enum": ["connectivity", "sound"]},
                        payload_on=TEXT,
                        payload_off=TEXT,
                    ),
                    component(
                        "sensor",
                        [],
                        state_class={"enum": ["measurement", "total", "total_increasing"]},
                        # Without a device class, any unit; sound_pressure would take dB and dBA alone.
                        unit_of_measurement=TEXT,
                    ),
                    component(
                        "event",
                        ["event_types"],
                        event_types={"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT},
                        device_class={"enum": ["button", "doorbell", "motion"]},
                    ),
                ],
            },
        },
    },
}
CHECK = jsonschema.Draft202012Validator(SCHEMA)
TOPIC = re.compile(r"homeassistant/(\w+)/([a-zA-Z0-9_-]+)/config")
"""As `TOPIC_MATCHER`, without a node's part."""

LAYOUTS: list[dict[str, list[str]]] = [
    {},
    {"porch": []},
    {"porch": ["dog_bark", "rain"], "hall": ["rain"]},
    {"+/#": ["dog_bark"], "😀": ["x" * 200], "a.sound": ["b"], "a": ["sound.b"]},
    {f"source{n}": [f"label{m}" for m in range(100)] for n in range(20)},
]


def announced(node: str, layout: dict[str, list[str]], gone: dict[str, str] | None = None) -> dict[str, Any]:
    """What is told of a node, read back."""
    found = discovery.components(Topics("auricle", node), layout, lambda source, label: f"{label}, as said at {source}")
    told: dict[str, Any] = json.loads(discovery.payload(node, found, "1.2.3", gone or {}))
    return told


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("node", ["porch-pi", "+/# Küche 😀", "x" * 64])
def test_a_device_holds_to_the_rules(node: str, layout: dict[str, list[str]]) -> None:
    """Whatever node, sources and labels are called: the payload is taken, its topic is found, every id is its own."""
    told = announced(node, layout)
    CHECK.validate(told)
    parts = TOPIC.fullmatch(discovery.topic("homeassistant", node))
    assert parts is not None
    assert parts[1] == "device"
    ids = [about["unique_id"] for about in told["components"].values()]
    wanted = 4 + sum(3 + bool(labels) + len(labels) for labels in layout.values())
    assert len(set(ids)) == len(ids) == wanted


def test_the_rules_refuse() -> None:
    """The restated rules see what is wrong: a component without an id, a wildcard, an event without types, a unit in a
    class that does not take it, a key that does not exist."""
    good = announced("n", {"porch": ["rain"]})
    for name, change in {
        "daemon": {"unique_id": ""},
        "porch.level": {"device_class": "sound_pressure"},
        "porch.event": {"event_types": []},
        "porch.sound.rain": {"state_topic": "auricle/+/x"},
        "porch.hearing": {"expire": 3},
    }.items():
        assert not CHECK.is_valid({**good, "components": {name: {**good["components"][name], **change}}}), name
    assert not CHECK.is_valid({name: part for name, part in good.items() if name != "origin"})


def test_entities_are_what_they_should_be() -> None:
    """Per source an event entity with the labels wanted, onsets alone and none that comes late; a sound that needs no
    repeating; a level in dBFS; hearing as connectivity that stays when the source is lost; all gone with the daemon."""
    found = announced("n", {"porch": ["dog_bark", "rain"]})["components"]
    event, sound, hearing = found["porch.event"], found["porch.sound.rain"], found["porch.hearing"]
    assert event["event_types"] == ["dog_bark", "rain"]
    assert "value_json.phase == 'onset' and not value_json.late" in event["value_template"]
    assert sound["device_class"] == "sound"
    assert sound["name"] == "porch rain, as said at porch"
    assert "expire_after" not in sound
    assert found["porch.level"]["unit_of_measurement"] == "dBFS"
    assert "device_class" not in found["porch.level"]
    assert [each["topic"] for each in sound["availability"]] == ["auricle/n/status", "auricle/n/porch/available"]
    assert [each["topic"] for each in hearing["availability"]] == ["auricle/n/status"]
    assert "availability" not in found["daemon"], "it says itself that the daemon is away"
    assert found["daemon"]["device_class"] == hearing["device_class"] == "connectivity"


def test_what_goes_is_a_platform_alone() -> None:
    """A component that is there no more is told with its platform and nothing else, which the rules take."""
    told = announced("n", {"porch": ["rain"]}, {"hall.event": "event"})
    CHECK.validate(told)
    assert told["components"]["hall.event"] == {"platform": "event"}
