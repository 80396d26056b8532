"""The keeping of clips, as configured: a keeper for every lane, one writer for all, and what is said of each clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auricle import config
from auricle.clips.keeper import Keeper, Order, Rules
from auricle.hearing.lane import Lane
from auricle.messages import Clip, Mark
from auricle.messages.questions import ClipsReport
from auricle.messages.topics import topic_of
from auricle.publish.publisher import Publisher

if TYPE_CHECKING:
    from auricle.clips.writer import Writer

LOOK_S = 0.5
"""How often to see whether something is waited for in vain."""
MISSED_S = 30.0
"""So much time lies between two clips of what was missed, of one source: who may mark must not wash away what is kept,
nor have all that is said recorded."""
END_S = 5.0
"""How long clips that are being written are waited for when they come to an end."""


class Clips:
    """Keeps clips of the lanes, as an attendant of the engine; does nothing while they are off.

    Args:
        publisher: publishes what became of each.
        lanes: may change while it runs; after a change `configure` is to be called.
        folder: of the clips where none is configured.
        certain: whether the time of day can be believed.
        patient: whether hearing waits for the disk after all, as a replay may.
    """

    def __init__(
        self,
        publisher: Publisher,
        lanes: Sequence[Lane],
        folder: Path,
        *,
        certain: Callable[[], bool] = lambda: True,
        patient: bool = False,
    ) -> None:
        self.pollable: None = None
        self.resting = False
        self._publisher, self._lanes, self._folder = publisher, lanes, folder
        self._certain, self._patient = certain, patient
        self._writer: Writer | None = None
        self._former: list[Writer] = []
        """Writers that a reload has replaced, as long as they have something to write."""
        self._missed: list[Clip] = []
        self._missed_s: dict[str | None, float] = {}
        """When sound of what was missed was last kept, by source."""
        self._next_s = 0.0
        self._report = ClipsReport(enabled=False)
        self._wanted = config.Clips()

    def configure(self, cfg: config.Config) -> None:
        """Keep clips as this says, from now on; what is under way comes to its end."""
        self._wanted = wanted = cfg.clips
        folder = wanted.folder or self._folder
        if (writer := self._writer) is not None and (not wanted.enabled or writer.folder != folder):
            for lane in self._lanes:
                lane.keep(None)
            writer.finish()
            self._former.append(writer)
            self._writer = None
        if wanted.enabled and self._writer is None:
            from auricle.clips.writer import Writer  # not for those who keep none

            self._writer = Writer(
                folder,
                max_mb=wanted.max_mb,
                max_days=wanted.max_days,
                certain=self._certain,
                patient=self._patient,
            )
        if self._writer is not None:
            self._writer.bound(wanted.max_mb, wanted.max_days)
            self._writer.beside = wanted.beside
            sources = {source.name: source for source in cfg.sources}
            for lane in self._lanes:
                self.attend(lane, sources.get(lane.name))

    def attend(self, lane: Lane, source: config.Source | None) -> None:
        """Keep the clips of a lane, where any are kept.

        Args:
            source: says what clips must not hold.
        """
        if self._writer is None:
            return
        keeper, rules = lane.keeper, rules_of(self._wanted, source)
        if keeper is None or bool(keeper.rules.privacy) != bool(rules.privacy):
            keeper = Keeper(rules, back_s=0.0, live=lane.live is not None, give=self._give, miss=self._missed.append)
            lane.keep(keeper)
        keeper.rules = rules
        keeper.back_s = max(lane.ear.back_s, lane.coming.back_s)

    def serve(self) -> None:
        """Publish what became of clips, and wait for nothing in vain; does not block."""
        if self._writer is None and not self._former:
            return
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + LOOK_S
            for lane in self._lanes:
                if lane.keeper is not None:
                    lane.keeper.tick(now_s)
            for writer in self._writers:
                writer.look(now_s)
        self._tell()

    def close(self) -> None:
        """Write what was ordered, as far as the disk keeps up, and publish what became of it."""
        until_s = None if self._patient else time.monotonic() + END_S
        for writer in self._writers:
            writer.finish()
        for writer in self._writers:
            writer.wait(until_s)
        self._tell()

    def missed(self, mark: Mark) -> str | None:
        """Keep the sound around a moment that was marked as missed; return why there will be none."""
        if self._writer is None:
            return "clips are off (clips.enabled)"
        assert mark.label is not None
        if self._wanted.labels is not None and mark.label not in self._wanted.labels:
            return f"clips.labels leaves {mark.label} out"
        now_s = time.monotonic()
        if now_s - self._missed_s.get(mark.source, -MISSED_S) < MISSED_S:
            return f"sound of another one is kept, of less than {MISSED_S:g} s ago"
        for lane in self._lanes:
            keeper = lane.keeper if lane.name == mark.source else None
            if keeper is not None and keeper.missed(mark, mark.label, lane.model):
                self._missed_s[lane.name] = now_s
                return None
        return f"the sound of that moment is not held any more (clips.missed_s: {self._wanted.missed_s:g})"

    def report(self) -> ClipsReport:
        """Return how the keeping of clips fares."""
        report, writer = self._report, self._writer
        report.enabled = writer is not None
        report.trouble, report.files, report.mb = None, 0, 0.0
        if writer is not None:
            report.trouble, report.files, report.mb = writer.trouble, writer.clips, round(writer.mb, 3)
        return report

    def _give(self, order: Order) -> None:
        if self._writer is not None:
            self._writer.put(order)

    @property
    def _writers(self) -> list[Writer]:
        return self._former if self._writer is None else [*self._former, self._writer]

    def _tell(self) -> None:
        while self._missed:
            self._publish(self._missed.pop(0))
        finished = [writer for writer in self._former if writer.finished]  # asked first: after it nothing is done
        for writer in self._writers:
            while writer.done:
                self._publish(writer.done.popleft())
            while writer.news:
                self._publisher.tell("clips", writer.news.popleft())
        for writer in finished:
            self._former.remove(writer)

    def _publish(self, clip: Clip) -> None:
        kept = clip.path is not None
        self._report.kept += kept
        self._report.missed += not kept
        for lane in self._lanes:
            if lane.name == clip.source:
                lane.counters.clips += kept
                lane.counters.clips_missed += not kept
        self._publisher.send(topic_of(clip), clip)


def rules_of(wanted: config.Clips, source: config.Source | None) -> Rules:
    """Return by which rules the clips of a source are kept."""
    return Rules(
        before_s=wanted.before_s,
        after_s=wanted.after_s,
        most_s=wanted.max_s,
        labels=None if wanted.labels is None else frozenset(wanted.labels),
        form="opus" if wanted.format == "opus" else "flac",
        privacy=() if source is None else source.privacy,
        privacy_score=wanted.privacy_threshold,
        missed_s=wanted.missed_s,
    )
