"""`auricle models` shows which models can be used by name, and what one of them hears by which rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from auricle import config
from auricle.errors import EXIT_SKIPPED, ModelError
from auricle.hearing import precedence
from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.terminal import options, rules, text
from auricle.terminal.options import ConfigFile, Json


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model, or a bundle's folder: its labels and their rules.")
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """List the models, or the labels of one; return the exit code."""
    models_dir = options.load(config).models_dir
    return print_models(models_dir, json=json) if name is None else print_model(name, models_dir, json=json)


def print_models(models_dir: Path | None, *, json: bool) -> int:
    """Print a line for each model, and return the exit code; a broken model is named and does not hide the others."""
    broken = 0
    for name, path in sorted(bundle.names(models_dir).items()):
        try:
            found = bundle.load(name, models_dir)
        except ModelError as e:
            text.complain(f"auricle: {e}")
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
                "streaming": card.streaming,
                "figures": found.raw.get("figures"),
            }
            print(msgspec.json.encode(entry).decode())
        else:
            text.say(f"{_head(name, found)}: {', '.join(card.labels)}")
            if card.description:
                text.say(f"    {card.description}")
    return EXIT_SKIPPED if broken else 0


def print_model(name: str, models_dir: Path | None, *, json: bool) -> int:
    """Print every label of a model, with the rule that the card proposes; return the exit code.

    Raises:
        ModelError: there is no such model, or the model does not hold.
    """
    found = bundle.load(name, models_dir)
    card = found.card
    if json:
        for row in rules.proposed(card):
            print(msgspec.json.encode({"model": card.name, **row}).decode())
        return 0
    front = card.front_end
    window_s = ((card.timing.window_frames - 1) * front.hop_length + front.n_fft) / front.sample_rate
    hop_ms = precedence.hop(card, config.Decision()).value
    text.say(f"{_head(card.name, found)}, hash {found.hash}")
    if card.description:
        text.say(f"    {card.description}")
    print(f"    a decision every {hop_ms:g} ms, upon the last {window_s:.2f} s of sound\n")
    for line in rules.table(card):
        text.say(line)
    print("\nThese are the model's own; what your configuration makes of them: auricle config show")
    return 0


def _head(name: str, found: Bundle) -> str:
    return f"{name}  {len(found.whole) / 1000:.0f} KB, {found.card.licence}"
