"""What builds containers is held here to rules, since tests have no engine: the image, and Home Assistant's add-on."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

import auricle
from auricle import config

ROOT = Path(__file__).resolve().parent.parent
ADDON = ROOT / "addon"
KNOWN = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "VOLUME", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
ROLES = {
    "startup": {"initialize", "system", "services", "application", "once"},
    "boot": {"auto", "manual", "manual_only"},
}
"""Of the configuration of an add-on, as Home Assistant's supervisor of 2025.11 checks it."""
KEYS = {
    "name": str, "version": str, "slug": str, "description": str, "url": str, "arch": list, "startup": str, "boot": str,
    "init": bool, "audio": bool, "services": list, "map": list, "options": dict, "schema": dict,
}  # fmt: skip
NEEDED = {"name", "version", "slug", "description", "arch"}


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with what follows each, lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in join(lines))]


def join(lines: list[str]) -> list[str]:
    """Lines as they count: what ends in a backslash goes on."""
    return re.sub(r"\\\n\s*", "", "\n".join(lines)).split("\n")


def wrong(text: str, folder: Path) -> list[str]:
    """What the rules have against a Dockerfile."""
    said = []
    for word, rest in instructions(text):
        if word not in KNOWN:
            said.append(f"{word} is no instruction")
        if word == "FROM" and not re.fullmatch(r"\S+:\d\S+( AS \w+)?", rest):
            said.append(f"{rest} is no image with a version")
        if word == "COPY" and "--from=" not in rest:
            said += [
                f"{each} is not there" for each in rest.split()[:-1] if "*" not in each and not (folder / each).exists()
            ]
        if word == "RUN" and "apt-get install" in rest:
            for part in ("apt-get update", "-y --no-install-recommends", "rm -rf /var/lib/apt/lists"):
                if part not in rest:
                    said.append(f"apt-get without {part}")
        if word == "RUN" and "pip install" in rest and "--no-cache-dir" not in rest:
            said.append("pip keeps its cache")
        if word in ("CMD", "ENTRYPOINT") and not isinstance(yaml.safe_load(rest), list):
            said.append(f"{word} runs in a shell, which signals do not pass")
    if not any(
        rest.endswith('CMD ["auricle", "status"]') for word, rest in instructions(text) if word == "HEALTHCHECK"
    ):
        said.append("nobody looks whether it hears")
    return said


@pytest.mark.parametrize("folder", [ROOT, ADDON], ids=["image", "addon"])
def test_a_dockerfile_holds_to_the_rules(folder: Path) -> None:
    """Images with a version, files that are there, nothing kept that is not needed, signals that arrive, a look at
    whether it hears."""
    assert wrong((folder / "Dockerfile").read_text(), folder) == []


def test_the_rules_refuse() -> None:
    """Each rule sees its fault."""
    text = "FROM python\nCOPY none /x\nRUN apt-get install x\nRUN pip install x\nCMD auricle run\nMAINTAINER me\n"
    said = wrong(text, ROOT)
    for part in ("no image", "none is not", "apt-get without", "cache", "in a shell", "MAINTAINER", "nobody looks"):
        assert any(part in each for each in said), part


def test_the_image_is_made_in_stages_and_runs_as_a_user() -> None:
    """What builds is left behind; nothing runs as root; what is copied is not ignored; its state has a place."""
    told = instructions((ROOT / "Dockerfile").read_text())
    words = [word for word, _ in told]
    assert words.count("FROM") == 2
    last = told[len(words) - words[::-1].index("FROM") :]
    (user,) = [rest for word, rest in last if word == "USER"]
    assert user not in ("root", "0")
    assert ("VOLUME", "/var/lib/auricle") in last
    assert any("STATE_DIRECTORY=/var/lib/auricle" in rest for word, rest in last if word == "ENV")
    copied = {each for word, rest in told if word == "COPY" and "--from" not in rest for each in rest.split()[:-1]}
    assert {f"!{each}" for each in copied} <= set((ROOT / ".dockerignore").read_text().splitlines())


def test_the_addon_is_as_the_supervisor_wants_it() -> None:
    """Keys and values that the supervisor knows, the version that is ours, and an option for each key of its schema."""
    found: dict[str, Any] = yaml.safe_load((ADDON / "config.yaml").read_text())
    assert found.keys() >= NEEDED
    for name, value in found.items():
        assert isinstance(value, KEYS[name]), name
    assert found["version"] == auricle.__version__
    assert set(found["arch"]) <= {"amd64", "aarch64"}
    assert re.fullmatch(r"[a-z0-9_]+", found["slug"])
    for name, known in ROLES.items():
        assert found[name] in known
    for each in found["services"]:
        assert re.fullmatch(r"(mqtt|mysql):(provide|want|need)", each)
    for each in found["map"]:
        assert re.fullmatch(r"(addon_config|share|media|ssl|data|homeassistant_config)(:rw|:ro)?", each)
    assert found["options"].keys() == found["schema"].keys()
    assert {found["schema"]["node"], *found["schema"]["labels"]} == {"str"}


@pytest.mark.parametrize("own", [False, True])
def test_the_addon_tells_auricle_where_the_broker_is(tmp_path: Path, own: bool) -> None:
    """What the supervisor says of the broker becomes a configuration that holds; the password lies in a file for us
    alone; sources of one's own are heard where there are any, else the microphone."""
    mine = tmp_path / "auricle.yaml"
    if own:
        mine.write_text("sources: [{name: yard, ffmpeg: {url: 'rtsp://yard.lan/1'}}]\n")
    broker = {"host": "core-mosquitto", "port": 1883, "ssl": False, "username": "addons", "password": "a: #secret"}
    options = {"node": "home", "labels": ["dog_bark"]}
    told = runpy.run_path(str(ADDON / "run.py"))["environment"](options, broker, tmp_path, mine)
    found = config.load(mine if own else None, environ=told)
    assert (found.node, found.bridges.mqtt.broker) == ("home", "mqtt://core-mosquitto:1883")
    assert found.bridges.mqtt.labels == ("dog_bark",)
    assert [source.name for source in found.sources] == ["yard" if own else "mic"]
    login = Path(str(found.bridges.mqtt.login))
    assert login.read_text() == "addons\na: #secret\n"
    assert login.stat().st_mode & 0o777 == 0o600
    assert "secret" not in json.dumps(told)
