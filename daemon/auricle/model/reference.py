"""The keys of a card are listed here for people, from the types that read them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from auricle.model.card import Card

_WORDS: dict[Any, str] = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "anything"}


def bare(of: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(of)[0] if get_origin(of) is Annotated else of


def table() -> str:
    """Write the keys of a card as a Markdown table."""
    rows = ["| key | holds | unless written | what |", "|-|-|-|-|", *_rows(Card, "")]
    return "\n".join(rows) + "\n"


def _rows(of: type[msgspec.Struct], before: str) -> Iterator[str]:
    for field in msgspec.structs.fields(of):
        said = next((each.description for each in get_args(field.type) if isinstance(each, msgspec.Meta)), None)
        if said is None:
            continue  # of what `auricle-build` alone writes
        inner = _struct(bare(field.type))
        yield f"| `{before}{field.name}` | {_holds(bare(field.type))} | {_default(field)} | {said} |"
        if inner is not None:
            yield from _rows(inner, f"{before}{field.name}.")


def _struct(of: Any) -> type[msgspec.Struct] | None:
    """Return the section that a key holds; `None` if it holds none."""
    found = [each for each in (of, *get_args(of)) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return found[0] if found and get_origin(of) is not list else None


def _holds(of: Any) -> str:
    origin, parts = get_origin(of), get_args(of)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _holds(part) for part in parts)
    if origin is list:
        return "a list of sections" if _struct(parts[0]) is not None else f"a list: {_holds(parts[0])}"
    if origin is tuple:
        return f"a list: {_holds(parts[0])}"
    if origin is dict:
        return f"by name: {_holds(parts[1])}"
    return "section" if _struct(of) is not None else _WORDS[of]


def _default(field: Any) -> str:
    if field.required:
        return "must be told"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "" if isinstance(value, msgspec.Struct) or value in ("", {}) else f"`{value}`"
