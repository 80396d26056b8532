"""`auricle bench` measures what this machine can carry with this configuration, on sound made for it."""

from __future__ import annotations

import dataclasses
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import NominalClock, Segment, Sound
from auricle.hearing import pipeline
from auricle.hearing.ear import Ear
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from auricle.service import logs
from auricle.stages.stage import Stage
from auricle.terminal import options
from auricle.terminal.options import ConfigFile, Json, ModelName

SHARE = 0.8
"""The share of a core that live sources may fill: the rest is for the system, and for ticks that come late."""
TOGETHER = 32
"""How many live sources are measured together."""
LIGHT = 0.1
"""The share of a core that the configured sources should cost at the decision hop suggested."""
_WARM_S = 6.0
"""How much sound is heard before anything is measured: then the gate has learned, the window is full, the caches are
warm."""


class StageCost(msgspec.Struct, tag="stage", tag_field="measure"):
    """Says what a stage costs, in microseconds a decision hop: with one hop a call as live, with long calls as in
    replay."""

    stage: str
    live_us: float
    replay_us: float


class HopCost(msgspec.Struct, tag="hop", tag_field="measure"):
    """Says what live sources cost at a decision hop, from sample to encoded message, and how many one core holds."""

    hop_ms: float
    one_us: float
    """The cost of a single source, microseconds a decision."""
    together_us: float
    """The cost of each of several that are computed together."""
    sources: int
    """How many live sources fill four fifths of a core, each with a decision a hop."""


class Carries(msgspec.Struct, tag="carries", tag_field="measure"):
    """Says what this machine can carry: recordings on one core, and live sources as configured."""

    model: str
    gate: bool
    replay_x_real_time: float
    configured_hop_ms: float
    configured_sources: int
    cpu_percent: float
    """How much of one core the configured sources take."""
    suggested_hop_ms: float


