"""What is wished through the page over HTTP: who may, that nobody gets more by it than without it, and what is sent of
clips."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from auricle.client import AskMark, AskPause, AskThreshold, AskUndo, Mark, Overridden, Paused
from auricle.clips.reading import opened
from auricle.clips.writer import Writer
from auricle.connectors.sound import _part
from auricle.connectors.wishes import LOGIN, READ_ONLY, TOKEN, Means
from auricle.errors import AudioError
from auricle.messages.questions import OverridesReport
from helpers.bridged import House, house
from helpers.broker import free_port
from helpers.kept import order
from helpers.paged import Answer, Stream, ask, serve
from helpers.running import wait_for

pytestmark = [pytest.mark.timeout(180)]

SECRET = "the token of the page"
SHOWN = "the token of the daemon"
WISHES: list[dict[str, Any]] = [
    {"ask": "mark", "kind": "missed", "label": "rain", "source": "porch"},
    {"ask": "pause", "source": "porch", "for_s": 60},
    {"ask": "resume"},
    {"ask": "threshold", "label": "rain", "threshold": 0.7, "source": "porch"},
    {"ask": "undo"},
]
CHANGES = WISHES[3:]


class Site:
    """Holds a page whose daemon remembers what it was asked."""

    def __init__(self, here: House, port: int) -> None:
        self.here, self.port, self.own = here, port, f"http://127.0.0.1:{port}"
        self.asked: list[Any] = []
        query = here.here.query

        def pause(question: Any, who: dict[str, Any]) -> Paused:
            self.asked.append(question)
            return Paused(**who, paused={}, scheduled=["porch"])

        def override(question: Any, who: dict[str, Any]) -> Overridden:
            self.asked.append(question)
            return Overridden(**who, overrides=OverridesReport(thresholds={"porch": {"rain": 0.7}}))

        query.pause, query.override = pause, override
        for lane in here.here.lanes:
            lane.labels = ("rain", "dog_bark")  # type: ignore[attr-defined]

    def wish(self, wish: object, **headers: str) -> Answer:
        """Send a wish as the page itself does, with the page's token; headers go before."""
        named = {"Origin": self.own, "Content_Type": "application/json", "Authorization": f"Bearer {SECRET}", **headers}
        named = {name: value for name, value in named.items() if value}
        return ask(self.here, self.port, "/api/wish", method="POST", body=json.dumps(wish).encode(), **named)

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for something with the page's token."""
        return ask(self.here, self.port, path, **{"Authorization": f"Bearer {SECRET}", **headers})


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A page; a test's parameter is what its configuration says besides: of the page, of ``publish``, of clips."""
    told: dict[str, Any] = getattr(request, "param", {})
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "shown").write_text(f"{SHOWN}\n")
    port = free_port()
    secret = {} if told.get("open") else {"token": str(tmp_path / "secret")}
    web = {"listen": f"127.0.0.1:{port}", **secret, **told.get("web", {})}
    more = {"clips": {"folder": str(tmp_path / "clips")}}
    with house(tmp_path, {}, web=web, **more) as here:
        written = json.loads(here.config.read_text())
        if told.get("shown", True):
            written["publish"]["token"] = str(tmp_path / "shown")
        here.config.write_text(json.dumps(written))
        serve(here, *told.get("options", ()))
        yield Site(here, port)


def test_wishes_reach_the_daemon(site: Site) -> None:
    """With a login each wish is asked of the daemon, which is shown the token for what changes thresholds, whatever was
    sent as one; its answer comes back, also where it refuses."""
    for wish in WISHES:
        status, _, content = site.wish({**wish, "token": "mine"} if wish in CHANGES else wish)
        assert status == 200, content
    marks = [message for _, message in site.here.here.sent if isinstance(message, Mark)]
    assert [(mark.kind, mark.label, mark.source) for mark in marks] == [("missed", "rain", "porch")]
    pause, _, threshold, undo = site.asked
    assert (type(pause), pause.source, pause.for_s) == (AskPause, "porch", 60)
    assert (type(threshold), threshold.threshold, threshold.token) == (AskThreshold, 0.7, SHOWN)
    assert (type(undo), undo.token) == (AskUndo, SHOWN)
    status, _, content = site.wish({"ask": "mark", "kind": "false", "event": "01a21447"})
    assert status == 400
    assert b"event" in content
    assert AskMark().kind == "note"


