"""Microphones on a real sound server: what is played is what is heard, and no loss goes unseen."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.capture.microphone import Microphone
from auricle.capture.poller import Poller
from auricle.capture.source import End, Gap, Segment, Sound, Status
from auricle.commands.devices import devices, levels, print_devices
from auricle.errors import DeviceError
from helpers import soundserver
from helpers.listener import Hearing, listen, terms_of
from helpers.soundserver import SoundServer, write_wav

pytestmark = pytest.mark.alone

RATE = 16000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, require: Callable[[bool, str], None]) -> Iterator[SoundServer]:
    """A sound server of the test's own, up and running; this process and its children talk to it."""
    require(not soundserver.missing(), soundserver.missing())
    with soundserver.running(monkeypatch, RATE) as own:
        yield own


@pytest.fixture
def hears() -> Iterator[Callable[..., Hearing]]:
    """Make listeners, and let go of them."""
    with Poller() as poller:
        made: list[Hearing] = []

        def make(*, keep: bool = True, **options: Any) -> Hearing:
            options = {"device": "pipewire", **options}
            made.append(Hearing(Microphone("mic", terms_of(options), poller=poller, **options), keep=keep))
            return made[-1]

        yield make
        for hearing in made:
            hearing.source.close()


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20000, 20000, int(seconds * RATE)).astype(np.int16)


def whole(hearing: Hearing, played: np.ndarray) -> int:
    """Where in what was heard the played sound lies, whole and unchanged; the test fails if it does not."""
    heard = hearing.samples()
    wanted = played.astype(np.float32) / 2**15
    starts = np.flatnonzero(heard == wanted[0])
    for start in starts:
        if np.array_equal(heard[start : start + len(wanted)], wanted):
            return int(start)
    raise AssertionError(f"{len(heard)} samples heard, and nowhere among them the {len(wanted)} that were played")


