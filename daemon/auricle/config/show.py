"""The configuration is written here for people and editors: the effective values, a commented example, a table, a JSON
Schema.

All of it is made from the declarations in ``config``, so that it cannot say anything else than what is read.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from auricle.config.keys import REQUIRED, Key, held, keys_of, public
from auricle.config.kinds import plain
from auricle.config.schema import SOURCE_KINDS, Config, Source
from auricle.config.wording import number

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WIDTH = 112
_EFFECTS = {
    "live": "at once",
    "segment": "with a new segment",
    "restart": "after a restart",
    "bridge": "after a restart of the bridge",
}


def scalar(value: Any) -> str:
    """Write a value as YAML that every reader reads alike."""
    value = plain(value)
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return number(value)
    text = str(value)
    resolve: Any = yaml.resolver.Resolver().resolve
    resolved = resolve(yaml.ScalarNode, text, (True, False))
    if _PLAIN.fullmatch(text) and resolved == "tag:yaml.org,2002:str":
        return text
    return str(yaml.dump(text, default_style='"', allow_unicode=True, width=2**31)).rstrip("\n")


def show(config: Config) -> str:
    """Write the effective configuration as YAML, each value with the place that it came from.

    Of what a source takes over from the keys at the top, only what differs is shown. Read again, the text gives the
    same configuration (but for what may be a secret, of which ``***`` stands there).
    """
    lines = list(_section(config, "", "", config))
    width = min(48, max(len(text) for text, _ in lines))
    return "".join(f"{text.ljust(width)}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def _section(of: Any, path: str, indent: str, config: Config) -> Iterator[tuple[str, str]]:
    for name, about in keys_of(type(of)).items():
        value, at = held(of, name), f"{path}{name}"
        if about.section is None:
            yield f"{indent}{name}: {scalar(public(about, value))}", config.origins.get(at, "default")
        elif about.many == "list":
            yield f"{indent}{name}:{'' if value else ' []'}", "" if value else "default"
            for i, item in enumerate(value):
                one = _source if isinstance(item, Source) else _item
                yield from one(item, f"{at}[{i}].", indent + "  ", config)
        elif about.many == "labels":
            yield from _labels(value, None, at, indent, config)
        elif value is not None:
            yield f"{indent}{name}:", ""
            yield from _section(value, f"{at}.", indent + "  ", config)


def _item(of: Any, path: str, indent: str, config: Config) -> Iterator[tuple[str, str]]:
    """Yield a section in a list, its first key behind the dash."""
    for n, (line, origin) in enumerate(_section(of, path, indent + "  ", config)):
        yield (line if n else f"{indent}- {line.strip()}"), origin


def _source(source: Source, path: str, indent: str, config: Config) -> Iterator[tuple[str, str]]:
    yield f"{indent}- name: {scalar(source.name)}", config.origins.get(f"{path}name", "default")
    indent += "  "
    kind = source.kind
    yield f"{indent}{kind}:", ""
    yield from _section(getattr(source, kind), f"{path}{kind}.", indent + "  ", config)
    for name, about in keys_of(Source).items():
        value, at = held(source, name), f"{path}{name}"
        if about.inherits:
            yield from _own(value, held(config, name), name, at, indent, about, config)
        elif about.section is None and name != "name" and value != about.default:
            yield f"{indent}{name}: {scalar(public(about, value))}", config.origins.get(at, "default")


def _own(
    own: Any, top: Any, name: str, path: str, indent: str, about: Key, config: Config
) -> Iterator[tuple[str, str]]:
    """Yield what a source has of its own in a key that lies over the one at the top."""
    if own == top:
        return
    if about.section is None:
        yield f"{indent}{name}: {scalar(public(about, own))}", config.origins.get(path, "default")
    elif about.many == "labels":
        yield from _labels(own, top, path, indent, config)
    else:
        yield f"{indent}{name}:", ""
        for inner, inner_about in keys_of(about.section).items():
            values = held(own, inner), held(top, inner)
            yield from _own(*values, inner, f"{path}.{inner}", indent + "  ", inner_about, config)


def _labels(rules: Any, top: Any, path: str, indent: str, config: Config) -> Iterator[tuple[str, str]]:
    """Yield the labels' rules: what is set of them, or what differs from ``top``."""
    if not rules:
        yield f"{indent}labels: {{}}", "default"
        return
    yield f"{indent}labels:", ""
    for label, rule in rules.items():
        above = (top or {}).get(label)
        keys = [
            name
            for name in keys_of(type(rule))
            if held(rule, name) != (above and held(above, name)) or (above is None and held(rule, name) is not None)
        ]
        if above is not None and not keys:
            continue
        yield f"{indent}  {scalar(label)}:", ""
        for name in keys:
            at = f"{path}.{label}.{name}"
            yield f"{indent}    {name}: {scalar(held(rule, name))}", config.origins.get(at, "default")


