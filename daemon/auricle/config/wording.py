"""Errors and ``config show`` take their wording from here: values quoted and masked, lists of words, the word that was
meant."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from auricle.secrecy import mask


def printable(text: str) -> str:
    r"""Write the text on one line, for a terminal or a log: what cannot be printed is escaped, as ``\x1b`` or ``\n``.

    A byte that was no UTF-8 (PEP 383) becomes ``\xff``, so that a file's odd name can be told from others.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def shown(value: object, limit: int = 60) -> str:
    """Quote a value for an error: on one line, masked, not longer than ``limit``."""
    text = mask(str(value))
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def listed(words: Sequence[str], joint: str = "or") -> str:
    """Join words as a sentence does: a, b or c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Find the known word that was probably meant."""
    import difflib  # only a mistake needs it

    folded = {name.casefold(): name for name in reversed(known)}
    found = difflib.get_close_matches(word.casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    if found:
        return folded[found[0]]
    return next((name for name in known if len(word) > 2 and word.casefold() in name.casefold()), None)


def number(value: float) -> str:
    """Write a number without an exponent, which not every reader of YAML takes for a number: 80, 0.5, 0.000001."""
    return str(int(value)) if float(value).is_integer() else format(Decimal(repr(value)), "f")
