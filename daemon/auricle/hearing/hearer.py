"""Recordings are heard once here and decided upon as often as wanted, by the runtime's own stages, smoothing and
rules."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.capture.folders import find
from auricle.capture.reader import Reader
from auricle.errors import AudioError, StoredError
from auricle.hearing import groups, pipeline
from auricle.hearing.afresh import Afresh
from auricle.hearing.decision import Change, Rule
from auricle.model.bundle import Bundle
from auricle.model.card import contained
from auricle.stages.stage import Pipeline
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member

log = logging.getLogger("auricle")

Progress = Callable[[float], None]
"""Is called with the share of all sound that has been heard, 0 to 1."""

_KEPT = {"scores": Member("f", 2), "samples": Member("iu", 0)}
_KEPT_BYTES = 2**30
_DECIDED_AT_ONCE = 64
"""Rows given to the rules at once: where nothing is near a threshold they pass over all of them together."""


@dataclass(frozen=True, slots=True, order=True)
class Reported:
    """An event as the daemon reports it: its times are in seconds from the recording's start.

    ``at_s`` is when the onset message was due, ``peak`` the highest score.
    """

    onset_s: float
    offset_s: float
    label: str
    at_s: float
    peak: float


@dataclass(frozen=True)
class Hearing:
    """Holds what a recording sounded like to the model.

    Args:
        path: the recording, as it was named.
        scores: ``(n, n_labels)`` float32, smoothed, one row a decision.
        samples: how long it is, at the model's rate.
        cut: why there is no more of it, where the file ends too soon.
    """

    path: str
    scores: NDArray[np.float32]
    samples: int
    cut: str | None = None


class Hearer:
    """Hears recordings as the daemon does; every one begins from the same state.

    Args:
        bundle: the model.
        decision: hop and smoothing are taken from it, and the rules where no others are given.
        gate: the noise gate.
        cache: a folder to keep scores in; they are found again as long as recording, model and settings are the same.
        channel: the one to listen to, 1 is the first; ``mix``: the mean of all.

    Raises:
        ConfigError: model, rules and gate do not fit together.
    """

    def __init__(
        self,
        bundle: Bundle,
        decision: config.Decision,
        gate: config.Gate,
        *,
        cache: Path | None = None,
        channel: int | str = "mix",
    ) -> None:
        self.bundle = bundle
        self.decision = decision
        self.rate = bundle.card.front_end.sample_rate
        self.rules: Mapping[str, Rule] = pipeline.rules(bundle, decision)
        """The rules that are in force."""
        scorer = pipeline.scorer(bundle, decision, gate)
        made = {group: frozenset(members) for group, members in groups.groups(bundle.card, decision).items()}
        self.contained = {**contained(bundle.card.includes), **made}
        """By label or group that contains others, all that it contains."""
        smoother = pipeline.smoother(bundle, decision)
        stages = Pipeline([scorer.stages, *pipeline.grouping(bundle, decision), smoother])
        self._afresh = Afresh(stages, scorer.front_end.gate)
        self._cache, self._channel = cache, channel
        self.span, self.hop = stages.span, stages.hop
        """Samples before the first decision, and from one to the next."""
        self.scored = pipeline.labels(bundle, decision)
        """The labels and groups of the scores' columns."""
        self._settings = f"{bundle.hash} {self.hop} {smoother.lengths} {gate}{made or ''}"
        if channel != "mix":
            self._settings += f" channel {channel}"
        self.detector, self._apart = (
            pipeline.detector(bundle, decision, span=self.span, hop=self.hop, apart=apart) for apart in (False, True)
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels that may raise an event."""
        return tuple(self.rules)

    def hear(self, path: str, progress: Progress | None = None) -> Hearing:
        """Hear a recording: its smoothed scores, from the cache where they are kept.

        Raises:
            AudioError: the recording cannot be read.
        """
        stored = None
        if self._cache is not None:
            try:
                content = hashlib.sha256(Path(path).read_bytes())
            except OSError as e:
                raise AudioError(f"{path}: {e.strerror}") from None
            content.update(self._settings.encode())
            stored = self._cache / f"{content.hexdigest()[:32]}.npz"
            if stored.exists():
                try:
                    kept = arrays.read(stored, plain.read(stored, _KEPT_BYTES), _KEPT, _KEPT_BYTES)
                except StoredError as e:
                    log.warning("%s; the recording is heard anew", e)
                else:
                    return Hearing(path, kept["scores"], int(kept["samples"]))
        reader = Reader(path, self.rate, channel=self._channel)
        length = max(1, reader.frames * self.rate // reader.rate)

        def blocks() -> Iterator[NDArray[np.float32]]:
            heard = 0
            for block in reader.heard(pipeline.block_samples(self.bundle)):
                heard += len(block)
                yield block
                if progress is not None:
                    progress(min(1.0, heard / length))

        hearing = self.hear_blocks(path, blocks())
        if reader.short is not None:
            return replace(hearing, cut=reader.short)  # not kept: it is to be told the next time too
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            np.savez(stored, scores=hearing.scores, samples=hearing.samples)
        return hearing

    def hear_blocks(self, name: str, blocks: Iterator[NDArray[np.float32]]) -> Hearing:
        """Hear one segment, given as blocks ``(n,)`` at the model's rate: its smoothed scores.

        Raises:
            AudioError: the model gives what is no number.
        """
        scores, samples = self._afresh.hear(blocks)
        if not np.isfinite(scores).all():
            raise AudioError(f"{name}: model {self.bundle.card.name} gives scores that are no numbers")
        return Hearing(name, scores, samples)

    def decide(
        self, hearing: Hearing, rules: Mapping[str, Rule] | None = None, *, apart: bool = False
    ) -> list[Reported]:
        """Return the events that the daemon would report, by onset; under other rules than the hearer's own where they
        are given.

        Args:
            apart: every label by itself, also what the daemon would report as the label that it contains.
        """
        detector = self._apart if apart else self.detector
        detector.configure(self.rules if rules is None else rules)
        detector.reset()
        changes: list[Change] = []
        for row in range(0, len(hearing.scores), _DECIDED_AT_ONCE):
            changes += detector.process(hearing.scores[row : row + _DECIDED_AT_ONCE])
        changes += detector.close(hearing.samples, "end")
        told: dict[str, int] = {}
        events = []
        for change in changes:
            if change.phase == "onset":
                told[change.label] = change.at
            elif change.offset is not None:
                onset_s, offset_s, at_s = (n / self.rate for n in (change.onset, change.offset, told[change.label]))
                events.append(Reported(onset_s, offset_s, change.label, at_s, change.peak))
        return sorted(events)

    def hear_all(self, paths: Sequence[str], progress: Progress | None = None) -> tuple[list[Hearing], list[str]]:
        """Hear every recording among files, folders and globs; with a line for each that cannot be heard to its end."""
        files, faults = find(paths)
        heard: list[Hearing] = []
        for i, file in enumerate(files):

            def part(share: float, i: int = i) -> None:
                if progress is not None:
                    progress((i + share) / len(files))

            try:
                heard.append(hearing := self.hear(file, part))
                if hearing.cut is not None:
                    faults.append(hearing.cut)
            except AudioError as e:
                faults.append(str(e))
            part(1.0)
        return heard, faults

    def hours(self, hearings: Sequence[Hearing]) -> float:
        """Return how many hours of the recordings are decided upon: what lies before a recording's first window raises
        no event."""
        return sum(len(hearing.scores) for hearing in hearings) * self.hop / self.rate / 3600
