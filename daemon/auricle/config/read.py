"""From files, environment and command line to a valid Config, or to every problem in them at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auricle.config.keys import REQUIRED, Key, keys_of
from auricle.config.kinds import Name, Refused, loopback, plain
from auricle.config.layers import layered
from auricle.config.schema import SOURCE_KINDS, Config, Decision, LabelRule, Publish, Source
from auricle.config.tree import DEFAULT, Branch, Leaf, Node, Problems, Row, Where, merge
from auricle.config.words import listed, nearest, shown
from auricle.errors import ConfigError


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    without: Path | None = None,
) -> Config:
    """The configuration of a file and the ``conf.d`` beside it, under the environment, under the command line.

    Without a path: ``/etc/auricle/auricle.yaml`` where that exists, else the defaults. ``overrides`` maps key paths
    (``publish.endpoint``, ``sources``) to values, of which ``None`` says nothing; the fragment ``without`` is not read.
    Raises ConfigError with every problem, in the order of the files.
    """
    said = {key: value for key, value in (overrides or {}).items() if value is not None}
    problems = Problems()
    tree = layered(path, os.environ if environ is None else environ, said, problems, without)
    found = Reader(problems).config(tree)
    problems.raise_all()
    return found


def check_labels(config: Config, labels: Mapping[str, Sequence[str]]) -> None:
    """Refuse rules for labels that no model in use has; ``labels`` maps a model, as in ``Source.model``, to its labels.

    Raises ConfigError with every such label and the one that was probably meant.
    """
    problems = []
    used = [label for source in config.sources for label in labels[source.model]]
    rules = [("decision.labels", label, used) for label in config.decision.labels]
    for i, source in enumerate(config.sources):
        own = (label for label in source.decision.labels if label not in config.decision.labels)
        rules += [(f"sources[{i}].decision.labels", label, list(labels[source.model])) for label in own]
    for path, label, known in rules:
        if label not in known:
            near = nearest(label, known)
            places = (config.origins.get(f"{path}.{label}.{name}", "default") for name in keys_of(LabelRule))
            place = next((f"{place}: " for place in places if place != "default"), "")
            remedy = f"did you mean {near!r}?" if near else f"it has {listed(sorted(set(known)), 'and')}"
            problems.append(f"{place}{path}: the model has no label {shown(label)}; {remedy}")
    if problems:
        raise ConfigError(problems)


class Reader:
    """Walks a tree along the declarations; notes every problem, and where every value came from."""

    def __init__(self, problems: Problems) -> None:
        self._complain = problems.add
        self._places: dict[str, Where] = {}
        self._failed: set[str] = set()
        self._top: Mapping[str, Node] = {}

    def config(self, tree: Node) -> Config:
        """The whole configuration; of use only when no problem was found."""
        entries = self._entries(Config, tree, "")
        self._top = entries
        keys = keys_of(Config)
        # The sources last: they lie over the keys at the top, whose problems are told as theirs.
        order = [name for name in keys if name != "sources"]
        found = {name: self._key(Config, name, entries.get(name), name, tree.where) for name in order}
        found["sources"] = self._sources(entries["sources"])
        origins = {path: "default" if where == DEFAULT else str(where) for path, where in self._places.items()}
        return Config(**found, origins=origins)

    def _section(self, of: type, node: Node | None, path: str, where: Where | None) -> Any:
        entries = self._entries(of, node, path)
        if node is not None:
            # Of something that is no section at all, nothing is missing besides.
            where = node.where if isinstance(node, Branch) or _null(node) else None
        found = {}
        for name, about in keys_of(of).items():
            child = entries.get(name)
            if about.inherits:
                child = _over(self._top.get(name), child)
            found[name] = self._key(of, name, child, f"{path}.{name}", where)
        section = of(**found)
        if isinstance(section, Decision):
            self._check_decision(section, path)
        elif isinstance(section, Publish):
            self._check_publish(section, path)
        elif isinstance(section, Source) and where is not None:
            self._check_source(section, path, where)
        return section

    def _entries(self, of: type, node: Node | None, path: str) -> Mapping[str, Node]:
        """The known keys of a section that is written; the others are told."""
        if node is None or _null(node):
            return {}
        if not isinstance(node, Branch):
            what = "a list" if isinstance(node, Row) else shown(node.text)
            self._complain(node.where, path, f"{what} cannot stand here; put the keys below it, indented")
            return {}
        known = tuple(keys_of(of))
        for name in node.entries:
            if name not in known:
                self._complain(node.keys[name], path, f"unknown key {shown(name)}; {_meant(name, known)}")
        return {name: child for name, child in node.entries.items() if name in known}

    def _key(self, of: type, name: str, node: Node | None, path: str, where: Where | None) -> Any:
        about = keys_of(of)[name]
        if about.section is None:
            return self._value(about, node, path, where)
        if about.many == "labels":
            return self._labels(about, node, path)
        if about.optional and node is None:
            return None
        return self._section(about.section, node, path, where)

    def _value(self, about: Key, node: Node | None, path: str, where: Where | None) -> Any:
        assert about.kind is not None
        if node is None:
            self._places[path] = DEFAULT
            if about.default is REQUIRED:
                if where is not None:
                    self._complain(where, path, f"is missing; give {about.kind.wants()}")
                self._failed.add(path)
                return None
            return about.initial
        self._places[path] = node.where
        empty = _null(node)
        if empty and (about.nullable or callable(about.default)):
            return about.initial if callable(about.default) else None
        try:
            if empty:
                raise Refused("is empty")
            return about.kind.read(node)
        except Refused as refusal:
            at = refusal.item or node
            complaint = str(refusal)
            if isinstance(at, Leaf) and at.text.strip() and not at.null:
                complaint = f"{shown(at.text)} {complaint}"
            if not complaint.endswith("?"):
                complaint += f"; use {_wanted(about)}"
            self._complain(at.where, path, complaint)
            self._failed.add(path)
            return None if about.default is REQUIRED else about.initial

    def _labels(self, about: Key, node: Node | None, path: str) -> dict[str, Any]:
        assert about.section is not None
        if node is None or _null(node):
            return {}
        if not isinstance(node, Branch):
            self._complain(node.where, path, "put each label below it, indented, such as 'dog_bark: {threshold: 0.6}'")
            return {}
        found = {}
        for label, child in node.entries.items():
            try:
                Name().read(Leaf(node.keys[label], label, plain=False))
            except Refused as refusal:
                complaint = f"{shown(label)} {refusal}" if label.strip() else "a label is empty"
                remedy = "" if complaint.endswith("?") else f"; use {Name().wants()}"
                self._complain(node.keys[label], path, complaint + remedy)
                continue
            found[label] = self._section(about.section, child, f"{path}.{label}", child.where)
        return found

    def _sources(self, node: Node) -> tuple[Source, ...]:
        if _null(node):
            node = Row(node.where, ())
        if not isinstance(node, Row):
            self._complain(node.where, "sources", "is not a list; begin each source with '- name: '")
            return ()
        if not node.items:
            self._complain(node.where, "sources", "is empty; name one, or remove the key (default: a microphone)")
        found: list[Source] = []
        for i, item in enumerate(node.items):
            source = self._section(Source, item, f"sources[{i}]", item.where)
            name = source.name.casefold() if source.name else None
            for j, other in enumerate(found):
                if name and name == (other.name or "").casefold():
                    at = f"sources[{i}].name"
                    problem = f"{shown(source.name)} is the name of sources[{j}] too; choose another"
                    self._complain(self._places[at], at, problem)
                    break
            if source.stdin is not None and any(other.stdin is not None for other in found):
                self._complain(item.where, f"sources[{i}]", "a second stdin; there is only one standard input")
            found.append(source)
        return tuple(found)

    def _check_source(self, source: Source, path: str, where: Where) -> None:
        kinds = [kind for kind in SOURCE_KINDS if getattr(source, kind) is not None]
        if not kinds:
            self._complain(where, path, f"has nothing to listen to; give one of {listed(SOURCE_KINDS)}")
        elif len(kinds) > 1:
            self._complain(where, path, f"has {listed(kinds, 'and')}; keep one, and make another source of the rest")

    def _check_decision(self, decision: Decision, path: str) -> None:
        self._check_rule(decision.threshold, decision.hysteresis, [f"{path}."])
        for label, own in decision.labels.items():
            if own.threshold is not None or own.hysteresis is not None:
                rule = decision.for_label(label)
                self._check_rule(rule.threshold, rule.hysteresis, [f"{path}.labels.{label}.", f"{path}."])

    def _check_rule(self, threshold: float | None, hysteresis: float | None, prefixes: list[str]) -> None:
        """An event must be able to end: its score has to fall below threshold - hysteresis, and scores begin at 0.

        What the model's card says is not known here: `auricle.hearing.precedence` looks at what is written beside it.
        """
        if threshold is None or hysteresis is None or hysteresis < threshold:
            return
        given: dict[str, tuple[Where, str]] = {}
        for prefix in reversed(prefixes):
            for name in ("threshold", "hysteresis"):
                place = self._places.get(prefix + name, DEFAULT)
                if prefix + name in self._failed:
                    return
                if place != DEFAULT:
                    given[name] = (place, prefix + name)
        where, path = max(given.values())
        low, high = shown(plain(hysteresis)), shown(plain(threshold))
        problem = (
            f"{high} is not above the hysteresis {low}"
            if path.endswith("threshold")
            else (f"{low} is not below the threshold {high}")
        )
        self._complain(where, path, f"{problem}, so that no event would end; lower the hysteresis")

    def _check_publish(self, publish: Publish, path: str) -> None:
        for name, usual in (("endpoint", 5557), ("query", 5558)):
            at = f"{path}.{name}"
            endpoint = getattr(publish, name)
            if not loopback(endpoint) and not publish.allow_plaintext and f"{path}.allow_plaintext" not in self._failed:
                self._complain(
                    self._places[at],
                    at,
                    f"{shown(endpoint)} can be reached from other machines, unencrypted; "
                    f"use tcp://127.0.0.1:{usual}, or set publish.allow_plaintext: true",
                )
        if publish.endpoint == publish.query and not publish.endpoint.endswith("*"):
            where, at = max((self._places[f"{path}.{name}"], f"{path}.{name}") for name in ("endpoint", "query"))
            self._complain(where, at, f"{shown(publish.query)} serves endpoint and query; give each its own port")


def _null(node: Node) -> bool:
    return isinstance(node, Leaf) and node.null


def _over(below: Node | None, above: Node | None) -> Node | None:
    """A source's own key over the one at the top; an empty one changes nothing."""
    if above is None or (below is not None and _null(above)):
        return below
    return merge(below, above)


def _wanted(about: Key) -> str:
    assert about.kind is not None
    wants = about.kind.wants() + (", or null" if about.nullable else "")
    default = about.default_text or (None if about.default is REQUIRED else about.initial)
    if default is None or default == ():
        return wants
    text = str(default).lower() if isinstance(default, bool) else plain(default)
    return f"{wants} (default {text})"


def _meant(name: str, known: tuple[str, ...]) -> str:
    """The remedy for an unknown key: a key that is spelled alike, or stands elsewhere under this name."""
    near = nearest(name, known)
    if near:
        return f"did you mean {near!r}?"
    for section, about in keys_of(Config).items():
        if about.section is not None and not about.many and name in keys_of(about.section):
            return f"did you mean '{section}.{name}'?"
    if name in keys_of(Config):
        return f"{name!r} stands at the top, not here"
    return f"known here: {', '.join(known)}"
