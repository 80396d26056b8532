"""Live and replay are one thing: the same scores and events, bit for bit, however the sound is cut and carried."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.ring import Ring, Run
from auricle.capture.source import End, NominalClock, Piece, Segment, Sound
from auricle.commands.synth import scene
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.hearing.whole import Classifier
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from helpers.sounds import RATE, varied, write

VARYING = ("id", "instance", "seq", "latency_ms")
"""What may differ between two hearings of the same sound."""


@pytest.fixture(scope="module")
def esc10() -> bundle.Bundle:
    """The default model."""
    return bundle.load("esc10")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A scene with events, then noise."""
    samples, _ = scene(["rain", "clock_tick"], RATE, sound_s=3.0, pause_s=1.0)
    return np.concatenate((samples, varied(2.0)))


def hear(pieces: Iterator[Piece], esc10: bundle.Bundle) -> list[dict[str, Any]]:
    """The messages that these pieces make, without what may vary."""
    heard: list[dict[str, Any]] = []

    def outlet(topic: str, payload: bytes) -> None:
        if topic.startswith(("event.", "score.")):
            message = json.loads(payload)
            heard.append({"topic": topic, **{k: v for k, v in message.items() if k not in VARYING}})

    source = Recordings("test", [], model_rate=RATE)
    cfg = config.load(None, environ={}, overrides={"decision.threshold": 0.5, "decision.min_duration_ms": 100})
    lane = Lane(
        source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=Publisher("node", [outlet])
    )
    Together().feed(lane, pieces)
    return heard


def cut(sound: np.ndarray, sizes: Iterator[int]) -> Iterator[Piece]:
    """One segment in blocks of these sizes."""
    yield Segment(0, RATE, NominalClock(RATE))
    at = 0
    for size in sizes:
        if at >= len(sound):
            break
        yield Sound(sound[at : at + size])
        at += size
    yield End("end")


def test_every_block_size_gives_the_same_messages(esc10: bundle.Bundle, sound: np.ndarray) -> None:
    """From blocks of one sample to the whole file at once: the same scores and events, bit for bit."""

    def forever(size: int) -> Iterator[int]:
        while True:
            yield size

    def ragged() -> Iterator[int]:
        rng = np.random.default_rng(5)
        while True:
            yield int(rng.integers(0, 9000))

    whole = hear(cut(sound, forever(len(sound))), esc10)
    assert {m["type"] for m in whole} == {"event", "score"}
    assert len(whole) > 50
    for sizes in (forever(160), forever(1280), forever(5000), forever(77), ragged()):
        assert hear(cut(sound, sizes), esc10) == whole
    short = sound[: 3 * RATE]
    assert hear(cut(short, forever(1)), esc10) == hear(cut(short, forever(len(short))), esc10)


def test_through_the_ring_and_a_second_thread_nothing_changes(esc10: bundle.Bundle, sound: np.ndarray) -> None:
    """Sound written into the ring by a real second thread is heard as if it came straight from the file."""
    ring = Ring(RATE)
    sent = np.arange(0, len(sound), 160)

    def write_all() -> None:
        for start in sent:
            while ring.capacity - ring.waiting < 160:
                threading.Event().wait(0.0002)
            ring.write(sound[start : start + 160], time.monotonic_ns())

    def pieces() -> Iterator[Piece]:
        yield Segment(0, RATE, NominalClock(RATE))
        heard = 0
        while heard < len(sound):
            got = ring.read(1)
            if isinstance(got, Run):
                heard += len(got.samples)
                yield Sound(got.samples.copy())
        yield End("end")

    writer = threading.Thread(target=write_all)
    writer.start()
    through_ring = hear(pieces(), esc10)
    writer.join()
    assert through_ring == hear(cut(sound, iter([len(sound)])), esc10)


def test_a_file_is_heard_the_same_at_any_rate_of_reading(
    esc10: bundle.Bundle, tmp_path: Path, sound: np.ndarray
) -> None:
    """Through the file source too, block lengths and pace change nothing."""
    path = write(tmp_path / "scene.wav", sound, subtype="FLOAT")

    def pieces(block_samples: int, speed: float | None) -> Iterator[Piece]:
        source = Recordings("test", [str(path)], model_rate=RATE, speed=speed, block_samples=block_samples)
        source.open()
        now_s = time.monotonic()
        while not source.done:
            now_s += 0.05  # a clock of our own: nobody waits
            yield from source.poll(now_s)

    whole = hear(pieces(5120, None), esc10)
    assert len(whole) > 50
    assert hear(pieces(160, None), esc10) == whole
    # At a pace, messages tell how late they are; everything else is the same.
    assert hear(pieces(1280, 1.0), esc10) == whole


def test_replay_agrees_with_classify(esc10: bundle.Bundle, tmp_path: Path, sound: np.ndarray) -> None:
    """The scores that replay smooths are those that classify averages: one pipeline serves both."""
    path = write(tmp_path / "scene.wav", sound, subtype="FLOAT")
    rows, _, padded = Classifier(esc10, config.Decision(), config.Gate()).scores(str(path))
    assert not padded
    cfg = config.load(None, environ={}, overrides={"decision.smoothing_ms": 0})
    heard: list[list[float]] = []
    together = Together()

    def outlet(topic: str, payload: bytes) -> None:
        if topic.startswith("score."):
            heard.append(list(json.loads(payload)["scores"].values()))

    source = Recordings("test", [str(path)], model_rate=RATE, speed=None)
    lane = Lane(
        source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=Publisher("node", [outlet])
    )
    source.open()
    while not source.done:
        together.feed(lane, source.poll(0.0))
    np.testing.assert_array_equal(np.float32(heard), np.round(rows.astype(np.float64), 6).astype(np.float32))


def test_a_files_verdict_does_not_depend_on_the_files_before_it(esc10: bundle.Bundle, tmp_path: Path) -> None:
    """classify begins every file from the same state."""
    a = write(tmp_path / "a.wav", varied(3.0, seed=1))
    b = write(tmp_path / "b.wav", varied(3.0, seed=2))
    classifier = Classifier(esc10, config.Decision(), config.Gate())
    alone = Classifier(esc10, config.Decision(), config.Gate()).verdict(str(b))
    classifier.verdict(str(a))
    assert classifier.verdict(str(b)) == alone


def test_a_short_file_is_repeated_to_a_window(esc10: bundle.Bundle, tmp_path: Path) -> None:
    """A file shorter than the window is what the same sound repeated by hand would be, and says that it was padded."""
    short = varied(0.7)
    classifier = Classifier(esc10, config.Decision(), config.Gate())
    verdict = classifier.verdict(str(write(tmp_path / "short.wav", short, subtype="FLOAT")))
    repeated = np.resize(short, classifier.span)
    by_hand = classifier.verdict(str(write(tmp_path / "long.wav", repeated, subtype="FLOAT")))
    assert verdict.padded
    assert not by_hand.padded
    assert verdict.scores == by_hand.scores
