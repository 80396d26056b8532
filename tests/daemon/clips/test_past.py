"""The past holds the newest sound, each sample at its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.clips.past import Past
from helpers.sounds import varied

SOUND = varied(2.0)


def filled(lengths: list[int], gaps: dict[int, int] | None = None) -> tuple[Past, dict[int, float]]:
    """A past of blocks of these lengths, some with a gap before them; and every sample by its index."""
    past, at, wanted = Past(), 0, {}
    for i, length in enumerate(lengths):
        at += (gaps or {}).get(i, 0)
        block = SOUND[at : at + length]
        past.add(at, block)
        wanted |= dict(zip(range(at, at + length), block.tolist(), strict=True))
        at += length
    return past, wanted


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12),
    st.dictionaries(st.integers(0, 11), st.integers(1, 30), max_size=4),
    st.integers(-20, 300),
    st.integers(1, 300),
    st.integers(1, 64),
)
def test_a_cut_is_what_was_heard(lengths: list[int], gaps: dict[int, int], first: int, length: int, block: int) -> None:
    """Whatever is cut out of whatever blocks: each sample is at its place, what was not heard is silence and told, and
    neither end is silence that nobody heard."""
    past, known = filled(lengths, gaps)
    cut = past.cut(first, first + length, 16_000)
    held = [at for at in known if first <= at < first + length]
    if not held:
        assert cut is None
        return
    assert cut is not None
    assert (cut.first, cut.end) == (held[0], held[-1] + 1)
    found = np.concatenate(list(cut.blocks(block)))
    assert found.tolist() == [known.get(at, 0.0) for at in range(cut.first, cut.end)]
    missing = {at for first, n in cut.gaps() for at in range(first, first + n)}
    assert missing == set(range(cut.first, cut.end)) - set(known)
    assert cut.size == 4 * len(held)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 500))
def test_what_is_forgotten_is_whole_blocks(lengths: list[int], before: int) -> None:
    """All from the bound on is still there, and no more than a block before it."""
    past, known = filled(lengths)
    past.forget(before)
    if before >= past.end:
        assert past.begin == past.end
    else:
        assert before - 40 < past.begin <= before
        cut = past.cut(before, past.end, 16_000)
        assert cut is not None
        assert [*np.concatenate(list(cut.blocks(7)))] == [known[at] for at in range(before, past.end)]


@pytest.mark.parametrize("back", [0, 3, 10, 15, 25])
def test_what_is_taken_back_is_replaced(back: int) -> None:
    """A source that takes back what it gave, from a sample on, gives that place anew."""
    past, _ = filled([10, 10, 10])
    past.add(back, np.full(5, 0.25, np.float32))
    assert past.end == back + 5
    cut = past.cut(0, 100, 16_000)
    assert cut is not None
    assert [*np.concatenate(list(cut.blocks(4)))] == [*SOUND[:back], *[0.25] * 5]


def test_nothing_is_copied() -> None:
    """A block is held as it came: sound that waits for nothing costs a reference."""
    past, block = Past(), SOUND[:100].copy()
    past.add(0, block)
    cut = past.cut(20, 60, 16_000)
    assert cut is not None
    assert np.shares_memory(cut.runs[0].samples, block)
