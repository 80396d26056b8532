"""`auricle models`: which models can be used by name, what each hears by which rules, and how others come in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from typer.core import TyperGroup

from auricle import config as configs
from auricle.errors import EXIT_SKIPPED, ModelError, UsageError
from auricle.hearing import precedence
from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.model.card import Card
from auricle.terminal import options, rules, text
from auricle.terminal.help import PLAIN
from auricle.terminal.options import ConfigFile, Json

_TRIES = 5
"""The network is run so often to see what a decision costs; the best counts, in processor time: others may use the
processor meanwhile."""


class Models(TyperGroup):
    """Takes a word that is no command for the name of a model, to be shown."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is called."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    help="List the models that can be used by name, show one, or add one of your own.",
    cls=Models,
    invoke_without_command=True,
    **PLAIN,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, or a bundle's folder.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The network, a .tflite file.")]
LabelFile = Annotated[
    Path | None, typer.Option("--labels", help="Its labels, a line each, where they are not in the file or beside it.")
]
Like = Annotated[
    str | None, typer.Option("--like", help="The front end it was trained on: yamnet, kws, mel, micro or birdnet.")
]
Order = Annotated[str, typer.Option("--order", help="Of its labels: file, or alphabet where the list is not theirs.")]
Clip = Annotated[Path | None, typer.Option("--clip", help="A recording that proves that the network hears.")]
Is = Annotated[str | None, typer.Option("--is", help="The label that is in it.")]
OwnCard = Annotated[
    Path | None, typer.Option("--card", help="Keys of a card that go before what is found: docs/bring-your-own.md.")
]
Cut = Annotated[
    bool, typer.Option("--cut", help="Where the graph quantises features of its own, make these as they come.")
]
Own = Annotated[str | None, typer.Option("--name", help="What to call it; as the file unless told.")]


@app.callback()
def command(ctx: typer.Context, json: Json = False, config: ConfigFile = None) -> int:
    """List the models, where no command is named; the exit code."""
    if ctx.invoked_subcommand is not None:
        return 0
    return print_models(options.load(config).models_dir, json=json)


@app.command()
def show(name: Name, json: Json = False, config: ConfigFile = None) -> int:
    """Print every label of a model with the rule that it proposes."""
    return print_model(name, options.load(config).models_dir, json=json)


@app.command()
def add(
    path: File,
    labels: LabelFile = None,
    name: Own = None,
    like: Like = None,
    order: Order = "file",
    clip: Clip = None,
    of: Is = None,
    card: OwnCard = None,
    cut: Cut = False,
    config: ConfigFile = None,
) -> int:
    """Make a bundle of somebody's network, and say what was found, what assumed, and what nobody knows."""
    from auricle.adopt import add as adopting
    from auricle.adopt.wish import Wish

    wish = Wish(path, labels, name, like, order, clip, of, card, cut)
    adopted = adopting.add(wish, options.models_dir(options.load(config), "models"))
    _tell(adopted)
    print(f"added as {adopted.bundle.path}; hear with it: auricle run --model {adopted.bundle.card.name}")
    return 0


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="NAME|FILE", help="A model, a bundle's folder, or a .tflite file.")],
    labels: LabelFile = None,
    name: Own = None,
    like: Like = None,
    order: Order = "file",
    clip: Clip = None,
    of: Is = None,
    card: OwnCard = None,
    cut: Cut = False,
    config: ConfigFile = None,
) -> int:
    """Try a model, or a network before it is added, in a process of its own: everything that a start would."""
    from auricle.adopt import add as adopting
    from auricle.adopt.wish import Wish
    from auricle.service.trial import Trials

    if path.suffix == ".tflite":
        _tell(adopting.check(Wish(path, labels, name, like, order, clip, of, card, cut)))
        print("ok: it can be added")
        return 0
    if any(given is not None for given in (labels, name, like, clip, of, card)) or cut or order != "file":
        raise UsageError("models check: its other options are for a .tflite file")
    found = bundle.load(str(path), options.load(config).models_dir, first=Trials(None))
    text.say(f"ok: {found.path}, hash {found.hash}: its files are those of its card, and its golden vectors hold")
    return 0


@app.command()
def remove(name: Name, config: ConfigFile = None) -> int:
    """Take a model away from models_dir."""
    from auricle.adopt import add as adopting

    cfg = options.load(config)
    if used := [source.name for source in cfg.sources if source.model == name]:
        raise UsageError(f"models remove: {name} is what {', '.join(used)} hears with; configure another model first")
    folder = options.models_dir(cfg, "models")
    text.say(f"removed {adopting.remove(name, folder)}")
    return 0


