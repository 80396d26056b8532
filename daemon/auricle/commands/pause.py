"""`auricle pause` closes microphones for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.client import AskPause, Paused, ask
from auricle.commands.events import seconds
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, KeyFile, QueryEndpoint


def command(
    source: Annotated[str | None, typer.Option(help="Which one; all that can be paused unless told.")] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="Such as 30min or 2h; until resumed unless told.")] = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    config: ConfigFile = None,
) -> int:
    """Pause, print what is paused now, and return the exit code.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there is no such source, or it cannot be paused.
    """
    endpoint, pair = options.reach(query, key, config)
    for_s = None if lasts is None else seconds("--for", lasts)
    return tell(ask(endpoint, AskPause(source=source, for_s=for_s), Paused, key=pair))


def tell(answer: Paused) -> int:
    """Print what is paused now; return the exit code."""
    for name, until in answer.paused.items():
        text.say(f"{name}: paused until {'it is resumed' if until is None else until[:19] + 'Z'}")
    for name in answer.scheduled:
        text.say(f"{name}: not heard now, by its schedule")
    if not (answer.paused or answer.scheduled):
        text.say("nothing is paused")
    if answer.trouble is not None:
        text.complain(f"auricle: {answer.trouble}")
        return 1
    return 0