def command(
    json: Json = False,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of sound for every measurement.")] = 10.0,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Measure what the machine can carry, as configured; return the exit code."""
    cfg = options.load(config, model)
    logs.set_up(cfg.log, least="error")
    return bench(cfg, options.model_of(cfg), seconds=seconds, json=json)


def bench(cfg: config.Config, bundle: Bundle, *, seconds: float, json: bool) -> int:
    """Measure and print what the machine can carry; return the exit code.

    Args:
        seconds: of sound for every measurement.
    """
    hop_ms = pipeline.hop_ms(cfg.decision, bundle)
    n_sources = max(1, len(cfg.sources))
    stages = _stages(cfg, bundle, seconds)
    hops = [_hop(cfg, bundle, hop, seconds) for hop in sorted({hop_ms, *_hops(bundle)})]
    by_hop = {each.hop_ms: each for each in hops}
    light = (each.hop_ms for each in hops if n_sources * _cost_us(each, n_sources) <= LIGHT * 1000 * each.hop_ms)
    carries = Carries(
        model=bundle.card.name,
        gate=pipeline.gated(bundle, cfg.gate),
        replay_x_real_time=round(_replay(cfg, bundle, seconds), 1),
        configured_hop_ms=hop_ms,
        configured_sources=n_sources,
        cpu_percent=round(n_sources * _cost_us(by_hop[hop_ms], n_sources) / (10 * hop_ms), 3),
        suggested_hop_ms=next(light, hops[-1].hop_ms),
    )
    if json:
        for measured in (*stages, *hops, carries):
            print(msgspec.json.encode(measured).decode(), flush=True)
    else:
        print("\n".join(_lines(stages, hops, carries)))
    return 0


def _cost_us(hop: HopCost, n_sources: int) -> float:
    return hop.one_us if n_sources == 1 else hop.together_us


def _lines(stages: Sequence[StageCost], hops: Sequence[HopCost], carries: Carries) -> Iterator[str]:
    hop_ms, gate = carries.configured_hop_ms, "with" if carries.gate else "without"
    yield f"model {carries.model}, {gate} the noise gate, on one core"
    yield ""
    yield f"{f'us per decision hop of {hop_ms:g} ms':32}{'live':>9}{'replay':>9}"
    for stage in stages:
        yield f"  {stage.stage:30}{stage.live_us:9.1f}{stage.replay_us:9.1f}"
    live, replay = (sum(getattr(stage, name) for stage in stages) for name in ("live_us", "replay_us"))
    yield f"  {'all':30}{live:9.1f}{replay:9.1f}"
    yield ""
    yield f"{'decision hop':>14}{'one source':>16}{'of several':>16}{'live sources a core':>24}"
    for hop in hops:
        yield f"{hop.hop_ms:11g} ms{hop.one_us:13.0f} us{hop.together_us:13.0f} us{hop.sources:20d}"
    yield ""
    yield f"recordings at full speed: {carries.replay_x_real_time:.0f} times real time"
    many = f"{carries.configured_sources} live source{'s' if carries.configured_sources > 1 else ''}"
    yield f"{many} at {hop_ms:g} ms: {carries.cpu_percent:.2f} % of a core"
    yield f"suggested decision.hop_ms: {carries.suggested_hop_ms:g}, the shortest for at most {LIGHT:.0%} of a core"


def _hops(bundle: Bundle) -> list[float]:
    """Return the decision hops to measure, in ms: the model's step, and its doubles up to half a second."""
    hop_ms = 1000 * bundle.card.step_samples / bundle.card.front_end.sample_rate
    hops = []
    while hop_ms <= 500:
        if hop_ms >= 20:
            hops.append(hop_ms)
        hop_ms *= 2
    return hops


def _sound(seconds: float, rate: int, seed: int) -> NDArray[np.float32]:
    """Make noise whose level changes five times a second, so that the gate opens and closes."""
    rng = np.random.default_rng(seed)
    level = np.repeat(10.0 ** rng.uniform(-3, -1, int(seconds * 5) + 1), rate // 5)[: int(seconds * rate)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def _blocks(samples: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    for at in range(0, len(samples) - size + 1, size):
        yield samples[at : at + size]


def _stages(cfg: config.Config, bundle: Bundle, seconds: float) -> list[StageCost]:
    hop = pipeline.samples(pipeline.hop_ms(cfg.decision, bundle), bundle)
    long = max(1, pipeline.block_samples(bundle) // hop) * hop
    names: list[str] = []
    costs = []
    for size in (hop, long):
        ear = Ear(bundle, cfg.decision, cfg.gate, cfg.publish)
        names = [*map(_name, ear.chain), "level"]
        costs.append([us * hop / size for us in _medians(ear, size, bundle, seconds)])
    return [StageCost(name, round(live, 2), round(replay, 2)) for name, live, replay in zip(names, *costs, strict=True)]


def _medians(ear: Ear, size: int, bundle: Bundle, seconds: float) -> list[float]:
    """Measure the microseconds a call of every stage, and of the level meter beside them."""
    rate = bundle.card.front_end.sample_rate
    taken: list[list[float]] = []
    for block in _blocks(_sound(_WARM_S + seconds, rate, 0), size):
        began = time.perf_counter()
        row, out = [], block
        for stage in ear.chain:
            out = stage.process(out)
            now = time.perf_counter()
            row.append(now - began)
            began = now
        ear.level.process(block)
        row.append(time.perf_counter() - began)
        taken.append(row)
    return [1e6 * statistics.median(calls) for calls in zip(*taken[int(_WARM_S * rate / size) :], strict=True)]


def _name(stage: Stage) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(stage).__name__.strip("_")).lower()


def _hop(cfg: config.Config, bundle: Bundle, hop_ms: float, seconds: float) -> HopCost:
    one, together = (_live(cfg, bundle, hop_ms, n, seconds) for n in (1, TOGETHER))
    return HopCost(hop_ms, round(one, 1), round(together, 1), int(SHARE * 1000 * hop_ms / together))


def _live(cfg: config.Config, bundle: Bundle, hop_ms: float, n_sources: int, seconds: float) -> float:
    """Measure the microseconds a source and hop of so many sources that are heard together, at the pace of live sound.

    Once the gate has learned, every tick begins where the last one's hop is over: what the caches have lost meanwhile
    costs more than the arithmetic, and a loop without pauses would not see it.
    """
    decision = dataclasses.replace(cfg.decision, hop_ms=hop_ms)
    rate, hop = bundle.card.front_end.sample_rate, pipeline.samples(hop_ms, bundle)
    lanes = [_lane(cfg, bundle, decision, tell_scores=True) for _ in range(n_sources)]
    sounds = [_blocks(_sound(_WARM_S + seconds, rate, seed), hop) for seed in range(n_sources)]
    ticks: list[float] = []
    together = Together()
    warm, next_s = int(_WARM_S * rate / hop), time.monotonic()
    for blocks in zip(*sounds, strict=True):
        if len(ticks) >= warm:
            time.sleep(max(0.0, next_s - time.monotonic()))
        next_s = time.monotonic() + hop_ms / 1000
        began = time.thread_time()
        for lane, block in zip(lanes, blocks, strict=True):
            lane.take(Sound(block, time.monotonic()))
        while lanes[0].waiting is not None:
            together.hear(lanes, time.monotonic())
        ticks.append(time.thread_time() - began)
    return 1e6 * statistics.median(ticks[warm:]) / n_sources


def _replay(cfg: config.Config, bundle: Bundle, seconds: float) -> float:
    """Measure how many times real time a recording is heard at full speed, once it is read."""
    rate, size = bundle.card.front_end.sample_rate, pipeline.block_samples(bundle)
    lane = _lane(cfg, bundle, cfg.decision, tell_scores=False)
    together = Together()
    taken = []
    for block in _blocks(_sound(_WARM_S + 4 * seconds, rate, 0), size):
        began = time.thread_time()
        together.feed(lane, (Sound(block),))
        taken.append(time.thread_time() - began)
    return size / rate / statistics.median(taken[int(_WARM_S * rate / size) :])


def _lane(cfg: config.Config, bundle: Bundle, decision: config.Decision, *, tell_scores: bool) -> Lane:
    rate = bundle.card.front_end.sample_rate
    publisher = Publisher(cfg.node, [lambda topic, payload: None])
    source = Recordings("bench", [], model_rate=rate)
    lane = Lane(
        source,
        bundle,
        decision=decision,
        gate=cfg.gate,
        publish=cfg.publish,
        publisher=publisher,
        tell_scores=tell_scores,
    )
    lane.take(Segment(0, rate, NominalClock(rate)))
    return lane