def schema() -> dict[str, Any]:
    """Describe the configuration as JSON Schema (2020-12), for editors that complete and check YAML."""
    root = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Auricle's configuration"}
    return root | _object(Config)


def _object(of: type) -> dict[str, Any]:
    properties = {name: _property(about) for name, about in keys_of(of).items()}
    required = [name for name, about in keys_of(of).items() if about.default is REQUIRED]
    found: dict[str, Any] = {"type": ["object", "null"], "additionalProperties": False, "properties": properties}
    if required:
        # An empty section would lack them.
        found |= {"type": "object", "required": required}
    if of is Source:
        found["oneOf"] = [{"required": [kind]} for kind in SOURCE_KINDS]
    return found


def _property(about: Key) -> dict[str, Any]:
    if about.section is not None:
        inner = _object(about.section)
        if about.many == "list":
            kind = "array" if about.fewest else ["array", "null"]
            inner = {"type": kind, "items": inner, "minItems": about.fewest}
        elif about.many == "labels":
            inner = {"type": ["object", "null"], "additionalProperties": inner}
        return {"description": about.doc} | inner
    assert about.kind is not None
    inner = about.kind.schema()
    if about.nullable or callable(about.default):
        inner = {"anyOf": [inner, {"type": "null"}]}
    found = {"description": f"{about.doc} Changes take effect {_EFFECTS[about.effect]}."} | inner
    if about.default is not REQUIRED and not callable(about.default) and not about.inherits:
        found["default"] = plain(about.default)
    return found


def table() -> str:
    """Write every key as a Markdown table: what to write, the default, when a change takes effect, what it is for."""
    rows = ["| key | use | default | takes effect | what it is for |", "|-|-|-|-|-|"]
    rows += [
        f"| `{path}` | {_cell(use)} | {_cell(default)} | {effect} | {_cell(doc)} |"
        for path, use, default, effect, doc in _rows(Config, "")
    ]
    return "\n".join(rows) + "\n"


def table_of(of: type, *, but: Collection[str] = ()) -> str:
    """Write the keys of a file that is read once as a Markdown table: what to write, the default, what each is for.

    Args:
        but: keys at the top that are left out.
    """
    rows = ["| key | use | default | what it is for |", "|-|-|-|-|"]
    rows += [
        f"| `{at}` | {_cell(use)} | {_cell(default)} | {_cell(doc)} |"
        for at, use, default, _, doc in _rows(of, "")
        if re.split(r"[.\[]", at)[0] not in but
    ]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _rows(of: type, path: str) -> Iterator[tuple[str, str, str, str, str]]:
    for name, about in keys_of(of).items():
        at = f"{path}{name}"
        if about.section is None:
            yield at, _use(about), "as at the top" if about.inherits else _default(about), about.effect, about.doc
        elif about.inherits:
            yield at, f"the keys of `{about.inherits}`", "as at the top", "as there", about.doc
        else:
            at += {"": "", "list": "[]", "labels": ".LABEL"}[about.many]
            yield at, "", "", "", about.doc
            yield from _rows(about.section, f"{at}.")


