"""Notifications: which events, when, in how many messages; and targets that are slow, fail or hang."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from datetime import time as clock
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from auricle.client import Clip, Event
from auricle.clips.beside import beside
from auricle.clips.encode import encode
from auricle.clips.writer import comment
from auricle.connectors.notices import Hours, Notice, Notices, Rule
from auricle.connectors.pictures import WAITING as PICTURES_WAITING
from auricle.connectors.pictures import Pictures
from auricle.connectors.targets import WAITING, Line, Target, read
from auricle.errors import ConfigError
from auricle.messages import decode
from auricle.messages.topics import examples
from helpers.bridged import house
from helpers.broker import wait_for
from helpers.kept import order

pytestmark = [pytest.mark.timeout(180)]

NOON = datetime.fromisoformat("2026-05-01T12:00:00+02:00")
EVENT = decode(next(text for name, text in examples().items() if name.startswith("event.")))
CLIP = decode(next(text for name, text in examples().items() if name.startswith("clip.")))


class Day:
    """A day on which things are heard, by a clock that is told."""

    def __init__(self, *rules: Rule, quiet: Hours | None = None) -> None:
        self.notices = Notices(rules, quiet)
        self.now = NOON
        self._n = 0

    def go(self, seconds: float) -> list[str]:
        """Let time pass; what is told because of it."""
        self.now += timedelta(seconds=seconds)
        return [notice.text for notice in self.notices.due(self.now)]

    def hear(
        self, label: str = "dog_bark", source: str = "porch", *, peak: float = 0.9, lasts_s: float = 1.0
    ) -> list[str]:
        """Hear an event from onset to offset; what is told at once."""
        id = self.begin(label, source, peak=peak)
        return [*id.told, *self.end(id, lasts_s)]

    def begin(self, label: str = "dog_bark", source: str = "porch", *, peak: float = 0.9) -> Going:
        """Hear an onset."""
        self._n += 1
        one = Going(self._event("onset", f"{self._n}", label, source, peak, 0.0))
        one.told = self._take(one.event)
        return one

    def end(self, one: Going, lasts_s: float = 1.0) -> list[str]:
        """Hear the end of an event that goes on."""
        e = one.event
        return self._take(self._event("offset", e.id, e.label, e.source or "", e.peak, lasts_s))

    def _take(self, event: Event) -> list[str]:
        return [notice.text for notice in self.notices.take(event, self.now)]

    def _event(self, phase: str, id: str, label: str, source: str, peak: float, lasts_s: float) -> Event:
        found: Event = msgspec.structs.replace(
            EVENT, phase=phase, id=id, label=label, source=source, peak=peak, duration_s=lasts_s
        )
        return found


class Going:
    """An event that goes on, and what was told of its onset."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.told: list[str] = []


def test_a_rule_chooses() -> None:
    """By label, source, peak, duration and hours; an event is told once, and as soon as it is what is wanted."""
    day = Day(
        Rule(
            "dog", frozenset({"dog_bark"}), frozenset({"porch"}), least_peak=0.8, least_duration_s=2.0, cooldown_s=0.0,
            hours=Hours(clock(8), clock(20)),
        )
    )  # fmt: skip
    assert day.hear("rain", lasts_s=5) == []
    assert day.hear(source="hall", lasts_s=5) == []
    assert day.hear(peak=0.7, lasts_s=5) == []
    assert day.hear(lasts_s=1.9) == []
    one = day.begin()
    assert one.told == []
    assert day.end(one, 2.0) == ["12:00:00 dog bark at porch"]
    day.go(8 * 3600)
    assert day.hear(lasts_s=5) == [], "it is 20:00"


@pytest.mark.parametrize(
    ("first", "last", "within"),
    [
        (clock(8), clock(20), {8, 12, 19}),
        (clock(22), clock(7), {22, 23, 0, 6}),
        (clock(5), clock(5), set()),
    ],
)
def test_hours_may_pass_midnight(first: clock, last: clock, within: set[int]) -> None:
    """From the first minute on, up to the last and without it."""
    hours = Hours(first, last)
    held = {hour for hour in range(24) if hours.holds(NOON.replace(hour=hour))}
    assert within <= held
    assert last.hour not in held
    assert len(held) == (last.hour - first.hour) % 24


def test_not_while_another_label_is_on() -> None:
    """Not while the vacuum cleaner runs at the same source; it may elsewhere, and afterwards."""
    day = Day(Rule("dog", frozenset({"dog_bark"}), not_while=frozenset({"vacuum_cleaner"}), cooldown_s=0.0))
    elsewhere = day.begin("vacuum_cleaner", "hall")
    assert day.hear() == ["12:00:00 dog bark at porch"]
    here = day.begin("vacuum_cleaner")
    assert day.hear() == []
    assert day.hear(source="hall") == []
    day.end(here)
    assert len(day.hear()) == 1
    day.end(elsewhere)


