"""A socket is bound to its address here; where that is not there yet, or in use, it is tried again until it can be
had."""

from __future__ import annotations

import ipaddress
import logging
import socket as sockets
import threading
import time
from collections.abc import Callable

import zmq

from auricle.errors import EndpointError, NotYetError
from auricle.publish.endpoint import bind

log = logging.getLogger("auricle")

FIRST_S, GROWS, LAST_S = 0.5, 1.5, 10.0
"""The waits between attempts."""
LOOKED_UP_S = 1.0
"""How long a start waits for a name's address before it goes on without."""


class Place:
    """Binds a socket to its address, and tries again where that cannot be yet.

    Args:
        socket: with all its options set.
        endpoint: as configured.
        group: of an ipc socket.
        key: the configuration's, for errors.
        patient: whether what cannot be had now is tried again (`look`); else it is an error like any other.
        opened: called once it is bound, with the endpoint as it is bound.

    Raises:
        EndpointError: it cannot be bound, and later neither. The socket is closed.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        endpoint: str,
        *,
        group: str | None,
        key: str,
        patient: bool,
        opened: Callable[[str], None],
    ) -> None:
        self.endpoint = endpoint
        """The endpoint as configured, and as it is bound once it is."""
        self.trouble = ""
        """The reason why it is not bound, while it is not."""
        self._socket, self._group, self._key, self._opened = socket, group, key, opened
        self._delay_s = FIRST_S
        self._next_s = 0.0
        self._lookup: _Lookup | None = None
        if patient and (host := _name(endpoint)) is not None:
            # Asking a name server may take half a minute, and nothing is heard meanwhile.
            self._lookup = _Lookup(host)
            self._lookup.join(LOOKED_UP_S)
        try:
            self._bind()
        except NotYetError as e:
            if not patient:
                socket.close(0)
                raise
            self._failed(str(e), time.monotonic())
        except EndpointError:
            socket.close(0)
            raise

    @property
    def bound(self) -> bool:
        """Return whether the socket is bound."""
        return not self.trouble

    def look(self, now_s: float) -> None:
        """Try again if it is time; does not block."""
        if now_s < self._next_s:
            return
        try:
            self._bind()
        except EndpointError as e:
            self._failed(str(e), now_s)
        else:
            log.info("%s: bound to %s now", self._key, self.endpoint)

    def _bind(self) -> None:
        endpoint = self.endpoint if self._lookup is None else self._resolved(self._lookup)
        self.endpoint = bind(self._socket, endpoint, group=self._group, key=self._key)
        self.trouble = ""
        self._opened(self.endpoint)

    def _failed(self, why: str, now_s: float) -> None:
        if why != self.trouble:
            log.warning("%s; tried again, hearing goes on", why)
        self.trouble = why
        self._next_s = now_s + self._delay_s
        self._delay_s = min(LAST_S, GROWS * self._delay_s)
        if self._lookup is not None and not self._lookup.is_alive():
            self._lookup = _Lookup(self._lookup.host)  # for the next attempt

    def _resolved(self, lookup: _Lookup) -> str:
        """Put the name's address in its place.

        Raises:
            NotYetError: it has none yet.
        """
        if lookup.address is None:
            raise NotYetError(
                f"{self.endpoint}: cannot be bound: {lookup.host!r} is no interface, and no address is known for it; "
                f"correct the name, or set another {self._key}"
            )
        return f"tcp://{lookup.address}:{self.endpoint.rpartition(':')[2]}"


class _Lookup(threading.Thread):
    """Asks for a name's address, in a thread beside what must not wait for the answer."""

    def __init__(self, host: str) -> None:
        super().__init__(name="lookup", daemon=True)
        self.host = host
        self.address: str | None = None
        self.start()

    def run(self) -> None:
        try:
            family, *_, address = sockets.getaddrinfo(self.host, None, type=sockets.SOCK_STREAM)[0]
        except OSError:
            return
        self.address = f"[{address[0]}]" if family == sockets.AF_INET6 else str(address[0])


def _name(endpoint: str) -> str | None:
    """Return the name in an endpoint that only a name server can know; ``None`` of addresses, interfaces and paths."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]").partition("%")[0]
    if not endpoint.startswith("tcp://") or host in ("*", "localhost", *(name for _, name in sockets.if_nameindex())):
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None
