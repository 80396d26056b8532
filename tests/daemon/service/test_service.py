"""The service as it is installed, under a real systemd: `make install` with a DESTDIR, and started from there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.commands.synth import scene
from helpers import soundserver, systemd_machine
from helpers.installed_service import BROKEN, PROBE, SUBSCRIBER, UNIT, Service
from helpers.sounds import RATE, varied, write
from helpers.systemd_machine import Machine, wait_for

# An installation, a boot and every start of the daemon are waited for.
pytestmark = [pytest.mark.timeout(300), pytest.mark.alone]

ROOT = Path(__file__).resolve().parents[3]
HOP = RATE * 80 // 1000
UNITS = (
    "auricle.service",
    "auricle@.service",
    *(f"auricle-{name}.service" for name in ("mqtt", "metrics", "notify", "web")),
)
PROGRAM = "/opt/auricle/bin/auricle"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, require: Callable[[bool, str], None]) -> Path:
    """What `make install` makes in a DESTDIR where a configuration is already."""
    lacking = systemd_machine.missing()
    require(lacking is None, str(lacking))
    require(Path("/usr/bin/python3").exists(), "a Python that a service can see, /usr/bin/python3")
    folder = tmp_path_factory.mktemp("install")
    (folder / "etc/auricle").mkdir(parents=True)
    (folder / "etc/auricle/auricle.yaml").write_text("node: kept\n")
    done = subprocess.run(
        ["make", "-C", str(ROOT), "install", f"DESTDIR={folder}", "EXTRAS=mqtt,web"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound to be played over and over."""
    folder = tmp_path_factory.mktemp("sounds")
    samples, _ = scene(["baby_cry"], RATE, sound_s=20.0, pause_s=1.5)
    write(folder / "crying.wav", samples)
    write(folder / "room.wav", np.tile(varied(3.0), 40) * np.float32(0.1))
    (folder / "broken.py").write_text(BROKEN)
    (folder / "probe.py").write_text(PROBE)
    (folder / "subscriber.py").write_text(SUBSCRIBER)
    os.chmod(folder, 0o755)
    return folder


