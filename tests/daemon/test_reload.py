"""A configuration that changes while the daemon hears: what comes in when, and that nothing is lost by it."""

from __future__ import annotations

import hashlib
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

from auricle import bundle, config, logs, pipeline
from auricle.config_keys import keys_of
from auricle.errors import AuricleError
from auricle.lane import Lane
from auricle.noise import save_profile
from auricle.poller import Poller
from auricle.publisher import Publisher
from auricle.recording import Reader
from auricle.reload import Reload, load_models
from auricle.roster import Roster
from auricle.state import Learned
from auricle.synth import scene
from sounds import RATE, varied, write

HOP = RATE * 80 // 1000


class Daemon:
    """All of the daemon but its sockets and its loop: the tests turn the crank, and read every message.

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
        self.roster = Roster(publisher, self._poller, Learned(folder / "noise"))
        cfg, lanes = self.start()
        for lane, source in zip(lanes, cfg.sources, strict=True):
            self.roster.enter(lane, source)
        self.reload = Reload(cfg, self.load, self.roster, publisher, also=[lambda new: logs.set_level(new.log)])

    def start(self) -> tuple[config.Config, list[Lane]]:
        """What a start does before anything is heard."""
        cfg = self.load()
        models = load_models(cfg)
        return cfg, [self.roster.make(source, cfg, models[source.model]) for source in cfg.sources]

    def load(self) -> config.Config:
        return config.load(self.path, environ={})

    def write(self, wanted: dict[str, Any]) -> None:
        self.path.write_text(json.dumps(wanted))

    def change(self, wanted: dict[str, Any]) -> list[str]:
        """Write another configuration and reload; the problems."""
        self.write(wanted)
        return self.reload.now()

    def listen(self, samples: int) -> None:
        """Hear at least so many samples more of every source."""
        for lane in self.roster.lanes:
            wanted = lane.health(0.0).heard_samples + samples
            while lane.health(0.0).heard_samples < wanted and not lane.source.done:
                for piece in lane.source.poll(time.monotonic()):
                    lane.take(piece)

    def lane(self, name: str = "porch") -> Lane:
        return self.roster.lane(name)

    def of(self, topic: str) -> list[dict[str, Any]]:
        """All messages whose topic begins so."""
        return [message for message in self.heard if message["topic"].startswith(topic)]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with self._poller:
                self.roster.__exit__(None, None, None)

    def _hear(self, topic: str, payload: bytes) -> None:
        self.heard.append({"topic": topic, **json.loads(payload)})


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds that the model knows, between noise, at the model's rate."""
    samples, _ = scene(["rain", "clock_tick", "rain"], RATE, sound_s=6.0, pause_s=1.0)
    path = tmp_path_factory.mktemp("sound") / "scene.wav"
    write(path, np.concatenate((samples, varied(4.0))))
    return path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Daemon]]:
    """Makes daemons, and closes them."""
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
    """One source, at full speed: every turn of the crank is one block."""
    return {
        "sources": [{"name": "porch", "recording": {"path": str(recording), "speed": "max"}}],
        "gate": {"enabled": "off"},
        **more,
    }


def seconds(s: float) -> int:
    return round(s * RATE)


