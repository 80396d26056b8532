"""Each key of the configuration takes effect as the docs say: live, with a new segment, or with a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from auricle import config
from auricle.clips.keeper import Rules
from auricle.config.keys import keys_of
from auricle.gate.noise import save_profile
from auricle.messages.keys import Pair, write_pair
from helpers.reloading import Daemon, configuration, daemon, model_beside, recording, rule
from helpers.sounds import RATE, varied

__all__ = ["daemon", "recording"]

OTHER: dict[str, Any] = {
    "node": "elsewhere",
    "models_dir": "models",
    "gate.enabled": "off",
    "gate.sensitivity": 2.5,
    "gate.reduction": 0.5,
    "gate.frequency_smoothing_hz": 0,
    "gate.time_smoothing_ms": 0,
    "gate.lookahead_frames": 1,
    "gate.noise_profile": "profile.npz",
    "gate.start_up_s": 3,
    "gate.adaptation_s": 60,
    "decision.hop_ms": 160,
    "decision.smoothing_ms": 400,
    "decision.threshold": 0.75,
    "decision.hysteresis": 0.2,
    "decision.min_duration_ms": 320,
    "decision.refractory_ms": 900,
    "decision.only": ["rain", "sneeze"],
    "decision.except": ["rain"],
    "decision.labels": {"rain": {"threshold": 0.9}},
    "publish.endpoint": "tcp://127.0.0.1:6001",
    "publish.query": "tcp://127.0.0.1:6002",
    "publish.score_interval_ms": 500,
    "publish.scores": {"top": 5},
    "publish.update_interval_s": 5,
    "publish.allow_plaintext": True,
    "publish.secret_key": "daemon.key",
    "publish.allowed_keys": "other.keys",
    "publish.client_key": "my.key",
    "publish.token": "the.token",
    "publish.ipc_group": "root",
    "capture.ring_s": 20,
    "capture.silence_alarm_s": 60,
    "capture.stall_s": 4,
    "store.enabled": False,
    "store.path": "events.db",
    "store.max_mb": 10,
    "store.max_days": 3,
    "bridges.mqtt": {"prefix": "house"},
    "bridges.metrics": {"listen": "127.0.0.1:9000"},
    "bridges.notify": {"quiet_hours": ["22:00", "07:00"]},
    "web.listen": "127.0.0.1:9001",
    "web.token": "web.token",
    "web.password": "web.password",
    "web.read_only": True,
    "spectrum.enabled": True,
    "spectrum.columns_per_s": 9,
    "clips.enabled": False,
    "clips.before_s": 1.5,
    "clips.missed_s": 20.0,
    "clips.after_s": 0.5,
    "clips.max_s": 20,
    "clips.labels": ["rain"],
    "clips.format": "opus",
    "clips.beside": ["json"],
    "clips.max_mb": 50,
    "clips.max_days": 2,
    "clips.folder": "elsewhere",
    "clips.privacy_threshold": 0.2,
    "explain.keep_min": 1,
    "room.keep_h": 3,
    "log.level": "error",
    "log.format": "json",
    "model": "other",
}
"""Another value for every key that may have one; those of sources are in the tests above."""

LIVE: dict[str, Callable[[Daemon], Any]] = {
    "gate.sensitivity": lambda d: d.lane().gate.sensitivity,  # type: ignore[union-attr]
    "gate.reduction": lambda d: d.lane().gate.reduction,  # type: ignore[union-attr]
    "gate.adaptation_s": lambda d: d.lane().gate.adaptation_s,  # type: ignore[union-attr]
    "decision.threshold": lambda d: rule(d).threshold,
    "decision.hysteresis": lambda d: rule(d).hysteresis,
    "decision.min_duration_ms": lambda d: rule(d).min_duration_samples / RATE * 1000,
    "decision.refractory_ms": lambda d: rule(d).refractory_samples / RATE * 1000,
    "decision.only": lambda d: list(d.lane().ear.detector.thresholds),
    "decision.except": lambda d: sorted({*d.lane().bundle.labels} - {*d.lane().ear.detector.thresholds, "background"}),
    "decision.labels": lambda d: {"rain": {"threshold": rule(d).threshold}},
    "publish.score_interval_ms": lambda d: d.lane().ear.score_interval / RATE * 1000,
    "publish.scores": lambda d: {"top": d.lane().ear.top},
    "publish.update_interval_s": lambda d: d.lane().ear.detector.update_samples / RATE,
    "publish.allowed_keys": lambda d: d.reload.cfg.publish.allowed_keys.name,
    "publish.token": lambda d: d.reload.cfg.publish.token.name,  # type: ignore[union-attr]
    "publish.client_key": lambda d: d.reload.cfg.publish.client_key.name,  # type: ignore[union-attr]
    "capture.silence_alarm_s": lambda d: d.lane("mic").live.terms.silence_alarm_s,  # type: ignore[union-attr]
    "capture.stall_s": lambda d: d.lane("mic").live.terms.stall_s,  # type: ignore[union-attr]
    "store.max_mb": lambda d: d.reload.cfg.store.max_mb,
    "store.max_days": lambda d: d.reload.cfg.store.max_days,
    "bridges.metrics": lambda d: {"listen": d.reload.cfg.bridges.metrics.listen},
    "bridges.notify": lambda d: {"quiet_hours": list(d.reload.cfg.bridges.notify.quiet_hours or ())},
    "bridges.mqtt": lambda d: {"prefix": d.reload.cfg.bridges.mqtt.prefix},
    "spectrum.enabled": lambda d: d.reload.cfg.spectrum.enabled,
    "spectrum.columns_per_s": lambda d: d.reload.cfg.spectrum.columns_per_s,
    "clips.enabled": lambda d: d.lane().keeper is not None,
    "clips.before_s": lambda d: kept(d).before_s,
    "clips.missed_s": lambda d: kept(d).missed_s,
    "clips.after_s": lambda d: kept(d).after_s,
    "clips.max_s": lambda d: kept(d).most_s,
    "clips.labels": lambda d: [*(kept(d).labels or ())],
    "clips.format": lambda d: kept(d).form,
    "clips.beside": lambda d: [*d.clips._writer.beside],  # type: ignore[union-attr]
    "clips.max_mb": lambda d: d.clips._writer.max_mb,  # type: ignore[union-attr]
    "clips.max_days": lambda d: d.clips._writer.max_days,  # type: ignore[union-attr]
    "clips.folder": lambda d: d.clips._writer.folder.name,  # type: ignore[union-attr]
    "clips.privacy_threshold": lambda d: kept(d).privacy_score,
    "room.keep_h": lambda d: d.rooms._wanted.keep_h,
    "explain.keep_min": lambda d: d.lane().recall.keep_min,  # type: ignore[union-attr]
    "log.level": lambda d: logging.getLevelName(logging.getLogger("auricle").level).lower(),
}
"""Where each live key shows itself in the running daemon."""


def kept(here: Daemon) -> Rules:
    """By which rules clips are kept."""
    keeper = here.lane().keeper
    assert keeper is not None
    return keeper.rules


def all_keys() -> dict[str, str]:
    """Key path -> effect, of all keys outside the list of sources."""
    found = {}
    for name, about in keys_of(config.Config).items():
        if about.section is None:
            found[name] = about.effect
        elif about.many != "list":
            for inner, deep in keys_of(about.section).items():
                found[f"{name}.{inner}"] = "live" if deep.many == "labels" else deep.effect
    return found


def test_every_key_is_covered() -> None:
    """A key that is added to the configuration must be added here."""
    assert set(OTHER) == set(all_keys())
    assert set(LIVE) == {path for path, effect in all_keys().items() if effect == "live"}


@pytest.mark.parametrize("path", sorted(OTHER))
def test_every_key_takes_effect_as_the_docs_say(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path, path: str
) -> None:
    """live: in force at once within the segment; segment: another ear or another source; restart: nothing, and said."""
    if path == "model":
        model_beside(tmp_path / "other", name="other")
    elif path == "models_dir":
        model_beside(tmp_path / "models" / "esc10", description="one of my own")
    elif path == "gate.noise_profile":
        save_profile(tmp_path / "profile.npz", varied(2.0), RATE)
    elif path == "publish.token":
        (tmp_path / "the.token").touch(0o600)
        (tmp_path / "the.token").write_text("what a program shows\n")
    elif path == "publish.secret_key":
        write_pair(tmp_path / "daemon.key", Pair(*(key.decode() for key in zmq.curve_keypair())))
    wanted = configuration(recording, gate={"enabled": "on"}, clips={"enabled": True})
    wanted["sources"].append({"name": "mic", "microphone": {}})
    here = daemon(wanted)
    lane, mic = here.lane(), here.lane("mic")
    here.turn(lane)
    ear, cfg = lane.ear, here.reload.cfg
    section, _, name = path.partition(".")
    value = {"model": "./other"}.get(path, OTHER[path])
    changed = {**wanted, section: {**wanted.get(section, {}), name: value} if name else value}
    assert here.change(changed) == []
    here.turn(lane)
    effect = all_keys()[path]
    same = here.lane() is lane and here.lane("mic") is mic and lane.ear is ear
    told = [message for message in here.of("status.") if message["source"] is None][-1]["detail"]
    assert same == (effect != "segment")
    if effect == "restart":
        assert f"at the next start: {path}" in told
        assert here.reload.cfg == cfg
    else:
        assert path in told
        assert "at the next start" not in told
    if effect == "live":
        assert LIVE[path](here) == OTHER[path]


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "microphone": ({}, {"device": "USB", "channel": 1, "sample_rate": 48000}),
    "recording": (
        {"path": "scene.wav"},
        {
            "path": "other.wav",
            "speed": 2,
            "loop": True,
            "start_time": "2026-03-01T06:30:00Z",
            "channel": 1,
            "zone": "local",
        },
    ),
    "ffmpeg": (
        {"url": "rtsp://camera.invalid/a"},
        {"url": "rtsp://camera.invalid/b", "options": "-vn", "stall_s": 9},
    ),
    "stdin": ({"rate": 16000}, {"rate": 8000, "format": "f32le", "channels": 2}),
}
"""Of every kind of source, what it needs, and another value for each of its keys."""


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_key_of_a_source_opens_it_anew(daemon: Callable[[dict[str, Any]], Daemon], kind: str) -> None:
    """A source that is another one ends with its lane; a reload that changes nothing leaves it alone."""
    needs, others = KINDS[kind]
    section = {about.section for name, about in keys_of(config.Source).items() if name == kind}.pop()
    assert section is not None
    assert set(others) == set(keys_of(section)), "a key that is added must be added here"
    assert {about.effect for about in keys_of(section).values()} == {"segment"}
    for name, value in others.items():
        wanted = {"sources": [{"name": "porch", kind: needs}]}
        here = daemon(wanted)
        lane = here.lane()
        assert here.change(wanted) == []
        assert here.lane() is lane
        assert here.change({"sources": [{"name": "porch", kind: {**needs, name: value}}]}) == []
        assert here.lane() is not lane, name
        assert lane.source.done
        assert f"sources[porch].{kind}.{name}" in here.of("status.")[-1]["detail"]
        here.close()
