"""Who may see the page, and how much of it, is decided here, before anything else looks at a request."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "auricle"
READ_ONLY = "this page only shows; it is read-only"
SESSION_S = 30 * 86_400.0
SESSIONS = 1000
"""So many are remembered; of more the oldest ends."""
OPEN = {"/login", "/page.css"}
"""What may be had without a session."""
RATES = {
    "/login": (5.0, 1 / 15),
    "/api/history": (20.0, 5.0),
    "/api/wish": (20.0, 2.0),
    "/api/clip": (60.0, 10.0),
    "": (120.0, 40.0),
}
"""By path: so many requests of one address at once, and so many more in a second; the empty one is for all others."""
ADDRESSES = 4096
MOST_HEADERS = 16 * 1024
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser hides the origin of our own form
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(slots=True)
class Secrets:
    """Holds what opens the page: a token, or a password as argon2 keeps it; neither where everybody may look."""

    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def wanted(self) -> bool:
        """Return whether anything is asked for."""
        return self.token is not None or self.password is not None

    def opens(self, given: str) -> bool:
        """Return whether this is the token or the password. It takes its time, on purpose: not for the loop's own
        thread."""
        if self.token is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            return True
        if self.password is None:
            return False
        import argon2

        try:
            return argon2.PasswordHasher().verify(self.password, given)
        except argon2.exceptions.VerificationError:
            return False


class Sessions:
    """Remembers who has shown the secret."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    def begin(self) -> str:
        """Begin a session, and return its name, which nobody can guess."""
        name = secrets.token_urlsafe(32)
        if len(self._until_s) >= SESSIONS:
            self._until_s.pop(next(iter(self._until_s)))
        self._until_s[name] = time.monotonic() + SESSION_S
        return name

    def end(self, name: str) -> None:
        """End a session."""
        self._until_s.pop(name, None)

    def has(self, name: str) -> bool:
        """Return whether this is the name of a session that goes on."""
        return self._until_s.get(name, 0.0) > time.monotonic()


class Rates:
    """Counts requests by address and path: a bucket each, which fills again."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def admit(self, address: str, path: str, now_s: float) -> bool:
        """Count a request; return whether it is within the rate."""
        name = path if path in RATES else "/api/clip" if path.startswith("/api/clip/") else ""
        most, per_s = RATES[name]
        left, then_s = self._buckets.pop((address, name), (most, now_s))
        left = min(most, left + per_s * (now_s - then_s))
        if len(self._buckets) >= ADDRESSES:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[address, name] = (left - 1 if left >= 1 else left, now_s)
        return left >= 1


class Guard:
    """Lets a request through to the page, or answers it with why not; every answer gets its headers here.

    Args:
        app: the page.
        secrets_: what opens it.
        sessions: those who have opened it.
        host: where it is served.
        read_only: whether nothing may be sent to it but the secret.
    """

    def __init__(self, app: App, secrets_: Secrets, sessions: Sessions, host: str, *, read_only: bool = False) -> None:
        self._app, self._secrets, self._sessions = app, secrets_, sessions
        self._read_only = read_only
        self._hosts = LOOPBACK | {f"[{host}]" if ":" in host else host}
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message.get("headers", ())}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        code, why = self._refused(scope, headers)
        if code:
            await _answer(sent, code, why)
            return
        await self._app(scope, receive, sent)

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str]:
        """Return the status and the reason of a refusal; 0 if it may pass."""
        path, host = scope["path"], headers.get("host", "")
        # What comes at one go is not measured while it is read.
        if len(scope["query_string"]) + sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
            return 431, "the headers are too long"
        if not self._rates.admit((scope.get("client") or ("",))[0], path, time.monotonic()):
            return 429, "too many requests; wait a moment"
        # Without a secret, another site's name that leads to our address (DNS rebinding) must not open the page.
        if not self._secrets.wanted and _name(host) not in self._hosts:
            return 421, "this is not the name of this page; open it by its address"
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        token = self._secrets.token
        by_token = token is not None and hmac.compare_digest(bearer.encode(), token.encode())
        if scope["method"] not in ("GET", "HEAD") and not by_token:
            origin = headers.get("origin", "")
            if not origin or urlsplit(origin).netloc != host:
                return 403, "this request comes from another page"
        if self._read_only and scope["method"] not in ("GET", "HEAD") and path not in ("/login", "/logout"):
            return 403, READ_ONLY
        if not self._secrets.wanted or by_token or path in OPEN:
            return 0, ""
        if self._sessions.has(session_of(headers)):
            return 0, ""
        return 401, "not logged in"


def session_of(headers: Mapping[str, str]) -> str:
    """Return the name of the session that a request's cookie holds; empty if it has none."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _name(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return f"{host.partition(']')[0]}]"
    return host.partition(":")[0]


async def _answer(send: Send, code: int, why: str) -> None:
    if code == 401:
        content, kind = LOGIN, b"text/html; charset=utf-8"
    else:
        content, kind = why.encode(), b"text/plain; charset=utf-8"
    more = [(b"retry-after", b"2")] if code == 429 else []
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": code, "headers": [(b"content-type", kind), length, *more]})
    await send({"type": "http.response.body", "body": content})


LOGIN = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Auricle</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<main class="login">
<h1>Auricle</h1>
<form method="post" action="/login">
<label>Password or token
<input type="password" name="secret" autocomplete="current-password" required autofocus></label>
<button>Open</button>
</form>
</main>
</html>
"""
