"""The page for tests: served from a daemon without ears, and asked over plain HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from helpers.bridged import House, house
from helpers.broker import free_port
from helpers.running import PROGRAM, Running, running, wait_for

TOKEN = "the token of this test"
Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def page(folder: Path, **web: Any) -> Iterator[tuple[House, int]]:
    """Serve a page; give the daemon and the port."""
    port = free_port()
    with house(folder, {}, web={"listen": f"127.0.0.1:{port}", **web}) as here:
        serve(here)
        yield here, port


def serve(here: House, *options: str) -> None:
    """Serve the page of a house, and wait until it is there."""
    here.notified.clear()
    here.run(["web"], *options)
    here.until(lambda: here.notified.get("READY") == "1", "the page is there")


class Heard:
    """Holds a daemon that hears, and the page of it, which wants a token.

    Args:
        one: the daemon.
        port: of the page.
        page: its process.
    """

    def __init__(self, one: Running, port: int, page: subprocess.Popen[bytes]) -> None:
        self.one, self.port, self.page = one, port, page
        self.own = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **how: Any) -> Answer:
        """Return an answer to who shows the token."""
        with urllib.request.urlopen(self.request(path, **how), timeout=60) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()

    def request(self, path: str, body: object = None, **headers: str) -> urllib.request.Request:
        """Make a request with the token; a body is sent as JSON."""
        named = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        return urllib.request.Request(f"{self.own}{path}", None if body is None else json.dumps(body).encode(), named)

    def open(self, browser: Any) -> None:
        """Log in with a browser, which then shows the page."""
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get(f"{self.own}/")
        script = """const secret = document.querySelector("[name=secret]");
            if (secret) { secret.value = arguments[0]; secret.form.submit(); }"""
        browser.execute_script(script, TOKEN)
        wait_for(
            lambda: browser.execute_script("return document.querySelector('.scores li') !== null"),
            lambda: f"it is heard: {browser.page_source[:2000]}",
        )


@contextmanager
def heard(folder: Path, wanted: Mapping[str, Any], *options: str) -> Iterator[Heard]:
    """Run a daemon as configured and its page; both have the same token."""
    port = free_port()
    (folder / "token").write_text(f"{TOKEN}\n")
    token = str(folder / "token")
    publish = {"endpoint": f"ipc://{folder}/e", "query": f"ipc://{folder}/q", "token": token}
    wanted = {**wanted, "publish": publish, "web": {"listen": f"127.0.0.1:{port}", "token": token}}
    with ExitStack() as stack:
        one = stack.enter_context(running(folder, wanted))
        with (folder / "page.log").open("ab") as log:
            page = subprocess.Popen(
                [*PROGRAM, "web", "-c", str(one.config), *options],
                stderr=log,
                env={**os.environ, "STATE_DIRECTORY": str(folder / "state")},
            )
        stack.callback(page.wait)
        stack.callback(page.kill)
        wait_for(lambda: "the page is at" in (folder / "page.log").read_text(), "the page is there")
        yield Heard(one, port, page)


def serious(browser: Any) -> list[Any]:
    """Return what axe-core, which judges by the rules of WCAG, finds serious or critical in what a browser shows."""
    axe = resources.files(pytest.importorskip("axe_core_python")) / "axe.min.js"
    browser.execute_script(axe.read_text("utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert len(found["passes"]) > 10
    return [
        (each["id"], each["help"], [node["html"][:120] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


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

    def __init__(self, here: House, port: int, *, last_id: str = "", cookie: str = "", bearer: str = "") -> None:
        self._here = here
        self.socket = here.guests.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        headers = {"Host": f"127.0.0.1:{port}", "Last-Event-ID": last_id, "Cookie": cookie}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
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
