"""The ring: every sample offered comes out once, in its place, or is counted as lost in its place."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.capture.ring import CAUSES, Lost, Ring, Run

write = st.tuples(st.just("write"), st.integers(0, 40))
lose = st.tuples(st.just("lose"), st.integers(1, 50), st.sampled_from(CAUSES), st.booleans())
read = st.tuples(st.just("read"), st.integers(1, 8), st.none() | st.integers(1, 30))
skip = st.tuples(st.just("skip"), st.integers(0, 30))


@dataclass
class Ledger:
    """What must have become of every sample, kept the plain way: its fate, index by index."""

    capacity: int
    fates: list[tuple[str, bool] | None] = field(default_factory=list)  # None: heard
    waiting: int = 0
    next: int = 0

    def write(self, ring: Ring, n: int) -> None:
        first = len(self.fates)
        fits = ring.write(np.arange(first, first + n, dtype=np.float32), first + n)
        assert fits == min(n, self.capacity - self.waiting)
        self.waiting += fits
        self.fates += [None] * fits + [("overrun", False)] * (n - fits)

    def lose(self, ring: Ring, n: int, cause: str, estimated: bool) -> None:
        ring.lose(n, cause, estimated=estimated)
        self.fates += [(cause, estimated)] * n

    def took(self, item: Run | Lost) -> None:
        """Hold one thing that came out against the fates of its samples."""
        assert item.start == self.next
        if isinstance(item, Run):
            n = len(item.samples)
            np.testing.assert_array_equal(item.samples, np.arange(item.start, item.start + n, dtype=np.float32))
            assert item.delivered_ns >= item.start + n
            assert self.fates[item.start : item.start + n] == [None] * n
            self.waiting -= n
        elif item.cause == "load" and self.fates[item.start] is None:
            n = item.samples
            assert self.fates[item.start : item.start + n] == [None] * n
            self.waiting -= n
        else:
            n = item.samples
            assert self.fates[item.start : item.start + n] == [(item.cause, item.estimated)] * n
        assert n > 0
        self.next += n


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 60), st.lists(write | lose | read | skip, max_size=60))
def test_the_ledger_adds_up_under_any_interleaving(capacity: int, steps: list[tuple]) -> None:
    """Whatever the order of writing, losing, reading and skipping: every index comes out once, with its true fate."""
    ring = Ring(capacity)
    ledger = Ledger(capacity)
    for what, *arguments in steps:
        if what == "write":
            ledger.write(ring, *arguments)
        elif what == "lose":
            ledger.lose(ring, *arguments)
        elif what == "read":
            hop, limit = arguments
            item = ring.read(hop, limit)
            if isinstance(item, Run):
                cut = item.start + len(item.samples)
                final = cut < len(ledger.fates) and ledger.fates[cut] is not None
                assert len(item.samples) % hop == 0 or final, "a part of a hop, and more sound to follow"
                assert limit is None or len(item.samples) <= max(limit, hop)
            if item is not None:
                ledger.took(item)
        elif (dropped := ring.skip(*arguments)) is not None:
            assert dropped.cause != "load" or ledger.fates[dropped.start] is not None or dropped.samples <= arguments[0]
            ledger.took(dropped)
        assert ring.waiting == ledger.waiting
    while (item := ring.read()) is not None:
        ledger.took(item)
    if (item := ring.unsettled()) is not None:
        ledger.took(item)
    assert ledger.next == len(ledger.fates)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.booleans()), max_size=40), st.integers(1, 3))
def test_losses_that_find_no_room_merge_and_are_still_counted(steps: list[tuple[int, int, bool]], losses: int) -> None:
    """With room for one to three losses, sound is dropped rather than a loss forgotten: the total is exact."""
    ring = Ring(1000, losses=losses)
    offered = 0
    taken = 0
    for n, lost, reading in steps:
        ring.write(np.arange(offered, offered + n, dtype=np.float32), 0)
        ring.lose(lost, "overflow", estimated=True)
        offered += n + lost
        if reading and (item := ring.read()) is not None:
            taken += len(item.samples) if isinstance(item, Run) else item.samples
    while (item := ring.read() or ring.unsettled()) is not None:
        assert item.start == taken
        if isinstance(item, Run):
            assert item.samples[0] == item.start
        taken += len(item.samples) if isinstance(item, Run) else item.samples
    assert taken == offered


def test_a_full_ring_drops_the_newest_and_merges_what_touches() -> None:
    """Three writes into a full ring are one loss at the exact place; the sound before it stays."""
    ring = Ring(10)
    assert ring.write(np.arange(12, dtype=np.float32), 1) == 10
    assert ring.write(np.arange(12, 15, dtype=np.float32), 2) == 0
    assert ring.dropped == 5
    run = ring.read()
    assert isinstance(run, Run)
    np.testing.assert_array_equal(run.samples, np.arange(10))
    assert run.delivered_ns == 1
    assert ring.read() is None, "the loss is still growing"
    assert ring.write(np.arange(15, 17, dtype=np.float32), 3) == 2
    assert ring.read() == Lost(10, 5, "overrun", False)
    run = ring.read()
    assert isinstance(run, Run)
    assert (run.start, run.delivered_ns) == (15, 3)


def test_whole_hops_wait_for_their_end_but_not_beyond_a_loss() -> None:
    """A part of a hop waits for the rest; before a loss it is given, for nothing will complete it."""
    ring = Ring(100)
    ring.write(np.zeros(25, np.float32), 0)
    run = ring.read(10)
    assert isinstance(run, Run)
    assert len(run.samples) == 20
    assert ring.read(10) is None
    ring.lose(7, "lost", estimated=True)
    assert ring.read(10) is None, "a loss shows with the first sample after it"
    ring.write(np.zeros(10, np.float32), 0)
    run = ring.read(10)
    assert isinstance(run, Run)
    assert (run.start, len(run.samples)) == (20, 5)
    assert ring.read(10) == Lost(25, 7, "lost", True)
    run = ring.read(10)
    assert isinstance(run, Run)
    assert (run.start, len(run.samples)) == (32, 10)


def test_each_run_knows_when_its_last_sample_was_delivered() -> None:
    """The time is that of the write which brought the run's last sample, however reads and writes are cut."""
    ring = Ring(100)
    for i in range(5):
        ring.write(np.zeros(10, np.float32), 100 + i)
    for limit, delivered in ((5, 100), (5, 100), (11, 102), (9, 102), (1, 103), (19, 104)):
        run = ring.read(limit=limit)
        assert isinstance(run, Run)
        assert (len(run.samples), run.delivered_ns) == (limit, delivered)


