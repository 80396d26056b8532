"""Sources that are computed together hear what each would hear alone, bit for bit, whatever the others do."""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Gap, NominalClock, Piece, Segment, Skipped, Sound, Status
from auricle.features import front_end
from auricle.hearing import engine, pipeline
from auricle.hearing.decision import Smoother
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.stages import batch
from auricle.stages.level import Level
from auricle.stages.pre_emphasis import PreEmphasis
from auricle.stages.stage import Block, Pipeline, Slices, Stage
from helpers.sounds import RATE, varied

GATES = {
    "off": config.Gate(enabled="off"),
    "on": config.Gate(enabled="on", start_up_s=0.5),
    "ahead": config.Gate(enabled="on", start_up_s=0.5, lookahead_frames=3, reduction=0.8),
    "even": config.Gate(enabled="on", start_up_s=0.5, lookahead_frames=5),
    "adapting": config.Gate(enabled="on", start_up_s=0.5, adaptation_s=5.0),
}


@pytest.fixture(scope="module")
def esc10() -> bundle.Bundle:
    """The default model."""
    return bundle.load("esc10")


def together(
    chains: list[list[Stage]], signals: list[Block], sizes: list[int], rng: np.random.Generator
) -> list[Block]:
    """Every source's whole output when they take turns: each round some of them, in some order, in equal blocks."""
    at = [0] * len(signals)
    outs: list[list[Block]] = [[] for _ in signals]
    while any(a < len(s) for a, s in zip(at, signals, strict=True)):
        size = int(rng.choice(sizes))
        ready = [i for i, signal in enumerate(signals) if at[i] + size <= len(signal)]
        if not ready:
            sizes = [1 + min(len(s) - a for a, s in zip(at, signals, strict=True) if a < len(s)) // 2]
            continue
        some = [i for i in rng.permutation(ready).tolist() if rng.random() < 0.9] or ready
        given = batch.Group([chains[i] for i in some]).process(
            np.stack([signals[i][at[i] : at[i] + size] for i in some])
        )
        for i, out in zip(some, given, strict=True):
            outs[i].append(out)
            at[i] += size
    return [np.concatenate(parts) for parts in outs]


@pytest.mark.parametrize("gate", GATES)
def test_sources_computed_together_score_as_alone(esc10: bundle.Bundle, gate: str) -> None:
    """From samples to smoothed scores, through every gate, with sources that lag, begin later and come in any order."""
    decision = config.Decision(hop_ms=40)
    rng = np.random.default_rng(8)
    signals = [varied(4.0 + 0.1 * i, seed=i) for i in range(7)]

    def make() -> Pipeline:
        return Pipeline([pipeline.scorer(esc10, decision, GATES[gate]).stages, pipeline.smoother(esc10, decision)])

    alone = [make().process(signal) for signal in signals]
    given = together([batch.chain(make()) for _ in signals], signals, [640, 640, 640, 1000, 160], rng)
    for whole, parts in zip(alone, given, strict=True):
        assert len(whole) > 20
        np.testing.assert_array_equal(parts, whole, strict=True)


def test_twenty_sources_at_one_pace_score_as_alone(esc10: bundle.Bundle) -> None:
    """More sources than go into one call of the network, one of which is reset midway."""
    decision = config.Decision(hop_ms=40)
    gate = GATES["on"]
    signals = [varied(3.2, seed=20 + i) for i in range(20)]
    pipelines = [pipeline.scorer(esc10, decision, gate).stages for _ in signals]
    alone = [pipeline.scorer(esc10, decision, gate).stages.process(signal) for signal in signals]
    group = batch.Group([batch.chain(each) for each in pipelines])
    outs: list[list[Block]] = [[] for _ in signals]
    for at in range(0, len(signals[0]), 640):
        if at == 640 * 30:
            pipelines[3].reset()
            outs[3].clear()
        for out, given in zip(
            outs, group.process(np.stack([signal[at : at + 640] for signal in signals])), strict=True
        ):
            out.append(given)
    for i, (out, whole) in enumerate(zip(outs, alone, strict=True)):
        if i != 3:
            np.testing.assert_array_equal(np.concatenate(out), whole, strict=True)
    again = pipeline.scorer(esc10, decision, gate)
    learned = pipelines[3].stages[0]
    assert again.front_end.gate is not None
    again.front_end.gate.learned = learned.gate.learned  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.concatenate(outs[3]), again.stages.process(signals[3][640 * 30 :]), strict=True)


