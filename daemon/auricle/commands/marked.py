"""`auricle clips marked` collects the clips of what was marked, as material to learn from and truth to judge by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle import messages
from auricle.clips import marked, reading
from auricle.clips.marked import Marked
from auricle.commands.events import history, moment
from auricle.errors import EXIT_SKIPPED, AudioError, OutputError, UsageError
from auricle.messages import Clip, Event, Mark
from auricle.service.folder import found as kept_in
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, KeyFile, QueryEndpoint

NAMED = 3
"""So many of the events that nobody marked are named."""


def command(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where copies and tables go; may have some already.")],
    since: Annotated[
        str | None, typer.Option(help="Marks since: such as 1h, 2d or 2026-03-01T06:30; all unless told.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Only marks of this label.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only marks of this source.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Of the clips; clips.folder of the configuration unless told.")
    ] = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    config: ConfigFile = None,
) -> int:
    """Copy the clips of what was marked, and write the tables about them; exit 1 where a clip cannot be read.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: no history is kept, or there are no clips.
        OutputError: the folder cannot be written.
    """
    endpoint, pair = options.reach(query, key, config)
    past = history(endpoint, None if since is None else moment(since), label=label, source=source, key=pair)
    marks = marked.lasting(message for message in past if isinstance(message, Mark))
    clips, broken = lying(clips_folder(folder, config))
    found = marked.pick(marks, clips)
    try:
        out.mkdir(0o700, parents=True, exist_ok=True)
        marked.copy(found, out)
        right, false = marked.write_tables(out)
    except OSError as e:
        raise OutputError(f"{out}: cannot be written: {e.strerror}; name another folder") from None
    text.say(f"{out}: {len(found)} clips of {len(marks)} marks; with those of before {right} right, {false} false")
    if len(found) < len(marks):
        text.complain(f"auricle: {len(marks) - len(found)} of what was marked has no clip (any more)")
    if unsaid := _unmarked(found, marks, [message for message in past if isinstance(message, Event)]):
        some = ", ".join(f"{event.label} {event.id}" for event in unsaid[:NAMED])
        more = f" and {len(unsaid) - NAMED} more" if len(unsaid) > NAMED else ""
        text.complain(f"auricle: in these clips are events that nobody marked, taken for false: {some}{more}")
    return EXIT_SKIPPED if broken else 0


def taught_by(label: str, endpoint: str, key: Path | None, folder: Path) -> tuple[list[str], list[str]]:
    """Return the files of the clips that are marked as a label, and of those that are marked as none of it.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there are no clips, or none of those that are marked.
    """
    from auricle.teach.clips import LONGEST_S

    past = history(endpoint, label=label, key=key)
    clips, _ = lying(folder)
    found = marked.pick((message for message in past if isinstance(message, Mark)), clips)
    paths: dict[str, list[str]] = {sort: [] for sort in marked.SORTS}
    for each in found:
        assert each.clip.path is not None
        if each.clip.duration_s <= LONGEST_S:
            paths[each.sort].append(each.clip.path)
        else:
            text.complain(f"auricle: {each.clip.path}: {each.clip.duration_s:.0f} s; left out, it is more than a sound")
    if not paths["right"]:
        raise UsageError(
            f"teach: no clip is marked as {label}; with clips.enabled, auricle mark --missed {label} --new "
            "when it was heard, or --right"
        )
    return paths["right"], paths["false"]


def clips_folder(named: Path | None, config: Path | None) -> Path:
    """Return the folder of the clips: as named, as configured, else where a daemon keeps them on this machine."""
    return named or options.load(config).clips.folder or kept_in("clips")


def lying(folder: Path) -> tuple[list[Clip], int]:
    """Return the clips in a folder, and how many files cannot be read, which are named.

    Raises:
        UsageError: there is no such folder.
    """
    found: list[Clip] = []
    broken = 0
    for path, clip in reading.clips(folder):
        if isinstance(clip, AudioError):
            text.complain(f"auricle: {path}: {clip}")
            broken += 1
        else:
            found.append(clip)
    return found, broken


def _unmarked(found: list[Marked], marks: list[Mark], events: list[Event]) -> list[Event]:
    """Return the events in clips of which nobody said anything: truth would have them as none."""
    said = {marked.about(mark) for mark in marks}

    def inside(event: Event, clip: Clip) -> bool:
        begin_us = messages.microseconds(clip.t)
        end_us = begin_us + round(1e6 * clip.duration_s)
        over_us = end_us if event.offset is None else messages.microseconds(event.offset)
        return (event.source, event.file) == (clip.source, clip.file) and (
            messages.microseconds(event.onset) < end_us and over_us > begin_us
        )

    return [event for event in events if event.id not in said and any(inside(event, each.clip) for each in found)]