def test_writing_allocates_nothing() -> None:
    """A thousand writes, a full ring and losses included, leave no memory behind and never copy the block."""
    ring = Ring(4000)
    block = np.ones(480, np.float32)
    ring.write(block, 1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for i in range(1000):
            ring.write(block, i)
            ring.lose(3, "overflow")
            if i % 20 == 0:
                ring.skip(4000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1000
    assert peak - before < block.nbytes, "a copy of the block was made"


@pytest.mark.parametrize("capacity", [700, 20_000])
def test_a_real_second_thread_writes_what_the_reader_hears(capacity: int) -> None:
    """With a writer in its own thread, every sample comes out once, in order and unchanged, or is counted as lost."""
    ring = Ring(capacity)
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 400, 30_000).tolist()
    losses = np.where(rng.random(30_000) < 0.02, rng.integers(1, 300, 30_000), 0).tolist()
    total = sum(sizes) + sum(losses)

    def writer() -> None:
        at = 0
        for size, lost in zip(sizes, losses, strict=True):
            ring.lose(lost, "overflow", estimated=True)
            at += lost
            ring.write(np.arange(at, at + size, dtype=np.float32), at + size)
            at += size

    heard = lost = at = while_writing = 0
    thread = threading.Thread(target=writer)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        while True:
            alive = thread.is_alive()
            item = ring.read(16)
            if item is None:
                if not alive:
                    break
                continue
            while_writing += alive
            assert item.start == at
            if isinstance(item, Run):
                np.testing.assert_array_equal(item.samples, np.arange(at, at + len(item.samples), dtype=np.float32))
                heard += len(item.samples)
                at += len(item.samples)
                assert item.delivered_ns >= at
            else:
                assert item.cause in ("overrun", "overflow")
                lost += item.samples
                at += item.samples
    finally:
        thread.join()
        sys.setswitchinterval(interval)
    for item in iter(ring.read, None):
        assert isinstance(item, Run)
        heard += len(item.samples)
    if (item := ring.unsettled()) is not None:
        lost += item.samples
    assert heard > 0
    assert while_writing > 20, "the two threads hardly met"
    assert heard + lost == total
    assert lost == ring.dropped + sum(losses)
