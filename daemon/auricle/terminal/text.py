"""Lines of text for a person are made here, and printed on the terminal."""

from __future__ import annotations

import re
import sys

import msgspec

from auricle import messages
from auricle.config import printable
from auricle.messages import decode

__all__ = ["also", "called", "complain", "decode", "duration", "line", "say"]


def say(line: str) -> None:
    """Print a line on standard output; names and labels in it, which are others' words, steer no terminal."""
    print(printable(line), flush=True)


def complain(line: str) -> None:
    """Print a line on standard error, as :func:`say` does."""
    print(printable(line), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Write a duration as ``1:02.35``, or ``1:02:03.35`` from an hour on."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def called(label: str, display: object) -> str:
    """Write what people call a label, and the label beside it where it cannot be read out of that."""
    if not isinstance(display, str):
        return label
    plain = re.sub(r"[^a-z0-9]+", "_", display.casefold()).strip("_")
    return display if plain == label else f"{display} ({label})"


def also(event: messages.Event) -> str:
    """Write what else an event is, as in ``, also alarm``; empty if nothing."""
    return f", also {', '.join(event.also)}" if isinstance(event.also, list) else ""


def line(message: messages.AnyMessage) -> str | None:
    """Write what a person wants to read of a message, on one printable line; ``None`` for scores, spectra,
    updates and health."""
    found = _line(message)
    return None if found is None else printable(found)


def _line(message: messages.AnyMessage) -> str | None:
    match message:
        case messages.Event(phase="update"):
            return None
        case messages.Event():
            if message.file is not msgspec.UNSET and isinstance(message.onset_s, float):
                where = f"{message.file}  {duration(message.onset_s)}"
            else:
                where = f"{message.source}  {message.onset[11:22]}"
            name = called(message.label, message.display)
            if message.phase == "onset":
                return f"{where}  {name:<16} begins  {message.score:.2f}{also(message)}"
            cause = "" if message.cause in ("score", msgspec.UNSET) else f" ({message.cause})"
            lasted = f"{message.duration_s:.2f} s, peak {message.peak:.2f}"
            return f"{where}  {name:<16} ended   {lasted}{also(message)}{cause}"
        case messages.Gap():
            lost = f"{'about ' if message.estimated else ''}{message.duration_s:.3f} s not heard ({message.cause})"
            return f"{message.source}  {message.t[11:22]}  gap: {lost}"
        case messages.Status():
            detail = f": {message.detail}" if message.detail else ""
            return f"{message.source or 'auricle'}  {message.t[11:22]}  {message.state}{detail}"
        case messages.Clip():
            what = f"clip: none ({message.why})" if message.path is None else f"clip of {message.duration_s:.2f} s"
            return f"{message.source}  {message.t[11:22]}  {message.label:<16} {what}"
        case messages.Mark():
            when = message.t if message.at is None else message.at
            said: list[str] = [] if message.kind == "note" else [message.kind]
            said += [each for each in (message.label, message.text) if each]
            return f"{message.source or 'auricle'}  {when[11:22]}  mark: {' '.join(said)}"
        case _:
            return None
