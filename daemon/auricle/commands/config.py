"""``auricle config``: look at the configuration, check it, begin one."""

from __future__ import annotations

import json

import typer

from auricle.commands.options import ConfigFile
from auricle.commands.plain import PLAIN

app = typer.Typer(help="Show, check and explain the configuration.", no_args_is_help=True, **PLAIN)


@app.command()
def show(config: ConfigFile = None) -> None:
    """Print the effective configuration as YAML, each value with where it came from, and the rules that hold."""
    from auricle import config as configs
    from auricle.commands import rules, text
    from auricle.config import show as written

    loaded = configs.load(config)
    print(written.show(loaded), end="")
    for line in rules.in_force(loaded):
        text.say(line)


@app.command()
def check(config: ConfigFile = None) -> None:
    """Print every problem, also with the models that are named, or ok; exit 78 when there is one."""
    from auricle import config as configs
    from auricle.config.read import check_labels
    from auricle.hearing import precedence
    from auricle.model import bundle

    loaded = configs.load(config)
    cards = {name: bundle.card_of(name, loaded.models_dir) for name in sorted({s.model for s in loaded.sources})}
    check_labels(loaded, {name: card.labels for name, card in cards.items()})
    precedence.check_all(loaded, cards)
    print(f"ok: {len(loaded.sources)} source(s), model {loaded.model}, configuration {loaded.hash()}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from auricle.config import show as written

    print(json.dumps(written.schema(), indent=2))


@app.command()
def example() -> None:
    """Print a commented configuration with every key, to begin with."""
    from auricle.config import show as written

    print(written.example(), end="")


@app.command()
def keys() -> None:
    """Print every key as a Markdown table."""
    from auricle.config import show as written

    print(written.table(), end="")
