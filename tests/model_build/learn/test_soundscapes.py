"""Windows to learn from are composed as told: which labels, how loud, over what, and how far the event has come."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from auricle_build.grammar.pretrained import Scenery
from auricle_build.learn.soundscapes import Sounds, Soundscapes

FRAMES, BANDS, OFFSET = 64, 40, 1e-5
BARE = Scenery(
    events=1.0,
    noise=0.0,
    second=0.0,
    behind=0.0,
    begun=0.0,
    variants=0.0,
    levelled=0.0,
    equalised_db=0.0,
    dulled=0.0,
    masked=0.0,
)
"""An event by itself, as it was recorded."""


def steady(frames: int, low: int = 0, high: int = BANDS, level: float = 0.0) -> Any:
    """Rows of a sound whose power never changes, in some of the bands."""
    rows = np.full((frames, BANDS), -np.inf, np.float16)
    rows[:, low:high] = level
    return rows


SOUNDS = Sounds(
    rows=[[steady(100)], [steady(64, level=1.0)], [steady(40, level=-2.0)], [steady(300)], [steady(400)]],
    labels=[(0,), (1,), (1,), (2,), ()],
    place=[False, False, False, True, True],
)
"""Labels 0 to 2 of four: the third in minutes of a place alone, the fourth in nothing."""
APART = Sounds(rows=[[steady(100, 20, 40)], [steady(300, 0, 20, -3.0)]], labels=[(0,), (1,)], place=[False, True])
"""An event in the upper bands, a place with a label of its own in the lower."""


def scapes(terms: Scenery, sounds: Sounds = SOUNDS, seed: int = 1) -> Soundscapes:
    return Soundscapes(sounds, terms, window_frames=FRAMES, n_labels=4, offset=OFFSET, seed=seed)


def drawn(terms: Scenery, sounds: Sounds = SOUNDS, steps: int = 6) -> tuple[Any, Any, Any]:
    """Windows of several steps, what is in them, and how sure that is."""
    made = scapes(terms, sounds)
    batches = [made(step) for step in range(steps)]
    return tuple(np.concatenate([getattr(batch, name) for batch in batches]) for name in ("x", "y", "weight"))


def db(power: Any) -> Any:
    return 10.0 * np.log10(power)


def test_batches_depend_on_seed_and_step_alone() -> None:
    """Asked in any order, a step's batch is the same to the bit; another step's and another seed's are others."""
    one, other, strange = scapes(Scenery()), scapes(Scenery()), scapes(Scenery(), seed=2)
    later, first = one(5), one(0)
    again = other(0), other(5)
    for name in ("x", "y", "weight"):
        np.testing.assert_array_equal(getattr(again[0], name), getattr(first, name), strict=True)
        np.testing.assert_array_equal(getattr(again[1], name), getattr(later, name), strict=True)
    assert not np.array_equal(first.x, later.x)
    assert not np.array_equal(first.x, strange(0).x)
    assert first.x.shape == (32, FRAMES, BANDS)
    assert np.isfinite(first.x).all()
    assert first.x.min() >= np.float32(np.log(OFFSET)) - np.log(1e6), "masks are no deeper than a mean"
    assert ((first.weight > 0.0) & (first.weight <= 1.0)).all()


def test_every_label_with_recordings_comes_equally_often() -> None:
    """Of 1920 windows each of three labels has a third, within 5 %; what has no recording is in none."""
    _, y, _ = drawn(BARE, steps=60)
    np.testing.assert_allclose(y.mean(axis=0), [1 / 3, 1 / 3, 1 / 3, 0.0], rtol=0, atol=0.05)
    assert (y.sum(axis=1) == 1.0).all()


def test_an_event_that_began_lately_ends_at_the_windows_end() -> None:
    """It fills between so much and so much of the window, up to the last frame; before it there is faint noise."""
    x, y, _ = drawn(dataclasses.replace(BARE, begun=1.0, begun_share=(0.25, 0.75)), APART)
    heard = db(np.exp(x).mean(axis=2)) > -10.0
    mine = y[:, 0] == 1.0
    assert mine.sum() > 50
    filled = heard[mine].sum(axis=1)
    assert heard[mine, -1].all()
    assert (np.diff(heard[mine].astype(int), axis=1) >= 0).all(), "once begun, it goes on"
    assert filled.min() >= 0.25 * FRAMES - 1
    assert filled.max() <= 0.75 * FRAMES
    assert len(set(filled.tolist())) > 10


