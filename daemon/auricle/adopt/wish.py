"""A wish is what somebody asks for of a network; its graph, its labels and the keys of a card that he wrote himself
are read here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.adopt import child, known
from auricle.adopt.facts import Facts
from auricle.adopt.labels import Labels, beside, read, slug
from auricle.errors import ModelError, StoredError
from auricle.model import reading
from auricle.stored import plain

COMMANDS = ("add", "check", "remove", "show")
"""These words follow `auricle models` as commands, so that no model may have one for a name."""
ORDERS = ("file", "alphabet")
MOST_OF_CARD = 2**20
"""A file with keys of a card is no larger."""


@dataclass(frozen=True)
class Wish:
    """Holds what somebody asks for of a network.

    Args:
        path: the `.tflite` file.
        labels: a file with its labels, where they do not lie in it or beside it.
        name: what the bundle is to be called; as the file unless given.
        like: a front end of `known`.
        order: ``file``, or ``alphabet`` where the labels are not in the order of the scores.
        clip, of: a recording, and the label that is in it.
        card: a file with keys of a card that go before what is found.
        cut: take the graph from where it quantises features of its own, which are then made as they come.
    """

    path: Path
    labels: Path | None = None
    name: str | None = None
    like: str | None = None
    order: str = "file"
    clip: Path | None = None
    of: str | None = None
    card: Path | None = None
    cut: bool = False


def impossible(wish: Wish) -> list[str]:
    """Return why this cannot be asked for; empty if it can."""
    problems = []
    if wish.like not in (None, *known.LIKE):
        problems.append(f"--like: {wish.like!r} is not known; use {', '.join(known.LIKE[:-1])} or {known.LIKE[-1]}")
    if wish.order not in ORDERS:
        problems.append(f"--order: {wish.order!r} is not known; use {' or '.join(ORDERS)}")
    if (wish.clip is None) != (wish.of is None):
        problems.append("--clip and --is go together: a recording, and the label that is in it")
    if (name := name_of(wish)) in COMMANDS or re.fullmatch("[a-z0-9_-]+", name) is None:
        what = "is a command" if name in COMMANDS else "is no name"
        problems.append(f"--name: {name!r} {what}; use another, of small letters, digits, '_' and '-'")
    return problems


def name_of(wish: Wish) -> str:
    """Return what the bundle is to be called."""
    return slug(wish.path.stem) if wish.name is None else wish.name


@dataclass(frozen=True)
class Seen:
    """Holds what was read for a wish.

    Args:
        given: keys of a card that somebody wrote himself.
        problems: why its labels, or those keys, could not be read.
    """

    facts: Facts
    labels: Labels | None
    given: dict[str, Any]
    problems: list[str]


def look(wish: Wish, problems: list[str]) -> Seen:
    """Read all that a wish names.

    Raises:
        ModelError: the graph cannot be read, or there were problems before; then with everything that was found.
    """
    unread: list[str] = []
    facts: Facts | None = None
    labels: Labels | None = None
    given: dict[str, Any] = {}
    with _noting(problems):
        content = child.read(wish.path)
        facts = child.look(wish.path)
    with _noting(unread):
        if wish.labels is not None:
            labels = read(wish.labels)
        elif facts is not None:
            labels = beside(wish.path, content, facts.told)
    with _noting(unread):
        given = _given(wish)
    if facts is None or problems:
        raise ModelError(*problems, *unread)
    if labels is not None and wish.order == "alphabet":
        labels = labels.in_order()
    return Seen(facts, labels, given, unread)


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """Go on where something cannot be read, and keep why."""
    try:
        yield
    except ModelError as e:
        problems += e.lines()


def _given(wish: Wish) -> dict[str, Any]:
    """Read the keys of a card that somebody writes himself.

    Raises:
        ModelError: they cannot be read.
    """
    if wish.card is None:
        return {}
    try:
        text = plain.read(wish.card, MOST_OF_CARD)
    except StoredError as e:
        raise ModelError(str(e)) from None
    return reading.parsed(text, str(wish.card), "write some of a card, as front_end: {...}")
