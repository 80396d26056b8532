"""Thresholds are changed here while the daemon runs: at once, and kept in a file of the state folder, over what the
configuration says."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from auricle import config
from auricle.errors import ModelError, StoredError, UsageError
from auricle.messages.questions import AskThreshold, AskUndo, Overridden, OverridesReport
from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.model.card import Card
from auricle.service.folder import found
from auricle.service.kept import write_atomically
from auricle.service.overlay import Thresholds, misfit, overlay
from auricle.stored import plain

log = logging.getLogger("auricle")

FILE = "overrides.yaml"
MOST_BYTES = 2**20
MOST = 5000
"""So many thresholds are kept at most."""
_HEAD = b"# Thresholds set while auricle ran, over what is configured. Not for editing: checksum "
_Held = dict[str, dict[str, Annotated[float, Meta(gt=0, le=1)]]]


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """Holds what the file does: thresholds by source and label, and those before the last change, as long as that can
    be taken back."""

    thresholds: _Held = {}
    before: _Held | None = None


def read(path: Path) -> Kept:
    """Read the file; nothing is kept where there is none. It is YAML, of the part of it that is JSON too.

    Raises:
        StoredError: it cannot be read, or is not as it was written.
    """
    try:
        content = plain.read(path, MOST_BYTES)
    except StoredError as e:
        if isinstance(e.__cause__, FileNotFoundError):
            return Kept()
        raise
    head, _, body = content.partition(b"\n")
    if head != _HEAD + _checksum(body):
        raise StoredError(f"{path}: it is damaged, or was edited")
    try:
        return msgspec.json.decode(body, type=Kept)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise StoredError(f"{path}: {e}") from None


def write(path: Path, kept: Kept) -> None:
    """Replace the file by a whole new one, for the daemon's user alone.

    Raises:
        OSError: it cannot be written.
    """
    body = msgspec.json.format(msgspec.json.encode(kept)) + b"\n"
    write_atomically(path, _HEAD + _checksum(body) + b"\n" + body, mode=0o600)


def lying_over(cfg: config.Config) -> tuple[config.Config, list[str], list[str]]:
    """Return a configuration as a daemon on this machine would hear with it, what was set over it, and what is wrong
    there, in lines."""
    path = found(FILE)
    try:
        kept = read(path)
        cards = {source.model: bundle.card_of(source.model, cfg.models_dir) for source in cfg.sources}
    except StoredError as e:
        if isinstance(e.__cause__, PermissionError):
            return cfg, [], [f"{e}, so that thresholds set there are not known; ask as root"]
        return cfg, [], [f"{e}; a start sets it aside, and thresholds are as configured"]
    except ModelError as e:
        return cfg, [], e.lines()
    overlaid, waiting = overlay(cfg, kept.thresholds, cards, str(path))
    lines = [
        f"{source.name}: {label}: threshold {value:g}, set while it ran, over what is configured ({path})"
        for i, source in enumerate(cfg.sources)
        for label, value in kept.thresholds.get(source.name, {}).items()
        if overlaid.origins.get(f"sources[{i}].decision.labels.{label}.threshold") == str(path)
    ]
    return overlaid, lines, waiting


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


class Overrides:
    """Holds the thresholds that were set, and changes them.

    Args:
        path: of the file. One that does not hold is set aside, which is told: thresholds are as configured then.
        permit: raises `UsageError` where who shows this token, or none, may not change anything.
    """

    def __init__(self, path: Path, permit: Callable[[str | None], None]) -> None:
        self._path, self._permit = path, permit
        self._kept = Kept()
        self._waiting: list[str] = []
        self._trouble: str | None = None
        self._coming: tuple[config.Config, dict[str, Card]] | None = None
        self._plain: tuple[config.Config, dict[str, Card]] | None = None
        """The configuration in force without what lies over it, and the models' cards."""
        self.decide: Callable[[Mapping[str, config.Decision]], None] = lambda decisions: None
        """Brings rules into force, by source."""
        try:
            self._kept = read(path)
        except StoredError as e:
            self._set_aside(e)

    def over(self, cfg: config.Config, models: Mapping[str, Bundle]) -> config.Config:
        """Return a configuration, which may come into force, with what was set over it."""
        cards = {name: model.card for name, model in models.items()}
        self._coming = cfg, cards
        return overlay(cfg, self._kept.thresholds, cards, str(self._path))[0]

    def take_over(self, new: config.Config) -> None:
        """Note that the configuration that was laid over last is in force."""
        assert self._coming is not None
        self._plain = self._coming
        was, self._waiting = self._waiting, overlay(*self._of(self._kept.thresholds))[1]
        for line in self._waiting:
            if line not in was:
                log.warning("%s", line)

    def report(self) -> OverridesReport:
        """Return what is set."""
        return OverridesReport(
            thresholds=self._kept.thresholds,
            waiting=self._waiting,
            undo=self._kept.before is not None,
            trouble=self._trouble,
        )

    def answer(self, question: AskThreshold | AskUndo, who: Mapping[str, Any]) -> Overridden:
        """Change a threshold, or take the last change back; return what is set now.

        Args:
            who: says whose answer it is.

        Raises:
            UsageError: who asks may not, or it cannot be.
        """
        self._permit(question.token)
        if isinstance(question, AskThreshold):
            self._change(Kept(self._changed(question), self._kept.thresholds))
        elif self._kept.before is None:
            raise UsageError("undo: there is no change of a threshold to take back; only the last one can be")
        else:
            self._change(Kept(self._kept.before))
        return Overridden(**who, overrides=self.report())

    def _changed(self, question: AskThreshold) -> _Held:
        """Return the thresholds with one changed, at a source or at all that have the label."""
        assert self._plain is not None
        cfg, cards = self._plain
        known = ", ".join(source.name for source in cfg.sources)
        named = [source for source in cfg.sources if question.source in (None, source.name)]
        if not named:
            raise UsageError(f"source: there is none called {str(question.source)[:40]!r}; use one of {known}")
        changed = {name: dict(labels) for name, labels in self._kept.thresholds.items()}
        refused: dict[str, None] = {}
        found = False
        for source in named:
            own = changed.setdefault(source.name, {})
            if question.threshold is None:
                found |= own.pop(question.label, None) is not None
            elif why := misfit(cards[source.model], source.decision, question.label, question.threshold):
                refused[why] = None
            else:
                own[question.label] = question.threshold
                found = True
        if not found:
            why = next(iter(refused), "no threshold was set, it is as configured; name one that was")
            raise UsageError(f"{question.label}: {why}")
        changed = {name: labels for name, labels in changed.items() if labels}
        if sum(map(len, changed.values())) > MOST:
            raise UsageError(f"{MOST} thresholds are set already; put some into the configuration, and take them back")
        return changed

    def _change(self, kept: Kept) -> None:
        self._kept = kept
        overlaid, self._waiting = overlay(*self._of(kept.thresholds))
        self.decide({source.name: source.decision for source in overlaid.sources})
        self._trouble = None
        try:
            write(self._path, kept)
        except OSError as e:
            self._trouble = f"{self._path}: {e.strerror}; a restart will not know of it"
            log.warning("%s: cannot be written, a restart will not know of thresholds: %s", self._path, e.strerror)

    def _of(self, thresholds: Thresholds) -> tuple[config.Config, Thresholds, Mapping[str, Card], str]:
        assert self._plain is not None
        cfg, cards = self._plain
        return cfg, thresholds, cards, str(self._path)

    def _set_aside(self, error: StoredError) -> None:
        """Put a file that does not hold out of the way, where somebody may look at it; one that cannot even be read
        stays where it is."""
        aside, done = self._path.with_name(f"{FILE}.damaged"), "thresholds are as configured"
        if error.__cause__ is None:
            try:
                self._path.replace(aside)
                done += f"; it lies in {aside} now"
            except OSError:
                pass
        log.warning("%s; %s", error, done)
