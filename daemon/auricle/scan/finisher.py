"""The scores of all stretches become events here, stream by stream and in order, since an event that goes on never
forgets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auricle import config, messages
from auricle.capture.folders import shown
from auricle.capture.source import NominalClock, Segment
from auricle.hearing import pipeline
from auricle.hearing.decision import Change
from auricle.hearing.reporter import Reporter
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from auricle.scan.ledger import Ledger
from auricle.scan.streams import Stream
from auricle.scan.work import Run, Told, Unit
from auricle.stages.stage import Pipeline
from auricle.tables.row import Row, row_of

_AT_ONCE = 1024
"""Decisions given to the rules at once, at most."""


@dataclass
class Account:
    """Says what came of one recording: ``state`` is heard, cut or refused."""

    path: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    sha256: str = ""
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


class Finisher:
    """Makes events of scores by the daemon's own rules and words.

    Args:
        cfg: the rules.
        bundle: the model.
        stages: from samples to smoothed scores.
    """

    def __init__(self, cfg: config.Config, bundle: Bundle, stages: Pipeline) -> None:
        self._labels = pipeline.labels(bundle, cfg.decision)
        self._detector = pipeline.detector(bundle, cfg.decision, span=stages.span, hop=stages.hop)
        self._newest: Row | None = None
        self._reporter = Reporter("scan", bundle, Publisher(cfg.node, [self._take]), self._labels)

    def accounts(self, planned: Iterable[tuple[Stream, Unit | None]], ledger: Ledger) -> Iterator[Account]:
        """Yield what came of every recording, in order.

        Args:
            planned: all units, each with its stream, and ``None`` behind the last one of a stream.
            ledger: has what came of all of them.
        """
        found: list[Account] = []
        for stream, unit in planned:
            while len(found) < len(stream.files):
                facts = stream.files[len(found)]
                state = "refused" if facts.refused else "cut" if facts.reason else "heard"
                seconds = round(facts.frames / facts.rate, 6) if facts.rate else 0.0
                found.append(Account(facts.path, state, facts.reason, seconds))
            if unit is None:
                for account in found:
                    account.notes = _once(account.notes)
                yield from found
                found = []
            elif unit.whole:
                self._alone(unit, ledger, found[0])
            else:
                self._stretch(stream, unit, ledger, found)

    def _alone(self, unit: Unit, ledger: Ledger, account: Account) -> None:
        heard = ledger.heard(unit.key)
        (told,) = heard.told
        account.state, account.reason, account.seconds = told.state, told.reason, told.seconds
        _note(account, told)
        for run in heard.runs:
            self._detector.reset()
            clock = NominalClock(run.rate, told.start_us or 0, told.start_us is not None)
            self._reporter.begin(Segment(run.begin, run.rate, clock, shown(account.path)))
            changes = [*self._changes(run), *self._detector.close(run.samples, "end")]
            account.rows += [row for change in changes if (row := self._row(change)) is not None]

    def _stretch(self, stream: Stream, unit: Unit, ledger: Ledger, found: list[Account]) -> None:
        heard = ledger.heard(unit.key)
        by_path = {os.fsencode(account.path): account for account in found}
        for told in heard.told:
            _note(by_path[told.path], told)
        (run,) = heard.runs
        if not unit.at:
            self._detector.reset()
        changes = list(self._changes(run))
        if unit.rows is None:
            changes += self._detector.close(unit.at + run.samples, "end")
        for change in changes:
            place = stream.file_at(change.onset)
            facts = stream.files[place]
            clock = NominalClock(facts.rate, facts.start_us or 0, facts.start_us is not None)
            self._reporter.begin(Segment(-stream.begins[place], facts.rate, clock, shown(facts.path)))
            if (row := self._row(change)) is not None:
                found[place].rows.append(row)

    def _changes(self, run: Run) -> Iterator[Change]:
        """Yield what the rules make of a run's scores."""
        where, scores = run.kept()
        n_labels = len(self._labels)
        cuts = _cuts(np.unique(where // n_labels), run.rows)
        places = np.searchsorted(where, cuts * n_labels)
        for begin, end, low, high in zip(cuts, cuts[1:], places, places[1:], strict=False):
            rows = np.zeros((end - begin, n_labels), np.float32)
            rows.reshape(-1)[where[low:high] - begin * n_labels] = scores[low:high]
            yield from self._detector.process(rows)

    def _row(self, change: Change) -> Row | None:
        """Return the row of an event that has ended."""
        self._newest = None
        if change.phase != "update":
            self._reporter.change(change, None)
        return self._newest

    def _take(self, topic: str, payload: bytes) -> None:
        event = messages.decode(payload)
        if isinstance(event, messages.Event) and event.phase == "offset":
            self._newest = row_of(event)


def _cuts(kept: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Divide decisions so that those in which nothing can begin or last are by themselves: the rules pass over them
    together. The first of them is left with those before it, since with it ends what goes on.

    Args:
        kept: the decisions that have scores which count, in order.
        rows: how many there are in all.
    """
    apart = np.diff(kept) > 2
    begins, ends = kept[np.insert(apart, 0, True)[: len(kept)]], kept[np.append(apart, True)[: len(kept)]] + 2
    return np.unique(np.concatenate([np.arange(0, rows, _AT_ONCE), begins, np.minimum(ends, rows), [rows]]))


def _note(account: Account, told: Told) -> None:
    account.notes += told.notes
    account.sha256 = told.sha256 or account.sha256


def _once(notes: list[str]) -> list[str]:
    """Leave out of notes those that differ from an earlier one in their figures only."""
    return list({re.sub(r"[\d.]+", "#", note): note for note in reversed(notes)}.values())[::-1]
