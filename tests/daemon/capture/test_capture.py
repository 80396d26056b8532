"""The capture child and its parent: which device is meant, what a pipe can do, and children that misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.capture import child as capture
from auricle.capture.child import Unavailable, find, stable
from auricle.capture.poller import Poller
from auricle.capture.source import Gap, Segment, Sound, Status
from helpers.listener import Hearing, listen, scripted

pytestmark = pytest.mark.alone

RATE = 16000


def device(index: int, name: str) -> dict[str, Any]:
    return {"index": index, "name": name}


DEVICES = [
    device(0, "HDA Intel PCH: ALC257 Analog (hw:0,0)"),
    device(2, "USB PnP Sound Device: Audio (hw:1,0)"),
    device(3, "USB PnP Sound Device: Audio (hw:2,0)"),
    device(5, "pipewire"),
    device(6, "pipewire-jack"),
    device(7, "7"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("default", 5),
        (2, 2),
        ("hda intel", 0),
        ("USB PnP Sound Device: Audio (hw:2,0)", 3),
        ("HDA Intel PCH: ALC257 Analog (hw:3,0)", 0),
        ("PipeWire", 5),
        ("7", 7),
    ],
)
def test_a_device_is_found_by_number_name_or_part_of_one(wanted: int | str, index: int) -> None:
    """A whole name wins over a part of one, case does not matter, and a card's new number does not hide it."""
    assert find(DEVICES, wanted, 5)["index"] == index


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("USB PnP", "2 microphones match"), ("porch", "no microphone matches 'porch'"), (1, "number 1; there are 0, 2")],
)
def test_what_is_not_there_or_not_clear_is_refused(wanted: int | str, part: str) -> None:
    """One line that says what is there instead."""
    with pytest.raises(Unavailable) as refused:
        find(DEVICES, wanted, 5)
    assert part in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_device_at_all_is_refused() -> None:
    """The default of a machine without a microphone is a refusal too."""
    with pytest.raises(Unavailable, match="knows no microphone"):
        find([], "default", -1)


def test_a_name_is_stable_without_the_number_of_its_card() -> None:
    """Only the card's address goes."""
    assert stable("USB (front): Audio (hw:1,0)") == "USB (front): Audio"
    assert stable("pipewire") == "pipewire"


