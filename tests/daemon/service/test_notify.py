"""What the daemon tells its supervisor, and its journal: real sockets, a stepped clock."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from auricle.hearing.lane import Counters
from auricle.messages import SourceState
from auricle.service import logs
from auricle.service.notify import Notifier
from auricle.service.watchdog import Watchdog


def manager(address: str) -> socket.socket:
    """A service manager's end of the socket."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind("\0" + address[1:] if address.startswith("@") else address)
    listening.settimeout(5)
    return listening


def told(listening: socket.socket) -> list[str]:
    """Everything that waits there, field by field."""
    fields: list[str] = []
    listening.setblocking(False)
    while True:
        try:
            fields += listening.recv(65536).decode().split("\n")
        except BlockingIOError:
            return fields


@pytest.mark.parametrize("abstract", [False, True])
def test_fields_reach_the_socket(tmp_path: Path, abstract: bool) -> None:
    """A path and an abstract address both work; a newline in a value cannot forge another field."""
    address = f"@auricle-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}
    with manager(address) as listening:
        notifier = Notifier(environ)
        assert notifier.tell(READY=1, STATUS="hearing\nWATCHDOG=trigger")
        assert listening.recv(4096).decode() == "READY=1\nSTATUS=hearing WATCHDOG=trigger"
        assert notifier.watchdog_s == 20.0
        assert environ == {}
        notifier.reloading()
        fields = dict(field.split("=") for field in listening.recv(4096).decode().split("\n"))
        assert fields["RELOADING"] == "1"
        assert int(fields["MONOTONIC_USEC"]) > 0
        notifier.close()


def test_without_a_manager_nothing_is_told() -> None:
    """Run by hand, telling is a success that does nothing; a watchdog meant for another process is not ours."""
    notifier = Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"})
    assert notifier.tell(READY=1)
    assert notifier.watchdog_s is None


def test_a_manager_that_has_gone_is_no_error(tmp_path: Path) -> None:
    """A message that nobody takes is reported as not told, and is not raised."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert not notifier.tell(READY=1)
    notifier.close()


@dataclass
class Source:
    """What the watchdog looks at, as the test has it."""

    name: str
    done: bool = False
    state: SourceState = "starting"
    processed_s: float | None = None
    counters: Counters = field(default_factory=Counters)


class Supervised:
    """Lanes with nothing in them but what a watchdog looks at, and the manager that it speaks to."""

    def __init__(self, folder: Path, *names: str, watchdog_s: float = 20.0) -> None:
        self.listening = manager(str(folder / "notify"))
        environ = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
        self.notifier = Notifier(environ)
        self.lanes = [Source(name) for name in names]
        self.watchdog = Watchdog(self.lanes, self.notifier, 0.0)

    def tick(self, now_s: float) -> list[str]:
        """What is told at this time."""
        self.watchdog.tick(now_s)
        return told(self.listening)

    def close(self) -> None:
        self.listening.close()
        self.notifier.close()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Makes supervised lanes, and closes their sockets."""
    with ExitStack() as stack:

        def make(*names: str, watchdog_s: float = 20.0) -> Supervised:
            made = Supervised(tmp_path, *names, watchdog_s=watchdog_s)
            stack.callback(made.close)
            return made

        yield make


def test_ready_waits_for_every_source(supervised: Callable[..., Supervised]) -> None:
    """READY comes once every source was processed or is in a declared loss, and only once."""
    here = supervised("porch", "garden")
    porch, garden = here.lanes
    assert "READY=1" not in here.tick(0.0)
    porch.state, porch.processed_s = "running", 0.5
    assert "READY=1" not in here.tick(1.0)
    garden.state = "lost"
    fields = here.tick(2.0)
    assert "READY=1" in fields
    assert "WATCHDOG=1" in fields
    porch.processed_s = 2.9
    assert "READY=1" not in here.tick(3.0)
    here.watchdog.ready = False
    assert "READY=1" in here.tick(3.1), "after a reload it is told again, at once"


def test_one_silent_source_starves_the_watchdog(supervised: Callable[..., Supervised]) -> None:
    """WATCHDOG stops half the manager's time after one source's last block, though another goes on; a loss feeds it."""
    here = supervised("porch", "garden", watchdog_s=20.0)
    porch, garden = here.lanes
    for lane in here.lanes:
        lane.state, lane.processed_s = "running", 0.0
    fed = []
    for second in range(31):
        porch.processed_s = float(second)
        if "WATCHDOG=1" in here.tick(float(second)):
            fed.append(second)
        if second == 25:
            garden.state = "lost"
    assert fed == [*range(11), *range(26, 31)]
    garden.state, garden.processed_s, porch.processed_s = "found", 0.0, 31.0
    assert "WATCHDOG=1" in here.tick(31.0), "what has just come back is given time"