def test_what_is_played_is_heard_bit_for_bit(
    server: SoundServer, hears: Callable[..., Hearing], tmp_path: Path
) -> None:
    """Two seconds of noise at the server's rate: the captured samples are the file's, to the last bit."""
    hearing = hears()
    hearing.speaks()
    played = noise(2.0)
    player = server.play(write_wav(tmp_path / "noise.wav", played, RATE))
    hearing.until(lambda: player.poll() is not None)
    heard = hearing.source.counters().heard
    hearing.until(lambda: hearing.source.counters().heard > heard + RATE // 2)
    whole(hearing, played)
    assert hearing.all(Gap) == []
    assert len(hearing.all(Segment)) == 1
    hearing.check()


def test_a_device_that_lacks_the_rate_is_resampled(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """Opened at 48 kHz for a model of 16 kHz: samples are counted at 48 kHz and given at 16 kHz."""
    hearing = hears(sample_rate=48000)
    hearing.until(lambda: hearing.source.counters().heard >= 24000)
    (segment,) = hearing.all(Segment)
    assert segment.rate == 48000
    heard = hearing.source.counters().heard
    assert len(hearing.samples()) == pytest.approx(heard / 3, abs=400)


def test_time_of_day_is_the_time_of_hearing(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """The newest sample's time is that of its delivery, to a tenth of a second."""
    hearing = hears()
    hearing.until(lambda: hearing.source.counters().heard > RATE // 2)
    clock = hearing.all(Segment)[0].clock
    sound = hearing.all(Sound)[-1]
    utc_of_delivery = time.time() - (time.monotonic() - sound.delivered_s)
    assert clock.utc_us(hearing.source.counters().heard) / 1e6 == pytest.approx(utc_of_delivery, abs=0.1)


def figures() -> tuple[int, int, int]:
    """Descriptors, threads and resident kB of this process, what earlier tests left to the collector not counted."""
    gc.collect()
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return len(os.listdir("/proc/self/fd")), int(fields["Threads"]), int(fields["VmRSS"].split()[0])


def children() -> list[int]:
    """Process numbers of the capture children of this process."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found if b"auricle.capture" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def ledger_holds(hearing: Hearing) -> None:
    """heard + lost = elapsed: the index of the newest sample against the clock on the wall, to 150 ms."""
    hearing.check()
    first = next(p for p in hearing.pieces if isinstance(p, Segment | Gap))
    counters = hearing.source.counters()
    now_s = hearing.all(Sound)[-1].delivered_s
    elapsed_s = now_s - first.clock.monotonic_ns(0) / 1e9
    assert (counters.heard + counters.lost) / RATE == pytest.approx(elapsed_s, abs=0.15)


def round_of_losses(server: SoundServer, hearing: Hearing) -> list[float]:
    """The server is killed and comes back, then freezes and goes on; the times from each return to the sound."""

    def lost() -> None:
        assert hearing.until(lambda: hearing.states()[-1:] == ["lost"]) < 2.5
        assert isinstance(hearing.pieces[-2], End), "the segment ends before the loss is told"

    def found() -> float:
        took_s = hearing.speaks()
        assert hearing.states()[-2:] == ["lost", "found"], "each is told once"
        ledger_holds(hearing)
        return took_s

    server.kill()
    lost()
    starter = threading.Thread(target=server.start)
    starter.start()
    hearing.until(lambda: not starter.is_alive())
    returns = [found()]
    server.freeze()
    lost()
    server.thaw()
    returns.append(found())
    return returns


def rounds_of_losses(server: SoundServer, hearing: Hearing, rounds: int) -> None:
    """Through all of them: found within 3 s, and nothing left behind."""
    hearing.until(lambda: hearing.source.counters().heard > 8000)
    returns = round_of_losses(server, hearing)
    descriptors, threads, rss_kb = figures()
    for _ in range(rounds - 1):
        returns += round_of_losses(server, hearing)
    after = figures()
    print(
        f"back after {max(returns):.2f} s at most; descriptors, threads, kB: {descriptors, threads, rss_kb} -> {after}"
    )
    assert max(returns) < 3.0
    assert after[0] <= descriptors
    assert after[1] <= threads
    assert after[2] - rss_kb < 1000
    assert len(children()) == 1
    assert hearing.states() == ["lost", "found"] * (2 * rounds)


def test_a_server_that_dies_or_freezes_is_heard_again(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """Killed and frozen, twice: lost within 2.5 s, found within 3 s of the return, all accounted for, no leak."""
    rounds_of_losses(server, hears(keep=False), 2)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_rounds_of_losses(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """The same, fifty times."""
    rounds_of_losses(server, hears(keep=False), 50)


def test_a_server_absent_at_start_is_found(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """Started before the sound server is there: lost with a reason, then heard within 3 s of its start, and counted."""
    server.kill()
    hearing = hears()
    hearing.until(lambda: hearing.states() == ["lost"])
    restarts = hearing.source.counters().restarts
    hearing.until(lambda: hearing.source.counters().restarts > restarts)
    server.start()
    assert hearing.speaks() < 3.0
    assert hearing.states() == ["lost", "found"]
    assert isinstance(hearing.pieces[0], Status)
    assert hearing.pieces[0].detail
    ledger_holds(hearing)


def test_two_microphones_are_heard_side_by_side(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """Each has its own child; the child of one is killed, the other goes on without a gap."""
    first, second = hears(), hears(device="pulse")
    both: list[Hearing] = [first, second]
    listen(both, lambda: all(x.source.counters().heard > 8000 for x in both))
    assert len(children()) == 2
    os.kill(first.pid, signal.SIGKILL)
    listen(both, lambda: first.states() == ["lost", "found"])
    heard = second.source.counters().heard
    listen(both, lambda: second.source.counters().heard > heard + 8000)
    assert len(second.all(Segment)) == 1
    assert second.all(Gap) == second.all(Status) == []
    ledger_holds(first)
    ledger_holds(second)


def test_a_further_microphone_costs_little_memory(server: SoundServer, hears: Callable[..., Hearing]) -> None:
    """At most 2 MB in this process, its ring of ten seconds filled once included."""
    both: list[Hearing] = [hears(keep=False)]
    listen(both, lambda: both[0].source.counters().heard > 8000)
    before_kb = figures()[2]
    both.append(hears(keep=False, device="pulse"))
    listen(both, lambda: both[1].source.counters().heard > 8000)
    feed = both[1].source._feed
    assert feed is not None
    assert feed.ring is not None
    feed.ring._samples.fill(0.0)
    assert figures()[2] - before_kb < 2048


# PR_SET_MDWE (Linux 6.3): what systemd's MemoryDenyWriteExecute=yes asks of the kernel; it is inherited.
LOCKED = """if True:
    import ctypes, mmap, os, sys
    if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
        sys.exit("no PR_SET_MDWE here")
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except PermissionError:
        os.execv(sys.executable, [sys.executable, "-I", *sys.argv[1:]])
    sys.exit("memory may still be written and executed")
"""


def test_no_memory_needs_to_be_writable_and_executable(
    server: SoundServer, hears: Callable[..., Hearing], require: Callable[[bool, str], None]
) -> None:
    """With memory locked as by MemoryDenyWriteExecute=yes a microphone is heard; a callback of PortAudio would fail."""
    locked = [sys.executable, "-c", LOCKED]
    there = subprocess.run([*locked, "-c", "pass"], check=False, capture_output=True)
    require(b"no PR_SET_MDWE" not in there.stderr, "a kernel with PR_SET_MDWE (Linux 6.3)")
    assert there.returncode == 0
    callback = "import sounddevice; sounddevice.InputStream(device='pipewire', callback=print)"
    refused = subprocess.run([*locked, "-c", callback], check=False, capture_output=True)
    assert b"MemoryError" in refused.stderr, "the lock is in force"
    hearing = hears(command=[*locked, "-m", "auricle.capture"])
    hearing.until(lambda: hearing.source.counters().heard > RATE // 2)
    assert hearing.states() == []


def test_devices_are_listed_with_their_rates(server: SoundServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers, names, rates, and which one is the default: for people, and as JSON lines."""
    assert print_devices(as_json=True) == 0
    found = {device["name"]: device for device in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {"pipewire", "pulse"} <= found.keys()
    assert 16000 in found["pipewire"]["rates"]
    assert sum(device["default"] for device in found.values()) == 1
    assert print_devices() == 0
    assert "pipewire  any channels, 8 11.025 16" in capsys.readouterr().out


def test_the_meter_shows_what_is_played(server: SoundServer, tmp_path: Path) -> None:
    """Noise of a known level, played: the meter shows it to half a decibel."""
    played = noise(3.0)
    wanted_db = 20 * np.log10(np.sqrt(np.mean((played / 2**15) ** 2)))
    server.play(write_wav(tmp_path / "noise.wav", played, RATE))
    shown = [level["level_dbfs"] for level in levels("pipewire", seconds=2.5) if not isinstance(level, Status)]
    assert len(shown) > 10
    assert max(level for level in shown if level is not None) == pytest.approx(wanted_db, abs=0.5)


def test_devices_of_a_frozen_server_are_an_error(server: SoundServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list comes from a process that can be given up: one line instead of a hanging command."""
    monkeypatch.setattr("auricle.commands.devices.LIST_TIMEOUT_S", 1.0)
    server.freeze()
    with pytest.raises(DeviceError, match="has not answered for 1 s"):
        devices()
    server.thaw()


def test_a_machine_without_a_sound_server_has_a_clear_error(server: SoundServer) -> None:
    """No server, no card: one line that says so."""
    server.kill()
    with pytest.raises(DeviceError, match=r"^devices: no microphone; is one plugged in[^\n]*$"):
        devices()
