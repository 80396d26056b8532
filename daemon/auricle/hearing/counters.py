"""Counters say what became of a source since the start."""

from __future__ import annotations

from dataclasses import dataclass


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
