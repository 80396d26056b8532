"""A kind of input says how good input is made and how a mutated one is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """Describes one kind of input.

    Args:
        seeds: makes good input, once, in a folder of its own.
        read: mutates some of the good input and reads that, in a folder of the case's own; returns a word on the
            result. What cannot be read is an `AuricleError`.
        may_die: whether the program reads such input in a child that may die of it.
    """

    seeds: Callable[[Path], Any]
    read: Callable[[random.Random, Path, Any], str]
    may_die: bool = False
