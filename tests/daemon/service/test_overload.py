"""When decisions cannot keep up: the ladder's steps, its hysteresis, and that what is dropped is told to the sample."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zmq

from auricle.capture.source import Terms
from auricle.hearing.lane import Counters
from auricle.messages import SourceState
from auricle.service.overload import CALM_FOR_S, Ladder
from helpers.sounds import RATE, varied

# The daemon with a pipeline that is three times slower than the sound while a file is there, and less patience.
SLOW = """
import pathlib, sys, time
from auricle import start
from auricle.hearing import together
from auricle.service import overload

flag = pathlib.Path(sys.argv.pop(1))
compute = together.Together._compute

def slowly(self, lanes):
    if flag.exists():
        time.sleep(3 * sum(len(lane.waiting) for lane in lanes) / 16000)
    return compute(self, lanes)

together.Together._compute = slowly
overload.CALM_FOR_S = 0.3
sys.argv[0] = "auricle"
start.main()
"""


@dataclass
class Waiting:
    """A live source of which only is known how much waits."""

    stretch: float = 1.0
    terms: Terms = field(default_factory=lambda: Terms(model_rate=RATE, ring_s=10.0))
    waiting_s: float = 0.0
    skipped: list[float] = field(default_factory=list)

    def late_s(self, now_s: float) -> float:
        return self.waiting_s

    def skip(self, keep_s: float) -> None:
        self.skipped.append(keep_s)


@dataclass
class Source:
    """What the ladder looks at, and what it says of it, as the test has it."""

    name: str
    said: list[tuple[str, str]]
    live: Waiting = field(default_factory=Waiting)
    state: SourceState = "running"
    counters: Counters = field(default_factory=Counters)
    score_interval_s: float = 0.0

    def tell(self, state: SourceState, detail: str) -> None:
        self.said.append((self.name, state))


class House:
    """Two sources and the ladder, on a clock that the test moves."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.lanes = [Source(name, self.told) for name in ("porch", "garden")]
        self.load = Ladder(self.lanes)
        self.now_s = 0.0

    def rounds(self, n: int, *, porch_s: float, each_s: float = 0.1) -> None:
        """So many rounds after each of which so much sound waits on the porch."""
        self.lanes[0].live.waiting_s = porch_s
        for _ in range(n):
            self.now_s += each_s
            self.load.tick(self.now_s)


def test_each_step_costs_more_than_the_one_before() -> None:
    """Half a second, one and a half, half of the ring: larger blocks, fewer scores, the oldest sound; all are told."""
    house = House()
    porch, garden = house.lanes
    house.rounds(2, porch_s=0.6)
    assert house.load.step == 1
    assert porch.live.stretch == garden.live.stretch == 4.0
    assert porch.score_interval_s == 0.0
    house.rounds(1, porch_s=1.6)
    assert house.load.step == 2
    assert porch.score_interval_s == 1.0
    assert not porch.live.skipped
    house.rounds(1, porch_s=5.1)
    assert house.load.step == 3
    assert porch.live.skipped == [1.0]
    assert garden.live.skipped == [], "what can keep up loses nothing"
    assert house.told == [("porch", "overloaded"), ("garden", "overloaded")] * 3
    assert porch.counters.overloads == 3


def test_one_slow_round_is_no_overload() -> None:
    """A reload or a disk may hold up a round: nothing is told, and nothing changes."""
    house = House()
    for _ in range(5):
        house.rounds(1, porch_s=1.2)
        house.rounds(3, porch_s=0.0)
    assert house.load.step == 0
    assert house.told == []


def test_steps_are_taken_back_one_by_one() -> None:
    """Only after a time of calm each, never between the two marks; the last step back leaves everything as it was."""
    house = House()
    house.rounds(2, porch_s=6.0)
    assert house.load.step == 3
    house.rounds(200, porch_s=0.4)
    assert house.load.step == 3, "between calm and late nothing moves"
    steps = []
    for _ in range(round(4 * CALM_FOR_S / 0.1)):
        house.rounds(1, porch_s=0.1)
        if not steps or steps[-1] != house.load.step:
            steps.append(house.load.step)
    assert steps == [3, 2, 1, 0]
    assert [state for _, state in house.told[-6:]] == ["relieved"] * 6
    assert house.lanes[0].live.stretch == 1.0
    assert house.lanes[0].score_interval_s == 0.0


def test_a_loss_stays_to_be_seen() -> None:
    """A source that is lost keeps that state while the others are overloaded."""
    house = House()
    house.lanes[1].state = "lost"
    house.rounds(2, porch_s=6.0)
    assert {name for name, _ in house.told} == {"porch"}


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """While this file is there the daemon is slow."""
    return tmp_path / "slow"


