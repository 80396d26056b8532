"""What one viewer of the page costs: processor time of daemon and page while somebody looks, over that while nobody
does, in turn; the spectrum is on.

Run it alone: PYTHONPATH=tests python tests/bench/bench_page.py --pairs 10
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from helpers.paged import TOKEN, heard
from helpers.running import configuration

SETTLE_S = 14.0
"""The page follows the daemon for a while after the last viewer has gone."""


def main() -> None:
    """Print what each pair gave, and the median, in percent of a core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0)
    told = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        wanted = {**configuration(Path(folder)), "spectrum": {"enabled": True}}
        with heard(Path(folder), wanted) as here:
            pids = here.one.process.pid, here.page.pid
            for _ in range(told.pairs):
                time.sleep(SETTLE_S)
                alone = _percent(pids, told.seconds)
                stream = [f"{here.own}/api/stream", "-H", f"Authorization: Bearer {TOKEN}"]
                viewer = subprocess.Popen(["curl", "-sN", "-o", os.devnull, *stream])
                time.sleep(SETTLE_S / 4)
                looked_at = _percent(pids, told.seconds)
                viewer.kill()
                viewer.wait()
                daemon, page = (after - before for before, after in zip(alone, looked_at, strict=True))
                found.append(daemon + page)
                print(f"daemon {daemon:+.2f} %, page {page:+.2f} %, together {found[-1]:+.2f} %", flush=True)
    print(f"median {statistics.median(found):.2f} % of a core")


def _percent(pids: tuple[int, int], seconds: float) -> list[float]:
    """Return the CPU time that processes take, in percent of a core."""
    began_s, before = time.monotonic(), [_cpu_s(pid) for pid in pids]
    time.sleep(seconds)
    lasted_s = time.monotonic() - began_s
    return [100 * (_cpu_s(pid) - was) / lasted_s for pid, was in zip(pids, before, strict=True)]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
