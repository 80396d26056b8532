"""The client: no hole that can be mended, nothing twice, and a loss is told."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from auricle import messages
from auricle.client import (
    AskSnapshot,
    AskStatus,
    Bookmark,
    Client,
    Clip,
    Event,
    Health,
    Item,
    Missed,
    Report,
    Scores,
    Snapshot,
    Status,
    ask,
)
from auricle.client import client as module
from auricle.client.backlog import Backlog
from auricle.client.client import from_here
from auricle.errors import EndpointError, NoDaemonError, UsageError
from auricle.messages import AnyMessage, rfc3339
from auricle.messages.topics import topic_of
from helpers.wire import Daemon, daemon, pump


def keys(items: Iterable[Item]) -> list[tuple[str, str, int]]:
    """Which messages these are: instance, topic, seq."""
    return [(m.instance, topic_of(m), m.seq) for m in items if isinstance(m, AnyMessage)]


def told(of: Daemon, since: int = 0, prefix: str = "") -> list[tuple[str, str, int]]:
    """What the daemon has sent since its so-manieth message, without health."""
    return [(m.instance, name, m.seq) for name, m in of.sent[since:] if name.startswith(prefix)]


def has(n: int) -> object:
    """Whether so many items have come."""
    return lambda items: len(items) >= n


def joined(items: list[Item]) -> bool:
    """Whether a snapshot has come."""
    return any(isinstance(item, Snapshot) for item in items)


@pytest.mark.parametrize("seed", range(4))
def test_joining_in_the_middle_gives_the_whole(tmp_path: Path, seed: int) -> None:
    """50 random joins each: the snapshot holds exactly what was told and is open, the stream all that follows, once."""
    rng = random.Random(seed)
    with daemon(tmp_path, store=False) as one:
        for _ in range(50):
            for _ in range(rng.randrange(12)):
                one.random_step(rng)
            with Client(one.endpoint) as client:
                items: list[Item] = []
                while not joined(items):  # it goes on talking while the client joins
                    one.random_step(rng)
                    one.serve()
                    if (item := client.receive(0.0)) is not None:
                        items.append(item)
                for _ in range(rng.randrange(30)):
                    one.random_step(rng)
                one.status("stopped")
                items += pump([one], client, ended)
            (snapshot,) = [item for item in items if isinstance(item, Snapshot)]
            before = [(name, m) for name, m in one.sent if m.seq <= snapshot.last_seq.get(name, 0)]
            after = [(m.instance, name, m.seq) for name, m in one.sent if m.seq > snapshot.last_seq.get(name, 0)]
            newest = {m.id: m for _, m in before if isinstance(m, Event)}
            going_on = [m for m in newest.values() if m.phase != "offset"]
            assert sorted(m.id for m in snapshot.open) == sorted(m.id for m in going_on)
            got = keys(items)
            assert sorted(got[: len(going_on)]) == sorted(keys(going_on))
            assert got[len(going_on) :] == after
            assert not any(isinstance(item, Missed) for item in items)


def test_a_loss_is_mended_from_memory(tmp_path: Path) -> None:
    """A subscriber too slow for its queue gets every event, gap and status all the same; scores are told as missed."""
    with daemon(tmp_path, queue=50) as one, Client(one.endpoint, queue=50) as client:
        pump([one], client, joined)
        rng = random.Random(1)
        for _ in range(2000):
            one.random_step(rng)
        one.status("stopped")
        sent = told(one)
        events = [key for key in sent if not key[1].startswith(("score.", "health."))]
        scores = [key for key in sent if key[1].startswith("score.")]
        items = pump([one], client, lambda got: bool(one.health()) or ended(got))
        assert sorted(fillable(items)) == sorted(events)
        for name in {key[1] for key in events}:
            assert [key for key in fillable(items) if key[1] == name] == [key for key in events if key[1] == name]
        one.health()
        last = one.publisher.last_seq["health."]
        items += pump(
            [one],
            client,
            lambda got: bool(one.health()) or any(isinstance(m, Health) and m.seq >= last for m in got[-1:]),
        )
        missed = sum(item.n for item in items if isinstance(item, Missed) and item.topic.startswith("score."))
        assert missed > 0
        assert missed + len([key for key in keys(items) if key[1].startswith("score.")]) == len(scores)


def test_a_word_of_a_newer_daemon_is_passed_over(tmp_path: Path) -> None:
    """A message whose state this client does not know is as if it had never been; what comes after it is heard."""
    with daemon(tmp_path) as one, Client(one.endpoint) as client:
        pump([one], client, joined)
        one.status("running")
        payload = messages.encode(one.sent[-1][1])
        one.socket("status.porch.", payload.replace(b'"running"', b'"dreaming"'))
        one.status("stopped")
        items = pump([one], client, ended)
        assert [item.state for item in items if isinstance(item, Status)] == ["running", "stopped"]
        assert not any(isinstance(item, Missed) for item in items)


def ended(items: list[Item]) -> bool:
    """Whether the last word has come."""
    return any(isinstance(item, Status) and item.state == "stopped" for item in items[-1:])


def fillable(items: list[Item]) -> list[tuple[str, str, int]]:
    """Messages that the daemon remembers."""
    return [key for key in keys(items) if not key[1].startswith(("score.", "health."))]


def test_where_memory_ends_history_goes_on(tmp_path: Path) -> None:
    """Beyond the daemon's memory, every onset and offset still comes from the history; what is lost is counted."""
    with daemon(tmp_path, queue=50, held=40) as one, Client(one.endpoint, topics=["event."], queue=50) as client:
        pump([one], client, joined)
        for _ in range(300):
            one.event("onset")
            one.event("update")
            one.event("update")
            one.event("offset")
            for _ in range(20):
                one.scores()
        items = pump(
            [one], client, lambda got: bool(one.health()) or any(isinstance(m, Event) and m.seq == 1200 for m in got)
        )
        got = [m for m in items if isinstance(m, Event)]
        assert [m.seq for m in got] == sorted({m.seq for m in got})
        for phase in ("onset", "offset"):
            assert [m.id for m in got if m.phase == phase] == [
                m.id for _, m in one.sent if isinstance(m, Event) and m.phase == phase
            ]
        missed = [item for item in items if isinstance(item, Missed)]
        assert sum(item.n for item in missed) + len(got) == 1200
        assert {item.topic for item in missed} <= {"event.porch.rain."}


