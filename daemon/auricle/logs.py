"""What the daemon says about itself: text or JSON on standard error, with priorities and no clock under journald."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

from auricle import config

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Text(logging.Formatter):
    def __init__(self, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        # sd-daemon(3): a priority in front of every line, also of a message that has several.
        prefix = f"<{_PRIORITIES[record.levelno]}>"
        return "\n".join(prefix + line for line in text.splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "t": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def set_up(wanted: config.Log, *, least: str = "debug") -> None:
    """Send the log to standard error.

    Args:
        wanted: level and format.
        least: the level below which a command says nothing whatever the configuration.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if wanted.format == "json" else _Text("JOURNAL_STREAM" in os.environ))
    logger = logging.getLogger("auricle")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(max(logging.getLevelName(wanted.level.upper()), logging.getLevelName(least.upper())))
