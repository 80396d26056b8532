"""A core of its own for what is being measured, where the system allows it; else whatever it gets."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def take(*, first: bool = False) -> str:
    """Bind this process to one core, ahead of everything else on it; return what was got.

    Args:
        first: ahead of what else was measured on it too.
    """
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(6 if first else 5))
    except PermissionError:
        return "one core, shared with whatever else runs"
    return "one core of its own (SCHED_FIFO)"


def auricle(*arguments: str | Path, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Run `auricle` on a core of its own, its output thrown away."""
    code = "import own_core; own_core.take(); from auricle.start import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **(environ or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@dataclass(frozen=True)
class Cost:
    """Says what a process took."""

    cpu_s: float
    wall_s: float


def cost(arguments: Sequence[str | Path], environ: dict[str, str]) -> Cost:
    """Run `auricle` to its end; return its cost."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = auricle(*arguments, environ=environ)
    if process.wait() != 0:
        raise RuntimeError(f"auricle {' '.join(map(str, arguments))} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_s, time.monotonic() - began)


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used so far, to the nanosecond where the kernel tells."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def pss_mb(pid: int) -> float:
    """Return the memory of a process, pages shared with others divided among them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no Pss in smaps_rollup")
