"""A secret is read from a file or from systemd's credentials, never from the configuration, and is never printed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from auricle.errors import ConfigError

CREDENTIAL = "credential"
"""What stands in the configuration where systemd gives the secret."""
STORE = Path("/etc/credstore")
"""Where systemd takes the credentials from that a unit loads by name."""
_MOST_BYTES = 64 * 1024


def place(given: Path | str, name: str, key: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file that holds a secret; where no unit asks, a credential is looked for in systemd's store.

    Args:
        given: its path, or ``credential``.
        name: of systemd's credential.
        key: of the configuration, for the error.

    Raises:
        ConfigError: it is a credential, and systemd gave none.
    """
    if given != CREDENTIAL:
        return Path(given)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder is not None:
        return Path(folder) / name
    if os.access(STORE / name, os.R_OK):
        return STORE / name
    raise ConfigError([f"{key}: systemd gave no credentials; start the unit, or name a file"])


def within_reach(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a credential can be had here."""
    return "CREDENTIALS_DIRECTORY" in environ or os.access(STORE / name, os.R_OK)


def read(given: Path | str, name: str, key: str, environ: Mapping[str, str] = os.environ) -> str:
    """Read a secret, without the line break at its end.

    Raises:
        ConfigError: there is none, or it cannot be read or is no text; what is in the file is not repeated.
    """
    path = place(given, name, key, environ)
    try:
        with open(path, "rb", opener=lambda at, flags: os.open(at, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError([f"{key}: {path}: no plain file; put the file itself there"])
            content = file.read(_MOST_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError([f"{key}: {path}: no plain file; put the file itself there"]) from None
    except OSError as e:
        remedy = f"LoadCredential={name} in the unit gives it" if given == CREDENTIAL else "write it, readable for us"
        raise ConfigError([f"{key}: {path}: {e.strerror}; {remedy}"]) from None
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > _MOST_BYTES or "\0" in text:
        raise ConfigError([f"{key}: {path}: holds no secret that could be used; write it as a line of text"])
    return text


def login(given: Path | str, name: str, key: str, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Read a user and a password from a file of these two lines.

    Raises:
        ConfigError: they are not there.
    """
    lines = read(given, name, key, environ).splitlines()
    if len(lines) != 2 or not all(lines):
        where = place(given, name, key, environ)
        raise ConfigError([f"{key}: {where}: {len(lines)} lines; write two, the user and below it the password"])
    return lines[0], lines[1]
