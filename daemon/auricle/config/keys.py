"""A key of the configuration is declared once, as a dataclass field that knows what it may hold, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any, Literal, TypeAlias

from auricle import secrecy
from auricle.config.kinds import Kind, plain

Effect: TypeAlias = Literal["live", "segment", "restart", "bridge"]
"""When a reload brings a change in: between two hops (live), with a new segment, not before the daemon starts again;
or, as far as the daemon is concerned, at once, and really when a bridge starts again."""

REQUIRED: Any = dataclasses.MISSING


@dataclass(frozen=True, slots=True)
class Key:
    """Declares one key: a value of some ``kind``, or a ``section``; with ``many`` in a list, or by label."""

    doc: str
    effect: Effect = "live"
    kind: Kind | None = None
    default: Any = None
    default_text: str | None = None
    nullable: bool = False
    secret: bool = False
    section: type | None = None
    many: Literal["", "list", "labels"] = ""
    fewest: int = 0
    """How many a list must hold."""
    noun: str = "entry"
    """What an item of a list is called."""
    short: bool = False
    """An item of a list may be written as a word, which then is its first key."""
    optional: bool = False
    """The section is None unless it is written."""
    inherits: str = ""
    """The key at the top over which this one is laid."""
    example: Any = None
    """The value that the commented example shows where the default says little."""

    @property
    def initial(self) -> Any:
        """Return the default; where it depends on the machine, find it out."""
        return self.default() if callable(self.default) else self.default


def key(default: Any, kind: Kind, effect: Effect, doc: str, **more: Any) -> Any:
    """Declare a dataclass field that holds one value; ``default`` is REQUIRED, a value, or a function that finds it
    out."""
    nullable = more.pop("nullable", default is None)
    about = Key(doc, effect, kind, default, nullable=nullable, **more)
    given: dict[str, Any] = {} if default is REQUIRED else {"default": default}
    if callable(default):
        given = {"default_factory": default}
    return field(metadata={"key": about}, repr=not about.secret, **given)


def value(default: Any, kind: Kind, doc: str, **more: Any) -> Any:
    """Declare a dataclass field of a file that is read once: a change has nothing to take effect in."""
    return key(default, kind, "live", doc, **more)


def section(of: type, doc: str = "", *, factory: Callable[[], Any] = tuple, **more: Any) -> Any:
    """Declare a dataclass field that holds a section, or several."""
    about = Key(doc or " ".join((of.__doc__ or "").split()), section=of, **more)
    if about.many:
        return field(metadata={"key": about}, default_factory=factory)
    if about.optional:
        return field(metadata={"key": about}, default=None)
    return field(metadata={"key": about}, default_factory=of)


def keys_of(of: type) -> dict[str, Key]:
    """Return the declared keys of a section, in their order, as they are written."""
    items = [item for item in dataclasses.fields(of) if "key" in item.metadata]
    return {item.name.removesuffix("_"): item.metadata["key"] for item in items}


def attribute(name: str) -> str:
    """Return what Python calls a key: a word of its own, such as ``except``, bears an underscore there."""
    return f"{name}_" if iskeyword(name) else name


def held(of: Any, name: str) -> Any:
    """Return what a section holds under a key."""
    return getattr(of, attribute(name))


def public(about: Key, value: Any) -> Any:
    """Return of a key's value, as JSON has it, what all may see: of an address, or of options of ffmpeg, not what may
    be a secret."""
    value = plain(value)
    if about.secret:
        return secrecy.address(value) if isinstance(value, str) else secrecy.options(value)
    return _masked(value)


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return secrecy.mask(value) if isinstance(value, str) else value


def values(of: Any, *, masked: bool = False) -> dict[str, Any]:
    """Return a section as nested dicts and lists of what JSON has, sections that are None left out.

    Args:
        of: the section.
        masked: whether only that of a value is returned which all may see.
    """
    found: dict[str, Any] = {}
    for name, about in keys_of(of.__class__).items():
        value = held(of, name)
        if about.section is None:
            found[name] = public(about, value) if masked else plain(value)
        elif about.many == "list":
            found[name] = [_shortest(item) if about.short else values(item, masked=masked) for item in value]
        elif about.many == "labels":
            found[name] = {label: values(rule, masked=masked) for label, rule in value.items()}
        elif value is not None:
            found[name] = values(value, masked=masked)
    return found


def _shortest(of: Any) -> Any:
    """Return a section as the word that it may be written as, where nothing else is said of it."""
    found = values(of)
    first, *others = keys_of(of.__class__).items()
    plainly = all(about.section is None and found[name] == plain(about.initial) for name, about in others)
    return found[first[0]] if plainly else found
