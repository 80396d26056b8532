"""What a microphone makes of sounds."""

from __future__ import annotations

import numpy as np
import pytest

from auricle_build.grammar.material import Variant
from auricle_build.material import sound

TONE = (0.4 * np.sin(np.arange(8000) * 0.05)).astype(np.float32)


@pytest.mark.parametrize("drive_db", [0.0, 4.0, 9.0, 20.0])
def test_what_is_driven_into_a_limiter_keeps_its_peak(drive_db: float) -> None:
    """The peak is as it was, within 1e-6, everything below it is louder, by at most the drive; signs stay."""
    found = sound.overdriven(TONE, drive_db)
    assert found.dtype == np.float32
    assert np.abs(found).max() == pytest.approx(np.abs(TONE).max(), rel=1e-6)
    heard = np.abs(TONE) > 1e-3
    gain = found[heard] / TONE[heard]
    drive = 10 ** (drive_db / 20)
    assert gain.min() > 1.0 - 1e-6
    assert gain.max() <= drive / np.tanh(drive) * (1 + 1e-5)
    assert gain.max() > 0.999 * drive / np.tanh(drive), "what is faint is as loud as the drive makes it"


def test_silence_cannot_be_overdriven() -> None:
    """Zeros, and no sound at all, stay."""
    for n in (0, 100):
        np.testing.assert_array_equal(sound.overdriven(np.zeros(n, np.float32), 9.0), np.zeros(n, np.float32))


def test_a_limiter_comes_after_the_band() -> None:
    """A variant with both is a band, then a limiter: the harmonics that it makes may lie outside the band."""
    variant = Variant(band=(200.0, 1000.0), overdriven_db=9.0)
    expected = sound.overdriven(sound.band_limit(TONE, 200.0, 1000.0, 16000), 9.0)
    np.testing.assert_array_equal(sound.vary(TONE, variant, 1, 16000), expected)
    plain = sound.vary(TONE, Variant(band=(200.0, 1000.0)), 1, 16000)
    assert not np.array_equal(plain, expected)
    assert variant.said() == {"band": [200.0, 1000.0], "overdriven_db": 9.0}
