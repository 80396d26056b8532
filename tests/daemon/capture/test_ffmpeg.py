"""Network sound: real RTSP through the real ffmpeg, and what must never be shown."""

from __future__ import annotations

import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.capture.ffmpeg import Ffmpeg
from auricle.capture.poller import Poller
from auricle.capture.source import Gap, Segment, Status
from helpers import rtspserver
from helpers.listener import Hearing, terms_of
from helpers.rtspserver import RtspServer
from helpers.soundserver import write_wav

pytestmark = pytest.mark.alone

RATE = 16000
NOISE = np.random.default_rng(2).integers(-20000, 20000, 60 * RATE).astype(np.int16)


@pytest.fixture
def server(tmp_path: Path, require: Callable[[bool, str], None]) -> Iterator[RtspServer]:
    """A camera on loopback."""
    require(not rtspserver.missing(), rtspserver.missing())
    own = RtspServer(write_wav(tmp_path / "noise.wav", NOISE, RATE))
    own.start()
    yield own
    own.stop()


@pytest.fixture
def hears() -> Iterator[Callable[..., Hearing]]:
    """Make listeners to an address, and let go of them."""
    with Poller() as poller:
        made: list[Hearing] = []

        def make(url: str, *, keep: bool = True, stall_s: float = 5.0, **options: Any) -> Hearing:
            options["stall_s"] = stall_s
            source = Ffmpeg("cam", terms_of(options), poller=poller, url=url, **options)
            made.append(Hearing(source, keep=keep))
            return made[-1]

        yield make
        for hearing in made:
            hearing.source.close()


def test_a_camera_is_heard_bit_for_bit_killed_and_frozen(server: RtspServer, hears: Callable[..., Hearing]) -> None:
    """Lossless RTSP gives the file's bits; killed or frozen it is lost, and heard within 3 s of its return."""
    hearing = hears(server.url("/lossless"), stall_s=1.5)
    hearing.until(lambda: hearing.source.counters().heard > RATE)
    heard = hearing.samples()
    np.testing.assert_array_equal(heard, NOISE[: len(heard)].astype(np.float32) / 2**15)

    server.stop()
    assert hearing.until(lambda: hearing.states()[-1:] == ["lost"]) < 1.0, "ffmpeg ends with status 0; it is a loss"
    server.start()
    assert hearing.speaks() < 3.0

    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    assert 1.0 < hearing.until(lambda: hearing.states()[-1:] == ["lost"]) < 2.0
    server.process.send_signal(signal.SIGCONT)
    assert hearing.speaks() < 3.0

    assert hearing.states() == ["lost", "found", "lost", "found"]
    gaps = hearing.all(Gap)
    assert [(gap.cause, gap.estimated) for gap in gaps] == [("lost", True)] * 2
    hearing.check()
    # After each return the camera plays from its start: what follows a gap is unbroken.
    last = max(i for i, piece in enumerate(hearing.pieces) if isinstance(piece, Segment))
    again = np.concatenate([piece.samples for piece in hearing.pieces[last + 1 :]])
    assert any(np.array_equal(again, NOISE[at : at + len(again)] / np.float32(2**15)) for at in range(RATE))


@pytest.mark.parametrize("path", ["/phone", "/camera"])
def test_other_cameras_are_heard(server: RtspServer, hears: Callable[..., Hearing], path: str) -> None:
    """A-law at 8 kHz, and sound beside a video of few frames a second, come at the model's rate."""
    hearing = hears(server.url(path, "me:secret@"))
    hearing.until(lambda: hearing.source.counters().heard > RATE)
    assert hearing.all(Segment)[0].rate == RATE
    assert np.abs(hearing.samples()).max() > 0.1
    assert hearing.states() == []


