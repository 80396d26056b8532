"""The section of what the daemon remembers, so that it can say why there was an event or none."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.config.keys import key
from auricle.config.kinds import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain:
    """Sets how long decisions are remembered for `auricle explain` (docs/tuning.md)."""

    keep_min: float = key(
        5.0,
        Number(0, 120, "min"),
        "live",
        "So many minutes of each source's decisions are held, in memory alone: about 0.5 MB where there are ten a "
        "second of a few labels. 0: none.",
    )
