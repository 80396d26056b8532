"""Faults are planted here for the fork server to find: `python -m helpers.fuzz.planted` judges two cases of each."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from auricle.errors import AuricleError, ConfigError
from helpers.fuzz import server
from helpers.fuzz.kind import Kind

server.WALL_S = 4.0
server.CPU_S = 1


def _refuse(*lines: str) -> str:
    raise ConfigError(lines)


class _SplitError(AuricleError):
    """Says its problem as it came, where every other error says it on one line."""

    def lines(self) -> list[str]:
        return [str(self)]


def _split() -> str:
    raise _SplitError("a.wav: cannot\nbe")


def _log() -> str:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logging.getLogger("auricle").exception("kept")
    return ""


def _spin() -> str:
    while True:
        pass


def _write() -> str:
    os.write(2, b"of a decoder's own\n")
    return ""


def _warn() -> str:
    warnings.warn("a mean of nothing", RuntimeWarning, stacklevel=1)
    return ""


def _abort() -> str:
    os.abort()


DONE: dict[str, Callable[[], str]] = {
    "well": lambda: "a result",
    "line": lambda: _refuse("a.yaml:1: cannot be; mend it"),
    "traceback": lambda: str({}["nothing"]),
    "warning": _warn,
    "logged": _log,
    "two lines": _split,
    "memory": lambda: str(len(bytearray(400 * 2**20))),
    "hang": lambda: str(time.sleep(60)),
    "loop": _spin,
    "abort": _abort,
    "word": _write,
    "allowed": _abort,
}


def _kind(name: str) -> Kind:
    def read(chance: random.Random, folder: Path, seeds: None) -> str:
        return DONE[name]()

    return Kind(lambda folder: None, read, may_die=name == "allowed")


if __name__ == "__main__":
    with server.Server({name: _kind(name) for name in DONE}, tuple(DONE)) as judge:
        for found in judge.run(range(2 * len(DONE))):
            print(json.dumps(asdict(found)), flush=True)  # what is left in a buffer a child would write
    sys.exit(0)