def test_no_password_is_on_the_command_line(server: RtspServer, hears: Callable[..., Hearing]) -> None:
    """A camera with a password, and options: heard bit for bit, while `ps` shows nothing of either."""
    options = ["-user_agent", "it's hidden", "-rtsp_transport", "tcp", "-threads", "1"]
    hearing = hears(server.url("/lossless", "me:hunter2@") + "?token=abc123", options=options)
    hearing.until(lambda: hearing.source.counters().heard > RATE)
    heard = hearing.samples()
    np.testing.assert_array_equal(heard, NOISE[: len(heard)].astype(np.float32) / 2**15)
    shown_to_all = Path(f"/proc/{hearing.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    for secret in ("me:", "hunter2", "abc123", "hidden"):
        assert secret not in shown_to_all
    assert "-threads 1" in shown_to_all


@pytest.mark.parametrize(
    ("url", "options", "words", "listed"),
    [
        ("rtsp://cam/", [], ["-rtsp_transport", "tcp", "-analyzeduration", "1000000", "-i", "rtsp://cam/"], ""),
        ("rtsp://cam/t0ken", [], ["-analyzeduration", "1000000", "-protocol_whitelist"], "file 'rtsp://cam/t0ken'\n"),
        (
            "http://a:b'c@radio/x?k=1",
            ["-re", "-headers", "X: y\\z", "-c:a", "mp3"],
            ["-analyzeduration", "1000000", "-re", "-c:a", "mp3", "-protocol_whitelist"],
            "ffconcat version 1.0\nfile 'http://a:b'\\''c@radio/x?k=1'\noption analyzeduration '1000000'\n"
            "option headers 'X: y\\z'\n",
        ),
        ("http://radio/x", ["-cookies", "s=1"], ["-protocol_whitelist"], "option cookies 's=1'"),
    ],
)
def test_what_is_said_in_words_and_what_in_the_list(
    tmp_path: Path, url: str, options: list[str], words: list[str], listed: str
) -> None:
    """Address and what may be a secret go into the list, ffmpeg's own options and harmless addresses do not."""
    program = fake(tmp_path, "echo ffmpeg version 5.1.9-0 Copyright")
    with Poller() as poller:
        said, given = Ffmpeg("cam", terms_of({}), poller=poller, url=url, options=options, program=program).command()
    assert [word for word in said if word in words] == words
    assert listed in given.decode()
    assert bool(listed) == (said[said.index("-i") + 1] == "pipe:0")


@pytest.mark.parametrize(
    ("version", "options", "why"),
    [
        ("4.4.2-0ubuntu0.22.04.1", [], "this is ffmpeg 4, it needs 5"),
        ("7.1", ["-f", "mpegts"], "the option -f works only beside it"),
        ("N-113007-g8d24a28d06", [], None),
    ],
)
def test_where_it_cannot_be_hidden_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str, options: list[str], why: str | None
) -> None:
    """An old ffmpeg, or an option that has to stand beside the address: it is heard, with one warning."""
    program = fake(tmp_path, f"echo ffmpeg version {version} Copyright")
    with Poller() as poller:
        source = Ffmpeg("cam", terms_of({}), poller=poller, url="http://a:b@c/", options=options, program=program)
        commands = [source.command()[0] for _ in range(2)]
    assert [("http://a:b@c/" in words) for words in commands] == [why is not None] * 2
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    where = "its address is on ffmpeg's command line, where other users of this machine can read it"
    assert said == ([] if why is None else [f"{where}: {why}"])


def test_passwords_are_never_told(hears: Callable[..., Hearing], require: Callable[[bool, str], None]) -> None:
    """A camera that refuses: the reason is ffmpeg's, without user, password, token or secret option."""
    require(not rtspserver.missing(), rtspserver.missing())
    port = rtspserver.free_port()
    options = ["-user_agent", "hidden-agent"]
    hearing = hears(f"http://bob:hunter2@127.0.0.1:{port}/live?token=abc123", options=options)
    hearing.until(lambda: hearing.states() == ["lost"])
    detail = hearing.all(Status)[0].detail
    assert "refused" in detail
    assert "\n" not in detail
    for secret in ("bob", "hunter2", "abc123", "hidden-agent"):
        assert secret not in detail


def test_without_ffmpeg_the_error_says_what_to_install(hears: Callable[..., Hearing]) -> None:
    """Its absence is a loss with a remedy, told once, not the end of the daemon."""
    hearing = hears("rtsp://127.0.0.1/x", program="no-such-ffmpeg")
    hearing.until(lambda: hearing.source._retry._delay_s > 1.0)
    (status,) = hearing.all(Status)
    assert (status.state, status.detail) == (
        "lost",
        "no-such-ffmpeg is not installed; on Debian: apt-get install ffmpeg",
    )


def fake(folder: Path, script: str) -> str:
    path = folder / "ffmpeg"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("code", [0, 1, 255])
def test_any_exit_is_a_loss(tmp_path: Path, hears: Callable[..., Hearing], code: int) -> None:
    """Whatever its status, an ffmpeg that ends has lost the stream, and is started again."""
    program = fake(tmp_path, f"head -c 64000 /dev/zero; exit {code}")
    hearing = hears("http://radio.lan/", program=program)
    hearing.until(lambda: hearing.source.counters().restarts >= 1 and "found" in hearing.states())
    assert hearing.states()[:2] == ["lost", "found"]
    assert hearing.source.counters().heard >= 16000
    hearing.check()


def test_a_recording_on_the_net_is_heard_at_the_pace_of_time(tmp_path: Path, hears: Callable[..., Hearing]) -> None:
    """ffmpeg gives an hour in a second: it waits in its pipe, nothing is lost, and the machine does not run hot."""
    program = fake(tmp_path, "exec cat /dev/zero")
    hearing = hears("http://files.lan/hour.mp3", program=program, ring_s=1.0, keep=False)
    hearing.until(lambda: hearing.source.counters().heard > 0)
    took_s = hearing.until(lambda: hearing.source.counters().heard > 5 * RATE)
    assert took_s > 2.5
    assert hearing.source.counters().heard < (took_s + 0.5 + 2.0) * RATE
    assert hearing.all(Gap) == []
