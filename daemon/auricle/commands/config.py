"""``auricle config`` shows the configuration, checks it, and begins one."""

from __future__ import annotations

import json

import typer

from auricle.terminal import options
from auricle.terminal.help import PLAIN
from auricle.terminal.options import ConfigFile

app = typer.Typer(help="Show, check and explain the configuration.", no_args_is_help=True, **PLAIN)


@app.command()
def show(config: ConfigFile = None) -> None:
    """Print the effective configuration as YAML, each value with where it came from, and the rules that hold."""
    from auricle import config as configs
    from auricle.config import show as written
    from auricle.service.overrides import lying_over
    from auricle.terminal import rules, text

    loaded, _, warnings = lying_over(configs.load(config))
    for line in warnings:
        text.complain(f"warning: {line}")
    print(written.show(loaded), end="")
    for line in rules.in_force(loaded):
        text.say(line)


@app.command()
def check(config: ConfigFile = None) -> None:
    """Print every problem that a start or a reload would refuse, also with the models, or ok; exit 78 with one.

    What a start would go without, such as a recording that is not there, is printed as a warning.
    """
    from auricle import config as configs
    from auricle.service.checks import check_sockets, doubts, load_models
    from auricle.service.overrides import lying_over
    from auricle.terminal import rules, text

    loaded = configs.load(config)
    check_sockets(loaded, started=False)
    models = load_models(loaded, options.trials())
    loaded, overridden, warnings = lying_over(loaded)
    for line in [*doubts(loaded), *warnings]:
        text.complain(f"warning: {line}")
    print(f"ok: {len(loaded.sources)} source(s), model {loaded.model}, configuration {loaded.hash()}")
    for line in overridden:
        text.say(line)
    if loaded.clips.enabled:
        for source in loaded.sources:
            text.say(rules.held_for_clips(loaded.clips, source, models[source.model]))


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
