"""`auricle mark` marks this moment, or an event, in the daemon's stream and history."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from auricle.client import AskMark, Marked, ask
from auricle.commands.events import moment
from auricle.errors import UsageError
from auricle.messages import MarkKind
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, KeyFile, QueryEndpoint

SLUG = re.compile(r"[a-z0-9_]+", re.ASCII)


def command(
    remark: Annotated[str, typer.Argument(metavar="TEXT", help="What to remember.")] = "",
    false: Annotated[bool, typer.Option("--false", help="The event was none: a false alarm.")] = False,
    right: Annotated[bool, typer.Option("--right", help="The event was one.")] = False,
    missed: Annotated[
        str | None, typer.Option(metavar="LABEL", help="There should have been an event of this label.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="Which event: its id or a part; the last one unless told.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="When it was: such as 10s (ago), or 2026-03-01T06:30:05.")] = None,
    label: Annotated[str | None, typer.Option(help="The last event of this label; of a text, what it was.")] = None,
    source: Annotated[str | None, typer.Option(help="Which source is meant.")] = None,
    new: Annotated[bool, typer.Option("--new", help="What was missed is to be taught yet: no model has it.")] = False,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    config: ConfigFile = None,
) -> int:
    """Mark the moment or the event, and print the mark's identifier, and what was marked; return the exit code.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there is no such source, label or event, or it is not clear what is meant.
    """
    if false + right + (missed is not None) > 1:
        raise UsageError("mark: --false, --right and --missed: one of them at a time")
    kind: MarkKind = "false" if false else "right" if right else "note" if missed is None else "missed"
    if kind == "note" and not remark:
        raise UsageError("mark: say what to remember, or --false, --right or --missed LABEL")
    if missed is not None and label is not None:
        raise UsageError("mark: --missed names the label; leave --label out")
    if new and missed is None:
        raise UsageError("mark: --new is of --missed LABEL; else leave it out")
    for option, given in (("--missed", missed), ("--label", label)):
        if given is not None and not SLUG.fullmatch(given):
            like = re.sub(r"[^a-z0-9]+", "_", given.casefold()).strip("_")
            hint = f"did you mean {like}?" if like else "labels are small letters, digits and underscores"
            raise UsageError(f"{option}: {given!r} is no label; {hint}")
    endpoint, pair = options.reach(query, key, config)
    question = AskMark(
        text=remark,
        label=label if missed is None else missed,
        source=source,
        kind=kind,
        event=event,
        at=None if at is None else moment(at, "--at"),
        new=new,
    )
    answer = ask(endpoint, question, Marked, key=pair)
    mark = answer.mark
    if mark is None or mark.kind == "note":
        text.say(answer.id)
    else:
        when = mark.at or mark.t
        text.say(f"{answer.id}  {mark.source} {when[:10]} {when[11:22]}Z {mark.label}: {mark.kind}")
    if answer.no_clip is not None:
        text.complain(f"auricle: mark: no sound of it is kept: {answer.no_clip}")
    return 0
