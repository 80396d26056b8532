"""What is late, on a clock that is computed: an idle machine declares nothing, a slow one loses nothing untold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auricle.capture.live import Live
from auricle.capture.poller import Feed, Poller
from auricle.capture.source import Gap, Sound, Terms, asked_every
from auricle.hearing.engine import IDLE_S
from auricle.hearing.lane import Counters
from auricle.messages import SourceState
from auricle.service.overload import Ladder

RATE = 1000
CHUNK_S = 0.05


class Nobody(Poller):
    """Moves no sound: the test does."""

    def __init__(self) -> None:
        pass

    def add(self, feed: Feed) -> None:
        pass


@dataclass(frozen=True)
class Given:
    """A source: its hop, its ring, what it gives at once at the beginning, and for how long it holds its breath once,
    to give all that at once as well."""

    hop_s: float
    ring_s: float
    burst_s: float = 0.0
    breath_s: float = 0.0


class Pipe(Live):
    """A live source whose sound the test puts into the ring."""

    def __init__(self, name: str, given: Given) -> None:
        block_s = asked_every(given.hop_s, given.ring_s)
        terms = Terms(model_rate=RATE, ring_s=given.ring_s, block_s=block_s, stall_s=60.0)
        super().__init__(name, terms, poller=Nobody())
        self.given = given
        self.feed = Feed(-1, ring_s=given.ring_s)
        self.feed.begin(RATE)
        self.put = 0

    def _launch(self, before: Feed | None) -> tuple[Feed, None]:
        return self.feed, None

    def deliver(self, until_s: float) -> None:
        """What has come by then."""
        burst_s, breath_s = self.given.burst_s, self.given.breath_s
        heard_s = until_s
        if 5.0 <= until_s < 5.0 + breath_s:
            heard_s = 5.0
        while self.put < round((heard_s + burst_s) * RATE) - round(CHUNK_S * RATE):
            # Each at its time, and all at once what had to wait for the consumer's own turn.
            self.feed.put(np.full(round(CHUNK_S * RATE), 0.1, np.float32), round(until_s * 1e9))
            self.feed.heard_ns = round(until_s * 1e9)
            self.put += round(CHUNK_S * RATE)


@dataclass
class Heard:
    """A lane: what it was given, and what the ladder said of it."""

    live: Pipe
    name: str
    state: SourceState = "running"
    counters: Counters = field(default_factory=Counters)
    score_interval_s: float = 0.0
    told: list[SourceState] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def tell(self, state: SourceState, detail: str) -> None:
        self.told.append(state)


def listen(sources: Sequence[Given], *, cost: float, round_s: float = 0.002, for_s: float = 40.0) -> list[Heard]:
    """Hear sources as the engine does, where a second of each one's sound takes ``cost`` seconds."""
    lanes = [Heard(Pipe(f"s{i}", each), f"s{i}") for i, each in enumerate(sources)]
    load = Ladder(lanes)
    now_s = 0.0

    def advance(by_s: float) -> None:
        nonlocal now_s
        end_s = now_s + by_s
        while now_s < end_s:
            now_s = min(now_s + CHUNK_S, end_s)
            for lane in lanes:
                lane.live.deliver(now_s)

    while now_s < for_s:
        began_s = now_s
        for lane in lanes:
            if lane.live.due_s(began_s) <= began_s:
                for piece in lane.live.poll(began_s):
                    if isinstance(piece, Sound):
                        advance(cost * len(piece.samples) / RATE)
                    elif isinstance(piece, Gap):
                        lane.gaps.append(piece)
        advance(round_s)
        load.tick(now_s)
        due_s = min(lane.live.due_s(now_s) for lane in lanes)
        if due_s > now_s:
            advance(min(due_s - now_s, IDLE_S))
    return lanes


@st.composite
def given_sources(draw: st.DrawFn) -> list[Given]:
    """One to four sources. What comes at once fits the ring; a pipe that may wait is read only as far as half of it."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        hop_ms = draw(st.one_of(st.integers(10, 10_000), st.sampled_from([10, 80, 560, 1200, 10_000])))
        ring_s = draw(st.sampled_from([1.0, 2.0, 10.0, 60.0]))
        breath_s = draw(st.floats(0, min(3.0, ring_s / 2)))
        found.append(Given(hop_ms / 1000, ring_s, draw(st.floats(0, min(5.0, ring_s / 2 - 0.1))), breath_s))
    return found


@given(sources=given_sources(), load=st.floats(0.0, 0.2))
@example(sources=[Given(1.2, 10.0)], load=0.02)
@example(sources=[Given(0.56, 10.0), Given(0.08, 10.0)], load=0.02)
@example(sources=[Given(0.08, 10.0, burst_s=4.9)], load=0.02)
@example(sources=[Given(10.0, 1.0)] * 3, load=0.2)
@settings(max_examples=15, deadline=None)
def test_an_idle_machine_declares_nothing(sources: list[Given], load: float) -> None:
    """Whatever the hops, rings, mixes and bursts: no step is taken, and every sample is heard."""
    for lane in listen(sources, cost=load / len(sources), for_s=12.0):
        assert lane.told == []
        assert lane.gaps == []
        waits_s = lane.live.terms.block_s + IDLE_S
        assert lane.live.counters().heard >= lane.live.put - round(waits_s * RATE) - 1


@given(sources=given_sources(), load=st.floats(1.3, 6.0))
@example(sources=[Given(0.08, 10.0)], load=1.3)
@example(sources=[Given(10.0, 1.0)], load=6.0)
@settings(max_examples=12, deadline=None)
def test_a_slow_machine_tells_every_loss(sources: list[Given], load: float) -> None:
    """What was given was heard, waits, or is in a gap that was told, to the sample; and that it is too much is told."""
    lanes = listen(sources, cost=load / len(sources), for_s=40.0)
    for lane in lanes:
        counters = lane.live.counters()
        assert sum(gap.samples for gap in lane.gaps) == counters.lost
        ring = lane.live.feed.ring
        assert ring is not None
        assert counters.heard <= counters.next <= lane.live.put
        assert counters.next + ring.waiting >= lane.live.put - ring.dropped
        assert not counters.lost or "overloaded" in lane.told
    assert any("overloaded" in lane.told for lane in lanes)


def test_what_a_slow_machine_sheds_is_the_oldest() -> None:
    """Three times too slow: the ladder drops by load, and the ring never runs over by itself."""
    (lane,) = listen([Given(0.08, 10.0)], cost=3.0, for_s=40.0)
    assert {gap.cause for gap in lane.gaps} == {"load"}
    assert lane.told[:1] == ["overloaded"]
