"""The configuration as the daemon gets it: layers, resolved sources, origins, what a reload would change."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auricle.config import Config, UserRule, load
from auricle.config import layers as config_layers
from auricle.config.diff import diff
from auricle.config.keys import REQUIRED, Key, keys_of
from auricle.config.read import check_labels
from auricle.config.sections import DEFAULT_MODEL
from auricle.config.tree import DEFAULT, from_object
from auricle.errors import ConfigError


@pytest.fixture(autouse=True)
def no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_layers, "SYSTEM_FILE", tmp_path / "absent" / "auricle.yaml")


def written(folder: Path, text: str, **overrides: object) -> Config:
    file = folder / "auricle.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ={}, overrides={key.replace("__", "."): value for key, value in overrides.items()})


def test_without_a_file_the_default_microphone_is_heard() -> None:
    """No file: one source, mic, the default device, everything else at its default, and equal to Config()."""
    config = load(environ={})
    assert [(source.name, source.kind) for source in config.sources] == [("mic", "microphone")]
    assert config.sources[0].microphone is not None
    assert config.sources[0].microphone.device == "default"
    assert config == Config()
    assert set(config.origins.values()) == {"default"}


def test_the_system_file_is_read_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/etc/auricle/auricle.yaml counts when no file is named; auricle.yaml in the working folder does not."""
    (tmp_path / "auricle.yaml").write_text("model: here", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).model == DEFAULT_MODEL
    monkeypatch.setattr(config_layers, "SYSTEM_FILE", tmp_path / "auricle.yaml")
    assert load(environ={}).model == "here"


def test_layers_lie_over_one_another_key_by_key(tmp_path: Path) -> None:
    """File, fragments by name, environment, command line: the last one that speaks of a key wins; a list replaces."""
    fragments = tmp_path / "conf.d"
    fragments.mkdir()
    (fragments / "20-late.yaml").write_text("gate: {sensitivity: 4}\ndecision:\n", encoding="utf-8")
    (fragments / "10-early.yaml").write_text(
        "gate: {sensitivity: 3, reduction: 0.3}\nsources: [{name: b, microphone: {}}]\n", encoding="utf-8"
    )
    (fragments / ".20-late.yaml.swp").write_text("{", encoding="utf-8")
    (tmp_path / "auricle.yaml").write_text(
        "gate: {sensitivity: 2, reduction: 0.2, enabled: on}\ndecision: {threshold: 0.7}\n"
        "sources: [{name: a, microphone: {}}, {name: c, microphone: {}}]\n",
        encoding="utf-8",
    )
    environ = {"AURICLE__GATE__REDUCTION": "0.5", "AURICLE__LOG__LEVEL": "debug", "AURICLE_OTHER": "x"}
    config = load(tmp_path / "auricle.yaml", environ=environ, overrides={"log.level": "error"})
    assert (config.gate.enabled, config.gate.sensitivity, config.gate.reduction) == ("on", 4, 0.5)
    assert config.decision.threshold == 0.7
    assert [source.name for source in config.sources] == ["b"]
    assert config.log.level == "error"
    origins = {path: place.removeprefix(f"{tmp_path}/") for path, place in config.origins.items()}
    assert origins["gate.enabled"] == "auricle.yaml:1"
    assert origins["gate.sensitivity"] == "conf.d/20-late.yaml:1"
    assert origins["gate.reduction"] == "AURICLE__GATE__REDUCTION"
    assert origins["sources[0].name"] == "conf.d/10-early.yaml:2"
    assert origins["sources[0].gate.enabled"] == "auricle.yaml:1"
    assert origins["log.level"] == "command line"
    assert origins["capture.ring_s"] == "default"


def test_the_environment_reaches_into_lists_and_takes_yaml(tmp_path: Path) -> None:
    """A number steps into a list; brackets, braces and quotes make a value YAML; an empty value is null."""
    environ = {
        "AURICLE__SOURCES": "[{name: a, recording: {path: [x.wav, y.wav]}}, {name: b, microphone: {}}]",
        "AURICLE__SOURCES__1__MICROPHONE__DEVICE": '"3"',
        "AURICLE__MODELS_DIR": "",
        "AURICLE__NODE": "010",
        "AURICLE__DECISION__LABELS__DOG_BARK__THRESHOLD": "0.9",
    }
    config = load(environ=environ)
    first, second = config.sources
    assert first.recording is not None
    assert first.recording.path == (str(Path.cwd() / "x.wav"), str(Path.cwd() / "y.wav"))
    assert second.microphone is not None
    assert second.microphone.device == "3"
    assert config.models_dir is None
    assert config.node == "010"
    assert config.decision.for_label("dog_bark") == UserRule(None, 0.9, None, None, 500)
    device = load(environ={"AURICLE__SOURCES__0__MICROPHONE__DEVICE": "3"}).sources[0].microphone
    assert device is not None
    assert device.device == 3


