"""The configuration means what it says: no key without an effect, no check that promises too much, no secret shown."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from typer.testing import CliRunner

from auricle import config
from auricle.capture.poller import Poller
from auricle.commands.cli import app
from auricle.config.keys import attribute, keys_of
from auricle.errors import AuricleError
from auricle.messages.keys import Pair, write_pair
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.publish.subscriptions import Subscriptions
from auricle.service import life
from auricle.service.checks import load_models
from auricle.service.reload import Reload
from auricle.service.roster import Roster
from auricle.service.sources import source_of
from auricle.service.state import Learned
from helpers.broker import certificates
from helpers.sounds import RATE, varied, write

KINDS: dict[str, dict[str, Any]] = {
    "microphone": {},
    "ffmpeg": {"url": "rtsp://cam/stream"},
    "stdin": {"rate": RATE},
}
WHERE_IT_IS_READ = {"publish.allow_plaintext", "model"}
"""Keys whose effect is on others, where the configuration is read: endpoints that are let through, sources' models."""
BY_COMMANDS = {"publish.client_key"}
"""Keys for those who connect to a daemon, not for the daemon."""

BESIDE = ("bridges.", "web.")
"""Sections that programs beside the daemon read."""


def declared(of: type = config.Config, path: str = "") -> Iterator[tuple[type, str, str]]:
    """Every key that holds a value: the section's class, its field, and its path for people."""
    for name, about in keys_of(of).items():
        if about.section is None:
            yield of, attribute(name), f"{path}{name}"
        elif about.section is not of:
            yield from declared(about.section, f"{path}{name}.")


def watched(monkeypatch: pytest.MonkeyPatch) -> set[tuple[type, str]]:
    """What of the configuration is read from now on, outside the room that reads it from YAML: sections and fields."""
    read: set[tuple[type, str]] = set()
    inside = str(Path(config.__file__).parent)

    def watch(section: type) -> None:
        look = section.__getattribute__

        def asked(self: object, name: str) -> Any:
            caller = sys._getframe(1).f_code.co_filename
            if not caller.startswith(inside) and caller.endswith(".py") and "/auricle/" in caller:
                read.add((section, name))
            return look(self, name)

        monkeypatch.setattr(section, "__getattribute__", asked, raising=False)

    for section in {of for of, _, _ in declared()}:
        watch(section)
    return read


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise still looks for it
def test_every_key_of_a_bridge_changes_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[bool, str], None]
) -> None:
    """What can be configured for a bridge, or for the page, is read by its command, and handed to its connector."""
    require(shutil.which("openssl") is not None, "openssl")
    certificates(tmp_path)
    (tmp_path / "login").write_text("user\nword\n")
    files = {"login": "login", "ca": "ca.pem", "certificate": "client.pem", "certificate_key": "client.key"}
    mqtt = {"broker": "mqtts://localhost", **{key: str(tmp_path / name) for key, name in files.items()}}
    (tmp_path / "targets").write_text("hook json://127.0.0.1:1/x\n")
    (tmp_path / "hash").write_text("$argon2id$\n")
    web = {"token": str(tmp_path / "login"), "password": str(tmp_path / "hash")}
    for name in (*files.values(), "targets", "hash"):
        (tmp_path / name).chmod(0o600)
    notify = {"targets": str(tmp_path / "targets"), "rules": [{"name": "all"}]}
    path = tmp_path / "auricle.yaml"
    path.write_text(json.dumps({"model": "esc10", "bridges": {"mqtt": mqtt, "notify": notify}, "web": web}))
    read = watched(monkeypatch)
    handed = []
    for name in ("mqtt", "metrics", "notify", "page"):
        connector = pytest.importorskip(f"auricle.connectors.{name}", reason="missing here: the extras of bridges")
        monkeypatch.setattr(connector, "run", lambda *given: handed.append(given))
        done = CliRunner().invoke(app, [*(["web"] if name == "page" else ["bridge", name]), "-c", str(path)])
        assert done.exit_code == 0, done.output
    assert len(handed) == 4
    assert not [key for of, name, key in declared() if key.startswith(BESIDE) and (of, name) not in read]