def test_a_finished_recording_is_well(supervised: Callable[..., Supervised]) -> None:
    """A source whose recordings have ended needs no sound to be well."""
    here = supervised("night", "porch", watchdog_s=4.0)
    night, porch = here.lanes
    night.done = True
    porch.state, porch.processed_s = "running", 100.0
    assert "WATCHDOG=1" in here.tick(100.0)


def test_the_status_is_a_line_for_people(supervised: Callable[..., Supervised]) -> None:
    """STATUS counts sources, losses and the events of the last hour, and is told when it changes."""
    here = supervised("porch", "garden")
    porch, garden = here.lanes
    garden.state, garden.processed_s, garden.counters.events = "running", 0.0, 1
    porch.state = "lost"
    here.tick(0.0)
    garden.processed_s, garden.counters.events = 14.0, 3
    assert "STATUS=2 sources, porch lost for 14 s, 3 events in the last hour" in here.tick(14.0)
    garden.processed_s = 3601.0
    assert "STATUS=2 sources, porch lost for 60 min, 2 events in the last hour" in here.tick(3601.0)
    porch.state, porch.processed_s, garden.processed_s = "found", 4000.0, 4000.0
    assert "STATUS=2 sources, no events in the last hour" in here.tick(4000.0)
    porch.processed_s = garden.processed_s = 4001.0
    assert not any(field.startswith("STATUS=") for field in here.tick(4001.0))
    porch.processed_s = 4020.0
    assert here.tick(4020.0) == ["STATUS=2 sources, garden not heard for 19 s, no events in the last hour"]


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("auricle", level, __file__, 1, text, (), None)


def test_the_journal_gets_priorities_and_no_clock() -> None:
    """Every line has its priority in front; text has no time of its own, JSON neither."""
    journal = logs.formatter("text", journal=True)
    assert journal.format(failed("disk\nfull")).startswith("<3>porch failed\n<3>    Traceback")
    assert all(line.startswith("<3>") for line in journal.format(failed("disk\nfull")).splitlines())
    assert journal.format(record(logging.INFO, "hearing")) == "<6>hearing"
    assert logs.formatter("json", journal=True).format(record(logging.ERROR, "no")) == (
        '<3>{"level": "error", "message": "no"}'
    )


def failed(text: str) -> logging.LogRecord:
    """A record with a traceback."""
    try:
        raise ValueError(text)
    except ValueError:
        return logging.LogRecord("auricle", logging.ERROR, __file__, 1, "porch failed", (), sys.exc_info())


@pytest.mark.parametrize("journal", [True, False])
def test_no_name_forges_a_line_of_the_log(journal: bool) -> None:
    """What others named is escaped in text: a record is one line, and of a traceback every further line is indented."""
    form = logs.formatter("text", journal=journal)
    line = form.format(record(logging.WARNING, "a\n2026-05-01 00:00:00 ERROR b\x1b[2J\udcff\u202e"))
    assert line.splitlines() == [line]
    assert line.endswith(r"a\n2026-05-01 00:00:00 ERROR b\x1b[2J\xff\u202e")
    first, *rest = form.format(failed("x\n2026-05-01 00:00:00 ERROR y\x1b[2J")).splitlines()
    assert first.endswith("porch failed")
    assert all(each.removeprefix("<3>").startswith("    ") and each.isprintable() for each in rest)
    assert any("ERROR y" in each for each in rest)


def test_elsewhere_there_is_a_clock() -> None:
    """Text begins with the time; JSON holds it in UTC."""
    assert logs.formatter("text", journal=False).format(record(logging.INFO, "hearing"))[:2] == "20"
    fields = json.loads(logs.formatter("json", journal=False).format(record(logging.INFO, "hearing")))
    assert list(fields) == ["t", "level", "message"]
    assert fields["t"].endswith("Z")


def test_the_journal_is_known_by_its_stream(tmp_path: Path) -> None:
    """JOURNAL_STREAM counts only where the stream is the one that it names."""
    with (tmp_path / "log").open("wb") as stream:
        status = os.fstat(stream.fileno())
        assert logs.to_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, stream.fileno())
        assert not logs.to_journal({"JOURNAL_STREAM": "1:2"}, stream.fileno())
        assert not logs.to_journal({}, stream.fileno())


def test_exceptions_stay_whole_in_json() -> None:
    """A traceback is one field of one line."""
    try:
        raise ValueError("broken")
    except ValueError:
        entry = logging.LogRecord("auricle", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    stream = io.StringIO(logs.formatter("json", journal=False).format(entry))
    (line,) = stream.readlines()
    assert "ValueError: broken" in json.loads(line)["exception"]