def scores(messages: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    return [(message["sample"], message["scores"]) for message in messages]


def test_a_threshold_holds_from_the_very_next_decision(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """A lower threshold is in force at the next decision; every score is that of a daemon that was left alone; no seq
    is missing and no segment ends."""
    quiet = {"decision": {"threshold": 1.0, "hysteresis": 0.0, "min_duration_ms": 0, "refractory_ms": 0}}
    here = daemon(configuration(recording, **quiet))
    here.listen(seconds(2.5))
    before = here.of("score.porch.")
    assert not here.of("event.")
    assert here.change(configuration(recording, decision={**quiet["decision"], "threshold": 0.001})) == []
    here.listen(1)
    first = here.of("event.")[0]
    assert (first["phase"], first["sample"]) == ("onset", before[-1]["sample"] + HOP)
    here.listen(seconds(30))
    other = daemon(configuration(recording, **quiet))
    other.listen(seconds(30))
    assert scores(here.of("score.porch.")) == scores(other.of("score.porch."))
    assert [message["seq"] for message in here.of("score.porch.")] == [*range(1, len(here.of("score.porch.")) + 1)]
    assert {message["cause"] for message in here.of("event.") if message["phase"] == "offset"} <= {"end", "score"}
    (told,) = [m for m in here.of("status.") if m["source"] is None]
    assert told["topic"] == "status."
    assert (told["state"], told["detail"]) == ("reloaded", "decision.threshold")


def test_a_new_segment_begins_at_the_next_sample(daemon: Callable[[dict[str, Any]], Daemon], recording: Path) -> None:
    """A key that needs other stages ends the segment at a decision, with its events; the next begins at the very next
    sample and gives what a daemon gives that begins to hear there; heard samples add up to the file's."""
    rules = {"threshold": 0.001, "min_duration_ms": 0, "hysteresis": 0.0}
    here = daemon(configuration(recording, decision={**rules, "smoothing_ms": 400}))
    here.listen(seconds(3.3))
    assert here.change(configuration(recording, decision={**rules, "smoothing_ms": 0})) == []
    here.listen(seconds(60))
    (at,) = {message["sample"] for message in here.of("event.") if message.get("cause") == "reload"}
    span = here.lane().ear.stages.span
    samples = [message["sample"] for message in here.of("score.porch.")]
    assert at in samples, "the old segment ends with a decision"
    assert samples[samples.index(at) + 1] == at + span
    sound = pipeline.scorer(here.lane().bundle, here.reload.cfg.decision, here.reload.cfg.gate).stages
    whole = np.concatenate([sound.process(block) for block in np.array_split(heard_from(recording, at), 50)])
    given = [list(message["scores"].values()) for message in here.of("score.porch.") if message["sample"] > at]
    np.testing.assert_array_equal(np.round(np.clip(whole, 0, 1).astype(float), 6), np.array(given))
    assert here.lane().health(0.0).heard_samples == len(heard_from(recording, 0))


def heard_from(recording: Path, start: int) -> np.ndarray:
    return np.concatenate(list(Reader(str(recording)).blocks(RATE)))[start:]


def test_no_rounding_adds_up(daemon: Callable[[dict[str, Any]], Daemon], tmp_path: Path) -> None:
    """At 44.1 kHz, after five new segments, samples heard are the file's to the sample."""
    write(tmp_path / "cd.wav", varied(8.0, rate=44_100), 44_100)
    here = daemon(configuration(tmp_path / "cd.wav"))
    for smoothing_ms in (0, 200, 0, 200, 0):
        here.listen(seconds(1.5))
        here.change(configuration(tmp_path / "cd.wav", decision={"smoothing_ms": smoothing_ms}))
    here.listen(10**9)
    assert here.lane().counters.heard == 8 * 44_100
    assert sum(m["detail"].startswith("reload") for m in here.of("status.porch.")) == 5


def test_sources_come_and_go(daemon: Callable[[dict[str, Any]], Daemon], recording: Path) -> None:
    """A source is added, another removed; the one that stays loses nothing; events of the one that goes are closed."""
    wanted = configuration(recording, decision={"threshold": 0.001, "hysteresis": 0.0, "min_duration_ms": 0})
    here = daemon(wanted)
    here.listen(seconds(2))
    porch = here.lane()
    garden = {"name": "garden", "recording": {"path": str(recording), "speed": "max"}}
    assert here.change({**wanted, "sources": [*wanted["sources"], garden]}) == []
    assert [lane.source.name for lane in here.roster.lanes] == ["porch", "garden"]
    here.listen(seconds(2))
    assert here.lane() is porch
    assert [m["state"] for m in here.of("status.garden.")] == ["starting", "running"]
    assert here.change({**wanted, "sources": [garden]}) == []
    assert porch.source.done
    last = {m["id"]: m for m in here.of("event.porch.")}
    assert {m["phase"] for m in last.values()} == {"offset"}
    assert "reload" in {m["cause"] for m in last.values()}
    assert not porch.ear.detector.open
    assert here.of("status.porch.")[-1]["state"] == "stopped"
    heard = len(here.of("score.porch."))
    here.listen(seconds(2))
    assert len(here.of("score.porch.")) == heard
    assert [m["seq"] for m in here.of("score.garden.")] == [*range(1, len(here.of("score.garden.")) + 1)]


def model_beside(folder: Path, **changes: Any) -> Path:
    """A copy of the default model, with another card."""
    shutil.copytree(bundle.find("esc10"), folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, **changes}))
    return folder


