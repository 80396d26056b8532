"""Recordings are looked at before they are heard: what each holds, as far as its header tells, and when it began."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from auricle.capture.doubts import Doubts
from auricle.capture.folders import NO_FILE, endless, shown
from auricle.capture.reader import Reader
from auricle.errors import AudioError
from auricle.scan.ledger import Ledger
from auricle.scan.streams import Facts
from auricle.scan.work import stamp_of

_LOOKED_AT = frozenset((".aif", ".aiff", ".au", ".caf", ".flac", ".rf64", ".w64", ".wav", ".wave"))
"""What can be read from any sample on, by its name. All else is heard by itself, and is opened by those who hear it."""


class Survey:
    """Looks at every recording once.

    Args:
        ledger: knows what was found of some of them.
        channel, local: as of `auricle.capture.recording.Recordings`.
        tell: is told why a recording is not heard to its end.
    """

    def __init__(self, ledger: Ledger, channel: int | str, local: bool, tell: Callable[[str], None]) -> None:
        self._ledger, self._channel, self._local, self._tell = ledger, channel, local, tell
        self._known: dict[str, Facts] = {}
        self._suspects: set[str] = set()

    def __call__(self, path: str) -> Facts:
        """Return what is known of a recording."""
        if (facts := self._known.get(path)) is None:
            facts = self._known[path] = self._look(path)
            if facts.reason:
                self._tell(facts.reason)
        return facts

    def forget(self, path: str) -> None:
        """Look at a recording again: there is a new finding."""
        self._known.pop(path, None)

    def suspect(self, path: str) -> None:
        """Have a recording heard by itself: it may be why workers ended."""
        self._suspects.add(path)
        self.forget(path)

    def _look(self, path: str) -> Facts:
        stamp = stamp_of(path)
        alone = Facts(path, stamp, alone=True)
        found = self._ledger.finding(os.fsencode(path), stamp)
        if endless(path):
            return Facts(path, stamp, reason=f"{shown(path)}: {NO_FILE}", refused=True)
        if found is not None and found.frames < 0:
            return Facts(path, stamp, reason=found.reason, refused=True)
        if Path(path).suffix.lower() not in _LOOKED_AT or path in self._suspects:
            return alone
        if found is not None and not found.frames:
            return alone
        try:
            reader = Reader(path, channel=self._channel, doubts=Doubts())
        except AudioError:
            return alone  # whoever is to hear it says why it cannot be
        try:
            if not reader.exact or not reader.frames:
                return alone
            start_us = reader.start_us(local=self._local)
            frames, reason = reader.frames, reader.cut or ""
        except OSError:
            return alone
        finally:
            reader.close()
        if found is not None:
            frames, reason = found.frames, found.reason
        return Facts(path, stamp, reader.rate, reader.channels, frames, start_us, reason)
