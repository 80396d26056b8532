"""The bridge to MQTT against a real Mosquitto: nothing is missing, states are right, whoever of the three dies."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from auricle import messages
from auricle.client import Event
from auricle.connectors.naming import slug
from helpers.bridged import House, house
from helpers.broker import PASSWORD, Broker, Subscriber, broker, free_port, missing, secured_keys, subscriber
from helpers.bundles import made_up
from helpers.wire import Daemon

pytestmark = [pytest.mark.timeout(240)]

LABELS = ["rain", "dog_bark", "siren"]
CLOSED = {"state": "OFF", "onset": None, "offset": None, "id": None}
RIGHT_S = 3.0
"""No state is wrong for longer."""


@pytest.fixture(autouse=True)
def _mosquitto(require: Callable[[bool, str], None]) -> None:
    require(not missing(), "mosquitto and openssl")


def keys(of: Broker, **more: Any) -> dict[str, Any]:
    """`bridges` for this broker."""
    return {"mqtt": {"broker": of.address, "labels": LABELS, **more}}


@contextmanager
def parts(folder: Path, *, held: int = 4096, secured: bool = False) -> Iterator[tuple[House, Broker, Subscriber]]:
    """A daemon, a bridge, a broker and one who listens to it."""
    (folder / "broker").mkdir()
    with broker(folder / "broker", secured=secured) as of, subscriber(of) as hears:
        wanted = keys(of, **({**secured_keys(of), "login": "credential"} if secured else {}))
        with house(folder, wanted, held=held) as here:
            here.start("mqtt", CREDENTIALS_DIRECTORY=str(of.folder))
            here.until(lambda: hears.newest("test/status") == "online", "it is there")
            yield here, of, hears


def sent(*daemons: Daemon) -> list[dict[str, Any]]:
    """What daemons have said of events, in order, as JSON."""
    told = [message for daemon in daemons for _, message in daemon.sent]
    return [json.loads(messages.encode(message)) for message in told if isinstance(message, Event)]


def key(event: dict[str, Any]) -> tuple[str, str, str, int]:
    """What a consumer looks at to take a message once."""
    return event["instance"], event["id"], event["phase"], event["seq"]


def everything_came(hears: Subscriber, *daemons: Daemon) -> bool:
    """Whether every message of the daemons has come."""
    return {key(event) for event in sent(*daemons)} <= {key(event) for event in hears.events()}


def assert_history_came(hears: Subscriber, *daemons: Daemon) -> None:
    """Every onset and every offset has come, in the order of each topic, and nothing that was never said; what came
    again is what had come."""
    said = {key(event): event for event in sent(*daemons)}
    came: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for event in hears.events():
        assert {**came.setdefault(key(event), event), "late": None} == {**event, "late": None}
    for each, event in came.items():
        assert said[each].items() <= event.items()
    ends = [each for each, event in said.items() if event["phase"] != "update"]
    assert set(ends) <= set(came)
    for source in ("porch", "hall"):
        for label in LABELS:
            of = [each for each, event in came.items() if (event["source"], event["label"]) == (source, label)]
            assert of == [each for each in said if each in set(of)]


def test_a_secured_broker_is_told_everything(tmp_path: Path) -> None:
    """Through TLS with certificates both ways, a login that systemd gives and an ACL: phases of an event as JSON, QoS
    1, not retained; the label's state retained, ON and OFF with times; gaps, levels and figures; discovery."""
    with parts(tmp_path, secured=True) as (here, of, hears):
        here.until(lambda: hears.newest("porch/state/rain") == CLOSED, "states are told at once")
        onset = here.here.event("onset")
        here.until(lambda: hears.newest("porch/state/rain")["state"] == "ON", "the state is on")
        here.here.event("update")
        offset = here.here.event("offset")
        here.until(lambda: hears.newest("porch/state/rain")["state"] == "OFF", "the state is off")
        here.until(lambda: len(hears.events()) == 3, "three phases")
        assert [event["phase"] for event in hears.events()] == ["onset", "update", "offset"]
        for told, said in zip(hears.of("/event"), sent(here.here), strict=True):
            assert told.json == {**said, "event_type": "rain", "late": False}
            assert (told.topic, told.qos, told.retain) == ("auricle/test/porch/event", 1, False)
        assert hears.newest("porch/state/rain") == {
            "state": "OFF", "onset": onset.onset, "offset": offset.offset, "id": onset.id,
        }  # fmt: skip
        here.until(lambda: hears.newest("test/health") and hears.newest("hall/health"), "figures are told")
        assert hears.newest("porch/level")["level_dbfs"] == -30.0
        assert hears.newest("porch/health")["lost_samples"] == 0
        assert hears.newest("test/health").keys() == {"t", "uptime_s", "latency_p99_ms", "cpu_percent", "rss_mb"}
        with subscriber(of) as late:
            here.until(lambda: late.newest("porch/state/rain"), "retained")
            here.until(lambda: late.newest("/config"), "retained")
            assert not late.events()
            assert {told.topic for told in late.told if not told.topic.endswith(("/level", "/health"))} == {
                "auricle/test/status",
                *(f"auricle/test/{source}/{what}" for source in ("porch", "hall") for what in ("available", "hearing")),
                *(f"auricle/test/{source}/state/{label}" for source in ("porch", "hall") for label in LABELS),
                "homeassistant/device/auricle-test/config",
            }
        assert here.stop() == 0
        here.until(lambda: hears.newest("test/status") == "offline", "it says that it goes")
        assert PASSWORD not in here.log


