"""`auricle bridge` hands what the daemon says on to other programs, each bridge a process of its own.

The configuration is read here, and the secrets that it names; a connector is given plain values.
"""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.config import Config, Decision, broker_of, listed, served_at
from auricle.connectors import credentials
from auricle.connectors.extras import bring
from auricle.errors import EXIT_SKIPPED, AudioError, ConfigError, ModelError
from auricle.terminal import options
from auricle.terminal.help import PLAIN
from auricle.terminal.options import ConfigFile
from auricle.terminal.text import say

if TYPE_CHECKING:
    from auricle.client import Clip
    from auricle.connectors.mqtt import Broker
    from auricle.connectors.notices import Hours, Rule

log = logging.getLogger("auricle")

app = typer.Typer(help="Hand events on to other programs.", no_args_is_help=True, **PLAIN)

_CARD = """
import json, sys
from pathlib import Path
from auricle.errors import AuricleError
from auricle.model import bundle
model, models_dir = json.loads(sys.argv[1])
try:
    card = bundle.card_of(model, models_dir and Path(models_dir))
    print(json.dumps([list(card.thresholds), card.display]))
except AuricleError as error:
    sys.exit(str(error))
"""
"""Reads what a card says of labels: in a child, since numpy would stay in our memory for good."""


@app.callback()
def _group() -> None:
    """Hand events on to other programs, each by a process of its own."""


@app.command()
def mqtt(config: ConfigFile = None) -> None:
    """Tell an MQTT broker, and Home Assistant through it, until it is stopped."""
    bring("mqtt", "aiomqtt")
    from auricle.connectors.mqtt import run
    from auricle.connectors.session import Settings
    from auricle.service import logs
    from auricle.service.folder import state_dir
    from auricle.service.notify import Notifier

    cfg = options.load(config)
    logs.set_up(cfg.log)
    wanted = cfg.bridges.mqtt
    broker = broker_to_tell(cfg)
    labels = {source.name: wanted.labels or labels_of(cfg, source.decision, source.model) for source in cfg.sources}
    display = {source.name: _display(source.model, cfg.models_dir) for source in cfg.sources}
    settings = Settings(
        endpoint=cfg.publish.endpoint,
        key=cfg.publish.client_key,
        node=cfg.node,
        prefix=wanted.prefix,
        discovery=wanted.home_assistant,
        labels=labels,
        other_labels=wanted.labels or labels_of(cfg, cfg.decision, cfg.model),
        display=display,
        other_display=_display(cfg.model, cfg.models_dir),
        level_s=wanted.level_interval_s,
        health_s=wanted.health_interval_s,
        scores_s=wanted.scores_interval_s,
        folder=state_dir(),
    )
    run(broker, settings, Notifier())


@app.command()
def metrics(config: ConfigFile = None) -> None:
    """Serve figures for Prometheus, until it is stopped."""
    bring("metrics", "prometheus_client")
    from auricle.connectors.metrics import Settings, run
    from auricle.service import logs
    from auricle.service.notify import Notifier

    cfg = options.load(config)
    logs.set_up(cfg.log)
    wanted = cfg.bridges.metrics
    host, port = served_at(wanted.listen)
    token = wanted.token and credentials.read(wanted.token, "auricle-metrics.token", "bridges.metrics.token")
    run(Settings(cfg.publish.endpoint, cfg.publish.client_key, host, port, token or None), Notifier())


@app.command()
def notify(
    config: ConfigFile = None,
    test: Annotated[bool, typer.Option("--test", help="Send each target a message, and say whether it came.")] = False,
) -> int:
    """Tell people of events by rules, until it is stopped; return the exit code."""
    bring("notify", "apprise")
    from auricle.connectors import targets
    from auricle.connectors.notify import Settings, run
    from auricle.service import logs
    from auricle.service.notify import Notifier

    cfg = options.load(config)
    logs.set_up(cfg.log)
    services = targets.read(*targets_to_tell(cfg))
    if test:
        came = targets.test(services, f"Auricle, {cfg.node}")
        for name, well in came.items():
            say(f"{name}: {'delivered' if well else 'NOT delivered'}")
        return 0 if all(came.values()) else EXIT_SKIPPED
    rules = rules_to_tell(cfg, services)
    quiet = _hours(cfg.bridges.notify.quiet_hours)
    run(Settings(cfg.publish.endpoint, cfg.publish.client_key, cfg.node, rules, quiet), services, picture, Notifier())
    return 0


def picture(clip: Clip) -> bytes:
    """Draw the sound of a clip as PNG.

    Raises:
        AudioError: its file is not (any more) what the clip says, or may not be read.
    """
    # Here alone, since numpy stays in memory for good.
    from auricle.clips.beside import beside
    from auricle.clips.reading import clip_of

    path = clip.path or ""
    try:
        if clip_of(path).id != clip.id:
            raise AudioError("it is of another event")
        return beside(clip, Path(path).read_bytes(), ["png"])["png"]
    except OSError as e:
        raise AudioError(
            f"{path}: {e.strerror}; clips are for the daemon's user alone (docs/notifications.md)"
        ) from None


def broker_to_tell(cfg: Config) -> Broker:
    """Return the broker of the configuration, with the secrets that it names.

    Raises:
        ConfigError: a secret, a certificate or a key cannot be read.
    """
    from auricle.connectors.mqtt import Broker

    wanted = cfg.bridges.mqtt
    _, host, port = broker_of(wanted.broker)
    login = wanted.login and credentials.login(wanted.login, "auricle-mqtt.login", "bridges.mqtt.login")
    return Broker(host, port, _tls(cfg), login or None)