def test_what_is_no_wish_is_refused(site: Site) -> None:
    """Another site's page, a form, no token, a wrong one, other verbs, what is no JSON, too much: one line each, and
    the daemon is asked nothing."""
    mark = WISHES[0]
    for headers, status in (
        ({"Origin": "http://evil.example", "Authorization": "Bearer wrong"}, 403),
        ({"Origin": "null", "Authorization": ""}, 403),
        ({"Origin": "", "Authorization": ""}, 403),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "", "Cookie": "auricle=guessed"}, 401),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
    ):
        assert site.wish(mark, **headers)[0] == status, headers
    site.here.for_s(1)  # so many requests of one address wait a moment
    for wish, status in (
        ({"ask": "snapshot"}, 400), ({"ask": "events"}, 400), ({}, 400), ([], 400), ("mark", 400),
        ({"ask": "threshold", "label": "rain", "threshold": 2}, 400), ({**mark, "text": "a" * 5000}, 413),
    ):  # fmt: skip
        code, _, content = site.wish(wish)
        assert code == status, (wish, content)
        assert content.count(b"\n") == 0
    assert site.get("/api/wish")[0] == 405
    assert not site.asked
    assert not [message for _, message in site.here.here.sent if isinstance(message, Mark)]


def test_wishes_are_rated(site: Site) -> None:
    """Twenty at once of one address, and two more a second."""
    codes = [site.wish({"ask": "resume"})[0] for _ in range(30)]
    assert codes[:20] == [200] * 20
    assert 429 in codes[20:]


@pytest.mark.parametrize(
    "site", [{"options": ["--read-only"]}, {"web": {"read_only": True}}], indirect=True, ids=["option", "key"]
)
def test_read_only(site: Site) -> None:
    """A page that only shows refuses every wish, says so, and shows the rest; the secret is still asked for."""
    for wish in WISHES:
        status, _, content = site.wish(wish)
        assert (status, content) == (403, READ_ONLY.encode())
    now = json.loads(site.get("/api/now")[2])
    assert now["lacking"] == {"ask": READ_ONLY, "change": READ_ONLY, "play": None}
    assert ask(site.here, site.port, "/login", method="POST", body=b"secret=x", Origin=site.own)[0] == 303
    assert not site.asked


@pytest.mark.parametrize("site", [{"open": True}], indirect=True)
def test_without_a_login_nobody_gets_more(site: Site) -> None:
    """A page that everybody of the machine may open lends nobody its token, its place at a socket that is for few, nor
    the clips that are for the daemon's user."""
    for wish in WISHES:
        status, _, content = site.wish(wish, Authorization="")
        assert (status, json.loads(content)) == (403, {"error": LOGIN})
    status, _, content = ask(site.here, site.port, "/api/clip/porch/a.flac")
    assert (status, json.loads(content)) == (403, {"error": LOGIN})
    assert not site.asked


@pytest.mark.parametrize("site", [{"shown": False}], indirect=True)
def test_without_a_token_thresholds_stay(site: Site) -> None:
    """With a login, but nothing to show the daemon, marks and pauses are taken, and thresholds are not, with a way."""
    assert [site.wish(wish)[0] for wish in WISHES] == [200, 200, 200, 403, 403]
    assert json.loads(site.wish(CHANGES[0])[2]) == {"error": TOKEN}


@pytest.mark.parametrize(
    ("means", "ask_", "change", "play"),
    [
        (Means(login=False), None, LOGIN, LOGIN),
        (Means(login=False, token="t"), None, LOGIN, LOGIN),
        (Means(login=False, keyed=True), LOGIN, LOGIN, LOGIN),
        (Means(login=False, few=True), LOGIN, LOGIN, LOGIN),
        (Means(login=True, keyed=True), None, None, None),
        (Means(login=True, few=True), None, TOKEN, None),
        (Means(login=True, token="t"), None, None, None),
        (Means(login=True, token="t", read_only=True), READ_ONLY, READ_ONLY, None),
    ],
)
def test_what_a_page_may(means: Means, ask_: str | None, change: str | None, play: str | None) -> None:
    """By login, key, token and the kind of socket: what may be asked, changed and played."""
    assert means.lacking() == {"ask": ask_, "change": change, "play": play}
    assert "'t'" not in repr(means)


def test_clips_are_sent_whole_and_in_part(site: Site, tmp_path: Path) -> None:
    """A clip comes with kind and length, or the range that is asked for, to the byte; beyond its end there is none."""
    name, content = written(tmp_path / "clips")
    path = f"/api/clip/s/{name}"
    status, headers, whole = site.get(path)
    assert (status, headers["content-type"], headers["accept-ranges"]) == (200, "audio/flac", "bytes")
    assert whole == content
    n = len(content)
    for wanted, begin, end in (
        ("bytes=0-", 0, n), ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=-50", n - 50, n),
        (f"bytes={n - 1}-{n + 100}", n - 1, n), (f"bytes=-{n + 5}", 0, n),
    ):  # fmt: skip
        status, headers, part = site.get(path, Range=wanted)
        assert (status, headers["content-range"]) == (206, f"bytes {begin}-{end - 1}/{n}"), wanted
        assert headers["content-length"] == str(end - begin)
        assert part == content[begin:end], wanted
    for wanted in ("bytes=5-4", "bytes=0-1,4-5", "items=0-1", "bytes=-", "bytes=a-b", "bytes=1" + "0" * 30 + "-"):
        assert site.get(path, Range=wanted)[0] == 200, wanted
    status, headers, _ = site.get(path, Range=f"bytes={n}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{n}")
    assert ask(site.here, site.port, path, method="HEAD", Authorization=f"Bearer {SECRET}")[2] == b""
    assert _part("bytes=-0", 10) == (10, 10)


