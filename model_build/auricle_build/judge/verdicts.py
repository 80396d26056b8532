"""These are the verdicts of `auricle classify` on clips that a model never heard: which it names right, and which it
mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.errors import AudioError
from auricle.hearing.whole import Classifier
from auricle.model.bundle import Bundle
from auricle.model.card import contained
from auricle_build.grammar.recipes import Recipe
from auricle_build.judge.alarms import Quiet
from auricle_build.material.clips import Clip


@dataclass(frozen=True)
class Verdicts:
    """Holds clips with what was said of them.

    Args:
        labels: of the model.
        origins: the set that each clip is of.
        files: the name of each clip's file.
        truth: index of each clip's label.
        scores: ``(n_clips, n_labels)``, as `auricle classify` gives them.
    """

    labels: Sequence[str]
    origins: Sequence[str]
    files: Sequence[str]
    truth: NDArray[np.int64]
    scores: NDArray[np.float32]

    def of(self, origins: Sequence[str]) -> Verdicts:
        """Return the clips of some sets."""
        mine = [i for i, origin in enumerate(self.origins) if origin in origins]
        names = ([self.origins[i] for i in mine], [self.files[i] for i in mine])
        return Verdicts(self.labels, *names, self.truth[mine], self.scores[mine])

    @property
    def held(self) -> list[int]:
        """Return indices of the labels that these clips hold."""
        return sorted(set(self.truth.tolist()))

    def named(self) -> NDArray[np.int64]:
        """Return the index of the highest label of each clip, among those that the clips hold."""
        held = np.asarray(self.held, np.int64)
        return np.asarray(held[self.scores[:, held].argmax(axis=1)], np.int64)

    def accuracy(self) -> float:
        """Return the share of the clips named right, among the labels that they hold; nan without clips."""
        return float(np.mean(self.named() == self.truth)) if len(self.truth) else float("nan")

    def accuracy_of_all(self, includes: dict[str, list[str]]) -> float:
        """Return the share of the clips whose highest label, of all that the model has, is right or contains what
        is."""
        if not len(self.truth):
            return float("nan")
        parts = contained(includes)
        said = [self.labels[i] for i in self.scores.argmax(axis=1).tolist()]
        was = [self.labels[i] for i in self.truth.tolist()]
        return float(np.mean([a == b or b in parts.get(a, ()) for a, b in zip(said, was, strict=True)]))

    def recall(self, label: int) -> float:
        """Return the share of a label's clips named right, among the labels that the clips hold; nan without clips of
        it."""
        mine = self.truth == label
        return float(np.mean(self.named()[mine] == label)) if mine.any() else float("nan")

    def average_precision(self, label: int) -> float:
        """Return the mean over a label's clips of the precision among those that score no lower; nan without clips of
        it."""
        mine, scores = self.truth == label, self.scores[:, label]
        if not mine.any():
            return float("nan")
        order = np.argsort(-scores, kind="stable")
        # Clips of equal score stand or fall together.
        last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        hits = np.cumsum(mine[order])[last]
        return float(np.sum(np.diff(hits, prepend=0) * hits / (last + 1)) / hits[-1])

    def mistakes(self) -> list[tuple[str, str, int]]:
        """Return what a clip was, what was said, and how often; the most frequent first."""
        wrong = Counter(
            (self.labels[was], self.labels[said])
            for was, said in zip(self.truth.tolist(), self.named().tolist(), strict=True)
            if was != said
        )
        return [(was, said, n) for (was, said), n in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))]

    @classmethod
    def joined(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Join the verdicts of several folds: every clip by a model that never heard it."""
        return cls(
            parts[0].labels,
            [origin for part in parts for origin in part.origins],
            [file for part in parts for file in part.files],
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )


def judged_sets(rec: Recipe, clips: Sequence[Clip]) -> list[str]:
    """Return the sets that can be judged by clips: of events, of several labels, so that one can be taken for
    another."""
    events = frozenset(rec.events)
    held = {each.name: {c.label for c in clips if c.origin == each.name} & events for each in rec.data.sets}
    return [each.name for each in rec.data.sets if each.judged and not each.place and len(held[each.name]) > 1]


def judge(bundle: Bundle, clips: Sequence[Clip], say: Callable[[str], None]) -> Verdicts:
    """Classify whole files by default rules; those that cannot be read are left out and named."""
    classifier = Classifier(bundle, config.Decision(), config.Gate())
    read, scores = [], []
    for clip in clips:
        try:
            scores.append(list(classifier.verdict(str(clip.path)).scores.values()))
            read.append(clip)
        except AudioError as error:
            say(f"skipped: {error}")
    return Verdicts(
        bundle.labels,
        [clip.origin for clip in read],
        [clip.path.name for clip in read],
        np.asarray([bundle.labels.index(clip.label) for clip in read], np.int64),
        np.asarray(scores, np.float32).reshape(len(read), len(bundle.labels)),
    )


def quiet(bundle: Bundle, clips: Sequence[Clip], say: Callable[[str], None]) -> Quiet:
    """Score every window of clips that hold none of the labels."""
    classifier = Classifier(bundle, config.Decision(), config.Gate())
    origins, windows = [], []
    for clip in clips:
        try:
            windows.append(classifier.scores(str(clip.path))[0])
            origins.append(clip.origin)
        except AudioError as error:
            say(f"skipped: {error}")
    return Quiet(origins, windows)


def save(path: Path, bundle: Bundle, verdicts: Verdicts, heard: Quiet) -> None:
    """Keep what a bundle said, so that a report can be written again."""
    np.savez(
        path,
        bundle=bundle.hash,
        labels=np.asarray(verdicts.labels, str),
        origins=np.asarray(verdicts.origins, str),
        files=np.asarray(verdicts.files, str),
        truth=verdicts.truth,
        scores=verdicts.scores,
        **heard.arrays(),
    )


def load(path: Path) -> tuple[str, Verdicts]:
    """Load the hash of the bundle, and what it said.

    Raises:
        KeyError: another kind of judgement is kept there.
    """
    with np.load(path) as stored:
        labels, origins, files = ([str(name) for name in stored[key]] for key in ("labels", "origins", "files"))
        return str(stored["bundle"]), Verdicts(labels, origins, files, stored["truth"], stored["scores"])