def targets_to_tell(cfg: Config) -> tuple[str, str]:
    """Return the list of targets that the configuration names, and key and file for errors.

    Raises:
        ConfigError: it names none, or it cannot be read.
    """
    given, at = cfg.bridges.notify.targets, "bridges.notify.targets"
    if given is None:
        raise ConfigError([f"{at}: nobody is to be told; name a file with a name and an address in each line"])
    return credentials.read(given, "auricle-notify.targets", at), f"{at}: {given}"


def rules_to_tell(cfg: Config, known: Collection[str]) -> list[Rule]:
    """Return the rules by which people are told.

    Raises:
        ConfigError: there are none, or one names a target that there is not.
    """
    rules = [_rule(cfg, i, known) for i in range(len(cfg.bridges.notify.rules))]
    if not rules:
        raise ConfigError(["bridges.notify.rules: there are none, so that nobody would be told anything; write one"])
    return rules


def _rule(cfg: Config, i: int, known: Collection[str]) -> Rule:
    """Make a rule of a section.

    Raises:
        ConfigError: it names a target that there is not, or wants pictures where there are none.
    """
    from auricle.connectors.notices import Rule

    wanted = cfg.bridges.notify.rules[i]
    if wanted.picture:
        at = f"bridges.notify.rules[{i}].picture"
        if not cfg.clips.enabled:
            raise ConfigError([f"{cfg.origins[at]}: {at}: there is no sound to draw; set clips.enabled"])
        if wanted.digest_s:
            raise ConfigError([f"{cfg.origins[at]}: {at}: a digest has none; leave out picture or digest_s"])
    for name in wanted.to or ():
        if name not in known:
            at = f"bridges.notify.rules[{i}].to"
            raise ConfigError([f"{cfg.origins[at]}: {at}: {name!r} is no target; use {listed(sorted(known))}"])
    return Rule(
        name=wanted.name,
        labels=None if wanted.labels is None else frozenset(wanted.labels),
        sources=None if wanted.sources is None else frozenset(wanted.sources),
        least_peak=wanted.least_peak,
        least_duration_s=wanted.least_duration_s,
        hours=_hours(wanted.hours),
        not_while=frozenset(wanted.not_while),
        cooldown_s=wanted.cooldown_s,
        digest_s=wanted.digest_s,
        urgent=wanted.urgent,
        picture=wanted.picture,
        to=wanted.to,
    )


def _hours(given: tuple[str, str] | None) -> Hours | None:
    from auricle.connectors.notices import Hours

    return None if given is None else Hours(*(time.fromisoformat(each) for each in given))


def labels_of(cfg: Config, decision: Decision, model: str) -> Sequence[str]:
    """Return the labels that somebody wrote a rule for: in the configuration, else in the model's card.

    Raises:
        ConfigError: the card cannot be read.
    """
    named = dict.fromkeys([*(decision.only or ()), *decision.labels])
    found = list(named)
    if not found:
        try:
            found, _ = _of_card(model, cfg.models_dir)
        except ModelError as e:
            raise ModelError(f"{e}; or name the labels in bridges.mqtt.labels") from None
    return [label for label in found if label not in decision.except_]


@cache
def _display(model: str, models_dir: Path | None) -> Mapping[str, str]:
    """Return what people call the labels of a model; none where its card cannot be read, which is told."""
    try:
        return _of_card(model, models_dir)[1]
    except ModelError as e:
        log.info("labels are called by their slugs: %s", e)
        return {}


@cache
def _of_card(model: str, models_dir: Path | None) -> tuple[list[str], dict[str, str]]:
    """Read the labels that a card has thresholds for, and what people call its labels.

    Raises:
        ModelError: the card cannot be read.
    """
    asked = json.dumps([model, models_dir and str(models_dir)])
    child = [sys.executable, "-c", _CARD, asked]
    done = subprocess.run(child, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise ModelError(done.stderr.strip())
    thresholds, display = json.loads(done.stdout)
    return thresholds, display


def _tls(cfg: Config) -> ssl.SSLContext | None:
    """Make what a TLS connection to the broker trusts and shows.

    Raises:
        ConfigError: certificates or keys cannot be read.
    """
    wanted = cfg.bridges.mqtt
    if not broker_of(wanted.broker)[0]:
        return None
    try:
        context = ssl.create_default_context(cafile=wanted.ca)
    except OSError as e:
        why = _why(e, "holds no certificates in PEM")
        raise ConfigError([f"bridges.mqtt.ca: {wanted.ca}: {why}; name the file of whoever signed for it"]) from None
    if wanted.certificate is not None:
        key = wanted.certificate_key
        at = key and credentials.place(key, "auricle-mqtt.key", "bridges.mqtt.certificate_key")
        try:
            # A key with a passphrase would be asked for at a terminal that a service has not.
            context.load_cert_chain(wanted.certificate, at, password=lambda: "")
        except OSError as e:
            why = _why(e, "no certificate and the key that belongs to it")
            where = f"{wanted.certificate}{f' and {at}' if at else ''}"
            raise ConfigError([f"bridges.mqtt.certificate: {where}: {why}; both in PEM, the key unencrypted"]) from None
    return context


def _why(error: OSError, otherwise: str) -> str:
    """Say why a file of certificates is refused; OpenSSL's own words are for those who know it."""
    return otherwise if isinstance(error, ssl.SSLError) or not error.strerror else error.strerror
