"""Worker processes that end over every unit, in place of those that hear."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection


def killed(connection: Connection) -> None:
    """Take a unit, and be killed."""
    connection.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def crash(connection: Connection) -> None:
    """Take a unit, and die of it."""
    connection.recv()
    os.kill(os.getpid(), signal.SIGSEGV)
