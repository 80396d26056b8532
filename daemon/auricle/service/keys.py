"""Finds the daemon's own keys, and those who may connect, as the configuration says."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from auricle import config
from auricle.errors import KeysError
from auricle.messages.keys import Pair, read_allowed, read_pair
from auricle.publish.curve import Allowed
from auricle.publish.door import Door

log = logging.getLogger("auricle")

CREDENTIAL = "auricle.key"
"""The name of the credential that holds the daemon's pair."""


def own_pair(publish: config.Publish, environ: Mapping[str, str] = os.environ) -> Pair | None:
    """Read the daemon's own pair of keys; ``None`` where none is configured.

    Raises:
        KeysError: it cannot be read, or is not for its owner alone.
    """
    if publish.secret_key is None:
        return None
    if isinstance(publish.secret_key, Path):
        return read_pair(publish.secret_key)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = None if folder is None else Path(folder) / CREDENTIAL
    if path is None or not os.access(path, os.R_OK):
        raise KeysError(
            f"publish.secret_key: systemd has given no credential {CREDENTIAL}; put the pair into "
            f"/etc/credstore/{CREDENTIAL}, or name its file"
        )
    # systemd sees to it that nobody else reads it, with an access list that looks like a mode for a group.
    return read_pair(path, owner_only=False)


def allowed(publish: config.Publish) -> Allowed | None:
    """Read the daemon's own pair of keys, and who may connect; ``None`` where no keys are configured.

    Raises:
        KeysError: the keys cannot be read.
    """
    pair = own_pair(publish)
    if pair is None:
        return None
    names = read_allowed(publish.allowed_keys)
    if not names:
        log.warning("%s: nobody may connect yet; auricle keys allow NAME KEY, then reload", publish.allowed_keys)
    return Allowed(pair, names)


class Renewed:
    """`Renewed` reads the list of those who may connect with every reload, and enforces it once all else is well.

    Args:
        allowed: asks the list; ``None`` where no keys are configured, and there is nothing to do.
        doors: of the sockets where those are connected who were allowed before.
    """

    def __init__(self, allowed: Allowed | None, doors: Sequence[Door]) -> None:
        self._allowed = allowed
        self._doors = doors
        self._names: dict[str, str] = {}

    def with_list(self, load: Callable[[], config.Config]) -> Callable[[], config.Config]:
        """Return what reads the configuration and the list as well, so that a list that is none is refused in time."""

        def both() -> config.Config:
            wanted = load()
            if self._allowed is not None:
                self._names = read_allowed(wanted.publish.allowed_keys)
            return wanted

        return both

    def take_over(self, new: config.Config) -> None:
        """Let in whoever is in the list that was read last, and hang up on all others."""
        if self._allowed is not None and self._allowed.change(self._names):
            for door in self._doors:
                door.expel(self._allowed.has)
