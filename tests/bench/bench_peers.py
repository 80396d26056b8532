"""From samples to decisions, beside what else one could use, in one run on one core.

Every round runs all contenders one after the other on the same sound. Shown are the best round, which is what a
contender costs when nothing disturbs it, and ratios of best rounds; all in processor time.

    python tests/bench/bench_peers.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import noisereduce
import numpy as np
import pytest
from numpy.typing import NDArray
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures
from pymicro_wakeword import Model as MicroModel
from pyopen_wakeword import Model as OpenModel
from pyopen_wakeword import OpenWakeWord, OpenWakeWordFeatures

import own_core
from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import NominalClock, Segment, Sound
from auricle.hearing import pipeline
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.model import bundle
from auricle.model.classifier import classifier, window_classifier
from auricle.model.network import Network, quantise
from auricle.publish.publisher import Publisher
from auricle.stages import allocator

RATE, HOP_MS = 16_000, 40
ROUNDS = 7
OVERRIDES = {"gate.enabled": "on", "decision.hop_ms": HOP_MS}

Work = tuple[Callable[[], object], float]
"""A call, and the seconds of sound (or the number of decisions) that it is about."""


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Make noise whose level changes, so that gates open and close."""
    rng = np.random.default_rng(seed)
    level = np.repeat(10.0 ** rng.uniform(-3, -1, int(seconds * 5) + 1), RATE // 5)[: int(seconds * RATE)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def best(contenders: dict[str, Work], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the processor time per unit of each contender in its best round."""
    found = {name: float("inf") for name in contenders}
    for call, _ in contenders.values():
        call()
    for _ in range(rounds):
        for name, (call, units) in contenders.items():
            begin = time.thread_time()
            call()
            found[name] = min(found[name], (time.thread_time() - begin) / units)
    return found


def _lane(model: bundle.Bundle, cfg: config.Config, *, tell_scores: bool) -> Lane:
    source = Recordings("bench", [], model_rate=RATE)
    publisher = Publisher("bench", [lambda topic, payload: None])
    lane = Lane(
        source,
        model,
        decision=cfg.decision,
        gate=cfg.gate,
        publish=cfg.publish,
        publisher=publisher,
        tell_scores=tell_scores,
    )
    lane.take(Segment(0, RATE, NominalClock(RATE)))
    Together().feed(lane, map(Sound, np.split(sound(4.0, seed=1), 100)))
    return lane


def daemon(model: bundle.Bundle, y: NDArray[np.float32], block: int, *, tell_scores: bool) -> Work:
    """Build a lane of the daemon: gate, features, network, rules, and the message of every decision if asked for."""
    lane = _lane(model, config.load(None, environ={}, overrides=OVERRIDES), tell_scores=tell_scores)
    blocks = [y[i : i + block] for i in range(0, len(y), block)]
    together = Together()
    return (lambda: together.feed(lane, map(Sound, blocks))), len(y) / RATE


def micro(y: NDArray[np.float32], block: int) -> Work:
    """Build microWakeWord: C++ features, stateful int8 network for one word."""
    features, word = MicroWakeWordFeatures(), MicroWakeWord.from_builtin(MicroModel.OKAY_NABU)
    pcm = (y * 32767).astype(np.int16)
    blocks = [pcm[i : i + block].tobytes() for i in range(0, len(pcm), block)]

    def run() -> None:
        for each in blocks:
            for row in features.process_streaming(each):
                word.process_streaming(row)

    return run, len(y) / RATE


def open_wake_word(y: NDArray[np.float32], block: int) -> Work:
    """Build openWakeWord: melspectrogram, embedding and classifier for one word, in the C runtime."""
    features, word = OpenWakeWordFeatures.from_builtin(), OpenWakeWord.from_builtin(OpenModel.OKAY_NABU)
    pcm = (y * 32767).astype(np.int16)
    blocks = [pcm[i : i + block].tobytes() for i in range(0, len(pcm), block)]

    def run() -> None:
        for each in blocks:
            for embedding in features.process_streaming(each):
                list(word.process_streaming(embedding))

    return run, len(y) / RATE


def per_window(model: bundle.Bundle, y: NDArray[np.float32], decisions: int) -> Work:
    """Build what is usual: at every decision noisereduce, librosa and the network over the whole window anew."""
    card, network = model.card, Network(model.card, model.whole, "model.tflite")
    span = card.front_end.n_fft + (card.timing.window_frames - 1) * card.front_end.hop_length
    noise = sound(2.0, seed=2) * np.float32(0.01)
    hop = RATE * HOP_MS // 1000
    (feature,) = card.front_end.features
    frames = {"sr": RATE, "n_fft": card.front_end.n_fft, "hop_length": card.front_end.hop_length}

    def decide(window: NDArray[np.float32]) -> Any:
        clean = noisereduce.reduce_noise(y=window, y_noise=noise, stationary=True, **frames)
        bands = {name: feature[name] for name in ("n_mels", "fmin", "fmax")}
        mel = librosa.feature.melspectrogram(
            y=clean, win_length=card.front_end.win_length, center=False, **bands, **frames
        )
        rows = librosa.power_to_db(mel, top_db=None).T.astype(np.float32)
        return network(quantise(rows[: card.timing.window_frames], card.quantisation.input))

    windows = [y[i * hop : i * hop + span] for i in range(decisions)]
    return (lambda: [decide(window) for window in windows]), decisions * HOP_MS / 1000


def floor(model: bundle.Bundle, seconds: float) -> dict[str, Work]:
    """Build what no arrangement of these parts can go below: numpy's FFT and the network's own arithmetic."""
    card = model.card.front_end
    assert model.network is not None
    n = 32
    frames = np.random.default_rng(0).standard_normal((n, card.n_fft)).astype(np.float32)
    rows = np.zeros((1, n, model.card.input.shape[1]), np.int8)
    state = [model.network.begin()]
    model.network(rows, state)
    interpreter = model.network.interpreter(1, n)
    calls = int(seconds * card.sample_rate / card.hop_length / n)
    return {
        "  floor: numpy's rfft of 32 frames a call": (
            lambda: [np.fft.rfft(frames) for _ in range(calls)],
            calls * n * card.hop_length / card.sample_rate,
        ),
        "  floor: the network's arithmetic, 32 frames a call": (
            lambda: [interpreter.invoke() for _ in range(calls)],
            calls * n * card.hop_length / card.sample_rate,
        ),
    }


def throughput(model: bundle.Bundle) -> dict[str, float]:
    """Measure the seconds of processor time a second of sound."""
    y, hop = sound(20.0), RATE * HOP_MS // 1000
    return best(
        {
            "auricle, long blocks, as replay": daemon(model, y, 5120, tell_scores=False),
            "auricle, a hop of 40 ms at a time, as live": daemon(model, y, hop, tell_scores=True),
            "microWakeWord, a hop of 40 ms at a time": micro(y, hop),
            "microWakeWord, long blocks": micro(y, 5120),
            "openWakeWord, 80 ms at a time": open_wake_word(y[: 4 * RATE], 1280),
            "noisereduce + librosa + network, a window a hop": per_window(model, y, 5),
            **floor(model, 20.0),
        }
    )


def per_decision(model: bundle.Bundle) -> dict[str, float]:
    """Measure the seconds of processor time a decision of the network, at a decision hop of 40 ms, one hop of rows at a
    time."""
    hop = model.card.timing.stride_frames
    cfg = config.load(None, environ={}, overrides=OVERRIDES)
    rows = pipeline.front_end_of(model, cfg.gate).process(sound(12.0))
    ways = {"stateful": classifier(model, hop), "whole window": window_classifier(model, hop)}
    blocks = [rows[i : i + hop] for i in range(0, len(rows) - hop, hop)]

    def run(way: Any) -> Callable[[], object]:
        return lambda: [way.process(block) for block in blocks]

    return best({name: (run(way), len(blocks)) for name, way in ways.items()})


def measure() -> list[str]:
    """Write the tables as lines of Markdown."""
    allocator.keep_freed()
    model = bundle.load("esc10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        costs = throughput(model)
    reference = costs["microWakeWord, a hop of 40 ms at a time"]
    lines = ["| from samples to decisions | times real time | against microWakeWord |", "|-|-:|-:|"]
    lines += [f"| {name.strip()} | {1 / cost:.0f} | {reference / cost:.2f} |" for name, cost in costs.items()]
    ways = per_decision(model)
    lines += ["", "| the network alone, a decision every 40 ms | us a decision | ratio |", "|-|-:|-:|"]
    lines += [f"| {name} | {1e6 * cost:.0f} | {cost / ways['stateful']:.1f} |" for name, cost in ways.items()]
    return lines


@pytest.mark.bench
def test_peers() -> None:
    """At full speed twice microWakeWord's whole pipeline; a stateful decision ten times cheaper than a window's."""
    allocator.keep_freed()
    model = bundle.load("esc10")
    costs = best(
        {
            "auricle": daemon(model, sound(20.0), 5120, tell_scores=False),
            "micro": micro(sound(20.0), RATE * HOP_MS // 1000),
        }
    )
    ways = per_decision(model)
    print(f"\nagainst microWakeWord {costs['micro'] / costs['auricle']:.2f}")
    print(f"whole window against stateful {ways['whole window'] / ways['stateful']:.1f}")
    assert costs["micro"] / costs["auricle"] >= 2
    assert ways["whole window"] / ways["stateful"] >= 10


if __name__ == "__main__":
    print(f"on {own_core.take()}\n")
    print("\n".join(measure()))
    print(f"\n{Path(__file__).name}: best of {ROUNDS} rounds, processor time")
