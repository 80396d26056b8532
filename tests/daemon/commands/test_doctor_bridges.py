"""`auricle doctor` tries brokers and targets, here a real Mosquitto and real sockets, and leaves nothing there."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest

from auricle import config
from auricle.commands.doctor_bridges import bridges
from auricle.terminal.finding import Finding
from helpers.broker import PASSWORD, USER, broker, free_port, missing, secured_keys, subscriber


def found(folder: Path, **sections: Mapping[str, Any]) -> list[Finding]:
    """What it finds with these bridges."""
    (folder / "auricle.yaml").write_text(json.dumps({"node": "test", "bridges": sections}))
    lines = list(bridges(config.load(folder / "auricle.yaml", environ={}, overrides={})))
    for line in lines:
        assert line.ok or line.remedy, "what is not well comes with what to do"
        for secret in (PASSWORD, quote(PASSWORD)):
            assert secret not in f"{line} {dataclasses.asdict(line)}"
    return lines


def test_a_bridge_that_nobody_wants_is_passed_over(tmp_path: Path) -> None:
    """Without a word of it in the configuration no bridge is tried."""
    assert found(tmp_path) == []


@pytest.fixture
def _mosquitto(require: Callable[[bool, str], None]) -> None:
    require(not missing(), "mosquitto and openssl")


@pytest.mark.usefixtures("_mosquitto")
def test_a_broker_is_tried_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS, certificate, login and ACL are tried by a message that nobody keeps; whichever is wrong is said."""
    login, wrong = tmp_path / "login", tmp_path / "wrong"
    login.write_text(f"{USER}\n{PASSWORD}\n")
    wrong.write_text(f"{USER}\nsomething else\n")
    (tmp_path / "broker").mkdir()
    with broker(tmp_path / "broker", secured=True) as of, subscriber(of) as hears:
        good = {"broker": of.address, **secured_keys(of), "login": str(login)}
        (line,) = found(tmp_path, mqtt=good)
        assert (line.ok, line.note) == (True, False)
        assert line.found.endswith("takes messages below auricle/test/ and homeassistant/device/auricle-test/")
        (line,) = found(tmp_path, mqtt={**good, "login": str(wrong)})
        assert "lets us not in: Not authorized" in str(line)
        (line,) = found(tmp_path, mqtt={**good, "prefix": "elsewhere"})
        assert "does not take elsewhere/test/doctor: Not authorized; let the login write below elsewhere/" in str(line)
        (line,) = found(tmp_path, mqtt={key: value for key, value in good.items() if key != "ca"})
        assert "is not trusted" in str(line)
        without = {key: value for key, value in good.items() if not key.startswith("certificate")}
        (line,) = found(tmp_path, mqtt=without)
        assert "lets us not in" in str(line), "a certificate is wanted"
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        monkeypatch.setattr("auricle.connectors.credentials.STORE", tmp_path / "none")
        (line,) = found(tmp_path, mqtt={**good, "login": "credential"})
        assert line.note
        assert "systemd gives login to its unit" in line.found
        monkeypatch.setattr("auricle.connectors.credentials.STORE", of.folder)
        (line,) = found(tmp_path, mqtt={**good, "login": "credential"})
        assert (line.ok, line.note) == (True, False), "whoever may read systemd's store tries it as the unit would"
        with subscriber(of) as late:
            assert not [told for told in late.told if "doctor" in told.topic], "nothing is kept"
        assert not hears.events()
    (line,) = found(tmp_path, mqtt=good)
    assert "Connection refused; start the broker" in str(line)


@pytest.mark.usefixtures("_mosquitto")
def test_a_broker_of_another_machine_with_a_password_in_the_clear(tmp_path: Path) -> None:
    """A login without TLS is told of where it leaves this machine."""
    login = tmp_path / "login"
    login.write_text("user\npassword\n")
    with broker(tmp_path) as of:
        (line,) = found(tmp_path, mqtt={"broker": of.address, "login": str(login)})
        assert (line.ok, line.note) == (True, False)
        for line in found(tmp_path, mqtt={"broker": f"mqtt://127.0.0.2:{of.port}", "login": str(login)}):
            assert not line.ok, "it listens at 127.0.0.1 alone"


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as here:
        yield here.getsockname()[1]


def test_who_takes_a_connection_and_is_no_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a while, in one line."""
    monkeypatch.setattr("auricle.connectors.probe.tell.__defaults__", (0.3,))
    with silent() as port:
        (line,) = found(tmp_path, mqtt={"broker": f"mqtt://127.0.0.1:{port}"})
    assert "takes the connection, and says nothing for 0.3 s" in str(line)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise still looks for it
def test_targets_are_reached_and_not_told(tmp_path: Path) -> None:
    """Addresses are read, and their machines connected to; nothing is sent, and no address is shown."""
    targets = tmp_path / "targets"
    with silent() as port:
        targets.write_text(
            f"phone json://me:{quote(PASSWORD)}@127.0.0.1:{port}/a\nhall json://127.0.0.1:{free_port()}/b\n"
        )
        well, ill = found(tmp_path, notify={"targets": str(targets), "rules": [{"name": "all"}]})
    assert str(well) == f"ok    target phone: its address holds, and 127.0.0.1:{port} answers"
    assert (ill.what, ill.ok) == ("target hall", False)
    assert "Connection refused" in ill.found
    (line,) = found(tmp_path, notify={"targets": str(targets)})
    assert "nobody would be told anything; write one" in str(line)
    (line,) = found(tmp_path, notify={"targets": str(targets), "rules": [{"name": "all", "to": ["fone"]}]})
    assert "'fone' is no target" in str(line)
    targets.write_text(f"phone nonsense://{quote(PASSWORD)}@x\nhall\n")
    assert [line.ok for line in found(tmp_path, notify={"targets": str(targets)})] == [False, False]


def test_the_place_of_the_figures_is_free_or_its_own(tmp_path: Path) -> None:
    """A port in use is a bridge's of ours, or something to mend."""
    port = free_port()
    (line,) = found(tmp_path, metrics={"listen": f"127.0.0.1:{port}"})
    assert line.ok
    assert line.found.endswith("is free")
    for name, ok in (("auricle", True), ("other", False)):
        handler = type("Handler", (BaseHTTPRequestHandler,), {"server_version": name, "sys_version": ""})
        with HTTPServer(("127.0.0.1", port), handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            (line,) = found(tmp_path, metrics={"listen": f"127.0.0.1:{port}"})
            server.shutdown()
        assert line.ok is ok, line
