"""`auricle resume` has paused microphones heard again."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.client import AskResume, Paused, ask
from auricle.commands.pause import tell
from auricle.terminal import options
from auricle.terminal.options import ConfigFile, KeyFile, QueryEndpoint


def command(
    source: Annotated[str | None, typer.Option(help="Which one; all unless told.")] = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    config: ConfigFile = None,
) -> int:
    """Resume, print what is still paused, and return the exit code.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there is no such source.
    """
    endpoint, pair = options.reach(query, key, config)
    return tell(ask(endpoint, AskResume(source=source), Paused, key=pair))
