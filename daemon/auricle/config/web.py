"""The section of the page in a browser: a program of its own reads it, and the daemon only checks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auricle.config.bridges import Listening, secret_file
from auricle.config.keys import key
from auricle.config.kinds import Flag

_TOKEN = secret_file("a file with a token")
_PASSWORD = secret_file("a file with a password's hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Sets where the page is served, and who may open it (docs/page.md): auricle web."""

    listen: str = key(
        "127.0.0.1:5580",
        Listening(),
        "bridge",
        "Where the page is. Another address than a loopback wants a token or a password.",
    )
    read_only: bool = key(
        False,
        Flag(),
        "bridge",
        "It only shows: no marks, no pauses, no thresholds. auricle web --read-only does the same.",
    )
    token: Path | str | None = key(
        None,
        _TOKEN,
        "bridge",
        "What opens it, a line of a file. credential: systemd's, auricle-web.token. null: none.",
    )
    password: Path | str | None = key(
        None,
        _PASSWORD,
        "bridge",
        "The same as argon2 keeps it, written by auricle web --hash. credential: systemd's, auricle-web.password. "
        "null: none.",
    )