def test_a_broker_that_was_away_hears_what_it_missed(tmp_path: Path) -> None:
    """A broker without persistence is killed and comes back after an hour of events, more than the daemon's memory
    holds: states are right at once, and every event comes in order, from the history; what is old says so."""
    hour_us = 3600 * 1_000_000
    with parts(tmp_path, held=64) as (here, of, hears):
        here.here.ahead_us = -hour_us
        before = here.here.event("onset", "siren")
        here.until(lambda: hears.newest("porch/state/siren")["state"] == "ON", "the siren is heard")
        of.kill()
        rng = random.Random(1)
        for n in range(400):
            here.here.ahead_us = hour_us * n // 400 - hour_us
            here.here.random_step(rng)
            here.turn()
        here.here.ahead_us = 0
        going_on = {(event.source, event.label) for event in here.here.journal.open.values()}
        began_s = time.monotonic()
        here.freeze()  # until there is one to hear it
        of.start()
        here.until(lambda: hears.subscribed == 2, "somebody listens again")
        here.thaw()
        here.until(lambda: hears.newest("test/status") == "online" and hears.told[-1].at_s > began_s, "it is back")
        last = key(sent(here.here)[-1])
        here.until(lambda: last in {key(event) for event in hears.events()}, "all has come")
        assert_history_came(hears, here.here)
        first = {}
        for told in hears.told:
            if told.at_s > began_s and "/state/" in told.topic:
                first.setdefault(told.topic, told)
        for source in ("porch", "hall"):
            for label in LABELS:
                told = first[f"auricle/test/{source}/state/{label}"]
                assert (told.json["state"] == "ON") == ((source, label) in going_on), "right at once"
        again = [event for event in hears.events() if key(event)[1] != before.id]
        assert [event["t"] for event in again] == sorted(event["t"] for event in again)
        assert any(event["late"] for event in again)


def test_a_frozen_broker_holds_up_nobody(tmp_path: Path) -> None:
    """While the broker hangs with its connections open, the daemon loses nothing to it and the bridge lives on; when it
    goes on, everything comes, and the states are right."""
    with parts(tmp_path) as (here, of, hears):
        of.freeze()
        frozen = here.here.event("onset", "rain")
        rng = random.Random(2)
        end_s, alive = time.monotonic() + 12.0, here.watchdogs
        while time.monotonic() < end_s:
            here.here.random_step(rng)
            here.for_s(0.05)
        assert here.watchdogs >= alive + 6, "once a second, as its supervisor wants"
        assert "trying on" in here.log, "it has given up a connection that does not answer"
        slow = [m for _, m in here.here.sent if isinstance(m, messages.Status) and m.state == "slow"]
        assert not slow, "it took everything from the daemon"
        of.thaw()
        last = key(sent(here.here)[-1])
        here.until(lambda: last in {key(event) for event in hears.events()}, "all has come")
        assert_history_came(hears, here.here)
        assert frozen.id in {event["id"] for event in hears.events()}
        here.until(lambda: states_are_right(here, hears), "the states are right")


