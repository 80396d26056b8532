"""The sections of notifications: rules that say which events somebody is told of, when, and how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from auricle.config.bridges import Metrics, Mqtt, secret_file
from auricle.config.compounds import Many, Pair
from auricle.config.keys import REQUIRED, key, section
from auricle.config.kinds import Flag, Misfit, Name, Number, Text
from auricle.config.tree import Node

_LABELS = Many(Name("a label, letters, digits, '_' and '-'"))
_NAMES = Many(Name())
_TARGETS = secret_file("a list of targets")


@dataclass(frozen=True, slots=True)
class Clock:
    """Takes a time of the day."""

    def read(self, node: Node) -> str:
        text = Text("a time of the day").read(node).strip()
        parts = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", text)
        if parts is None:
            raise Misfit("is not a time of the day")
        try:
            return f"{time(int(parts[1]), int(parts[2])):%H:%M}"
        except ValueError:
            raise Misfit("is not a time of the day", near=True) from None

    def wants(self) -> str:
        return "HH:MM"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\s*[0-9]{1,2}:[0-9]{2}\s*$"}


_HOURS = Pair(Clock(), Clock(), "two times of the day in brackets")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRule:
    """Says which events somebody is told of."""

    name: str = key(
        REQUIRED,
        Name(),
        "bridge",
        "Names the rule in the log.",
        example="dog",
    )
    labels: tuple[str, ...] | None = key(
        None,
        _LABELS,
        "bridge",
        "Of these labels. null: of all.",
        example=["dog_bark"],
    )
    sources: tuple[str, ...] | None = key(
        None,
        _NAMES,
        "bridge",
        "Of these sources. null: of all.",
        example=["mic"],
    )
    least_peak: float = key(
        0.0,
        Number(0, 1),
        "bridge",
        "Only events whose score has reached this.",
    )
    least_duration_s: float = key(
        0.0,
        Number(0, 86400, "s"),
        "bridge",
        "Only events that have lasted for so long; they are told when they have.",
    )
    hours: tuple[str, str] | None = key(
        None,
        _HOURS,
        "bridge",
        "Only between these times of the day, as [22:00, 07:00]. null: always.",
    )
    not_while: tuple[str, ...] = key(
        (),
        _LABELS,
        "bridge",
        "Not while one of these labels is on at the same source.",
    )
    cooldown_s: float = key(
        300.0,
        Number(0, 86400, "s"),
        "bridge",
        "After a message, none of this rule about the same label for so long; the next one says how many there were.",
    )
    digest_s: float = key(
        0.0,
        Number(0, 86400, "s"),
        "bridge",
        "Instead of single messages one each time this has passed, with how often each label was heard; 0 not.",
    )
    urgent: bool = key(
        False,
        Flag(),
        "bridge",
        "Also in the quiet hours.",
    )
    picture: bool = key(
        False,
        Flag(),
        "bridge",
        "Once the clip of an event that was told is there, a picture of its sound in another message; needs clips.",
    )
    to: tuple[str, ...] | None = key(
        None,
        _NAMES,
        "bridge",
        "The targets, by their names. null: all.",
        example=["phone"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Messages to people, by whatever apprise can reach (docs/notifications.md): auricle bridge notify."""

    targets: Path | str | None = key(
        None,
        _TARGETS,
        "bridge",
        "Who is told: a file with a name and an address of apprise in each line. credential: systemd's, "
        "auricle-notify.targets. null: nobody.",
    )
    quiet_hours: tuple[str, str] | None = key(
        None,
        _HOURS,
        "bridge",
        "No messages between these times of the day, as [22:00, 07:00]; then one says what there was. null: none.",
    )
    rules: tuple[NotifyRule, ...] = section(
        NotifyRule,
        "Each event is looked at by every rule. Without rules nobody is told anything.",
        many="list",
        noun="rule",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridges:
    """Bridges hand events on to other programs: auricle bridge, each a process and a unit of its own. The daemon only
    checks these keys; a bridge reads them when it starts."""

    mqtt: Mqtt = section(
        Mqtt,
    )
    metrics: Metrics = section(
        Metrics,
    )
    notify: Notify = section(
        Notify,
    )
