"""`auricle listen`: a subscriber for people."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import zmq

from auricle import engine, messages, text
from auricle.errors import EndpointError
from auricle.publisher import Lines

if TYPE_CHECKING:
    from rich.console import RenderableType

SILENT_S = 3.0
TOP_SCORES = 5
LAST_EVENTS = 8
BAR_CELLS = 30


class View(Protocol):
    """Shows what is heard."""

    def show(self, topic: str, payload: bytes) -> None:
        """A message has come."""

    def silent(self, endpoint: str, seconds: float) -> None:
        """Nothing has come for a while."""


def listen(endpoint: str, topics: Sequence[str], *, json: bool) -> int:
    """Subscribe and show messages until told to stop; the exit code.

    Raises:
        EndpointError: it is no endpoint.
    """
    stop = engine.Stop()
    view: View
    with stop.on_signals():
        if json:
            view = _JsonView()
        elif sys.stdout.isatty():
            view = _LiveView(endpoint)
        else:
            view = _TextView()
        try:
            for topic, payload in receive(endpoint, topics, stop, view):
                view.show(topic, payload)
        finally:
            if isinstance(view, _LiveView):
                view.close()
    stop.close()
    return 0


def receive(endpoint: str, topics: Sequence[str], stop: engine.Stop, view: View) -> Iterator[tuple[str, bytes]]:
    """Messages of the daemon at ``endpoint``, until stopped; silence is told to the view, once each time."""
    with zmq.Context[zmq.Socket[bytes]]() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        for topic in topics:
            socket.subscribe(topic)
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as e:
            raise EndpointError(f"{endpoint}: no endpoint to connect to ({e.strerror}); use tcp://HOST:PORT") from None
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(stop.fileno(), zmq.POLLIN)
        heard_s, said = time.monotonic(), False
        while not stop.asked:
            if socket in dict(poller.poll(250)):
                frames = socket.recv_multipart()
                heard_s, said = time.monotonic(), False
                if len(frames) == 2:
                    yield frames[0].decode(errors="replace"), frames[1]
            elif not said and time.monotonic() - heard_s >= SILENT_S:
                said = True
                view.silent(endpoint, SILENT_S)


def _warn(endpoint: str, seconds: float) -> None:
    print(
        f"auricle: nothing heard from {endpoint} for {seconds:g} s; is a daemon running there? still listening",
        file=sys.stderr,
    )


class _JsonView:
    def __init__(self) -> None:
        self._lines = Lines()

    def show(self, topic: str, payload: bytes) -> None:
        self._lines(topic, payload)
        self._lines.flush()

    def silent(self, endpoint: str, seconds: float) -> None:
        _warn(endpoint, seconds)


class _TextView:
    def show(self, topic: str, payload: bytes) -> None:
        if (line := _line(payload)) is not None:
            print(line, flush=True)

    def silent(self, endpoint: str, seconds: float) -> None:
        _warn(endpoint, seconds)


def _line(payload: bytes) -> str | None:
    try:
        return text.line(text.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        return f"a message that is none of Auricle's: {e}"


class _LiveView:
    """Level and top scores of every source, and the last events, redrawn in place."""

    def __init__(self, endpoint: str) -> None:
        from rich.live import Live

        self._endpoint = endpoint
        self._scores: dict[str, messages.Scores] = {}
        self._last: deque[str] = deque(maxlen=LAST_EVENTS)
        self._note = "waiting for the first message"
        self._live = Live(self._draw(), refresh_per_second=10, transient=False)
        self._live.start()

    def show(self, topic: str, payload: bytes) -> None:
        self._note = ""
        try:
            message = text.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            self._last.append(f"a message that is none of Auricle's: {e}")
        else:
            if isinstance(message, messages.Scores):
                self._scores[message.source or ""] = message
            elif (line := text.line(message)) is not None:
                self._last.append(line)
        self._live.update(self._draw())

    def silent(self, endpoint: str, seconds: float) -> None:
        self._note = f"nothing heard for {seconds:g} s; is a daemon running there?"
        self._live.update(self._draw())

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        rows: list[RenderableType] = [Text(f"{self._endpoint}  {self._note}", style="dim")]
        for source, message in self._scores.items():
            rows.append(Text(f"\n{source}  {message.t[11:22]}  ", style="bold"))
            rows.append(Text(f"  {'level':<16} {_bar((message.level_dbfs + 80) / 80)} {message.level_dbfs:6.1f} dBFS"))
            top = sorted(message.scores.items(), key=lambda item: -item[1])[:TOP_SCORES]
            rows.extend(
                Text(f"  {label:<16} {_bar(score)} {score:6.2f}", style="green" if score >= 0.5 else "")
                for label, score in top
            )
        if self._last:
            rows.append(Text("\nlast events", style="bold"))
            rows.extend(Text(f"  {line}") for line in self._last)
        return Group(*rows)


def _bar(share: float) -> str:
    filled = round(BAR_CELLS * min(1.0, max(0.0, share)))
    return "█" * filled + "·" * (BAR_CELLS - filled)
