"""A daemon that has a fifth of a core, and six who ask the dearest question without end: no sound is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auricle.client import AskSnapshot, AskStatus, Client, Missed, Report, Scores, Snapshot, ask
from helpers.running import configuration, running
from helpers.sounds import RATE, varied

pytestmark = [pytest.mark.timeout(300), pytest.mark.alone]

TOPICS = 25_500
"""In one position: as many as a question of the greatest length holds, with names so short."""
SECONDS = 8.0
PERIOD_S, SHARE = 0.05, 0.2

# Sound as a microphone gives it, in real time.
PLAY = """
import sys, time
sound, began_s, n = open(sys.argv[1], "rb").read(), time.monotonic(), 0
while True:
    sys.stdout.buffer.write(sound[(320 * n) % len(sound):][:320])
    sys.stdout.buffer.flush()
    n += 1
    time.sleep(max(0.0, began_s + n / 100 - time.monotonic()))
"""
SLOW = """
import os, signal, sys, time
pid, period_s, share = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
while True:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(period_s * (1 - share))
    os.kill(pid, signal.SIGCONT)
    time.sleep(period_s * share)
"""
ASK = """
import json, sys, zmq
context = zmq.Context()
sockets = []
question = open(sys.argv[2], "rb").read()
poller = zmq.Poller()
for _ in range(6):
    socket = context.socket(zmq.DEALER)
    socket.connect(sys.argv[1])
    socket.send(question)
    poller.register(socket, zmq.POLLIN)
    sockets.append(socket)
while True:
    for socket, _ in poller.poll():
        kind = json.loads(socket.recv())["type"]
        print(kind, flush=True)
        socket.send(question)
"""


@contextmanager
def beside(*command: object, **how: object) -> Iterator[subprocess.Popen[str]]:
    """A Python of its own for as long as the block takes."""
    with subprocess.Popen([sys.executable, "-c", *map(str, command)], text=True, **how) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_six_askers_on_a_fifth_of_a_core(tmp_path: Path) -> None:
    """Not a sample is lost and not a decision missed, and each asker is answered, or told later."""
    (tmp_path / "sound.raw").write_bytes((varied(20.0) * 32767).astype("<i2").tobytes())
    live = configuration(tmp_path, sources=[{"name": "porch", "stdin": {"rate": RATE}}])
    seqs: list[int] = []
    with (
        beside(PLAY, tmp_path / "sound.raw", stdout=subprocess.PIPE) as playing,
        running(tmp_path, live, stdin=playing.stdout) as one,
        Client(one.events, topics=["score."]) as client,
    ):
        instance = ask(one.query, AskSnapshot(), Snapshot).instance
        last_seq = {f"{n:x}": 1 for n in range(TOPICS)}
        question = json.dumps({"ask": "events", "since": {"instance": instance, "last_seq": last_seq}})
        (tmp_path / "question").write_text(question.replace(" ", ""))
        try:
            with (
                beside(SLOW, one.process.pid, PERIOD_S, SHARE),
                (tmp_path / "answers").open("w") as told,
                beside(ASK, one.query, tmp_path / "question", stdout=told) as asking,
            ):
                until_s = time.monotonic() + SECONDS
                while time.monotonic() < until_s:
                    item = client.receive(0.2)
                    assert not isinstance(item, Missed)
                    if isinstance(item, Scores):
                        seqs.append(item.seq)
                asking.kill()
                asking.wait()
                answers = (tmp_path / "answers").read_text().split()
        finally:
            one.process.send_signal(signal.SIGCONT)
        report = ask(one.query, AskStatus(), Report, timeout_s=20)
    source = report.sources["porch"]
    print(f"{len(answers)} answers, {answers.count('history')} of them with history; {len(seqs)} decisions; {source}")
    assert (source.lost_samples, source.gaps) == (0, 0), one.log
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert len(seqs) > 0.5 * SECONDS / 0.16
    assert {*answers} <= {"history", "error"}
    assert "history" in answers
