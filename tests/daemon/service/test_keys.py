"""Keys with real sockets: who has one that is allowed hears and asks; who has not finds nobody, and harms nobody."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from auricle.client import AskMark, AskStatus, Client, Marked, Missed, Report, Scores, ask
from auricle.commands.cli import app
from auricle.errors import AuricleError, KeysError, NoDaemonError
from auricle.messages.keys import Pair, is_key, read_allowed, read_pair, write_allowed, write_pair
from auricle.service.keys import own_pair
from helpers.supervised import Supervised, supervised, until


@dataclass
class Done:
    """A command that has ended, as a terminal sees it."""

    returncode: int
    stdout: str
    stderr: str


def auricle(*words: object) -> Done:
    """Run a command, here: a process of its own for each takes long."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, AuricleError):
        return Done(result.exception.exit_code, result.stdout, "\n".join(result.exception.lines()))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def new_pair(path: Path, daemon: str | None = None) -> Pair:
    """A pair that nobody has yet, in a file."""
    public, secret = "-", ""
    while public.startswith("-"):  # which a command would take for an option
        public, secret = (key.decode() for key in zmq.curve_keypair())
    pair = Pair(public, secret, daemon)
    write_pair(path, pair)
    return pair


@dataclass
class House:
    """A daemon that wants keys at both of its sockets, and the folder with all of them."""

    one: Supervised
    folder: Path
    daemon: str
    events: str
    query: str

    def key(self, name: str) -> Path:
        """The file of a pair that has just been made for this daemon."""
        path = self.folder / f"{name}.key"
        new_pair(path, self.daemon)
        return path

    def say(self, *words: object) -> None:
        """Change the list of those who may connect, and reload."""
        done = auricle("keys", *words, "-c", self.folder / "auricle.yaml")
        assert done.returncode == 0, done.stderr
        self.reload()

    def reload(self) -> None:
        """Reload, and wait until that is done."""
        before = self.one.log.count("reloaded in")
        self.one.process.send_signal(signal.SIGHUP)
        until(lambda: self.one.log.count("reloaded in") > before, lambda: self.one.log)

    def finds_nobody(self, key: Path | None) -> None:
        """Whoever has this key is answered by nobody."""
        with pytest.raises(NoDaemonError, match="nobody answers within"):
            ask(self.query, AskStatus(), Report, key=key, timeout_s=1.0)


@contextmanager
def house(folder: Path, **publish: object) -> Iterator[House]:
    """Run such a daemon, with nobody allowed yet."""
    daemon = new_pair(folder / "daemon.key").public
    publish = {
        "endpoint": "tcp://127.0.0.1:*",
        "query": "tcp://127.0.0.1:*",
        "secret_key": str(folder / "daemon.key"),
        "allowed_keys": str(folder / "allowed.keys"),
        **publish,
    }
    with supervised(folder, publish=publish) as one:
        one.until_logged("publishing on")
        found = re.search(r"publishing on (\S+), answering on (\S+)", one.log)
        assert found is not None
        one.until_ready()
        yield House(one, folder, daemon, *found.groups())


def hears(client: Client, n: int) -> None:
    """So many decisions come, and none is missed."""
    count = 0

    def heard() -> bool:
        nonlocal count
        item = client.receive(0.2)
        assert not isinstance(item, Missed)
        count += isinstance(item, Scores)
        return count >= n

    until(heard, f"{n} decisions are heard")


def test_right_keys_wrong_keys_and_no_keys(tmp_path: Path) -> None:
    """With an allowed key all works at both sockets; another key, no key, or another daemon's key finds nobody."""
    with house(tmp_path) as here:
        right, wrong = here.key("right"), here.key("wrong")
        assert "nobody may connect yet" in here.one.log
        here.finds_nobody(right)
        here.say("allow", "laptop", read_pair(right).public)
        with Client(here.events, topics=["score."], key=right) as client:
            hears(client, 3)
        assert ask(here.query, AskStatus(), Report, key=right).hearing
        assert ask(here.query, AskMark(text="x"), Marked, key=right).id
        here.finds_nobody(wrong)
        here.finds_nobody(None)
        new_pair(tmp_path / "mistaken.key", read_pair(wrong).public)
        here.finds_nobody(tmp_path / "mistaken.key")
        for key in (wrong, None):
            with Client(here.events, topics=[""], key=key) as client:
                assert client.receive(1.0) is None
        assert f"its key {read_pair(right).public} is not allowed (1 refused so far)" in here.one.log
        for pair in (right, wrong, tmp_path / "daemon.key"):
            assert read_pair(pair).secret not in here.one.log


