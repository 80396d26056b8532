"""The history beside what happens to it: marks without end, and a file that goes away under it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from auricle.commands.status import lines
from auricle.messages import Event, Mark, Status
from auricle.messages.questions import Marked, Position, Refused, Report
from helpers.wire import Daemon, daemon

MARK = b'{"ask": "mark", "text": "' + b"x" * 900 + b'"}'


def kept(one: Daemon) -> list[Event | Mark]:
    """All that the history holds."""
    assert one.store is not None
    found, after = [], None
    while True:
        page, after = one.store.page(0, after, label=None, source=None)
        found += page
        if after is None:
            return found


def marks(one: Daemon, n: int) -> None:
    """So many marks, by as many askers as that takes."""
    for i in range(n):
        assert isinstance(one.query.answer([MARK], str(i // 10).encode()), Marked)


def news(one: Daemon) -> list[str]:
    """What was told of the history."""
    one.serve()
    return [m.detail for _, m in one.sent if isinstance(m, Status) and m.state == "store"]


def look_now(one: Daemon) -> None:
    """Serve as if the next look at the file were due."""
    assert one.store is not None
    one.store.database._look_s = 0.0
    one.serve()


def test_marks_push_out_marks_alone(tmp_path: Path) -> None:
    """After 3,000 marks in a history of 1 MB all 50 events are there, also after a restart; in memory as well."""
    with daemon(tmp_path, max_mb=1.0, held=800) as one:
        for _ in range(50):
            one.event("onset")
            one.event("offset")
        marks(one, 3000)
        found = kept(one)
        assert len({m.id for m in found if isinstance(m, Event)}) == 50
        assert 20 < sum(isinstance(m, Mark) for m in found) < 130
        position = Position(instance=one.publisher.instance, last_seq={})
        told, _, complete = one.journal.since(position, ["event."])
        assert (len(told), complete) == (64, True)
    with daemon(tmp_path, max_mb=1.0) as one:
        marks(one, 300)
        found = kept(one)
        assert len({m.id for m in found if isinstance(m, Event)}) == 50
        assert 20 < sum(isinstance(m, Mark) for m in found) < 130


def test_marks_that_wait_push_out_marks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be written a tenth of what waits may be marks; the oldest of them go, and that is counted."""
    monkeypatch.setattr("auricle.publish.waiting.WAITING", 100)
    (tmp_path / "state").write_text("a file")
    with daemon(tmp_path) as one:
        assert one.store is not None
        for _ in range(20):
            one.event("onset")
            one.event("offset")
        marks(one, 200)
        waiting = [row.topic for row in one.store._waiting]
        assert sum(topic.startswith("event.") for topic in waiting) == 40
        assert sum(topic.startswith("mark.") for topic in waiting) == 10
        assert one.store.lost == 190


def test_the_limit_on_marks_is_of_each_asker(tmp_path: Path) -> None:
    """Whoever marks more than ten times a second is refused; another one is not."""
    with daemon(tmp_path) as one:
        answers = [one.query.answer([MARK], b"hasty") for _ in range(50)]
        assert sum(isinstance(answer, Refused) for answer in answers) >= 30
        assert isinstance(one.query.answer([MARK], b"calm"), Marked)


@pytest.mark.parametrize("how", ["deleted", "replaced", "folder"])
def test_a_file_that_goes_away_is_made_anew(tmp_path: Path, how: str) -> None:
    """Deleted, replaced, or gone with its folder: told once, and the new one has what goes on from its beginning."""
    with daemon(tmp_path) as one:
        assert one.store is not None
        path = one.store.path
        one.event("onset", "siren")
        one.event("offset", "siren")
        begun = one.event("onset")
        one.event("update")
        if how == "deleted":
            path.unlink()
        elif how == "replaced":
            sqlite3.connect(tmp_path / "other.db").close()
            (tmp_path / "other.db").touch()
            os.replace(tmp_path / "other.db", path)
        else:
            shutil.rmtree(path.parent)
        look_now(one)
        look_now(one)
        told = news(one)
        assert len(told) == 1, told
        assert "was deleted or replaced; a new one begins, with the 1 events that go on" in told[0]
        report = one.query.answer([b'{"ask": "status"}'])
        assert isinstance(report, Report)
        assert report.hearing
        assert report.history.anew is not None
        assert report.history.anew.why == "was deleted or replaced"
        assert f"began anew at {report.history.anew.t}: its file was deleted or replaced" in "\n".join(lines(report))
        assert [(m.id, m.phase) for m in kept(one) if isinstance(m, Event)] == [
            (begun.id, "onset"),
            (begun.id, "update"),
        ]
        one.event("offset")
        assert [m.phase for m in kept(one) if isinstance(m, Event)] == ["onset", "offset"]
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT id, going_on FROM events").fetchall() == [(begun.id, 0)]
    rows.close()