def _use(about: Key) -> str:
    assert about.kind is not None
    return about.kind.wants() + (", or null" if about.nullable else "")


def _default(about: Key) -> str:
    if about.default is REQUIRED:
        return "must be given"
    return about.default_text or f"`{scalar(about.default)}`"


def example() -> str:
    """Write a configuration that sets nothing: every key is explained, and commented out at its default."""
    head = (
        "Auricle's configuration: every key, commented out at its default, so that what you do not set follows Auricle "
        "and the model. Uncomment what you change. In brackets: what to write, and whether a change comes in between "
        "two hops (live), with a new segment, or only with a restart, of the daemon or of a bridge. "
        "Relative paths start at this file's folder. "
        "Check it: auricle config check -c FILE. What holds then: auricle config show -c FILE. More: "
        "docs/configuration.md."
    )
    return "\n".join([*_prose(head, ""), *_example(Config, "")]) + "\n"


def _prose(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, _WIDTH - 2 - len(indent), break_on_hyphens=False)]


def _explained(about: Key, indent: str) -> list[str]:
    use = _use(about) + (f" (default: {about.default_text})" if about.default_text else "")
    brackets = f"[{use}; {about.effect}]"
    lines = _prose(about.doc, indent)
    if len(lines[-1]) + 1 + len(brackets) <= _WIDTH:
        lines[-1] += f" {brackets}"
        return lines
    return [*lines, *_prose(brackets, indent)]


def _example(of: type, indent: str) -> Iterator[str]:
    for name, about in keys_of(of).items():
        if not indent:
            yield ""
        if about.inherits:
            continue
        if about.section is None:
            yield from _explained(about, indent)
            known = about.default is not REQUIRED and not callable(about.default)
            yield f"{indent}#{name}: {scalar(about.default if known else about.example)}"
            continue
        yield from _prose(about.doc, indent)
        yield f"{indent}{name}:"
        if about.section is Source:
            yield from _example_sources(indent + "  ")
        elif about.many == "list":
            yield from _example_item(about.section, indent + "  ")
        elif about.many == "labels":
            yield f"{indent}  #{about.example}:"
            yield from _commented(about.section, indent + "  ", "  ")
        else:
            yield from _example(about.section, indent + "  ")


def _commented(of: type, indent: str, depth: str) -> Iterator[str]:
    """Yield a section as keys to uncomment; where there is no default, with an example of a value."""
    for name, about in keys_of(of).items():
        value = about.example if about.example is not None else about.default
        yield from _explained(about, indent)
        yield f"{indent}#{depth}{name}: {scalar(value)}"


def _example_item(of: type, indent: str) -> Iterator[str]:
    """Yield an item of a list to uncomment."""
    first, *_ = keys_of(of)
    for line in _commented(of, indent, "  "):
        yield line.replace(f"{indent}#  {first}:", f"{indent}#- {first}:")


def _example_sources(indent: str) -> Iterator[str]:
    """Yield the default source, and one of each other kind to uncomment."""
    keys = keys_of(Source)
    inner = indent + "  "
    yield from _explained(keys["name"], indent)
    yield f"{indent}- name: mic"
    microphone, *others = SOURCE_KINDS
    for name, about in keys.items():
        if name == microphone:
            assert about.section is not None
            yield from _prose(about.doc, inner)
            yield f"{inner}{name}:"
            yield from _example(about.section, inner + "  ")
        elif about.section is None and not about.inherits and name != "name":
            yield from _explained(about, inner)
            yield f"{inner}#{name}: {scalar(about.example)}"
        elif about.inherits:
            yield from _prose(about.doc, inner)
            yield f"{inner}#{name}: " + (f"{{{about.example}}}" if about.section else scalar(about.default))
    for kind in others:
        section = keys[kind].section
        assert section is not None
        yield ""
        yield from _prose(keys[kind].doc, indent)
        yield from (f"{indent}#- name: {kind}", f"{indent}#  {kind}:")
        yield from _commented(section, indent, "    ")
