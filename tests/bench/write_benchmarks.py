"""Measure everything in one run and put the figures into BENCHMARKS.md, between its two marks.

python tests/bench/write_benchmarks.py [SECONDS]        seconds of every live measurement, 60 unless told
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "BENCHMARKS.md"
YAMNET = PAGE.parent.parent / "shared" / "models" / "yamnet.tflite"
"""Measured too where it is."""
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HERE = Path(__file__).parent


def _on_own_core(code: str) -> str:
    """Return what a program on a core of its own prints; a process each, so that none inherits another's priority."""
    took = "import own_core; own_core.take(); "
    run = [sys.executable, "-c", took + code]
    return subprocess.run(run, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _stages() -> list[str]:
    code = "from auricle.commands.cli import app; app(['bench', '--json'], standalone_mode=False)"
    environ = "import os; os.environ.update(AURICLE__GATE__ENABLED='on', AURICLE__DECISION__HOP_MS='40'); "
    lines = [json.loads(line) for line in _on_own_core(environ + code).splitlines()]
    stages = [line for line in lines if line["measure"] == "stage"]
    table = ["| us per decision hop of 40 ms (4 frames) | live, one source | replay |", "|-|-:|-:|"]
    table += [f"| {each['stage']} | {each['live_us']:.1f} | {each['replay_us']:.1f} |" for each in stages]
    live, replay = (sum(each[name] for each in stages) for name in ("live_us", "replay_us"))
    table += [f"| all | {live:.1f} | {replay:.1f} |", ""]
    table += [
        "| decision hop | one source, us a decision | of several together | live sources a core |",
        "|-|-:|-:|-:|",
    ]
    for each in lines:
        if each["measure"] == "hop":
            figures = f"{each['one_us']:.0f} | {each['together_us']:.0f} | {each['sources']}"
            table.append(f"| {each['hop_ms']:g} ms | {figures} |")
    return table


def _networks() -> list[str]:
    """Measure what a decision costs by what kind of network makes it."""
    run = [sys.executable, "bench_networks.py", *([str(YAMNET)] if YAMNET.is_file() else [])]
    environ = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(run, cwd=HERE, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return ["A decision by kind of network, processor time from sample to message:", "", *done.stdout.splitlines()]


def main(seconds: float = 60.0) -> None:
    """Measure and write the figures."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "ai-edge-litert", "pymicro-wakeword"))
    got = _on_own_core("print(own_core.take())").strip()
    parts = [
        [f"{_processor()}, Python {platform.python_version()}, {packages}; {got}."],
        _on_own_core("import bench_peers; print(*bench_peers.measure(), sep='\\n')").splitlines(),
        subprocess.run(
            [sys.executable, "bench_live.py", str(seconds)], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.splitlines(),
        _stages(),
        # Not on one core: a hundred subscribers are processes beside the publisher.
        subprocess.run(
            [sys.executable, "bench_messages.py"], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.splitlines(),
        _networks(),
    ]
    figures = "\n\n".join("\n".join(part) for part in parts)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}")
    print(figures)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
