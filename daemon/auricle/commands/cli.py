"""The command line is this list of commands; a command's options stand with its function, in the file of its name.

A file is imported when its command is called. So `auricle status` loads no network, and `auricle --help` nothing but
this list, which is why a command's one line of help stands here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from auricle import __version__
from auricle.terminal.help import PLAIN

COMMANDS = {
    "run": "Run the daemon: listen to every source and publish what is heard.",
    "replay": "Replay recordings as a fake stream through the daemon's own pipeline.",
    "classify": "Say of each recording what it is, as a whole.",
    "listen": "Subscribe to a running daemon and show what it says.",
    "status": "Ask the daemon whether it hears: exit 0 if so, 1 if not all is well, 69 if there is none.",
    "events": "Ask the daemon for the events of the past.",
    "clips": "List, play and export the sound that was kept of events.",
    "explain": "Say why there was an event at a time, or none: scores, thresholds, what held it back, gaps.",
    "mark": "Mark this moment in the daemon's stream and history.",
    "pause": "Close microphones for a while; a restart does not open them.",
    "resume": "Hear paused microphones again.",
    "bridge": "Hand events on to other programs: MQTT and Home Assistant, Prometheus, notifications.",
    "web": "Show what the daemon hears as a page in a browser: spectrogram, events, scores, history.",
    "topics": "List every topic: what is said there, when, and an example.",
    "demo": "Hear a synthesised scene through the daemon and a subscriber: does it all work here?",
    "bench": "Measure what this machine can carry with this configuration.",
    "scan": "Hear recordings in bulk, with several processes; goes on where it was interrupted.",
    "record": "Record what the daemon would hear, with the same capture, into a file.",
    "show": "Draw a recording: spectrogram, level, scores, events, and the truth if it is told.",
    "evaluate": "Judge the daemon's decisions on recordings whose truth is known.",
    "tune": "Find thresholds that keep a budget of false alarms, from recordings of your own.",
    "features": "Compute the features of a recording, as the daemon does.",
    "noise": "Record a room's noise, for the gate to take away. The profile holds the sound itself.",
    "devices": "List the microphones that can be heard, with their rates.",
    "doctor": "Look this machine over: each line is ok, or says what to do; exit 1 if something is to be mended.",
    "models": "List the models that can be used by name, show one with its rules, or add one of your own.",
    "teach": "Teach the model a sound of your own, from twenty clips or so.",
    "forget": "Take away a label that was taught.",
    "keys": "Make keys, and say whose may connect to the daemon.",
    "config": "Show, check and explain the configuration.",
}
"""Each command is the function `command` of the file of its name, or the `app` of one that has commands of its own."""


class Commands(TyperGroup):
    """Imports a command when it is called, where Typer's own group would want all of them at the start."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # of these Typer suggests one for a typo

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command, and make of its function what Typer runs; ``None`` if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"auricle.commands.{cmd_name}")
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        alone = typer.Typer(**PLAIN)
        alone.command(cmd_name, help=COMMANDS[cmd_name])(module.command)
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _leave(code: int | None, **_: object) -> None:
    """Exit with the code that a command's function has returned."""
    raise typer.Exit(code or 0)


app = typer.Typer(
    name="auricle",
    help="Auricle listens: live sound in, named events out over ZeroMQ.",
    cls=Commands,
    result_callback=_leave,
    no_args_is_help=True,
    **PLAIN,
)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"auricle {__version__}")
        raise typer.Exit