def test_a_model_is_swapped_at_a_decision(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """Another model speaks from the next segment on, under its own name; nothing is lost between the two."""
    model_beside(tmp_path / "models" / "other", name="other")
    wanted = configuration(recording, models_dir=str(tmp_path / "models"))
    here = daemon(wanted)
    here.listen(seconds(2.2))
    assert here.change({**wanted, "model": "other"}) == []
    here.listen(seconds(2.2))
    names = [message["model"]["name"] for message in here.of("score.porch.")]
    first = names.index("other")
    assert set(names[:first]) == {"esc10"}
    assert set(names[first:]) == {"other"}
    last, after = (here.of("score.porch.")[i]["sample"] for i in (first - 1, first))
    assert after - last == here.lane().ear.stages.span


def test_of_two_reloads_in_a_row_the_last_one_holds(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """A second reload before the first one's ear has heard anything: what it says is in force."""
    model_beside(tmp_path / "models" / "other", name="other")
    wanted = configuration(recording, models_dir=str(tmp_path / "models"))
    here = daemon(wanted)
    here.listen(seconds(2))
    here.change({**wanted, "model": "other"})
    here.change(wanted)
    here.listen(seconds(2))
    assert {message["model"]["name"] for message in here.of("score.porch.")} == {"esc10"}
    here.change({**wanted, "model": "other"})
    here.change({**wanted, "model": "other", "decision": {"threshold": 0.75}})
    here.listen(seconds(2))
    assert here.lane().bundle.card.name == "other"
    assert rule(here).threshold == 0.75


def test_a_model_that_does_not_hold_is_kept_out(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """Golden vectors that fail, a missing file, rules for labels it has not: the old model goes on, and it is told."""
    broken = model_beside(tmp_path / "models" / "broken", name="broken")
    card = yaml.safe_load((broken / "card.yaml").read_text())
    with np.load(broken / "golden.npz") as golden:
        arrays = {**golden, "scores": np.roll(golden["scores"], 3, axis=1)}
    np.savez(broken / "golden.npz", **arrays)
    card["files"]["golden.npz"] = hashlib.sha256((broken / "golden.npz").read_bytes()).hexdigest()
    (broken / "card.yaml").write_text(yaml.safe_dump(card))
    gone = model_beside(tmp_path / "models" / "gone", name="gone")
    (gone / "model.tflite").unlink()
    labels = [f"sound_{i}" for i in range(len(card["labels"]))]
    model_beside(tmp_path / "models" / "foreign", name="foreign", labels=labels, background=None, thresholds={})
    wanted = configuration(recording, models_dir=str(tmp_path / "models"), decision={"labels": {"rain": {}}})
    wanted["decision"]["labels"]["rain"]["threshold"] = 0.9
    here = daemon(wanted)
    for model in ("broken", "gone", "foreign"):
        here.listen(seconds(1))
        ear = here.lane().ear
        problems = here.change({**wanted, "model": model})
        assert problems, model
        assert here.lane().ear is ear
        told = here.of("status.")[-1]
        assert told["state"] == "reload_refused"
        assert problems[0] in told["detail"]
    here.listen(seconds(1))
    assert {message["model"]["name"] for message in here.of("score.porch.")} == {"esc10"}
    assert here.change(wanted) == []


@pytest.mark.parametrize(
    "text",
    [
        "gate: {sensitivity: high}",
        "sources: [{name: porch, microphone: {devise: x}}]\ndecision: {threshold: 2}",
        "gate: {sensitivity: 1\n",
        "",
        "sources: [{name: porch, recording: {path: PATH}}]\ndecision: {hop_ms: 33}",
        "sources: [{name: porch, recording: {path: PATH}}]\ngate: {enabled: on, noise_profile: nowhere.npz}",
    ],
)
def test_an_invalid_file_changes_nothing(
    daemon: Callable[[dict[str, Any]], Daemon],
    recording: Path,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The messages are those of a start with that file; the lanes are the very same; the next valid file is taken."""
    wanted = configuration(recording)
    here = daemon(wanted)
    here.listen(seconds(1.5))
    lane, ear, cfg = here.lane(), here.lane().ear, here.reload.cfg
    here.path.write_text(text.replace("PATH", str(recording)))
    with caplog.at_level(logging.ERROR, "auricle"):
        logging.getLogger("auricle").propagate = True
        problems = here.reload.now()
    with pytest.raises(AuricleError) as at_start:
        here.start()
    assert problems == at_start.value.lines()
    assert [f"not reloaded: {line}" for line in problems] == [entry.getMessage() for entry in caplog.records]
    assert here.lane() is lane
    assert here.lane().ear is ear
    assert here.reload.cfg is cfg
    assert here.of("status.")[-1]["state"] == "reload_refused"
    assert here.change(wanted) == []


def test_the_gate_goes_on_with_what_it_knows(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """New stages in the same room keep the noise; a daemon that starts again finds it; another device begins anew."""
    wanted = configuration(recording, gate={"enabled": "on", "start_up_s": 0.5})
    here = daemon(wanted)
    here.listen(seconds(3))
    known = here.lane().gate
    assert known is not None
    assert not known.learning
    assert here.change({**wanted, "gate": {**wanted["gate"], "time_smoothing_ms": 0}}) == []
    here.listen(seconds(1))
    assert here.lane().gate is not known
    assert_same(here.lane().gate, known.learned)
    here.close()
    again = daemon(wanted)
    assert again.lane().gate is not None
    assert_same(again.lane().gate, known.learned)
    copy = tmp_path / "elsewhere.wav"
    shutil.copy(recording, copy)
    assert again.change({**configuration(copy), "gate": wanted["gate"]}) == []
    assert again.lane().gate is not None
    assert again.lane().gate.learned == {}


def assert_same(gate: Any, learned: dict[str, np.ndarray]) -> None:
    assert gate is not None
    assert set(gate.learned) == set(learned) != set()
    for name, values in learned.items():
        np.testing.assert_allclose(gate.learned[name], values, rtol=1e-12)


def test_broken_state_is_learned_anew(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """A state file that is garbage, or cut short, is named and passed over; the next save mends it."""
    wanted = configuration(recording, gate={"enabled": "on", "start_up_s": 0.5})
    here = daemon(wanted)
    here.listen(seconds(3))
    here.close()
    (kept,) = (tmp_path / "noise").iterdir()
    whole = kept.read_bytes()
    for content in (b"", b"garbage", whole[: len(whole) // 2]):
        kept.write_bytes(content)
        again = daemon(wanted)
        assert again.lane().gate is not None
        assert again.lane().gate.learning
        again.listen(seconds(3))
        again.close()
        np.load(kept, allow_pickle=False).close()


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
    "decision.labels": {"rain": {"threshold": 0.9}},
    "publish.endpoint": "tcp://127.0.0.1:6001",
    "publish.query": "tcp://127.0.0.1:6002",
    "publish.score_interval_ms": 500,
    "publish.update_interval_s": 5,
    "publish.allow_plaintext": True,
    "publish.ipc_group": "root",
    "capture.ring_s": 20,
    "capture.silence_alarm_s": 60,
    "capture.stall_s": 4,
    "store.enabled": False,
    "store.path": "events.db",
    "store.max_mb": 10,
    "store.max_days": 3,
    "clips.enabled": True,
    "log.level": "error",
    "log.format": "json",
    "model": "other",
}
"""Another value for every key; those of sources are in the tests above."""

LIVE: dict[str, Callable[[Daemon], Any]] = {
    "gate.sensitivity": lambda d: d.lane().gate.sensitivity,  # type: ignore[union-attr]
    "gate.reduction": lambda d: d.lane().gate.reduction,  # type: ignore[union-attr]
    "gate.adaptation_s": lambda d: d.lane().gate.adaptation_s,  # type: ignore[union-attr]
    "decision.threshold": lambda d: rule(d).threshold,
    "decision.hysteresis": lambda d: rule(d).hysteresis,
    "decision.min_duration_ms": lambda d: rule(d).min_duration_samples / RATE * 1000,
    "decision.refractory_ms": lambda d: rule(d).refractory_samples / RATE * 1000,
    "decision.labels": lambda d: {"rain": {"threshold": rule(d).threshold}},
    "publish.score_interval_ms": lambda d: d.lane().ear.score_interval / RATE * 1000,
    "publish.update_interval_s": lambda d: d.lane().ear.detector.update_samples / RATE,
    "capture.silence_alarm_s": lambda d: d.lane("mic").source.silence_alarm_s,  # type: ignore[attr-defined]
    "capture.stall_s": lambda d: d.lane("mic").source.stall_s,  # type: ignore[attr-defined]
    "store.max_mb": lambda d: d.reload.cfg.store.max_mb,
    "store.max_days": lambda d: d.reload.cfg.store.max_days,
    "log.level": lambda d: logging.getLevelName(logging.getLogger("auricle").level).lower(),
}
"""Where each live key shows itself in the running daemon."""


def rule(here: Daemon) -> Any:
    ear = here.lane().ear
    return ear.detector._rules[ear.bundle.labels.index("rain")]


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
    model_beside(tmp_path / "other", name="other")
    model_beside(tmp_path / "models" / "esc10", description="one of my own")
    save_profile(tmp_path / "profile.npz", varied(2.0), RATE)
    wanted = configuration(recording, gate={"enabled": "on"})
    wanted["sources"].append({"name": "mic", "microphone": {}})
    here = daemon(wanted)
    lane, mic = here.lane(), here.lane("mic")
    for piece in lane.source.poll(time.monotonic()):
        lane.take(piece)
    ear, cfg = lane.ear, here.reload.cfg
    section, _, name = path.partition(".")
    value = {"model": "./other"}.get(path, OTHER[path])
    changed = {**wanted, section: {**wanted.get(section, {}), name: value} if name else value}
    assert here.change(changed) == []
    for piece in lane.source.poll(time.monotonic()):
        lane.take(piece)
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
        {"path": "other.wav", "speed": 2, "loop": True, "start_time": "2026-03-01T06:30:00Z"},
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
