"""`auricle forget`: a label that was taught is taken away again."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.errors import UsageError
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A label that was taught: auricle teach --list.")],
    config: ConfigFile = None,
) -> int:
    """Take a label away from the bundle that carries it; return the exit code."""
    from auricle.model import bundle
    from auricle.teach import shelf

    folder = options.models_dir(options.load(config), "forget")
    known: list[str] = []
    for path in sorted(folder.glob("*/card.yaml")):
        card = bundle.card_of(str(path.parent))
        if card.heads is None:
            continue
        if name in card.heads.labels:
            left = shelf.forget(bundle.load(str(path.parent), first=options.trials()), name)
            gone = "; with it the bundle, which carried no other" if left is None else ""
            text.say(f"{name}: forgotten by {path.parent}{gone}")
            return 0
        known += card.heads.labels
    raise UsageError(f"forget: {name!r} was not taught; taught are {', '.join(sorted(known)) or 'none'}")
