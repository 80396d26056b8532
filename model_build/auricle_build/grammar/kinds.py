"""A recipe's values may be of these kinds, beside those that every configuration has: labels, features, layers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from auricle.config import Branch, Choice, Misfit, Node, Number, Pair, Row, Text, each

_NUMBER = re.compile(r"[-+]?(?:[0-9]+|[0-9]*\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Slug:
    """Takes a label, as a bundle's card and the topics of messages have it."""

    def read(self, node: Node) -> str:
        text = Text(longest=64).read(node)
        if not re.fullmatch("[a-z0-9_]+", text):
            slug = re.sub("[^a-z0-9_]+", "_", text.lower()).strip("_")
            raise Misfit("is no label" + (f"; did you mean {slug!r}?" if slug else ""))
        return text

    def wants(self) -> str:
        return "a-z, 0-9 and '_'"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[a-z0-9_]{1,64}$"}


@dataclass(frozen=True, slots=True)
class Feature:
    """Takes a kind of feature with its parameters; whether they can be is seen when the front end is built of them."""

    def read(self, node: Node) -> dict[str, Any]:
        if not isinstance(node, Branch):
            raise Misfit("is no feature")
        if "kind" not in node.entries:
            raise Misfit("a feature has no kind")
        return {name: self._value(item) for name, item in node.entries.items()}

    def _value(self, node: Node) -> Any:
        """Read the numbers, switches and words that parameters are; whole where they are written whole."""
        if isinstance(node, Branch):
            return self.read(node)
        if isinstance(node, Row):
            return [self._value(item) for item in node.items]
        if not node.plain or not _NUMBER.fullmatch(node.text):
            words = {"true": True, "false": False}
            return None if node.null else words.get(node.text, node.text) if node.plain else node.text
        number = float(node.text)
        if abs(number) > 1e6:
            refusal = Misfit("is out of range; use at most 1000000")
            refusal.item = node
            raise refusal
        return int(node.text) if node.text.lstrip("+-").isdigit() else number

    def wants(self) -> str:
        return "features, such as [{kind: log_mel, n_mels: 64}]"

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "required": ["kind"]}


class Layer(NamedTuple):
    """Describes one layer of a streaming network: kernel and step over (time, bands), and how many channels come
    out."""

    kind: Literal["conv", "separable"]
    kernel: tuple[int, int]
    step: tuple[int, int]
    channels: int


@dataclass(frozen=True, slots=True)
class Layered:
    """Takes a layer in brackets."""

    def read(self, node: Node) -> Layer:
        if not isinstance(node, Row) or len(node.items) != 4:
            raise Misfit("a layer is no list of four" if isinstance(node, Row) else "is no layer")
        extent = Number(1, 256, whole=True)
        both = Pair(extent, extent)
        kinds = (Choice(("conv", "separable")), both, both, Number(1, 4096, whole=True))
        return Layer(*each(zip(kinds, node.items, strict=True)))

    def wants(self) -> str:
        return "[conv or separable, [time, bands] of the kernel, [time, bands] of the step, channels]"

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "minItems": 4, "maxItems": 4}


def share(most: float = 1.0) -> Number:
    """Return the kind of a share of all windows, or of a probability."""
    return Number(0, most)


def count(most: int = 1_000_000, fewest: int = 1) -> Number:
    """Return the kind of a whole number."""
    return Number(fewest, most, whole=True)