def test_a_revoked_key_ends_within_a_second(tmp_path: Path) -> None:
    """Whoever is connected with it hears no more a second after the reload; others miss nothing, and come and go."""
    with house(tmp_path) as here:
        stays, goes = here.key("stays"), here.key("goes")
        here.say("allow", "stays", stays)
        here.say("allow", "goes", read_pair(goes).public)
        with (
            Client(here.events, topics=["score."], key=stays) as one,
            Client(here.events, topics=["score."], key=goes) as other,
            zmq.Context() as context,
            context.socket(zmq.SUB) as silent,
        ):
            # One that subscribes to nothing has said nothing yet by which it could be known.
            silent.linger = 0
            pair = read_pair(goes)
            silent.curve_serverkey, silent.curve_publickey = here.daemon.encode(), pair.public.encode()
            silent.curve_secretkey = pair.secret.encode()
            monitor = silent.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            silent.connect(here.events)
            hears(one, 2)
            hears(other, 2)
            here.say("revoke", "goes")
            until_s = time.monotonic() + 1.0
            assert monitor.poll(1000), "the silent one is hung up on"
            while time.monotonic() < until_s:
                other.receive(0.05)
            assert other.receive(1.0) is None
            hears(one, 5)
            silent.disable_monitor()
            monitor.close(0)
        here.finds_nobody(goes)
        assert ask(here.query, AskStatus(), Report, key=stays).hearing
        assert "allowed no more: goes" in here.one.log
        here.say("allow", "goes", goes)
        assert ask(here.query, AskStatus(), Report, key=goes).hearing


def test_a_list_that_is_none_changes_nothing(tmp_path: Path) -> None:
    """A reload with a broken list is refused with file and line; who was allowed still is."""
    with house(tmp_path) as here:
        key = here.key("laptop")
        here.say("allow", "laptop", key)
        (tmp_path / "allowed.keys").write_text("laptop\n")
        here.one.process.send_signal(signal.SIGHUP)
        here.one.until_logged(f"not reloaded: {tmp_path}/allowed.keys:1: is no word and a key of 40 letters")
        assert ask(here.query, AskStatus(), Report, key=key).hearing


def test_a_stranger_with_five_thousand_frames(tmp_path: Path) -> None:
    """Frames without a key, random bytes and greetings cut short, at both sockets: nobody in, nothing lost."""
    rng = random.Random(11)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    with house(tmp_path) as here:
        key = here.key("laptop")
        here.say("allow", "laptop", key)
        with Client(here.events, topics=["score."], key=key) as client, zmq.Context() as context:
            hears(client, 2)
            strangers = [context.socket(kind) for kind in (zmq.XSUB, zmq.DEALER, zmq.XSUB, zmq.DEALER)]
            wrong, port = read_pair(here.key("wrong")), int(here.events.rpartition(":")[2])
            for n, stranger in enumerate(strangers):
                stranger.linger = 0
                if n > 1:  # these speak CURVE, with a key that nobody allowed
                    stranger.curve_serverkey, stranger.curve_publickey = here.daemon.encode(), wrong.public.encode()
                    stranger.curve_secretkey = wrong.secret.encode()
                stranger.connect((here.events, here.query)[n % 2])
            for n in range(5000):
                frame = rng.randbytes(rng.choice([0, 1, 5, 40, 900]))
                with suppress(zmq.Again):
                    strangers[n % 4].send(b"\x01" + frame if n % 8 < 4 else frame, zmq.DONTWAIT)
                if n % 50 == 0:
                    with socket.create_connection(("127.0.0.1", port), 1.0) as raw, suppress(OSError):
                        raw.sendall(greeting[: rng.randrange(65)] + rng.randbytes(rng.randrange(300)))
                    client.receive(0.0)
            hears(client, 5)
            for stranger in strangers:
                assert not stranger.poll(100)
                stranger.close(0)
        assert ask(here.query, AskStatus(), Report, key=key).hearing
        assert "Traceback" not in here.one.log


