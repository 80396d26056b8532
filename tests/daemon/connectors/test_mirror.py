"""The mirror of a daemon: what its retained messages say, and what changes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from auricle.client import Event, Health, Snapshot, Status
from auricle.connectors.kept import Left, Progress, read, write
from auricle.connectors.letters import Paced, lasting
from auricle.connectors.mirror import Mirror, absent
from auricle.connectors.topics import Topics
from auricle.messages import decode, microseconds
from auricle.messages.topics import examples

TOPICS = Topics("auricle", "n")
RAIN = "auricle/n/porch/state/rain"


def said(kind: str, **more: Any) -> Any:
    """A message of this topic family, as a daemon has sent it, with other values."""
    family = next(name for name in examples() if name.startswith(f"{kind}."))
    return msgspec.structs.replace(decode(examples()[family]), instance="i", **more)


def event(phase: str, seq: int, **more: Any) -> Event:
    """A phase of an event of the porch."""
    offset = "2026-01-01T00:00:09.000000Z" if phase == "offset" else None
    found: Event = said("event", phase=phase, seq=seq, **{"source": "porch", "label": "rain", "offset": offset, **more})
    return found


def joined(health: Health, **more: Any) -> Snapshot:
    """A snapshot with these sources."""
    told = {
        "node": "n", "instance": "i", "t": health.t, "version": "1", "config": "c", "open": [], "last_seq": {},
        "sources": msgspec.to_builtins(health.sources), "history": {"enabled": True}, **more,
    }  # fmt: skip
    return msgspec.convert(told, Snapshot)


def health(**states: str) -> Health:
    """A health of sources in these states."""
    told: Health = said("health")
    one = next(iter(told.sources.values()))
    sources = {name: msgspec.structs.replace(one, state=state, level_dbfs=-40.0) for name, state in states.items()}
    return msgspec.structs.replace(told, sources=sources)


def mirror(**more: Any) -> Mirror:
    """A mirror of a house with a porch and a hall."""
    return Mirror(TOPICS, lambda source: ["rain", "siren"], joined(health(porch="running", hall="lost"), **more))


def test_a_snapshot_is_everything() -> None:
    """All that is retained follows from the snapshot: open events on, all others off; lost sources offline."""
    one = mirror(open=[msgspec.to_builtins(event("update", 7))])
    told = dict(one.everything())
    assert told["auricle/n/porch/available"] == b"online"
    assert told["auricle/n/hall/available"] == b"offline"
    assert told["auricle/n/hall/hearing"] == b"OFF"
    on = [topic for topic, payload in told.items() if "/state/" in topic and json.loads(payload)["state"] == "ON"]
    assert on == [RAIN]
    assert len([topic for topic in told if "/state/" in topic]) == 4


def test_the_past_changes_no_state() -> None:
    """What was published before the snapshot, or by another instance, leaves every state as it is."""
    one = mirror(last_seq={"event.porch.rain.": 5})
    assert one.take(event("onset", 5)) == []
    assert one.take(msgspec.structs.replace(event("onset", 9), instance="before")) == []
    assert [topic for topic, _ in one.take(event("onset", 6))] == [RAIN]


def test_a_state_changes_with_its_events() -> None:
    """On with the first, off with the last of several events that overlap; updates change nothing; a label that is not
    wanted, and a source that is not there, have no state."""
    one = mirror()
    ((topic, on),) = one.take(event("onset", 1, id="a", onset="2026-01-01T00:00:01.000000Z"))
    assert (topic, json.loads(on)["state"], json.loads(on)["id"]) == (RAIN, "ON", "a")
    assert one.take(event("update", 2, id="a")) == []
    assert one.take(event("onset", 3, id="b", onset="2026-01-01T00:00:02.000000Z")) == []
    assert one.take(event("offset", 4, id="a")) == []
    ((_, off),) = one.take(event("offset", 5, id="b"))
    assert json.loads(off)["state"] == "OFF"
    assert json.loads(off)["offset"] == "2026-01-01T00:00:09.000000Z"
    assert one.take(event("onset", 1, label="hen")) == []
    assert one.take(event("onset", 1, source="cellar")) == []


def test_availability_follows_lost_and_found() -> None:
    """A source that is lost is offline, one that is found online; one that is silent is there and not heard; news that
    are no state change nothing; a source that goes takes its events along."""
    one = mirror()
    status = said("status", source="porch", seq=3)
    for state, available, hearing in (
        ("lost", b"offline", b"OFF"),
        ("found", b"online", b"ON"),
        ("silent", b"online", b"OFF"),
        ("running", b"online", b"ON"),
    ):
        changed = one.take(msgspec.structs.replace(status, state=state))
        assert changed == [("auricle/n/porch/available", available), ("auricle/n/porch/hearing", hearing)]
    assert one.take(msgspec.structs.replace(status, state="clock")) == []
    one.take(event("onset", 1))
    one.take(health(hall="running"))
    assert list(one.layout) == ["hall"]
    one.take(health(hall="running", porch="running"))
    assert json.loads(dict(one.everything())[RAIN])["state"] == "OFF"
    assert isinstance(status, Status)


def test_an_absent_daemon_closes_what_is_its_own() -> None:
    """Every state closed and everything offline, below the node's topics alone."""
    left = ["homeassistant/device/x/config", "auricle/other/status", RAIN, "auricle/n/porch/available"]
    assert dict(absent(TOPICS, left)).keys() == {"auricle/n/status", RAIN, "auricle/n/porch/available"}


