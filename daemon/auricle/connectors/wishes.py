"""Whoever looks at the page may wish something of the daemon: marks, pauses and thresholds are sent on here.

The page lends nobody more than they have without it. On a loopback every user of the machine may open it, and where
the daemon's own socket is on a loopback too they may mark and pause there; but not by the page's key or token, nor at a
socket that is for few, and clips are for the daemon's user alone. So whatever needs one of these wants a page with a
login.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec
from starlette.exceptions import HTTPException

from auricle.client import (
    AskMark,
    AskPause,
    AskResume,
    AskThreshold,
    AskUndo,
    Marked,
    Overridden,
    Paused,
)
from auricle.connectors.guard import READ_ONLY

Wish: TypeAlias = AskMark | AskPause | AskResume | AskThreshold | AskUndo

ANSWERS: Mapping[type[Wish], Any] = MappingProxyType(
    {AskMark: Marked, AskPause: Paused, AskResume: Paused, AskThreshold: Overridden, AskUndo: Overridden}
)
_DECODER: msgspec.json.Decoder[Wish] = msgspec.json.Decoder(Wish)

LOGIN = "this wants a page with a login: set web.token or web.password"
TOKEN = "the daemon changes thresholds for who has a key or a token alone: set publish.token"


@dataclass(frozen=True, slots=True)
class Means:
    """Holds what the page has at the daemon, and whether who opens it has logged in.

    Args:
        login: whether the page asks for a secret.
        read_only: whether it only shows.
        keyed: whether it connects to the daemon with a key.
        few: whether not every user of the machine can ask the daemon, without a key.
        token: what it shows the daemon.
    """

    login: bool
    read_only: bool = False
    keyed: bool = False
    few: bool = False
    token: str | None = field(default=None, repr=False)

    def lacking(self) -> dict[str, str | None]:
        """Return for everything that may be wished why it cannot be, with the remedy; ``None`` if it can."""
        ask = READ_ONLY if self.read_only else LOGIN if (self.keyed or self.few) and not self.login else None
        change = ask or (LOGIN if not self.login else None if self.keyed or self.token else TOKEN)
        return {"ask": ask, "change": change, "play": None if self.login else LOGIN}

    def question(self, content: bytes, kind: str | None) -> Wish:
        """Read a wish, and put to it what the daemon wants to be shown.

        Args:
            content: the body of a request.
            kind: of the body, as its header says; a form of another page cannot say JSON.

        Raises:
            HTTPException: it is none, or cannot be granted here.
        """
        if (kind or "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "send JSON, as application/json")
        try:
            wish = _DECODER.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise HTTPException(400, f"not understood: {e}") from None
        changes = isinstance(wish, AskThreshold | AskUndo)
        if (why := self.lacking()["change" if changes else "ask"]) is not None:
            raise HTTPException(403, why)
        if isinstance(wish, AskThreshold | AskUndo):
            wish.token = self.token
        return wish
