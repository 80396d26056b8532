"""A real Mosquitto for tests, with TLS, a password and an ACL where they want it, and one who keeps what comes."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
LIMIT_S = 60.0
USER, PASSWORD = "auricle", "a secret: of # ours"

T = TypeVar("T")


def missing() -> bool:
    """Return whether there is no Mosquitto here, or nothing that makes certificates."""
    return not Path(MOSQUITTO).exists() or shutil.which("openssl") is None


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Told(NamedTuple):
    """A message as the subscriber got it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    at_s: float

    @property
    def json(self) -> Any:
        """Return what the payload says."""
        return json.loads(self.payload)


class Broker:
    """Runs Mosquitto on a port of its own, without persistence: what it kept is gone when it is killed.

    Args:
        folder: for its files.
        secured: with TLS and a certificate of the client's, a password, and an ACL: to write below ``auricle/`` and
            ``homeassistant/`` and no more.
    """

    def __init__(self, folder: Path, *, secured: bool = False) -> None:
        self.port = free_port()
        self.secured = secured
        self.folder = folder
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", f"allow_anonymous {str(not secured).lower()}"]
        if secured:
            certificates(folder)
            tool = shutil.which("mosquitto_passwd")
            assert tool is not None, "it comes with mosquitto"
            (folder / "passwords").touch()
            for user, password in ((USER, PASSWORD), ("test", "test")):
                subprocess.run([tool, "-b", folder / "passwords", user, password], check=True, capture_output=True)
            (folder / "acl").write_text(
                f"user {USER}\ntopic write auricle/#\ntopic write homeassistant/#\nuser test\ntopic readwrite #\n"
            )
            lines += [
                f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem", f"keyfile {folder}/server.key",
                "require_certificate true", f"password_file {folder}/passwords", f"acl_file {folder}/acl",
            ]  # fmt: skip
        (folder / "mosquitto.conf").write_text("user root\n" + "\n".join(lines) + "\n")
        self.start()

    @property
    def address(self) -> str:
        """Return what a configuration says of it."""
        return f"{'mqtts' if self.secured else 'mqtt'}://localhost:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", self.folder / "mosquitto.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, "the broker answers")

    def kill(self) -> None:
        """Kill it; what it kept is lost."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it hang, its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> mqtt.Client:
        """Make a client that may do everything, not yet connected."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if self.secured:
            client.username_pw_set("test", "test")
            context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
            context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
            client.tls_set_context(context)
        return client

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the broker has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class Subscriber:
    """Subscribes to everything, and connects again whenever the broker comes back."""

    def __init__(self, broker: Broker) -> None:
        self.told: list[Told] = []
        """All that has come, in its order."""
        self.subscribed = 0
        """How often it has subscribed: once with every start of the broker."""
        self._client = broker.client()
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = self._count
        self._client.on_message = self._take
        self._client.reconnect_delay_set(0.1, 0.2)  # type: ignore[arg-type]
        self._client.connect("localhost", broker.port)
        self._client.loop_start()

    def of(self, ending: str) -> list[Told]:
        """Return what has come on topics that end so."""
        return [told for told in list(self.told) if told.topic.endswith(ending)]

    def newest(self, ending: str) -> Any:
        """Return the newest payload of a topic that ends so, as text or JSON; ``None`` if there is none."""
        found = self.of(ending)
        if not found:
            return None
        text = found[-1].payload.decode()
        return json.loads(text) if text.startswith("{") else text

    def events(self) -> list[Any]:
        """Return every message about an event."""
        return [told.json for told in self.of("/event")]

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _count(self, *_: object) -> None:
        self.subscribed += 1

    def _take(self, client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        self.told.append(Told(message.topic, message.payload, message.qos, message.retain, time.monotonic()))


def wait_for(condition: Callable[[], T], what: str | Callable[[], str], limit_s: float = LIMIT_S) -> T:
    """Return what the condition gives, once that is true."""
    until_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < until_s, f"not within {limit_s:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.01)
    return found


@contextmanager
def broker(folder: Path, **how: Any) -> Iterator[Broker]:
    """Run a broker, whatever becomes of it."""
    one = Broker(folder, **how)
    try:
        yield one
    finally:
        one.kill()


@contextmanager
def subscriber(of: Broker) -> Iterator[Subscriber]:
    """Subscribe to everything that a broker has."""
    one = Subscriber(of)
    try:
        yield one
    finally:
        one.close()


def certificates(folder: Path) -> None:
    """Make an authority, and certificates of a server and of a client that it vouches for."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test authority")
    for name, subject in (("server", "localhost"), ("client", "auricle")):
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{subject}\n")
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "30", "-extfile", f"{name}.ext",
        )  # fmt: skip


def secured_keys(of: Broker) -> Mapping[str, str]:
    """Return the keys of ``bridges.mqtt`` with which a secured broker lets us in; the password lies in a file."""
    for name in ("login", "auricle-mqtt.login"):
        (of.folder / name).write_text(f"{USER}\n{PASSWORD}\n")
    names = {"login": "login", "ca": "ca.pem", "certificate": "client.pem", "certificate_key": "client.key"}
    return {key: str(of.folder / name) for key, name in names.items()}