def child(code: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-c", code, *arguments], **options)


def test_a_full_pipe_drops_whole_records_and_never_blocks() -> None:
    """Nobody reads: the child goes on. What is read later is whole records, and their indices tell what is missing."""
    code = """if True:
        import os, sys
        from auricle.capture import child as capture
        os.set_blocking(1, False)
        payload = bytes(3200)
        sent = [capture.send(capture.PCM, payload, index=800 * i) for i in range(1000)]
        sys.stderr.write(str(sum(sent)))
    """
    process = child(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.wait(30) == 0
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    record = capture.HEADER.size + 3200
    assert len(out) % record == 0
    assert len(out) // record == int(err) < 1000
    indices = [capture.HEADER.unpack_from(out, at)[4] for at in range(0, len(out), record)]
    assert indices == [800 * i for i in range(len(indices))]


def test_records_fit_into_one_write() -> None:
    """No longer than PIPE_BUF, or they would not be atomic."""
    assert capture.HEADER.size + capture.MAX_PAYLOAD <= 4096
    assert capture.MAX_PAYLOAD % 8 == 0


def test_the_child_needs_little() -> None:
    """Neither numpy nor anything else that is slow to import, nor PortAudio before it is asked for."""
    code = "import auricle.capture.child, sys; m = sys.modules; print('numpy' in m, 'sounddevice' in m, len(m))"
    process = child(code, stdout=subprocess.PIPE)
    numpy, sounddevice, modules = process.communicate(timeout=30)[0].split()
    assert (numpy, sounddevice) == (b"False", b"False")
    assert int(modules) < 130


@pytest.fixture
def hears() -> Iterator[Callable[..., Hearing]]:
    """Make listeners, and let go of them."""
    with Poller() as poller:
        made: list[Hearing] = []

        def make(code: str, **options: Any) -> Hearing:
            made.append(scripted(poller, code, **options))
            return made[-1]

        yield make
        for hearing in made:
            hearing.source.close()


def test_a_killed_child_is_replaced(hears: Callable[..., Hearing]) -> None:
    """kill -9: lost at once, found within two seconds, the gap by the clock, nothing spliced."""
    listener = hears("    hello(); steady()")
    listener.until(lambda: listener.source.counters().heard > RATE // 2)
    killed_s = time.monotonic()
    os.kill(listener.pid, signal.SIGKILL)
    assert listener.until(lambda: "lost" in listener.states()) < 0.5
    assert "signal 9" in listener.all(Status)[0].detail or "ended" in listener.all(Status)[0].detail
    listener.until(lambda: "found" in listener.states() and listener.pieces[-1] is listener.all(Sound)[-1])
    assert time.monotonic() - killed_s < 2.5
    (gap,) = listener.all(Gap)
    assert gap.cause == "lost"
    assert gap.estimated
    assert gap.samples / RATE == pytest.approx(time.monotonic() - killed_s, abs=0.3)
    listener.check()
    listener.unspliced()
    assert listener.source.counters().restarts == 1


def test_one_microphone_dies_and_the_other_does_not_notice(hears: Callable[..., Hearing]) -> None:
    """Two children, one is killed: the other has one segment, no gap and no status."""
    first, second = hears("    hello(); steady()"), hears("    hello(); steady()")
    both = [first, second]
    listen(both, lambda: all(x.source.counters().heard > 3200 for x in both))
    os.kill(first.pid, signal.SIGKILL)
    listen(both, lambda: "found" in first.states())
    heard = second.source.counters().heard
    listen(both, lambda: second.source.counters().heard > heard + 1600)
    assert len(second.all(Segment)) == 1
    assert second.all(Gap) == second.all(Status) == []
    second.check()
    first.check()


def test_a_child_that_stops_is_given_up_and_killed(hears: Callable[..., Hearing]) -> None:
    """SIGSTOP: silent and alive. After the stall it is lost, killed, and a new one is heard."""
    listener = hears("    hello(); steady()", stall_s=0.6)
    listener.until(lambda: listener.source.counters().heard > 3200)
    pid = listener.pid
    os.kill(pid, signal.SIGSTOP)
    assert 0.4 < listener.until(lambda: "lost" in listener.states()) < 1.0
    listener.until(lambda: "found" in listener.states())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    listener.check()
    listener.unspliced()


def test_a_child_that_floods_is_refused(hears: Callable[..., Hearing]) -> None:
    """Sound two thousand times faster than time is no microphone: lost, with the reason, and all is counted."""
    code = """
    hello()
    for i in range(1 << 30):
        capture.send(capture.PCM, bytes(3200), index=800 * i, clock_ns=time.monotonic_ns())
    """
    listener = hears(code)
    listener.until(lambda: "lost" in listener.states())
    assert "faster than real time" in listener.all(Status)[0].detail
    assert listener.source.counters().heard <= 12 * RATE
    listener.check()


def test_a_child_that_talks_nonsense_is_refused(hears: Callable[..., Hearing]) -> None:
    """Bytes that are no record: lost with a reason, not a dead poller."""
    code = """
    os.write(1, b"\\x63" + bytes(23))
    time.sleep(60)
    """
    listener = hears(code)
    listener.until(lambda: "lost" in listener.states())
    assert "unknown kind 99" in listener.all(Status)[0].detail


def test_a_child_that_says_why_it_ends_is_quoted(hears: Callable[..., Hearing]) -> None:
    """The reason of the loss is the child's, and it is told once though it is tried again."""
    listener = hears("    capture.send(capture.BYE, b'the dog ate it'); sys.exit(1)")
    listener.until(lambda: listener.source.counters().restarts >= 2)
    assert [(s.state, s.detail) for s in listener.all(Status)] == [("lost", "the dog ate it")]


def test_a_slow_consumer_loses_exactly_what_it_is_told(hears: Callable[..., Hearing]) -> None:
    """The consumer sleeps longer than the ring holds: the loss is exact, and nothing is spliced over it."""
    listener = hears("    hello(); steady()", ring_s=0.5)
    listener.until(lambda: listener.source.counters().heard > 1600)
    feed = listener.source._feed
    assert feed is not None
    assert feed.ring is not None
    ring = feed.ring
    began_s = time.monotonic()
    while ring.dropped < RATE // 2:
        assert time.monotonic() - began_s < 10
        time.sleep(0.01)
    listener.until(lambda: len(listener.all(Segment)) == 2)
    (gap,) = listener.all(Gap)
    assert (gap.cause, gap.estimated) == ("overrun", False)
    assert gap.samples >= RATE // 2
    sounds = listener.pieces
    place = sounds.index(gap)
    before = next(p for p in reversed(sounds[:place]) if isinstance(p, Sound)).samples[-1]
    after = next(p for p in sounds[place:] if isinstance(p, Sound)).samples[0]
    assert after - before - 1 == gap.samples
    listener.check()
    listener.unspliced()


def test_channels_are_mixed(hears: Callable[..., Hearing]) -> None:
    """Of two channels the mean is heard."""
    code = """
    import array
    hello(channels=2)
    for i in range(100):
        time.sleep(0.01)
        capture.send(capture.PCM, array.array("f", [0.25, 0.5] * 160).tobytes(), index=160 * i, clock_ns=time.monotonic_ns())
    time.sleep(60)
    """  # noqa: E501
    listener = hears(code)
    listener.until(lambda: listener.source.counters().heard >= 1600)
    for sound in listener.all(Sound):
        np.testing.assert_array_equal(sound.samples, np.full(len(sound.samples), 0.375, np.float32))


def test_a_number_is_remembered_by_the_name_it_had(hears: Callable[..., Hearing]) -> None:
    """Opened by number, found again by name: numbers change when something is plugged in."""
    code = """
    wanted = json.loads(sys.argv[1])
    capture.send(capture.HELLO, json.dumps(
        {"device": f"asked for {wanted['device']!r} (hw:1,0)", "rate": RATE, "channels": 1}).encode())
    steady(until=3200)
    """
    listener = hears(code, device=4)
    listener.until(lambda: "found" in listener.states())
    found = next(s for s in listener.all(Status) if s.state == "found")
    assert found.detail == "asked for 'asked for 4' (hw:1,0)"


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """When the parent is killed, the child ends though its main thread hangs."""
    code = """if True:
        import os, sys, threading, time
        from auricle.capture import child as capture
        threading.Thread(target=capture._end_with_parent, daemon=True).start()
        print(os.getpid(), flush=True)
        time.sleep(600)
    """
    parent = child(
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-I', '-c', sys.argv[1]], "
        "stdin=subprocess.PIPE); time.sleep(600)",
        code,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == b"", "the pipe ends only when the child has"
    assert not Path(f"/proc/{pid}/cmdline").exists() or Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    parent.stdout.close()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("raise ImportError('no such wheel')", "sounddevice cannot be imported (no such wheel)"),
        ("raise OSError('PortAudio library not found')", "apt-get install libportaudio2"),
    ],
)
def test_what_portaudio_lacks_is_said_in_one_line(module: str, reason: str, tmp_path: Path) -> None:
    """Without the package or the library: a record with the reason for the parent, a line on stderr for a person."""
    (tmp_path / "sounddevice.py").write_text(module)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from auricle.capture import child; sys.exit(child.main())"
    )
    wanted = json.dumps({"device": "default", "channel": "mix", "rates": [RATE]})
    process = child(code, wanted, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    out, err = process.stdout.read(), process.stderr.read()  # type: ignore[union-attr]
    assert process.wait(10) == 1
    kind, _, length, *_ = capture.HEADER.unpack_from(out)
    assert kind == capture.BYE
    assert reason in out[capture.HEADER.size :].decode()
    assert length == len(out) - capture.HEADER.size
    assert err == b""
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    process = child(code, "--list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out == b""
    assert reason in err.decode()
    assert err.count(b"\n") == 1
