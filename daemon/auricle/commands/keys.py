"""`auricle keys` makes pairs of keys, and keeps the list of those who may connect to the daemon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from auricle.errors import KeysError, UsageError
from auricle.messages.keys import Pair, is_key, is_name, read_allowed, read_pair, write_allowed, write_pair
from auricle.terminal import options
from auricle.terminal.help import PLAIN
from auricle.terminal.options import ConfigFile
from auricle.terminal.text import say

app = typer.Typer(help="Make keys, and say whose may connect.", no_args_is_help=True, **PLAIN)

_PASTED = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:+=/@%^#-]{39}")
"""A key in which no letter means something to a shell, of which the 85 letters of a key have fifteen."""

Name = Annotated[str, typer.Argument(help="Whose key it is.")]


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="The file to be written, for its owner alone.")],
    daemon: Annotated[
        str | None,
        typer.Option("--daemon", metavar="KEY", help="Of a client: the public key of the daemon to talk to."),
    ] = None,
) -> None:
    """Make a pair of keys, for the daemon or for a client of it, and print the public one."""
    if daemon is not None and not is_key(daemon):
        raise UsageError(f"--daemon: {daemon!r} is no public key; use the 40 letters that its auricle keys new printed")
    public, secret = _drawn()
    write_pair(file, Pair(public, secret, daemon))
    print(public)


@app.command("list")
def list_allowed(config: ConfigFile = None) -> None:
    """Print who may connect, each with the public key."""
    for name, key in read_allowed(options.load(config).publish.allowed_keys).items():
        say(f"{name:<16} {key}")


@app.command()
def allow(
    name: Name,
    key: Annotated[str, typer.Argument(help="The public key: 40 letters, or the file of a pair.")],
    config: ConfigFile = None,
) -> None:
    """Let the owner of a key connect, from the daemon's next reload on."""
    if not is_name(name):
        raise UsageError(f"{name!r} is no name; use letters, digits, '_', '.', '@' and '-'")
    path = options.load(config).publish.allowed_keys
    public = key if is_key(key) else read_pair(Path(key)).public
    allowed = read_allowed(path)
    if name in allowed or public in allowed.values():
        whose = name if name in allowed else next(each for each, known in allowed.items() if known == public)
        raise KeysError(f"{path}: {whose} is allowed already; revoke it first")
    write_allowed(path, {**allowed, name: public})
    say(f"{path}: {name} is allowed from the next reload on")


@app.command()
def revoke(name: Name, config: ConfigFile = None) -> None:
    """Let the owner of a key connect no more: what is connected ends with the daemon's next reload."""
    path = options.load(config).publish.allowed_keys
    allowed = read_allowed(path)
    if name not in allowed:
        raise KeysError(f"{path}: there is no {name!r}; there are {', '.join(allowed) or 'no keys'}")
    del allowed[name]
    write_allowed(path, allowed)
    say(f"{path}: {name} is allowed no more from the next reload on")


def _drawn() -> tuple[str, str]:
    """Draw pairs until the public key can be pasted into a command as it is: one in a thousand, in a few hundredths of
    a second."""
    import zmq

    while True:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        if _PASTED.fullmatch(public):
            return public, secret
