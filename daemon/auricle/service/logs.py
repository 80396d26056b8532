"""The log is set up here: text or JSON on standard error, with priorities and no clock under journald."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from auricle import config
from auricle.secrecy import mask

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Text(logging.Formatter):
    """Formats each record as a line: a name that others gave cannot begin another line, nor steer the terminal that
    shows it."""

    def __init__(self, layout: str = "%(asctime)s %(levelname)s %(message)s") -> None:
        super().__init__(layout)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return config.printable(mask(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:
        # Indented, so that no line of an exception's own text passes for a record.
        return "\n".join(f"    {config.printable(mask(line))}" for line in super().formatException(ei).splitlines())


class _Json(logging.Formatter):
    def __init__(self, *, timed: bool) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        fields = {"level": record.levelname.lower(), "message": mask(record.getMessage())}
        if self._timed:
            t = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
            fields = {"t": t, **fields}
        if record.exc_info:
            fields["exception"] = "\n".join(map(mask, self.formatException(record.exc_info).splitlines()))
        return json.dumps(fields, ensure_ascii=False)


class _Journal(logging.Formatter):
    """Puts a priority in front of every line, also of a message that has several (sd-daemon(3)); the journal has a
    clock."""

    def __init__(self, of: logging.Formatter) -> None:
        super().__init__()
        self._of = of

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES[record.levelno]}>"
        return "\n".join(prefix + line for line in self._of.format(record).splitlines())


def to_journal(environ: Mapping[str, str] = os.environ, fd: int = 2) -> bool:
    """Return whether the file descriptor is the journal's: the variable alone is inherited by what writes elsewhere."""
    status = os.fstat(fd)
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def formatter(form: str, *, journal: bool) -> logging.Formatter:
    """Return the formatter of ``text`` for people or ``json`` for collectors; in the journal with priorities and
    without a clock."""
    if not journal:
        return _Json(timed=True) if form == "json" else _Text()
    return _Journal(_Json(timed=False) if form == "json" else _Text("%(message)s"))


def set_up(wanted: config.Log, *, least: str = "debug") -> None:
    """Send the log to standard error.

    Args:
        wanted: level and format.
        least: the level below which a command says nothing whatever the configuration.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(wanted.format, journal=to_journal()))
    logger = logging.getLogger("auricle")
    logger.handlers[:] = [handler]
    logger.propagate = False
    set_level(wanted, least=least)


def set_level(wanted: config.Log, *, least: str = "debug") -> None:
    """Log from this level on, and nothing below ``least``."""
    levels = logging.getLevelNamesMapping()
    logging.getLogger("auricle").setLevel(max(levels[wanted.level.upper()], levels[least.upper()]))