def _tell(adopted: Any) -> None:
    """Print what is known of a network that others made."""
    for head, lines in (
        ("found", adopted.draft.found),
        ("assumed", adopted.draft.assumed),
        ("not known", adopted.draft.unknown),
        ("proven", [adopted.proven] if adopted.proven else []),
    ):
        for line in lines:
            text.say(f"{head + ':':10} {line}")


def print_models(models_dir: Path | None, *, json: bool) -> int:
    """Print a table of the models, and return the exit code; a broken one is named and does not hide the others."""
    broken = 0
    rows = []
    first = options.trials()
    for name, path in sorted(bundle.names(models_dir).items()):
        try:
            found = bundle.load(name, models_dir, first=first)
            cost_ms = _cost_ms(found)
        except ModelError as e:
            for line in e.lines():
                text.complain(f"auricle: {line}")
            broken += 1
            continue
        card = found.card
        if json:
            entry = {
                "name": name,
                "path": str(path),
                "hash": found.hash,
                "labels": card.labels,
                "licence": card.licence,
                "description": card.description,
                "model_kb": round(len(found.whole) / 1000, 1),
                "window_s": round(card.window_s, 3),
                "hop_ms": precedence.hop(card, configs.Decision()).value,
                "decision_ms": round(cost_ms, 3),
                "streaming": card.streaming,
                "figures": found.raw.get("figures"),
            }
            print(msgspec.json.encode(entry).decode())
        else:
            rows.append(_row(name, found, cost_ms))
    if rows:
        for line in _table(["model", "labels", "size", "window", "hop", "cost here", "licence"], rows):
            text.say(line)
        print("\nThe labels of one and their rules: auricle models show NAME")
    return EXIT_SKIPPED if broken else 0


def _row(name: str, found: Bundle, cost_ms: float) -> list[str]:
    card = found.card
    return [
        name,
        str(len(card.labels)),
        f"{len(found.whole) / 1000:.0f} KB",
        f"{card.window_s:.2f} s",
        f"{precedence.hop(card, configs.Decision()).value:g} ms",
        f"{cost_ms:.2f} ms",
        card.licence,
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    last = len(heads) - 1
    for row in (heads, *rows):
        cells = [
            f"{cell:{width}}" if i in (0, last) else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _cost_ms(found: Bundle) -> float:
    """Return what the network costs a decision here, on a core by itself."""
    card, best = found.card, float("inf")
    if found.network is not None:
        hop_ms = precedence.hop(card, configs.Decision()).value
        frames = round(hop_ms * card.front_end.sample_rate / 1000) // card.front_end.hop_length
        new, state = np.zeros((1, frames, card.n_features), np.int8), [found.network.begin()]
        for _ in range(_TRIES):
            began = time.thread_time()
            found.network(new, state)
            best = min(best, time.thread_time() - began)
        return 1000 * best
    window = np.zeros((card.timing.window_frames, card.n_features), card.input.dtype)
    for _ in range(_TRIES):
        began = time.thread_time()
        found.windows(window)
        best = min(best, time.thread_time() - began)
    return 1000 * best


def print_model(name: str, models_dir: Path | None, *, json: bool) -> int:
    """Print every label of a model with the rule that the card proposes, and return the exit code.

    Raises:
        ModelError: there is no such model, or the model does not hold.
    """
    found = bundle.load(name, models_dir, first=options.trials())
    card = found.card
    if json:
        for row in rules.proposed(card):
            print(msgspec.json.encode({"model": card.name, **row}).decode())
        return 0
    hop_ms = precedence.hop(card, configs.Decision()).value
    text.say(f"{card.name}  {len(found.whole) / 1000:.0f} KB, {card.licence}, hash {found.hash}")
    if card.description:
        text.say(f"    {card.description}")
    print(f"    {_takes(card)}; a decision every {hop_ms:g} ms, upon the last {card.window_s:.2f} s of sound\n")
    for line in rules.table(card):
        text.say(line)
    print("\nThese are the model's own; what your configuration makes of them: auricle config show")
    return 0


def _takes(card: Card) -> str:
    """Return what the network takes, for people."""
    what = "sound" if card.input.kind == "waveform" else " x ".join(map(str, card.input.shape)) + " features"
    return f"takes {what} as {card.input.dtype}"
