"""Not everybody who may ask may change what is decided: who may is said here."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from auricle import config
from auricle.connectors import credentials
from auricle.errors import ConfigError, UsageError

CREDENTIAL = "auricle.token"
"""The name of systemd's credential that holds the token."""
SHORTEST = 16


def own_token(publish: config.Publish) -> str | None:
    """Read the token that is to be shown; ``None`` where none is configured.

    Raises:
        ConfigError: it cannot be read, or could be guessed.
    """
    if publish.token is None:
        return None
    token = credentials.read(publish.token, CREDENTIAL, "publish.token")
    if len(token) < SHORTEST:
        raise ConfigError([f"publish.token: holds fewer than {SHORTEST} characters; make one by openssl rand -hex 16"])
    return token


class Permits:
    """Lets those change thresholds who connect with a key, or show the token; without either nobody may, since
    everybody on this machine can connect.

    Args:
        publish: says where the token is.
        keyed: whether all who are connected have a key that is allowed.

    Raises:
        ConfigError: the token cannot be read.
    """

    def __init__(self, publish: config.Publish, *, keyed: bool) -> None:
        self._keyed = keyed
        self._token = self._coming = own_token(publish)

    def check(self, shown: str | None) -> None:
        """Refuse who may not.

        Raises:
            UsageError: neither key nor token.
        """
        if self._keyed:
            return
        if self._token is None:
            raise UsageError(
                "thresholds are changed with a token or a key alone; name a file with a token in publish.token, "
                "or make keys (auricle keys new)"
            )
        if shown is None or not hmac.compare_digest(shown.encode(errors="surrogatepass"), self._token.encode()):
            raise UsageError(f"token: {'none' if shown is None else 'a wrong one'} is shown; publish.token has it")

    def with_token(self, load: Callable[[], config.Config]) -> Callable[[], config.Config]:
        """Return what reads the configuration and the token as well, so that one that is none is refused in time."""

        def both() -> config.Config:
            wanted = load()
            self._coming = own_token(wanted.publish)
            return wanted

        return both

    def take_over(self, new: config.Config) -> None:
        """Ask for the token that was read last."""
        self._token = self._coming
