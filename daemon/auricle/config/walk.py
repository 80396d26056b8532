"""A tree is walked along declarations here: from text to typed sections, or to every problem in it at once.

Nothing here knows what the sections are about: the daemon's configuration is read along them (``read``), and so is any
other file whose keys are declared as these are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from auricle.config.keys import REQUIRED, Key, attribute, keys_of
from auricle.config.kinds import Misfit, Name, plain
from auricle.config.tree import DEFAULT, Branch, Leaf, Node, Problems, Row, Where, merge
from auricle.config.wording import nearest, shown


class Walk:
    """Walks a tree along the declarations below ``root``; notes every problem, and where every value came from.

    Attributes:
        places: key path -> where its value was written, or ``DEFAULT``.
        failed: key paths whose values could not be read, and hold something else for the time being.
    """

    def __init__(self, problems: Problems, root: type) -> None:
        self.complain = problems.add
        self.places: dict[str, Where] = {}
        self.failed: set[str] = set()
        self._root = root
        self._nodes: dict[str, Node] = {}
        self._top: Mapping[str, Node] = {}

    def keys(self, tree: Node) -> dict[str, Any]:
        """Read the keys of ``root``; the result is of use only when no problem was found."""
        self._nodes[""] = tree
        entries = self._entries(self._root, tree, "")
        self._top = entries
        about = keys_of(self._root)
        # What lies over keys at the top comes last: their problems are reported as those of the keys at the top.
        order = sorted(about, key=lambda name: _inherits(about[name]))
        return {name: self._key(self._root, name, entries.get(name), name, tree.where) for name in order}

    def check(self, section: Any, path: str, where: Where | None) -> None:
        """Complain of what does not fit together in a section that was read; of nothing unless overridden.

        ``where`` is None where there was no section to read.
        """

    def where(self, path: str, item: int | str | None = None) -> Where:
        """Return where a key is written, or an item of its value; for a key that is not written, where its section
        is."""
        while path not in self._nodes:
            path, item = path.rpartition(".")[0], None
        node = self._nodes[path]
        if isinstance(node, Row) and isinstance(item, int):
            node = node.items[item]
        elif isinstance(node, Branch) and isinstance(item, str):
            return node.keys[item]
        return node.where

    def fine(self, path: str) -> bool:
        """Return whether all of a key, or of a section, could be read."""
        return not any(f"{failed}.".startswith((f"{path}.", f"{path}[")) for failed in self.failed)

    def _section(self, of: type, node: Node | None, path: str, where: Where | None) -> Any:
        entries = self._entries(of, node, path)
        if node is not None:
            self._nodes[path] = node
            # Where something that is no section stands, nothing is missing besides.
            where = node.where if isinstance(node, Branch) or _null(node) else None
        found = {}
        for name, about in keys_of(of).items():
            child = entries.get(name)
            if about.inherits:
                child = _over(self._top.get(about.inherits), child)
            found[name] = self._key(of, name, child, f"{path}.{name}", where)
        section = of(**{attribute(name): value for name, value in found.items()})
        self.check(section, path, where)
        return section

    def _entries(self, of: type, node: Node | None, path: str) -> Mapping[str, Node]:
        """Return the known keys of a section that is written; the others are complained of."""
        if node is None or _null(node):
            return {}
        if not isinstance(node, Branch):
            what = "a list" if isinstance(node, Row) else "a text" if _guarded(of) else shown(node.text)
            self.complain(node.where, path, f"{what} cannot stand here; put the keys below it, indented")
            return {}
        known = tuple(keys_of(of))
        for name in node.entries:
            if name not in known:
                self.complain(node.keys[name], path, self._unknown(of, name, node))
        return {name: child for name, child in node.entries.items() if name in known}

    def _key(self, of: type, name: str, node: Node | None, path: str, where: Where | None) -> Any:
        about = keys_of(of)[name]
        if about.section is None:
            return self._value(about, node, path, where)
        if about.many == "list":
            return self._list(about, node, path, where)
        if about.many == "labels":
            return self._labels(about, node, path)
        if about.optional and node is None:
            return None
        return self._section(about.section, node, path, where)

    def _value(self, about: Key, node: Node | None, path: str, where: Where | None) -> Any:
        assert about.kind is not None
        if node is None:
            self.places[path] = DEFAULT
            if about.default is REQUIRED:
                if where is not None:
                    self.complain(where, path, f"is missing; give {about.kind.wants()}")
                self.failed.add(path)
                return None
            return about.initial
        self.places[path] = node.where
        self._nodes[path] = node
        empty = _null(node)
        if empty and (about.nullable or callable(about.default)):
            return about.initial if callable(about.default) else None
        try:
            if empty:
                raise Misfit("is empty")
            return about.kind.read(node)
        except Misfit as refusal:
            for each in (refusal, *refusal.also):
                self._refuse(about, each, node, path)
            self.failed.add(path)
            return None if about.default is REQUIRED else about.initial

    def _refuse(self, about: Key, refusal: Misfit, node: Node, path: str) -> None:
        at = refusal.item or node
        complaint = str(refusal)
        if about.secret or refusal.hidden:
            complaint = f"the value {complaint}"
        elif isinstance(at, Leaf) and at.text.strip() and not at.null:
            complaint = f"{shown(at.text)} {complaint}"
        if not complaint.endswith("?"):
            complaint += f"; use {_wanted(about)}"
        self.complain(at.where, path, complaint)

    def _labels(self, about: Key, node: Node | None, path: str) -> dict[str, Any]:
        assert about.section is not None
        if node is None or _null(node):
            return {}
        if not isinstance(node, Branch):
            self.complain(node.where, path, "put each label below it, indented, such as 'dog_bark: {threshold: 0.6}'")
            return {}
        found = {}
        for label, child in node.entries.items():
            try:
                Name().read(Leaf(node.keys[label], label, plain=False))
            except Misfit as refusal:
                complaint = f"{shown(label)} {refusal}" if label.strip() else "a label is empty"
                remedy = "" if complaint.endswith("?") else f"; use {Name().wants()}"
                self.complain(node.keys[label], path, complaint + remedy)
                continue
            found[label] = self._section(about.section, child, f"{path}.{label}", child.where)
        return found

    def _list(self, about: Key, node: Node | None, path: str, where: Where | None) -> tuple[Any, ...]:
        assert about.section is not None
        first = next(iter(keys_of(about.section)))
        begin = f"begin each {about.noun} with '- {'' if about.short else f'{first}: '}'"
        if node is None:
            if about.fewest:
                self.failed.add(path)
                if where is not None:
                    self.complain(where, path, f"is missing; {begin}")
            return ()
        if _null(node):
            node = Row(node.where, ())
        self._nodes[path] = node
        if not isinstance(node, Row):
            self.complain(node.where, path, f"is not a list; {begin}")
            self.failed.add(path)
            return ()
        if len(node.items) < about.fewest:
            otherwise = f", or remove the key (default: {about.default_text})" if about.default_text else ""
            self.complain(node.where, path, f"is empty; name one{otherwise}")
            self.failed.add(path)
        found: list[Any] = []
        for i, item in enumerate(node.items):
            if about.short and isinstance(item, Leaf):
                item = Branch(item.where, {first: item}, {first: item.where})
            found.append(self._section(about.section, item, f"{path}[{i}]", item.where))
            if first == "name":
                self._check_name(found, path)
        return tuple(found)

    def _check_name(self, found: list[Any], path: str) -> None:
        """Complain where the newest in a list is named as one before it, in whatever letters."""
        *others, newest = found
        for j, other in enumerate(others):
            if newest.name and newest.name.casefold() == (other.name or "").casefold():
                at = f"{path}[{len(others)}].name"
                self.complain(
                    self.places[at], at, f"{shown(newest.name)} is the name of {path}[{j}] too; choose another"
                )
                return

    def _unknown(self, of: type, name: str, section: Branch) -> str:
        """Return what is wrong with a key that is not known.

        A comma outside quotes cuts a value: its rest stands here as a key without a value, and beside an address that
        may be a part of a password.
        """
        about = keys_of(of)
        near, cut = nearest(name, tuple(about)), _null(section.entries[name])
        hidden = re.fullmatch(r"[\w.-]+", name) is None or (
            _guarded(of, section) and (cut or not near) and name not in _declared(of)
        )
        what = (
            "an unknown key, which is not shown: it may belong to a password"
            if hidden
            else f"unknown key {shown(name)}"
        )
        if cut and (hidden or not near):
            return f"{what}; if a comma has cut a value, put the whole value in quotes"
        return f"{what}; {self._meant(name, tuple(about))}"

    def _meant(self, name: str, known: tuple[str, ...]) -> str:
        """Return the remedy for an unknown key: a key that is spelled alike, or stands elsewhere under this name."""
        near = nearest(name, known)
        if near:
            return f"did you mean {near!r}?"
        top = keys_of(self._root)
        for section, about in top.items():
            if about.section is not None and not about.many and name in keys_of(about.section):
                return f"did you mean '{section}.{name}'?"
        if name in top:
            return f"{name!r} stands at the top, not here"
        return f"known here: {', '.join(known)}"


def _guarded(of: type, section: Branch | None = None) -> bool:
    """Return whether a section may hold a secret: in a key of its own, or in a section in it, if one is written."""
    return any(
        about.secret
        if about.section is None
        else not about.many and (section is None or name in section.entries) and _guarded(about.section)
        for name, about in keys_of(of).items()
    )


def _declared(of: type) -> set[str]:
    """Return the names of the keys of all sections in a section: they are nobody's secret."""
    sections = [about.section for about in keys_of(of).values() if about.section is not None]
    return {name for section in sections for name in keys_of(section)}


def _inherits(about: Key) -> bool:
    """Return whether a section holds anything that is laid over a key at the top."""
    return about.section is not None and any(inner.inherits for inner in keys_of(about.section).values())


def _null(node: Node) -> bool:
    return isinstance(node, Leaf) and node.null


def _over(below: Node | None, above: Node | None) -> Node | None:
    """Lay a source's own key over the one at the top; an empty one changes nothing."""
    if above is None or (below is not None and _null(above)):
        return below
    return merge(below, above)


def _wanted(about: Key) -> str:
    assert about.kind is not None
    wants = about.kind.wants() + (", or null" if about.nullable else "")
    default = about.default_text or (None if about.default is REQUIRED else about.initial)
    if default in (None, (), {}):
        return wants
    text = str(default).lower() if isinstance(default, bool) else plain(default)
    return f"{wants} (default {text})"
