"""The service manager, systemd, is told here how the daemon fares: sd_notify(3) over its socket, without libsystemd."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("auricle")


class Notifier:
    """Tells the service manager what the daemon does; silent where nobody asked for it.

    It takes ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` out of the environment, so that no child speaks
    for the daemon.

    Args:
        environ: of the process.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        meant = pid in ("", str(os.getpid()))
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and meant else None
        """How often, at the least, the service manager wants ``WATCHDOG=1``; ``None`` if it does not."""
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # A manager that is busy must not hold up the sound; what does not fit is sent at the next turn.
            self._socket.setblocking(False)

    def tell(self, **fields: str | int) -> bool:
        """Send fields such as ``READY=1``; return whether they were taken, or nobody wants them."""
        if self._socket is None:
            return True
        # A newline would begin another field.
        lines = (f"{name}={str(value).replace(chr(10), ' ')}" for name, value in fields.items())
        # An address that begins with @ is in Linux's abstract namespace: the kernel's form begins with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as e:
            log.debug("%s: the service manager was not told: %s", self._address, e.strerror)
            return False
        return True

    def reloading(self) -> None:
        """Say that a reload begins, with the time that ``Type=notify-reload`` asks for."""
        self.tell(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
