"""Home Assistant is told here what a node has: one device, with an entity for everything that is said of it.

The payload is that of device discovery as Home Assistant's `mqtt` component of 2025.4 reads it: `device`, `origin` and
`components`, each with `platform` and `unique_id`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from auricle.connectors.naming import slug
from auricle.connectors.topics import Topics

Component: TypeAlias = dict[str, Any]
URL = "https://github.com/auricle-audio/auricle"
_DIAGNOSTIC = {"entity_category": "diagnostic"}


def topic(prefix: str, node: str) -> str:
    """Return the topic on which a node's device is announced."""
    return f"{prefix}/device/{_device_id(node)}/config"


def payload(node: str, found: Mapping[str, Component], version: str, gone: Mapping[str, str]) -> bytes:
    """Describe a node's device.

    Args:
        node: the machine's name.
        found: its components, by their names.
        version: of Auricle.
        gone: components that there were, with their platforms: Home Assistant removes them.
    """
    left = {name: {"platform": platform} for name, platform in gone.items()}
    told = {
        "device": {
            "identifiers": [_device_id(node)],
            "name": node,
            "manufacturer": "Auricle",
            "model": "Sound classifier",
            "sw_version": version,
        },
        "origin": {"name": "auricle", "sw_version": version, "support_url": URL},
        "components": {**found, **left},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def components(
    topics: Topics, layout: Mapping[str, Sequence[str]], called: Callable[[str, str], str]
) -> dict[str, Component]:
    """Return every entity of a node by a name that stays the same as long as node, source and label do.

    Args:
        topics: of the node.
        layout: the labels that have an entity, by source.
        called: what people call a label of a source.
    """
    alive = {"topic": topics.status}
    found = {
        "daemon": {
            "platform": "binary_sensor",
            "name": "Daemon",
            "device_class": "connectivity",
            "state_topic": topics.status,
            "payload_on": "online",
            "payload_off": "offline",
            **_DIAGNOSTIC,
        }
    }
    figures = {"latency_p99_ms": ("Latency p99", "ms"), "cpu_percent": ("Processor", "%"), "rss_mb": ("Memory", "MB")}
    for key, (name, unit) in figures.items():
        found[key] = _figure(name, topics.health, key, unit, [alive])
    for source, labels in layout.items():
        heard = [alive, {"topic": topics.of(source, "available")}]
        found |= {f"{slug(source)}.{what}": each for what, each in _of_source(topics, source, alive, heard)}
        if labels:
            found[f"{slug(source)}.event"] = _events(topics, source, labels, heard)
        for label in labels:
            found[f"{slug(source)}.sound.{slug(label)}"] = _sound(topics, source, label, called(source, label), heard)
    device = _device_id(topics.node)
    return {name: {**about, "unique_id": f"{device}.{name}"} for name, about in found.items()}


def _of_source(
    topics: Topics, source: str, alive: Mapping[str, str], heard: Sequence[Mapping[str, str]]
) -> Iterable[tuple[str, Component]]:
    hearing = {
        "platform": "binary_sensor",
        "name": f"{source} hearing",
        "device_class": "connectivity",
        "state_topic": topics.of(source, "hearing"),
        "availability": [alive],
        **_DIAGNOSTIC,
    }
    # No device class: sound_pressure takes dB and dBA alone.
    level = _figure(f"{source} level", topics.of(source, "level"), "level_dbfs", "dBFS", heard)
    del level["entity_category"]
    lost = _figure(f"{source} lost samples", topics.of(source, "health"), "lost_samples", None, [alive])
    lost["state_class"] = "total_increasing"
    return (("hearing", hearing), ("level", level), ("lost", lost))


def _figure(name: str, topic: str, key: str, unit: str | None, availability: Sequence[Mapping[str, str]]) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "state_topic": topic,
        "value_template": f"{{{{ value_json.{key} }}}}",
        "state_class": "measurement",
        **({} if unit is None else {"unit_of_measurement": unit}),
        **_available(availability),
        **_DIAGNOSTIC,
    }


def _events(topics: Topics, source: str, labels: Sequence[str], heard: Sequence[Mapping[str, str]]) -> Component:
    # An onset alone is an event there; one of an hour ago would switch on a light now.
    meant = f"value_json.phase == 'onset' and not value_json.late and value_json.label in {json.dumps(list(labels))}"
    return {
        "platform": "event",
        "name": f"{source} sound",
        "state_topic": topics.of(source, "event"),
        "event_types": list(labels),
        "value_template": f"{{{{ value if {meant} else '' }}}}",
        "qos": 1,
        **_available(heard),
    }


def _sound(topics: Topics, source: str, label: str, called: str, heard: Sequence[Mapping[str, str]]) -> Component:
    # No expire_after: an event may last for hours, and its state is not repeated.
    return {
        "platform": "binary_sensor",
        "name": f"{source} {called}",
        "device_class": "sound",
        "state_topic": topics.state(source, label),
        "value_template": "{{ value_json.state }}",
        "json_attributes_topic": topics.state(source, label),
        "qos": 1,
        **_available(heard),
    }


def _available(availability: Sequence[Mapping[str, str]]) -> Component:
    return {"availability": [dict(each) for each in availability], "availability_mode": "all"}


def _device_id(node: str) -> str:
    return f"auricle-{slug(node)}"
