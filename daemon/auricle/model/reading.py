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
    if problems or card is None:
        raise ModelError(*placed(problems, text, where))
    return card, raw


def checked(raw: Mapping[str, Any]) -> tuple[Card | None, list[str]]:
    """Return the card that these keys make, if they make one, and everything that is wrong with them, each as ``key:
    what is wrong``."""
    problems = [*_misread(raw, Card, ""), *_misspelt(raw)]
    card = _converted(raw, problems)
    if card is not None:
        problems += faults(card)
    return card, problems


def _converted(raw: Mapping[str, Any], problems: list[str]) -> Card | None:
    """Return the card; where single keys of it cannot be read, what it says without them, if it says enough."""
    left = dict(raw)
    for problem in problems:
        left.pop(re.split(r"[.:\[]", problem, maxsplit=1)[0], None)
    try:
        return msgspec.convert(left if problems else raw, Card)
    except msgspec.ValidationError as e:
        if not problems:  # an error says something, whatever was overlooked here
            problems.append(str(e))
        return None


def _misread(value: Any, of: Any, path: str) -> Iterator[str]:
    """Yield what in a value is not of the type that is declared, each as ``key: what is wrong``."""
    of = get_args(of)[0] if get_origin(of) is Annotated else of
    structs = [each for each in (of, *get_args(of)) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    if not structs or get_origin(of) in (list, dict, tuple) or (value is None and type(None) in get_args(of)):
        try:
            msgspec.convert(value, of)
        except msgspec.ValidationError as e:
            yield f"{path}: {_said(str(e), value)}"
        return
    (struct,) = structs
    if not isinstance(value, Mapping):
        yield f"{path}: {_short(value)} cannot stand here; put the keys below it, indented"
        return
    before = f"{path}." if path else ""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    for name in value:
        if not isinstance(name, str):
            yield f"{before}{_short(name)}: a key is a word; put it in quotes"
    for name, field in fields.items():
        if name in value:
            yield from _misread(value[name], field.type, before + name)
        elif field.required:
            yield f"{before}{name}: is missing"
    if struct.__struct_config__.forbid_unknown_fields:
        for name in value:
            if isinstance(name, str) and name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                meant = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(fields)}"
                yield f"{before}{name}: unknown key; {meant}"


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
            key = key.rpartition(".")[0]
        return lines.get(key, 0)

    found = sorted((at(problem), i, problem) for i, problem in enumerate(dict.fromkeys(problems)))
    return [f"{where}:{line}: {problem}" if line else f"{where}: {problem}" for line, _, problem in found]


def _lines(text: bytes) -> dict[str, int]:
    """Return the line of every key, by its path."""
    found: dict[str, int] = {}
    waiting: list[tuple[Any, str]] = [(yaml.compose(text, _LOADER), "")]
    while waiting:
        node, before = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and len(found) < 100_000:
                    path = before + key.value
                    found.setdefault(path, key.start_mark.line + 1)
                    waiting.append((value, f"{path}."))
    return found