def test_no_name_leads_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    """Names are a source's and a clip's or nothing: no dots, slashes, escapes, links, pipes, nor what else is there."""
    name, _ = written(tmp_path / "clips")
    folder = tmp_path / "clips" / "s"
    (tmp_path / "clips" / "linked").symlink_to(tmp_path)
    os.link(tmp_path / "shown", tmp_path / "outside.flac")
    linked = name.replace(".bell.", ".link.")
    (folder / linked).symlink_to(tmp_path / "shown")
    pipe = name.replace(".bell.", ".pipe.")
    os.mkfifo(folder / pipe)
    (folder / "notes.txt").write_text("mine")
    for path in (
        "/api/clip/s/../../shown", "/api/clip/../shown", "/api/clip/s/..%2f..%2fshown", "/api/clip/%2e%2e/shown",
        "/api/clip/s/%2e%2e%2fshown", f"/api/clip/s%2f..%2fs/{name}", f"/api/clip/./{name}",
        f"/api/clip/../clips/s/{name}",
        f"/api/clip/linked/{name}", f"/api/clip/s/{linked}", f"/api/clip/s/{pipe}", "/api/clip/s/notes.txt",
        f"/api/clip/s/{name}%00", f"/api/clip/s/{name}/", f"/api/clip/s/%0a{name}", "/api/clip/s/.lock", "/api/clip/s/",
        f"/api/clip/s/{name.replace('bell', 'other')}", f"/api/clip/none/{name}", f"/api/clip/s//{name}",
    ):  # fmt: skip
        status, _, content = site.get(path)
        assert status == 404, path
        assert SHOWN.encode() not in content
    assert site.get(f"/api/clip/s/{name}")[0] == 200
    for source, clip in (("s", linked), ("linked", name), ("s", pipe), ("..", name), ("s", "x")):
        with pytest.raises(AudioError):
            opened(tmp_path / "clips", source, clip)


def test_who_is_slow_holds_up_nobody(site: Site, tmp_path: Path) -> None:
    """Who asks for clips and takes none of them, or sends a wish that never comes whole, is let go; others are answered
    and hear on meanwhile."""
    name, content = written(tmp_path / "clips", seconds=400.0)
    assert len(content) > 8_000_000, "more than the system's buffers hold"
    head = f"Host: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {SECRET}\r\n"
    half = f"POST /api/wish HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    whole = f"GET /api/clip/s/{name} HTTP/1.1\r\n{head}\r\n"
    stream = Stream(site.here, site.port, bearer=SECRET)
    stream.until("health")
    assert site.here.process is not None
    descriptors = Path(f"/proc/{site.here.process.pid}/fd")

    def held() -> int:
        targets = [os.readlink(each) for each in descriptors.iterdir() if os.path.lexists(each)]
        return sum(target.endswith(name) for target in targets)

    with ExitStack() as stack:
        connections = []
        for _ in range(10):
            for sent in (whole, half):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=60))
                connection.sendall(sent.encode())
                connections.append(connection)
        site.here.until(lambda: held() == 10, "ten clips are being sent")
        before = len(stream.until("health"))
        assert site.wish({"ask": "resume"})[0] == 200
        stream.until("health", before + 3)
        site.here.until(lambda: held() == 0, "no clip is held open for them")
        site.here.until(lambda: len(list(descriptors.iterdir())) < 30, "their connections are ended")
        assert connections[1].recv(100).startswith(b"HTTP/1.1 408")
    assert not stream.ended


def written(folder: Path, seconds: float = 1.0) -> tuple[str, bytes]:
    """Keep a clip in the folder of source ``s``; return its name and content."""
    writer = Writer(folder, max_mb=100, max_days=1, certain=lambda: True, patient=True)
    writer.put(order(seconds=seconds))
    writer.finish()
    wait_for(lambda: writer.finished, "it is written")
    (path,) = (each for each in (folder / "s").iterdir() if each.suffix == ".flac")
    return path.name, path.read_bytes()
