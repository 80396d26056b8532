"""Sources that are computed together hear what each would hear alone, bit for bit, whatever the others do."""

from __future__ import annotations

import numpy as np
import pytest

from auricle import batch, bundle, config, pipeline
from auricle.level import Level
from auricle.stage import Block, Pipeline, Slices, Stage
from sounds import varied

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
        given = batch.process([chains[i] for i in some], np.stack([signals[i][at[i] : at[i] + size] for i in some]))
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
    chains = [batch.chain(each) for each in pipelines]
    outs: list[list[Block]] = [[] for _ in signals]
    for at in range(0, len(signals[0]), 640):
        if at == 640 * 30:
            pipelines[3].reset()
            outs[3].clear()
        for out, given in zip(
            outs, batch.process(chains, np.stack([signal[at : at + 640] for signal in signals])), strict=True
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


@pytest.mark.parametrize("make", [lambda: Slices(512, 160), lambda: Slices(3, 7), lambda: Level(2000, 640)])
def test_stages_together_are_stages_alone(make: object) -> None:
    """Slices and levels of several sources, some of them behind the others."""
    rng = np.random.default_rng(9)
    signals = [varied(0.5 + 0.05 * i, seed=i) for i in range(5)]
    assert callable(make)
    alone = [make().process(signal) for signal in signals]
    given = together([[make()] for _ in signals], signals, [640, 100, 7], rng)
    for whole, parts in zip(alone, given, strict=True):
        np.testing.assert_array_equal(parts, whole, strict=True)
