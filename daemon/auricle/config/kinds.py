"""A kind says what a key of the configuration may hold: it reads the text of a value and says what it wants.

A kind reads the text itself, not YAML's guess at it: ``1e-3`` is a number here, ``on`` a switch, ``010`` ten where a
number is wanted and the text 010 where a text is.
"""

from __future__ import annotations

import ipaddress
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from auricle.config.tree import Leaf, Node, Row
from auricle.config.wording import listed, nearest, number
from auricle.messages.keys import is_key
from auricle.secrecy import mask

_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_SWITCH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5}|\*)")
# sockaddr_un holds 108 bytes, the closing zero among them (unix(7)).
_IPC_PATH_BYTES = 107
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Misfit(Exception):
    """A value does not fit; ``near`` where it is of the right sort but cannot be, ``hidden`` where it is not to be
    repeated."""

    def __init__(self, complaint: str, *, near: bool = False, hidden: bool = False) -> None:
        super().__init__(complaint)
        self.near = near
        self.hidden = hidden
        self.item: Node | None = None
        """The item of a list that is at fault."""
        self.also: tuple[Misfit, ...] = ()
        """The misfits of other items of the same list."""


class Kind(Protocol):
    """A kind says what a value may be."""

    def read(self, node: Node) -> Any:
        """Read the value; raises Misfit."""

    def wants(self) -> str:
        """Say what to write, as in 'use ...'."""

    def schema(self) -> dict[str, Any]:
        """Return what may be written as JSON Schema."""


def loopback(endpoint: str) -> bool:
    """Return whether a ZeroMQ endpoint can be reached from this machine only."""
    tcp = _TCP.fullmatch(endpoint)
    if tcp is None:
        return endpoint.startswith(("ipc://", "inproc://"))
    host = tcp["host"].strip("[]").lower()
    return host in ("localhost", "lo", "::1") or bool(re.fullmatch(r"127(\.[0-9]{1,3}){3}", host))


def _text(node: Node) -> str:
    if not isinstance(node, Leaf):
        raise Misfit("a list cannot stand here" if isinstance(node, Row) else "a section cannot stand here")
    return node.text.strip() if node.plain else node.text


