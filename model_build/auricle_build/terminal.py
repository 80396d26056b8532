"""Commands share this: options, the recipe they are given, and progress as people see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auricle.errors import ConfigError
from auricle.terminal import progress

if TYPE_CHECKING:
    from auricle_build.grammar.recipes import Recipe
    from auricle_build.learn.training import Standing

RecipeFile = Annotated[Path, typer.Argument(help="The recipe: a YAML file, or the name of one in the package.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder of the recordings; the recipe's data.root unless told.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Where checkpoints, logs and cached features are kept.")]
Threads = Annotated[int, typer.Option("--threads", help="Threads to compute with.")]


def recipe(path: Path) -> Recipe:
    """Read the recipe of a command, by file or by name."""
    from auricle_build.grammar import read

    return read.load(path)


def tensorflow(command: str) -> None:
    """Refuse a command that trains or judges networks where TensorFlow is not installed.

    Raises:
        ConfigError: TensorFlow is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorflow") is None:
        raise ConfigError([f"{command}: TensorFlow is not installed; pip install 'auricle[build]'"])


class Display:
    """Shows progress, on a terminal as a bar, elsewhere as lines."""

    def __init__(self) -> None:
        self.bars = progress.bars(counted=True)
        self.console = self.bars.console
        self._reading: Any = None
        self._training: Any = None

    def reading(self, done: int, total: int) -> None:
        """Show that so many recordings are read."""
        if self._reading is None or done == 1:
            self._reading = self.bars.add_task("features", total=total)
        self.bars.update(self._reading, completed=done)

    def training(self, now: Standing) -> None:
        """Show how far training has come."""
        if self._training is None:
            self._training = self.bars.add_task("training", total=now.steps)
        self.bars.update(self._training, completed=now.step)
        if self.console.is_terminal and not now.judged and now.step < now.steps:
            return  # between checks the bar tells enough
        judged = ", ".join(f"{k} {v:.3f}" for k, v in now.judged.items())
        self.say(
            f"step {now.step} of {now.steps}: loss {now.loss:.3f}, accuracy {now.accuracy:.3f}"
            + (f"; kept aside: {judged}" if judged else "")
            + (f"; {now.mistaken} mistaken" if now.mistaken else "")
            + f"; {now.left_s / 60:.0f} min left"
        )

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, highlight=False)
