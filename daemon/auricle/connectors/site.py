"""The page is served here: its files, the stream of what is heard, and questions to the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from auricle.client import (
    AskEvents,
    AskSnapshot,
    AskStatus,
    History,
    Marked,
    Overridden,
    Paused,
    Report,
    Snapshot,
    ask,
)
from auricle.connectors.guard import COOKIE, SESSION_S, Receive, Scope, Secrets, Send, Sessions, session_of
from auricle.connectors.hub import Crowded, Hub, Viewer
from auricle.connectors.sound import PATIENCE_S, Open, Sound, opened
from auricle.connectors.wishes import ANSWERS, Means
from auricle.errors import NoDaemonError, UsageError

_SCRIPT = "text/javascript; charset=utf-8"
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", _SCRIPT),
    "/controls.js": ("controls.js", _SCRIPT),
    "/picture.js": ("picture.js", _SCRIPT),
    "/words.js": ("words.js", _SCRIPT),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
"""All files that there are; a path is looked up here, and never on the disk."""
MOST_BODY = 4096
ANSWER_S = 3.0

_A = TypeVar("_A", History, Marked, Overridden, Paused, Report, Snapshot)


class Site:
    """Answers the page's requests.

    Args:
        hub: hands on what is heard.
        query: where the daemon answers.
        key: the file of the keys to connect with there, if it wants any.
        secrets: what opens the page.
        sessions: those who have opened it.
        means: what may be wished of the daemon.
        clips: opens a clip, where there are any.
    """

    def __init__(
        self,
        hub: Hub,
        query: str,
        key: Path | None,
        secrets: Secrets,
        sessions: Sessions,
        means: Means,
        clips: Open,
    ) -> None:
        self._hub, self._query, self._key = hub, query, key
        self._secrets, self._sessions = secrets, sessions
        self._means, self._clips = means, clips
        self._login = asyncio.Lock()
        self._asking = asyncio.Semaphore(4)
        routes = [Route(path, self._file) for path in FILES]
        routes += [
            Route("/api/stream", self._stream),
            Route("/api/now", self._now),
            Route("/api/history", self._history),
            Route("/api/clip/{source}/{name}", self._clip),
            Route("/api/wish", self._wish, methods=["POST"]),
            Route("/login", self._enter, methods=["POST"]),
            Route("/logout", self._leave, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: _refusal})
        self.app.router.redirect_slashes = False

    async def _file(self, request: Request) -> Response:
        name, kind = FILES[request.url.path]
        return Response(_content(name), media_type=kind)

    async def _stream(self, request: Request) -> Response:
        return _Stream(self._hub, request.headers.get("last-event-id", "")[:64])

    async def _now(self, request: Request) -> Response:
        snapshot = await self._ask(AskSnapshot(), Snapshot)
        report = await self._ask(AskStatus(), Report)
        return _json(
            {
                "snapshot": msgspec.structs.replace(snapshot, last_seq={}),
                "report": report,
                "login": self._secrets.wanted,
                "lacking": self._means.lacking(),
            }
        )

    async def _history(self, request: Request) -> Response:
        given = request.query_params
        question = AskEvents(
            since=given.get("since", "1970-01-01T00:00:00Z"),
            after=given.get("after") or None,
            label=given.get("label") or None,
            source=given.get("source") or None,
        )
        return _json(await self._ask(question, History))

    async def _clip(self, request: Request) -> Response:
        if (why := self._means.lacking()["play"]) is not None:
            raise HTTPException(403, why)
        source, name = request.path_params["source"], request.path_params["name"]
        file = await asyncio.to_thread(opened, self._clips, source, name)
        return Sound(file, name, request.headers.get("range", ""))

    async def _wish(self, request: Request) -> Response:
        wish = self._means.question(await _body(request), request.headers.get("content-type"))
        return _json(await self._ask(wish, ANSWERS[type(wish)]))

    async def _enter(self, request: Request) -> Response:
        fields = parse_qs((await _body(request)).decode(errors="replace"))
        given = (fields.get("secret") or [""])[0]
        async with self._login:  # one at a time: argon2 takes much memory, on purpose
            opens = self._secrets.wanted and await asyncio.to_thread(self._secrets.opens, given)
        answer = RedirectResponse("/", 303)
        if opens:
            answer.set_cookie(
                COOKIE,
                self._sessions.begin(),
                max_age=int(SESSION_S),
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return answer

    async def _leave(self, request: Request) -> Response:
        self._sessions.end(session_of(request.headers))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE)
        return answer

    async def _ask(self, question: Any, kind: type[_A]) -> _A:
        """Ask the daemon.

        Raises:
            HTTPException: it does not answer, or refuses.
        """
        async with self._asking:
            try:
                return await asyncio.to_thread(ask, self._query, question, kind, key=self._key, timeout_s=ANSWER_S)
            except NoDaemonError:
                raise HTTPException(503, "the daemon does not answer") from None
            except UsageError as e:
                raise HTTPException(400, str(e).removeprefix(f"{self._query}: ")) from None


class _Stream(Response):
    """Sends everything to one viewer, as server-sent events (WHATWG HTML, section 9.2), until it has gone."""

    def __init__(self, hub: Hub, last_id: str) -> None:
        super().__init__()
        self._hub, self._last_id = hub, last_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            viewer = self._hub.enter(self._last_id)
        except Crowded:
            await Response("too many look at this page; close one", 503)(scope, receive, send)
            return
        gone = asyncio.create_task(_gone(receive, viewer))
        try:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while not viewer.lost:
                text = await viewer.waiting.get()
                while not viewer.waiting.empty() and len(text) < 1 << 16:
                    text += viewer.waiting.get_nowait()
                async with asyncio.timeout(PATIENCE_S):
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            async with asyncio.timeout(PATIENCE_S):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            scope["state"]["hang_up"]()
        finally:
            gone.cancel()
            self._hub.leave(viewer)


async def _gone(receive: Receive, viewer: Viewer) -> None:
    """Wait until a viewer has gone, and let whoever waits for its messages know."""
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.lost = True
    viewer.put("")


async def _body(request: Request) -> bytes:
    """Read what came with a request, if it is short and comes in time.

    Raises:
        HTTPException: it is long, or does not come.
    """
    body = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BODY:
                    raise HTTPException(413, f"more than {MOST_BODY} bytes")
    except TimeoutError:
        raise HTTPException(408, "the request did not come whole") from None
    return body


@cache
def _content(name: str) -> bytes:
    return (resources.files("auricle.connectors") / "shown" / name).read_bytes()


def _json(found: object) -> Response:
    return Response(msgspec.json.encode(found), media_type="application/json")


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content: Mapping[str, Any] = {"error": error.detail}
    return Response(msgspec.json.encode(content), error.status_code, error.headers, media_type="application/json")
