"""The sections of what hands events on to other programs: each is read by a bridge, a process of its own.

The daemon checks them, and reads none of the files that they name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.config.compounds import Many, OneOf
from auricle.config.keys import key
from auricle.config.kinds import Choice, File, Misfit, Name, Number, Text
from auricle.config.tree import Node

MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_BROKER = re.compile(
    r"(?P<scheme>mqtts?)://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]@?#]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_LISTENING = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]@?#]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Takes the address of an MQTT broker: host and port, without a password in it."""

    def read(self, node: Node) -> str:
        text = Text("an address").read(node)
        if "@" in text:
            raise Misfit("holds a user or a password; put them into a file, and name that in login", near=True)
        parts = _BROKER.fullmatch(text)
        if parts is None or not 1 <= int(parts["port"] or 1) <= 65535:
            raise Misfit("is not the address of a broker")
        return text

    def wants(self) -> str:
        return "mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^mqtts?://[^\s@]+$"}


def broker_of(address: str) -> tuple[bool, str, int]:
    """Return of a broker's address whether it wants TLS, the host and the port."""
    parts = _BROKER.fullmatch(address)
    assert parts is not None, "it was read as one"
    return parts["scheme"] == "mqtts", parts["host"].strip("[]"), int(parts["port"] or MQTT_PORTS[parts["scheme"]])


@dataclass(frozen=True, slots=True)
class TopicPrefix:
    """Takes what topics of MQTT begin with: words with slashes between them, and no wildcard."""

    def read(self, node: Node) -> str:
        text = Text("a prefix", longest=128).read(node)
        if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", text):
            raise Misfit("is not a prefix of topics")
        return text

    def wants(self) -> str:
        return "words of letters, digits, '_' and '-', with slashes between them"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", "maxLength": 128}


def secret_file(what: str) -> OneOf:
    """Take the path of a secret's file, or systemd's credential: never the secret itself."""
    return OneOf((Choice(("credential",)), File(f"the path of {what}")), f"the path of {what}, or credential")


_LOGIN = secret_file("a file with user and password")
_PRIVATE_KEY = secret_file("a private key")
_TOKEN = secret_file("a file with a token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """To an MQTT broker, and to Home Assistant through it (docs/home-assistant.md): auricle bridge mqtt."""

    broker: str = key(
        "mqtt://127.0.0.1:1883",
        BrokerAddress(),
        "bridge",
        "Where the broker is.",
        secret=True,
    )
    login: Path | str | None = key(
        None,
        _LOGIN,
        "bridge",
        "User and password, two lines of a file. credential: systemd's, auricle-mqtt.login. null: none.",
    )
    ca: Path | None = key(
        None,
        File("the path of certificates"),
        "bridge",
        "Who may vouch for the broker, with mqtts. null: those whom this machine trusts.",
    )
    certificate: Path | None = key(
        None,
        File("the path of a certificate"),
        "bridge",
        "Our own certificate, where the broker wants one.",
    )
    certificate_key: Path | str | None = key(
        None,
        _PRIVATE_KEY,
        "bridge",
        "Its private key. credential: systemd's, auricle-mqtt.key. null: it is in the certificate's file.",
    )
    prefix: str = key(
        "auricle",
        TopicPrefix(),
        "bridge",
        "All topics begin with it and with the node's name.",
    )
    home_assistant: str | None = key(
        "homeassistant",
        TopicPrefix(),
        "bridge",
        "Where Home Assistant looks for new devices. null: it is told nothing.",
        nullable=True,
    )
    labels: tuple[str, ...] | None = key(
        None,
        Many(Name("a label, letters, digits, '_' and '-'")),
        "bridge",
        "Labels that have a state, and an entity in Home Assistant; events are told of all. null: those that decision "
        "names in only or labels; where it names none, those for which the model's card has thresholds.",
        example=["dog_bark", "doorbell"],
    )
    level_interval_s: float = key(
        10.0,
        Number(0, 86400, "s"),
        "bridge",
        "How often the level is told; 0 never.",
    )
    health_interval_s: float = key(
        30.0,
        Number(0, 86400, "s"),
        "bridge",
        "How often figures of the daemon and its sources are told; 0 never.",
    )
    scores_interval_s: float = key(
        0.0,
        Number(0, 86400, "s"),
        "bridge",
        "How often the scores of all labels are told; 0 never.",
    )


@dataclass(frozen=True, slots=True)
class Listening:
    """Takes an address of this machine at which something is served: host and port."""

    def read(self, node: Node) -> str:
        text = Text("an address").read(node)
        parts = _LISTENING.fullmatch(text)
        if parts is None or int(parts["port"]) > 65535:
            raise Misfit("is not an address")
        return text

    def wants(self) -> str:
        return "ADDRESS:PORT"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^.+:[0-9]{1,5}$"}


def served_at(address: str) -> tuple[str, int]:
    """Return host and port of an address at which something is served."""
    parts = _LISTENING.fullmatch(address)
    assert parts is not None, "it was read as one"
    return parts["host"].strip("[]"), int(parts["port"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures for Prometheus (docs/monitoring.md): auricle bridge metrics."""

    listen: str = key(
        "127.0.0.1:9557",
        Listening(),
        "bridge",
        "Where they are served, at /metrics. Another address than a loopback wants a token.",
    )
    token: Path | str | None = key(
        None,
        _TOKEN,
        "bridge",
        "What a client must show, a line of a file. credential: systemd's, auricle-metrics.token. null: nothing.",
    )


def unfit(mqtt: Mqtt) -> Iterator[tuple[str, str]]:
    """Yield the keys that do not fit the others, each with the complaint."""
    tls, *_ = broker_of(mqtt.broker)
    if not tls:
        for name in ("ca", "certificate"):
            if getattr(mqtt, name) is not None:
                yield name, "is of use with TLS alone; write broker: mqtts://HOST, or remove it"
    if mqtt.certificate_key is not None and mqtt.certificate is None:
        yield "certificate_key", "is a key without a certificate; give certificate too, or remove it"
