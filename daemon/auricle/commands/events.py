"""`auricle events` asks the daemon for its history."""

from __future__ import annotations

import csv
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from msgspec import UNSET

from auricle import messages
from auricle.client import AskEvents, Clip, Event, History, Mark, ask
from auricle.errors import UsageError
from auricle.tables.formats import Raven
from auricle.tables.row import row_of
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, Json, KeyFile, QueryEndpoint

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_HIGH_HZ = 8000.0
"""The upper edge of selections: no message says how high the model hears."""
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS = (
    "type",
    "id",
    "node",
    "source",
    "label",
    "onset",
    "offset",
    "duration_s",
    "peak",
    "also",
    "cause",
    "estimated",
    "text",
    "display",
    "clip",
    "kind",
    "event",
)


def command(
    since: Annotated[str | None, typer.Option(help="Such as 1h, 2d or 2026-03-01T06:30; all unless told.")] = None,
    label: Annotated[str | None, typer.Option(help="Only events of this label.")] = None,
    source: Annotated[str | None, typer.Option(help="Only events of this source.")] = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, with a header.")] = False,
    raven: Annotated[bool, typer.Option("--raven", help="A selection table of Raven, of events that ended.")] = False,
    config: ConfigFile = None,
) -> int:
    """Print events as lines, JSON lines, CSV or selections, in the order of their onsets; return the exit code.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: the daemon keeps no history, or ``since`` is no time.
    """
    if json + as_csv + raven > 1:
        raise UsageError("--json, --csv and --raven: one of them at a time")
    endpoint, pair = options.reach(query, key, config)
    clips: dict[str, Clip] = {}
    begin = None if since is None else moment(since)
    found = history(endpoint, begin, label=label, source=source, key=pair, clips=clips)
    if json:
        for message in found:
            print(messages.encode(message).decode())
            if message.id in clips:
                print(messages.encode(clips[message.id]).decode())
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(message, clips.get(message.id)) for message in found)
    elif raven:
        _selections([message for message in found if isinstance(message, Event) and message.offset is not None])
    else:
        for message in found:
            text.say(_line(message, clips.get(message.id)))
    return 0


def history(
    query: str,
    since: str | None = None,
    *,
    label: str | None = None,
    source: str | None = None,
    key: Path | None = None,
    clips: dict[str, Clip] | None = None,
) -> list[Event | Mark]:
    """Ask for the newest message of every event and every mark since a time (RFC 3339), by onset.

    Args:
        clips: filled with the clips of events, by the event's id.
    """
    newest: dict[str, Event | Mark] = {}
    after: str | None = None
    while True:
        page = ask(query, AskEvents(since=since, after=after, label=label, source=source), History, key=key)
        newest.update((m.id, m) for m in page.messages if isinstance(m, Event | Mark))
        if clips is not None:
            clips.update((m.id, m) for m in page.messages if isinstance(m, Clip))
        if not isinstance(page.next, str):
            return sorted(newest.values(), key=_begin)
        after = page.next


def moment(given: str, option: str = "--since") -> str:
    """Read a span before now (``90s``, ``1h``, ``2d``) or a time, as RFC 3339 in UTC.

    Raises:
        UsageError: the text is neither.
    """
    try:
        if span := _SPAN.fullmatch(given.strip()):
            at = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: float(span[1])})
        else:
            at = datetime.fromisoformat(given).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{option}: {given!r} is no time; use one such as 1h, 2d or 2026-03-01T06:30") from None
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _selections(ended: list[Event]) -> None:
    """Print events as Raven reads them; those of live sources count from the first of them."""
    live = [messages.microseconds(event.onset) for event in ended if event.file is UNSET]
    table = Raven(None, _HIGH_HZ)
    for event in ended:
        table.add(row_of(event, min(live, default=0)), 0.0)


def seconds(option: str, given: str) -> float:
    """Read a span (``90s``, ``1h``) as seconds.

    Raises:
        UsageError: it is none, or no time at all.
    """
    span = _SPAN.fullmatch(given.strip())
    lasts_s = timedelta(**{_UNITS[span[2]]: float(span[1])}).total_seconds() if span else 0.0
    if not lasts_s > 0:
        raise UsageError(f"{option}: {given!r} is no span of time; use one such as 90s, 10min or 1h")
    return lasts_s


def _begin(message: Event | Mark) -> str:
    return message.onset if isinstance(message, Event) else message.at or message.t


def _line(message: Event | Mark, clip: Clip | None = None) -> str:
    when = f"{_begin(message)[:10]} {_begin(message)[11:22]}Z"
    if isinstance(message, Mark):
        return f"{when}  {text.line(message)}{_kept(clip)}"
    cause = f" ({message.cause})" if message.cause not in ("score", UNSET) else ""
    lasts = "goes on" if message.phase != "offset" else f"{message.duration_s:.2f} s"
    name = text.called(message.label, message.display)
    said = f"{lasts}, peak {message.peak:.2f}{text.also(message)}{cause}{_kept(clip)}"
    return f"{when}  {message.source}  {name:<16} {said}"


def _kept(clip: Clip | None) -> str:
    return "" if clip is None else ", clip" if clip.path is not None else f", no clip ({clip.why})"


def _row(message: Event | Mark, clip: Clip | None) -> dict[str, object]:
    row = {name: getattr(message, name, None) for name in _COLUMNS}
    if isinstance(row["also"], list):
        row["also"] = " ".join(row["also"])
    row["clip"] = None if clip is None else clip.path
    row |= {"type": "event" if isinstance(message, Event) else "mark", "onset": _begin(message)}
    return {name: "" if value in (None, UNSET) else value for name, value in row.items()}
