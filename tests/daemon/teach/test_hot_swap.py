"""A label is taught while a daemon hears, and is heard from the next reload on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from typer.testing import CliRunner

from auricle.client import Client, Event
from auricle.commands.cli import app
from auricle.model import bundle
from helpers import lessons, running, sounds
from helpers.lessons import burst, clips, pump


def yard(path: Path) -> Path:
    """Some seconds in which a gate and a pump sound, again and again."""
    hush = 1e-3 * np.random.default_rng(3).standard_normal(12_000).astype(np.float32)
    parts = [part for seed in (90, 91) for part in (hush, burst(seed), hush, pump(seed))]
    return sounds.write(path, np.concatenate(parts))


def teach(config: Path, label: str, folder: Path) -> None:
    """Teach it by the command."""
    done = CliRunner().invoke(app, ["teach", label, "--clips", str(folder), "--json", "-c", str(config)])
    assert done.exit_code == 0, done.output


def heard(client: Client, label: str) -> Event:
    """Wait for an event of a label."""

    def received() -> Event | None:
        item = client.receive(0.2)
        return item if isinstance(item, Event) and item.label == label else None

    return running.wait_for(received, f"an event of {label}")


def test_a_taught_label_is_heard_from_the_next_reload_on(tmp_path: Path) -> None:
    """Taught while a daemon hears, a label's events appear at the reload that names its bundle; a second one, behind
    the same network in the same bundle, at the next reload. The process is the same, and decisions go on in between;
    the card keeps what it was before but for what was taught."""
    base = lessons.house(tmp_path / "house")
    source = {"name": "porch", "recording": {"path": str(yard(tmp_path / "yard.wav")), "speed": 1, "loop": True}}
    models = tmp_path / "models"
    wanted = running.configuration(tmp_path, sources=[source], model=str(base.path), models_dir=str(models))
    with running.running(tmp_path, wanted) as one, Client(one.events, topics=["event.", "score."]) as client:
        running.hears(client, 2)
        teach(one.config, "gate", clips(tmp_path / "gate", 8))
        one.config.write_text(json.dumps({**wanted, "model": "house-taught"}))
        one.hang_up()
        assert heard(client, "gate").source == "porch"
        teach(one.config, "pump", clips(tmp_path / "pump", 8, pump))
        one.hang_up()
        heard(client, "pump")
        heard(client, "gate")
        assert one.process.poll() is None
    both = bundle.load(str(models / "house-taught"))
    assert both.labels == (*lessons.TONES, "gate", "pump")
    assert (both.path / "model.tflite").read_bytes() == (base.path / "model.tflite").read_bytes()
    assert set(yaml.safe_load((both.path / "card.yaml").read_text())["taught"]["labels"]) == {"gate", "pump"}
