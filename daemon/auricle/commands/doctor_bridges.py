"""`auricle doctor` looks here whether the bridges that the configuration speaks of would find whom they are to tell."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping

from auricle.config import Config, served_at
from auricle.connectors.credentials import CREDENTIAL, within_reach
from auricle.connectors.extras import bring
from auricle.errors import AuricleError, ConfigError, ProbeError
from auricle.terminal.finding import Finding

DOCTOR = "doctor"
"""The last part of the topics that are tried, which nobody listens to."""
CREDENTIALS = {
    "mqtt": {"login": "auricle-mqtt.login", "certificate_key": "auricle-mqtt.key"},
    "metrics": {"token": "auricle-metrics.token"},
    "notify": {"targets": "auricle-notify.targets"},
}
"""The credentials of each bridge, by the key that may name them."""


def bridges(cfg: Config) -> Iterator[Finding]:
    """Find whether brokers and targets would take what the bridges have to say; a bridge of which the configuration
    says nothing is passed over."""
    looks: dict[str, Callable[[Config], Iterator[Finding]]] = {"mqtt": _mqtt, "metrics": _metrics, "notify": _notify}
    for name, look in looks.items():
        if all(origin == "default" for key, origin in cfg.origins.items() if key.startswith(f"bridges.{name}.")):
            continue
        what = f"bridge {name}"
        if theirs := _hidden(getattr(cfg.bridges, name), CREDENTIALS[name]):
            found = f"systemd gives {', '.join(theirs)} to its unit, and this user may not read it"
            yield Finding(what, True, f"{found}; sudo auricle doctor, or systemctl status auricle-{name}", note=True)
            continue
        try:
            yield from look(cfg)
        except ProbeError as e:
            yield Finding(what, False, e.found, e.remedy)
        except ConfigError as e:
            for line in e.lines():
                found, _, remedy = line.rpartition("; ")
                yield Finding(what, False, found or line, remedy or "correct the configuration")
        except AuricleError as e:
            found, _, remedy = str(e).partition("; ")
            yield Finding(what, False, found, remedy)


def _hidden(section: object, credentials: Mapping[str, str]) -> list[str]:
    """Return the keys of a section that name a credential which cannot be had here."""
    return [key for key, name in credentials.items() if getattr(section, key) == CREDENTIAL and not within_reach(name)]


def _mqtt(cfg: Config) -> Iterator[Finding]:
    bring("mqtt", "aiomqtt")
    from auricle.commands.bridge import broker_to_tell
    from auricle.connectors.naming import slug
    from auricle.connectors.probe import tell
    from auricle.connectors.topics import Topics

    wanted = cfg.bridges.mqtt
    broker = broker_to_tell(cfg)
    topics = [f"{Topics(wanted.prefix, cfg.node).base}/{DOCTOR}"]
    if wanted.home_assistant is not None:
        topics.append(f"{wanted.home_assistant}/device/auricle-{slug(cfg.node)}/{DOCTOR}")
    try:
        says = tell(broker, f"auricle-{slug(cfg.node)}-{DOCTOR}", topics)
    except ProbeError as e:
        raise ProbeError(f"{broker}: {e.found}", e.remedy) from None
    within = " and ".join(f"{topic.rpartition('/')[0]}/" for topic in topics)
    taken = (
        f"takes messages below {within}" if says else f"lets us in; whether it takes {within} MQTT 3.1.1 does not say"
    )
    yield Finding("bridge mqtt", True, f"{broker}: {taken}", note=not says)
    if broker.tls is None and broker.login is not None and broker.host not in ("127.0.0.1", "::1", "localhost"):
        found = f"the password goes to {broker.host} in the clear; mqtts:// encrypts it"
        yield Finding("bridge mqtt", True, found, note=True)


def _metrics(cfg: Config) -> Iterator[Finding]:
    bring("metrics", "prometheus_client")
    from auricle.connectors import credentials

    wanted = cfg.bridges.metrics
    if wanted.token is not None:
        credentials.read(wanted.token, "auricle-metrics.token", "bridges.metrics.token")
    host, port = served_at(wanted.listen)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as e:
            if not _served(host, port):
                raise ProbeError(f"{wanted.listen}: {e.strerror}", "name another bridges.metrics.listen") from None
            yield Finding("bridge metrics", True, f"{wanted.listen}, where it runs already")
        else:
            yield Finding("bridge metrics", True, f"{wanted.listen} is free")


def _served(host: str, port: int) -> bool:
    """Return whether a bridge of ours answers there."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("HEAD", "/")
        return (connection.getresponse().getheader("Server") or "").strip() == "auricle"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _notify(cfg: Config) -> Iterator[Finding]:
    bring("notify", "apprise")
    from auricle.commands.bridge import rules_to_tell, targets_to_tell
    from auricle.connectors import probe, targets

    places = targets.places(*targets_to_tell(cfg))
    rules_to_tell(cfg, places)
    for name, place in places.items():
        what = f"target {name}"
        if place is None:
            found = "its address holds; auricle bridge notify --test tells whether it is delivered to"
            yield Finding(what, True, found, note=True)
            continue
        host, port = place
        try:
            probe.reach(host, port)
        except ProbeError as e:
            yield Finding(what, False, f"{host}:{port}: {e.found}", e.remedy)
        else:
            yield Finding(what, True, f"its address holds, and {host}:{port} answers")