def states_are_right(here: House, hears: Subscriber) -> bool:
    """Whether every state is that of the daemon."""
    going_on = {(event.source, event.label) for event in here.here.journal.open.values()}
    told = {(s, label): hears.newest(f"{s}/state/{label}") for s in ("porch", "hall") for label in LABELS}
    return all(state is not None and (state["state"] == "ON") == (of in going_on) for of, state in told.items())


def test_a_slow_broker_gets_everything(tmp_path: Path) -> None:
    """Through a line that takes a fifth of a second each way, a flood of events comes whole and in order."""
    (tmp_path / "broker").mkdir()
    with broker(tmp_path / "broker") as of, subscriber(of) as hears, slow_line(of.port, 0.2) as port:
        wanted = {"mqtt": {"broker": f"mqtt://127.0.0.1:{port}", "labels": LABELS}}
        with house(tmp_path, wanted) as here:
            here.start("mqtt")
            here.until(lambda: hears.newest("test/status") == "online", "it is there")
            rng = random.Random(3)
            for _ in range(400):
                here.here.random_step(rng)
                here.turn()
            here.until(lambda: everything_came(hears, here.here), "all has come")
            assert [key(event) for event in hears.events()] == [key(event) for event in sent(here.here)]
            here.until(lambda: states_are_right(here, hears), "the states are right")


@contextmanager
def slow_line(port: int, delay_s: float) -> Iterator[int]:
    """A port whose connections lead to another one, every byte late."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                ended.wait(delay_s)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def serve() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            opened.extend((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    opened: list[socket.socket] = []
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for each in opened:
            each.close()


def test_a_daemon_that_dies_leaves_no_state_on(tmp_path: Path) -> None:
    """A daemon that is killed: offline, and every state closed, within 3 s; it comes back as another instance: online,
    its states, and the events of the instance that died, the ends of those that went on with it among them."""
    with parts(tmp_path) as (here, _, hears):
        first = here.here
        first.event("onset", "rain")
        first.event("onset", "siren", "hall")
        here.until(lambda: hears.newest("hall/state/siren")["state"] == "ON", "it is heard")
        here.for_s(0.1)
        here.kill_daemon()
        died_s = time.monotonic()
        here.until(lambda: hears.newest("test/status") == "offline", "it is away")
        here.until(lambda: hears.newest("porch/state/rain") == CLOSED, "its states are closed")
        here.until(lambda: hears.newest("hall/state/siren") == CLOSED, "its states are closed")
        took_s = max(hears.of(ending)[-1].at_s for ending in ("test/status", "rain", "hall/state/siren")) - died_s
        assert took_s < RIGHT_S
        assert (hears.newest("porch/available"), hears.newest("porch/hearing")) == ("offline", "OFF")
        second = here.start_daemon()
        second.event("onset", "dog_bark")
        here.until(lambda: hears.newest("test/status") == "online", "it is back")
        here.until(lambda: everything_came(hears, first, second), "all has come")
        here.until(lambda: states_are_right(here, hears), "the states are right")
        causes = [event.get("cause") for event in hears.events() if event["phase"] == "offset"]
        assert causes == ["restart", "restart"]


def test_a_bridge_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed with -9 twenty times at random, while the daemon dies twice: no event is missing, what comes twice bears
    the same id, phase and seq, and the states are right in the end; its will says that it is away."""
    rng = random.Random(4)
    with parts(tmp_path, held=64) as (here, _, hears):
        daemons = [here.here]
        for n in range(20):
            end_s = time.monotonic() + rng.uniform(0.3, 1.5)
            while time.monotonic() < end_s:
                here.here.random_step(rng)
                here.for_s(0.02)
            here.kill()
            for _ in range(10):
                here.here.random_step(rng)
                here.turn()
            if n in (6, 12, 13):
                here.kill_daemon()
                daemons.append(here.start_daemon())
            here.start("mqtt")
        here.until(lambda: hears.newest("test/status") == "offline", "the will is told", 30)
        for label in LABELS:
            for source in ("porch", "hall"):
                if (source, label) in {(event.source, event.label) for event in here.here.journal.open.values()}:
                    here.here.event("offset", label, source)
        last = here.here.event("onset", "rain")
        here.until(lambda: last.id in {event["id"] for event in hears.events()}, "all has come")
        here.until(lambda: states_are_right(here, hears), "the states are right")
        assert_history_came(hears, *daemons)


