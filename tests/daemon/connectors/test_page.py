"""The page over HTTP: who may have what of it, what it sends, and that nobody can hold it up."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import argon2
import pytest

from auricle.config import load
from auricle.connectors.guard import Rates
from auricle.connectors.site import FILES
from auricle.errors import ConfigError
from helpers.paged import Stream, ask, page, serve

pytestmark = [pytest.mark.timeout(180)]

PATHS = ["/", "/page.js", "/api/now", "/api/history", "/nothing", "/api/stream/"]


def test_every_answer_has_its_headers(tmp_path: Path) -> None:
    """Whatever is asked for: scripts and styles are the page's own, nobody frames it, nothing is kept; all its files
    together are below 200 kB, and load nothing from elsewhere."""
    with page(tmp_path) as (here, port):
        whole = b""
        for path in [*FILES, *PATHS]:
            _, headers, content = ask(here, port, path)
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            whole += content if path in FILES else b""
        assert len(whole) < 200_000
        assert b"http:" not in whole
        assert b"https:" not in whole


def test_no_path_leads_to_a_file(tmp_path: Path) -> None:
    """A path is a name in a list: no dots, no escapes, no slashes reach anything else on the disk."""
    (tmp_path / "secret").write_text("secret")
    with page(tmp_path) as (here, port):
        for path in (
            "/../page.py",
            "/..%2fpage.py",
            "/%2e%2e/hub.py",
            "//etc/passwd",
            f"/{tmp_path}/secret",
            "/page.js/..",
        ):
            status, _, content = ask(here, port, path)
            assert status == 404
            assert content == b'{"error":"Not Found"}'


def test_another_name_or_page_is_refused(tmp_path: Path) -> None:
    """Without a secret the page has a loopback's name alone, so that no name that another made for it opens it; what is
    sent from another page is refused."""
    with page(tmp_path) as (here, port):
        for host, status in (
            (f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), (f"[::1]:{port}", 200), ("evil.example", 421),
            (f"evil.example:{port}", 421), ("127.0.0.1.evil.example", 421), ("", 421),
        ):  # fmt: skip
            assert ask(here, port, "/", Host=host)[0] == status, host
        for origin in ("http://evil.example", "null", "", f"http://127.0.0.1:{port + 1}"):
            assert ask(here, port, "/logout", method="POST", body=b"", Origin=origin)[0] == 403
        assert ask(here, port, "/logout", method="POST", body=b"", Origin=f"http://127.0.0.1:{port}")[0] == 303


def test_a_token_or_a_password_opens_it(tmp_path: Path) -> None:
    """Without one, or with a wrong one, there is a form and nothing else; a token in a header opens it, and either in
    the form, which begins a session by a cookie that no script reads; to log out ends it. Tries are few a minute."""
    (tmp_path / "token").write_text("a good token\n")
    (tmp_path / "password").write_text(argon2.PasswordHasher(time_cost=1, memory_cost=8192).hash("open") + "\n")
    with page(tmp_path, token=str(tmp_path / "token"), password=str(tmp_path / "password")) as (here, port):
        own = f"http://127.0.0.1:{port}"
        for path in ("/", "/page.js", "/api/now", "/api/history", "/api/stream"):
            for header in ({}, {"Authorization": "Bearer a bad token"}, {"Cookie": "auricle=guessed"}):
                status, _, content = ask(here, port, path, **header)
                assert status == 401
                assert b"Password or token" in content
        assert ask(here, port, "/api/now", Authorization="Bearer a good token")[0] == 200
        for given in (b"secret=a+good+token", b"secret=open"):
            status, headers, _ = ask(here, port, "/login", method="POST", body=given, Origin=own)
            cookie, *how = headers["set-cookie"].split("; ")
            assert status == 303
            assert {"HttpOnly", "SameSite=strict"} <= set(how)
            assert ask(here, port, "/api/now", Cookie=cookie)[0] == 200
        assert ask(here, port, "/logout", method="POST", body=b"", Origin=own, Cookie=cookie)[0] == 303
        assert ask(here, port, "/api/now", Cookie=cookie)[0] == 401
        assert ask(here, port, "/login", method="POST", body=b"secret=open", Origin="http://evil.example")[0] == 403
        tries = [ask(here, port, "/login", method="POST", body=b"secret=shut", Origin=own) for _ in range(6)]
        assert not any("set-cookie" in headers for _, headers, _ in tries)
        assert tries[-1][0] == 429
        assert "token" not in here.log.replace("auricle-web.token", "")


def test_beyond_a_loopback_a_secret_is_wanted(tmp_path: Path) -> None:
    """An address that other machines reach is refused where neither token nor password is asked for."""
    path = tmp_path / "auricle.yaml"
    path.write_text("web: {listen: '0.0.0.0:5580'}\n")
    with pytest.raises(ConfigError, match=r"web.listen: '0.0.0.0:5580' can be reached .*; give a token or password"):
        load(path, environ={})
    path.write_text("web: {listen: '0.0.0.0:5580', token: credential}\n")
    load(path, environ={})


def test_ten_look_and_one_subscribes(tmp_path: Path) -> None:
    """However many look, the daemon has one subscriber, and all hear the same; when the last has gone it has none."""
    with page(tmp_path) as (here, port):
        inside = here.here.socket.door.inside
        here.for_s(0.3)
        assert not inside
        streams = [Stream(here, port) for _ in range(10)]
        for stream in streams:
            stream.until("health")
        assert len(inside) == 1
        here.here.event("onset")
        here.here.spectrum(bytes(128), time.time_ns() // 1000)
        for stream in streams:
            assert stream.until("event")[0]["label"] == "rain"
            assert stream.until("spectrum")[0]["columns"] == 2
        assert here.notified["STATUS"] == "10 look"
        for stream in streams:
            stream.close()
        here.until(lambda: here.notified["STATUS"] == "0 look", "they are gone")
        here.until(lambda: not inside, "the subscriber is gone")


def test_who_comes_again_misses_nothing_and_sees_nothing_twice(tmp_path: Path) -> None:
    """A stream that is taken up again goes on behind the last message; of another life of the page it begins anew."""
    with page(tmp_path) as (here, port):
        first = Stream(here, port)
        first.until("health")
        here.here.event("onset", "rain")
        first.until("event")
        first.close()
        here.here.event("onset", "siren")
        again = Stream(here, port, last_id=first.last_id)
        assert again.until("hello") == [{"type": "hello", "resumed": True}]
        assert [event["label"] for event in again.until("event")] == ["siren"]
        anew = Stream(here, port, last_id="0badcafe-3")
        assert anew.until("hello") == [{"type": "hello", "resumed": False}]
        assert [event["label"] for event in anew.until("event", 2)] == ["rain", "siren"]


def test_scores_are_the_best_with_their_thresholds(tmp_path: Path) -> None:
    """Of many labels the highest are handed on, a few times a second; the present and the past are answered."""
    with page(tmp_path) as (here, port):
        stream = Stream(here, port)
        stream.until("health")
        for _ in range(50):
            here.here.scores()
        told = stream.until("score")
        assert told[0]["scores"] == {"rain": 0.5, "dog_bark": 0.25}
        here.here.event("onset", "rain")
        here.here.event("offset", "rain")
        status, _, content = ask(here, port, "/api/history?since=2020-01-01T00:00:00Z&label=rain")
        assert (status, content.count(b'"phase":"offset"')) == (200, 1)
        assert b"rain" not in ask(here, port, "/api/history?label=siren")[2]
        assert ask(here, port, "/api/history?since=yesterday")[0] == 400
        assert b'"hearing":true' in ask(here, port, "/api/now")[2]
        assert len(told) <= 20


def test_a_crowd_is_hung_up_on(tmp_path: Path) -> None:
    """A thousand connections that say nothing: who is inside hears on, and once their time is up there is room again;
    long headers are refused."""
    with page(tmp_path) as (here, port), ExitStack() as stack:
        stream = Stream(here, port)
        stream.until("health")
        for _ in range(1000):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            here.turn()
        before = len(stream.until("health"))
        stream.until("health", before + 3)

        def answered() -> bool:
            try:
                return ask(here, port, "/page.css")[0] == 200
            except OSError:
                return False

        here.until(answered, "there is room again, while they are still there")
        assert ask(here, port, "/", X_Long="a" * 100_000)[0] in (0, 400, 431), "long headers"
        assert answered()
        assert not stream.ended


def test_a_slow_reader_is_let_go(tmp_path: Path) -> None:
    """One that takes nothing is let go once much waits for it; others hear all meanwhile."""
    with page(tmp_path) as (here, port):
        slow, quick = Stream(here, port), Stream(here, port)
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        quick.until("health")
        sent = 0

        def let_go() -> bool:
            nonlocal sent
            here.here.spectrum(bytes(64 * 100), time.time_ns() // 1000, column_s=0.01)
            sent += 1
            while quick.read():
                pass
            return here.notified["STATUS"] == "1 look"

        here.until(let_go, "it is let go")
        seen = quick.until("spectrum", sent)
        assert [message["seq"] for message in seen] == list(range(1, sent + 1))


def test_many_requests_wait() -> None:
    """So many at once, and so many more a second, each address by itself."""
    rates = Rates()
    assert [rates.admit("one", "/login", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert rates.admit("other", "/login", 0.0)
    assert rates.admit("one", "/", 0.0)
    assert not rates.admit("one", "/login", 14.0)
    assert rates.admit("one", "/login", 30.0)


def test_the_daemon_comes_later_and_goes(tmp_path: Path) -> None:
    """Without a daemon the page is there, and says that it is silent; questions are answered with that."""
    with page(tmp_path) as (here, port):
        here.kill_daemon()
        stream = Stream(here, port)
        here.until(lambda: stream.until("beat")[-1]["silent_s"] > 3, "it is silent")
        assert ask(here, port, "/api/now")[0] == 503
        here.start_daemon()
        stream.until("health")
        here.until(lambda: ask(here, port, "/api/now")[0] == 200, "it answers")
        assert here.stop() == 0
        serve(here)


def test_it_ends_without_a_word(tmp_path: Path) -> None:
    """SIGTERM while somebody looks ends it with 0, and nothing of a traceback is in its log."""
    with page(tmp_path) as (here, port):
        stream = Stream(here, port)
        here.until(stream.read, "something is told")
        assert here.stop() == 0
        assert "Traceback" not in here.log
        assert "never retrieved" not in here.log
