"""A daemon in a process of its own that nobody leaves alone: reloads, crowds, limits, lost state, sudden ends."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from auricle.client import AskStatus, Client, Event, Missed, Report, Scores, Status, ask
from helpers.reloading import model_beside
from helpers.running import LIMIT_S, Running, configuration, running, until_back, wait_for
from helpers.sounds import RATE, varied

SOAK = [pytest.mark.soak, pytest.mark.timeout(0)]


def put(path: Path, wanted: Mapping[str, Any] | str) -> None:
    """A configuration in the place of another, whole at every moment."""
    beside = path.with_suffix(".new")
    beside.write_text(wanted if isinstance(wanted, str) else json.dumps(wanted))
    beside.replace(path)


def live(folder: Path, **more: Any) -> dict[str, Any]:
    """A pipe beside the recording: sound that comes whether it is heard or not."""
    wanted = configuration(folder, **more)
    wanted["sources"].append({"name": "pipe", "stdin": {"rate": RATE}})
    (folder / "pipe.raw").write_bytes((np.tile(varied(5.0), 60) * 8000).astype("<i2").tobytes())
    return wanted


class Listening:
    """What a subscriber hears of a daemon: none of it may be missing."""

    def __init__(self, client: Client, *sources: str) -> None:
        self._client = client
        self.seqs: dict[str, list[int]] = {source: [] for source in sources or ("porch",)}
        self.events: list[Event] = []
        self.news: list[Status] = []

    def until(self, when_s: float) -> None:
        """Listen up to this time of the monotonic clock."""
        while (left_s := when_s - time.monotonic()) > 0:
            match self._client.receive(left_s):
                case Missed() as missed:
                    raise AssertionError(missed)
                case Scores() as scores:
                    self.seqs[scores.source or ""].append(scores.seq)
                case Event() as event:
                    self.events.append(event)
                case Status() as status:
                    self.news.append(status)

    def scores(self, n: int) -> None:
        """Listen until there are so many decisions more of every source."""
        wanted = {source: len(seqs) + n for source, seqs in self.seqs.items()}
        deadline_s = time.monotonic() + LIMIT_S
        while any(len(self.seqs[source]) < n for source, n in wanted.items()):
            assert time.monotonic() < deadline_s, (wanted, self.seqs)
            self.until(time.monotonic() + 0.05)

    def complete(self) -> bool:
        """Whether the decisions of every source are numbers in a row."""
        return all(seqs == list(range(seqs[0], seqs[0] + len(seqs))) for seqs in self.seqs.values())


def rss_mb(one: Running) -> float:
    """What it holds of memory."""
    pages = int(Path(f"/proc/{one.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def reloads(one: Running, wanted: Mapping[str, Any] | str, said: str = "reloaded") -> str:
    """Another configuration, and what was said of it."""
    n = len(one.log.splitlines())
    put(one.config, wanted)
    one.hang_up()
    return wait_for(lambda: next((line for line in one.log.splitlines()[n:] if said in line), None), f"it is {said}")


@pytest.mark.parametrize(("times", "within_s"), [(60, 1.2), pytest.param(500, 10.0, marks=SOAK)])
def test_hangups_without_end(tmp_path: Path, times: int, within_s: float) -> None:
    """SIGHUP again and again, to configurations that hold, that do not, and that fail half-way: no sample is lost, no
    decision missing, nothing is left open, and what was written last is in force."""
    good = live(tmp_path)
    others: list[Mapping[str, Any] | str] = [
        good,
        {**good, "decision": {"threshold": 0.7}},
        {**good, "sources": [*good["sources"], {"name": "more", "recording": {"path": "none.wav", "speed": 1}}]},
        {**good, "gate": {"enabled": "on", "noise_profile": str(tmp_path / "none.npz")}},
        {**good, "model": "no such model"},
        {**good, "decision": {"threshold": "high"}},
        json.dumps(good)[:-9],
        "",
    ]
    chance = random.Random(16)
    with ExitStack() as stack:
        pipe = stack.enter_context((tmp_path / "pipe.raw").open("rb"))
        one = stack.enter_context(running(tmp_path, good, stdin=pipe))
        heard = Listening(
            stack.enter_context(Client(one.events, topics=["score.porch.", "score.pipe."])), "porch", "pipe"
        )
        heard.scores(5)
        before, held_mb = one.descriptors(), rss_mb(one)
        began_s = time.monotonic()
        for turn in range(times):
            put(one.config, chance.choice(others))
            one.hang_up()
            heard.until(began_s + (turn + 1) * within_s / times)
        wait_for(
            lambda: "reloaded in" in reloads(one, {**good, "node": "other", "decision": {"threshold": 0.61}}), "last"
        )
        heard.scores(5)
        assert heard.complete()
        report = ask(one.query, AskStatus(), Report)
        assert report.hearing, report.reasons
        assert report.sources["pipe"].lost_samples == 0
        until_back(one, before)
        assert rss_mb(one) < held_mb + 40
        assert "Traceback" not in one.log
        assert "overloaded" not in one.log


@pytest.mark.parametrize("after_s", [0.0, 0.3])
def test_an_end_in_the_middle_of_a_reload(tmp_path: Path, after_s: float) -> None:
    """SIGTERM while a reload tries a new model: the daemon ends with 0, says so, and leaves no process behind."""
    good = configuration(tmp_path)
    model = model_beside(tmp_path / "other", description="another")
    with running(tmp_path, good) as one, Client(one.events, topics=["score."]) as client:
        Listening(client).scores(3)
        put(one.config, {**good, "model": str(model)})
        one.hang_up()
        (child,) = wait_for(one.children, "the model is tried")
        time.sleep(after_s)  # a moment in the middle; any will do
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(timeout=20) == 0, one.log
        assert one.log.splitlines()[-1].endswith("stopped")
        assert "Traceback" not in one.log
        assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("waves", [2, pytest.param(20, marks=SOAK)])
def test_subscribers_come_and_go(tmp_path: Path, waves: int) -> None:
    """300 subscribers and as many askers, who leave without a word, some before their answer: another one misses
    nothing, and all descriptors come back."""
    with ExitStack() as stack:
        one = stack.enter_context(running(tmp_path))
        heard = Listening(stack.enter_context(Client(one.events, topics=["score."])))
        heard.scores(5)
        before = one.descriptors()
        chance = random.Random(300)
        for _ in range(waves):
            with zmq.Context() as crowd:
                crowd.max_sockets = 4096
                sockets = []
                for i in range(600):
                    socket = crowd.socket(zmq.SUB if i % 2 else zmq.DEALER)
                    socket.linger = 0
                    socket.connect(one.events if i % 2 else one.query)
                    if i % 2:
                        socket.subscribe(chance.choice(("", "score.", "event.porch.", "nothing.")))
                    else:
                        socket.send(b'{"ask": "status"}')
                    sockets.append(socket)
                    if chance.random() < 0.5:
                        sockets.pop(chance.randrange(len(sockets))).close()
                    if i % 50 == 0:
                        heard.until(time.monotonic() + 0.02)
                heard.scores(3)
                for socket in sockets:
                    socket.close()
        until_back(one, before)
        heard.scores(5)
        assert heard.complete()
        assert ask(one.query, AskStatus(), Report).sources["porch"].lost_samples == 0
        assert "Traceback" not in one.log


def test_a_reload_without_descriptors_or_memory(tmp_path: Path) -> None:
    """With no descriptor left, then with no memory left, a reload is refused in a line and hearing goes on; the next,
    with both, is done."""
    good = live(tmp_path)
    model = model_beside(tmp_path / "other", description="another")
    more = {**good, "model": str(model), "decision": {"threshold": 0.7}}
    with ExitStack() as stack:
        pipe = stack.enter_context((tmp_path / "pipe.raw").open("rb"))
        one = stack.enter_context(running(tmp_path, good, stdin=pipe))
        heard = Listening(
            stack.enter_context(Client(one.events, topics=["score.porch.", "score.pipe."])), "porch", "pipe"
        )
        heard.scores(5)
        sizes = Path(f"/proc/{one.process.pid}/statm").read_text().split()
        for limit, most in (
            (resource.RLIMIT_NOFILE, one.descriptors()),
            (resource.RLIMIT_AS, int(sizes[0]) * resource.getpagesize() + 2**20),
        ):
            _, hard = limits = resource.prlimit(one.process.pid, limit)
            resource.prlimit(one.process.pid, limit, (most, hard))
            refused = reloads(one, more, "not reloaded")
            assert ("Too many open files" if limit == resource.RLIMIT_NOFILE else "more memory than is left") in refused
            heard.scores(5)
            resource.prlimit(one.process.pid, limit, limits)
        reloads(one, more)
        heard.scores(5)
        assert heard.complete()
        assert ask(one.query, AskStatus(), Report).sources["pipe"].lost_samples == 0


def test_a_state_that_goes_away(tmp_path: Path) -> None:
    """The state folder is deleted while events come, and cannot be made anew for a while: that is told once, nothing
    else stops, and once it can be, what goes on and what waited is kept."""
    wanted = configuration(tmp_path, decision={"threshold": 0.5, "min_duration_ms": 100})
    wanted["sources"][0]["recording"]["speed"] = 10
    wanted["store"] = {}
    with ExitStack() as stack:
        one = stack.enter_context(running(tmp_path, wanted))
        heard = Listening(stack.enter_context(Client(one.events, topics=["event.", "score.", "status."])))
        state = tmp_path / "state"
        wait_for(lambda: (state / "events.db").exists(), "a history")
        heard.scores(10)
        (tmp_path / "other").write_text("in the way")  # as good as read-only, also for root
        state.rename(tmp_path / "gone")
        (tmp_path / "other").rename(state)
        shutil.rmtree(tmp_path / "gone")
        heard.scores(10)
        (reason,) = wait_for(lambda: ask(one.query, AskStatus(), Report).reasons, "it is told")
        assert "history:" in reason
        heard.until(time.monotonic())
        told = {event.id for event in heard.events}
        heard.scores(100)
        state.unlink()
        deadline_s = time.monotonic() + LIMIT_S
        while ask(one.query, AskStatus(), Report).reasons:
            assert time.monotonic() < deadline_s, one.log
            heard.until(time.monotonic() + 0.1)
        assert heard.complete()
    db = sqlite3.connect(tmp_path / "state" / "events.db")
    kept = {id for (id,) in db.execute("SELECT id FROM events")}
    db.close()
    waited = {event.id for event in heard.events if event.id not in told}
    assert waited
    assert waited <= kept
    trouble = [status.detail for status in heard.news if status.state == "store"]
    assert len(trouble) <= 3, trouble


@pytest.mark.parametrize("times", [5, pytest.param(30, marks=SOAK)])
def test_sudden_ends(tmp_path: Path, times: int) -> None:
    """`kill -9` at random moments: whatever was told is in the history, every event is closed once it is started again,
    no id is given twice, and the file is whole."""
    wanted = configuration(tmp_path, decision={"threshold": 0.5, "min_duration_ms": 100, "refractory_ms": 0})
    wanted["sources"][0]["recording"]["speed"] = 20
    wanted["publish"] = {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"}
    chance = random.Random(9)
    told: list[Event] = []
    for turn in range(times + 1):
        with ExitStack() as stack:
            one = stack.enter_context(running(tmp_path, wanted))
            heard = Listening(stack.enter_context(Client(one.events, topics=["event.", "score."])))
            heard.scores(1)
            heard.until(time.monotonic() + chance.uniform(0.0, 1.5))
            if turn < times:
                one.process.kill()
                one.process.wait()
            heard.until(time.monotonic() + 0.1)  # what is on its way
            told += heard.events
    db = sqlite3.connect(tmp_path / "events.db")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = db.execute("SELECT id, going_on, first, coalesce(last, first) FROM events").fetchall()
    db.close()
    assert not [id for id, going_on, _, _ in rows if going_on]
    kept = {id: (json.loads(first), json.loads(last)) for id, _, first, last in rows}
    assert len(kept) == len(rows)
    assert {event.id for event in told} <= set(kept)
    onsets = [event.id for event in told if event.phase == "onset" and event.instance == kept[event.id][0]["instance"]]
    assert len(onsets) == len(set(onsets)) > times
    for first, last in kept.values():
        assert (first["phase"], last["phase"]) == ("onset", "offset")
        assert (last["cause"] == "restart") == (first["instance"] != last["instance"])