def test_every_command_takes_a_key(tmp_path: Path) -> None:
    """Whatever asks the daemon, and listen, by --key or by the configuration."""
    with house(tmp_path) as here:
        key = here.key("laptop")
        here.say("allow", "laptop", key)
        for words in (["status"], ["events"], ["mark", "x"]):
            done = auricle(*words, "--endpoint", here.query, "--key", key)
            assert done.returncode == 0, done.stderr
        for words in (["pause"], ["resume"]):
            done = auricle(*words, "--endpoint", here.query, "--key", key)
            assert "nothing here can be paused" in done.stderr
        clips = tmp_path / "clips"
        clips.mkdir()
        marked = ["clips", "marked", tmp_path / "marked", "--folder", clips]
        for words in (marked, ["explain", "--at", "1s"]):
            done = auricle(*words, "--endpoint", here.query, "--key", key)
            assert done.returncode == 0, done.stderr
        mine = tmp_path / "mine.yaml"
        publish = {"endpoint": here.events, "query": here.query, "client_key": str(key)}
        mine.write_text(json.dumps({"publish": publish}))
        assert auricle("status", "-c", mine).returncode == 0
        listening = subprocess.Popen(
            [sys.executable, "-m", "auricle", "listen", "--json", "score.", "-c", str(mine)], stdout=subprocess.PIPE
        )
        assert listening.stdout is not None
        assert b'"topic":"score.porch."' in listening.stdout.readline()
        listening.terminate()
        listening.communicate(timeout=20)
        assert listening.returncode == 0
        done = auricle("status", "--endpoint", here.query)
        assert done.returncode == 69
        assert "does it ask for no key?" in done.stderr
        assert auricle("keys", "list", "-c", tmp_path / "auricle.yaml").stdout.split() == [
            "laptop",
            read_pair(key).public,
        ]


def test_with_keys_any_address_may_be_bound(tmp_path: Path) -> None:
    """`allow_plaintext` is the only way without keys; with them 0.0.0.0 is an address like any other."""
    wanted = {"publish": {"endpoint": "tcp://0.0.0.0:5557"}}
    (tmp_path / "a.yaml").write_text(json.dumps(wanted))
    done = auricle("config", "check", "-c", tmp_path / "a.yaml")
    assert done.returncode == 78
    assert "make keys (publish.secret_key)" in done.stderr
    with house(tmp_path, endpoint="tcp://0.0.0.0:*") as here:
        key = here.key("laptop")
        here.say("allow", "laptop", key)
        assert here.events.startswith("tcp://0.0.0.0:")
        with Client(here.events.replace("0.0.0.0", "127.0.0.1"), topics=["score."], key=key) as client:
            hears(client, 1)


