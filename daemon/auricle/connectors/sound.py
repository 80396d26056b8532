"""A clip is sent here as browsers ask for sound: whole, or the part of it that they want to hear next."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from typing import BinaryIO, TypeAlias

from starlette.exceptions import HTTPException
from starlette.responses import Response

from auricle.connectors.guard import Receive, Scope, Send
from auricle.errors import AudioError

Open: TypeAlias = Callable[[str, str], BinaryIO]
"""Opens a clip by its source and its name; raises `AudioError` where there is none of that name."""

KINDS = {"flac": "audio/flac", "opus": "audio/ogg"}
AT_ONCE = 64 * 1024
PATIENCE_S = 10.0
"""Who takes nothing for so long has gone."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Sound(Response):
    """Sends a clip, or the part that is asked for (RFC 9110, section 14).

    Args:
        file: of the clip, which is closed in the end.
        name: of the file.
        wanted: the request's range; empty if it has none.

    Raises:
        HTTPException: the clip ends before the range.
    """

    def __init__(self, file: BinaryIO, name: str, wanted: str) -> None:
        super().__init__(media_type=KINDS[name.rpartition(".")[2]])
        self._file = file
        size = os.fstat(file.fileno()).st_size
        self._begin, self._end = 0, size
        if (part := _part(wanted, size)) is not None:
            self._begin, self._end = part
            if self._begin >= self._end:
                file.close()
                raise HTTPException(416, f"the clip has {size} bytes", {"content-range": f"bytes */{size}"})
            self.status_code = 206
            self.headers["content-range"] = f"bytes {self._begin}-{self._end - 1}/{size}"
        self.headers["content-length"] = str(self._end - self._begin)
        self.headers["accept-ranges"] = "bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            at = self._end if scope["method"] == "HEAD" else self._begin
            while at < self._end:
                content = await asyncio.to_thread(os.pread, self._file.fileno(), min(AT_ONCE, self._end - at), at)
                if not content:
                    scope["state"]["hang_up"]()  # it was cut short meanwhile: the length that was told is none
                    return
                at += len(content)
                body = {"type": "http.response.body", "body": content, "more_body": at < self._end}
                async with asyncio.timeout(PATIENCE_S):
                    await send(body)
            if self._begin == self._end or scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            scope["state"]["hang_up"]()
        finally:
            self._file.close()


def opened(open_: Open, source: str, name: str) -> BinaryIO:
    """Open a clip.

    Raises:
        HTTPException: there is none of that name.
    """
    try:
        return open_(source, name)
    except AudioError as e:
        raise HTTPException(404, str(e)) from None


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Return begin and end of a range in bytes; ``None`` for the whole, as also for what is no range or several."""
    parts = _RANGE.fullmatch(wanted.strip())
    if parts is None or parts[1] == parts[2] == "":
        return None
    if not parts[1]:
        return max(0, size - int(parts[2])), size
    begin, end = int(parts[1]), int(parts[2] or size - 1) + 1
    return None if end <= begin < size else (begin, min(end, size))
