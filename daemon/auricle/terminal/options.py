"""Options that several commands share are declared here once, each with its name and its help."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.errors import UsageError

if TYPE_CHECKING:
    from auricle.config import Config
    from auricle.model.bundle import Bundle
    from auricle.service.trial import Trials

MOST_CHANNELS = 64

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration; /etc/auricle/auricle.yaml unless told.")
]
ModelName = Annotated[
    str | None, typer.Option("--model", help="A model's name (see auricle models) or a bundle's folder.")
]
Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Recordings: files, folders or globs.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")]
QueryEndpoint = Annotated[
    str | None, typer.Option("--endpoint", help="Where the daemon answers; publish.query unless told.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", help="Your pair of keys, where the daemon wants one; publish.client_key unless told."),
]
Channel = Annotated[str, typer.Option(help="The channel to listen to, 1 is the first; mix: the mean of all.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="A table to write: .csv, .parquet, .selections.txt, or see --format."),
]
Local = Annotated[
    bool, typer.Option("--local/--utc", help="What a time without a zone means, in a file's name or header.")
]
Beside = Annotated[
    bool, typer.Option("--beside", help="Write one table beside each recording: night.auricle.csv for night.wav.")
]
Form = Annotated[
    str | None, typer.Option("--format", help="Of the table: csv, raven, audacity or parquet; else as FILE is named.")
]
Truth = Annotated[
    Path | None,
    typer.Option(
        "--truth",
        help="What is in the recordings: a truth file (ours, Raven, Audacity, Parquet), or the folder of several.",
    ),
]
Negatives = Annotated[
    list[str] | None,
    typer.Option("--negatives", metavar="PATH", help="Recordings without any event; may be repeated."),
]
ScoreCache = Annotated[
    Path | None, typer.Option("--cache", help="Keep scores in this folder, to be found the next time.")
]


def load(path: Path | None, model: str | None = None, *, without: Path | None = None) -> Config:
    """Read the configuration, with the model that the command line names over it.

    Args:
        path: what ``--config`` named.
        model: what ``--model`` named.
        without: a fragment that is left out.

    Raises:
        ConfigError: the configuration does not hold.
    """
    from auricle import config

    return config.load(path, overrides={"model": model}, without=without)


def with_clips(cfg: Config, folder: Path) -> Config:
    """Return the configuration with clips kept in this folder."""
    return dataclasses.replace(cfg, clips=dataclasses.replace(cfg.clips, enabled=True, folder=folder))


def models_dir(cfg: Config, command: str) -> Path:
    """Return the folder of models that commands may write into.

    Args:
        command: which wants to.

    Raises:
        UsageError: the configuration names none.
    """
    if cfg.models_dir is None:
        raise UsageError(
            f"{command}: the configuration has no models_dir; set it, as models_dir: /var/lib/auricle/models"
        )
    return cfg.models_dir


def trials() -> Trials:
    """Return what tries, in a child, a model that has never run here, before a command runs it; as a start does."""
    from auricle.service.folder import state_dir
    from auricle.service.trial import Trials

    return Trials(state_dir() / "models")


def model_of(cfg: Config) -> Bundle:
    """Open the bundle of the configured model; one that has never run here is tried in a child first.

    Raises:
        ModelError: there is no such model, or the model does not hold.
    """
    from auricle.model import bundle

    return bundle.load(cfg.model, cfg.models_dir, first=trials())


def reach(
    named: str | None, key: Path | None, config_file: Path | None, *, publisher: bool = False
) -> tuple[str, Path | None]:
    """Give the endpoint where the daemon answers, and the file of the keys to connect with, if any.

    Args:
        named: what ``--endpoint`` named; what is configured unless told.
        key: what ``--key`` named; what is configured unless told, where the configuration is read.
        config_file: what ``--config`` named.
        publisher: whether the endpoint is meant where the daemon publishes.

    Raises:
        ConfigError: the configuration does not hold.
    """
    if named is not None and (key is not None or config_file is None):
        return named, key
    publish = load(config_file).publish
    return named or (publish.endpoint if publisher else publish.query), key or publish.client_key


def channel(text: str) -> int | str:
    """Read the channel to listen to: ``mix``, or a number from 1 on.

    Raises:
        UsageError: it is neither.
    """
    if text == "mix":
        return text
    if not text.isdecimal() or not 0 < int(text) <= MOST_CHANNELS:
        raise UsageError(f"--channel: {text!r} is no channel; use mix, or 1 to {MOST_CHANNELS}")
    return int(text)


def device(text: str) -> int | str:
    """Read a microphone as the command line names it: a number, or a name."""
    return int(text) if text.isdecimal() else text
