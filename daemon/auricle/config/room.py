"""The section of what the daemon remembers of its rooms, to teach a sound of somebody's own the difference from."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.config.keys import key
from auricle.config.kinds import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Sets what is remembered of each source's room for `auricle teach` (docs/teach.md)."""

    keep_h: float = key(
        0.0,
        Number(0, 168, "h"),
        "live",
        "So many hours of what each source hears are sampled, at most 2,000 windows of them, and kept as numbers that "
        "the network makes of them, no sound: what auricle teach learns the difference from. 24 is a good number. 0: "
        "nothing is kept, and what was kept is deleted (docs/privacy.md).",
        example=24,
    )
