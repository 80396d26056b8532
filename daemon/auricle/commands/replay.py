"""`auricle replay` plays recordings as a stream through the daemon's own engine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import zmq
from msgspec import UnsetType

from auricle import messages
from auricle.capture import dates
from auricle.capture.folders import find, shown
from auricle.capture.recording import Recordings
from auricle.errors import EXIT_SKIPPED, EndpointError, KeysError, UsageError
from auricle.hearing import engine, pipeline
from auricle.hearing.lane import Lane
from auricle.model.bundle import Bundle
from auricle.publish.admission import Admission
from auricle.publish.journal import Journal
from auricle.publish.publisher import Lines, Outlet, Publisher
from auricle.publish.store import Store
from auricle.publish.zeromq import Socket
from auricle.service import keys, logs
from auricle.service.clips import Clips
from auricle.service.query import Query
from auricle.service.viewers import Viewers
from auricle.tables.output import Tables, tables
from auricle.tables.row import row_of
from auricle.terminal import options, text
from auricle.terminal.options import Beside, Channel, ConfigFile, Form, Json, Local, ModelName, Out, Paths
from auricle.terminal.progress import bar

FOLLOW_S, MOST_FOLLOW_S = 10.0, 86_400.0
"""A file that is followed and has not grown for so long has ended, unless told; and the longest that may be told."""


def parse_speed(value: str) -> float | None:
    """Read a speed: ``max`` (``None``) or a multiple of real time.

    Raises:
        UsageError: the value is neither.
    """
    if value == "max":
        return None
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e6:
        raise UsageError(f"--speed: {value!r} is no speed; use a number such as 1 or 10, or max")
    return speed


def parse_start(value: str) -> int:
    """Read RFC 3339 as microseconds since 1970 UTC; a time without a zone is local.

    Raises:
        UsageError: the value is no time.
    """
    try:
        start_us = round(datetime.fromisoformat(value).astimezone().timestamp() * 1_000_000)
        if not dates.possible(start_us):
            raise UsageError(f"--start-time: {value!r} is no recording's; use the years 1900 to 2199")
        return start_us
    except (ValueError, OverflowError):
        raise UsageError(f"--start-time: {value!r} is no time; use one such as 2026-03-01T06:30:00Z") from None


def command(
    paths: Paths,
    speed: Annotated[str, typer.Option(help="1 is real time, 10 ten times as fast, max as fast as possible.")] = "1",
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, for ever.")] = False,
    json: Json = False,
    no_publish: Annotated[bool, typer.Option("--no-publish", help="Print only; open no socket.")] = False,
    start_time: Annotated[
        str | None, typer.Option(help="When the first recording began, such as 2026-03-01T06:30Z.")
    ] = None,
    local: Local = False,
    channel: Channel = "mix",
    out: Out = None,
    beside: Beside = False,
    form: Form = None,
    follow: Annotated[bool, typer.Option("--follow", help="Hear on while a file grows.")] = False,
    follow_for: Annotated[
        float, typer.Option(metavar="SECONDS", help="With --follow: until it has not grown for so long.")
    ] = FOLLOW_S,
    clips_in: Annotated[
        Path | None,
        typer.Option("--clips", metavar="FOLDER", help="Keep the sound around events there, as configured."),
    ] = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Replay recordings as a fake stream; return the exit code.

    Where it publishes it answers as the daemon does, from a history of its own that ends with it. Clips go nowhere
    unless a folder is named: those of the daemon are bounded, and what is tried out must not push them out.

    Raises:
        EndpointError: an endpoint is in use.
        UsageError: an option's value cannot be.
    """
    cfg = options.load(config, model)
    logs.set_up(cfg.log, least="warning")
    pace = parse_speed(speed)
    start_us = None if start_time is None else parse_start(start_time)
    heard_channel = options.channel(channel)
    if not 0 < follow_for <= MOST_FOLLOW_S:
        raise UsageError(f"--follow-for: {follow_for:g} s; use up to {MOST_FOLLOW_S:g}")
    bundle = options.model_of(cfg)
    if loop and (out is not None or beside):
        raise UsageError("--loop: a table of it would have no end; leave one of the two out")
    table = tables(out, form, bundle, beside=beside, recordings=len(find(paths, tell=False)[0]))
    source = Recordings(
        "replay",
        paths,
        model_rate=bundle.card.front_end.sample_rate,
        speed=pace,
        loop=loop,
        start_us=start_us,
        channel=heard_channel,
        local=local,
        follow_s=follow_for if follow else 0.0,
        block_samples=pipeline.block_samples(bundle)
        if pace is None
        else pipeline.samples(pipeline.hop_ms(cfg.decision, bundle), bundle),
    )
    seen: Counter[str] = Counter()
    with ExitStack() as stack:
        outlets: list[Outlet] = []
        attendants: list[engine.Attendant] = []
        if not no_publish:
            context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
            with _or_alone():
                admission = Admission(context, keys.allowed(cfg.publish))
                stack.callback(admission.close)
                socket = Socket(context, cfg.publish.endpoint, group=cfg.publish.ipc_group, admission=admission)
            stack.callback(socket.close)
            folder = stack.enter_context(TemporaryDirectory(prefix="auricle-replay-"))
            store = Store(Path(folder) / "events.db", max_mb=cfg.store.max_mb, max_days=cfg.store.max_days)
            stack.callback(store.close)
            journal = Journal()
            outlets += [store, journal, socket]
        moved = stack.enter_context(bar("replay", shown=not (json or loop)))
        if json:
            outlets.append(Lines())
        else:
            outlets.append(_Printer(seen))
        if table is not None:
            tabled = _Tabled(table, source.heard)
            stack.callback(tabled.close)
            outlets.append(tabled)
        publisher = Publisher(cfg.node, outlets)
        lanes: list[Lane] = []
        if not no_publish:
            with _or_alone():
                query = Query(
                    context,
                    cfg.publish.query,
                    publisher=publisher,
                    journal=journal,
                    lanes=lanes,
                    config_hash=cfg.hash(),
                    store=store,
                    group=cfg.publish.ipc_group,
                    admission=admission,
                )
            stack.callback(query.close)
            socket.greet(publisher, query.endpoint)
            store.report_to(publisher.tell)
            store.open()
            attendants += [admission, socket, query, store]
        lane = Lane(
            source,
            bundle,
            decision=cfg.decision,
            gate=cfg.gate,
            publish=cfg.publish,
            publisher=publisher,
            tell_scores=json or not no_publish,
        )
        lanes.append(lane)
        stop = engine.Stop()
        stack.callback(stop.close)
        stack.enter_context(stop.on_signals())
        if clips_in is not None:
            clips = Clips(publisher, lanes, clips_in.absolute(), patient=True)
            clips.configure(options.with_clips(cfg, clips_in.absolute()))
            stack.callback(clips.close)
            attendants.append(clips)
            if not no_publish:
                query.clips, query.missed = clips.report, clips.missed
        source.open()
        stack.callback(source.close)
        began_s = time.monotonic()
        viewers = None if no_publish else Viewers(lanes, socket.subscriptions, cfg.spectrum)

        def between() -> None:
            moved(source.progress)
            if viewers is not None:
                viewers.tick()

        engine.run([lane], publisher, stop, progress=between, attendants=attendants)
        took_s = max(time.monotonic() - began_s, 1e-9)
    if not json:
        print(_summary(lane, seen, bundle, took_s))
    return EXIT_SKIPPED if lane.counters.skipped else 0


