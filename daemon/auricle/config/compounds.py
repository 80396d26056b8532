"""Some kinds are made of others: one of several, a list, two in brackets, a value for each name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from auricle.config.kinds import Kind, Misfit, Text
from auricle.config.tree import Branch, Leaf, Node, Row
from auricle.config.wording import listed


def each(given: Iterable[tuple[Kind, Node]]) -> list[Any]:
    """Read the value of each node as its kind; raises Misfit with every item at fault."""
    found, refusals = [], []
    for kind, item in given:
        try:
            found.append(kind.read(item))
        except Misfit as refusal:
            refusal.item = refusal.item or item
            refusals += [refusal, *refusal.also]
    if refusals:
        first, *others = refusals
        first.also = tuple(others)
        raise first
    return found


@dataclass(frozen=True, slots=True)
class OneOf:
    """Takes the first of several kinds that fits; what is quoted is a text where a text may stand."""

    kinds: tuple[Kind, ...]
    what: str = ""

    def read(self, node: Node) -> Any:
        kinds = self.kinds
        if isinstance(node, Leaf) and not node.plain and isinstance(kinds[-1], Text):
            kinds = kinds[-1:]
        refusals = []
        for kind in kinds:
            try:
                return kind.read(node)
            except Misfit as refusal:
                refusals.append(refusal)
        raise next((refusal for refusal in refusals if refusal.near), None) or Misfit("is not understood")

    def wants(self) -> str:
        return self.what or listed([kind.wants() for kind in self.kinds])

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.schema() for kind in self.kinds]}


@dataclass(frozen=True, slots=True)
class Many:
    """Takes a list of values; one alone needs no brackets."""

    kind: Kind
    fewest: int = 0

    def read(self, node: Node) -> tuple[Any, ...]:
        items = node.items if isinstance(node, Row) else () if isinstance(node, Leaf) and node.null else (node,)
        if len(items) < self.fewest:
            raise Misfit("is empty")
        return tuple(each((self.kind, item) for item in items))

    def wants(self) -> str:
        return f"{self.kind.wants()}, or a list"

    def schema(self) -> dict[str, Any]:
        one = self.kind.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": self.fewest}]}


@dataclass(frozen=True, slots=True)
class Pair:
    """Takes two values in brackets; with ``rising`` the first may not be above the second."""

    first: Kind
    second: Kind
    what: str = "two numbers in brackets"
    rising: bool = False

    def read(self, node: Node) -> tuple[Any, Any]:
        if not isinstance(node, Row) or len(node.items) != 2:
            raise Misfit("are not two values in brackets" if isinstance(node, Row) else "is not in brackets")
        first, second = each(zip((self.first, self.second), node.items, strict=True))
        if self.rising and first > second:
            raise Misfit("begins above its end")
        return first, second

    def wants(self) -> str:
        return f"{self.what}, [{self.first.wants()}, {self.second.wants()}]"

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "prefixItems": [self.first.schema(), self.second.schema()], "items": False}


@dataclass(frozen=True, slots=True)
class Table:
    """Takes a value for each of some names, which may be any."""

    kind: Kind
    name: str

    def read(self, node: Node) -> dict[str, Any]:
        if not isinstance(node, Branch):
            raise Misfit("are no names with values")
        found = each((self.kind, item) for item in node.entries.values())
        return dict(zip(node.entries, found, strict=True))

    def wants(self) -> str:
        return f"{{{self.name}: {self.kind.wants()}}}"

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.kind.schema()}