def test_every_key_changes_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be configured is read by what runs, not only by what reads and shows the configuration."""
    read = watched(monkeypatch)
    write(tmp_path / "a.wav", varied(4.0))
    write_pair(tmp_path / "daemon.key", Pair(*(key.decode() for key in zmq.curve_keypair())))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "auricle.yaml").write_text(
        json.dumps({
            "model": "esc10",
            "sources": [{"name": "porch", "recording": {"path": "a.wav", "speed": "max"}}],
            "gate": {"enabled": "on"},
            "decision": {"labels": {"rain": {"threshold": 0.6}}},
            "spectrum": {"enabled": True},
            "clips": {"enabled": True},
            "publish": {
                "endpoint": f"ipc://{tmp_path}/events",
                "query": f"ipc://{tmp_path}/query",
                "secret_key": "daemon.key",
                "allowed_keys": "allowed.keys",
            },
        })
    )  # fmt: skip
    monkeypatch.setattr(Subscriptions, "asks", lambda self, topic: True)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    assert life.main(tmp_path / "auricle.yaml", None) == 0
    assert {number: signal.getsignal(number) for number in before} == before
    with Poller() as poller:
        for kind, given in KINDS.items():
            cfg = config.load(None, environ={}, overrides={"sources": [{"name": "it", kind: given}], "model": "esc10"})
            source_of(cfg.sources[0], cfg.capture, bundle.load("esc10"), poller)
    silent = {path for of, name, path in declared() if (of, name) not in read and not path.startswith(BESIDE)}
    assert silent == WHERE_IT_IS_READ | BY_COMMANDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with noise profiles: one that is none."""
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    np.savez(tmp_path / "other.npz", what=np.zeros(3))
    return tmp_path


