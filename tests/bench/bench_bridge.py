"""What the bridge to MQTT costs: its processor time at ten events a minute, its memory, and from a bark to the broker.

Daemon, bridge, broker and subscriber are on this machine, and one clock times the message's way. Processor time is the
process's own, so that a busy machine changes it little; how late a message is, it changes much.

Run it alone: PYTHONPATH=tests python tests/bench/bench_bridge.py [SECONDS]        60 unless told
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from helpers.bridged import House, house
from helpers.broker import Subscriber, broker, missing, subscriber

SECONDS = 60.0
EVERY_S = 6.0
BARKS = 200
HEALTH_S = 1.0
"""As often as the daemon says how it is."""
WATCHDOG_US = "60000000"
"""As the unit has it."""


def process_s(pid: int) -> float:
    """Return the processor time that all threads of a process have used so far."""
    return time.clock_gettime((~pid << 3) | 2)  # its clock, as clock_getcpuclockid(3) makes it


def resident_mb(pid: int) -> float:
    """Return the memory of a process, with what it shares with others."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def bark_s(here: House, hears: Subscriber) -> float:
    """Let a bark begin and end; return how long its onset was on its way to somebody who listens to the broker."""
    known, began_s = len(hears.events()), time.monotonic()
    here.here.event("onset")
    here.until(lambda: len(hears.events()) > known, "the onset comes")
    here.here.event("offset")
    here.until(lambda: len(hears.events()) > known + 1, "the offset comes")
    return hears.of("/event")[known].at_s - began_s


def measure(seconds: float = SECONDS) -> tuple[float, float, float, float]:
    """Return the share of a core in percent, the memory in MB, and median and 99th percentile of the way in ms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        with (
            broker(folder / "broker") as of,
            subscriber(of) as hears,
            house(folder, {"mqtt": {"broker": of.address, "labels": ["rain", "dog_bark"]}}, health_s=HEALTH_S) as here,
        ):
            here.start("mqtt", WATCHDOG_USEC=WATCHDOG_US)
            here.until(lambda: hears.newest("test/status") == "online", "it is there")
            assert here.process is not None
            here.for_s(5.0)
            began_s, before_s = time.monotonic(), process_s(here.process.pid)
            while time.monotonic() < began_s + seconds:
                bark_s(here, hears)
                here.for_s(EVERY_S)
            percent = 100 * (process_s(here.process.pid) - before_s) / (time.monotonic() - began_s)
            ways_s = sorted(bark_s(here, hears) for _ in range(BARKS))
            memory = resident_mb(here.process.pid)
    return percent, memory, 1000 * ways_s[BARKS // 2], 1000 * ways_s[BARKS * 99 // 100]


def said(found: tuple[float, float, float, float]) -> str:
    """Write what was measured as a line."""
    percent, memory, median, p99 = found
    return f"{percent:.3f} % of a core, {memory:.1f} MB, bark to broker p50 {median:.1f} ms, p99 {p99:.1f} ms"


@pytest.mark.bench
def test_the_bridge_costs_little(capsys: pytest.CaptureFixture[str]) -> None:
    """At ten events a minute at most half a percent of a core and 50 MB; a bark is at the broker within 150 ms."""
    if missing():
        pytest.skip("no mosquitto here")
    percent, memory, median, p99 = measure()
    with capsys.disabled():
        print("", said((percent, memory, median, p99)), sep="\n")
    assert percent <= 0.5
    assert memory <= 50
    assert p99 <= 150


if __name__ == "__main__":
    print(said(measure(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)))
