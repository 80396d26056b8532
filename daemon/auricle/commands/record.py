"""`auricle record` writes down what the daemon would hear, with the same capture, for tuning or to be heard again."""

from __future__ import annotations

import os
import select
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from auricle import config, messages
from auricle.capture.poller import Poller
from auricle.capture.source import Gap, Segment, Skipped, Sound, Source, Status
from auricle.capture.writer import FORMS, Writer
from auricle.commands.events import seconds
from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.hearing.engine import IDLE_S, Stop
from auricle.model import bundle
from auricle.service.sources import source_of
from auricle.terminal import options
from auricle.terminal.options import ConfigFile
from auricle.terminal.text import complain, duration


def command(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The recording: .flac or .wav.")],
    source: Annotated[str | None, typer.Option(help="Which source, by its name; the only one unless told.")] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="Such as 90s or 1h; until stopped unless told.")] = None,
    config_file: ConfigFile = None,
) -> int:
    """Record a source until it ends, the time is over, or a signal comes; return the exit code, 1 if some was lost.

    Raises:
        UsageError: there is no such source, time or form.
        OutputError: the recording cannot be written.
    """
    if out.suffix.lower() not in FORMS:
        raise UsageError(f"--out: {out.name} has no form of a recording; use {' or '.join(FORMS)}")
    most_s = None if lasts is None else seconds("--for", lasts)
    cfg = options.load(config_file)
    chosen = wanted(cfg, source)
    model = bundle.load(chosen.model, cfg.models_dir, first=options.trials())
    with ExitStack() as stack:
        poller = stack.enter_context(Poller())
        heard = source_of(chosen, cfg.capture, model, poller)
        stop = Stop()
        stack.callback(stop.close)
        stack.enter_context(stop.on_signals())
        recording = Recorder(out, model.card.front_end.sample_rate)
        stack.callback(recording.close)
        heard.open()
        stack.callback(heard.close)
        _record(heard, recording, stop, most_s)
    print(f"{out}: {duration(recording.seconds)} of {chosen.name}{recording.remarks}")
    return EXIT_SKIPPED if recording.lost or not recording.seconds else 0


def wanted(cfg: config.Config, name: str | None) -> config.Source:
    """Return the source of a name; without one the only source.

    Raises:
        UsageError: there is none of this name, or several.
    """
    names = [source.name for source in cfg.sources]
    if name is None and len(names) != 1:
        raise UsageError(f"--source: there are several, {', '.join(names)}; say which")
    if name is not None and name not in names:
        raise UsageError(f"--source: there is none called {name!r}; use {' or '.join(names)}")
    return next(source for source in cfg.sources if name in (None, source.name))


def _record(source: Source, recording: Recorder, stop: Stop, most_s: float | None) -> None:
    while not stop.asked and not source.done and (most_s is None or recording.seconds < most_s):
        now_s = time.monotonic()
        if (due_s := source.due_s(now_s)) > now_s:
            select.select([stop], (), (), min(due_s - now_s, IDLE_S))
            continue
        for piece in source.poll(now_s):
            recording.take(piece, most_s)


class Recorder:
    """Puts the pieces of a source into a file, each at its time: what was lost is silence there, and told.

    Args:
        path: of the file, which begins with the first sound. The gaps stand beside it, as Audacity's labels, in a
            ``.gaps.txt``.
        rate: of the sound that the source gives, in Hz.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self._path, self._rate = path, rate
        self._writer: Writer | None = None
        self._gaps = path.with_suffix(".gaps.txt")
        self.lost = 0.0
        """Seconds that were not heard, after the first sound."""

    @property
    def seconds(self) -> float:
        """Return how long the recording is."""
        return 0.0 if self._writer is None else self._writer.seconds

    @property
    def remarks(self) -> str:
        """Return what a person should know about the recording, after a semicolon each."""
        clipped = 0 if self._writer is None else self._writer.clipped
        lost = f"; {self.lost:.3f} s not heard, {self._gaps.name} says where" if self.lost else ""
        return lost + (f"; {clipped} samples were too loud" if clipped else "")

    def take(self, piece: object, most_s: float | None = None) -> None:
        """Write the piece, no longer than ``most_s`` in all, or tell it."""
        match piece:
            case Segment() if self._writer is None:
                self._writer = Writer(self._path, self._rate, piece.clock.utc_us(piece.start))
            case Sound() if self._writer is not None:
                room = len(piece.samples) if most_s is None else round(most_s * self._rate) - self._writer.samples
                self._writer.write(piece.samples[: max(0, room)])
            case Gap() if self._writer is not None:
                self._gap(self._writer, piece)
            case Status():
                complain(f"auricle: {piece.state}{f': {piece.detail}' if piece.detail else ''}")
            case Skipped():
                complain(f"auricle: skipped: {piece.reason}")
            case _:
                pass

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _gap(self, writer: Writer, gap: Gap) -> None:
        begin_s, lost_s = writer.seconds, gap.samples / gap.rate
        self.lost += lost_s
        writer.silence(round(lost_s * self._rate))
        with self._gaps.open("a", encoding="utf-8") as file:
            file.write(f"{begin_s:.6f}\t{writer.seconds:.6f}\tgap {gap.cause}\n")
            file.flush()
            os.fsync(file.fileno())
        at = messages.rfc3339(gap.clock.utc_us(gap.start))
        complain(f"auricle: gap of {lost_s:.3f} s ({gap.cause}) at {at}")
