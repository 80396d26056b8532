"""Files, environment and command line become a valid Config here, or every problem in them at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from auricle.config.bridges import Metrics, Mqtt, unfit
from auricle.config.keys import keys_of
from auricle.config.kinds import loopback, plain
from auricle.config.layers import layered
from auricle.config.schema import SOURCE_KINDS, Clips, Config, Decision, LabelRule, Publish, Source
from auricle.config.tree import DEFAULT, Node, Problems, Where
from auricle.config.walk import Walk
from auricle.config.web import Web
from auricle.config.wording import listed, nearest, shown
from auricle.errors import ConfigError

_LISTED = 40
"""So many labels are listed at most where one is not known."""


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    without: Path | None = None,
) -> Config:
    """Read the configuration of a file and the ``conf.d`` beside it, under the environment, under the command line.

    Without a path, ``/etc/auricle/auricle.yaml`` is read where that exists, else the defaults hold. ``overrides`` maps
    key paths (``publish.endpoint``, ``sources``) to values, of which ``None`` says nothing; the fragment ``without`` is
    not read. Raises ConfigError with every problem, in the order of the files.
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
    used = [label for source in config.sources for label in labels[source.model]]
    scopes: list[tuple[str, Decision, Sequence[str]]] = [("decision", config.decision, used)]
    scopes += [(f"sources[{i}].decision", each.decision, labels[each.model]) for i, each in enumerate(config.sources)]
    problems: dict[str, None] = {}
    for path, names, known in _kept(config, labels):
        for name in names:
            if name not in known:
                place = config.origins.get(path, "default")
                problems[f"{place}: {path}: {no_label(name, sorted(set(known)))}"] = None
    above = set(_named(config.decision))
    for path, decision, known in scopes:
        groups = {label for label, rule in decision.labels.items() if rule.includes}
        for key, name in _named(decision):
            # What a source takes over from the top is told there, once.
            if decision is not config.decision and (key, name) in above:
                continue
            is_group = key == "labels" and name in groups
            if is_group and name in known:
                problem = f"the model has a label {shown(name)}; give the group a name of its own"
            elif name in known or name in groups:
                continue
            else:
                problem = no_label(name, sorted({*known, *groups}))
            places = [f"{path}.{key}", *(f"{path}.{key}.{name}.{each}" for each in keys_of(LabelRule))]
            written = (config.origins.get(each, "default") for each in places)
            place = next((f"{place}: " for place in written if place != "default"), "")
            problems[f"{place}{path}.{key}: {problem}"] = None
    if problems:
        raise ConfigError(problems)


def no_label(name: str, known: Sequence[str]) -> str:
    """Say that a model has no such label, and which was probably meant; of hundreds the first are listed."""
    near = nearest(name, known)
    some = (
        listed(known, "and")
        if len(known) <= _LISTED
        else (f"{', '.join(known[:_LISTED])} and {len(known) - _LISTED} more (auricle models NAME)")
    )
    return f"the model has no label {shown(name)}; " + (f"did you mean {near!r}?" if near else f"it has {some}")