@pytest.mark.parametrize("store", [True, False])
def test_a_restart_is_followed(tmp_path: Path, store: bool) -> None:
    """Killed and started again: what was told last comes from the history, clips too, what was open is closed, all
    once."""
    first = ExitStack()
    one = Daemon(tmp_path, first, store=store)
    with Client(one.endpoint, topics=["event.", "status.", "clip."]) as client:
        items = pump([one], client, joined)
        one.event("onset")
        one.event("onset", "siren")
        items += pump([one], client, lambda got: len(keys(got)) >= 2)
        # These are told, but the connection dies before they arrive.
        unheard: list[Event | Clip] = []
        if store:
            ended = one.event("offset", "siren")
            unheard = [ended, one.clip(ended), one.event("onset", "dog_bark")]
        left = list(one.journal.open)
        first.pop_all()
        one.kill()
        with daemon(tmp_path, store=store) as two:
            two.status("running")
            items += pump([two], client, lambda got: any(isinstance(m, Status) and m.state == "running" for m in got))
            heard = keys(items)
            assert len(heard) == len(set(heard))
            assert heard[-1] == (two.publisher.instance, "status.porch.", 1)
            if store:
                endings = [m for m in items if isinstance(m, Event) and m.cause == "restart"]
                assert [m.id for m in endings] == left
                assert all(m.estimated and m.instance == two.publisher.instance for m in endings)
            assert set(keys(unheard)) <= set(heard)
            assert len([item for item in items if isinstance(item, Snapshot)]) == 2


