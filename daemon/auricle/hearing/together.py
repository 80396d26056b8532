"""The sound that waits at the lanes is computed here: this is the one way to hear."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auricle.capture.source import Piece
from auricle.hearing.lane import SHARED, Lane
from auricle.stages import batch
from auricle.stages.stage import Block

REMEMBERED_S = 1.0
"""A group is remembered for this long after its last use, at most for twice as long, so that nothing is kept of a
source that has gone."""


@dataclass(frozen=True, slots=True)
class _Ears:
    """Holds ears of one kind as one: their stages and their level meters, each a group."""

    stages: batch.Group
    levels: batch.Group


class Together:
    """Computes what waits at the lanes, as many of a kind at once as go together; the same ones again and again."""

    def __init__(self) -> None:
        self._groups: dict[tuple[object, ...], _Ears] = {}
        """By their kind, which changes when somebody looks at them, and the ears themselves."""
        self._older: dict[tuple[object, ...], _Ears] = {}
        """The groups that were not used lately; those not used until the next turn are forgotten."""
        self._until_s = 0.0

    def hear(self, lanes: Iterable[Lane], now_s: float) -> Sequence[Lane]:
        """Hear the block that waits at each of these lanes, where one does.

        Args:
            now_s: monotonic clock.

        Returns:
            the lanes that failed.
        """
        if now_s >= self._until_s:
            self._groups, self._older = {}, self._groups
            self._until_s = now_s + REMEMBERED_S
        alike: dict[tuple[object, int], list[Lane]] = {}
        for lane in lanes:
            if (block := lane.waiting) is not None:
                alike.setdefault((lane.ear.kind, len(block)), []).append(lane)
        failed: list[Lane] = []
        for (_, length), members in alike.items():
            size = max(1, batch.FRAMES * members[0].ear.hop_length // max(1, length))
            for start in range(0, len(members), size):
                failed += self._hear(members[start : start + size])
        return failed

    def feed(self, lane: Lane, pieces: Iterable[Piece]) -> None:
        """Give a single lane these pieces, and hear them, as long as it does not fail."""
        drawn = iter(pieces)
        while lane.draw(drawn) and not self.hear((lane,), time.monotonic()):
            pass

    def _hear(self, lanes: Sequence[Lane]) -> Sequence[Lane]:
        try:
            scores, levels = self._compute(lanes)
        except Exception as error:  # whoever is at fault, the memories of all of them are spoilt
            for lane in lanes:
                lane.fail(error)
            return lanes
        failed = []
        for lane, rows, row_levels in zip(lanes, scores, levels, strict=True):
            try:
                lane.heard(rows, row_levels)
            except SHARED:
                raise
            except Exception as error:  # whose message it is, whose error it is
                lane.fail(error)
                failed.append(lane)
        return failed

    def _compute(self, lanes: Sequence[Lane]) -> tuple[Iterable[Block], Iterable[Block]]:
        """Return the scores and the levels of the block that waits at each of these lanes."""
        ears = tuple([lane.ear for lane in lanes])
        key = (ears[0].kind, *ears)
        if (group := self._groups.get(key)) is None:
            if (group := self._older.get(key)) is None:
                stages, levels = batch.Group([ear.chain for ear in ears]), batch.Group([[ear.level] for ear in ears])
                group = _Ears(stages, levels)
            self._groups[key] = group
        blocks = batch.stacked([lane.waiting for lane in lanes if lane.waiting is not None])
        return group.stages.process(blocks), group.levels.process(blocks)