def test_a_cooldown_holds_a_rule_and_a_label() -> None:
    """After a message none about the same label for so long; another label and another rule are told; the next message
    says how many there were."""
    day = Day(Rule("all", cooldown_s=60.0), Rule("dog", frozenset({"dog_bark"}), cooldown_s=0.0))
    assert len(day.hear()) == 2
    assert len(day.hear()) == 1
    assert len(day.hear("rain")) == 1
    day.go(59)
    assert len(day.hear()) == 1
    day.go(1)
    assert day.hear()[0] == "12:01:00 dog bark at porch, and 2 more before it"
    day.go(61)
    assert day.hear()[0] == "12:02:01 dog bark at porch"


def test_a_digest_counts() -> None:
    """One message an hour, on the hour, that says how often each label was heard; none where there was nothing."""
    day = Day(Rule("all", digest_s=3600.0))
    for _ in range(12):
        assert day.hear() == []
        assert day.go(120) == []
    day.hear("rain", "hall")
    assert day.go(35 * 60) == []
    assert day.go(60) == ["12 dog bark at porch, 1 rain at hall between 12:00 and 13:00"]
    assert day.go(7200) == []
    day.hear()
    assert day.go(3600) == ["1 dog bark at porch between 15:00 and 16:00"]


def test_quiet_hours_are_quiet() -> None:
    """What there is in them is told afterwards, in one message a rule; what is urgent is told at once."""
    quiet = Hours(clock(22), clock(7))
    day = Day(Rule("dog", cooldown_s=0.0), Rule("fire", frozenset({"smoke_alarm"}), urgent=True), quiet=quiet)
    day.go(11 * 3600)
    assert day.hear() == []
    assert day.go(3600) == []
    assert day.hear() == []
    assert day.hear("smoke_alarm") == ["00:00:00 smoke alarm at porch"]
    assert day.go(7 * 3600) == [
        "While it was quiet, from 23:00 on: 2 dog bark at porch, 1 smoke alarm at porch",
    ]
    assert day.hear() == ["07:00:00 dog bark at porch"]


def test_a_picture_is_for_what_was_told() -> None:
    """The clip of an event is shown to whom the event was told, with the same words and once; not where its rule wants
    no pictures, nor of what a cooldown held back, nor in the quiet hours, nor where there is no clip."""
    day = Day(
        Rule("dog", frozenset({"dog_bark"}), cooldown_s=60.0, picture=True, to=("phone",)),
        Rule("all", cooldown_s=60.0),
        quiet=Hours(clock(22), clock(7)),
    )

    def shown(one: Going, path: str | None = "/a.flac") -> list[Notice]:
        clip = msgspec.structs.replace(CLIP, id=one.event.id, path=path)
        return list(day.notices.draw(clip, day.now))

    told, held = day.begin(), day.begin()
    assert shown(told) == [Notice("dog", "The sound of 12:00:00 dog bark at porch", ("phone",))]
    assert shown(told) == shown(held) == []
    day.go(61)
    assert "and 1 more" in (again := day.begin()).told[0]
    assert shown(again, None) == []
    day.go(61)
    assert [notice.text for notice in shown(day.begin())] == ["The sound of 12:02:02 dog bark at porch"]
    day.go(9 * 3600 + 50 * 60)
    late = day.begin()
    day.go(3600)
    assert shown(late) == []