def test_what_has_only_begun_is_heard_from_its_onset() -> None:
    """In most windows the event's first frames are there, within the eight before its loudest: not its middle."""
    rows = np.concatenate([steady(50, level=-9.0), steady(200)])
    x, _, _ = drawn(dataclasses.replace(BARE, begun=1.0, begun_share=(0.5, 0.5)), Sounds([[rows]], [(0,)], [False]))
    loud = (np.exp(x).mean(axis=2) > 0.5).sum(axis=1)
    assert loud.max() <= FRAMES // 2
    assert np.mean(loud >= FRAMES // 2 - 8) > 0.7


def test_levels_lie_where_told() -> None:
    """The mean power of the loud tenth is brought to a level between the two, whatever the recording's own."""
    x, _, _ = drawn(dataclasses.replace(BARE, levelled=1.0, level_db=(-20.0, 10.0)))
    level = db(np.sort((np.exp(x.astype(float)) - OFFSET).mean(axis=2), axis=1)[:, -6:].mean(axis=1))
    assert level.min() > -20.1
    assert level.max() < 10.1
    assert np.ptp(level) > 25.0
    x, _, _ = drawn(dataclasses.replace(BARE, levelled=1.0, level_db=(-20.0, -20.0)), steps=1)
    level = db(np.sort((np.exp(x.astype(float)) - OFFSET).mean(axis=2), axis=1)[:, -6:].mean(axis=1))
    np.testing.assert_allclose(level, -20.0, rtol=0, atol=0.02)


@pytest.mark.parametrize(("snr_db", "there"), [(9.0, 1.0), (15.0, 0.0)])
def test_an_event_lies_over_a_place_at_its_level(snr_db: float, there: float) -> None:
    """The place is so much weaker, within 0.05 dB; what it holds itself is in the window where it can be made out."""
    terms = dataclasses.replace(BARE, behind=1.0, snr_db=(snr_db, snr_db))
    x, y, weight = drawn(terms, Sounds(APART.rows, [(0,), (1,)], APART.place))
    power = np.exp(x.astype(float)) - OFFSET
    mine = power[:, :, 20:].mean(axis=(1, 2)) > 0.5
    assert mine.sum() > 50
    found = db(power[mine, :, 20:].mean(axis=(1, 2)) / power[mine, :, :20].mean(axis=(1, 2)))
    np.testing.assert_allclose(found, snr_db, rtol=0, atol=0.05)
    assert (y[mine, 0] == 1.0).all()
    assert (y[mine, 1] == there).all()
    assert (weight[mine, 1] < 0.5).all()


def test_silence_and_noise_hold_nothing() -> None:
    """Windows without event or place have no label; about one in seven is digital silence, the others noise."""
    x, y, weight = drawn(dataclasses.replace(BARE, events=0.0, noise=1.0))
    assert not y.any()
    assert (weight == 1.0).all()
    silent = (x == np.log(np.float32(OFFSET))).all(axis=(1, 2))
    assert 0.05 < silent.mean() < 0.3
    assert x[~silent].std(axis=1).min() > 0.01


def test_a_place_alone_holds_what_it_holds() -> None:
    """Without event or noise a window is a place: its label is there, or none."""
    _, y, _ = drawn(dataclasses.replace(BARE, events=0.0, noise=0.0))
    assert set(map(tuple, y.tolist())) == {(0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 0.0)}


def test_where_a_clip_is_quiet_its_label_is_not() -> None:
    """A part 40 dB below the clip's loudest frame is no event; a part as loud as that is, and sure."""
    rows = np.concatenate([steady(200, level=-9.2), steady(200)])
    x, y, weight = drawn(BARE, Sounds([[rows]], [(0,)], [False]))
    loud = np.exp(x).mean(axis=2).max(axis=1) > 0.5
    np.testing.assert_array_equal(y[:, 0], loud.astype(np.float32))
    assert 0.2 < loud.mean() < 0.9
    assert (weight == 1.0).all()


def test_variants_come_as_often_as_told() -> None:
    """Of the events such a share is a variant; of a clip that has none, none."""
    sounds = Sounds([[steady(100), steady(100, level=-6.0)]], [(0,)], [False])
    for share in (0.0, 0.5, 1.0):
        x, _, _ = drawn(dataclasses.replace(BARE, variants=share), sounds)
        assert np.mean(np.exp(x).mean(axis=(1, 2)) < 0.1) == pytest.approx(share, abs=0.1)
    drawn(dataclasses.replace(BARE, variants=1.0))


def test_clips_as_recorded_are_unchanged() -> None:
    """As many as asked for, spread over all clips: the logarithm of what was recorded and the offset, and no more."""
    found = scapes(Scenery()).as_recorded(5)
    assert found.shape == (5, FRAMES, BANDS)
    assert found.dtype == np.float32
    for window, (rows,) in zip(found, SOUNDS.rows, strict=True):
        expected = np.log(np.exp(np.float32(rows[0, 0])) + np.float32(OFFSET))
        np.testing.assert_allclose(window, np.full((FRAMES, BANDS), expected), rtol=1e-6)
    np.testing.assert_array_equal(scapes(Scenery()).as_recorded(5), found)
    assert len(scapes(Scenery()).as_recorded(17)) == 17
