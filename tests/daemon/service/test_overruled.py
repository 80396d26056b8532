"""What a configuration holds on to, though the model or the package knows better, is said once, and nothing else is."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from auricle import config
from auricle.commands.doctor import Finding, models
from auricle.config import sections
from auricle.model import bundle
from auricle.model.card import Card, Proposal
from auricle.service.overruled import overruled
from helpers.bundles import made_up
from helpers.reloading import Daemon, configuration, daemon, recording
from helpers.sounds import varied, write

__all__ = ["daemon", "recording"]

INSTALLED = """\
model: esc10
sources:
- name: mic
  microphone: {device: default}
decision:
  hop_ms: 80
  smoothing_ms: 200
  threshold: null
  hysteresis: 0.1
  min_duration_ms: null
  refractory_ms: 500
  labels:
    # none
"""
"""What an installation of old wrote into /etc/auricle/auricle.yaml, of model and decisions."""


@pytest.fixture
def home() -> Card:
    """A card that proposes how to decide."""
    return msgspec.structs.replace(
        bundle.load("esc10").card,
        name="home",
        decision=Proposal(hop_ms=160, smoothing_ms=320, hysteresis=0.1),
        smoothings_ms={"rain": 1600},
    )


def said(folder: Path, text: str, card: Card, **overrides: object) -> list[str]:
    """The lines about this configuration."""
    file = folder / "auricle.yaml"
    file.write_text(text)
    cfg = config.load(file, environ={}, overrides=overrides)
    return [line.replace(f"{folder}/", "") for line in overruled(cfg, {source.model: card for source in cfg.sources})]


def test_an_old_installation_is_told_to_let_go(tmp_path: Path, home: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the model that is no default any more, then the rules that its file set for that one."""
    monkeypatch.setattr(sections, "DEFAULT_MODEL", "home")
    assert said(tmp_path, INSTALLED, bundle.load("esc10").card) == [
        "auricle.yaml:1: model: esc10 was the default before home; remove it to hear with home"
    ]
    assert said(tmp_path, INSTALLED.replace("model: esc10", ""), home) == [
        "auricle.yaml:6: decision.hop_ms: 80 goes before what the card of home says (160); remove it to follow the "
        "model",
        "auricle.yaml:7: decision.smoothing_ms: 200 goes before what the card of home says (320 to 1600, by label); "
        "remove it to follow the model",
    ], "a hysteresis that is the card's is no matter"


def test_what_is_meant_is_not_spoken_of(tmp_path: Path, home: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of single labels, what the card says nothing of, one's own models, and what the command line asks for."""
    plain = bundle.load("esc10").card
    monkeypatch.setattr(sections, "DEFAULT_MODEL", "esc10")
    assert said(tmp_path, INSTALLED, plain) == [], "as long as esc10 is the default"
    monkeypatch.setattr(sections, "DEFAULT_MODEL", "home")
    assert (
        said(tmp_path, "decision: {labels: {rain: {smoothing_ms: 80, threshold: 0.6}}, refractory_ms: 900}", home) == []
    )
    assert said(tmp_path, "model: digits", plain) == []
    assert said(tmp_path, "gate: {}", plain, model="esc10") == []


def test_each_is_said_once_for_all_sources(tmp_path: Path, home: Card) -> None:
    """What sources take over from the top is one line; what one has of its own another."""
    text = (
        "decision: {hop_ms: 80}\nsources:\n- {name: a, microphone: {}}\n- {name: b, microphone: {}}\n"
        "- {name: c, microphone: {}, decision: {hop_ms: 40}}\n"
    )
    assert [line.partition(" goes")[0] for line in said(tmp_path, text, home)] == [
        "auricle.yaml:1: decision.hop_ms: 80",
        "auricle.yaml:5: decision.hop_ms: 40",
    ]


def test_the_log_says_it_at_the_start_and_not_again(tmp_path: Path) -> None:
    """`auricle run` says each line once."""
    made_up(tmp_path / "models" / "house", {"siren": [1000.0]}, decision={"hop_ms": 160})
    write(tmp_path / "a.wav", varied(1.0))
    wanted = {
        "model": "house",
        "models_dir": str(tmp_path / "models"),
        "decision": {"hop_ms": 80},
        "sources": [{"name": "a", "recording": {"path": str(tmp_path / "a.wav"), "speed": "max"}}],
        "publish": {"endpoint": f"ipc://{tmp_path}/e", "query": f"ipc://{tmp_path}/q"},
        "store": {"enabled": False},
    }
    file = tmp_path / "auricle.yaml"
    file.write_text(json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "run", "-c", file], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.count(f"{file}:1: decision.hop_ms: 80 goes before what the card of house says (160)") == 1
    (note,) = (line for line in models(config.load(file, environ={})) if line.what == "rules")
    assert note == Finding("rules", True, note.found, note=True)
    assert str(note).startswith(f"note  rules: {file}:1: decision.hop_ms: 80 goes before")


def test_a_reload_says_only_what_is_new(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that was there before is not spoken of again."""
    caplog.set_level(logging.WARNING)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if "goes before" in record.getMessage()]

    here = daemon(configuration(recording))
    assert here.change(configuration(recording, decision={"threshold": 0.6})) == []
    assert len(lines()) == 1
    assert "decision.threshold: 0.6 goes before what the card of esc10 says (0.25 to 0.996, by label)" in lines()[0]
    assert here.change(configuration(recording, decision={"threshold": 0.6, "refractory_ms": 600})) == []
    assert len(lines()) == 1
    assert here.change(configuration(recording, decision={"threshold": 0.6, "min_duration_ms": 60})) == []
    assert len(lines()) == 2
