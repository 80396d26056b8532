"""Whatever a start, a reload and ``auricle config check`` refuse alike is found here, before anything is opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from auricle import config
from auricle.capture import folders
from auricle.config.read import check_labels
from auricle.errors import AuricleError, ConfigError, ModelError
from auricle.hearing import pipeline, precedence
from auricle.messages.keys import read_allowed
from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.publish import endpoint
from auricle.service.keys import own_pair
from auricle.service.permits import own_token
from auricle.service.trial import Trying


def load_models(cfg: config.Config, first: Callable[[Bundle], None] | None = None) -> dict[str, Bundle]:
    """Open every model in use, by what the configuration calls it; checked, and checked against the rules for its
    labels.

    Args:
        cfg: names them.
        first: called with each model before that is run, as of `auricle.model.bundle.load`.

    Raises:
        ConfigError, ModelError: one does not hold.
    """
    models: dict[str, Bundle] = {}
    for i, source in enumerate(cfg.sources):
        if source.model not in models:
            try:
                models[source.model] = bundle.load(source.model, cfg.models_dir, first=first)
            except Trying:
                raise
            except ModelError as e:
                raise ModelError(*(precedence.placed(cfg, i, "model", line) for line in e.lines())) from None
    check_labels(cfg, {name: model.labels for name, model in models.items()})
    precedence.check_all(cfg, {name: model.card for name, model in models.items()})
    check_gates(cfg, models)
    return models


def check_gates(cfg: config.Config, models: Mapping[str, Bundle]) -> None:
    """Refuse what the configuration says of the gate where it cannot be, such as a profile that is not there.

    Raises:
        ConfigError: every such source, with the place where the profile is written.
    """
    problems: dict[str, None] = {}
    well: list[tuple[str, config.Gate]] = []
    for i, source in enumerate(cfg.sources):
        if (source.model, source.gate) in well:
            continue  # of two hundred sources most have the same gate, and a start should not build it for each
        try:
            pipeline.front_end_of(models[source.model], source.gate)
            well.append((source.model, source.gate))
        except ConfigError as e:
            key = "gate" if source.gate.noise_profile is None else "gate.noise_profile"
            problems |= dict.fromkeys(precedence.placed(cfg, i, key, line) for line in e.lines())
    if problems:
        raise ConfigError(problems)


def check_sockets(cfg: config.Config, *, started: bool = True) -> None:
    """Refuse endpoints that could never be bound, and keys that cannot be read.

    Whether an address is free, or there, is no fault of the configuration: a start waits for that.

    Args:
        cfg: the configuration.
        started: whether this is the daemon itself; systemd gives a credential to nobody else.

    Raises:
        ConfigError: every such value, with the place where it is written.
        KeysError: the list of those who may connect is none.
    """
    publish = cfg.publish
    checks: list[tuple[str, Callable[[], object]]] = [
        ("publish.endpoint", partial(endpoint.check, publish.endpoint)),
        ("publish.query", partial(endpoint.check, publish.query, key="publish.query")),
    ]
    if publish.ipc_group is not None:
        checks.append(("publish.ipc_group", partial(endpoint.check_group, publish.ipc_group)))
    if publish.secret_key is not None and (started or isinstance(publish.secret_key, Path)):
        checks.append(("publish.secret_key", partial(own_pair, publish)))
    if publish.token is not None and (started or isinstance(publish.token, Path)):
        checks.append(("publish.token", partial(own_token, publish)))
    problems: list[str] = []
    for key, check in checks:
        try:
            check()
        except AuricleError as e:
            problems += [_placed(cfg, key, line.removeprefix(f"{key}: ")) for line in e.lines()]
    if problems:
        raise ConfigError(problems)
    if publish.secret_key is not None:
        read_allowed(publish.allowed_keys)


def doubts(cfg: config.Config) -> Iterator[str]:
    """Yield what a start does not refuse, but goes without: each a line with its place."""
    for i, source in enumerate(cfg.sources):
        if source.recording is not None:
            # A folder is not searched: it may be an archive.
            found, faults = folders.find([path for path in source.recording.path if not os.path.isdir(path)])
            faults += [f"{folders.shown(path)}: there is no such file" for path in found if not os.path.exists(path)]
            yield from (precedence.placed(cfg, i, "recording.path", fault) for fault in faults)
        if source.ffmpeg is not None and shutil.which("ffmpeg") is None:
            yield precedence.placed(cfg, i, "ffmpeg.url", "ffmpeg is not installed; on Debian: apt-get install ffmpeg")
    if cfg.publish.secret_key is not None and not isinstance(cfg.publish.secret_key, Path):
        yield _placed(cfg, "publish.secret_key", "whether systemd gives the credential is seen by a start alone")


def _placed(cfg: config.Config, key: str, what: str) -> str:
    """Name the place of a key at the top."""
    place = cfg.origins.get(key, "default")
    return f"{key}: {what}" if place == "default" else f"{place}: {key}: {what}"
