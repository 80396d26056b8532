"""The daemon runs here without its sockets and its loop, for tests of what changes while it hears."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle import config
from auricle.capture.poller import Poller
from auricle.commands.synth import scene
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.service import logs
from auricle.service.checks import load_models
from auricle.service.clips import Clips
from auricle.service.reload import Reload
from auricle.service.rooms import Rooms
from auricle.service.roster import Roster
from auricle.service.state import Learned
from helpers.sounds import RATE, varied, write


class Daemon:
    """Runs all of the daemon but its sockets and its loop: the tests turn the crank, and read every message.

    Args:
        folder: holds the configuration, the state and the recordings.
        wanted: the configuration, over this test's own.
    """

    def __init__(self, folder: Path, wanted: dict[str, Any]) -> None:
        self.path = folder / "auricle.yaml"
        self.heard: list[dict[str, Any]] = []
        self.closed = False
        self.write(wanted)
        publisher = Publisher("node", [self._hear])
        self._poller = Poller()
        self._together = Together()
        self.roster = Roster(publisher, self._poller, Learned(folder / "noise"))
        cfg, lanes = self.start()
        self.clips = Clips(publisher, self.roster.lanes, folder / "clips")
        self.clips.configure(cfg)
        self.rooms = Rooms(self.roster.lanes, folder / "room")
        self.rooms.configure(cfg)
        self.roster.attend = self.clips.attend
        for lane, source in zip(lanes, cfg.sources, strict=True):
            self.roster.enter(lane, source)

        def take_over(new: config.Config) -> None:
            logs.set_level(new.log)
            self.clips.configure(new)
            self.roster.remember(new.explain)
            self.rooms.configure(new)

        self.reload = Reload(cfg, self.load, self.roster, publisher, also=[take_over])

    def start(self) -> tuple[config.Config, list[Lane]]:
        """Do what a start does before anything is heard."""
        cfg = self.load()
        models = load_models(cfg)
        return cfg, [self.roster.make(source, cfg, models[source.model]) for source in cfg.sources]

    def load(self) -> config.Config:
        return config.load(self.path, environ={})

    def write(self, wanted: dict[str, Any]) -> None:
        self.path.write_text(json.dumps(wanted))

    def change(self, wanted: dict[str, Any]) -> list[str]:
        """Write another configuration and reload; return the problems."""
        self.write(wanted)
        return self.reload.now()

    def listen(self, samples: int) -> None:
        """Hear at least so many samples more of every source."""
        for lane in self.roster.lanes:
            wanted = lane.health(0.0).heard_samples + samples
            while lane.health(0.0).heard_samples < wanted and not lane.source.done:
                self.turn(lane)

    def turn(self, lane: Lane) -> None:
        """Hear what this source gives now."""
        self.rooms.tick(time.monotonic())
        self._together.feed(lane, lane.source.poll(time.monotonic()))

    def lane(self, name: str = "porch") -> Lane:
        return self.roster.lane(name)

    def of(self, topic: str) -> list[dict[str, Any]]:
        """Return all messages whose topic begins so."""
        return [message for message in self.heard if message["topic"].startswith(topic)]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with self._poller:
                self.rooms.close()
                self.roster.__exit__(None, None, None)
            self.clips.close()

    def _hear(self, topic: str, payload: bytes) -> None:
        self.heard.append({"topic": topic, **json.loads(payload)})


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make sounds that the model knows, between noise, at the model's rate."""
    samples, _ = scene(["rain", "clock_tick", "rain"], RATE, sound_s=6.0, pause_s=1.0)
    path = tmp_path_factory.mktemp("sound") / "scene.wav"
    write(path, np.concatenate((samples, varied(4.0))))
    return path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Daemon]]:
    """Make daemons, and close them."""
    made: list[Daemon] = []
    handlers, level = logging.getLogger("auricle").handlers[:], logging.getLogger("auricle").level

    def make(wanted: dict[str, Any]) -> Daemon:
        made.append(Daemon(tmp_path, wanted))
        return made[-1]

    yield make
    for each in made:
        each.close()
    logging.getLogger("auricle").handlers[:] = handlers
    logging.getLogger("auricle").setLevel(level)


def configuration(recording: Path, **more: Any) -> dict[str, Any]:
    """Return a configuration of one source, at full speed: every turn of the crank is one block."""
    return {
        "model": "esc10",
        "sources": [{"name": "porch", "recording": {"path": str(recording), "speed": "max"}}],
        "gate": {"enabled": "off"},
        **more,
    }


def seconds(s: float) -> int:
    return round(s * RATE)


def model_beside(folder: Path, **changes: Any) -> Path:
    """Copy the model `esc10`, with another card."""
    shutil.copytree(bundle.find("esc10"), folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, **changes}))
    return folder


def rule(here: Daemon) -> Any:
    ear = here.lane().ear
    return ear.detector._rules[ear.bundle.labels.index("rain")]
