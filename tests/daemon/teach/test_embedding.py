"""A clip becomes windows as a room might give them, near and far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auricle.model.bundle import Bundle
from auricle.teach import embedding
from auricle.teach.clips import Clip, Sound
from auricle.teach.embedding import GAINS_DB, Embeddings, Room, Trunk
from helpers import lessons
from helpers.lessons import burst

DRAWN = 60


@pytest.fixture
def house(tmp_path: Path) -> Bundle:
    """A bundle of two labels with a bank."""
    return lessons.house(tmp_path / "house")


def test_windows_hold_a_clip_at_many_levels(house: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a clip that was recorded near, windows alone and in a room alike are between the loudest and the quietest that
    may be, and spread over most of it; none is beyond full scale, though the clip was at it."""
    trunk = Trunk(house)
    sound = burst(1)
    sound /= np.abs(sound).max()
    heard: list[Sound] = []
    windows = trunk.windows

    def listening(window: Sound, hop_frames: int | None = None) -> tuple[Embeddings, np.ndarray]:
        heard.append(window)
        return windows(window, hop_frames)

    monkeypatch.setattr(trunk, "windows", listening)
    clip = Clip(Path("near.wav"), sound, 2000, len(sound) - 2000, "")
    found = embedding.drawn(trunk, clip, Room(trunk, None), np.random.default_rng(0), DRAWN)
    assert found.shape == (DRAWN, house.card.embedding.size if house.card.embedding else 0)
    peaks_db = 20 * np.log10([np.abs(window).max() for window in heard])
    low, high = GAINS_DB
    for some in (peaks_db[::2], peaks_db[1::2]):
        # Half a sound at the edge of a window, and noise beneath it, change the peak a little.
        assert low - 3 < some.min() < low + 6
        assert -1 < some.max() <= 0
        assert np.ptp(np.quantile(some, (0.1, 0.9))) > (high - low) / 2
