"""YAML text, the environment and the command line become one tree here, in which every value knows where it was
written.

Nothing is interpreted here: a scalar stays the text that a person wrote, so that YAML's own guesses (``010`` is eight,
``no`` is false, ``1:30`` is ninety) never happen; ``kinds`` reads the text as what the key wants.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from auricle.config.wording import shown
from auricle.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_NODES = 10_000
TOO_DEEP = f"nested more than {MAX_DEPTH} deep; nothing here needs that"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_HINTS = {
    "mapping values are not allowed": "put a value that holds ': ' in quotes",
    "could not find expected ':'": "write every key as 'key: value'",
    "expected key": "check the indentation and the quotes of this line and the one above",
    "block end": "check the indentation and the quotes of this line and the one above",
    "']'": "close every bracket",
    "'}'": "close every bracket",
}


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """Names the place that a value was written at; places sort in the order in which layers lie over one another."""

    rank: int
    line: int = 0
    column: int = 0
    name: str = ""
    folder: Path = field(default=Path(), compare=False)

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name


DEFAULT = Where(rank=0, name="default")


@dataclass(frozen=True, slots=True)
class Leaf:
    """Holds a scalar as written; ``plain`` when it was not quoted."""

    where: Where
    text: str
    plain: bool = True

    @property
    def null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Row:
    """Holds a list as written."""

    where: Where
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Holds a mapping as written."""

    where: Where
    entries: Mapping[str, Node]
    keys: Mapping[str, Where]
    """Where each key stands (its value may begin lines below)."""


Node: TypeAlias = Leaf | Row | Branch


class TreeError(Exception):
    """A text is no tree at all."""

    def __init__(self, where: Where, message: str) -> None:
        super().__init__(message)
        self.where = where


@dataclass(slots=True)
class _Open:
    """Holds a list or mapping whose end has not been read."""

    where: Where
    anchor: str | None
    keys: dict[str, Where] | None
    values: list[Node] = field(default_factory=list)
    pending: tuple[str, Where] | None = None
    repeated: tuple[str, Where] | None = None
    size: int = 1
    height: int = 0


