"""Prometheus fetches figures here over HTTP: one path, to whoever has the token, and nobody can hold it up."""

from __future__ import annotations

import hmac
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from auricle.errors import ConfigError

MOST_AT_ONCE = 16
"""Who comes when so many are being answered is cut off, and may come again."""
PATIENCE_S = 5.0
"""A client has so long for its request and for taking the answer."""


class Scrape(ThreadingHTTPServer):
    """Serves ``/metrics`` in threads of its own.

    Args:
        host, port: where; the port 0 is any.
        registry: the figures.
        token: that a client must have; ``None`` for everybody.

    Raises:
        ConfigError: it cannot be there.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, host: str, port: int, registry: CollectorRegistry, token: str | None) -> None:
        self.registry = registry
        self.token = token
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as e:
            raise ConfigError([f"bridges.metrics.listen: {host}:{port}: {e.strerror}; name another"]) from None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless all are busy."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next one in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone, or is too slow."""


class _Handler(BaseHTTPRequestHandler):
    server: Scrape
    timeout = PATIENCE_S
    server_version = "auricle"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        if not self._allowed():
            self._answer(401, b"a token is wanted: Authorization: Bearer TOKEN\n", {"WWW-Authenticate": "Bearer"})
        elif self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"the figures are at /metrics\n")
        else:
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, encode(self.server.registry), {"Content-Type": kind})

    def _allowed(self) -> bool:
        wanted = self.server.token
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        return wanted is None or hmac.compare_digest(given, b"Bearer " + wanted.encode())

    def _answer(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in ({"Content-Type": "text/plain; charset=utf-8"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: Prometheus comes every few seconds."""
