"""`auricle run` is the daemon."""

from __future__ import annotations

from auricle.service import life
from auricle.terminal.options import ConfigFile, ModelName


def command(config: ConfigFile = None, model: ModelName = None) -> int:
    """Run the daemon until it is stopped; return the exit code."""
    return life.main(config, model)
