"""Decoders in C are silenced here: mpg123 writes tens of thousands of lines of its own about a damaged file, and
libsndfile leaves no switch for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_kept: int | None = None
"""Standard error as it was, while anybody is inside."""


@contextmanager
def muted() -> Iterator[None]:
    """Keep what is written to descriptor 2 meanwhile from being seen, whichever thread writes it.

    The program itself writes its lines to a descriptor of its own (`auricle.start`), so that a decoder that waits for a
    disk keeps none of them back. Several threads may be inside at once.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _lock:
        if not _inside:
            try:
                _kept = os.dup(2)
                nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(nowhere, 2)
                os.close(nowhere)
            except OSError:
                pass  # closed already, or no descriptor is left: then the decoder is heard, which harms nobody
        _inside += 1


def _leave() -> None:
    global _inside, _kept
    with _lock:
        _inside -= 1
        if not _inside and _kept is not None:
            os.dup2(_kept, 2)
            os.close(_kept)
            _kept = None
