"""Reading ahead: everything in order, and whoever hangs holds up nobody."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from auricle import config
from auricle.capture import decoder
from auricle.capture import recording as recordings
from auricle.capture.ahead import Ahead
from auricle.capture.recording import Recordings
from auricle.hearing import engine
from auricle.hearing.lane import Lane
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from helpers.sounds import RATE, varied, write


def until(what: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Let other threads run until something holds."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline_s
        os.sched_yield()


def drawn(ahead: Ahead[int]) -> list[int]:
    """Everything that is given."""
    found: list[int] = []

    def draw() -> bool:
        if (item := ahead.get()) is not None:
            found.append(item)
        return ahead.ended

    until(draw)
    return found


def test_everything_comes_in_order() -> None:
    """However little is made in advance, whoever asks gets all of it, as from the generator itself."""
    for most in (1, 2, 7, 5000):
        assert drawn(Ahead((i for i in range(1000)), most)) == list(range(1000))


def test_no_more_is_made_than_may_wait() -> None:
    """A consumer that does not ask finds as many as it allowed, and no more."""
    made: list[int] = []

    def items() -> Generator[int]:
        for i in range(100):
            made.append(i)
            yield i

    ahead = Ahead(items(), 8)
    until(lambda: len(made) >= 8 and not ahead._making)
    assert len(made) == 8
    assert drawn(ahead) == list(range(100))


def test_a_failure_comes_in_its_turn() -> None:
    """What was made before a failure is given first, then the failure, once."""

    def items() -> Generator[int]:
        yield 1
        yield 2
        raise ValueError("no third")

    ahead = Ahead(items(), 8)
    found: list[int | None] = []
    with pytest.raises(ValueError, match="no third"):
        until(lambda: found.append(ahead.get()) is not None)
    assert [item for item in found if item is not None] == [1, 2]
    assert ahead.get() is None
    assert ahead.ended


def test_not_everything_is_given_while_a_failure_is_not() -> None:
    """A generator that fails before anybody asks has not ended until its failure was given."""

    def items() -> Generator[int]:
        yield from ()
        raise ValueError("nothing at all")

    ahead = Ahead(items(), 8)
    until(lambda: not ahead._making)
    assert not ahead.ended
    with pytest.raises(ValueError, match="nothing at all"):
        ahead.get()
    assert ahead.ended


def test_who_hangs_holds_up_nobody() -> None:
    """With three generators that hang, others give everything, and asking takes no time; closing does not wait."""
    answer = threading.Event()

    def hanging() -> Generator[int]:
        answer.wait()
        yield 1

    stuck = [Ahead(hanging(), 4) for _ in range(3)]
    began_s = time.monotonic()
    assert all(each.get() is None for each in stuck)
    assert time.monotonic() - began_s < 0.2
    assert drawn(Ahead((i for i in range(100)), 4)) == list(range(100))
    stuck[0].close()
    answer.set()
    assert [drawn(each) for each in stuck[1:]] == [[1], [1]]


@pytest.mark.parametrize("work", ["threading.Event().wait()", "os.write(1, b'x'); time.sleep(0.2); os.write(1, b'y')"])
def test_a_program_ends_whatever_its_reading_does(work: str) -> None:
    """What takes its time is let finish, what hangs is left; either way the program ends, soon and in order."""
    code = f"""
import os, threading, time
from auricle.capture.ahead import Ahead
def items():
    {work}
    yield 1
ahead = Ahead(items(), 4)
time.sleep(0.05)
"""
    began_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout in (b"", b"xy")
    assert time.monotonic() - began_s < 10


def test_a_closed_generator_is_closed() -> None:
    """What is no longer wanted lets go of its file."""
    closed = threading.Event()

    def items() -> Generator[int]:
        try:
            yield from range(100)
        finally:
            closed.set()

    ahead = Ahead(items(), 4)
    until(lambda: ahead.get() is not None)
    ahead.close()
    assert closed.wait(10)


def test_a_disk_that_hangs_stops_one_recording_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While one file does not answer the others are heard to their ends; it is told as a loss, found again, and then
    heard as if nothing had been: no sample is lost."""
    answer = threading.Event()
    paths = [write(tmp_path / f"{i}.wav", varied(5.0, seed=i)) for i in range(3)]
    read_of = decoder._Forward.read

    def hanging(file: Any, *arguments: Any, **keywords: Any) -> Any:
        if file.name == os.fsencode(paths[1]) and file.tell() > 0:
            answer.wait()
        return read_of(file, *arguments, **keywords)

    monkeypatch.setattr(decoder._Forward, "read", hanging)
    monkeypatch.setattr(recordings, "STALL_S", 0.1)
    model = bundle.load("esc10")
    cfg = config.load(None, environ={}, overrides={"decision.hop_ms": 40})

    def heard(speed: float | None) -> tuple[dict[str, list[Any]], list[Lane]]:
        told: dict[str, list[Any]] = {}

        def outlet(topic: str, payload: bytes) -> None:
            message = json.loads(payload)
            if message["source"] is not None:
                told.setdefault(f"{message['type']} {message['source']}", []).append(message)

        publisher = Publisher("node", [outlet])
        sources = [Recordings(str(i), [str(path)], model_rate=RATE, speed=speed) for i, path in enumerate(paths)]
        lanes = [
            Lane(source, model, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=publisher)
            for source in sources
        ]
        for source in sources:
            source.open()

        def progress() -> None:
            if sources[0].done and sources[2].done and lanes[1].state == "lost":
                assert not sources[1].done
                answer.set()

        stop = engine.Stop()
        engine.run(lanes, publisher, stop, progress=progress)
        stop.close()
        return told, lanes

    told, lanes = heard(10.0)
    states = [message["state"] for message in told["status 1"]]
    assert states == ["running", "lost", "found", "stopped"]
    assert "disk or share" in told["status 1"][1]["detail"]
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line for line in warned if line.startswith("1: lost: ")], "what is lost is a warning in the log"
    at_once, _ = heard(None)
    for i in range(3):
        assert lanes[i].counters.heard == 5 * RATE
        scores = [[message["scores"] for message in each[f"score {i}"]] for each in (told, at_once)]
        assert len(scores[0]) > 70
        assert scores[0] == scores[1]
