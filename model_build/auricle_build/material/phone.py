"""A phone changes a sound: a small room before it, a band and a limiter; `BITS` say what its codec leaves of it."""

from __future__ import annotations

import numpy as np

from auricle_build.material import sound as sounds
from auricle_build.material.sound import Sound

LOW_HZ, HIGH_HZ = (120.0, 250.0), (4500.0, 7000.0)
"""Where the band begins and ends, each drawn between two frequencies: microphones are small, and wind and hiss are
filtered out."""
DRIVE_DB = (3.0, 12.0)
"""How far the peak is above the limiter, drawn between two levels."""
BITS = 16_000
"""The codec's bits a second, as voice messages and calls have it."""
LOUDEST = 0.99


def picked_up(sound: Sound, rng: np.random.Generator, sample_rate: int) -> Sound:
    """Put the sound across a room, in a phone's band and through its limiter, as long as it was; each drawn from
    ``rng``.

    The direct sound comes first and undelayed, so that what is known of the sound's time stays true.
    """
    heard = sounds.in_room(sound, sounds.room(int(rng.integers(2**31)), sample_rate))
    high = min(float(rng.uniform(*HIGH_HZ)), 0.45 * sample_rate)
    heard = sounds.band_limit(heard, float(rng.uniform(*LOW_HZ)), high, sample_rate)
    heard = sounds.overdriven(heard, float(rng.uniform(*DRIVE_DB)))
    peak = float(np.abs(heard).max(initial=0.0))
    return heard if peak <= LOUDEST else np.asarray(heard * np.float32(LOUDEST / peak), np.float32)
