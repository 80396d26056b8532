"""The picture on the terminal: a tone lies at its frequency, what was not heard is hatched, labels stand where events
began."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from auricle import messages
from auricle.messages import Event, Spectrum, topics
from auricle.terminal.spectrum import MARGIN, Picture
from helpers.running import LIMIT_S, configuration, running, wait_for

BEGIN_US = 1_700_000_000_000_000


def spectrum(band: int, at_s: float, columns: int = 3) -> Spectrum:
    """Return columns in which one band is loud."""
    column = bytes(200 if each == band else 60 for each in range(64))
    return Spectrum(
        node="node", instance="one", seq=1, source="porch", model=None, sample=0, latency_ms=None,
        t=messages.rfc3339(BEGIN_US + round(at_s * 1e6)), columns=columns, column_s=0.08, top_hz=8000.0,
        bands=column * columns,
    )  # fmt: skip


def onset(label: str, at_s: float) -> Event:
    """Return the onset of an event."""
    event = messages.decode(topics.examples()["event.<source>.<label>."])
    assert isinstance(event, Event)
    onset = messages.rfc3339(BEGIN_US + round(at_s * 1e6))
    return msgspec.structs.replace(event, label=label, onset=onset)


def lines(picture: Picture, width: int = 60, height: int = 34, *, colours: bool = False) -> list[str]:
    """Return the picture as it stands on a terminal."""
    console = Console(file=io.StringIO(), width=width)
    console.print(picture.draw(width, height, colours=colours))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\n")


@pytest.mark.parametrize(("band", "axis"), [(22, "1k"), (35, "2k"), (48, "4k"), (13, "500")])
@pytest.mark.parametrize("height", [10, 18, 34, 60])
def test_a_tone_lies_at_its_frequency(band: int, axis: str, height: int) -> None:
    """The brightest row is the one that the axis names, however high the picture is."""
    picture = Picture()
    picture.add(spectrum(band, 0.0))
    drawn = lines(picture, height=height)
    (bright,) = [line for line in drawn if "@" in line]
    below = {line[:MARGIN].strip() for line in drawn}
    assert axis not in below or bright[:MARGIN].strip() == axis
    assert axis in below or height < 18


def test_what_was_not_heard_is_hatched_and_as_long_as_it_was() -> None:
    """Half a second lies between two messages, which are six columns; messages that follow each other have none."""
    picture = Picture()
    for at_s in (0.0, 0.24, 0.72 + 0.24 - 0.001, 1.2):
        picture.add(spectrum(10, at_s))
    for colours in (False, True):
        for line in lines(picture, colours=colours)[:32]:
            cells = line[MARGIN:].rstrip("\n")
            assert [i for i, cell in enumerate(cells) if cell in "/╱"] == list(range(6, 12))


def test_labels_stand_where_events_began() -> None:
    """An onset is written under the column of its time, and moves with it."""
    picture = Picture()
    for n in range(10):
        picture.add(spectrum(10, 0.24 * n))
    picture.mark(onset("dog_bark", 0.8))
    assert lines(picture)[32].index("↑dog_bark") == MARGIN + 10
    picture.add(spectrum(10, 2.4))
    assert lines(picture, width=MARGIN + 30)[32].index("↑dog_bark") == MARGIN + 7


def test_a_stream_that_begins_anew_is_set_apart() -> None:
    """Time that runs backwards, of a recording that loops, hatches one column and goes on."""
    picture = Picture()
    picture.add(spectrum(10, 100.0))
    picture.add(spectrum(10, 0.0))
    assert lines(picture)[0][MARGIN:].count("/") == 1


@pytest.mark.parametrize(
    "command", [["listen", "--spectrum", "--json"], ["listen", "--spectrum"], ["demo", "--spectrum"]]
)
def test_no_picture_into_a_pipe(command: list[str]) -> None:
    """Where there is no terminal a picture is refused, with one line and the remedy."""
    done = subprocess.run([sys.executable, "-m", "auricle", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"auricle: error: --spectrum: is drawn on a terminal; leave out .*\n", done.stderr)


@pytest.mark.parametrize("enabled", [True, False])
def test_listen_draws_what_a_daemon_hears(tmp_path: Path, enabled: bool) -> None:
    """On a terminal `listen --spectrum` draws blocks beside an axis; where the daemon gives no spectrum it says how it
    would."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with running(tmp_path, configuration(tmp_path, spectrum={"enabled": enabled})) as one:
        listener = subprocess.Popen(
            [sys.executable, "-m", "auricle", "listen", "--spectrum", "--endpoint", one.events],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "50"},
        )
        shown = ""

        def drawn() -> bool:
            nonlocal shown
            with suppress(BlockingIOError):  # nothing new is drawn
                shown += os.read(ours, 1 << 16).decode(errors="replace")
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            return bool(re.search(r"1k ▀{6}", plain)) if enabled else "set spectrum.enabled: true" in plain

        try:
            wait_for(drawn, "a picture", LIMIT_S)
        finally:
            listener.send_signal(signal.SIGINT)

            def ended() -> bool:  # a terminal that nobody reads would hold up whoever writes to it
                drawn()
                return listener.poll() is not None

            wait_for(ended, "it ends", LIMIT_S)
            os.close(ours)
            os.close(theirs)