@pytest.mark.parametrize(
    "make",
    [lambda: Slices(512, 160), lambda: Slices(3, 7), lambda: Level(2000, 640), lambda: PreEmphasis(0.97)],
)
def test_stages_together_are_stages_alone(make: object) -> None:
    """Slices, levels and differences of several sources, some of them behind the others."""
    rng = np.random.default_rng(9)
    signals = [varied(0.5 + 0.05 * i, seed=i) for i in range(5)]
    assert callable(make)
    alone = [make().process(signal) for signal in signals]
    given = together([[make()] for _ in signals], signals, [640, 100, 7], rng)
    for whole, parts in zip(alone, given, strict=True):
        np.testing.assert_array_equal(parts, whole, strict=True)


@pytest.mark.parametrize("lengths", [[3, 3, 3, 3], [1, 6, 2, 1]], ids=str)
def test_means_together_are_means_alone(lengths: list[int]) -> None:
    """Smoothed scores of several sources, some of them behind the others, whose labels have means of their own."""
    rng = np.random.default_rng(10)
    signals = [rng.random((40 + 3 * i, 4)).astype(np.float32) for i in range(5)]
    alone = [Smoother(lengths).process(signal) for signal in signals]
    given = together([[Smoother(lengths)] for _ in signals], signals, [1, 2, 5], rng)
    for whole, parts in zip(alone, given, strict=True):
        np.testing.assert_array_equal(parts, whole, strict=True)


class Scripted:
    """A source that gives its pieces so many a poll, as its script has it; where the script says 0, it stalls."""

    cleaned = 0
    live = None

    def __init__(self, name: str, pieces: Iterable[Piece], script: Iterable[int]) -> None:
        self.name = name
        self.done = False
        self.failed: tuple[str, int | None] | None = None
        self._pieces, self._script = iter(pieces), iter(script)

    def open(self) -> None:
        """Nothing to open."""

    def poll(self, now_s: float) -> Iterator[Piece]:
        """The next pieces of the script."""
        for _ in range(0 if self.done else next(self._script)):
            piece = next(self._pieces, None)
            if piece is None:
                self.done = True
                return
            yield piece

    def counters(self) -> None:
        return None

    def due_s(self, now_s: float) -> float:
        """At once."""
        return now_s

    def fail(self, reason: str, at: int | None) -> None:
        """Ends, and remembers why."""
        self.failed, self.done = (reason, at), True

    def close(self) -> None:
        """Nothing to close."""


def pieces_of(seed: int) -> list[Piece]:
    """Two segments with a gap between them, in blocks of a hop, some of them longer than what is computed at once."""
    rng = np.random.default_rng(seed)
    sound, clock = varied(6.0, seed=seed), NominalClock(RATE)
    half = 640 * int(rng.integers(80, 110))
    made: list[Piece] = []
    for start, part in ((0, sound[:half]), (half + 5000, sound[half:])):
        made.append(Segment(start, RATE, clock))
        at = 0
        while at < len(part):
            size = 640 if rng.random() < 0.95 else int(rng.integers(0, 9000))
            made.append(Sound(part[at : at + size]))
            at += size
        made.append(End("gap"))
        made.append(Gap(start + len(part), 5000, RATE, "lost", False, clock))
    return [*made, Status("lost", "it was pulled out"), Skipped("a broken file")]


def test_lanes_computed_together_say_what_each_says_alone(esc10: bundle.Bundle) -> None:
    """Twelve sources, one that stalls, one that is behind and one that has ended: every message is as it is alone."""
    cfg = config.load(None, environ={}, overrides={"decision.hop_ms": 40, "gate.enabled": "on", "gate.start_up_s": 0.5})

    def lanes_of(names: range, heard: dict[str, list[Any]]) -> tuple[list[Lane], Publisher]:
        def outlet(topic: str, payload: bytes) -> None:
            message = json.loads(payload)
            varying = ("id", "instance", "seq", "t") if message["type"] == "status" else ("id", "instance", "seq")
            if message["source"] is not None:
                content = {k: v for k, v in message.items() if k not in varying}
                heard.setdefault(message["source"], []).append(content)

        publisher = Publisher("node", [outlet])
        lanes = []
        for i in names:
            pieces = pieces_of(i)[: 20 if i == 5 else None]
            script = itertools.cycle([0] * 40 + [7] if i == 3 else [0, 0, 5, 1] if i == 4 else [1])
            source = Scripted(f"s{i}", pieces, script)
            lanes.append(
                Lane(source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=publisher)
            )
        return lanes, publisher

    together_heard: dict[str, list[Any]] = {}
    lanes, publisher = lanes_of(range(12), together_heard)
    stop = engine.Stop()
    engine.run(lanes, publisher, stop)
    stop.close()
    assert sum(m["type"] == "score" for m in together_heard["s0"]) > 40
    for i in range(12):
        alone: dict[str, list[Any]] = {}
        (lane,), _ = lanes_of(range(i, i + 1), alone)
        Together().feed(lane, pieces_of(i)[: 20 if i == 5 else None])
        lane.close()
        lane.tell("stopped")
        assert together_heard[f"s{i}"] == alone[f"s{i}"]


