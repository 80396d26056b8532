"""Long work on many files tells how it goes: as a bar, or, where that is no terminal, as a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from auricle.terminal.progress import bar
from auricle.terminal.text import complain, duration

EVERY_S = 60.0
"""How often there is a line where there is no bar."""


class Pace:
    """Counts files, bytes and hours, and tells them with the speed and the time left.

    Args:
        what: the work's name.
        files: all of them.
    """

    def __init__(self, what: str, files: Sequence[str]) -> None:
        self._what, self._files = what, len(files)
        self._bytes = max(1, sum(_size(file) for file in files))
        self._done_bytes = self._done_files = self._new_bytes = 0
        self._heard_s = 0.0
        self._began_s = self._told_s = time.monotonic()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Show the bar, if there is a terminal."""
        self._moved = self._stack.enter_context(bar(self._what, says=self._line))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._stack.close()

    def passed(self, size: int, files: int) -> None:
        """Take note of what had been done before."""
        self._done_bytes += size
        self._done_files += files
        self._moved(self._done_bytes / self._bytes)

    def heard(self, size: int, files: int, seconds: float) -> None:
        """Take note of what has been done now."""
        self._new_bytes += size
        self._heard_s += seconds
        self.passed(size, files)
        if not sys.stderr.isatty() and (now_s := time.monotonic()) - self._told_s >= EVERY_S:
            self._told_s = now_s
            took_s = now_s - self._began_s
            left_s = (self._bytes - self._done_bytes) * took_s / max(1, self._new_bytes)
            complain(f"auricle: {self._line()}, {duration(max(0.0, left_s))} left")

    def _line(self) -> str:
        speed = self._heard_s / max(1e-3, time.monotonic() - self._began_s)
        hours = self._heard_s / 3600
        return f"{self._done_files} of {self._files} files, {hours:.1f} h, {speed:.0f} x real time"


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
