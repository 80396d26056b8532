"""The sound that waits at several lanes, computed at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.capture.source import Sound
from auricle.hearing.ear import Ear
from auricle.hearing.lane import SHARED, Lane
from auricle.stages import batch
from auricle.stages.stage import Block

REMEMBERED_S = 1.0
"""For so long groups are remembered: nothing of a source that has gone is kept."""


@dataclass(frozen=True, slots=True)
class _Ears:
    """Ears of one kind, as one."""

    stages: batch.Group
    levels: batch.Group


class Together:
    """Computes what waits at lanes, as many of a kind at once as go together; the same ones again and again."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Ear, ...], _Ears] = {}
        self._until_s = 0.0

    def hear(self, lanes: Iterable[Lane], now_s: float) -> Sequence[Lane]:
        """Hear the sound that waits at these lanes.

        Args:
            now_s: monotonic clock.

        Returns:
            the lanes that failed.
        """
        if now_s >= self._until_s:
            self._groups.clear()
            self._until_s = now_s + REMEMBERED_S
        alike: dict[object, list[tuple[Lane, Sound]]] = {}
        for lane in lanes:
            if (sound := lane.waiting) is not None:
                alike.setdefault((lane.ear.kind, len(sound.samples)), []).append((lane, sound))
        failed: list[Lane] = []
        for members in alike.values():
            lane, sound = members[0]
            size = max(1, batch.FRAMES * lane.ear.hop_length // max(1, len(sound.samples)))
            for start in range(0, len(members), size):
                failed += self._hear(members[start : start + size])
        return failed

    def _hear(self, members: Sequence[tuple[Lane, Sound]]) -> Sequence[Lane]:
        try:
            scores, levels = self._compute(members)
        except Exception as error:  # whosever it is: what all of them remember of their signals is spoilt
            for lane, _ in members:
                lane.fail(error)
            return [lane for lane, _ in members]
        failed = []
        for (lane, _), rows, row_levels in zip(members, scores, levels, strict=True):
            try:
                lane.heard(rows, row_levels)
            except SHARED:
                raise
            except Exception as error:  # what fails at telling is the source's whose message it is
                lane.fail(error)
                failed.append(lane)
        return failed

    def _compute(self, members: Sequence[tuple[Lane, Sound]]) -> tuple[Sequence[Block], Sequence[Block]]:
        """Scores and levels of every member's sound."""
        if len(members) == 1:
            ((lane, sound),) = members
            return [lane.ear.stages.process(sound.samples)], [lane.ear.level.process(sound.samples)]
        ears = tuple([lane.ear for lane, _ in members])
        if (group := self._groups.get(ears)) is None:
            stages, levels = batch.Group([ear.chain for ear in ears]), batch.Group([[ear.level] for ear in ears])
            group = self._groups[ears] = _Ears(stages, levels)
        blocks = np.concatenate([sound.samples for _, sound in members]).reshape(len(members), -1)
        return group.stages.process(blocks), group.levels.process(blocks)