@pytest.fixture(scope="module")
def server_folder() -> Iterator[Path]:
    """A folder for a sound server's sockets, by a short path, that the machine sees as /opt/sound."""
    with tempfile.TemporaryDirectory(prefix="au") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def machine(
    installed: Path, sounds: Path, server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """One machine for all tests, with what was installed where it belongs."""
    binds = [(installed / at[1:], at) for at in ("/opt/auricle", "/usr/local/lib/systemd", "/etc/auricle")]
    binds += [(sounds, "/srv"), (server_folder, "/opt/sound")]
    with Machine(tmp_path_factory.mktemp("systemd"), binds) as booted:
        yield booted


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """The service, stopped, without state."""
    here = Service(machine)
    yield here
    here.close()


def test_install_touches_nothing_else(installed: Path, tmp_path: Path) -> None:
    """The program is in /opt, the units in their place; without a configuration the commented one is laid there; what
    is installed does not know where it was made; uninstall leaves the configuration alone, and what it did not make."""
    found = {str(at.relative_to(installed)) for at in installed.rglob("*") if not at.is_dir()}
    units = {f"usr/local/lib/systemd/system/{name}" for name in UNITS}
    units.add("usr/local/lib/systemd/user/auricle.service")
    assert {at for at in found if not at.startswith("opt/auricle/")} == {*units, "etc/auricle/auricle.yaml"}
    made_at = str(installed).encode()
    scripts = [at for at in (installed / "opt/auricle/bin").iterdir() if at.is_file() and not at.is_symlink()]
    assert not [at.name for at in scripts if made_at in at.read_bytes()]
    subprocess.run(["make", "-C", ROOT, "-s", "install-config", "install-units", f"DESTDIR={tmp_path}"], check=True)
    assert (tmp_path / "etc/auricle/auricle.yaml").read_text() == (ROOT / "config/auricle.yaml").read_text()
    (tmp_path / "opt/auricle").mkdir(parents=True)
    foreign = subprocess.run(["make", "-C", ROOT, "-s", "uninstall", f"DESTDIR={tmp_path}"], capture_output=True)
    assert foreign.returncode != 0, "a folder that is no installation is not removed"
    (tmp_path / "opt/auricle/pyvenv.cfg").write_text("home = /usr/bin\n")
    subprocess.run(["make", "-C", ROOT, "-s", "uninstall", f"DESTDIR={tmp_path}"], check=True, capture_output=True)
    assert [at for at in tmp_path.rglob("*") if at.is_file()] == [tmp_path / "etc/auricle/auricle.yaml"]


def test_the_configuration_was_kept(machine: Machine) -> None:
    """The configuration that lay there before the installation is still the same."""
    assert machine.run("cat", "/etc/auricle/auricle.yaml").stdout == "node: kept\n"


def test_the_units_are_clean_and_closed(machine: Machine) -> None:
    """systemd-analyze finds nothing in any unit, and an exposure of at most 1.5."""
    where = "/usr/local/lib/systemd"
    for unit in UNITS:
        machine.run("systemd-analyze", "verify", "--recursive-errors=yes", f"{where}/system/{unit}")
        machine.run("systemd-analyze", "security", "--offline=true", "--threshold=15", f"{where}/system/{unit}")
    machine.run(
        "env",
        "XDG_RUNTIME_DIR=/run",
        "systemd-analyze",
        "--user",
        "verify",
        "--recursive-errors=yes",
        f"{where}/user/auricle.service",
    )


def test_start_returns_when_it_hears(service: Service) -> None:
    """Once `systemctl start` returns, sound was processed; a subscriber outside receives events; STATUS is a line; the
    user is one of its own; nothing is complained about but what the file sets against the model's card."""
    service.configure({})
    service.start()
    assert service.show("ActiveState") == "active"
    assert re.fullmatch(r"1 source, (no|1) events? in the last hour", service.show("StatusText"))
    service.listen()
    event = wait_for(lambda: next(iter(service.of("event.porch.baby_cry.")), None), 10, "an event is heard")
    assert event["node"] == "machine"
    health = wait_for(lambda: next(iter(service.of("health.")), None), 5, "health is told")
    assert health["sources"]["porch"]["lost_samples"] == 0
    pid = service.show("MainPID")
    uid = int(service.machine.run("stat", "-c", "%u", f"/proc/{pid}").stdout)
    assert 61184 <= uid <= 65519, "systemd's range of dynamic users"
    warned = service.journal("--priority=warning").splitlines()
    assert all("decision.threshold: 0.5 goes before what the card" in line for line in warned), "the file's own choice"
    wait_for(lambda: "1 event in the last hour" in service.show("StatusText"), 5, "STATUS counts the event")


def test_stop_is_clean_and_fast(service: Service) -> None:
    """The open event is closed with cause stop and received, all within 2 s, and systemd calls it a success."""
    service.configure({})
    service.start()
    service.listen()
    wait_for(lambda: service.of("event.porch.baby_cry."), 10, "an event is open")
    service.machine.run("systemctl", "stop", UNIT)
    begin, end = (int(service.show(f"{name}TimestampMonotonic")) for name in ("ActiveExit", "InactiveEnter"))
    assert (end - begin) / 1e6 < 2.0
    assert service.show("Result") == "success"
    wait_for(lambda: service.of("status.porch.")[-1]["state"] == "stopped", 5, "the last word was heard")
    last = service.of("event.porch.baby_cry.")[-1]
    assert (last["phase"], last["cause"]) == ("offset", "stop")


def test_a_reload_changes_the_very_next_decision(service: Service) -> None:
    """`systemctl reload` with a lower threshold: the decision after it raises the event; no sample is lost, no seq is
    missing, the process is the same."""
    quiet = {"hop_ms": 80, "threshold": 1.0, "hysteresis": 0.0, "min_duration_ms": 0, "smoothing_ms": 0}
    service.configure({"decision": quiet})
    service.start()
    service.listen()
    pid = service.show("MainPID")
    wait_for(lambda: len(service.of("score.porch.")) > 30, 10, "scores are heard")
    assert not service.of("event.")
    service.configure({"decision": {**quiet, "threshold": 0.001}})
    service.machine.run("systemctl", "reload", UNIT)
    wait_for(lambda: service.of("event."), 10, "an event is heard")
    wait_for(lambda: len(service.of("score.porch.")) > 60, 10, "more scores are heard")
    order = [m for m in list(service.heard) if m["topic"].startswith(("score.porch.", "event.", "status."))]
    at = next(i for i, m in enumerate(order) if m.get("state") == "reloaded")
    score, onset = order[at + 1], next(m for m in order if m["topic"].startswith("event."))
    before = [m for m in order[:at] if m["topic"] == "score.porch."][-1]
    assert score["topic"] == "score.porch."
    assert score["sample"] == before["sample"] + HOP
    assert (onset["phase"], onset["sample"]) == ("onset", score["sample"])
    samples = [m["sample"] for m in service.of("score.porch.")]
    assert samples == [*range(samples[0], samples[-1] + 1, HOP)]
    seqs = [m["seq"] for m in service.of("score.porch.")]
    assert seqs == [*range(seqs[0], seqs[0] + len(seqs))]
    assert service.show("MainPID") == pid
    assert service.show("ActiveState") == "active"


def test_an_invalid_reload_keeps_the_old(service: Service) -> None:
    """A typo is reported with the message of a start, in the log, the status topic and STATUS; the daemon goes on."""
    service.configure({})
    service.start()
    service.listen()
    wait_for(lambda: service.of("score."), 10, "scores are heard")
    pid = service.show("MainPID")
    service.configure({"gate": {"sensitivity": "high"}})
    problem = service.machine.run(
        "/opt/auricle/bin/auricle", "config", "check", "-c", "/etc/auricle/auricle.yaml", check=False
    ).stderr.removeprefix("auricle: error: ")
    assert "gate.sensitivity: 'high' is not a number" in problem
    service.machine.run("systemctl", "reload", UNIT)
    told = wait_for(lambda: [m for m in service.of("status.") if m["source"] is None], 5, "the refusal is told")
    assert (told[0]["state"], told[0]["detail"]) == ("reload_refused", problem.strip())
    wait_for(lambda: problem.strip() in service.show("StatusText"), 5, "STATUS names the problem")
    assert f"not reloaded: {problem.strip()}" in service.journal("--priority=err")
    heard = len(service.of("score."))
    wait_for(lambda: len(service.of("score.")) > heard + 10, 5, "the daemon goes on")
    assert service.show("MainPID") == pid
    service.configure({})
    service.machine.run("systemctl", "reload", UNIT)
    wait_for(lambda: "refused" not in service.show("StatusText"), 5, "STATUS forgets a problem that is mended")


def test_a_typo_fails_once(service: Service) -> None:
    """A start with a typo exits 78, says where and why, and is not tried again."""
    service.configure({"gate": {"sensitivty": 2}})
    assert service.start(check=False).returncode != 0
    assert service.show("ExecMainStatus") == "78"
    assert service.show("ActiveState") == "failed"
    assert service.show("NRestarts") == "0"
    assert "unknown key 'sensitivty'; did you mean 'sensitivity'?" in service.journal()


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_the_watchdog_ends_what_does_not_hear(service: Service, fault: str) -> None:
    """A pipeline that hangs, and a source that stalls undeclared while another goes on: killed and started anew."""
    crying = {"path": "/srv/crying.wav", "speed": 1, "loop": True}
    service.configure({"sources": [{"name": name, "recording": crying} for name in ("porch", "garden")]})
    service.dropin(
        "ExecStart=", "ExecStart=/opt/auricle/bin/python -I /srv/broken.py run", "WatchdogSec=2", "LimitCORE=0"
    )
    service.start()
    pid = service.show("MainPID")
    # The folder goes with the process, and with it the fault.
    service.machine.run("touch", f"/run/auricle/{fault}")
    if fault == "stall":
        wait_for(lambda: "garden not heard for" in service.show("StatusText"), 10, "STATUS names the source")
    wait_for(lambda: service.show("NRestarts") == "1", 20, "the watchdog ends it")
    assert "Watchdog timeout" in service.journal()
    wait_for(lambda: service.show("ActiveState") == "active", 20, "it hears again")
    assert service.show("MainPID") != pid


def test_a_declared_loss_is_no_fault(service: Service) -> None:
    """A microphone that is missing does not fail the start, is named in STATUS, and does not trip the watchdog."""
    crying = {"name": "porch", "recording": {"path": "/srv/crying.wav", "speed": 1, "loop": True}}
    service.configure({"sources": [crying, {"name": "desk", "microphone": {"device": "not there"}}]})
    service.dropin("WatchdogSec=2")
    service.start()
    wait_for(lambda: "desk lost for 5 s" in service.show("StatusText"), 15, "STATUS counts the seconds of the loss")
    assert service.show("NRestarts") == "0"
    assert service.show("ActiveState") == "active"
    lines = [line for line in service.journal().splitlines() if "desk" in line]
    assert len(lines) <= 3, "a loss is told once, not at every retry"


def test_what_was_learned_outlives_a_kill(service: Service) -> None:
    """SIGKILL in the middle of an event: it starts again by itself, knows the noise at once, and closes the event."""
    crying = {"name": "porch", "recording": {"path": "/srv/crying.wav", "speed": 1, "loop": True}}
    gate = {"enabled": "on", "start_up_s": 1.0, "reduction": 0.0}
    service.configure({"gate": gate, "sources": [crying]})
    service.start()
    service.listen()
    onset = wait_for(lambda: next(iter(service.of("event.porch.baby_cry.")), None), 15, "an event is open")
    kept = "/var/lib/private/auricle/noise"
    wait_for(lambda: service.machine.run("ls", kept, check=False).stdout, 10, "the noise is kept")
    service.machine.run("systemctl", "kill", "--signal=KILL", UNIT)
    wait_for(lambda: service.show("NRestarts") == "1", 10, "it is started again")

    def closed_anew() -> list[dict[str, Any]]:
        """The history: a subscriber may well be late for what is published at the very start."""
        told = service.machine.run("/opt/auricle/bin/auricle", "events", "--json", check=False).stdout
        events = [json.loads(line) for line in told.splitlines()]
        return [event for event in events if event["id"] == onset["id"] and event["phase"] == "offset"]

    closed = wait_for(closed_anew, 15, "the stale event is closed")
    assert (closed[0]["cause"], closed[0]["estimated"]) == ("restart", True)
    assert closed[0]["instance"] != onset["instance"]
    assert "porch: the noise learned before is back" in service.journal()
    fresh = wait_for(
        lambda: [m for m in service.of("health.") if m["instance"] != onset["instance"]], 5, "health is told"
    )
    assert fresh[0]["sources"]["porch"]["gate"].startswith("on")


def test_the_installed_service_remembers_its_room(service: Service) -> None:
    """Where `room.keep_h` allows it the service keeps what the network made of its room, for its own user alone, and
    deletes it when that is allowed no more."""
    machine = service.machine
    service.configure({"room": {"keep_h": 1}})
    service.start()
    service.listen()
    wait_for(lambda: len(service.of("score.")) > 20, 60, "it hears")
    machine.run("systemctl", "stop", UNIT)
    found = machine.run("find", "/var/lib/private/auricle/room", "-name", "porch-*.npz", "-perm", "600")
    (kept,) = found.stdout.split()
    assert int(machine.run("stat", "-c", "%s", kept).stdout) > 400
    service.configure({})
    service.start()
    assert machine.run("test", "-e", kept, check=False).returncode == 1


def test_the_sandbox_denies(service: Service) -> None:
    """In the very sandbox of the unit: no writing but to its own folders, no home, no other socket families, no code
    made at run time, no namespaces, no other processes; what it needs works."""
    unit = service.machine.run("cat", f"/usr/local/lib/systemd/system/{UNIT}").stdout
    unit = re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/opt/auricle/bin/python -I /srv/probe.py", unit)
    unit = re.sub(r"(?m)^(Type|NotifyAccess|WatchdogSec|ExecReload|Restart)=.*\n", "", unit)
    service.machine.run("sh", "-c", "mkdir -p /home/someone && mkdir -p /root && chmod 755 /root")
    service.machine.write(
        "/etc/systemd/system/auricle-probe.service", unit.replace("[Service]", "[Service]\nType=oneshot")
    )
    service.machine.run("systemctl", "daemon-reload")
    service.machine.run("systemctl", "start", "auricle-probe.service")
    lines = service.machine.journal("auricle-probe.service", "--output=cat").splitlines()
    found = json.loads(next(line for line in lines if line.startswith("{")))
    allowed = {name for name, result in found.items() if result == "allowed"}
    assert allowed == {"state", "runtime", "tcp", "local", "netlink", "null"}, found
    assert found["processes"] == []
    assert found["usr"] == found["opt"] == "Read-only file system"
    for family in ("packet", "bluetooth"):
        assert found[family] == "Address family not supported by protocol"


CROWD = """
import signal, socket
held = []
for port in (5557, 5558):
    for _ in range(600):
        try:
            held.append(socket.create_connection(("127.0.0.1", port), timeout=0.5))
        except OSError:
            pass
print(len(held), flush=True)
signal.pause()
"""


def test_the_limits_of_the_unit_are_in_force(service: Service) -> None:
    """The daemon has the descriptors that the unit says, and uses no more of them in a crowd of 1,200 connections than
    its bounds; memory is bounded where the machine can bound it; nothing restarts it."""
    service.configure({})
    service.start()
    pid = service.show("MainPID")
    limits = service.machine.run("cat", f"/proc/{pid}/limits").stdout
    assert re.search(r"Max open files +4096 +4096 ", limits), limits
    assert service.show("MemoryMax") == str(768 * 2**20)
    controllers = service.machine.run("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    if "memory" in controllers:
        at = f"/sys/fs/cgroup{service.show('ControlGroup')}/memory.max"
        assert service.machine.run("cat", at).stdout.strip() == str(768 * 2**20)
    service.listen()
    crowd = service.machine.start("/opt/auricle/bin/python", "-I", "-c", CROWD)
    try:
        assert crowd.stdout is not None
        assert int(crowd.stdout.readline()) > 464
        heard = len(service.of("score."))
        wait_for(lambda: len(service.of("score.")) > heard + 10, 60, "it hears in the crowd")
        wait_for(lambda: "more than 64 connections at a time" in service.journal(), 60, "the crowd is told")
        assert len(service.machine.run("ls", f"/proc/{pid}/fd").stdout.split()) < 1200
    finally:
        service.machine.end(crowd)
        if crowd.stdout is not None:
            crowd.stdout.close()
    assert service.show("MainPID") == pid
    assert service.show("NRestarts") == "0"


def test_a_microphone_is_heard_in_the_sandbox(
    service: Service, sounds: Path, server_folder: Path, require: Callable[[bool, str], None]
) -> None:
    """With the whole sandbox in force a capture hears a sound server, and what is played there becomes an event."""
    require(not soundserver.missing(), soundserver.missing())
    server = soundserver.SoundServer(server_folder)
    try:
        server.start()
        for at in (server_folder, server_folder / "pulse", server_folder / "pipewire-0"):
            at.chmod(0o777)
        service.configure({"sources": [{"name": "desk", "microphone": {"device": "pipewire"}}]})
        service.dropin("Environment=PIPEWIRE_RUNTIME_DIR=/opt/sound PULSE_SERVER=unix:/opt/sound/pulse/native")
        service.start()
        assert service.machine.show(UNIT, "MemoryDenyWriteExecute")["MemoryDenyWriteExecute"] == "yes"
        service.listen()
        server.play(sounds / "crying.wav")
        wait_for(lambda: service.of("event.desk.baby_cry."), 15, "the crying that is played is heard")
        assert "lost" not in {message["state"] for message in service.of("status.desk.")}
    finally:
        server.kill()


def test_the_journal_is_well_kept(service: Service) -> None:
    """Priorities are systemd's, there is no time of our own; with log.format json the message is JSON; SIGUSR1 dumps
    the stacks of all threads and harms nothing."""
    service.configure({"gate": {"enabled": "on"}, "log": {"format": "json"}})
    service.start()
    entries = [json.loads(line) for line in service.journal("--output=json").splitlines()]
    ours = {json.loads(e["MESSAGE"])["message"]: e for e in entries if e["MESSAGE"].startswith("{")}
    started = next(entry for message, entry in ours.items() if message.startswith("publishing on"))
    assert started["PRIORITY"] == "6"
    assert "t" not in json.loads(started["MESSAGE"])
    pid = service.show("MainPID")
    service.machine.run("systemctl", "kill", "--signal=USR1", "--kill-whom=main", UNIT)
    wait_for(lambda: 'engine.py", line' in service.journal(), 5, "the stacks are in the journal")
    assert "most recent call first" in service.journal()
    assert service.show("MainPID") == pid


def test_an_instance_has_its_own_configuration(service: Service) -> None:
    """auricle@NAME runs with /etc/auricle/NAME.yaml beside the other, with a state of its own."""
    crying = {"name": "night", "recording": {"path": "/srv/crying.wav", "speed": 1, "loop": True}}
    publish = {"endpoint": "ipc:///run/auricle-night/events", "query": "ipc:///run/auricle-night/query"}
    service.machine.write("/etc/auricle/night.yaml", json.dumps({"sources": [crying], "publish": publish}))
    service.configure({})
    service.start()
    service.machine.run("systemctl", "start", "auricle@night.service")
    shown = service.machine.show("auricle@night.service", "ActiveState", "StatusText")
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"].startswith("1 source")
    service.machine.run("test", "-d", "/var/lib/private/auricle-night")
    service.machine.run("systemctl", "stop", "auricle@night.service")


def test_a_credential_that_is_not_there(service: Service) -> None:
    """Without /etc/credstore/auricle.key the unit starts as ever; `secret_key: credential` then is a line, and 78."""
    service.configure({"publish": {"secret_key": "credential"}})
    assert service.start(check=False).returncode != 0
    assert "systemd has given no credential auricle.key; put the pair into /etc/credstore" in service.journal()
    assert service.show("ExecMainStatus") == "78"


def test_keys_by_a_credential(service: Service) -> None:
    """With a pair in /etc/credstore, for root alone, the installed service wants keys, and reads the list anew."""
    run = service.machine.run
    try:
        run("mkdir", "-p", "-m", "700", "/etc/credstore")
        daemon = run(PROGRAM, "keys", "new", "/etc/credstore/auricle.key").stdout.strip()
        probe = (
            "-p",
            "DynamicUser=yes",
            "-p",
            "LoadCredential=auricle.key",
            "sh",
            "-c",
            "cat $CREDENTIALS_DIRECTORY/*",
        )
        if run("systemd-run", "--wait", "--pipe", *probe, check=False).returncode:
            pytest.skip("systemd cannot give a credential to a dynamic user here: files in memory have no access lists")
        client = run(PROGRAM, "keys", "new", "/root/client.key", "--daemon", daemon).stdout.strip()
        run(PROGRAM, "keys", "allow", "root", client)
        service.configure({"publish": {"secret_key": "credential"}})
        service.start()
        assert run(PROGRAM, "status", "--key", "/root/client.key").returncode == 0
        assert run(PROGRAM, "status", check=False).returncode == 69
        run(PROGRAM, "keys", "revoke", "root")
        run("systemctl", "reload", UNIT)
        wait_for(lambda: "allowed no more: root" in service.journal(), 5, "the list was read")
        assert run(PROGRAM, "status", "--key", "/root/client.key", check=False).returncode == 69
    finally:
        run("rm", "-rf", "/etc/credstore", "/root/client.key", "/etc/auricle/allowed.keys")


HEAR_ONE = "import sys, paho.mqtt.subscribe as s; print(s.simple(sys.argv[1]).payload.decode(), flush=True)"
"""Prints the first message of a topic of MQTT, in the environment that was installed."""


def test_a_bridge_runs_as_a_unit(service: Service, require: Callable[[bool, str], None]) -> None:
    """`make install EXTRAS=mqtt` and a login are all that auricle-mqtt.service needs, in its
    sandbox; it comes back when it is killed and when it hangs, and the password is nowhere in the journal."""
    require(Path("/usr/sbin/mosquitto").exists(), "mosquitto")
    machine, unit = service.machine, "auricle-mqtt.service"

    def told(topic: str) -> str:
        return machine.run("/opt/auricle/bin/python", "-c", HEAR_ONE, topic).stdout.strip()

    def restarted(n: int) -> bool:
        about = {name: machine.show(unit, name)[name] for name in ("NRestarts", "StatusText", "ActiveState")}
        return about == {"NRestarts": str(n), "StatusText": "mqtt://127.0.0.1:1883: connected", "ActiveState": "active"}

    machine.write("/etc/auricle/mqtt.login", "auricle\na password\n")
    dropin = f"/etc/systemd/system/{unit}.d/test.conf"
    machine.write(dropin, "[Service]\nWatchdogSec=3\n")
    machine.run("systemctl", "daemon-reload")
    service.configure({"bridges": {"mqtt": {"labels": ["baby_cry"], "login": "mqtt.login"}}})
    broker = machine.start("/usr/sbin/mosquitto", "-p", "1883")
    try:
        service.start()
        started = machine.run("systemctl", "start", unit, check=False)
        assert started.returncode == 0, machine.journal(unit)
        wait_for(lambda: restarted(0), 60, "it is connected")
        assert told("auricle/machine/status") == "online"
        event = json.loads(told("auricle/machine/porch/event"))
        assert (event["label"], event["source"]) == ("baby_cry", "porch")
        machine.run("systemctl", "kill", "--signal=KILL", unit)
        wait_for(lambda: restarted(1), 60, "it comes back when it was killed")
        machine.run("systemctl", "kill", "--signal=STOP", unit)
        wait_for(lambda: restarted(2), 60, "it comes back when it hung")
        assert "a password" not in machine.journal(unit)
        machine.run("systemctl", "stop", unit)
        assert told("auricle/machine/status") == "offline"
    finally:
        machine.run("systemctl", "stop", unit, check=False)
        machine.run("rm", "-f", dropin, "/etc/auricle/mqtt.login")
        machine.run("systemctl", "daemon-reload")
        machine.end(broker)
        assert broker.stdout is not None
        broker.stdout.close()


FETCH = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer the token"})
print(len(urllib.request.urlopen(request, timeout=30).read()), flush=True)
"""
"""Prints how long an answer of the page is, in the environment that was installed."""


def test_the_installed_page_plays_clips(service: Service) -> None:
    """With the lines that docs/page.md gives for it the page, who is the daemon's user then, plays a clip of the
    installed service; of its state it can write nothing."""
    machine, unit = service.machine, "auricle-web.service"
    text = (ROOT / "docs" / "page.md").read_text()
    (lines,) = re.findall(r"```ini\n(\[Service\]\n.*?)```", text, re.DOTALL)
    dropin = f"/etc/systemd/system/{unit}.d/test.conf"
    machine.write("/etc/auricle/web.token", "the token\n")
    machine.write(dropin, lines)
    machine.run("systemctl", "daemon-reload")
    service.configure({"clips": {"enabled": True, "max_s": 5}, "web": {"token": "web.token"}})
    try:
        service.start()
        service.listen()
        assert machine.run("systemctl", "start", unit, check=False).returncode == 0, machine.journal(unit)
        wait_for(lambda: any(told["path"] for told in service.of("clip.")), 90, "a clip is kept")
        (path, *_) = [told["path"] for told in service.of("clip.") if told["path"]]
        assert path.startswith("/var/lib/auricle/clips/porch/")
        address = f"http://127.0.0.1:5580/api/clip/porch/{Path(path).name}"
        done = machine.run("/opt/auricle/bin/python", "-c", FETCH, address, check=False)
        assert done.returncode == 0, machine.journal(unit)
        assert int(done.stdout) == int(machine.run("stat", "-L", "-c", "%s", path).stdout)
        pid = machine.show(unit, "MainPID")["MainPID"]
        uid = machine.run("stat", "-c", "%u", f"/proc/{pid}").stdout.strip()
        write = ["nsenter", "-t", pid, "-m", "setpriv", "--reuid", uid, "--clear-groups", "touch"]
        assert machine.run(*write, "/tmp/of-its-own", check=False).returncode == 0
        assert "Read-only" in machine.run(*write, "/var/lib/auricle/events.db", check=False).stderr
    finally:
        machine.run("systemctl", "stop", unit, check=False)
        machine.run("rm", "-f", dropin, "/etc/auricle/web.token")
        machine.run("systemctl", "daemon-reload")
