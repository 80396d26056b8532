"""What must never be shown: passwords and tokens, in whichever part of an address, an option or a text they are."""

from __future__ import annotations

import logging
import re
import sys
import syslog
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from auricle import config, secrecy, start
from auricle.capture.ffmpeg import Ffmpeg
from auricle.capture.hidden import _OF_FORMAT, _OWN
from auricle.capture.poller import Poller
from auricle.commands.cli import app
from auricle.errors import (
    LONGEST,
    AudioError,
    AuricleError,
    DeviceError,
    KeysError,
    NoDaemonError,
    OutputError,
    UsageError,
)
from auricle.messages.keys import Pair, read_allowed, write_pair
from auricle.service import logs
from helpers.listener import terms_of

SECRET = "s3cr3t"
ADDRESSES = {
    "rtsp://me:s3cr3t@cam.lan:554/live": "rtsp://***@cam.lan:554/***",
    "rtsp://s3cr3t@cam.lan": "rtsp://***@cam.lan",
    "rtsp://me:a@s3cr3t@cam.lan/": "rtsp://***@cam.lan/",
    "rtsp://me:a/s3cr3t@cam.lan": "rtsp://***",
    "rtsp://me:1234?s3cr3t@cam.lan": "rtsp://***",
    "rtsp://me:1234#s3cr3t@cam.lan": "rtsp://***",
    "rtsp://me:1234\\s3cr3t@cam.lan": "rtsp://***",
    "rtsp://me:a s3cr3t@cam.lan": "rtsp://***@cam.lan",
    "rtsp://me:s3cr3t": "rtsp://***",
    "rtsp://cam.lan/user=me&password=s3cr3t&channel=1.sdp": "rtsp://cam.lan/***",
    "rtsp://cam.lan/user=me_password=s3cr3t_channel=1.sdp": "rtsp://cam.lan/***",
    "rtsps://192.168.1.1:7441/s3cr3t": "rtsps://192.168.1.1:7441/***",
    "rtmp://[fe80::1]:1935/app/s3cr3t": "rtmp://[fe80::1]:1935/***",
    "http://cam.lan/video.cgi?loginuse=me&loginpas=s3cr3t": "http://cam.lan/***",
    "http://cam.lan?s3cr3t": "http://cam.lan/***",
    "srt://cam.lan:9000?passphrase=s3cr3t": "srt://cam.lan:9000/***",
    "//me:s3cr3t@cam.lan": "//***@cam.lan",
    "rtsp:/me:s3cr3t@cam.lan": "***",
    "me:s3cr3t@cam.lan/live": "***",
}  # fmt: skip


@pytest.mark.parametrize(("whole", "seen"), ADDRESSES.items())
def test_of_an_address_scheme_host_and_port_are_shown(whole: str, seen: str) -> None:
    """Whatever stands before the host or behind the port may be a secret; where the host is not sure, it is not shown
    either. Shown again, nothing changes."""
    assert secrecy.address(whole) == seen
    assert secrecy.address(seen) == seen


@pytest.mark.parametrize("plain", ["/srv/a.wav", "rtsp://cam.lan", "http://cam.lan:80/", "ipc:///run/a@b", "ipc://@a"])
def test_what_holds_no_secret_stays(plain: str) -> None:
    """A path of this machine, and an address that is nothing but scheme, host and port."""
    assert secrecy.address(plain) == secrecy.mask(plain) == plain


PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)


@given(PASSWORDS, PASSWORDS, st.sampled_from(["cam", "cam:554", "[::1]:554"]), st.sampled_from(["", "/a", "?b"]))
@example("", "℀", "cam", "/a")
@example("[", "]", "cam", "")
def test_no_password_of_any_letters_is_shown(before: str, after: str, host: str, path: str) -> None:
    """A password of any letters that can stand in the configuration, whatever ffmpeg would make of it."""
    whole = f"rtsp://me:{before}{SECRET}{after}@{host}{path}"
    assert SECRET not in secrecy.address(whole)
    assert SECRET not in secrecy.mask(whole)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("'rtsp://me:s3cr3t@cam.lan/x': refused", "'rtsp://***@cam.lan/***': refused"),
        ("rtsp://me:s3cr3t@cam.lan/x: refused", "rtsp://***@cam.lan/***: refused"),
        ("two: http://a/s3cr3t, and tcp://127.0.0.1:5557.", "two: http://a/***, and tcp://127.0.0.1:5557."),
        ("Authorization: Basic s3cr3t", "Authorization: ***"),
        ("access_token=s3cr3t&passwd=s3cr3t", "access_token=***&passwd=***"),
        ("error in a // b", "error in a // b"),
    ],
)
def test_addresses_in_any_text_are_masked(text: str, seen: str) -> None:
    """A line of ffmpeg's or of a library, with an address, a header or a parameter in it."""
    assert secrecy.mask(text) == seen