@pytest.mark.parametrize(("past", "after_s", "late"), [(False, 3600, False), (True, 59, False), (True, 61, True)])
def test_what_comes_late_says_so(past: bool, after_s: float, late: bool) -> None:
    """A message of the past, told over a minute after it was heard, is late; what is told as it happens never is,
    whatever a clock or a recording says."""
    told = event("onset", 1)
    letter = lasting(told, TOPICS, past=past, now_us=microseconds(told.t) + int(after_s * 1e6))
    assert letter is not None
    assert json.loads(letter.payload)["late"] is late


def test_levels_and_figures_keep_their_pace() -> None:
    """At most so often each, by a clock that is told; 0 is never."""
    paced = Paced(TOPICS, level_s=10, health_s=30, scores_s=0)
    house = health(porch="running", hall="running")
    counted = [len(list(paced.take(house, float(now_s)))) for now_s in range(61)]
    assert counted[0] == 5
    assert [n for n, letters in enumerate(counted) if letters] == [0, 10, 20, 30, 40, 50, 60]
    assert sum(counted) == 7 * 2 + 3 * 3
    assert list(paced.take(said("score"), 99.0)) == []


def test_progress_is_kept(tmp_path: Path) -> None:
    """What was handed on is kept, by instance and topic; a health passes all before it; the time alone is written
    once a minute; a file that does not hold begins anew."""
    path = tmp_path / "deep" / "progress.json"
    one = Progress(path)
    snapshot = joined(health(porch="running"), last_seq={"event.porch.rain.": 4, "score.porch.": 9})
    one.begin(snapshot)
    one.advance(event("onset", 5))
    assert one.due(0.0)
    one.save(0.0)
    assert (kept := Progress(path).at) is not None
    assert (kept.instance, kept.last_seq, kept.t) == ("i", {"event.porch.rain.": 5}, snapshot.t)
    one.begin(joined(health(porch="running")))
    assert one.at == kept, "it begins once"
    one.advance(msgspec.structs.replace(health(porch="running"), last_seq={"event.porch.rain.": 6}, t="later"))
    assert one.at is not None
    assert (one.at.last_seq, one.at.t) == ({"event.porch.rain.": 6}, "later")
    assert not one.due(59.0)
    assert one.due(60.0)
    one.advance(msgspec.structs.replace(event("onset", 1), instance="j"))
    assert (one.at.instance, one.at.last_seq, one.at.t) == ("j", {"event.porch.rain.": 1}, "later")
    for broken in (b"", b"{", b"[]", b'{"instance": 3}', b"\xff", b"[" * 100_000):
        path.write_bytes(broken)
        assert Progress(path).at is None
    (tmp_path / "file").write_text("")
    write(tmp_path / "file" / "left.json", Left())  # cannot be, and is told
    assert read(tmp_path / "file" / "left.json", Left) is None
