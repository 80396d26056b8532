"""`auricle mark` marks this moment in the daemon's stream and history."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.client import AskMark, Marked, ask
from auricle.terminal import options
from auricle.terminal.options import ConfigFile, KeyFile, QueryEndpoint


def command(
    text: Annotated[str, typer.Argument(help="What to remember of this moment.")],
    label: Annotated[str | None, typer.Option(help="What it really was.")] = None,
    source: Annotated[str | None, typer.Option(help="Which source is meant.")] = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    config: ConfigFile = None,
) -> int:
    """Mark the moment, and print the mark's identifier; return the exit code.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there is no such source.
    """
    endpoint, pair = options.reach(query, key, config)
    print(ask(endpoint, AskMark(text=text, label=label, source=source), Marked, key=pair).id)
    return 0