def test_of_options_only_what_can_be_no_secret_is_shown() -> None:
    """A value is shown if its option is known to be harmless; every option that hides nothing of itself is."""
    given = ["-re", "-headers", "X-Door: s3cr3t", "-rtsp_transport", "tcp", "-password", "s3cr3t", "-c:a", "mp3"]
    seen = ["-re", "-headers", "***", "-rtsp_transport", "tcp", "-password", "***", "-c:a", "mp3"]
    assert secrecy.options(given) == seen
    assert secrecy.options(["s3cr3t", "-1"]) == ["***", "***"]
    assert all(map(secrecy.harmless, _OWN | _OF_FORMAT))


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("http://me:s3cr3t/9@cam.lan/x: 401", "http://***: 401"),
        ("Connection to tcp://me:s3cr3t?timeout=0 failed", "Connection to tcp://*** failed"),
        ("Failed to resolve hostname s3cr3t: no such name", "Failed to resolve hostname ***: no such name"),
        ("Unrecognized option 'X: t0p'", "Unrecognized option '***'"),
        ("Error opening input: tcp", "Error opening input: tcp"),
    ],
)
def test_what_ffmpeg_quotes_of_its_secrets_is_left_out(said: str, seen: str) -> None:
    """Whole, in part, or written in another way: ffmpeg may take a password for a host, and tell that."""
    options = ["-headers", "X: t0p", "-rtsp_transport", "tcp"]
    assert secrecy.without(said, "http://me:s3cr3t/9@cam.lan/x", options) == seen


CAMERA = """
sources:
  - name: cam
    ffmpeg: {url: 'rtsp://me:s3cr3t@cam.lan/s3cr3t?token=s3cr3t', options: [-cookies, s3cr3t, -password, s3cr3t]}
"""


def test_config_show_and_check_have_no_secret(tmp_path: Path) -> None:
    """What a value is can be told from its origin; the secret itself is in no output of the commands that read it."""
    path = tmp_path / "auricle.yaml"
    path.write_text(f"model: esc10{CAMERA}")
    for command in ("show", "check"):
        done = CliRunner().invoke(app, ["config", command, "-c", str(path)])
        assert done.exit_code == 0, done.output
        assert SECRET not in done.output
    assert SECRET not in repr(config.load(path, environ={}))


def test_a_key_that_a_comma_made_twice_is_not_shown(tmp_path: Path) -> None:
    """A password with the same part twice, cut by YAML: its parts are keys without values."""
    path = tmp_path / "auricle.yaml"
    path.write_text("sources: [{name: cam, ffmpeg: {url: rtsp://me:a,s3cr3t,s3cr3t,b@cam}}]\n")
    with pytest.raises(AuricleError) as refused:
        config.load(path, environ={})
    assert SECRET not in "\n".join(refused.value.lines())
    assert "a key without a value is already in line 1" in refused.value.lines()[0]


def test_the_file_of_a_secret_given_for_another_is_not_shown(tmp_path: Path) -> None:
    """A login where the configuration should be, a pair of keys where the list should be: refused, not repeated."""
    login = tmp_path / "login"
    login.write_text("me\ns3cr3t\n")
    with pytest.raises(AuricleError) as refused:
        config.load(login, environ={})
    assert refused.value.lines() == [
        f"{login}:1: holds only a text, not keys; begin with a key, such as 'node: porch'"
    ]  # fmt: skip
    pair = tmp_path / "daemon.key"
    write_pair(pair, Pair("0" * 40, "1" * 40))
    with pytest.raises(KeysError, match="is a pair of keys, no list; "):
        read_allowed(pair)


@pytest.mark.parametrize("url", ["rtsp://me:s3cr3t℀@cam.lan/x", "rtsp://me:[s3cr3t]@cam.lan", "rtsp://me:[s3cr3t@cam"])
def test_no_library_is_asked_about_an_address(url: str) -> None:
    """An address that Python's own reader would refuse, and quote, is ffmpeg's affair: it gets its command line."""
    with Poller() as poller:
        words, listed = Ffmpeg("cam", terms_of({}), poller=poller, url=url, program=sys.executable).command()
    assert SECRET not in " ".join(words)
    assert SECRET in listed.decode()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("journal", [False, True])
def test_the_log_is_a_net(form: str, journal: bool) -> None:
    """An address in a record, or in an exception with its traceback, whoever put it there, is masked."""
    try:
        raise ValueError("cannot open rtsp://me:s3cr3t@cam.lan/x")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, __file__, 1, "at %s", ("rtsp://s3cr3t@c/y",), sys.exc_info())
    written = logs.formatter(form, journal=journal).format(record)
    assert SECRET not in written
    assert "rtsp://***@cam.lan/***" in written


def test_a_fault_of_ours_is_told_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line of defence: neither its line nor the traceback in the system's log has the address."""
    kept: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda level, line: kept.append(line))

    def faulty() -> None:
        raise RuntimeError("no rtsp://me:s3cr3t@cam.lan/x\n" + "x" * 5000)

    monkeypatch.setattr(start, "_command", faulty)
    with pytest.raises(SystemExit):
        start.main()
    said = capsys.readouterr().err
    assert SECRET not in said + "".join(kept)
    assert any("rtsp://***@cam.lan/***" in line for line in kept)
    assert said.count("\n") == 1
    assert len(said) < LONGEST + 300


@pytest.mark.parametrize("kind", [AudioError, DeviceError, UsageError, OutputError, KeysError, NoDaemonError])
def test_an_error_of_any_kind_is_one_line(kind: Callable[[str], AuricleError]) -> None:
    """Whatever it quotes of a file, a library or another program: one line, of a thousand characters at most."""
    (line,) = kind("file.wav: " + "said\nby a decoder " * 1000).lines()
    assert re.match(r"file.wav: said\\nby", line)
    assert len(line.splitlines()) == 1
    assert len(line) <= LONGEST
