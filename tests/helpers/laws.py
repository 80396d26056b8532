"""The four laws of a stage (`auricle.stages.stage`) stand here as code that any stage can be held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from auricle.stages import batch
from auricle.stages.stage import Block, Stage, count_out, reach_of


class Learner(Stage, Protocol):
    """A stage that keeps something over `reset`."""

    learned: Mapping[str, Any]


def cut(block: Block, sizes: Sequence[int]) -> list[Block]:
    """Cut a signal into blocks of the given sizes, the rest as the last one."""
    edges = np.minimum(np.cumsum([0, *sizes]), len(block))
    pieces = [block[a:b] for a, b in pairwise(edges)]
    return [*pieces, block[edges[-1] :]]


def run(stage: Stage, blocks: Sequence[Block]) -> tuple[Block, list[int]]:
    """Run blocks through a stage; return its output joined, and how many items had come after each block."""
    outs = [stage.process(block).copy() for block in blocks]
    return np.concatenate(outs), list(np.cumsum([len(out) for out in outs]))


def in_groups(stages: Sequence[Stage], signals: Sequence[Block], sizes: Sequence[int]) -> list[Block]:
    """Return each source's whole output when they are asked together, in equal blocks of these sizes, and never all
    alike.

    Each begins at its own time: the second when the first has heard some, and so on. In every round another one stays
    away, or none; the others come in another order. What is left of a signal in the end is heard alone.
    """
    n, at = len(stages), [0] * len(stages)
    outs: list[list[Block]] = [[] for _ in stages]
    for turn, size in enumerate(sizes):
        members = [i for i in range(n) if i != turn % (n + 1) and i <= turn][:: 1 if turn % 2 else -1]
        size = min([size, *(len(signals[i]) - at[i] for i in members)])
        if members:
            given = batch.Group([batch.chain(stages[i]) for i in members]).process(
                np.stack([signals[i][at[i] : at[i] + size] for i in members])
            )
            for i, out in zip(members, given, strict=True):
                outs[i].append(out.copy())
                at[i] += size
    for i, stage in enumerate(stages):
        outs[i].append(stage.process(signals[i][at[i] :]).copy())
    return [np.concatenate(parts) for parts in outs]


def hold_batch(make: Callable[[], Stage], signal: Block, sizes: Sequence[int]) -> None:
    """Assert that the stage obeys *batch*: three of its kind together, each on a signal of its own."""
    signals = [signal, signal[::-1].copy(), np.roll(signal, len(signal) // 3, axis=0)]
    given = in_groups([make() for _ in signals], signals, sizes)
    for out, heard in zip(given, signals, strict=True):
        np.testing.assert_array_equal(out, run(make(), [heard])[0], strict=True)


def hold_reach(make: Callable[[], Stage], signal: Block, whole: Block) -> None:
    """Assert that a stage that says how far its rows reach back gives the same bits where it begins later."""
    stage = make()
    if (reach := reach_of(stage)) is None:
        return
    assert reach >= 1
    warm = max(0, -(-(reach - stage.span) // stage.hop))
    for later in (1, 7, 32):
        out = stage.process(signal[later * stage.hop :])
        wanted = whole[later + warm :]
        np.testing.assert_array_equal(out[warm : warm + len(wanted)], wanted, strict=True)
        assert len(out) == max(0, len(whole) - later)
        stage.reset()


def hold(make: Callable[[], Stage], signal: Block, sizes: Sequence[int], *, whole: Block | None = None) -> None:
    """Assert that the stage obeys *cut*, *count*, *reset* and *batch* on this signal under these cuts, and forgets
    as it says."""
    stage = make()
    blocks = cut(signal, sizes)
    out, counts = run(stage, blocks)
    if whole is None:
        whole, _ = run(make(), [signal])
    np.testing.assert_array_equal(out, whole, strict=True)
    heard = np.cumsum([len(block) for block in blocks])
    assert counts == [count_out(int(n), span=stage.span, hop=stage.hop) for n in heard]
    stage.reset()
    again, _ = run(stage, [signal])
    np.testing.assert_array_equal(again, whole, strict=True)
    hold_reach(make, signal, whole)
    hold_batch(make, signal, sizes)


def hold_learning(make: Callable[[], Learner], signal: Block, sizes: Sequence[int]) -> None:
    """Assert the laws for a stage that learns of the room: *reset* against a new stage with the same ``learned``."""
    stage, other = make(), make()
    blocks = cut(signal, sizes)
    out, counts = run(stage, blocks)
    whole, _ = run(other, [signal])
    np.testing.assert_array_equal(out, whole, strict=True)
    heard = np.cumsum([len(block) for block in blocks])
    assert counts == [count_out(int(n), span=stage.span, hop=stage.hop) for n in heard]
    assert stage.learned.keys() == other.learned.keys()
    for name, array in stage.learned.items():
        np.testing.assert_array_equal(array, other.learned[name], strict=True)
    new = make()
    new.learned = stage.learned
    stage.reset()
    np.testing.assert_array_equal(run(stage, blocks)[0], run(new, [signal])[0], strict=True)
    hold_reach(make, signal, whole)
    hold_batch(make, signal, sizes)
