"""A paused source is really closed, for as long as was asked, over a restart, and nobody takes it for a fault."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any

import pytest

from auricle import config
from auricle.client import AskStatus, Client, Gap, Report, Scores, Status, ask
from auricle.config.schedule import DAYS
from auricle.errors import ConfigError, UsageError
from auricle.hearing.counters import Counters
from auricle.messages.questions import AskPause, AskResume
from auricle.service import pauses
from auricle.service.pauses import Pauses
from auricle.service.watchdog import Watchdog
from helpers.running import Running, configuration, running, wait_for
from helpers.sounds import varied, write

WANTED = config.Source(name="hall", microphone=config.Microphone())
WHO = {"node": "n", "instance": "i"}


def lane(name: str, *, able: bool = True) -> Any:
    """Make what looks like a lane; `said` holds what its source was told."""
    said: list[str | None] = []
    live = SimpleNamespace(can_pause=able, pause=said.append)
    return SimpleNamespace(name=name, live=live, said=said)


def test_pauses_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause ends when its time has come, by the clock that a restart has too; one without a time does not; each
    source that comes is told."""
    now_s = 1_000_000.0
    monkeypatch.setattr(time, "time_ns", lambda: round(1e9 * now_s))
    hall, porch = lane("hall"), lane("porch")
    held = Pauses([hall, porch], tmp_path / "paused.json")
    told = held.answer(AskPause(source="hall", for_s=7200.0), WHO)
    assert told.paused == {"hall": "1970-01-12T15:46:40.000000Z"}
    held.answer(AskPause(source="porch"), WHO)
    assert (tmp_path / "paused.json").stat().st_mode & 0o777 == 0o600
    now_s += 7199
    anew = Pauses([hall, porch], tmp_path / "paused.json")
    for each in (hall, porch):
        anew.attend(each, WANTED)
    assert hall.said[-1] == "until 1970-01-12T15:46:40.000000Z"
    anew.tick(1.0)
    assert hall.said[-1] is not None
    now_s += 1
    anew.tick(2.0)
    assert (hall.said[-1], porch.said[-1]) == (None, "until it is resumed")
    assert pauses.read(tmp_path / "paused.json") == {"porch": None}
    assert anew.answer(AskResume(), WHO).paused == {}
    assert porch.said[-1] is None


@pytest.mark.parametrize(
    ("hours", "heard"),
    [
        (["mon-fri 07:00-19:00"], ["mon 07:00", "fri 18:59"]),
        (["mon-fri 07:00-19:00"], ["-mon 06:59", "-fri 19:00", "-sat 12:00", "-sun 08:00"]),
        (["22:00-06:00"], ["mon 22:00", "tue 05:59", "sun 23:00", "-mon 06:00", "-mon 21:59"]),
        (["sat 22:00-02:00"], ["sat 23:00", "sun 01:59", "-sun 02:00", "-sat 01:00", "-sun 23:00"]),
        (["fri-mon 10:00-11:00", "wed 00:00-24:00"], ["fri 10:00", "sun 10:30", "wed 23:59", "-thu 10:00"]),
    ],
)
def test_hours_of_the_week(hours: list[str], heard: list[str]) -> None:
    """A minute of the week lies in the hours or not; hours over midnight belong to the day that they begin on."""
    for each in heard:
        day, clock = each.removeprefix("-").split()
        # The fifth of January 1970 was a Monday.
        minute = (DAYS.index(day) + 4) * 24 * 60 + int(clock[:2]) * 60 + int(clock[3:])
        assert config.within(hours, time.gmtime(60 * minute)) != each.startswith("-"), each


def test_a_schedule_opens_and_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is paused outside its hours, from the first moment on; a pause by hand goes before, a resume does not
    open what the schedule closes, and another schedule holds at once."""
    now_s = 4 * 86400 + 6 * 3600 + 59 * 60 + time.timezone
    monkeypatch.setattr(time, "time_ns", lambda: round(1e9 * now_s))
    monkeypatch.setattr(time, "localtime", lambda seconds: time.gmtime(seconds - time.timezone))
    hall = lane("hall")
    held = Pauses([hall], tmp_path / "paused.json")
    held.attend(hall, replace(WANTED, schedule=("mon-fri 07:00-19:00",)))
    assert hall.said[-1] == "by its schedule"
    assert held.answer(AskResume(), WHO).scheduled == ["hall"]
    assert hall.said[-1] == "by its schedule"
    now_s += 60
    held.tick(1.0)
    assert hall.said[-1] is None
    held.answer(AskPause(for_s=60.0), WHO)
    assert hall.said[-1] is not None
    assert hall.said[-1].startswith("until 1970")
    now_s += 61
    held.tick(2.0)
    assert hall.said[-1] is None
    held.configure(config.Config(sources=(replace(WANTED, schedule=("sun 07:00-19:00",)),), origins={}))
    held.tick(3.0)
    assert hall.said[-1] == "by its schedule"


@pytest.mark.parametrize(
    ("schedule", "line"),
    [
        ("mo 07:00-19:00", "is no time of the week"),
        ("07:00", "is no time of the week"),
        ("25:00-26:00", "has an hour that no day has"),
        ("07:00-07:00", "begins when it ends"),
    ],
)
def test_a_schedule_that_is_none(schedule: str, line: str) -> None:
    """It is refused where it is read, with what one looks like; so is one of a source that cannot be paused."""
    for kind, said in (("microphone", line), ("stdin", line)):
        source = {"name": "a", kind: {"rate": 16000} if kind == "stdin" else {}, "schedule": schedule}
        with pytest.raises(ConfigError, match=said):
            config.load(None, environ={}, overrides={"sources": [source]})
    source = {"name": "a", "stdin": {"rate": 16000}, "schedule": "07:00-19:00"}
    with pytest.raises(ConfigError, match="schedule: a stdin cannot be paused; remove the key"):
        config.load(None, environ={}, overrides={"sources": [source]})


def test_what_cannot_be_paused(tmp_path: Path) -> None:
    """Recordings and standard input cannot be had again where they stood: that is said, as is a name that is none."""
    held = Pauses([lane("hall"), lane("pipe", able=False)], tmp_path / "paused.json")
    with pytest.raises(UsageError, match="pipe cannot be paused; microphones and ffmpeg can"):
        held.answer(AskPause(source="pipe"), WHO)
    with pytest.raises(UsageError, match="none called 'cellar'; use one of hall, pipe"):
        held.answer(AskResume(source="cellar"), WHO)
    assert set(held.answer(AskPause(), WHO).paused) == {"hall"}


def test_a_file_that_cannot_be_kept_or_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a restart would not know of a pause, who asks is told so; a file that does not hold is told, and nothing is
    paused by it."""
    (tmp_path / "file").write_text("")
    told = Pauses([lane("hall")], tmp_path / "file" / "paused.json").answer(AskPause(), WHO)
    assert told.paused == {"hall": None}
    assert told.trouble is not None
    assert told.trouble.endswith("a restart will not know of it")
    for n, content in enumerate((b"", b"[]", b'{"hall": "x"}', b'{"hall": 1e400}', b"\xff", b'{"hall": 9e18}')):
        (tmp_path / "paused.json").write_bytes(content)
        caplog.clear()
        assert pauses.read(tmp_path / "paused.json") == {}, (n, content)
        assert caplog.text.count("no list of pauses") == 1