class Problems:
    """Collects every fault that was found, and raises all at once in the order of files and lines."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Where, str], str] = {}

    def add(self, where: Where, path: str, problem: str) -> None:
        """Note a fault; one that a source shares with the keys it inherits from is noted once."""
        self._lines.setdefault((where, problem), f"{where}: {path}: {problem}" if path else f"{where}: {problem}")

    def raise_all(self) -> None:
        if self._lines:
            raise ConfigError(line for _, line in sorted(self._lines.items(), key=lambda item: item[0][0]))


class Parser:
    """Parses one document of YAML text, event by event: no recursion, nothing expanded beyond its bounds."""

    def __init__(self, place: Where, problems: Problems, *, lines: bool = True) -> None:
        self.place = place
        self.lines = lines
        self.problems = problems
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._stack: list[_Open] = []
        self._root: Node | None = None

    def parse(self, text: str) -> Node | None:
        """Build the tree, or None for a document without any content. Raises TreeError; lesser faults go to
        ``problems``."""
        bad = _UNREADABLE.search(text)
        if bad:
            raise TreeError(self._at(text.count("\n", 0, bad.start())), f"holds the character {bad[0]!r}; remove it")
        documents = 0
        for event in self._events(text):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise TreeError(self._mark(event), "a second document begins here; keep one, without '---'")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        return self._root

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            lines = text.splitlines()
            # The parser finds what is missing at the end in the line behind it.
            line = min(mark.line if mark else 0, max(0, len(lines) - 1))
            if lines and "\t" in lines[line] and "character" in str(error.problem):
                raise TreeError(self._at(line), "a tab where YAML wants spaces; indent with spaces") from None
            problem = str(error.problem or error.context)
            if "nesting depth" in problem:  # the C parser looks ahead, and may refuse before the first level is seen
                raise TreeError(self._at(line), TOO_DEEP) from None
            hint = next((f"; {hint}" for part, hint in _HINTS.items() if part in problem), "")
            raise TreeError(self._at(line), f"not valid YAML: {problem}{hint}") from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML's own scanner passes escapes beyond Unicode on to chr(), unguarded.
            raise TreeError(self.place, f"not valid YAML: {' '.join(str(error).split())}") from None

    def _at(self, line: int, column: int = 0) -> Where:
        if not self.lines:
            return self.place
        return Where(self.place.rank, line + 1, column, self.place.name, self.place.folder)

    def _mark(self, event: Any) -> Where:
        return self._at(event.start_mark.line, event.start_mark.column)

    def _node(self, event: Any) -> None:
        where = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                # Neither its name nor a tag's is repeated: either may be a password that begins so.
                raise TreeError(where, "'*' refers to no finished value above it; put a value that begins so in quotes")
            self._add(*self._anchors[event.anchor], where)
            return
        if event.tag not in (None, "!"):
            raise TreeError(where, "a tag ('!') is not allowed; put a value that begins so in quotes, or remove it")
        if isinstance(event, yaml.ScalarEvent):
            # The C parser says "" of a plain scalar, the Python one None.
            leaf = Leaf(where, event.value, plain=not event.style)
            if event.anchor:
                self._anchors[event.anchor] = (leaf, 1, 0)
            self._add(leaf, 1, 0, where)
        else:
            if len(self._stack) >= MAX_DEPTH:
                raise TreeError(where, TOO_DEEP)
            keys: dict[str, Where] | None = {} if isinstance(event, yaml.MappingStartEvent) else None
            self._stack.append(_Open(where, event.anchor, keys))

    def _close(self) -> None:
        done = self._stack.pop()
        node: Node
        if done.keys is None:
            node = Row(done.where, tuple(done.values))
        else:
            node = Branch(done.where, dict(zip(done.keys, done.values, strict=True)), done.keys)
        if done.anchor:
            self._anchors[done.anchor] = (node, done.size, done.height)
        self._add(node, done.size, done.height, done.where)

    def _add(self, node: Node, size: int, height: int, where: Where) -> None:
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        top.size += size
        top.height = max(top.height, height + 1)
        if top.size > MAX_NODES or len(self._stack) + height > MAX_DEPTH:
            raise TreeError(where, f"grows beyond {MAX_NODES} values or {MAX_DEPTH} levels; use fewer aliases")
        if top.keys is None:
            top.values.append(node)
        elif top.pending is None and top.repeated is None:
            self._key(top, node, where)
        elif top.repeated is not None:
            self._complain(top, top.repeated, node)
            top.repeated = None
        elif top.pending is not None:
            key, place = top.pending
            top.keys[key] = place
            top.values.append(node)
            top.pending = None

    def _key(self, top: _Open, node: Node, where: Where) -> None:
        assert top.keys is not None
        if not isinstance(node, Leaf):
            raise TreeError(where, "a key is one word, not a list or a section; check brackets and braces")
        if node.text == "<<" and node.plain:
            raise TreeError(where, "merge keys ('<<') are not known here; write the keys out")
        if node.text in top.keys:
            top.repeated = (node.text, where)
        else:
            top.pending = (node.text, where)

    def _complain(self, top: _Open, repeated: tuple[str, Where], value: Node) -> None:
        """Complain of a key that is there twice; one without a value is not shown, since a comma in a password may have
        made it."""
        (key, where), keys = repeated, top.keys
        assert keys is not None
        already = f"is already in line {keys[key].line}" if self.lines else "is there already"
        what = "a key without a value" if isinstance(value, Leaf) and value.null else f"the key {shown(key)}"
        self.problems.add(where, "", f"{what} {already}; keep one of them")


def from_object(value: object, where: Where) -> Node:
    """Turn a Python value (of the command line, or of a test) into a tree: text, numbers, None, dates, lists,
    mappings."""
    if isinstance(value, Mapping):
        entries = {str(key): from_object(item, where) for key, item in value.items()}
        return Branch(where, entries, dict.fromkeys(entries, where))
    if isinstance(value, (list, tuple)):
        return Row(where, tuple(from_object(item, where) for item in value))
    if value is None:
        return Leaf(where, "")
    if isinstance(value, bool):
        return Leaf(where, "true" if value else "false")
    isoformat = getattr(value, "isoformat", None)
    text = str(isoformat() if isoformat is not None else value)
    # A text is a text, whatever it looks like: only numbers may be read as numbers or names.
    return Leaf(where, text, plain=isinstance(value, (int, float)))


def merge(below: Node | None, above: Node) -> Node:
    """Lay ``above`` over ``below``: mappings key by key, anything else replaces; an empty section changes nothing."""
    if isinstance(below, Branch):
        if isinstance(above, Leaf) and above.null:
            return below
        if isinstance(above, Branch):
            entries = dict(below.entries)
            for key, node in above.entries.items():
                entries[key] = merge(entries.get(key), node)
            return Branch(above.where, entries, {**below.keys, **above.keys})
    return above


def graft(tree: Node | None, parts: list[str], value: Node, path: str = "") -> Node:
    """Lay ``value`` over what stands at the key path ``parts``; a number steps into an entry of a list.

    Raises TreeError when a list has no such entry, or when the path is too long to be one.
    """
    if len(parts) > MAX_DEPTH:
        raise TreeError(value.where, f"nested more than {MAX_DEPTH} deep; no key is")
    if not parts:
        return merge(tree, value)
    head, rest = parts[0], parts[1:]
    if isinstance(tree, Row):
        if not re.fullmatch("[0-9]{1,4}", head) or int(head) >= len(tree.items):
            raise TreeError(value.where, f"{path}: no entry {shown(head)} in this list; use 0 to {len(tree.items) - 1}")
        items = list(tree.items)
        items[int(head)] = graft(items[int(head)], rest, value, f"{path}[{head}]")
        return Row(tree.where, tuple(items))
    below = tree.entries.get(head) if isinstance(tree, Branch) else None
    child = graft(below, rest, value, f"{path}.{head}" if path else head)
    return merge(tree, Branch(value.where, {head: child}, {head: value.where}))
