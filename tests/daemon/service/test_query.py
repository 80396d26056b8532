"""The query socket: what it answers, and that nothing anybody sends keeps the daemon from hearing."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import zmq

from auricle.client import AskMark, AskStatus, Client, Marked, Missed, Report, Scores, Snapshot, ask
from auricle.commands.synth import scene
from auricle.messages import Event, Mark
from auricle.messages.questions import Refused
from helpers.sounds import RATE, write
from helpers.wire import Daemon, Source, daemon, pump

T = TypeVar("T")


def refused(one: Daemon, *frames: bytes) -> str:
    """What is said to be wrong with these."""
    answer = one.query.answer(frames)
    assert isinstance(answer, Refused), answer
    return answer.error


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([b""], "not JSON"),
        ([b"\xff\xfe"], "not JSON"),
        ([b"{"], "not JSON"),
        ([b"[" * 50_000], "ask one of|not JSON"),
        ([b"[]"], "ask one of snapshot, status, events, mark"),
        ([b"{}"], "ask one of"),
        ([b'{"ask": "shutdown"}'], "ask one of"),
        ([b'{"v": 2, "ask": "status"}'], "v: 2 is not spoken here; use 1"),
        ([b'{"v": "1", "ask": "status"}'], "is not spoken here"),
        ([b'{"ask": "status", "colour": 1}'], "colour"),
        ([b'{"ask": "events", "since": "yesterday"}'], "since: .*use a time such as"),
        ([b'{"ask": "events", "since": "2026-01-01T00:00:00"}'], "no time zone"),
        ([b'{"ask": "events", "since": {"instance": "x", "last_seq": {}}}'], "instance x has ended"),
        ([b'{"ask": "events", "since": {"instance": "x", "last_seq": {"a": 1e99}}}'], "ask one of"),
        ([b'{"ask": "events", "after": "1"}'], "since: "),
        ([b'{"ask": "events", "after": "99999999999999999999999:1"}'], "no `next`"),
        ([b'{"ask": "mark", "source": "cellar"}'], "none called 'cellar'; use one of porch, hall"),
        ([b'{"ask": "mark", "label": "Dog Bark"}'], "ask one of"),
        ([], "0 frames"),
        ([b"{}", b"{}"], "2 frames"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, frames: list[bytes], said: str) -> None:
    """Every question that cannot be answered gets a line that says why and what to do."""
    import re

    with daemon(tmp_path) as one:
        error = refused(one, *frames)
        assert re.search(said, error), error
        assert "\n" not in error
        assert len(error) < 400


def beside(one: Daemon, do: Callable[[], T]) -> T:
    """What this gives, done in a thread while the daemon answers."""
    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(do)
        while not doing.done():
            one.serve()
            wait([doing], 0.002)
        return doing.result()


def test_req_and_dealer_are_both_answered(tmp_path: Path) -> None:
    """The simplest of clients, a REQ socket, and a DEALER with several questions on their way at once."""

    def asking() -> tuple[Any, list[Any]]:
        with zmq.Context() as context, context.socket(zmq.REQ) as req, context.socket(zmq.DEALER) as dealer:
            req.connect(one.query_endpoint)
            dealer.connect(one.query_endpoint)
            req.send_json({"ask": "status", "tag": "x"})
            for tag in range(5):
                dealer.send(json.dumps({"ask": "snapshot", "tag": tag}).encode())
            return req.recv_json(), [json.loads(dealer.recv())["tag"] for _ in range(5)]

    with daemon(tmp_path) as one:
        answer, tags = beside(one, asking)
    assert (answer["tag"], answer["hearing"]) == ("x", True)
    assert tags == list(range(5))


def test_hundreds_of_connections(tmp_path: Path) -> None:
    """300 askers connected at once, a third of them flooding and never reading: each of the others is answered."""

    def asking() -> list[str]:
        with zmq.Context() as context:
            flooding = [context.socket(zmq.DEALER) for _ in range(100)]
            asking = [context.socket(zmq.DEALER) for _ in range(200)]
            for socket in flooding + asking:
                socket.linger = 0
                socket.connect(one.query_endpoint)
            for socket in flooding:
                for _ in range(50):
                    with suppress(zmq.Again):
                        socket.send(b'{"ask": "snapshot"}', zmq.DONTWAIT)
            for socket in asking:
                socket.send(b'{"ask": "status"}')
            answers = [json.loads(socket.recv())["type"] for socket in asking if socket.poll(20_000)]
            for socket in flooding + asking:
                socket.close()
            return answers

    with daemon(tmp_path) as one:
        assert beside(one, asking) == ["report"] * 200


def test_a_mark_is_told_kept_and_limited(tmp_path: Path) -> None:
    """A mark comes on the stream and into the history; a flood of them is refused, it would wash the history away."""
    with daemon(tmp_path) as one:
        question = AskMark(text="a fox", source="porch", label="fox")
        marked = beside(one, lambda: ask(one.query_endpoint, question, Marked))
        (name, mark), *_ = one.sent
        assert isinstance(mark, Mark)
        assert (name, mark.id, mark.text, mark.label) == ("mark.porch.", marked.id, "a fox", "fox")
        assert one.store is not None
        assert [m.id for m in one.store.page(0, None, label=None, source=None)[0]] == [marked.id]
        answers = [one.query.answer([b'{"ask": "mark"}']) for _ in range(50)]
        assert 5 <= sum(isinstance(answer, Marked) for answer in answers) <= 20


def test_questions_without_end_cost_a_share(tmp_path: Path) -> None:
    """One asker, then six, with the dearest question there is, without end: each round is short, and they get no more
    than their share; who has had its own is told later, and when; another one is answered.
    """
    dear = json.dumps(
        {
            "ask": "events",
            "since": {"instance": "", "last_seq": {f"event.x{n}.": n for n in range(6000)}},
            "topics": [f"event.{n}." for n in range(256)],
        }
    )
    with daemon(tmp_path) as one, zmq.Context() as context:
        for n in range(200):
            one.lanes.append(Source(f"s{n}"))
            one.status(source=f"s{n}")
        question = dear.replace('"instance": ""', f'"instance": "{one.publisher.instance}"').encode()
        asking = [context.socket(zmq.DEALER) for _ in range(6)]
        calm = context.socket(zmq.DEALER)
        for socket in [*asking, calm]:
            socket.linger = 0
            socket.connect(one.query_endpoint)
        said: set[str] = set()
        rounds_s: list[float] = []
        began_s = time.monotonic()
        while (now_s := time.monotonic()) < began_s + 4.0:
            for socket in asking if now_s > began_s + 2.0 else asking[:1]:
                with suppress(zmq.Again):
                    socket.send(question, zmq.DONTWAIT)
                while socket.poll(0):
                    answer = json.loads(socket.recv())
                    said.add(answer["type"])
                    assert answer["type"] != "error" or answer["later_s"] > 0
            at_s = time.thread_time()
            one.query.serve()
            rounds_s.append(time.thread_time() - at_s)
        calm.send(b'{"ask": "status"}')
        deadline_s = time.monotonic() + 20
        while not calm.poll(1):
            assert time.monotonic() < deadline_s
            one.query.serve()
        assert json.loads(calm.recv())["type"] == "report"
        for socket in [*asking, calm]:
            socket.close()
    assert said == {"history", "error"}
    assert max(rounds_s) < 0.1
    # A round that answers nothing costs microseconds; here there are tens of thousands, in the engine one a hop.
    answering_s = [round_s for round_s in rounds_s if round_s > 1e-4]
    assert sum(answering_s) < 0.3 * 4.0 + 0.5, "the share, and the burst"


def test_later_is_asked_again(tmp_path: Path) -> None:
    """`ask` waits where it is told later, and has its answer; a client that has lost messages has them all the same."""
    with daemon(tmp_path) as one:
        asked: list[float] = []
        answer = one.query.answer

        def busy(frames: Sequence[bytes], asker: bytes = b"") -> Any:
            asked.append(time.monotonic())
            if len(asked) % 2:
                return one.query._later(frames, 0.05)
            return answer(frames, asker)

        one.query.answer = busy  # type: ignore[method-assign]
        assert beside(one, lambda: ask(one.query_endpoint, AskStatus(), Report)).hearing
        assert asked[1] - asked[0] >= 0.05
        begun = one.event("onset")
        with Client(one.endpoint) as client:
            items = pump([one], client, lambda items: any(isinstance(item, Event) for item in items))
        assert [item.id for item in items if isinstance(item, Event)] == [begun.id]


def test_status_says_why(tmp_path: Path) -> None:
    """A source that is lost, silent, not heard yet or not any more is a reason; one at its end is none."""
    for changed, reason in [
        ({"state": "lost"}, "porch: lost"),
        ({"state": "silent"}, "porch: silent"),
        ({"age_s": None}, "porch: no sound yet"),
        ({"age_s": 42.0}, "porch: no sound for 42 s"),
    ]:
        with daemon(tmp_path) as one:
            for name, value in changed.items():
                setattr(one.lanes[0].told, name, value)
            report = one.query.answer([b'{"ask": "status"}'])
            assert isinstance(report, Report)
            assert (report.hearing, report.reasons) == (False, [reason])
            one.lanes[0].done = True
            assert one.query.answer([b'{"ask": "status"}']).hearing  # type: ignore[union-attr]


def test_status_is_a_health_check(tmp_path: Path) -> None:
    """`auricle status` exits 0 if all sources are heard, 1 with the reason if one is not."""
    with daemon(tmp_path) as one:
        command = [sys.executable, "-m", "auricle", "status", "--endpoint", one.query_endpoint]
        good = beside(one, lambda: subprocess.run(command, capture_output=True, text=True))
        one.lanes[0].told.state = "lost"
        bad = beside(one, lambda: subprocess.run([*command, "--json"], capture_output=True, text=True))
    assert good.returncode == 0, good.stderr
    assert "hearing" in good.stdout
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["reasons"] == ["porch: lost"]


def test_nobody_there_is_69(tmp_path: Path) -> None:
    """`auricle status` and `auricle events` without a daemon: exit 69 and one line that names the endpoint."""
    for command in ("status", "events"):
        done = subprocess.run(
            [sys.executable, "-m", "auricle", command, "--endpoint", f"ipc://{tmp_path}/none"],
            capture_output=True, text=True,
            env={**os.environ, "AURICLE__LOG__LEVEL": "info"},
        )  # fmt: skip
        assert done.returncode == 69
        assert done.stderr.count("\n") == 1
        assert f"{tmp_path}/none" in done.stderr


def test_events_as_lines_json_and_csv(tmp_path: Path) -> None:
    """`auricle events` gives each event once, in the order of the onsets, filtered; the three forms agree."""
    with daemon(tmp_path) as one:
        for n in range(100):
            one.event("onset", "rain" if n % 2 else "siren")
            one.event("offset", "rain" if n % 2 else "siren")
        one.event("onset", "dog_bark", "hall")

        def events(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "auricle", "events", "--endpoint", one.query_endpoint, *words],
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout

        lines = beside(one, events).splitlines()
        as_json = [json.loads(line) for line in beside(one, lambda: events("--json", "--since", "1h")).splitlines()]
        as_csv = list(csv.DictReader(io.StringIO(beside(one, lambda: events("--csv", "--source", "porch")))))
        rain = beside(one, lambda: events("--label", "rain")).splitlines()
    assert len(lines) == len(as_json) == 101
    assert "goes on" in lines[-1]
    assert [m["onset"] for m in as_json] == sorted(m["onset"] for m in as_json)
    assert [row["id"] for row in as_csv] == [m["id"] for m in as_json if m["source"] == "porch"]
    assert len(rain) == 50


def garbage(folder: Path, n: int) -> None:
    """Random frames on both sockets of a daemon: raw bytes, ZeroMQ frames, and questions that are nearly right."""
    rng = random.Random(n)
    ends = [f"{folder}/events", f"{folder}/query"]
    with zmq.Context() as context:

        def opened(kind: int) -> zmq.Socket[bytes]:
            socket = context.socket(kind)
            socket.linger = 0
            socket.sndtimeo = 1000
            if kind == zmq.REQ:
                socket.setsockopt(zmq.REQ_RELAXED, 1)
            socket.connect(f"ipc://{ends[kind != zmq.XSUB]}")
            return socket

        kinds = (zmq.DEALER, zmq.XSUB, zmq.REQ)
        zeromq = [opened(kind) for kind in kinds]
        for i in range(n):
            size = rng.choice([0, 1, 7, 64, 1000]) if i % 500 else rng.choice([300_000, 2_000_000])
            frame = rng.randbytes(size)
            kind = rng.randrange(4)
            if kind == 0:
                with sockets.socket(sockets.AF_UNIX) as raw:
                    raw.settimeout(1.0)
                    try:
                        raw.connect(rng.choice(ends))
                        greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL" if rng.random() < 0.5 else b""
                        raw.sendall(greeting + frame[:5000])
                    except OSError:
                        pass  # the daemon has hung up on it, as it should
                continue
            socket = zeromq[kind - 1]
            if rng.random() < 0.3:
                verb = rng.choice(["snapshot", "status", "events", "mark"])
                frame = json.dumps({"ask": verb, rng.choice(["v", "since", "after", "topics"]): size}).encode()
            # A send waits where the daemon is slower than we are: every one of the frames goes out. These askers never
            # read, so in the end they are stuck behind their own answers: then another one comes.
            flags = zmq.SNDMORE if rng.random() < 0.1 and kind != 3 else 0
            try:
                socket.send(frame, flags)
            except zmq.Again:
                socket.close(0)
                zeromq[kind - 1] = socket = opened(kinds[kind - 1])
                socket.send(frame, flags)
        for socket in zeromq:
            socket.close(0)


def hears_through(tmp_path: Path, frames: int) -> None:
    """A daemon hears a recording at real time while this many random frames come; not a decision may be missing."""
    samples, _ = scene(["rain"], RATE, sound_s=8.0, pause_s=0.5)
    write(tmp_path / "scene.wav", samples)
    config = {
        "sources": [{"name": "porch", "recording": {"path": str(tmp_path / "scene.wav"), "speed": 1, "loop": True}}],
        "publish": {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"},
        "store": {"path": str(tmp_path / "events.db")},
    }
    (tmp_path / "auricle.yaml").write_text(json.dumps(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "auricle", "run", "-c", str(tmp_path / "auricle.yaml")],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with Client(f"ipc://{tmp_path}/events", topics=["score."]) as client:
            items = []
            deadline_s = time.monotonic() + 30
            while not any(isinstance(item, Snapshot) for item in items):
                assert time.monotonic() < deadline_s
                if (item := client.receive(0.1)) is not None:
                    items.append(item)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(garbage, tmp_path, frames)
                while not sending.done():
                    if (item := client.receive(0.05)) is not None:
                        items.append(item)
                sending.result()
            report = ask(f"ipc://{tmp_path}/query", AskStatus(), Report, timeout_s=10)
            end = len(items) + 5  # and it hears on
            while len(items) < end:
                assert time.monotonic() < deadline_s + frames / 100
                if (item := client.receive(0.1)) is not None:
                    items.append(item)
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert report.hearing, report.reasons
    assert report.sources["porch"].lost_samples == 0
    assert not [item for item in items if isinstance(item, Missed)]
    seqs = [item.seq for item in items if isinstance(item, Scores)]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_it_hears_through_5000_random_frames(tmp_path: Path) -> None:
    """5,000 random frames on every socket: the daemon answers, misses no decision, and ends as it should."""
    hears_through(tmp_path, 5000)


@pytest.mark.soak
def test_it_hears_through_100000_random_frames(tmp_path: Path) -> None:
    """The same with 100,000."""
    hears_through(tmp_path, 100_000)
