"""Marks: what somebody says of an event, which one is meant, and that nothing unknown is marked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from auricle.client import Bookmark, Client, Mark, Marked
from auricle.messages import Event, rfc3339
from auricle.messages.questions import Refused
from helpers.wire import Daemon, daemon, pump


def mark(one: Daemon, **asked: Any) -> Mark:
    """What is sent when this is asked for; and it is what the answer says."""
    answer = one.query.answer([json.dumps({"ask": "mark", **asked}).encode()], json.dumps(asked).encode())
    assert isinstance(answer, Marked), answer
    name, sent = one.sent[-1]
    assert isinstance(sent, Mark)
    assert (name, sent.id, sent) == (f"mark.{sent.source}.", answer.id, answer.mark)
    return sent


def heard(one: Daemon, label: str = "rain", source: str = "porch") -> Event:
    """An event that is over."""
    one.event("onset", label, source)
    return one.event("offset", label, source)


@pytest.mark.parametrize("store", [True, False])
def test_the_event_that_is_meant(tmp_path: Path, store: bool) -> None:
    """The last one, the last of a label or source, that of an id or a part, and that of a time: from the history, and
    from memory where none is kept. The mark says which it was, and when."""
    with daemon(tmp_path, store=store) as one:
        siren, dog, rain = heard(one, "siren"), heard(one, "dog_bark", "hall"), heard(one)
        for asked, meant in (
            ({}, rain),
            ({"label": "siren"}, siren),
            ({"source": "hall"}, dog),
            ({"event": dog.id}, dog),
            ({"event": siren.id[-9:]}, siren),
            ({"at": dog.onset, "source": "hall"}, dog),
            ({"at": siren.offset, "label": "siren"}, siren),
        ):
            for kind in ("false", "right"):
                found = mark(one, kind=kind, **asked)
                assert (found.kind, found.event, found.label) == (kind, meant.id, meant.label)
                assert (found.source, found.at) == (meant.source, meant.onset)


def test_an_event_that_goes_on_and_one_of_before_a_restart(tmp_path: Path) -> None:
    """An event that has no offset yet can be marked, and one that an earlier instance of the daemon told."""
    with daemon(tmp_path) as one:
        old = heard(one, "siren")
    with daemon(tmp_path) as one:
        assert mark(one, kind="right").event == old.id
        now = one.event("onset")
        assert mark(one, kind="false").event == now.id
        assert mark(one, kind="right", label="siren").event == old.id


def test_an_old_event_has_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of events that are not among the newest any more one is found by its whole id, and not by a part."""
    monkeypatch.setattr("auricle.publish.table.LATEST", 3)
    with daemon(tmp_path) as one:
        first = heard(one)
        for _ in range(5):
            heard(one)
        assert mark(one, kind="right", event=first.id).event == first.id
        assert "none has" in refused(one, kind="right", event=first.id[-12:])


def test_what_was_missed(tmp_path: Path) -> None:
    """A label that a source's model has, or a new one that is said to be new; now, or at a time."""
    with daemon(tmp_path) as one:
        found = mark(one, kind="missed", label="rain", source="hall")
        assert (found.kind, found.label, found.source, found.event, found.at) == ("missed", "rain", "hall", None, None)
        at = "2026-05-01T04:30:02.217000Z"
        found = mark(one, kind="missed", label="doorbell", new=True, source="hall", at=at, text="the postman")
        assert (found.label, found.at, found.text) == ("doorbell", at, "the postman")


def refused(one: Daemon, **asked: Any) -> str:
    """Why this is not marked; nothing is sent then."""
    before = len(one.sent)
    answer = one.query.answer([json.dumps({"ask": "mark", **asked}).encode()])
    assert isinstance(answer, Refused), answer
    assert len(one.sent) == before
    assert "\n" not in answer.error
    assert len(answer.error) < 400
    return answer.error


def test_what_is_unknown_is_refused(tmp_path: Path) -> None:
    """Labels, events, sources and times that there are none of: a line each, with what was probably meant."""
    with daemon(tmp_path) as one:
        assert refused(one, kind="right").startswith("there is no event to mark")
        siren, rain = one.event("onset", "siren", "hall"), one.event("onset")
        wrong = rain.id[:30] + "000000"
        for asked, said in (
            ({"kind": "right", "event": wrong}, f"none has '{wrong}' in its id; did you mean "),
            ({"kind": "right", "event": "not at all"}, "none has 'not at all' in its id; auricle events"),
            ({"kind": "right", "event": rain.id[:8]}, "is in the ids of 2 events; give more"),
            ({"kind": "false", "label": "sirn"}, "no label 'sirn'; did you mean 'siren'"),
            ({"kind": "false", "label": "dog_bark"}, "no event of dog_bark to mark"),
            ({"kind": "false", "source": "attic"}, "none called 'attic'; use one of porch, hall"),
            ({"kind": "right", "at": "2020-01-01T00:00:00Z", "label": "siren"}, "did you mean siren of hall at"),
            ({"kind": "right", "at": "2999-01-01T00:00:00Z"}, "is yet to come"),
            ({"kind": "right", "at": "noon"}, "at: .*use a time such as"),
            ({"kind": "right", "at": one.event("update").t}, f"2 events went on then: .*{siren.id}.*give an id"),
            ({"kind": "missed", "source": "hall"}, "label: say what was missed"),
            ({"kind": "missed", "label": "rain"}, "source: say which one: porch, hall"),
            ({"kind": "missed", "label": "dog", "source": "hall"}, "did you mean 'dog_bark'.*--new"),
            ({"kind": "missed", "label": "rain", "new": True, "source": "hall"}, "none that is new"),
            ({"kind": "missed", "label": "rain", "event": rain.id}, "missed has none"),
            ({"kind": "wrong"}, "wrong"),
        ):
            assert re.search(said, error := refused(one, **asked)), error


def test_a_client_recovers_marks(tmp_path: Path) -> None:
    """Marks that were made while a client was away come when it is back, with what they are about: from memory, and
    from the history after a restart of the daemon."""
    with daemon(tmp_path) as one:
        since = Bookmark(one.publisher.instance, dict(one.publisher.last_seq), rfc3339(0))
        siren = heard(one, "siren")
        first = mark(one, kind="false")
        with Client(one.endpoint, topics=["mark."], since=since) as client:
            items = pump([one], client, lambda items: any(isinstance(item, Mark) for item in items))
        assert [item for item in items if isinstance(item, Mark)] == [first]
    with daemon(tmp_path) as one, Client(one.endpoint, topics=["mark."], since=since) as client:
        items = pump([one], client, lambda items: any(isinstance(item, Mark) for item in items))
        assert [(item.id, item.kind, item.event) for item in items if isinstance(item, Mark)] == [
            (first.id, "false", siren.id)
        ]