def test_sources_and_labels_that_go_leave_no_ghosts(tmp_path: Path) -> None:
    """A source that goes while all run, and a label and the node's name that are changed between two runs: what was
    retained is cleared, and Home Assistant is told of a component with a platform alone."""
    with parts(tmp_path) as (here, of, hears):
        config = "homeassistant/device/auricle-test/config"
        here.until(lambda: hears.newest(config), "the device is announced")
        whole = hears.newest(config)["components"]
        del here.here.lanes[1]
        here.until(lambda: hears.newest("hall/available") == "", "it is cleared")
        here.until(lambda: hears.newest(config)["components"] != whole, "announced anew")
        gone = {name: about for name, about in hears.newest(config)["components"].items() if name.startswith("hall.")}
        assert gone == {name: {"platform": whole[name]["platform"]} for name in whole if name.startswith("hall.")}
        assert here.stop() == 0
        here.config.write_text(here.config.read_text().replace('"rain", ', ""))
        here.start("mqtt")
        here.until(lambda: hears.newest("porch/state/rain") == "", "it is cleared")
        here.until(
            lambda: hears.newest(config)["components"].get("porch.sound.rain") == {"platform": "binary_sensor"}, "told"
        )
        ids = {name: about.get("unique_id") for name, about in hears.newest(config)["components"].items()}
        assert ids["porch.sound.siren"] == whole["porch.sound.siren"]["unique_id"], "ids are stable over restarts"
        assert here.stop() == 0
        here.config.write_text(here.config.read_text().replace('"node": "test"', '"node": "other"'))
        here.start("mqtt")
        here.until(lambda: hears.newest(config) == "", "the device is removed")
        here.until(lambda: hears.newest("auricle-other/config"), "and is another")
        assert config in here.log, "which is told"
        with subscriber(of) as late:
            here.until(lambda: late.newest("other/porch/available"), "retained")
            here.until(lambda: late.newest("other/status"), "retained")
            assert not [told.topic for told in late.told if told.topic.startswith("auricle/test/")]


def test_entities_are_called_what_people_say(tmp_path: Path) -> None:
    """A label's entity bears the source's name and what the card of the source's own model calls the label; a label
    that the card has no word for, its slug with blanks. Ids and topics are of the slugs."""
    (tmp_path / "broker").mkdir()
    made_up(tmp_path / "spoken", {"dog_bark": [500.0], "rain": [900.0]}, display={"dog_bark": "Hund bellt 🐕"})
    made_up(tmp_path / "plain", {"dog_bark": [500.0]})
    more = {
        "models_dir": str(tmp_path),
        "model": "plain",
        "sources": [{"name": "porch", "microphone": {}, "model": "spoken"}, {"name": "hall", "microphone": {}}],
    }
    with (
        broker(tmp_path / "broker") as of,
        subscriber(of) as hears,
        house(tmp_path, {"mqtt": {"broker": of.address, "labels": ["dog_bark", "rain"]}}, **more) as here,
    ):
        here.start("mqtt")
        here.until(lambda: hears.newest("/config"), "the device is announced")
        found = hears.newest("/config")["components"]
    names = {name: about["name"] for name, about in found.items() if ".sound." in name}
    assert names == {
        "porch.sound.dog_bark": "porch Hund bellt 🐕",
        "porch.sound.rain": "porch rain",
        "hall.sound.dog_bark": "hall dog bark",
        "hall.sound.rain": "hall rain",
    }
    assert found["porch.sound.dog_bark"]["state_topic"] == "auricle/test/porch/state/dog_bark"