def test_keys_are_made_allowed_and_revoked_by_command(tmp_path: Path) -> None:
    """The files have their modes, the list its order; what cannot be is one line with its remedy."""
    config = tmp_path / "auricle.yaml"
    config.write_text(json.dumps({"publish": {"allowed_keys": str(tmp_path / "allowed.keys")}}))
    nowhere = tmp_path / "nowhere.yaml"
    nowhere.write_text(json.dumps({"publish": {"allowed_keys": str(tmp_path / "no" / "allowed.keys")}}))
    made = auricle("keys", "new", tmp_path / "a.key")
    public = made.stdout.strip()
    assert is_key(public)
    assert shlex.split(f"x {public} {public}") == ["x", public, public]
    assert public[0].isalnum()
    assert not set(public) & set("!*?&<>()[]{}$~"), "a shell would read them"
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert read_pair(tmp_path / "a.key").public == public
    assert zmq.curve_public(read_pair(tmp_path / "a.key").secret.encode()).decode() == public
    other = auricle("keys", "new", tmp_path / "b.key", "--daemon", public)
    assert read_pair(tmp_path / "b.key").daemon == public
    assert auricle("keys", "allow", "b", tmp_path / "b.key", "-c", config).returncode == 0
    assert auricle("keys", "allow", "a", public, "-c", config).returncode == 0
    assert (tmp_path / "allowed.keys").stat().st_mode & 0o777 == 0o644
    assert list(read_allowed(tmp_path / "allowed.keys").items()) == [("b", other.stdout.strip()), ("a", public)]
    for words, code, said in (
        (["new", tmp_path / "a.key"], 78, "is there already"),
        (["new", tmp_path / "c.key", "--daemon", "x"], 2, "--daemon: 'x' is no public key"),
        (["allow", "a", public, "-c", config], 78, "a is allowed already; revoke it first"),
        (["allow", "c", public, "-c", config], 78, "a is allowed already; revoke it first"),
        (["allow", "a b", public, "-c", config], 2, "'a b' is no name"),
        (["allow", "d", tmp_path / "none.key", "-c", config], 78, "there is no such file"),
        (["allow", "e", public, "-c", nowhere], 78, "there is no such folder; make it"),
        (["revoke", "c", "-c", config], 78, "there is no 'c'; there are b, a"),
    ):
        done = auricle("keys", *words)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert auricle("keys", "revoke", "b", "-c", config).returncode == 0
    assert list(read_allowed(tmp_path / "allowed.keys")) == ["a"]


def test_a_secret_that_others_may_read_is_none(tmp_path: Path) -> None:
    """A pair is refused where its mode lets others read it, and where it is no file; no error has a secret in it."""
    pair = new_pair(tmp_path / "a.key")
    assert pair.secret not in repr(pair)
    for mode in (0o640, 0o604, 0o620):
        (tmp_path / "a.key").chmod(mode)
        with pytest.raises(KeysError, match="chmod 600"):
            read_pair(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o600)
    assert read_pair(tmp_path / "a.key") == pair
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path, content in (("b.key", "secret"), ("c.key", "public x"), ("d.key", f"secret {pair.secret} {pair.secret}")):
        (tmp_path / path).write_text(content)
        (tmp_path / path).chmod(0o600)
    for path in ("fifo", "b.key", "c.key", "d.key"):
        with pytest.raises(KeysError) as caught:
            read_pair(tmp_path / path)
        assert pair.secret not in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(KeysError, match="has no key of a daemon"):
        Client("tcp://127.0.0.1:1", key=tmp_path / "a.key")


def test_letters_that_are_no_key(tmp_path: Path) -> None:
    """Forty letters that no 32 bytes are written as, other letters, and other lengths are no key."""
    key = new_pair(tmp_path / "a.key").public
    assert is_key(key)
    for text in ("#" * 40, key[:39], key + "0", key[:39] + "~", key[:39] + " "):
        assert not is_key(text), text
        (tmp_path / "allowed.keys").write_text(f"name {text}\n")
        with pytest.raises(KeysError, match=r"allowed\.keys:1"):
            read_allowed(tmp_path / "allowed.keys")
    write_allowed(tmp_path / "allowed.keys", {"ä.b@c-d": key})
    assert read_allowed(tmp_path / "allowed.keys") == {"ä.b@c-d": key}


def test_the_credential_of_systemd(tmp_path: Path) -> None:
    """`secret_key: credential` is auricle.key in the folder that systemd names; without one the remedy is said."""
    from auricle import config

    publish = config.load(None, environ={}, overrides={"publish.secret_key": "credential"}).publish
    with pytest.raises(KeysError, match=r"has given no credential auricle\.key; put the pair into /etc/credstore"):
        own_pair(publish, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    pair = new_pair(tmp_path / "auricle.key")
    (tmp_path / "auricle.key").chmod(0o440)
    assert own_pair(publish, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == pair
    with pytest.raises(KeysError, match="has given no credential"):
        own_pair(publish, {})
