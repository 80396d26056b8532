"""`auricle explain` says why there was an event at a time, or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from auricle import messages
from auricle.client import AskExplain, Event, Explained, ask
from auricle.commands.events import history, moment, seconds
from auricle.errors import OutputError, UsageError
from auricle.judge import plots
from auricle.judge.explained import draw
from auricle.terminal import options, reasons, text
from auricle.terminal.options import ConfigFile, Json, KeyFile, QueryEndpoint


def command(
    at: Annotated[str, typer.Option("--at", help="When: such as 30s or 5min (ago), or 2026-03-01T06:30:05.")],
    source: Annotated[str | None, typer.Option(help="Which source; not needed where there is one.")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How much of the time around it.")] = "10s",
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Of this label; may be repeated. Else of the highest.")
    ] = None,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="A picture: .png, .svg or .pdf.")] = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    config: ConfigFile = None,
) -> int:
    """Print by what was decided around a time, the decisions, and for each label why there was an event or none.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there is no such source or label, the time is none, or the daemon keeps no history.
        OutputError: the picture cannot be written.
    """
    if plot is not None and not plots.available():
        raise UsageError(f"explain: {plots.MISSING}")
    endpoint, pair = options.reach(query, key, config)
    half = timedelta(seconds=seconds("--for", lasts) / 2)
    middle = datetime.fromisoformat(moment(at, "--at"))
    first, last = (each.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for each in (middle - half, middle + half))
    found = ask(endpoint, AskExplain(since=first, until=last, source=source, labels=label or []), Explained, key=pair)
    events = [
        event
        for event in history(endpoint, first, source=found.source, key=pair)
        if isinstance(event, Event) and _within(event, first, last) and (not label or event.label in label)
    ]
    if json:
        print(msgspec.json.encode(found).decode())
        for event in events:
            print(messages.encode(event).decode())
    else:
        for line in reasons.told(found, events, first, last):
            text.say(line)
    if plot is not None:
        try:
            draw(found, events, plot)
        except ValueError as e:
            raise UsageError(f"--plot: {e}") from None
        except OSError as e:
            raise OutputError(f"{plot}: {e.strerror or e}") from None
    return 0


def _within(event: Event, first: str, last: str) -> bool:
    """Return whether some of an event lies in this time."""
    ended = event.offset is not None and messages.microseconds(event.offset) < messages.microseconds(first)
    return not ended and messages.microseconds(event.onset) <= messages.microseconds(last)