class Service:
    """A web service that takes what it is told to take."""

    def __init__(self) -> None:
        self.got: dict[str, list[str]] = {}
        self.pictures: dict[str, list[bytes]] = {}
        self.failing: set[str] = set()
        self.hanging = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = self.path.strip("/")
                if name == "hangs":
                    service.hanging.wait(60)
                if name == "slow":
                    service.hanging.wait(1.0)
                service.got.setdefault(name, []).append(f"{said['title']}: {said['message']}")
                found = [base64.b64decode(each["base64"]) for each in said.get("attachments", ())]
                service.pictures.setdefault(name, []).extend(found)
                self.send_response(503 if name in service.failing else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def targets(self, *names: str) -> str:
        """The list of targets that are paths of it."""
        return "".join(f"{name} json://user:secret@127.0.0.1:{self.port}/{name}\n" for name in names)


@contextmanager
def serving() -> Iterator[Service]:
    """Run a service."""
    one = Service()
    try:
        yield one
    finally:
        one.hanging.set()
        one.server.shutdown()
        one.server.server_close()


def test_events_reach_people(tmp_path: Path) -> None:
    """From the daemon through rules to a web service: a burst is one message; a service that hangs, one that is slow
    and one that fails hold up nobody; one that fails is tried again; addresses are in no log."""
    with serving() as service:
        names = ("fine", "slow", "fails", "hangs")
        (tmp_path / "targets").write_text("# who is told\n" + service.targets(*names))
        service.failing.add("fails")
        rules = [{"name": "all", "cooldown_s": 0}, {"name": "dog", "labels": ["dog_bark"], "to": ["fine"]}]
        with house(tmp_path, {"notify": {"targets": str(tmp_path / "targets"), "rules": rules}}) as here:
            going_on = here.here.event("onset", "siren")
            here.start("notify")
            here.until(lambda: here.notified.get("READY"), "it is ready")
            here.for_s(1.0)
            here.here.event("update", "siren")
            for label in ("rain", "dog_bark"):
                for _ in range(5):
                    here.here.event("onset", label)
                    here.here.event("offset", label)
            here.until(lambda: len(service.got.get("fine", [])) == 1, "it is told")
            here.until(lambda: len(service.got.get("slow", [])) == 1, "it is told too")
            here.until(lambda: service.got.get("fails"), "it was tried")
            (fine,) = service.got["fine"]
            title, _, text = fine.partition(": ")
            assert title == "Auricle, test"
            lines = [line[9:] for line in text.splitlines()]
            assert lines.count("rain at porch") == 5
            assert lines.count("dog bark at porch") == 6, "five, and one of the other rule"
            assert going_on.label not in text, "it went on before the bridge began"
            service.failing.clear()
            tried = len(service.got["fails"])
            here.until(lambda: len(service.got["fails"]) > tried, "it is tried again")
            assert service.got["fails"][-1] == service.got["slow"][0]
            assert "secret" not in here.log
            assert here.watchdogs > 0
            assert here.stop() == 0


def test_a_picture_of_the_sound_follows(tmp_path: Path) -> None:
    """Once the clip of an event that was told lies there, its spectrogram comes as a PNG, in a message of its own, to
    each target that takes pictures, and again to one that failed; a clip that is gone is told in the log. A disk that
    answers slowly delays pictures alone: they have a thread of their own."""
    with serving() as service:
        lines = service.targets("fine", "fails", "slow") + f"plain gotify://127.0.0.1:{service.port}/token\n"
        (tmp_path / "targets").write_text(lines)
        notify = {"targets": str(tmp_path / "targets"), "rules": [{"name": "all", "cooldown_s": 0, "picture": True}]}
        with house(tmp_path, {"notify": notify}, clips={"enabled": True}) as here:
            here.start("notify")
            here.until(lambda: here.notified.get("READY"), "it is ready")
            here.for_s(1.0)
            event, gone = here.here.event("onset", "siren"), here.here.event("onset", "rain")
            here.until(lambda: service.got.get("message"), "all are told")
            here.until(lambda: service.got.get("slow"), "all are told")
            assert not service.pictures["fine"]
            asked = order(1)
            clip = msgspec.structs.replace(asked.clip, id=event.id)
            content, _ = encode(asked.sound, "flac", lambda facts: comment(clip, facts))
            (tmp_path / "a.flac").write_bytes(content)
            service.failing.add("fails")
            here.here.clip(gone, str(tmp_path / "none.flac"))
            said = here.here.clip(event, str(tmp_path / "a.flac"))
            here.until(lambda: service.pictures["fine"], "the picture is shown")
            here.until(lambda: service.pictures["slow"], "the picture is shown")
            here.until(lambda: service.pictures["fails"], "it was tried")
            tried = len(service.pictures["fails"])
            service.failing.clear()
            here.until(lambda: len(service.pictures["fails"]) > tried, "it is tried again")
            picture = beside(said, content, ["png"])["png"]
            assert picture.startswith(b"\x89PNG\r\n")
            assert service.pictures["fine"] == service.pictures["slow"] == [picture]
            assert set(service.pictures["fails"]) == {picture}
            assert service.got["fine"][-1].startswith("Auricle, test: The sound of ")
            assert service.got["fine"][-1].endswith(" siren at porch")
            assert len(service.got["fine"]) == 2, "two events in a message, and a picture"
            assert len(service.got["message"]) == 1, "a target that takes no pictures is told once"
            assert f"all: no picture: {tmp_path}/none.flac: it cannot be read: No such file or directory" in here.log
            assert here.stop() == 0


def test_a_disk_that_hangs_holds_up_pictures_alone(caplog: pytest.LogCaptureFixture) -> None:
    """While one clip is not drawn, more wait; of more than may wait the newest are told as without a picture, and who
    gives them goes on at once."""
    hangs, failed, shown = threading.Event(), threading.Event(), list[str]()

    def draw(clip: Clip) -> bytes:
        hangs.wait(60)
        if not shown and not failed.is_set():
            failed.set()
            raise MemoryError
        return b""

    pictures = Pictures(draw, lambda notice, picture: shown.append(notice.text))
    for n in range(PICTURES_WAITING + 8):
        pictures.put(Notice("all", f"{n}", None), CLIP)
    assert not shown
    assert 7 <= len([line for line in caplog.messages if "wait already" in line]) <= 8, "one may be under way"
    hangs.set()
    wait_for(lambda: len(shown) >= PICTURES_WAITING - 1, "what waited is drawn, but for the one without memory")
    assert shown[:3] == ["1", "2", "3"]


def test_a_target_that_fails_keeps_its_order_and_its_bounds() -> None:
    """What waits for a target is bounded: the oldest go, and the message says how many; then all comes in order."""
    sent: list[str] = []
    works = threading.Event()
    tried = threading.Event()

    def send(title: str, text: str, pictures: Sequence[bytes]) -> bool:
        tried.set()
        if works.is_set():
            sent.append(text)
        return works.is_set()

    target = Target("it", send, gather_s=0.0, first_wait_s=0.01, longest_wait_s=0.02)
    target.put(Line("t", "0"))
    assert tried.wait(30)
    for n in range(1, WAITING + 8):
        target.put(Line("t", f"{n}"))
    works.set()
    wait_for(lambda: sent, "it is told")
    target.put(Line("t", "last"))
    assert target.close(30.0)
    lines = "\n".join(sent).splitlines()
    assert lines[0] == "8 earlier lines are not told"
    assert lines[1:] == [*(f"{n}" for n in range(8, WAITING + 8)), "last"]


def test_what_a_target_raises_is_a_failure() -> None:
    """A plugin that raises is tried again like a service that says no."""
    times: list[float] = []

    def send(title: str, text: str, pictures: Sequence[bytes]) -> bool:
        times.append(time.monotonic())
        if len(times) < 3:
            raise RuntimeError("a secret")
        return True

    target = Target("it", send, gather_s=0.0, first_wait_s=0.01, longest_wait_s=0.02)
    target.put(Line("t", "x"))
    wait_for(lambda: target.delivered == 1, "it is told")
    assert len(times) == 3


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # by a plugin of apprise
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("phone", "W, line 1: has one word; write a name, a blank and an address of apprise"),
        ("a json://localhost\n\na json://localhost", "W, line 3: names 'a' again; choose another name"),
        (
            "a quux://user:secret@host",
            "W, line 1: 'a' has an address that apprise does not know; see its list of services",
        ),
        ("# nobody", "W: names no target; write a name, a blank and an address of apprise in each line"),
    ],
)
def test_a_list_that_does_not_hold(text: str, said: str) -> None:
    """Each fault is a line with its place and the remedy; no address is in it."""
    with pytest.raises(ConfigError) as refused:
        read(text, "W")
    assert refused.value.problems == (said,)