def test_several_daemons_at_once(tmp_path: Path) -> None:
    """One client follows two daemons; each is joined, and each message comes once."""
    for name in "ab":
        (tmp_path / name).mkdir()
    with daemon(tmp_path / "a") as one, daemon(tmp_path / "b") as two, Client(one.endpoint, two.endpoint) as client:
        items = pump([one, two], client, lambda got: sum(isinstance(item, Snapshot) for item in got) == 2)
        one.event("onset")
        two.event("onset")
        items += pump([one, two], client, lambda got: len(keys(got)) >= 2)
        assert sorted(keys(items)) == sorted(told(one) + told(two))


def test_asyncio_gives_the_same(tmp_path: Path) -> None:
    """`async for` gives the items that `for` gives, while other tasks run."""
    items: list[Item] = []
    with daemon(tmp_path) as one:

        async def follow() -> None:
            async with Client(one.endpoint) as client:
                talking = asyncio.create_task(talk())
                async for item in client:
                    items.append(item)
                    if isinstance(item, Event) and item.phase == "offset":
                        break
                talking.cancel()

        async def talk() -> None:
            while not joined(items):
                one.serve()
                await asyncio.sleep(0)
            one.event("onset")
            for _ in range(50):
                one.scores()
                await asyncio.sleep(0)
            one.event("offset")

        asyncio.run(asyncio.wait_for(follow(), 20))
    assert isinstance(items[0], Snapshot)
    seqs = [m.seq for m in items if isinstance(m, Scores)]
    assert seqs == list(range(1, 51))
    assert [m.phase for m in items if isinstance(m, Event)] == ["onset", "offset"]


def test_asyncio_is_woken_by_what_comes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no timer at all each of 300 events, told one by one, wakes `async for`; between them it sleeps: sockets are
    looked at a few times an event, however long it waits."""
    monkeypatch.setattr(module, "TICK_S", 3600.0)
    monkeypatch.setattr(module, "IDLE_S", 3600.0)
    items: list[Item] = []
    with daemon(tmp_path) as one:

        async def follow() -> int:
            async with Client(one.endpoint) as client:
                looked = 0
                pump = client._pump

                def count() -> None:
                    nonlocal looked
                    looked += 1
                    pump()

                monkeypatch.setattr(client, "_pump", count)
                talking = asyncio.create_task(talk())
                async for item in client:
                    items.append(item)
                    if len(items) > 300:
                        break
                talking.cancel()
                return looked

        async def talk() -> None:
            for n in range(301):
                while len(items) < n + bool(n):
                    one.serve()
                    await asyncio.sleep(0)
                one.event("offset" if n % 2 else "onset")

        looked = asyncio.run(asyncio.wait_for(follow(), 60))
    assert len([item for item in items if isinstance(item, Event)]) >= 300
    assert looked <= 3 * 301


def test_a_publisher_without_a_query_socket(tmp_path: Path) -> None:
    """Where nobody answers questions the stream comes all the same, and a loss is counted."""
    with daemon(tmp_path, queue=20) as one, Client(one.endpoint, queue=20) as client:
        one.socket.greet(one.publisher, None)
        items = pump([one], client, lambda got: bool(one.scores() or got))
        for _ in range(2000):
            one.scores()
        last = one.publisher.last_seq["score.porch."]
        first = next(item.seq for item in items if isinstance(item, Scores))
        items += pump([one], client, lambda got: bool(one.health()) or sum(counted([*items, *got])) > last - first)
        heard, missed = counted(items)
        assert heard + missed == last - first + 1


def counted(items: list[Item]) -> tuple[int, int]:
    """How many scores came, and how many are told as missed."""
    missed = sum(item.n for item in items if isinstance(item, Missed) and item.topic == "score.porch.")
    return sum(isinstance(item, Scores) for item in items), missed


@pytest.mark.parametrize("how", ["for", "async for"])
def test_a_slow_reader_hears_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Ten scores come while it takes one item: no event is lost, the oldest scores are, and counted in their place."""
    monkeypatch.setattr(module, "PUMP_S", 0.0)  # it pauses after every item
    queue, rounds = 100, 300

    async def take_slowly(one: Daemon, client: Client) -> list[Item]:
        items: list[Item] = []
        stream = aiter(client)
        for n in range(rounds):
            for _ in range(10):
                one.scores()
            if n % 10 == 0:
                one.event("onset", f"label_{n}")
            one.serve()
            items += [await anext(stream)] if how == "async for" else [item for item in [client.receive(5)] if item]
        return items

    with daemon(tmp_path, store=False) as one, Client(one.endpoint, topics=["event.", "score."], queue=queue) as client:
        pump([one], client, joined)
        items = asyncio.run(take_slowly(one, client))
        one.event("onset", "last")
        rest = pump([one], client, lambda got: any(isinstance(m, Event) and m.label == "last" for m in got))
        rest += pump(
            [one], client, lambda got: one.publisher.last_seq["score.porch."] in position([*items, *rest, *got])
        )
    items += rest
    assert len(rest) < rounds * 10 / 3
    assert [m.label for m in items if isinstance(m, Event)] == [*(f"label_{n}" for n in range(0, rounds, 10)), "last"]
    assert position(items)[-1] == 10 * rounds
    heard, missed = counted(items)
    assert missed > 0
    assert heard + missed == 10 * rounds