def test_a_source_has_its_own_model_gate_and_decision(tmp_path: Path) -> None:
    """What a source does not say of model, gate and decision it takes from the top, label by label, key by key."""
    config = written(
        tmp_path,
        "model: a\ngate: {sensitivity: 2}\ndecision: {threshold: 0.6, labels: {dog: {threshold: 0.7}, cat: {}}}\n"
        "sources:\n- {name: x, microphone: }\n"
        "- {name: y, microphone: {}, model: b, gate: {reduction: 0.5},"
        " decision: {hysteresis: 0.2, labels: {dog: {hysteresis: 0.3}, cow: {threshold: 0.4}}}}\n",
    )
    x, y = config.sources
    assert (x.model, x.gate, x.decision) == (config.model, config.gate, config.decision)
    assert y.model == "b"
    assert (y.gate.sensitivity, y.gate.reduction) == (2, 0.5)
    assert y.decision.for_label("dog") == UserRule(None, 0.7, 0.3, None, 500)
    assert y.decision.for_label("cow") == UserRule(None, 0.4, 0.2, None, 500)
    assert y.decision.for_label("cat") == y.decision.for_label("never heard of") == UserRule(None, 0.6, 0.2, None, 500)
    assert x.decision.for_label("dog") == UserRule(None, 0.7, None, None, 500)


def test_every_kind_of_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind carries its values, of their types; relative paths start at the file's folder, ~ at home."""
    monkeypatch.setenv("HOME", "/at/home")
    config = written(
        tmp_path,
        "models_dir: models\nstore: {path: ~/events.db}\nmodel: ./mine\nsources:\n"
        "- {name: a, microphone: {device: 2, channel: 2, sample_rate: 48_000}}\n"
        "- {name: b, recording: {path: [night/*.wav, /abs], speed: max, loop: yes, start_time: 2026-05-01T04:30:00Z}}\n"
        "- {name: c, ffmpeg: {url: 'rtsp://u:pw@host/x', options: [-rtsp_transport, tcp]}}\n"
        "- {name: d, stdin: {rate: 16e3, format: F32LE, channels: 2}, model: named}\n",
    )
    a, b, c, d = config.sources
    assert a.microphone is not None
    assert b.recording is not None
    assert c.ffmpeg is not None
    assert d.stdin is not None
    assert (a.microphone.device, a.microphone.channel, a.microphone.sample_rate) == (2, 2, 48000)
    assert b.recording.path == (str(tmp_path / "night/*.wav"), "/abs")
    assert (b.recording.speed, b.recording.loop) == ("max", True)
    assert b.recording.start_time == datetime(2026, 5, 1, 4, 30, tzinfo=UTC)
    assert (c.ffmpeg.url, c.ffmpeg.options) == ("rtsp://u:pw@host/x", ("-rtsp_transport", "tcp"))
    assert (d.stdin.rate, d.stdin.format, d.stdin.channels) == (16000, "f32le", 2)
    assert [source.kind for source in config.sources] == ["microphone", "recording", "ffmpeg", "stdin"]
    assert (config.models_dir, config.store.path) == (tmp_path / "models", Path("/at/home/events.db"))
    assert (config.model, a.model, d.model) == (f"{tmp_path}/./mine", f"{tmp_path}/./mine", "named")
    assert "pw" not in repr(config)