def command(tmp_path: Path, *more: str, **notify: Any) -> subprocess.CompletedProcess[str]:
    """What `auricle bridge notify` says and does at once."""
    (tmp_path / "auricle.yaml").write_text(json.dumps({"bridges": {"notify": notify}}))
    arguments = [sys.executable, "-m", "auricle", "bridge", "notify", "-c", str(tmp_path / "auricle.yaml"), *more]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=90, check=False)


def test_the_test_says_whom_it_reaches(tmp_path: Path) -> None:
    """`--test` sends each target a message and says of each whether it came; the exit code is 1 if one did not."""
    with serving() as service:
        (tmp_path / "targets").write_text(service.targets("fine", "fails"))
        done = command(tmp_path, "--test", targets="targets")
        assert (done.returncode, done.stdout) == (0, "fine: delivered\nfails: delivered\n")
        service.failing.add("fails")
        done = command(tmp_path, "--test", targets="targets")
        assert (done.returncode, done.stdout) == (1, "fine: delivered\nfails: NOT delivered\n")
        assert service.got["fine"][0].endswith("This is a test: what is heard will be told here.")
        assert "secret" not in done.stderr + done.stdout


def test_what_tells_nobody_is_refused(tmp_path: Path) -> None:
    """No targets, no rules, a target that there is not: a line each, and 78."""
    (tmp_path / "targets").write_text("phone json://localhost\n")
    at = f"{tmp_path}/auricle.yaml:1"
    for notify, said in (
        ({}, "bridges.notify.targets: nobody is to be told; name a file with a name and an address in each line"),
        (
            {"targets": "targets"},
            "bridges.notify.rules: there are none, so that nobody would be told anything; write one",
        ),
        (
            {"targets": "targets", "rules": [{"name": "a", "picture": True}]},
            f"{at}: bridges.notify.rules[0].picture: there is no sound to draw; set clips.enabled",
        ),
        (
            {"targets": "targets", "rules": [{"name": "a", "to": ["fone"]}]},
            f"{at}: bridges.notify.rules[0].to: 'fone' is no target; use phone",
        ),
    ):
        done = command(tmp_path, **notify)
        assert (done.returncode, done.stderr) == (78, f"auricle: error: {said}\n")
