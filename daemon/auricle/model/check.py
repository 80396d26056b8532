"""A check is one rule of a card; what could not be read of a card stands there as `UNREAD`, so that all the rest can
be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from auricle.model.card import Card

Check = Callable[[Card], Iterator[str]]
"""A rule yields what it has against a card, each as ``key: what is wrong``."""


MOST = 20
"""A rule tells so many faults; of more it says how many."""


class Unread(Exception):
    """Somebody asked for a value that could not be read."""


class _Unread:
    """Stands for a value, and raises `Unread` whatever it is asked for."""

    def _asked(self, *_: object) -> NoReturn:
        raise Unread

    __getattr__ = __getitem__ = __iter__ = __contains__ = __len__ = __bool__ = __hash__ = _asked
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _asked
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _asked
    __floordiv__ = __rfloordiv__ = __abs__ = __int__ = __float__ = __index__ = __format__ = __repr__ = __str__ = _asked


UNREAD: Any = _Unread()
"""Stands where a value could not be read: a rule that asks for it says no more, and the others speak all the same."""


def told(checks: Sequence[Check], card: Card) -> Iterator[str]:
    """Yield what these rules say, each up to where it asks for what could not be read."""
    for check in checks:
        found: list[str] = []
        with suppress(Unread):
            found.extend(check(card))
        yield from found[:MOST]
        if len(found) > MOST:
            yield f"{found[MOST].partition(':')[0]}: and {len(found) - MOST} more such from here on"


def holds(card: Card, checks: Sequence[Check]) -> bool:
    """Return whether these rules could read all that they ask for, and have nothing to say."""
    try:
        return not any(said for check in checks for said in check(card))
    except Unread:
        return False


def within(key: str, of: Callable[[Card], float | None], least: float, most: float) -> Check:
    """Return the rule that a number, if there is one, has its bounds."""

    def check(card: Card) -> Iterator[str]:
        value = of(card)
        if value is not None and not least <= value <= most:
            yield f"{key}: {value:.9g} cannot be; use {least:.9g} to {most:.9g}"

    return check