def feed(stream: Any, stop: threading.Event, fed: list[int]) -> None:
    """Sound at real time, until told to stop; then the end of the file. ``fed`` gets how many samples it was."""
    block = (varied(10.0) * 32767).astype("<i2")
    began_s, at = time.monotonic(), 0
    with stream:
        while not stop.is_set():
            stream.write(block.take(range(at, at + RATE // 20), mode="wrap").tobytes())
            at += RATE // 20
            stop.wait(max(0.0, began_s + at / RATE - time.monotonic()))
    fed.append(at)


def messages(socket: zmq.Socket[bytes], until_s: float) -> Iterator[dict[str, Any]]:
    """What the daemon says, for so long at the most."""
    deadline_s = time.monotonic() + until_s
    while socket.poll(max(0.0, 1000 * (deadline_s - time.monotonic()))):
        topic, payload = socket.recv_multipart()
        yield {"topic": topic.decode(), **json.loads(payload)}


def test_a_slow_daemon_drops_the_oldest_and_says_so(tmp_path: Path, flag: Path) -> None:
    """Three times too slow: it goes down the ladder, drops sound as gaps with cause load, answers its sockets all the
    while, and comes back; samples heard and lost add up, and no decision lies in a gap or spans one."""
    cfg = {
        "model": "esc10",
        "sources": [{"name": "pipe", "stdin": {"rate": RATE}}],
        "capture": {"ring_s": 3},
        "gate": {"enabled": "off"},
        "publish": {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"},
        "store": {"enabled": False},
    }
    (tmp_path / "auricle.yaml").write_text(json.dumps(cfg))
    (tmp_path / "slow.py").write_text(SLOW)
    heard: list[dict[str, Any]] = []
    done = threading.Event()
    fed: list[int] = []
    with (
        zmq.Context() as context,
        context.socket(zmq.SUB) as socket,
        subprocess.Popen(
            [sys.executable, tmp_path / "slow.py", flag, "run", "-c", tmp_path / "auricle.yaml"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
        ) as daemon,
    ):
        socket.linger = 0
        socket.subscribe("")
        socket.connect(cfg["publish"]["endpoint"])
        feeder = threading.Thread(target=feed, args=(daemon.stdin, done, fed))
        feeder.start()
        try:
            for message in messages(socket, 40.0):
                heard.append(message)
                states = [m["state"] for m in heard if m["topic"] == "status.pipe."]
                gaps = [m for m in heard if m["topic"] == "gap.pipe."]
                if not states.count("overloaded") and len(heard) >= 20:
                    flag.touch()
                if gaps:
                    flag.unlink(missing_ok=True)
                if states.count("relieved") == 3 and not done.is_set():
                    done.set()
                if states[-1:] == ["stopped"]:
                    break
        finally:
            done.set()
            flag.unlink(missing_ok=True)
            feeder.join(5)
            daemon.terminate()
            assert daemon.stderr is not None
            complaints = daemon.stderr.read().decode()
    states = [m["state"] for m in heard if m["topic"] == "status.pipe."]
    assert states.count("relieved") == 3, complaints
    assert "overloaded" in states
    gaps = [m for m in heard if m["topic"] == "gap.pipe."]
    assert {gap["cause"] for gap in gaps} <= {"load", "overrun"}
    assert "load" in {gap["cause"] for gap in gaps}
    assert not any(gap["estimated"] for gap in gaps)
    source = [m for m in heard if m["topic"] == "health."][-1]["sources"]["pipe"]
    assert source["overloads"] == states.count("overloaded")
    ends = [gap["sample"] + gap["samples"] for gap in gaps]
    for sample in [m["sample"] for m in heard if m["topic"] == "score.pipe."]:
        begun = max([0, *(end for end in ends if end <= sample)])
        assert not any(gap["sample"] < sample <= end for gap, end in zip(gaps, ends, strict=True)), (
            "no decision in a gap"
        )
        assert sample - begun >= 15_000, "no window over a gap"
    lost = sum(gap["samples"] for gap in gaps)
    assert lost == source["lost_samples"]
    last = [m for m in heard if m["topic"] == "status.pipe." and m["state"] == "stopped"][-1]
    assert last["sample"] == fed[0], "every sample that was given was heard or is in a gap"


def test_a_burst_and_a_long_hop_cost_an_idle_machine_nothing(tmp_path: Path) -> None:
    """Four seconds at once and then real time, heard every 2.4 s, longer than the window: nothing is declared, and
    every sample is heard."""
    cfg = {
        "model": "esc10",
        "sources": [{"name": "pipe", "stdin": {"rate": RATE}}],
        "decision": {"hop_ms": 2400},
        "publish": {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"},
        "store": {"enabled": False},
    }
    (tmp_path / "auricle.yaml").write_text(json.dumps(cfg))
    done = threading.Event()
    fed: list[int] = []
    with (
        zmq.Context() as context,
        context.socket(zmq.SUB) as socket,
        subprocess.Popen(
            [sys.executable, "-m", "auricle", "run", "-c", tmp_path / "auricle.yaml"],
            stdin=subprocess.PIPE,
            env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
        ) as daemon,
    ):
        socket.linger = 0
        socket.subscribe("")
        socket.connect(f"ipc://{tmp_path}/events")
        assert daemon.stdin is not None
        burst = bytes(2 * 4 * RATE)
        daemon.stdin.write(burst)
        feeder = threading.Thread(target=feed, args=(daemon.stdin, done, fed))
        feeder.start()
        heard = []
        try:
            for message in messages(socket, 30.0):
                heard.append(message)
                if sum(m["topic"] == "score.pipe." for m in heard) == 3:
                    done.set()
                if message["topic"] == "status.pipe." and message["state"] == "stopped":
                    break
        finally:
            done.set()
            feeder.join(5)
            daemon.terminate()
    assert "overloaded" not in [m["state"] for m in heard if m["topic"] == "status.pipe."]
    assert not [m for m in heard if m["topic"] == "gap.pipe."]
    samples = [m["sample"] for m in heard if m["topic"] == "score.pipe."]
    assert {later - sooner for sooner, later in itertools.pairwise(samples)} == {2400 * RATE // 1000}
    assert heard[-1]["sample"] == fed[0] + len(burst) // 2