def test_overrides_of_the_command_line_keep_their_types(tmp_path: Path) -> None:
    """A text from the command line is a text and a number a number, whatever YAML would make of them."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    sources = [{"name": "r", "recording": {"path": ["1.wav"], "speed": "2", "start_time": began}}]
    config = load(environ={}, overrides={"sources": sources, "node": "yes", "store.enabled": False})
    recording = config.sources[0].recording
    assert recording is not None
    assert (recording.speed, recording.start_time) == (2.0, began)
    assert (config.node, config.store.enabled) == ("yes", False)


def test_hash_follows_the_values_alone(tmp_path: Path) -> None:
    """Equal values give an equal hash wherever they are written; one other value another; passwords stay out of it."""
    same = written(tmp_path, "# a comment\ngate: {sensitivity: 1.50}\n")
    assert same.hash() == load(environ={}).hash()
    assert re.fullmatch("[0-9a-f]{12}", same.hash())
    assert written(tmp_path, "gate: {sensitivity: 1.6}\n").hash() != same.hash()
    for camera in (
        "{url: 'rtsp://u:%s@host'}",
        "{url: 'rtsp://host/%s'}",
        "{url: rtsp://host, options: [-cookies, %s]}",
    ):
        text = f"sources: [{{name: c, ffmpeg: {camera}}}]"
        assert written(tmp_path, text % "one").hash() == written(tmp_path, text % "two").hash()


def test_diff_names_what_changed_and_when_it_takes_effect(tmp_path: Path) -> None:
    """Each changed key with its effect; sources by name; what a source takes from the top is told once."""
    text = (
        "sources: [{name: a, microphone: {}}, {name: b, microphone: {}, gate: {sensitivity: 3}},"
        " {name: gone, microphone: {}}]\n"
    )
    old = written(tmp_path, text)
    assert diff(old, old) == {}
    new = written(
        tmp_path,
        "sources: [{name: new, microphone: {}}, {name: b, microphone: {device: USB}, gate: {sensitivity: 4}},"
        " {name: a, recording: {path: x}}]\n"
        "gate: {sensitivity: 2}\nlog: {level: debug, format: json}\n"
        "decision: {hop_ms: 40, labels: {dog: {threshold: 0.7, smoothing_ms: 400}}}\n",
    )
    assert diff(old, new) == {
        "gate.sensitivity": "live",
        "decision.hop_ms": "segment",
        "decision.labels.dog.smoothing_ms": "segment",
        "decision.labels.dog.threshold": "live",
        "log.level": "live",
        "log.format": "restart",
        "sources[a]": "segment",
        "sources[b].microphone.device": "segment",
        "sources[b].gate.sensitivity": "live",
        "sources[gone]": "segment",
        "sources[new]": "segment",
    }
    assert diff(new, old).keys() == diff(old, new).keys()


def test_labels_that_no_model_has_are_refused(tmp_path: Path) -> None:
    """A rule for a misspelt label is told with the label that was meant; one that another source's model has is not."""
    config = written(
        tmp_path,
        "model: esc10\ndecision:\n  labels:\n    dog: {threshold: 0.7}\n    siren: {threshold: 0.7}\n"
        "sources:\n- {name: a, microphone: {}}\n"
        "- {name: b, microphone: {}, model: other, decision: {labels: {dog_bark: {threshold: 0.8}}}}\n",
    )
    with pytest.raises(ConfigError) as caught:
        check_labels(config, {"esc10": ["dog_bark", "rain"], "other": ["siren"]})
    file = tmp_path / "auricle.yaml"
    assert caught.value.lines() == [
        f"{file}:4: decision.labels: the model has no label 'dog'; did you mean 'dog_bark'?",
        f"{file}:8: sources[1].decision.labels: the model has no label 'dog_bark'; it has siren",
    ]


def declared(of: type, path: str = "") -> list[tuple[str, Key]]:
    found: list[tuple[str, Key]] = []
    for name, about in keys_of(of).items():
        found.append((f"{path}{name}", about))
        if about.section is not None:
            found += declared(about.section, f"{path}{name}.")
    return found


@pytest.mark.parametrize(("path", "about"), declared(Config), ids=lambda value: value if isinstance(value, str) else "")
def test_every_key_is_declared_whole(path: str, about: Key) -> None:
    """Each key says what it is for; each default is one that its own kind accepts."""
    assert about.doc.endswith("."), path
    for value in (about.initial, about.example):
        if about.kind is not None and value is not None and value is not REQUIRED:
            about.kind.read(from_object(value, DEFAULT))


def test_loading_needs_nothing_heavy() -> None:
    """Reading a configuration imports neither numpy nor zmq nor the command line's libraries."""
    code = (
        "import sys; from auricle.config import load; load(environ={});"
        "print([m for m in ('numpy', 'zmq', 'typer', 'rich', 'soundfile', 'sounddevice') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