def _kept(config: Config, labels: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Yield where labels are named that clips are kept of, or must not hold: the key, the labels, those there are."""

    def scored(source: Source) -> list[str]:
        groups = [label for label, rule in source.decision.labels.items() if rule.includes]
        return [*labels[source.model], *groups]

    yield "clips.labels", config.clips.labels or (), [label for each in config.sources for label in scored(each)]
    for i, source in enumerate(config.sources):
        yield f"sources[{i}].privacy", source.privacy, scored(source)


def _named(decision: Decision) -> Iterator[tuple[str, str]]:
    """Yield every label that is named, with the key below `decision` where it is."""
    yield from (("only", label) for label in decision.only or ())
    yield from (("except", label) for label in decision.except_)
    for label, rule in decision.labels.items():
        yield "labels", label
        yield from ((f"labels.{label}.includes", part) for part in rule.includes or ())


class Reader(Walk):
    """Reads the daemon's configuration, and checks what in it has to fit together."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(problems, Config)

    def config(self, tree: Node) -> Config:
        """Read the whole configuration; the result is of use only when no problem was found."""
        found = self.keys(tree)
        listening = [i for i, source in enumerate(found["sources"]) if source.stdin is not None]
        for i in listening[1:]:
            at = f"sources[{i}]"
            self.complain(self.where(at), at, "a second stdin; there is only one standard input")
        origins = {path: "default" if where == DEFAULT else str(where) for path, where in self.places.items()}
        return Config(**found, origins=origins)

    def check(self, section: Any, path: str, where: Where | None) -> None:
        if isinstance(section, Decision):
            self._check_decision(section, path)
        elif isinstance(section, Publish):
            self._check_publish(section, path)
        elif isinstance(section, Clips):
            self._check_clips(section, path)
        elif isinstance(section, Mqtt) and f"{path}.broker" not in self.failed:
            for name, complaint in unfit(section):
                self.complain(self.places[f"{path}.{name}"], f"{path}.{name}", complaint)
        elif isinstance(section, Metrics) and section.token is None:
            self._check_listening(section.listen, path, ("token",))
        elif isinstance(section, Web) and section.token is None and section.password is None:
            self._check_listening(section.listen, path, ("token", "password"))
        elif isinstance(section, Source) and where is not None:
            self._check_source(section, path, where)

    def _check_listening(self, address: str, path: str, secrets: Sequence[str]) -> None:
        """Complain of an address that other machines reach where nothing is asked for."""
        if loopback(f"tcp://{address}") or {f"{path}.{name}" for name in ("listen", *secrets)} & self.failed:
            return
        at = f"{path}.listen"
        said = f"{shown(address)} can be reached from other machines; give a {listed(secrets)}, or use a loopback"
        self.complain(self.places[at], at, said)

    def _check_source(self, source: Source, path: str, where: Where) -> None:
        kinds = [kind for kind in SOURCE_KINDS if getattr(source, kind) is not None]
        if not kinds:
            self.complain(where, path, f"has nothing to listen to; give one of {listed(SOURCE_KINDS)}")
        elif len(kinds) > 1:
            self.complain(where, path, f"has {listed(kinds, 'and')}; keep one, and make another source of the rest")
        elif source.schedule and kinds[0] in ("recording", "stdin"):
            at = f"{path}.schedule"
            self.complain(self.places[at], at, f"a {kinds[0]} cannot be paused; remove the key")

    def _check_decision(self, decision: Decision, path: str) -> None:
        self._check_groups(decision, path)
        self._check_rule(decision.threshold, decision.hysteresis, [f"{path}."])
        for label, own in decision.labels.items():
            if own.threshold is not None or own.hysteresis is not None:
                rule = decision.for_label(label)
                self._check_rule(rule.threshold, rule.hysteresis, [f"{path}.labels.{label}.", f"{path}."])

    def _check_groups(self, decision: Decision, path: str) -> None:
        """Complain of a group that has no name for topics, and of groups that are in each other."""
        made = {label: rule.includes for label, rule in decision.labels.items() if rule.includes}
        for label in made:
            if re.fullmatch("[a-z0-9_]+", label) is None:
                at = f"{path}.labels.{label}.includes"
                self.complain(self.places[at], at, f"{shown(label)} is no name for a group; use a-z, 0-9 and _")
        try:
            TopologicalSorter(made).prepare()
        except CycleError as e:
            around: list[str] = e.args[1]
            at = f"{path}.labels.{around[0]}.includes"
            self.complain(self.where(at), at, f"a group cannot be in itself: {' in '.join(around)}; take one out")

    def _check_rule(self, threshold: float | None, hysteresis: float | None, prefixes: list[str]) -> None:
        """Complain of a rule by which no event could end: a score has to fall below threshold - hysteresis, and scores
        begin at 0.

        What the model's card says is not known here: `auricle.hearing.precedence` looks at what is written beside it.
        """
        if threshold is None or hysteresis is None or hysteresis < threshold:
            return
        given: dict[str, tuple[Where, str]] = {}
        for prefix in reversed(prefixes):
            for name in ("threshold", "hysteresis"):
                place = self.places.get(prefix + name, DEFAULT)
                if prefix + name in self.failed:
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
        self.complain(where, path, f"{problem}, so that no event would end; lower the hysteresis")

    def _check_clips(self, clips: Clips, path: str) -> None:
        """Complain of clips that would hold nothing of their events."""
        if clips.before_s >= clips.max_s and not {f"{path}.before_s", f"{path}.max_s"} & self.failed:
            where, at = max((self.places[f"{path}.{name}"], f"{path}.{name}") for name in ("before_s", "max_s"))
            before, most = shown(plain(clips.before_s)), shown(plain(clips.max_s))
            problem = f"{most} is not above before_s {before}"
            if at.endswith("before_s"):
                problem = f"{before} is not below max_s {most}"
            self.complain(where, at, f"{problem}, so that no clip would hold its event; lower before_s")

    def _check_publish(self, publish: Publish, path: str) -> None:
        for name, usual in (("endpoint", 5557), ("query", 5558)):
            at = f"{path}.{name}"
            endpoint = getattr(publish, name)
            open_to_others = not loopback(endpoint) and not publish.allow_plaintext and publish.secret_key is None
            if open_to_others and not {f"{path}.allow_plaintext", f"{path}.secret_key"} & self.failed:
                self.complain(
                    self.places[at],
                    at,
                    f"{shown(endpoint)} can be reached from other machines, unencrypted; use tcp://127.0.0.1:{usual}, "
                    "make keys (publish.secret_key), or set publish.allow_plaintext: true",
                )
        if publish.ipc_group is not None:
            for at in (f"{path}.{name}" for name in ("endpoint", "query")):
                endpoint = getattr(publish, at.removeprefix(f"{path}."))
                if endpoint.startswith("ipc://@"):
                    self.complain(
                        self.places[at],
                        at,
                        f"{shown(endpoint)} is no file that publish.ipc_group could be given: every user of this "
                        "machine may connect; use ipc:///PATH",
                    )
        if publish.endpoint == publish.query and not publish.endpoint.endswith("*"):
            where, at = max((self.places[f"{path}.{name}"], f"{path}.{name}") for name in ("endpoint", "query"))
            self.complain(where, at, f"{shown(publish.query)} serves endpoint and query; give each its own port")
