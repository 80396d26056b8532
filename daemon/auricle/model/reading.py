"""``card.yaml`` becomes a checked `Card` here, or everything that is wrong in it is said at once, each with its
line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec
import yaml

from auricle.errors import ModelError
from auricle.model.card import Card
from auricle.model.check import UNREAD
from auricle.model.checks import faults

FORMAT = 1
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NEAR = 0.8
"""A key that people added to a card is taken for a misspelling if it is at least so alike to one of ours."""


def parsed(text: bytes, where: str, remedy: str) -> dict[str, Any]:
    """Return the keys that stand in a text of YAML.

    Args:
        text: of a card, or of a part of one.
        where: how to name it in errors.
        remedy: what to write instead of a text without keys.

    Raises:
        ModelError: it is no YAML, a value in it cannot be read, or it holds no keys.
    """
    if b"<<" in text:  # each may double what it names
        raise ModelError(f"{where}: merges (<<) are not read; write the keys out")
    try:
        raw = yaml.load(text, _LOADER)
    except yaml.YAMLError as e:
        raise ModelError(f"{where}: not YAML ({str(e).splitlines()[0]})") from None
    except (ValueError, ArithmeticError, AttributeError, LookupError, TypeError, RecursionError) as e:
        # A date that is none, a number of thousands of digits, a tag of YAML's own with the wrong value.
        raise ModelError(f"{where}: a value cannot be read ({' '.join(str(e).split())[:200]})") from None
    if not isinstance(raw, dict):
        raise ModelError(f"{where}: holds no keys; {remedy}")
    return raw


def read(text: bytes, where: str) -> tuple[Card, dict[str, Any]]:
    """Return a card, and all that stands in it.

    Args:
        text: the content of ``card.yaml``.
        where: how to name the card in errors.

    Raises:
        ModelError: every problem, each a line with its place.
    """
    raw = parsed(text, where, f"a card begins with format: {FORMAT}")
    if raw.get("format") != FORMAT:
        said = f"format {_short(raw['format'])} is not known" if "format" in raw else "format is missing"
        raise ModelError(f"{where}: {said}; this version reads format {FORMAT}")
    card, problems = checked(raw)
    if problems:
        raise ModelError(*placed(problems, text, where))
    return card, raw


def checked(raw: Mapping[str, Any]) -> tuple[Card, list[str]]:
    """Return the card that these keys make, and everything that is wrong with them, each as ``key: what is wrong``.

    What cannot be read of it stands in the card as `UNREAD`, so that the rest is checked too; such a card is of no
    other use.
    """
    problems: list[str] = []
    card: Card = _struct(raw, Card, "", problems)
    problems += _misspelt(raw)
    problems += faults(card)
    return card, problems


def _value(value: Any, of: Any, path: str, problems: list[str]) -> Any:
    """Return a value as the type that is declared, or `UNREAD`; with what is wrong among the problems."""
    of = get_args(of)[0] if get_origin(of) is Annotated else of
    structs = [each for each in (of, *get_args(of)) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    if structs and get_origin(of) not in (list, dict, tuple) and not (value is None and type(None) in get_args(of)):
        return _struct(value, structs[0], path, problems)
    try:
        return msgspec.convert(value, of)
    except msgspec.ValidationError as e:
        problems.append(f"{path}: {_said(str(e), value)}")
        return UNREAD


def _struct(value: Any, struct: Any, path: str, problems: list[str]) -> Any:
    """Return a section as far as it can be read."""
    if not isinstance(value, Mapping):
        problems.append(f"{path}: {_short(value)} cannot stand here; put the keys below it, indented")
        return UNREAD
    before = f"{path}." if path else ""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    problems += (
        f"{before}{_short(name)}: a key is a word; put it in quotes" for name in value if not isinstance(name, str)
    )
    given: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _value(value[name], field.type, before + name, problems)
        elif field.required:
            problems.append(f"{before}{name}: is missing")
            given[name] = UNREAD
    if struct.__struct_config__.forbid_unknown_fields:
        for name in value:
            if isinstance(name, str) and name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                meant = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(fields)}"
                problems.append(f"{before}{name}: unknown key; {meant}")
    return struct(**given)


def _misspelt(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield keys that people may add to a card, but that look like ours misspelt."""
    known = {field.name for field in msgspec.structs.fields(Card)}
    for name in raw:
        if name not in known and (near := difflib.get_close_matches(str(name), known, 1, _NEAR)):
            yield f"{name}: unknown key; did you mean {near[0]!r}?"


def _said(complaint: str, value: Any) -> str:
    """Return what msgspec says of a value, for people."""
    found = re.fullmatch(r"Expected `(.+?)`, got `(.+?)`(?: - at `\$(.*)`)?", complaint)
    if found is None:
        return complaint
    wanted, got, at = found.groups()
    shown = f"{_short(value)} " if at is None else f"{at.lstrip('.')} "
    # YAML 1.1 takes yes, no, on and off for true and false.
    quoted = "; put yes, no, on and off in quotes where they are words" if (wanted, got) == ("str", "bool") else ""
    return f"{shown}is {got}; use {wanted}{quoted}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def placed(problems: Sequence[str], text: bytes, where: str) -> list[str]:
    """Return the problems with the lines of their keys, in the order of the card."""
    lines = _lines(text)

    def at(problem: str) -> int:
        key = problem.partition(":")[0]
        while key and key not in lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return lines.get(key, 0)

    found = sorted((at(problem), i, problem) for i, problem in enumerate(dict.fromkeys(problems)))
    return [f"{where}:{line}: {problem}" if line else f"{where}: {problem}" for line, _, problem in found]


def _lines(text: bytes) -> dict[str, int]:
    """Return the line of every key and item, by its path."""
    found: dict[str, int] = {}
    waiting: list[tuple[Any, str]] = [(yaml.compose(text, _LOADER), "")]

    def here(path: str, mark: Any, value: Any) -> None:
        if len(found) < 100_000:
            found.setdefault(path, mark.line + 1)
            waiting.append((value, path))

    while waiting:
        node, path = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            before = f"{path}." if path else ""
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    here(before + key.value, key.start_mark, value)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                here(f"{path}[{i}]", value.start_mark, value)
    return found
