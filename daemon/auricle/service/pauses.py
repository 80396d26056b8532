"""Sources are paused here: somebody wants a microphone closed for a while, which a restart must not open, or its
schedule does."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from auricle import config, messages
from auricle.errors import StoredError, UsageError
from auricle.hearing.lane import Lane
from auricle.messages.questions import AskPause, AskResume, Paused
from auricle.service.kept import write_atomically
from auricle.stored import plain

log = logging.getLogger("auricle")

LOOK_S = 0.2
"""How often to see whether a pause is over."""
MOST_BYTES = 2**20
_UNTIL = msgspec.json.Decoder(dict[str, int | None])


class Pauses:
    """Holds which sources are paused and until when, and keeps that in a file that a restart reads.

    Args:
        lanes: of all sources; may change.
        path: of the file.
    """

    def __init__(self, lanes: Sequence[Lane], path: Path) -> None:
        self._lanes, self._path = lanes, path
        self._until_us = read(path)
        self._schedules: dict[str, tuple[str, ...]] = {}
        self._shut: set[str] = set()
        """Sources that are not heard now by their schedule."""
        self._next_s = 0.0

    def attend(self, lane: Lane, wanted: config.Source) -> None:
        """Have a lane paused if its source is, before it is heard."""
        self._schedules[lane.name] = wanted.schedule
        self._shut = self._now_shut()
        self._set(lane)

    def configure(self, cfg: config.Config) -> None:
        """Go by these schedules from now on."""
        self._schedules = {source.name: source.schedule for source in cfg.sources}
        self._next_s = 0.0

    def answer(self, question: AskPause | AskResume, who: Mapping[str, Any]) -> Paused:
        """Pause or resume what is named, or all that can be; return what is paused now.

        Args:
            who: says whose answer it is.

        Raises:
            UsageError: there is no such source, or it cannot be paused.
        """
        lanes = self._named(question.source)
        if isinstance(question, AskPause):
            until_us = None if question.for_s is None else time.time_ns() // 1000 + round(1e6 * question.for_s)
            self._until_us.update((lane.name, until_us) for lane in lanes)
        else:
            for lane in lanes:
                self._until_us.pop(lane.name, None)
        trouble = self._keep()
        for lane in lanes:
            self._set(lane)
        told = {lane.name: self._until_us[lane.name] for lane in self._lanes if lane.name in self._until_us}
        return Paused(
            **who,
            paused={name: None if until is None else messages.rfc3339(until) for name, until in told.items()},
            scheduled=[lane.name for lane in self._lanes if lane.name in self._shut],
            trouble=trouble,
        )

    def tick(self, now_s: float) -> None:
        """Begin and end the pauses whose time has come; called after every round."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        now_us = time.time_ns() // 1000
        over = [name for name, until_us in self._until_us.items() if until_us is not None and until_us <= now_us]
        for name in over:
            del self._until_us[name]
        if over:
            self._keep()
        shut = self._now_shut()
        changed, self._shut = shut ^ self._shut, shut
        for lane in self._lanes:
            if lane.name in changed or lane.name in over:
                self._set(lane)

    def _now_shut(self) -> set[str]:
        now = time.localtime(time.time_ns() // 10**9)
        return {name for name, hours in self._schedules.items() if hours and not config.within(hours, now)}

    def _named(self, source: str | None) -> list[Lane]:
        able = [lane for lane in self._lanes if lane.live is not None and lane.live.can_pause]
        if source is None:
            if not able:
                raise UsageError("nothing here can be paused; microphones and ffmpeg can")
            return able
        for lane in self._lanes:
            if lane.name == source:
                if lane not in able:
                    raise UsageError(f"source: {source} cannot be paused; microphones and ffmpeg can")
                return [lane]
        known = ", ".join(lane.name for lane in self._lanes)
        raise UsageError(f"source: there is none called {source[:40]!r}; use one of {known}")

    def _set(self, lane: Lane) -> None:
        if lane.live is not None and lane.live.can_pause:
            reason = None
            if lane.name in self._until_us:
                until_us = self._until_us[lane.name]
                reason = "until it is resumed" if until_us is None else f"until {messages.rfc3339(until_us)}"
            elif lane.name in self._shut:
                reason = "by its schedule"
            lane.live.pause(reason)

    def _keep(self) -> str | None:
        """Write the file; return why it could not be written."""
        try:
            write_atomically(self._path, json.dumps(self._until_us).encode(), mode=0o600)
        except OSError as e:
            log.warning("%s: cannot be written, a restart will not know of pauses: %s", self._path, e.strerror)
            return f"{self._path}: {e.strerror}; a restart will not know of it"
        return None


def read(path: Path) -> dict[str, int | None]:
    """Read which sources are paused, each until a time in microseconds since 1970 UTC, or ``None``.

    A file that does not hold is no reason not to start: it is told, and no pause of it is kept.
    """
    try:
        found = _UNTIL.decode(plain.read(path, MOST_BYTES))
        for until_us in found.values():
            if until_us is not None:
                messages.rfc3339(until_us)
    except StoredError as e:
        if not isinstance(e.__cause__, FileNotFoundError):
            log.warning("%s; no pause is kept", e)
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as e:
        log.warning("%s: no list of pauses, none is kept: %s", path, str(e).splitlines()[0])
        return {}
    return found