@dataclass(frozen=True, slots=True)
class Number:
    """Takes a finite number from ``low`` to ``high``, both included, or above ``low`` where ``above`` is set."""

    low: float
    high: float
    unit: str = ""
    whole: bool = False
    above: bool = False

    def read(self, node: Node) -> float | int:
        noun = "a whole number" if self.whole else "a number"
        text = _text(node).strip()
        if not _NUMBER.fullmatch(text):
            comma = re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text)
            raise Misfit(f"is not {noun}" + (" (write a point, not a comma)" if comma else ""))
        value = float(text.replace("_", ""))
        if not self.low <= value <= self.high or (self.above and value == self.low):
            raise Misfit("is out of range", near=True)
        if not self.whole:
            return value
        if not value.is_integer():
            raise Misfit("is not a whole number", near=True)
        return int(value)

    def wants(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{'above ' if self.above else ''}{number(self.low)} to {number(self.high)}{unit}"

    def schema(self) -> dict[str, Any]:
        least = "exclusiveMinimum" if self.above else "minimum"
        return {"type": "integer" if self.whole else "number", least: self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Flag:
    """Takes a switch."""

    def read(self, node: Node) -> bool:
        text = _text(node).strip().lower()
        if text not in _SWITCH:
            raise Misfit("is not true or false")
        return _SWITCH[text]

    def wants(self) -> str:
        return "true or false"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Takes one of a few words; ``yes`` and ``true`` stand for ``on`` where that is one of them."""

    words: tuple[str, ...]

    def read(self, node: Node) -> str:
        text = _text(node).strip().lower()
        if text in _SWITCH and "on" in self.words:
            text = "on" if _SWITCH[text] else "off"
        if text not in self.words:
            near = nearest(text, self.words)
            raise Misfit("is not known" + (f"; did you mean {near!r}?" if near else ""))
        return text

    def wants(self) -> str:
        return listed(self.words)

    def schema(self) -> dict[str, Any]:
        return {"enum": [*self.words, *((True, False) if "on" in self.words else ())]}


@dataclass(frozen=True, slots=True)
class Text:
    """Takes a line of text that can be printed."""

    what: str = "a text"
    longest: int = 4096

    def read(self, node: Node) -> str:
        text = _text(node)
        if not text.strip():
            raise Misfit("is empty")
        if len(text) > self.longest:
            raise Misfit(f"is longer than {self.longest} characters", near=True)
        if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
            raise Misfit("holds a line break or another character that cannot be shown", near=True)
        return text

    def wants(self) -> str:
        return self.what

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.longest}


def _no_address(text: str) -> str:
    """Return a text that is no address: whatever was done with one, its password would be shown somewhere."""
    if _ADDRESS.match(text):
        raise Misfit("is an address; only an ffmpeg source opens those", near=True)
    return text


@dataclass(frozen=True, slots=True)
class MediaAddress(Text):
    """Takes an address that ffmpeg opens, which may not look like an option."""

    def read(self, node: Node) -> str:
        text = Text.read(self, node)
        if text.startswith("-"):
            raise Misfit("begins like an option")
        return text


@dataclass(frozen=True, slots=True)
class Device(Text):
    """Takes the name of a microphone, or a part of it."""

    what: str = "a device's name or part of it"

    def read(self, node: Node) -> str:
        return _no_address(Text.read(self, node))


@dataclass(frozen=True, slots=True)
class Option(Text):
    """Takes an option of ffmpeg, or its value: each an item of its own."""

    what: str = "an option of ffmpeg"

    def read(self, node: Node) -> str:
        text = Text.read(self, node)
        if text.startswith("-") and len(words := text.split()) > 1:
            # The value may be a secret, and so is not repeated.
            raise Misfit(f"holds an option and its value; write two items, [{words[0]}, ...]", near=True)
        return text


def _in_name(char: str) -> bool:
    """Return whether a name may hold it: in many scripts marks belong to a letter, and some letters are no single
    character."""
    return char in "_-" or char.isalnum() or unicodedata.category(char)[0] == "M"


@dataclass(frozen=True, slots=True)
class Name:
    """Takes a word that serves in topics and file names: letters, digits, ``_`` and ``-``."""

    what: str = "letters, digits, '_' and '-'"

    def read(self, node: Node) -> str:
        text = unicodedata.normalize("NFC", Text(longest=64).read(node))
        if not all(map(_in_name, text)) or unicodedata.combining(text[0]):
            # Of an address nothing is proposed: a password would be in it.
            slug = re.sub(r"[^\w-]+", "_", text).strip("_") if mask(text) == text else ""
            raise Misfit("is not a name" + (f"; did you mean {slug!r}?" if slug else ""))
        return text

    def wants(self) -> str:
        return self.what

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[^\s!-,./:-@\[-^`{-~]{1,64}$"}


@dataclass(frozen=True, slots=True)
class File:
    """Takes a path. ``~`` is the home folder; a relative path starts at the folder of the file that it is written
    in."""

    what: str = "a path"

    def read(self, node: Node) -> Path:
        return Path(self.resolve(node))

    def resolve(self, node: Node) -> str:
        text = os.path.expanduser(_no_address(Text(self.what).read(node)))
        return os.path.join(os.path.abspath(node.where.folder), text)

    def wants(self) -> str:
        return self.what

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class KeyFile(File):
    """Takes the path of a file with keys."""

    what: str = "the path of a pair of keys"

    def read(self, node: Node) -> Path:
        if isinstance(node, Leaf) and is_key(node.text):
            raise Misfit("is a key itself, and should be a path", near=True, hidden=True)
        return File.read(self, node)


@dataclass(frozen=True, slots=True)
class Pattern(File):
    """Takes a path that may hold wildcards, so that it stays a text."""

    def read(self, node: Node) -> str:  # type: ignore[override]
        return self.resolve(node)


@dataclass(frozen=True, slots=True)
class Model(File):
    """Takes the name of a model, or the folder that holds one (anything with a slash in it)."""

    def read(self, node: Node) -> str:  # type: ignore[override]
        text = Text(self.what).read(node)
        return self.resolve(node) if "/" in text or text in (".", "..", "~") else text


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Takes the endpoint where a ZeroMQ socket is bound."""

    def read(self, node: Node) -> str:
        text = Text("an endpoint").read(node)
        tcp = _TCP.fullmatch(text)
        if tcp and (tcp["port"] == "*" or 1 <= int(tcp["port"]) <= 65535) and not _broken(tcp["host"]):
            return text
        path = text.removeprefix("ipc://")
        if path != text and (path.startswith("/") or (path.startswith("@") and len(path) > 1)):
            if len(os.fsencode(path)) > _IPC_PATH_BYTES:
                raise Misfit(f"is longer than the {_IPC_PATH_BYTES} bytes that a socket's path may have", near=True)
            return text
        raise Misfit("is not an endpoint")

    def wants(self) -> str:
        return "tcp://ADDRESS:PORT or ipc:///PATH"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^(tcp://.+:([0-9]{1,5}|\\*)|ipc://[/@].+)$"}


def _broken(host: str) -> bool:
    """Return whether a host is written as an address, but is none: it would be waited for like a name, for ever."""
    if not re.fullmatch(r"[0-9.]+|\[.*\]", host):
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Moment:
    """Takes a date and time with its zone."""

    def read(self, node: Node) -> datetime:
        text = Text("a date and time").read(node)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Misfit("is not a date and time") from None
        if moment.tzinfo is None:
            raise Misfit("has no time zone; add Z for UTC, or an offset such as +01:00", near=True)
        if not 1900 < moment.year < 2199:  # any zone's
            raise Misfit("cannot be published; use a year from 1901 to 2198", near=True)
        return moment

    def wants(self) -> str:
        return "RFC 3339, such as 2026-05-01T04:30:00+02:00"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


def plain(value: Any) -> Any:
    """Turn a value of any kind into what JSON has."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