HOSTILE = ["+/#", "😀", "x" * 200, "$SYS", "a/b", "", "Küche", "\u202e", "kuche-a9ec872e", "\x00nul", "é" * 70]


def test_hostile_names_stay_within_their_topics(tmp_path: Path) -> None:
    """Wildcards, slashes, emoji, control characters and 200 letters, as sources: each has topics of its own, which the
    broker takes, and its events arrive."""
    with parts(tmp_path) as (here, _, hears):
        lane = here.here.lanes[0]
        here.here.lanes[:] = [type(lane)(name) for name in HOSTILE]
        for name in HOSTILE:
            here.here.event("onset", "rain", name)
        here.until(lambda: len(hears.events()) == len(HOSTILE), lambda: f"{len(hears.events())} events")
        assert [event["source"] for event in hears.events()] == HOSTILE
        topics = [told.topic for told in hears.of("/event")]
        assert len(set(topics)) == len(HOSTILE)
        assert all(len(topic.split("/")) == 4 and topic.isascii() and len(topic) < 100 for topic in topics)


@pytest.mark.parametrize(
    ("sources", "labels"),
    [(50, 10), (2, 500), pytest.param(50, 500, marks=[pytest.mark.alone, pytest.mark.timeout(900)])],
)
def test_many_sources_and_labels(tmp_path: Path, sources: int, labels: int) -> None:
    """Fifty sources, five hundred labels, or both at once, hostile names among them, all of them wanted: every state is
    told once and announced, and a bark comes through, also of a label of 200 letters that nobody wanted."""
    (tmp_path / "broker").mkdir()
    wanted = [f"label_{n}" for n in range(labels - 1)] + ["rain"]
    names = ["source0", "source1", *HOSTILE, *(f"source{n}" for n in range(2, sources))][:sources]
    with broker(tmp_path / "broker") as of, subscriber(of) as hears:
        bridges = {"mqtt": {"broker": of.address, "labels": wanted}}
        with house(tmp_path, bridges) as here:
            lane = here.here.lanes[0]
            here.here.lanes[:] = [type(lane)(name) for name in names]
            here.start("mqtt")
            here.until(lambda: hears.newest("test/status") == "online", "it is there", 600)
            here.here.event("onset", "rain", names[-1])
            here.here.event("onset", "x" * 200, names[0])
            here.until(lambda: len(hears.events()) == 2, "the events come")
            topic = f"auricle/test/{slug(names[-1])}/state/rain"
            here.until(lambda: hears.newest(topic)["state"] == "ON", "its state is told")
            told = [told.topic for told in hears.told if "/state/" in told.topic and told.topic != topic]
            assert len(told) == len(set(told)) == sources * labels - 1
            announced = hears.newest("/config")["components"]
            assert len([name for name in announced if ".sound." in name]) == sources * labels
            assert here.process is not None
            status = Path(f"/proc/{here.process.pid}/status").read_text()
            peak_kb = int(status.partition("VmHWM:")[2].split()[0])
            unit = (Path(__file__).parents[3] / "systemd" / "auricle-mqtt.service").read_text()
            assert peak_kb < 1024 * int(unit.partition("MemoryMax=")[2].partition("M")[0]), "its unit lets it live"


def test_a_wrong_password_is_said_and_never_shown(tmp_path: Path) -> None:
    """A broker that lets us in no more: one line that says so, tried on; the password is nowhere in it."""
    (tmp_path / "broker").mkdir()
    with broker(tmp_path / "broker", secured=True) as of:
        wanted = keys(of, **secured_keys(of))
        (of.folder / "login").write_text("auricle\nwrong and secret\n")
        with house(tmp_path, wanted) as here:
            here.start("mqtt", LC_ALL="C")
            here.until(lambda: "trying on" in here.notified.get("STATUS", ""), "its supervisor is told")
            assert here.notified["READY"] == "1", "the daemon does not wait for a broker, nor does the machine's start"
            here.for_s(0.5)
            assert here.log.count("trying on") == 1
            assert "wrong and secret" not in here.log
            assert here.stop() == 0


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """The bridge starts before its broker, is ready all the same, and tells everything when there is one."""
    (tmp_path / "broker").mkdir()
    with broker(tmp_path / "broker") as of:
        of.kill()
        with house(tmp_path, keys(of)) as here:
            here.start("mqtt")
            here.until(lambda: here.notified.get("READY"), "it is ready")
            here.here.event("onset")
            of.start()
            with subscriber(of) as hears:
                here.until(lambda: (hears.newest("porch/state/rain") or {}).get("state") == "ON", "the state is told")


