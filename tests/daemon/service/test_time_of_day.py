"""A clock that is wrong: nothing is forgotten for its age until the time of day can be believed, and jumps are told."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auricle.client import AskEvents, AskMark, Client, Event, History, Mark, Marked, Status, ask
from auricle.service.timeofday import STEADY_S, TimeOfDay
from helpers.supervised import Supervised, supervised, until
from helpers.wire import daemon

DAY_S = 86400.0
YEARS_S = 15 * 365 * DAY_S
KEPT = 20
PROGRAM = """
import sys
from pathlib import Path
from auricle import start
from auricle.service import timeofday
timeofday.SYNCHRONISED = Path(sys.argv.pop(1))
start.main()
"""


@contextmanager
def at_another_time(folder: Path, library: Path, began: str) -> Iterator[Supervised]:
    """A daemon whose time of day is wrong by what `folder/clock` says, and that is synchronised by `folder/told`."""
    (folder / "clock").write_text(began)
    environ = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with supervised(folder, environ=environ, program=[sys.executable, "-c", PROGRAM, folder / "told"]) as one:
        one.until_logged("publishing on")
        yield one


@pytest.fixture(name="faketime")
def _faketime(require: Callable[[bool, str], None]) -> Path:
    """The library that tells a process another time; skips where it is absent."""
    found = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    require(found is not None, "libfaketime (apt-get install libfaketime)")
    assert found is not None
    return found


def remember(folder: Path) -> set[str]:
    """Some events of today in the history of the daemon that will run there; their identifiers."""
    with daemon(folder) as one:
        for _ in range(KEPT):
            one.event("onset")
            one.event("offset")
        return {m.id for _, m in one.sent if isinstance(m, Event)}


def history(one: Supervised) -> set[str]:
    """The identifiers of all that it remembers."""
    found: set[str] = set()
    after: str | None = None
    while True:
        page = ask(one.query, AskEvents(after=after), History)
        found |= {m.id for m in page.messages if isinstance(m, Event | Mark)}
        if not isinstance(page.next, str):
            return found
        after = page.next


def mark(one: Supervised, n: int) -> None:
    """Give it something to write, so often."""
    for _ in range(n):
        ask(one.query, AskMark(text="x"), Marked)


def test_a_start_in_the_year_2041_forgets_nothing(tmp_path: Path, faketime: Path) -> None:
    """All is kept and that is said; once a server has confirmed the time, what is old goes, however old it is."""
    kept = remember(tmp_path)
    with at_another_time(tmp_path, faketime, f"+{YEARS_S:.0f}") as one:
        mark(one, 6)
        assert kept <= history(one)
        assert one.log.count("what is older than 90 days stays for now: the time of day is not certain") == 1
        (tmp_path / "told").touch()
        os.utime(tmp_path / "told", (time.time() + YEARS_S,) * 2)
        mark(one, 6)
        assert not kept & history(one)
        assert "what is older than 90 days goes: the time of day is certain" in one.log


def test_a_jump_is_told_and_nothing_is_forgotten_for_it(tmp_path: Path, faketime: Path) -> None:
    """Fifteen years forward and back again: each a message and a warning; a word from before the jump is no word."""
    kept = remember(tmp_path)
    (tmp_path / "told").touch()
    with at_another_time(tmp_path, faketime, "+0") as one, Client(one.endpoint, topics=["status."]) as client:
        said: list[str] = []

        def jumped(times: int) -> bool:
            item = client.receive(0.1)
            if isinstance(item, Status) and item.state == "clock" and item.source is None:
                said.append(item.detail)
            return len(said) == times

        until(lambda: client.receive(0.1) is not None, "it has joined")
        mark(one, 6)
        (tmp_path / "clock").write_text(f"+{YEARS_S:.0f}")
        until(lambda: jumped(1), lambda: one.log)
        mark(one, 6)
        assert kept <= history(one)
        (tmp_path / "clock").write_text("+0")
        until(lambda: jumped(2), lambda: one.log)
        mark(one, 6)
        assert kept <= history(one)
        assert [line.split(",")[0] for line in said] == [f"the time of day jumped {way}" for way in ("forward", "back")]
        assert f"to {time.gmtime().tm_year}-" in said[1]
        assert all(line in one.log for line in said)


class Clocks:
    """The two clocks of a machine, turned by hand."""

    def __init__(self, folder: Path) -> None:
        self.wall, self.steady = 2e9, 100.0
        self.file = folder / "told"
        self.time = TimeOfDay(self.file, wall=lambda: self.wall, steady=lambda: self.steady)

    def go_on(self, seconds: float, *, slewed: float = 0.0) -> list[str]:
        """Time goes on, looked at every second; what was said of it."""
        said = []
        for _ in range(round(seconds)):
            self.steady += 1.0
            self.wall += 1.0 + slewed
            said.append(self.time.look())
        return [each for each in said if each is not None]

    def confirm(self) -> None:
        """A server tells the time."""
        self.file.touch()
        os.utime(self.file, (self.wall,) * 2)


def test_a_day_without_a_step_is_enough(tmp_path: Path) -> None:
    """A clock that no server confirms is certain after 24 h without a step, counted anew from every step."""
    here = Clocks(tmp_path)
    assert here.go_on(STEADY_S - 60) == []
    assert not here.time.certain
    here.wall += 3.0
    (said,) = here.go_on(2)
    assert said == "the time of day jumped forward, from 2033-05-19 03:32:21 UTC to 2033-05-19 03:32:24 UTC"
    assert here.go_on(STEADY_S - 60) == []
    assert not here.time.certain
    here.go_on(120)
    assert here.time.certain


def test_a_clock_that_is_slewed_does_not_step(tmp_path: Path) -> None:
    """500 ppm for a day are 43 s, and no step."""
    here = Clocks(tmp_path)
    assert here.go_on(DAY_S, slewed=500e-6) == []
    assert here.time.certain


def test_a_server_confirms_until_the_next_step(tmp_path: Path) -> None:
    """Confirmed is certain at once; after a step, either way, only when confirmed anew; a day later no more."""
    here = Clocks(tmp_path)
    here.confirm()
    assert here.time.certain
    for step in (YEARS_S, -YEARS_S, 3600.0, -3600.0):
        here.wall += step
        assert len(here.go_on(2)) == 1
        assert not here.time.certain, step
        here.confirm()
        assert here.time.certain
        here.go_on(100)
    # A step by a server that confirms in the same second.
    here.wall += 3600.0
    here.confirm()
    here.go_on(1)
    assert here.time.certain
    here.go_on(10)
    here.wall += 30.0
    here.go_on(1)
    assert not here.time.certain
    here.confirm()
    os.utime(here.file, (here.wall - DAY_S - 1,) * 2)
    assert not here.time.certain


def test_what_is_old_goes_behind_what_is_dated_in_the_future(tmp_path: Path) -> None:
    """Events told while the clock was years ahead do not keep those that are really old from going."""
    with daemon(tmp_path) as one:
        assert one.store is not None
        db = one.store.database.connect()
        for told_s in (time.time() + YEARS_S, time.time() - 100 * DAY_S):
            for _ in range(10):
                one.event("onset")
                one.event("offset")
            db.execute(
                "UPDATE events SET told_us = ? WHERE n > (SELECT max(n) FROM events) - 10", (round(1e6 * told_s),)
            )
        for _ in range(2):
            one.event("onset")
            one.event("offset")
        rows = db.execute("SELECT told_us FROM events").fetchall()
    assert len(rows) == 10 + 2
    assert all(told_us > 1e6 * (time.time() - DAY_S) for (told_us,) in rows)
