"""Counters say what became of a source since the start."""

from __future__ import annotations

from dataclasses import dataclass

from auricle import messages
from auricle.capture.source import Gap, LiveCounters


@dataclass
class Counters:
    """Counts what became of a source since the start; samples at the source's own rate unless it says otherwise."""

    heard: int = 0
    heard_s: float = 0.0
    tail: int = 0
    """Samples at the model's rate that segments held after their last decision, or without one."""
    lost: int = 0
    paused: int = 0
    """Samples that nobody wanted to be heard."""
    gaps: int = 0
    decisions: int = 0
    late: int = 0
    """Decisions that came more than one decision hop after their sound was delivered."""
    events: int = 0
    skipped: int = 0
    overloads: int = 0
    unsound: int = 0
    """Decisions in which the model gave what is no number."""
    clips: int = 0
    clips_missed: int = 0
    """Events that have no clip although they should."""

    def lose(self, gap: Gap) -> bool:
        """Count what was not heard; return whether somebody wanted that, or a schedule, so that it is no loss."""
        if gap.cause == "pause":
            self.paused += gap.samples
            return True
        self.lost += gap.samples
        self.gaps += 1
        return False

    def health(
        self,
        *,
        state: messages.SourceState,
        under_way: tuple[int, float],
        cleaned: int,
        gate: str,
        level_dbfs: float | None,
        age_s: float | None,
        live: LiveCounters | None,
    ) -> messages.SourceHealth:
        """Return what the `health` message says of the source.

        Args:
            under_way: samples and seconds that the open segment holds so far.
            live: what its capture counts, where it has one.
        """
        return messages.SourceHealth(
            state=state,
            heard_s=round(self.heard_s + under_way[1], 3),
            heard_samples=self.heard + under_way[0],
            lost_samples=self.lost,
            paused_samples=self.paused,
            gaps=self.gaps,
            decisions=self.decisions,
            events=self.events,
            cleaned_samples=cleaned,
            skipped=self.skipped,
            gate=gate,
            level_dbfs=None if level_dbfs is None else round(level_dbfs, 2),
            age_s=None if age_s is None else round(age_s, 3),
            late=self.late,
            overloads=self.overloads,
            unsound=self.unsound,
            clips=self.clips,
            clips_missed=self.clips_missed,
            capture=None if live is None else _captured(live),
        )


def _captured(live: LiveCounters) -> messages.SourceCapture:
    return messages.SourceCapture(
        heard_samples=live.heard,
        lost_samples=live.lost,
        overruns=live.overruns,
        restarts=live.restarts,
        drift_ppm=None if live.drift_ppm is None else round(live.drift_ppm, 2),
        waiting_s=round(live.waiting_s, 3),
        ring_s=live.ring_s,
    )