class Breaking(Level):
    """A level meter that breaks after 90 blocks."""

    left = 90

    def step(self, memory: Any, blocks: Block) -> Block:
        if not self.left:
            raise RuntimeError("a mistake")
        self.left -= 1
        return super().step(memory, blocks)


def test_a_source_that_fails_costs_the_others_nothing(
    esc10: bundle.Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One source breaks in its own reading, another in its stages: both end where they had been heard, the rest hear
    what they hear alone."""
    cfg = config.load(None, environ={}, overrides={"decision.hop_ms": 40, "gate.enabled": "on", "gate.start_up_s": 0.5})
    signal = varied(5.0, seed=3)
    sound = [Sound(signal[at : at + 640]) for at in range(0, len(signal) - 639, 640)]

    def breaking() -> Iterator[Piece]:
        yield Segment(1000, RATE, NominalClock(RATE))
        yield from sound[:90]
        raise OSError("the disk is gone")

    def heard_with(names: Iterable[str]) -> tuple[dict[str, list[Any]], list[Scripted], list[Lane]]:
        heard: dict[str, list[Any]] = {}

        def outlet(topic: str, payload: bytes) -> None:
            message = json.loads(payload)
            if message["source"] is not None and message["type"] != "status":
                varying = ("id", "instance", "seq")
                heard.setdefault(message["source"], []).append({k: v for k, v in message.items() if k not in varying})

        publisher = Publisher("node", [outlet])
        whole = [Segment(1000, RATE, NominalClock(RATE)), *sound, End("end")]
        sources = [
            Scripted(name, breaking() if name == "disk" else whole, itertools.repeat(1)) for name in names
        ]  # fmt: skip
        lanes = [
            Lane(source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=publisher)
            for source in sources
        ]
        for lane in lanes:
            if lane.source.name == "stage":
                monkeypatch.setattr(lane.ear, "kind", "one of its own")  # or those beside it would fail with it
                monkeypatch.setattr(lane.ear, "level", Breaking(lane.ear.stages.span, lane.ear.stages.hop))
        stop = engine.Stop()
        engine.run(lanes, publisher, stop)
        stop.close()
        return heard, sources, lanes

    alone, _, _ = heard_with(["a"])
    heard, sources, lanes = heard_with(["a", "disk", "stage", "b"])
    assert heard["a"] == alone["a"]
    assert [{**m, "source": "a"} for m in heard["b"]] == alone["a"]
    by_name = {source.name: source for source in sources}
    assert by_name["disk"].failed == ("OSError: the disk is gone", 1000 + 90 * 640)
    reason, at = by_name["stage"].failed or ("", 0)
    assert (reason, at) == ("RuntimeError: a mistake", 1000 + 90 * 640)
    assert [lane.counters.heard for lane in lanes][1:3] == [90 * 640, 90 * 640]
    told = [m for m in alone["a"] if m["type"] == "score" and m["sample"] <= 1000 + 90 * 640]
    assert [{**m, "source": "a"} for m in heard["stage"] if m["type"] == "score"] == told
    assert {record.getMessage() for record in caplog.records if record.exc_info} == {
        "disk: failed, the other sources go on", "stage: failed, the other sources go on",
    }  # fmt: skip


def test_a_batch_that_fails_fails_those_in_it(esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was computed together cannot be told apart: each of these sources is told to have failed, once."""
    cfg = config.load(None, environ={}, overrides={"decision.hop_ms": 40})
    publisher = Publisher("node", [])
    pieces = [Segment(0, RATE, NominalClock(RATE)), *[Sound(np.zeros(640, np.float32))] * 3]
    sources = [Scripted(f"s{i}", pieces, itertools.repeat(4)) for i in range(3)]
    lanes = [
        Lane(source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=publisher)
        for source in sources
    ]

    def process(*_: Any) -> list[Block]:
        raise MemoryError("no room")

    monkeypatch.setattr(batch.Group, "process", process)
    stop = engine.Stop()
    engine.run(lanes, publisher, stop)
    stop.close()
    assert [source.failed for source in sources] == [("MemoryError: no room", 0)] * 3


def test_a_further_source_takes_little_memory(esc10: bundle.Bundle) -> None:
    """Every array that a further source keeps, stages, states and rules, comes to well under 2 MB."""
    cfg = config.load(None, environ={}, overrides={"gate.enabled": "on"})
    publisher = Publisher("node", [])
    lanes = []

    def lane(i: int) -> None:
        source = Scripted(f"s{i}", [], [])
        lanes.append(
            Lane(source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=publisher)
        )
        Together().feed(lanes[-1], [Segment(0, RATE, NominalClock(RATE)), Sound(varied(3.0))])

    lane(0)
    tracemalloc.start()
    lane(1)
    before = tracemalloc.get_traced_memory()[0]
    for i in range(2, 12):
        lane(i)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown / 10 < 500_000


@pytest.mark.parametrize("gate", [None, {"noise_profile": varied(1.0, seed=3)}], ids=["plain", "gated"])
def test_front_ends_of_others_together_are_those_alone(gate: dict[str, Any] | None) -> None:
    """Pre-emphasis and frames without their mean, at the FFT's start, with the gate and without."""
    bands = {"kind": "log_mel", "basis": "kaldi", "n_mels": 128, "keep": 107, "fmax": 15_000.0, "offset": 1e-5}

    def make() -> Pipeline:
        return front_end(
            sample_rate=RATE, n_fft=512, win_length=400, hop_length=160, pre_emphasis=0.97, taper="hann_symmetric",
            align="start", remove_dc=True, features=[bands], gate=gate,
        )  # fmt: skip

    rng = np.random.default_rng(12)
    signals = [varied(1.0 + 0.1 * i, seed=40 + i) for i in range(5)]
    alone = [make().process(signal) for signal in signals]
    given = together([batch.chain(make()) for _ in signals], signals, [640, 640, 1000, 7], rng)
    for whole, parts in zip(alone, given, strict=True):
        assert len(whole) > 90
        np.testing.assert_array_equal(parts, whole, strict=True)


def test_in_the_steady_state_no_stage_is_asked_alone(esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources at one pace whose gates have learned share every call: nothing falls back to one after the other."""
    scorers = [pipeline.scorer(esc10, config.Decision(hop_ms=40), GATES["on"]).stages for _ in range(4)]
    smoothed = [Pipeline([each, pipeline.smoother(esc10, config.Decision(hop_ms=40))]) for each in scorers]
    chains = [batch.chain(each) for each in smoothed]
    group = batch.Group(chains)
    signal = varied(4.0)
    for at in range(0, len(signal) - 640, 640):
        if at >= 3 * RATE:
            monkeypatch.setattr(batch, "_apart", None)
        group.process(np.stack([signal[at : at + 640]] * 4))


def test_gates_of_every_sensitivity_share_a_batch(esc10: bundle.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source's own threshold holds in a batch with others', and they are computed in shared calls."""
    sensitivities = (0.5, 1.5, 4.0, 1.5)
    signals = [varied(4.0, seed=i) for i in range(4)]

    def make(sensitivity: float) -> Pipeline:
        gate = config.Gate(enabled="on", start_up_s=0.5, sensitivity=sensitivity)
        return pipeline.scorer(esc10, config.Decision(hop_ms=40), gate).stages

    alone = [make(s).process(signal) for s, signal in zip(sensitivities, signals, strict=True)]
    assert not np.array_equal(make(0.5).process(signals[0]), alone[0]) or not np.array_equal(
        make(4.0).process(signals[0]), alone[0]
    )
    chains = [batch.chain(make(s)) for s in sensitivities]
    group = batch.Group(chains)
    outs: list[list[Block]] = [[] for _ in signals]
    for at in range(0, len(signals[0]), 640):
        if at == 2 * RATE:
            monkeypatch.setattr(batch, "_apart", None)
        blocks = np.stack([signal[at : at + 640] for signal in signals])
        for out, given in zip(outs, group.process(blocks), strict=True):
            out.append(given)
    for out, whole in zip(outs, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(out), whole, strict=True)


def test_recordings_that_begin_at_once_are_not_due_at_once() -> None:
    """Fifty recordings opened together are due spread over a block, each at most a block late."""
    sources = [Recordings(f"s{i}", ["none.wav"], model_rate=RATE, speed=1.0, block_samples=640) for i in range(50)]
    began_s = time.monotonic()
    for source in sources:
        source.open()
    took_s = time.monotonic() - began_s
    due_s = np.sort([source.due_s(began_s) - began_s for source in sources])
    assert due_s[0] >= 0.04
    assert due_s[-1] <= 0.08 + took_s
    # Fifty at random over 40 ms: in every 10 ms of them about a quarter.
    assert np.histogram(due_s - 0.04, bins=4, range=(0, 0.04 + took_s))[0].min() >= 5
