"""`auricle clips` lists, plays and exports the sound that a daemon has kept of events, on this machine."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from auricle import messages
from auricle.clips import reading
from auricle.clips.beside import BESIDE, beside
from auricle.commands import marked
from auricle.commands.events import moment
from auricle.commands.marked import clips_folder, lying
from auricle.errors import EXIT_SKIPPED, DeviceError, OutputError, UsageError
from auricle.messages import Clip
from auricle.terminal import options, text
from auricle.terminal.help import PLAIN
from auricle.terminal.options import ConfigFile, Json

SILENCE_S = 0.25
"""So much silence follows a clip that is played."""

app = typer.Typer(help="List, play and export the sound that was kept of events.", no_args_is_help=True, **PLAIN)

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Of the clips; clips.folder of the configuration unless told.")
]
Since = Annotated[str | None, typer.Option(help="Such as 1h, 2d or 2026-03-01T06:30; all unless told.")]
OfLabel = Annotated[str | None, typer.Option("--label", help="Only clips of this label.")]
OfSource = Annotated[str | None, typer.Option("--source", help="Only clips of this source.")]


@app.command("list")
def list_(
    since: Since = None,
    label: OfLabel = None,
    source: OfSource = None,
    folder: Folder = None,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """List clips in the order of their times; exit 1 where a file cannot be read."""
    found, broken = _found(clips_folder(folder, config), since, label, source)
    for clip in found:
        if json:
            print(messages.encode(clip).decode())
        else:
            text.say(_line(clip))
    return EXIT_SKIPPED if broken else 0


@app.command()
def play(
    event: Annotated[str | None, typer.Argument(help="The event's id or a part of it; the newest unless told.")] = None,
    since: Since = None,
    label: OfLabel = None,
    source: OfSource = None,
    folder: Folder = None,
    device: Annotated[str | None, typer.Option(help="Which loudspeaker; the default one unless told.")] = None,
    config: ConfigFile = None,
) -> None:
    """Play a clip on this machine."""
    found, _ = _found(clips_folder(folder, config), since, label, source)
    clip = _chosen(found, event)
    text.say(_line(clip))
    assert clip.path is not None
    try:
        import sounddevice as sd

        wanted = None if device is None else options.device(device)
        with sd.OutputStream(clip.rate, channels=1, dtype="float32", device=wanted) as speaker:
            for block in reading.sound(clip.path, clip.rate // 10 + 1):
                speaker.write(block)
            # A sound server drops what is still on its way when the stream ends: that shall be silence.
            speaker.write(np.zeros((round(SILENCE_S * clip.rate), 1), np.float32))
    except (ImportError, OSError) as e:
        raise DeviceError(f"nothing can be played here: {e}; install PortAudio, or export the clip") from None
    except sd.PortAudioError as e:
        raise DeviceError(f"nothing can be played here: {e}; choose another --device, or export the clip") from None


@app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where copies go, in a folder for each source.")],
    event: Annotated[str | None, typer.Option("--event", help="Only that of this event: its id or a part.")] = None,
    since: Since = None,
    label: OfLabel = None,
    source: OfSource = None,
    folder: Folder = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="json|png", help="What to lay beside each; may be repeated."),
    ] = None,
    config: ConfigFile = None,
) -> int:
    """Copy clips, with what was said of each or a picture beside it; exit 1 where one cannot be read."""
    forms = with_ or []
    for form in forms:
        if form not in BESIDE:
            raise UsageError(f"--with: {form!r} is not known; use {' or '.join(BESIDE)}")
    found, broken = _found(clips_folder(folder, config), since, label, source)
    chosen = found if event is None else [_chosen(found, event)]
    for clip in chosen:
        assert clip.path is not None
        origin = Path(clip.path)
        target = out / origin.parent.name / origin.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(0o600)  # a copy of sound is for nobody else either, nor is what tells of it
            shutil.copy2(origin, target)
            content = target.read_bytes()
            clip.path, clip.sha256 = str(target), hashlib.sha256(content).hexdigest()
            for suffix, made in beside(clip, content, forms).items():
                lies = target.with_suffix(f".{suffix}")
                lies.touch(0o600)
                lies.write_bytes(made)
        except OSError as e:
            raise OutputError(f"{target}: cannot be written: {e.strerror}; name another folder") from None
    text.say(f"{out}: {len(chosen)} clips")
    return EXIT_SKIPPED if broken else 0


app.command("marked")(marked.command)


def _found(folder: Path, since: str | None, label: str | None, source: str | None) -> tuple[list[Clip], int]:
    """Return the clips that are asked for, by their times, and how many files cannot be read, which are named."""
    begin = None if since is None else moment(since)
    there, broken = lying(folder)
    found = [
        clip
        for clip in there
        if (begin is None or clip.t >= begin) and label in (None, clip.label) and source in (None, clip.source)
    ]
    return sorted(found, key=lambda clip: clip.t), broken


def _chosen(found: Sequence[Clip], event: str | None) -> Clip:
    """Return the clip that is meant: the newest, or the only one of an event whose id has this in it.

    Raises:
        UsageError: there is none, or there are several.
    """
    meant = [clip for clip in found if event is None or event in clip.id]
    if not meant:
        raise UsageError("there is no such clip; auricle clips list shows those there are")
    if event is not None and len(meant) > 1:
        raise UsageError(f"{event!r} is in the ids of {len(meant)} events; give more of it")
    return meant[-1]


def _line(clip: Clip) -> str:
    lost = sum(gap.samples for gap in clip.gaps) / clip.source_rate
    notes = "" if clip.exact else ", lossy"
    notes += f", {lost:.2f} s of it not heard" if lost else ""
    return f"{clip.t[:10]} {clip.t[11:22]}Z  {clip.source}  {clip.label:<16} {clip.duration_s:.2f} s{notes}  {clip.id}"
