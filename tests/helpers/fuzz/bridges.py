"""What a bridge keeps between two lives comes back to it mutated here: how far it had come, and what it left with a
broker."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, cast

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from auricle.client.follow import Follower
from auricle.connectors import kept
from auricle.connectors.kept import Left, Progress
from auricle.connectors.session import Session, Settings
from helpers.fuzz import mutate
from helpers.fuzz.kind import Kind
from helpers.wire import Daemon, daemon

LABELS = ("rain", "dog_bark")
LEFT = Left(
    ["auricle/test/status", "auricle/test/porch/state/owl", "homeassistant/device/auricle-test/config"],
    {"porch.sound.owl": "binary_sensor", "hall.event": "event"},
)


def _settings(folder: Path, one: Daemon) -> Settings:
    return Settings(
        endpoint=one.endpoint, key=None, node="test", prefix="auricle", discovery="homeassistant",
        labels={"porch": LABELS}, other_labels=LABELS, display={}, other_display={},
        level_s=1.0, health_s=1.0, scores_s=0.0, folder=folder,
    )  # fmt: skip


def _bridge(chance: random.Random, folder: Path, seeds: None) -> str:
    """Let a bridge begin with a file that is damaged, or that says what nobody wrote, and go on with what a daemon
    says: nothing ends it, and every topic is one that a broker takes."""
    with daemon(folder) as one:
        one.event("onset")
        one.event("onset", "siren")
        progress = {
            "instance": chance.choice((one.publisher.instance, "0" * 16)),
            "last_seq": {"event.porch.rain.": 1, "gap.porch.": 7},
            "t": "2026-03-01T06:30:00.000000Z",
        }
        name, good = chance.choice((("mqtt-left.json", msgspec.to_builtins(LEFT)), ("mqtt-progress.json", progress)))
        path = folder / name
        kept.write(path, good)
        if chance.random() < 0.5:
            path.write_bytes(mutate.content(chance, path.read_bytes(), 300))
        else:
            told = json.dumps(mutate.tree(chance, good), default=str).encode()
            path.write_bytes(told + b"\n" + kept._checksum(told))
        began = Progress(folder / "mqtt-progress.json")
        session = Session(cast(Any, None), _settings(folder, one), began, lambda: 0)
        found = "whole" if began.at or session._left.retained else "anew"
        follower = Follower(one.endpoint, ["event.", "gap.", "status.", "health."], "nonce", began.at)
        follower.hear("welcome.nonce", one.socket._welcome, 0.0)
        for _ in range(20):
            if not follower.questions:
                break
            answer = one.query.answer([follower.questions.popleft()], b"asker")
            follower.answered(msgspec.json.encode(answer), 0.0)
        if follower.deadline_s is not None:  # what was asked is refused, as the client's clock says
            follower.give_up(follower.deadline_s)
        assert follower.deadline_s is None, "it has joined"
        broker = mqtt.Client(CallbackAPIVersion.VERSION2)
        while follower.items:
            item = follower.items.popleft()
            session._take(item)
            began.advance(item)
        for topic, payload in session._outbox.take_retained(1000):
            broker.publish(topic, payload, qos=1, retain=True)
        began.save(0.0)
    return found


BRIDGE = Kind(lambda folder: None, _bridge)
