"""Where the program begins. The daemon itself starts without the command line's libraries, a quarter of its start."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

# numpy's BLAS would otherwise start a thread a core; set before anything loads numpy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from auricle.errors import AuricleError
from auricle.service import allocator

OPTIONS = {"--config": "config", "-c": "config", "--model": "model"}
"""Of `auricle run`."""


def main() -> None:
    """The entry point: an error is one line, never a traceback."""
    allocator.keep_freed()
    try:
        if (options := _plain(sys.argv[1:])) is not None:
            from auricle.service import life

            path = options.get("config")
            sys.exit(life.main(None if path is None else Path(path), options.get("model")))
        from auricle.commands.cli import app

        app(standalone_mode=True)
    except AuricleError as e:
        for line in e.lines():
            print(f"auricle: error: {line}", file=sys.stderr)
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone: that is how a pipe ends, not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _plain(arguments: Sequence[str]) -> dict[str, str] | None:
    """The options of an `auricle run` that says nothing unusual; ``None`` where the command line has to be asked."""
    if not arguments or arguments[0] != "run" or len(arguments) % 2 == 0:
        return None
    names, values = arguments[1::2], arguments[2::2]
    if any(name not in OPTIONS for name in names) or any(value.startswith("-") for value in values):
        return None
    return {OPTIONS[name]: value for name, value in zip(names, values, strict=True)}
