"""What is mutated and read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """Something that is read.

    Args:
        seeds: makes what is well, once, in a folder of its own.
        read: mutates some of it and reads that, in a folder of the case's own; what the result is like. What cannot be
            read is an `AuricleError`.
        may_die: whether the program reads it in a child that may die of it.
    """

    seeds: Callable[[Path], Any]
    read: Callable[[random.Random, Path, Any], str]
    may_die: bool = False
