"""`auricle listen` is a subscriber for people."""

from __future__ import annotations

import heapq
import math
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from auricle import messages
from auricle.client import Client, Event, Health, Item, Missed, Scores, Snapshot, Spectrum
from auricle.config import printable
from auricle.errors import UsageError
from auricle.messages.topics import ON_REQUEST, topic_of
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, Json, KeyFile
from auricle.terminal.spectrum import Picture

if TYPE_CHECKING:
    from rich.console import RenderableType

SILENT_S = 3.0
LOOK_S = 0.25
TOP_SCORES = 5
LAST_EVENTS = 8
BAR_CELLS = 30
NAME_CELLS, MOST_NAME_CELLS = 16, 40
"""What a label's name takes before its bar: more where names are long, up to a bound."""
UNSEEN = 50
"""After so many decisions a spectrum should have come as well."""
_WHY = {"short": "too short so far", "refractory": "too soon after the last"}


class View(Protocol):
    """A view shows what is heard."""

    def show(self, item: Item) -> None:
        """Show something that has come."""

    def silent(self, endpoint: str, seconds: float) -> None:
        """Show that nothing has come for a while."""


def command(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Prefixes such as event. or event.porch.")
    ] = None,
    named: Annotated[
        str | None, typer.Option("--endpoint", help="Where the daemon publishes; publish.endpoint unless told.")
    ] = None,
    key: KeyFile = None,
    json: Json = False,
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="Draw what is heard, where the daemon has spectrum.enabled: true.")
    ] = False,
    config: ConfigFile = None,
) -> int:
    """Subscribe and show messages until it is stopped; return the exit code.

    Raises:
        EndpointError: what was named is no endpoint.
        UsageError: a picture is wanted where none can be drawn.
    """
    if spectrum and (json or not sys.stdout.isatty()):
        raise UsageError("--spectrum: is drawn on a terminal; leave out --json and what takes the output elsewhere")
    endpoint, pair = options.reach(named, key, config, publisher=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the terminal is put in order as after ctrl-C
    view: View
    live: _LiveView | None = None
    if json:
        view = _JsonView()
    elif sys.stdout.isatty():
        view = live = _LiveView(endpoint, spectrum=spectrum)
    else:
        view = _TextView()
    try:
        wanted = [*(topics or [""]), *([ON_REQUEST] if spectrum else [])]
        with Client(endpoint, topics=wanted, key=pair) as client:
            watch(client, endpoint, view)
    except KeyboardInterrupt:
        return 0
    finally:
        if live is not None:
            live.close()
    return 0


def watch(client: Client, endpoint: str, view: View, until: Callable[[], bool] = lambda: False) -> None:
    """Show what the client gives until then; the view is told of silence, once each time."""
    said = False
    while not until():
        item = client.receive(LOOK_S)
        if item is not None:
            view.show(item)
        silent = client.silent_s(endpoint) >= SILENT_S
        if silent and not said:
            view.silent(endpoint, SILENT_S)
        said = silent


def _line(item: Item) -> str | None:
    match item:
        case Missed():
            return printable(f"missed {item.n} of {item.topic}")
        case Snapshot():
            return printable(f"{item.node}  joined: {', '.join(item.sources)}")
        case _:
            return text.line(item)


def _warn(endpoint: str, seconds: float) -> None:
    print(
        f"auricle: nothing heard from {endpoint} for {seconds:g} s; is a daemon running there? still listening",
        file=sys.stderr,
    )


class _JsonView:
    def show(self, item: Item) -> None:
        if isinstance(item, Missed):
            print(f"auricle: {_line(item)}", file=sys.stderr)
        elif not isinstance(item, Snapshot):
            print(f'{{"topic":"{topic_of(item)}",{messages.encode(item)[1:].decode()}', flush=True)

    def silent(self, endpoint: str, seconds: float) -> None:
        _warn(endpoint, seconds)


class _TextView:
    def show(self, item: Item) -> None:
        if (line := _line(item)) is not None:
            print(line, flush=True)

    def silent(self, endpoint: str, seconds: float) -> None:
        _warn(endpoint, seconds)


class _LiveView:
    """Draws level and top scores of every source, its spectrum if that is wanted, and the last events, anew in the same
    place."""

    def __init__(self, endpoint: str, *, spectrum: bool = False) -> None:
        from rich.live import Live

        self._endpoint = endpoint
        self._scores: dict[str, Scores] = {}
        self._thresholds: dict[str, dict[str, float]] = {}
        self._display: dict[str, dict[str, str]] = {}
        self._last: deque[str] = deque(maxlen=LAST_EVENTS)
        self._note = "waiting for the first message"
        self._spectrum = spectrum
        self._pictures: dict[str, Picture] = {}
        self._decisions = 0
        self._live = Live(get_renderable=self._draw, refresh_per_second=5 if spectrum else 10, transient=False)
        self._live.start()

    def show(self, item: Item) -> None:
        self._note = ""
        if self._spectrum:
            self._picture(item)
        if isinstance(item, Scores):
            self._scores[item.source or ""] = item
            if isinstance(item.thresholds, dict):
                # Where only the highest scores are told, so are only their thresholds.
                self._thresholds.setdefault(item.source or "", {}).update(item.thresholds)
            if isinstance(item.display, dict):
                self._display.setdefault(item.source or "", {}).update(item.display)
        elif not isinstance(item, Health) and (line := _line(item)) is not None:
            self._last.append(line)

    def _picture(self, item: Item) -> None:
        match item:
            case Spectrum():
                self._pictures.setdefault(item.source or "", Picture()).add(item)
            case Event(phase="onset") if item.source in self._pictures:
                self._pictures[item.source].mark(item)
            case Scores():
                self._decisions += 1
        if self._decisions > UNSEEN and not self._pictures:
            self._note = "no spectrum comes: set spectrum.enabled: true, and reload the daemon"

    def _drawn(self, picture: Picture) -> RenderableType:
        console = self._live.console
        others = 4 + (TOP_SCORES + 3) * len(self._scores) + len(self._last)
        height = (console.height - others) // max(1, len(self._pictures))
        return picture.draw(console.width, height, colours=console.color_system is not None)

    def silent(self, endpoint: str, seconds: float) -> None:
        self._note = f"nothing heard for {seconds:g} s; is a daemon running there?"

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        rows: list[RenderableType] = [Text(f"{self._endpoint}  {self._note}", style="dim")]
        for source, message in sorted(self._scores.items()):
            rows.append(Text(f"\n{printable(source)}  {message.t[11:22]}  ", style="bold"))
            told = scores(message, self._thresholds.get(source, {}), self._display.get(source, {}))
            rows.extend(Text(line, style=style) for line, style in told)
            if source in self._pictures:
                rows.append(self._drawn(self._pictures[source]))
        if self._last:
            rows.append(Text("\nlast events", style="bold"))
            rows.extend(Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in list(self._last))
        return Group(*rows)


def scores(
    message: Scores, thresholds: Mapping[str, float], display: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, str]]:
    """Yield the level and the highest scores of a decision as lines with their styles: each bar has a mark at the
    label's threshold, and what is above it without an event says why.

    Args:
        thresholds: the newest known; a label without one raises no event, or its threshold is not known yet.
        display: what people call the labels, as far as that is known.
    """
    best = heapq.nlargest(TOP_SCORES, message.scores.items(), key=itemgetter(1))  # of thousands, ten times a second
    names = {label: _cut(text.called(label, display.get(label))) for label, _ in best}
    cells = max(NAME_CELLS, *map(len, names.values()), 0)
    yield f"  {'level':<{cells}} {_bar((message.level_dbfs + 80) / 80)} {message.level_dbfs:6.1f} dBFS", ""
    why = message.held_back if isinstance(message.held_back, dict) else {}
    for label, score in best:
        threshold = thresholds.get(label)
        above = label in why or (threshold is not None and score >= threshold)
        said = f"  {_WHY.get(why[label], why[label].replace('in:', 'told as '))}" if label in why else ""
        style = "yellow" if said else "green" if above else ""
        yield printable(f"  {names[label]:<{cells}} {_bar(score, threshold)} {score:6.2f}{said}"), style


def _cut(name: str) -> str:
    return name if len(name) <= MOST_NAME_CELLS else f"{name[: MOST_NAME_CELLS - 1]}…"


def _bar(share: float, mark: float | None = None) -> str:
    filled = round(BAR_CELLS * min(1.0, max(0.0, share)))
    cells = ["█"] * filled + ["·"] * (BAR_CELLS - filled)
    if mark is not None:
        # Of a score at its threshold the bar just reaches the mark.
        cells[max(0, math.ceil(BAR_CELLS * mark) - 1)] = "|"
    return "".join(cells)