WRONG = {
    "profile missing": ({"gate": {"enabled": "on", "noise_profile": "none.npz"}}, "gate.noise_profile: "),
    "profile broken": ({"gate": {"enabled": "on", "noise_profile": "broken.npz"}}, "gate.noise_profile: "),
    "profile of another sort": ({"gate": {"enabled": "on", "noise_profile": "other.npz"}}, "gate.noise_profile: "),
    "model": ({"sources": [{"name": "a", "model": "esc11", "microphone": {}}]}, "sources[0].model: "),
    "hop of a source": (
        {"sources": [{"name": "a", "microphone": {}}, {"name": "b", "microphone": {}, "decision": {"hop_ms": 50}}]},
        "sources[1].decision.hop_ms: ",
    ),
    "label": ({"decision": {"labels": {"rian": {"threshold": 0.5}}}}, "decision.labels: the model has no label 'rian'"),
    "label of clips": ({"clips": {"labels": ["rian"]}}, "clips.labels: the model has no label 'rian'"),
    "label of privacy": (
        {"sources": [{"name": "a", "microphone": {}, "privacy": "speech"}]},
        "sources[0].privacy: the model has no label 'speech'",
    ),
    "time": (
        {"sources": [{"name": "a", "recording": {"path": "x.wav", "start_time": "9999-12-31T23:59:59Z"}}]},
        "sources[0].recording.start_time: ",
    ),
    "options in one": (
        {"sources": [{"name": "a", "ffmpeg": {"url": "rtsp://cam/", "options": ["-rtsp_transport udp"]}}]},
        "sources[0].ffmpeg.options: ",
    ),
    "endpoint": ({"publish": {"endpoint": "tcp://127.0.0.1"}}, "publish.endpoint: "),
    "address that is none": ({"publish": {"endpoint": "tcp://127.0.0.256:5557"}}, "publish.endpoint: "),
    "folder of a socket": ({"publish": {"query": "ipc:///nowhere/at/all"}}, "publish.query: "),
    "file in the place of a socket": ({"publish": {"endpoint": "ipc:///etc/passwd"}}, "publish.endpoint: "),
    "group": ({"publish": {"endpoint": "ipc:///tmp/x", "ipc_group": "nobodies"}}, "publish.ipc_group: there is no "),
    "keys": ({"publish": {"secret_key": "none.key"}}, "publish.secret_key: "),
    "keys that are none": ({"publish": {"secret_key": "broken.npz"}}, "publish.secret_key: "),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_check_start_and_reload_say_the_same(folder: Path, wrong: str) -> None:
    """What is refused is refused by all three, in the same words, with its file, line and key."""
    given, where = WRONG[wrong]
    path = folder / "auricle.yaml"
    path.write_text(json.dumps({"model": "esc10", **given}, indent=1))
    checked = CliRunner().invoke(app, ["config", "check", "-c", str(path)])
    assert isinstance(checked.exception, AuricleError)
    with pytest.raises(AuricleError) as started:
        life.run(config.load(path, environ={}), lambda: config.load(path, environ={}))
    publisher = Publisher("node", [])
    cfg = config.load(None, environ={}, overrides={"model": "esc10"})
    with Poller() as poller, Roster(publisher, poller, Learned(folder / "noise")) as roster:
        reloaded = Reload(cfg, lambda: config.load(path, environ={}), roster, publisher).now()
    assert checked.exception.lines() == started.value.lines() == reloaded
    assert all(re.match(rf"{re.escape(str(path))}:[0-9]+: {re.escape(where)}", line) for line in reloaded)
    assert checked.exception.exit_code == started.value.exit_code == 78


def test_a_list_of_keys_that_is_none_is_refused_alike(folder: Path) -> None:
    """The list has lines of its own: they are named, by a check as by a start."""
    write_pair(folder / "daemon.key", Pair(*(key.decode() for key in zmq.curve_keypair())))
    (folder / "allowed.keys").write_text("# names\nlaptop\n")
    path = folder / "auricle.yaml"
    path.write_text("model: esc10\npublish: {secret_key: daemon.key, allowed_keys: allowed.keys}\n")
    checked = CliRunner().invoke(app, ["config", "check", "-c", str(path)])
    assert isinstance(checked.exception, AuricleError)
    with pytest.raises(AuricleError) as started:
        life.run(config.load(path, environ={}), lambda: config.load(path, environ={}))
    assert checked.exception.lines() == started.value.lines()
    assert started.value.lines()[0].startswith(f"{folder}/allowed.keys:2: ")


def test_what_a_start_goes_without_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that is not there, ffmpeg that is not installed, a credential that systemd alone gives: told, ok."""
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "auricle.yaml"
    path.write_text(
        "model: esc10\nsources:\n"
        "- {name: a, recording: {path: [none.wav, no/*.wav]}}\n"
        "- {name: b, ffmpeg: {url: rtsp://cam}}\n"
        "publish: {secret_key: credential}\n"
    )
    checked = CliRunner().invoke(app, ["config", "check", "-c", str(path)])
    assert checked.exit_code == 0
    assert checked.stdout.startswith("ok: ")
    assert checked.stderr.splitlines() == [
        f"warning: {path}:3: sources[0].recording.path: {tmp_path}/no/*.wav: no file matches this pattern",
        f"warning: {path}:3: sources[0].recording.path: {tmp_path}/none.wav: there is no such file",
        f"warning: {path}:4: sources[1].ffmpeg.url: ffmpeg is not installed; on Debian: apt-get install ffmpeg",
        f"warning: {path}:5: publish.secret_key: whether systemd gives the credential is seen by a start alone",
    ]


def test_what_passes_the_check_loads(tmp_path: Path) -> None:
    """The models that were checked are those that a start loads."""
    path = tmp_path / "auricle.yaml"
    path.write_text("model: esc10\ndecision: {hop_ms: 9600}\n")
    assert CliRunner().invoke(app, ["config", "check", "-c", str(path)]).exit_code == 0
    assert set(load_models(config.load(path, environ={}))) == {"esc10"}


CUT = [
    "{url: rtsp://admin:abc,s3cr3t@cam}",
    "{url: rtsp://admin:abc,s3cr3t,t0p@cam}",
    "{url: rtsp://admin:s3cr3t, options: [-x s3cr3t]}",
    "{url: rtsp://admin:abc, option: s3cr3t, s3cr3t: t0p@cam}",
    "{url: -s3cr3t}",
    "{url: 'rtsp://a:s3cr3t@cam', options: ['-headers X: s3cr3t', 't0p\x1b']}",
    "{url: {rtsp: s3cr3t}}",
]


@pytest.mark.parametrize("ffmpeg", CUT)
def test_what_may_be_a_secret_is_never_shown(tmp_path: Path, ffmpeg: str) -> None:
    """An address that YAML has cut, or that is refused, leaves nothing of itself in an error."""
    path = tmp_path / "auricle.yaml"
    path.write_text(f"sources:\n  - name: cam\n    ffmpeg: {ffmpeg}\n")
    with pytest.raises(AuricleError) as refused:
        config.load(path, environ={})
    said = "\n".join(refused.value.lines())
    assert "s3cr3t" not in said
    assert "t0p" not in said


ELSEWHERE = [
    "{name: cam, ffmpeg: {url: rtsp://admin:abc}, s3cr3t@cam: x}",
    "{name: cam, ffmpeg: {url: rtsp://admin:abc}, s3cr3t: x}",
    "{name: cam, ffmpeg: {url: rtsp://admin:abc}}, s3cr3t@cam",
    "{name: cam, ffmpeg: {url: rtsp://admin:abc}}]\ns3cr3t@cam: [2",
    "{name: cam, ffmpeg: {url: *s3cr3t }}",
    "{name: cam, ffmpeg: {url: !s3cr3t x}}",
    "{name: cam, ffmpeg: {url: rtsp://cam, options: [!!s3cr3t x]}}",
    "{name: 'rtsp://admin:s3cr3t@cam', microphone: {}}",
    "{name: cam, ffmpeg: 'rtsp://admin:s3cr3t@cam'}",
    "{name: cam, recording: {path: 'rtsp://admin:s3cr3t@cam'}}",
    "{name: cam, microphone: {device: 'rtsp://admin:s3cr3t@cam'}}",
    "{name: cam, microphone: {}, model: 'https://admin:s3cr3t@cam/'}",
    "{name: cam, microphone: {}, gate: {noise_profile: 'https://admin:s3cr3t@cam/'}}",
    "{name: cam, microphone: {}, decision: {labels: {'rtsp://admin:s3cr3t@cam': {threshold: 1}}}}",
    "{name: cam, microphone: {}}]\npublish: {secret_key: 's3cr3t1234s3cr3t1234s3cr3t1234s3cr3t1234'}\nno: [",
    "{name: cam, microphone: {}}]\npublish: {client_key: 's3cr3t1234s3cr3t1234s3cr3t1234s3cr3t1234'}\nno: [",
]


@pytest.mark.parametrize("source", ELSEWHERE)
def test_a_secret_in_any_other_place_is_not_shown(tmp_path: Path, source: str) -> None:
    """An address where none belongs, a key instead of its file, and what a bracket in a password leaves beside it: all
    are refused, and none is repeated."""
    path = tmp_path / "auricle.yaml"
    path.write_text(f"sources: [{source}]\n")
    with pytest.raises(AuricleError) as refused:
        config.load(path, environ={})
    assert "s3cr3t" not in "\n".join(refused.value.lines())


def test_an_unknown_key_is_shown_where_it_can_be_no_secret(tmp_path: Path) -> None:
    """What is spelt like a key, or is the name of another section's, is named beside an address too."""
    path = tmp_path / "auricle.yaml"
    path.write_text("sources: [{name: cam, ffmpeg: {ulr: rtsp://cam}, stall_s: 3, gaet: {}}]\n")
    with pytest.raises(AuricleError) as refused:
        config.load(path, environ={})
    said = "\n".join(refused.value.lines())
    for name, meant in (("ulr", "url"), ("gaet", "gate"), ("stall_s", "capture.stall_s")):
        assert f"unknown key '{name}'; did you mean '{meant}'?" in said


def test_a_device_that_yaml_has_cut_gets_the_hint(tmp_path: Path) -> None:
    """``hw:1,0`` without quotes is two keys in braces."""
    path = tmp_path / "auricle.yaml"
    path.write_text("sources: [{name: mic, microphone: {device: hw:1,0}}]\n")
    with pytest.raises(
        AuricleError, match="unknown key '0'; if a comma has cut a value, put the whole value in quotes"
    ):
        config.load(path, environ={})