def test_the_watchdog_is_fed() -> None:
    """A paused source keeps nobody from being called alive, however long it lasts, and the line for people says so."""
    fields: list[dict[str, object]] = []

    def tell(**said: object) -> bool:
        fields.append(said)
        return True

    paused = SimpleNamespace(name="hall", done=False, state="paused", processed_s=0.0, counters=Counters())
    watchdog = Watchdog([paused], SimpleNamespace(watchdog_s=10.0, tell=tell), 0.0)  # type: ignore[arg-type,list-item]
    for now_s in range(0, 100, 5):
        watchdog.tick(float(now_s))
    assert sum("WATCHDOG" in each for each in fields) == 20
    assert watchdog.status(100.0) == "1 source, hall paused for 100 s, no events in the last hour"


def test_a_daemon_closes_its_source(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """`auricle pause` ends ffmpeg, status says paused and that all is well; so it is after a restart; `auricle resume`
    brings the sound back, and the gap says why there was none: that was wanted, and is neither a loss nor a warning."""
    require(which("ffmpeg") is not None, "ffmpeg")
    write(tmp_path / "noise.wav", varied(5.0))
    source = {"url": str(tmp_path / "noise.wav"), "options": ["-re", "-stream_loop", "-1"]}
    wanted = configuration(tmp_path, sources=[{"name": "hall", "ffmpeg": source}])
    with running(tmp_path, wanted) as one, Client(one.events, topics=["score.", "status.", "gap."]) as client:
        until(client, lambda item: isinstance(item, Scores))
        assert ffmpegs(one)
        assert says(one, "pause", "--source", "hall").startswith("hall: paused until it is resumed")
        until(client, lambda item: isinstance(item, Status) and item.state == "paused")
        wait_for(lambda: not ffmpegs(one), "ffmpeg is ended")
        report = ask(one.query, AskStatus(), Report, timeout_s=30)
        assert (report.sources["hall"].state, report.hearing, report.reasons) == ("paused", True, [])
    with running(tmp_path, wanted) as one, Client(one.events, topics=["score.", "gap."]) as client:
        wait_for(lambda: ask(one.query, AskStatus(), Report, timeout_s=30).sources["hall"].state == "paused", "paused")
        assert not ffmpegs(one)
        assert says(one, "resume") == "nothing is paused\n"
        gap = until(client, lambda item: isinstance(item, Gap))
        assert gap.cause == "pause"
        until(client, lambda item: isinstance(item, Scores))
        found = ask(one.query, AskStatus(), Report, timeout_s=30).sources["hall"]
        lines = [line for line in one.log.splitlines() if "hall: gap of" in line]
        of_pause, others = ([line for line in lines if ("(pause)" in line) == paused] for paused in (True, False))
        assert (found.paused_samples, found.gaps) == (gap.samples, len(others)), lines
        assert (found.lost_samples == 0) == (not others), lines  # until it is open again, it is wanted
        assert ["WARNING" in line for line in of_pause] == [False]


def until(client: Client, wanted: Callable[[Any], bool]) -> Any:
    """Return the first message that is wanted."""

    def looks() -> Any:
        item = client.receive(0.2)
        return item if item is not None and wanted(item) else None

    return wait_for(looks, "a message")


def ffmpegs(one: Running) -> list[str]:
    """Return the daemon's children that are ffmpeg."""
    names = [Path(f"/proc/{pid}/comm") for pid in one.children()]
    return [name.read_text() for name in names if os.path.exists(name) and "ffmpeg" in name.read_text()]


def says(one: Running, *words: str) -> str:
    """Return what a command prints."""
    command = [sys.executable, "-m", "auricle", *words, "--endpoint", one.query]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
