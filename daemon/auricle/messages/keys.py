"""Reads and writes keys: the file of a pair, and the list of those who may connect.

A key has 32 bytes and is written as 40 letters (Z85, ZeroMQ's RFC 32). What is done with it is ZeroMQ's CURVE (RFC 26).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from auricle.errors import KeysError

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_NAME = re.compile(r"[\w.@-]{1,64}")
_MOST_BYTES = 1 << 20
"""The longest file of keys that is read: more than ten thousand names."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A `Pair` is a public and a secret key; a client's has the public key of the daemon it talks to as well."""

    public: str
    secret: str = field(repr=False)
    daemon: str | None = None


def is_key(text: str) -> bool:
    """Return whether a text can be a key."""
    if len(text) != 40 or not set(text) <= set(_LETTERS):
        return False
    # Five letters are four bytes, of which a few combinations are more than these hold.
    words = (text[at : at + 5] for at in range(0, 40, 5))
    return all(sum(_LETTERS.index(c) * 85**n for n, c in enumerate(reversed(word))) < 1 << 32 for word in words)


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a key's owner."""
    return _NAME.fullmatch(text) is not None


def read_pair(path: Path, *, owner_only: bool = True) -> Pair:
    """Read the file of a pair.

    Args:
        path: of the file.
        owner_only: whether a file that others may read is refused.

    Raises:
        KeysError: it cannot be read, others may read it, or it is no pair.
    """
    rows = dict(_rows(path, secret=True, owner_only=owner_only))
    if not {"public", "secret"} <= rows.keys() <= {"public", "secret", "daemon"}:
        raise KeysError(f"{path}: is no pair of keys; make one with auricle keys new")
    return Pair(**rows)


def write_pair(path: Path, pair: Pair) -> None:
    """Write a pair into a new file that its owner alone can read.

    Raises:
        KeysError: there is such a file already, or it cannot be written.
    """
    lines = [
        "# Whoever has this file is taken for you.",
        f"public {pair.public}",
        f"secret {pair.secret}",
        *([] if pair.daemon is None else [f"daemon {pair.daemon}"]),
    ]
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write("\n".join([*lines, ""]))
    except FileExistsError:
        raise KeysError(f"{path}: is there already; keep it, or move it away first") from None
    except OSError as e:
        raise KeysError(f"{path}: cannot be written: {e.strerror}; name another file") from None


def read_allowed(path: Path) -> dict[str, str]:
    """Read the list of those who may connect: names and their public keys. No file is an empty list.

    Raises:
        KeysError: it cannot be read, or is no such list.
    """
    allowed: dict[str, str] = {}
    with suppress(FileNotFoundError):
        rows = _rows(path, secret=False, owner_only=False)
        if {"public", "secret"} <= {name for name, _ in rows}:
            raise KeysError(f"{path}: is a pair of keys, no list; correct publish.allowed_keys")
        for name, key in rows:
            if not is_name(name):
                raise KeysError(f"{path}: {name[:64]!r} is no name; use letters, digits, '_', '.', '@' and '-'")
            if name in allowed or key in allowed.values():
                raise KeysError(f"{path}: {name}: its name or its key stands there twice; remove one")
            allowed[name] = key
    return allowed


def write_allowed(path: Path, allowed: Mapping[str, str]) -> None:
    """Replace the list by a whole new one, which everybody may read: it holds no secret.

    Raises:
        KeysError: it cannot be written.
    """
    lines = ["# Who may connect, each with a public key; read at a start and at every reload."]
    lines += [f"{name} {key}" for name, key in allowed.items()]
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("w") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write("\n".join([*lines, ""]))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except FileNotFoundError:
        raise KeysError(
            f"{path}: there is no such folder; make it, or set publish.allowed_keys to another file"
        ) from None
    except OSError as e:
        raise KeysError(f"{path}: cannot be written: {e.strerror}; correct publish.allowed_keys, or ask root") from None


def _rows(path: Path, *, secret: bool, owner_only: bool) -> list[tuple[str, str]]:
    """Read the words and keys of a file, one of each a line. What may be a secret is in no error.

    Raises:
        KeysError: it cannot be read, or has another line.
        FileNotFoundError: it is not there, and holds no secret.
    """
    try:
        # Not to wait at a FIFO that somebody has put there.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise KeysError(f"{path}: is no file of keys; make one with auricle keys")
            if owner_only and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeysError(f"{path}: others may read this secret key; chmod 600 it, and think of making a new one")
            content = file.read(_MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        if not secret:
            raise
        raise KeysError(f"{path}: there is no such file; make one with auricle keys new") from None
    except OSError as e:
        raise KeysError(f"{path}: cannot be read: {e.strerror}; correct its owner or the path") from None
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(content.splitlines(), 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 2 or not is_key(words[1]) or (secret and words[0] in dict(rows)):
            raise KeysError(f"{path}:{number}: is no word and a key of 40 letters, such as auricle keys writes")
        rows.append((words[0], words[1]))
    return rows