def position(items: Iterable[Item]) -> list[int]:
    """Where the scores have come to after each of these; a loss is told where it is, and whole."""
    found = [0]
    for item in items:
        if isinstance(item, Missed):
            assert item.topic == "score.porch."
            found.append(found[-1] + item.n)
        elif isinstance(item, Scores):
            assert item.seq == found[-1] + 1
            found.append(item.seq)
    return found


def test_what_waits_is_bounded_and_in_order(tmp_path: Path) -> None:
    """Of random items the oldest scores go first, and nothing else; the others come in their order; full is full."""
    rng = random.Random(3)
    with daemon(tmp_path, store=False) as one:
        for _ in range(400):
            one.random_step(rng)
    sent = [m for _, m in one.sent]
    backlog = Backlog(300)
    for message in sent:
        backlog.put("here", message)
    taken = list(iter(backlog.take, None))
    fleeting = [m for m in sent if isinstance(m, Scores | Health)]
    kept = [m for m in taken if not isinstance(m, Missed)]
    assert kept == [m for m in sent if m not in fleeting or m in fleeting[100:]]
    assert sum(m.n for m in taken if isinstance(m, Missed)) == 100
    for n, missed in enumerate(taken):
        if isinstance(missed, Missed):
            assert (missed.topic, missed.n + 1) == (topic_of(taken[n + 1]), taken[n + 1].seq)
    for _ in range(300):
        assert not backlog.full
        backlog.put("here", Missed("here", "event.", 1))
    assert backlog.full
    backlog.put("here", fleeting[0])
    assert list(iter(backlog.take, None))[-1] == Missed("here", topic_of(fleeting[0]), 1)


def test_the_client_alone_is_light() -> None:
    """It brings neither numpy nor what prints: only pyzmq and msgspec."""
    code = "import sys, auricle.client; print(*{m.split('.')[0] for m in sys.modules})"
    modules = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    assert {"zmq", "msgspec"} <= modules
    assert not modules & {"numpy", "rich", "typer", "yaml", "soundfile", "ai_edge_litert"}


def test_questions_get_typed_answers(tmp_path: Path) -> None:
    """`ask` gives the answer as its type; nobody there is an error that names the endpoint."""
    with daemon(tmp_path) as one:
        done = threading.Event()
        answers: list[object] = []

        def asking() -> None:
            answers.append(ask(one.query_endpoint, AskSnapshot(), Snapshot))
            answers.append(ask(one.query_endpoint, AskStatus(), Report))
            done.set()

        thread = threading.Thread(target=asking)
        thread.start()
        while thread.is_alive():
            one.serve()
            done.wait(0.002)
    assert [type(answer) for answer in answers] == [Snapshot, Report]
    with pytest.raises(NoDaemonError, match="nowhere"):
        ask(f"ipc://{tmp_path}/nowhere", AskStatus(), Report, timeout_s=0.05)
    with pytest.raises(EndpointError, match="no endpoint"):
        ask("nonsense", AskStatus(), Report)