@contextmanager
def _or_alone() -> Iterator[None]:
    """Add to an endpoint's error what a replay can do without it: it never waits for an address."""
    try:
        yield
    except (EndpointError, KeysError) as e:
        raise type(e)(f"{e}; or give --no-publish") from None


def _summary(lane: Lane, seen: Counter[str], bundle: Bundle, took_s: float) -> str:
    rate = bundle.card.front_end.sample_rate
    heard_s = lane.counters.heard_s
    events = ", ".join(f"{n} {label}" for label, n in sorted(seen.items())) or "no event"
    unjudged = f"; {lane.counters.tail / rate:.2f} s at the ends not judged" if lane.counters.tail else ""
    return f"heard {text.duration(heard_s)} in {took_s:.2f} s ({heard_s / took_s:.0f} x real time): {events}{unjudged}"


class _Tabled:
    """Writes every event that has ended into a table, as an outlet.

    Args:
        table: takes the rows.
        heard: the recordings so far, by path, and how long they are.
    """

    def __init__(self, table: Tables, heard: Mapping[str, float]) -> None:
        self._table, self._heard = table, heard
        self._whole = 0

    def __call__(self, topic: str, payload: bytes) -> None:
        if not topic.startswith("event."):
            return
        event = text.decode(payload)
        if isinstance(event, messages.Event) and event.phase == "offset":
            self._table.add(self._reach(event.file), row_of(event))

    def close(self) -> None:
        """Write what is left."""
        self._reach(None)
        self._table.close()

    def _reach(self, name: str | UnsetType | None) -> str:
        """Take note of the recordings before the one of this name, and return its path; of all for ``None``."""
        for path, duration_s in list(self._heard.items())[self._whole :]:
            if shown(path) == name:
                return path
            self._table.heard(path, duration_s)
            self._whole += 1
        return next((path for path in self._heard if shown(path) == name), "")  # it was named twice


class _Printer:
    """Prints what a person wants to read, as an outlet."""

    def __init__(self, seen: Counter[str]) -> None:
        self._seen = seen

    def __call__(self, topic: str, payload: bytes) -> None:
        if not topic.startswith(("event.", "gap.")):
            return
        message = text.decode(payload)
        if isinstance(message, messages.Event) and message.phase == "onset":
            self._seen[message.label] += 1
        if (line := text.line(message)) is not None:
            text.say(line)
