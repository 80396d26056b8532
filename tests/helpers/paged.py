"""The page for tests: served from a daemon without ears, and asked over plain HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from helpers.bridged import House, house
from helpers.broker import free_port

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def page(folder: Path, **web: Any) -> Iterator[tuple[House, int]]:
    """Serve a page; give the daemon and the port."""
    port = free_port()
    with house(folder, {}, web={"listen": f"127.0.0.1:{port}", **web}) as here:
        serve(here)
        yield here, port


def serve(here: House) -> None:
    """Serve the page of a house, and wait until it is there."""
    here.notified.clear()
    here.run(["web"])
    here.until(lambda: here.notified.get("READY") == "1", "the page is there")


def ask(here: House, port: int, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Return status, headers and content of an answer; ``_`` in a header's name stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = _request(method, path, {"Host": f"127.0.0.1:{port}", **named}, body)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with suppress(ConnectionError):  # it was hung up on
            connection.sendall(sent)
        connection.setblocking(False)
        content = bytearray()

        def ended() -> bool:
            try:
                part = connection.recv(1 << 16)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            content.extend(part)
            return not part

        here.until(ended, f"an answer to {path}")
    return parsed(bytes(content))


def parsed(content: bytes) -> Answer:
    """Return status, headers and content of an answer."""
    head, _, body = content.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    if not first:
        return 0, {}, b""
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Stream:
    """Follows the page's stream as a browser does, one message after the other."""

    def __init__(self, here: House, port: int, *, last_id: str = "", cookie: str = "") -> None:
        self._here = here
        self.socket = here.guests.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        headers = {"Host": f"127.0.0.1:{port}", "Last-Event-ID": last_id, "Cookie": cookie}
        lines = [f"{name}: {value}" for name, value in headers.items() if value]
        self.socket.sendall("\r\n".join(["GET /api/stream HTTP/1.1", *lines, "", ""]).encode())
        self.socket.setblocking(False)
        self._content = b""
        self.ended = False
        self.last_id = ""
        self.told: list[dict[str, Any]] = []

    def read(self) -> bool:
        """Take what has come; return whether anything had."""
        try:
            part = self.socket.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            part = b""
        if not part:
            self.ended = True
            return False
        self._content += part
        *whole, self._content = self._content.split(b"\n\n")
        for block in whole:
            for line in block.decode().split("\n"):
                if line.startswith("id: "):
                    self.last_id = line[4:].strip()
                elif line.startswith("data: "):
                    self.told.append(json.loads(line[6:]))
        return True

    def until(self, kind: str, n: int = 1) -> list[dict[str, Any]]:
        """Wait until so many messages of a kind have come; return them."""

        def come() -> list[dict[str, Any]] | None:
            while self.read():
                pass
            found = [message for message in self.told if message["type"] == kind]
            return found if len(found) >= n else None

        return self._here.until(come, lambda: f"{n} of {kind} in {[each['type'] for each in self.told]}") or []

    def close(self) -> None:
        """Go away."""
        self.socket.close()