def test_the_query_endpoint_is_reached_where_the_daemon_is() -> None:
    """A daemon knows itself as 127.0.0.1 or 0.0.0.0; a client on another host uses the host it connected to."""
    assert from_here("tcp://0.0.0.0:5558", "tcp://porch-pi:5557") == "tcp://porch-pi:5558"
    assert from_here("tcp://127.0.0.1:7", "tcp://[::1]:5557") == "tcp://[::1]:7"
    assert from_here("ipc:///run/auricle/query", "ipc:///run/auricle/events") == "ipc:///run/auricle/query"


def bookmark(of: Daemon) -> Bookmark:
    """Everything that a daemon has told so far, as one who holds it would note."""
    return Bookmark(of.publisher.instance, dict(of.publisher.last_seq), rfc3339(time.time_ns() // 1000))


@pytest.mark.parametrize("held", [4096, 16])
def test_a_bookmark_goes_on_after_it(tmp_path: Path, held: int) -> None:
    """A client with a bookmark gives what was told since, once, from memory; what memory has no more it gives from the
    history: onsets and ends, in the order of their times."""
    rng = random.Random(5)
    with daemon(tmp_path, held=held) as one:
        for _ in range(100):
            one.random_step(rng)
        one.serve()
        since, before = bookmark(one), len(one.sent)
        for _ in range(200):
            one.random_step(rng)
        one.status("stopped")
        one.serve()
        with Client(one.endpoint, topics=["event.", "status."], since=since) as client:
            items = pump([one], client, ended)
        told = [message for _, message in one.sent[before:] if isinstance(message, Event)]
        got = [item for item in items if isinstance(item, Event)]
        assert len(set(keys(got))) == len(got)
        if held == 4096:
            assert keys(got) == keys(told)
        assert {*keys(each for each in told if each.phase != "update")} <= {*keys(got)} <= {*keys(told)}
        assert [item.t for item in got] == sorted(item.t for item in got)


def test_a_bookmark_of_an_instance_that_has_ended(tmp_path: Path) -> None:
    """Two instances have ended since the bookmark: the end of its own, all of the one between and what the third has
    told are given, once."""
    with ExitStack() as stack:
        first = Daemon(tmp_path, stack)
        for label in ("rain", "siren"):
            first.event("onset", label)
        first.serve()
        since = bookmark(first)
        first.event("offset", "rain")
        first.serve()
        first.kill()
        stack.pop_all()
        second = Daemon(tmp_path, stack)
        for phase, label in (("onset", "cat"), ("offset", "cat"), ("onset", "crow")):
            second.event(phase, label)  # type: ignore[arg-type]
        second.serve()
        second.kill()
        stack.pop_all()
        third = Daemon(tmp_path, stack)
        third.event("onset", "hen")
        third.status("stopped")
        with Client(third.endpoint, topics=["event.", "status."], since=since) as client:
            items = pump([third], client, ended)
    names = {each.publisher.instance: name for each, name in ((first, "first"), (second, "second"), (third, "third"))}
    said = [(names[item.instance], item.label, item.phase) for item in items if isinstance(item, Event)]
    # What went on when an instance died was closed by the next.
    assert sorted(said) == [
        ("first", "rain", "offset"),
        ("second", "cat", "offset"),
        ("second", "cat", "onset"),
        ("second", "crow", "onset"),
        ("second", "siren", "offset"),
        ("third", "crow", "offset"),
        ("third", "hen", "onset"),
    ]


def test_a_bookmark_is_of_one_endpoint() -> None:
    """Two endpoints and a bookmark: whose it is cannot be known."""
    with pytest.raises(UsageError, match="since: belongs to one endpoint"):
        Client("ipc:///a", "ipc:///b", since=Bookmark("i", {}, "t"))
