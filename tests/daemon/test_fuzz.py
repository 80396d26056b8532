"""Whatever is read, mutated: a result or one line, in little time and memory, without a traceback or a warning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOURS_S = 24 * 3600.0


def judged(module: str, *given: str, limit_s: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The verdicts of a fork server that are not well, and its summary."""
    # One arena: of several the addresses alone would be beyond what a case may have.
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_ARENA_MAX": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", module, *given],
        capture_output=True, text=True, timeout=limit_s, check=False, cwd=ROOT, env=environ,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    return lines[:-1], lines[-1]


# A minute of the processor for 2,000; more where others use it too.
@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(0, 2_000, marks=pytest.mark.timeout(1800)),
        pytest.param(2_000, 100_000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_mutated_input_ends_in_a_result_or_a_line(first: int, count: int) -> None:
    """Recordings, pipes, models, arrays, texts, questions, histories, what bridges keep: every case is well, whatever
    was struck in it."""
    faults, summary = judged("helpers.fuzz.server", str(first), str(count), limit_s=HOURS_S)
    print(json.dumps(summary, indent=1))
    assert summary["cases"] == count
    assert not faults, "\n".join(f"python -m helpers.fuzz.server {f['n']} 1: {f['kind']}: {f['fault']}" for f in faults)
    ends = summary["ends"]
    for kind in {end.partition(":")[0] for end in ends} - {"pipe", "question", "history", "graph", "bridge"}:
        assert ends.get(f"{kind}: line", 0) > 0, f"no {kind} was bad enough to be refused"
    for kind in {end.partition(":")[0] for end in ends} - {"graph", "bundle"}:
        assert ends.get(f"{kind}: result", 0) > 0, f"no {kind} was good enough to be read"


PLANTED = {
    "well": "", "line": "", "traceback": "KeyError", "warning": "warned: RuntimeWarning", "logged": "logged: ",
    "two lines": "more than a line", "memory": "MemoryError", "hang": "not done within", "loop": "not done within",
    "abort": "signal 6", "word": "written past us: ", "allowed": "",
}  # fmt: skip


def test_the_server_sees_every_kind_of_fault() -> None:
    """What is planted is found: each fault by its name, nothing in what is well, and a case is the same each time."""
    faults, summary = judged("helpers.fuzz.planted", limit_s=100)
    found: dict[str, Sequence[str]] = {fault["kind"]: fault["fault"] for fault in faults}
    assert set(found) == {name for name, fault in PLANTED.items() if fault}
    for name, fault in found.items():
        assert PLANTED[name] in fault
    assert summary["ends"]["well: result"] == summary["ends"]["line: line"] == summary["ends"]["allowed: died"] == 2