def test_without_a_daemon_what_was_retained_is_closed(tmp_path: Path) -> None:
    """A bridge that was killed while a label was on, and starts anew where there is no daemon: the state is closed."""
    with parts(tmp_path) as (here, _, hears):
        here.here.event("onset")
        here.until(lambda: hears.newest("porch/state/rain")["state"] == "ON", "it is on")
        here.kill()
        here.kill_daemon()
        here.start("mqtt")
        here.until(lambda: hears.newest("porch/state/rain") == CLOSED, "it is closed")


def refused(tmp_path: Path, mqtt: dict[str, Any], code: str = "") -> subprocess.CompletedProcess[str]:
    """What the bridge says when it refuses to start."""
    (tmp_path / "auricle.yaml").write_text(json.dumps({"bridges": {"mqtt": {"labels": ["rain"], **mqtt}}}))
    program = f"{code}\nimport sys; sys.argv[0] = 'auricle'\nfrom auricle.start import main\nmain()"
    command = [sys.executable, "-c", program, "bridge", "mqtt", "-c", str(tmp_path / "auricle.yaml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_missing_extra_is_one_line(tmp_path: Path) -> None:
    """Without the packages of the extra: one line with the command that brings them, exit 78."""
    done = refused(tmp_path, {}, "import sys; sys.modules['aiomqtt'] = None")
    assert done.returncode == 78
    command = f"{sys.executable} -m pip install 'auricle[mqtt]'"
    assert done.stderr == f"auricle: error: bridge mqtt: the Python package aiomqtt is missing; {command}\n"


@pytest.mark.parametrize(
    ("mqtt", "said"),
    [
        ({"login": "none"}, "bridges.mqtt.login: {at}/none: No such file or directory; write it, readable for us"),
        ({"login": "one"}, "bridges.mqtt.login: {at}/one: 1 lines; write two, the user and below it the password"),
        ({"login": "credential"}, "bridges.mqtt.login: systemd gave no credentials; start the unit, or name a file"),
        ({"login": "."}, "bridges.mqtt.login: {at}: no plain file; put the file itself there"),
        (
            {"broker": "mqtts://localhost", "ca": "one"},
            "bridges.mqtt.ca: {at}/one: holds no certificates in PEM; name the file of whoever signed for it",
        ),
        (
            {"broker": "mqtts://localhost", "certificate": "one"},
            "bridges.mqtt.certificate: {at}/one: no certificate and the key that belongs to it; both in PEM, the key "
            "unencrypted",
        ),
        (
            {"broker": "mqtts://localhost", "certificate": "one", "certificate_key": "none"},
            "bridges.mqtt.certificate: {at}/one and {at}/none: no certificate and the key that belongs to it; both in "
            "PEM, the key unencrypted",
        ),
    ],
)
def test_secrets_that_cannot_be_read_are_one_line(tmp_path: Path, mqtt: dict[str, str], said: str) -> None:
    """Each file that the configuration names and that does not serve: one line with key, file and remedy, exit 78; what
    is in it is not repeated."""
    (tmp_path / "one").write_text("only a secret line\n")
    done = refused(tmp_path, mqtt, "import os; os.environ.pop('CREDENTIALS_DIRECTORY', None)")
    assert done.returncode == 78
    assert done.stderr == f"auricle: error: {said.format(at=tmp_path)}\n"


def test_a_free_port_is_free() -> None:
    """Two brokers beside each other do not meet."""
    assert free_port() != free_port()
