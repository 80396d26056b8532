"""What the daemon loads: nothing heavy, nothing that it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.sounds import RATE, varied, write

HEAVY = {
    "auricle_build",
    "librosa",
    "matplotlib",
    "noisereduce",
    "numba",
    "pandas",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "sounddevice",
    "tensorflow",
    "torch",
    "typer",
}
LOADED = {"ai_edge_litert", "auricle", "msgspec", "numpy", "soundfile", "soxr", "yaml", "zmq"}
"""The packages that the daemon is known to load, besides the standard library and their own helpers."""
HELPERS = {
    "_cffi_backend",
    "_soundfile",
    "_soundfile_data",
    "cffi",
    "flatbuffers",
    "packaging",
    "typing_extensions",
}

_RUN = """
import atexit, json, sys
where = sys.argv[-1]
def tell():
    with open(where, "w") as out:
        json.dump(sorted(sys.modules), out)
atexit.register(tell)
sys.argv = ["auricle", *sys.argv[1:-1]]
from auricle.start import main
main()
"""


def _modules(tmp_path: Path, *arguments: str) -> list[str]:
    out = tmp_path / "modules.json"
    subprocess.run(
        [sys.executable, "-c", _RUN, *arguments, str(out)],
        check=True,
        timeout=60,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "AURICLE__STORE__ENABLED": "false"},
    )
    loaded: list[str] = json.loads(out.read_text())
    return loaded


@pytest.fixture(scope="module")
def of_run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The modules in memory after `auricle run` has heard a recording, gate and all, and published."""
    tmp_path = tmp_path_factory.mktemp("run")
    write(tmp_path / "a.wav", varied(3.0), RATE)
    (tmp_path / "auricle.yaml").write_text(
        json.dumps(
            {
                "sources": [{"name": "a", "recording": {"path": str(tmp_path / "a.wav"), "speed": "max"}}],
                "gate": {"enabled": "on"},
                "publish": {"endpoint": f"ipc://{tmp_path}/e", "query": f"ipc://{tmp_path}/q"},
            }
        )
    )
    return _modules(tmp_path, "run", "--config", str(tmp_path / "auricle.yaml"))


def test_the_daemon_loads_nothing_heavy(of_run: list[str]) -> None:
    """No training library, no scipy, no plotting; typer and rich only where a command prints, PortAudio nowhere."""
    assert HEAVY & {name.partition(".")[0] for name in of_run} == set()
    assert "auricle.hearing.lane" in of_run


def test_every_package_that_the_daemon_loads_is_known(of_run: list[str]) -> None:
    """A dependency that drags in a new package shows here before it shows on a Raspberry Pi."""
    own = set(sys.stdlib_module_names) | {"__main__", "__mp_main__"}
    found = {name.partition(".")[0] for name in of_run}
    # Editable installs, site hooks and compiled wheels leave names of their own.
    marks = (
        "__editable__",
        "_cython",
        "cython_runtime",
        "_distutils",
        "sitecustomize",
        "_sysconfigdata",
        "_virtualenv",
    )
    found = {name for name in found - own if not any(mark in name for mark in marks)}
    assert found - LOADED - HELPERS == set()
    assert found >= LOADED


def test_what_the_daemon_is_not_asked_for_stays_out(of_run: list[str]) -> None:
    """Commands of other purposes are not in the daemon's memory."""
    assert [name for name in of_run if name.startswith(("auricle.commands", "auricle.terminal"))] == []


def test_blas_has_one_thread(tmp_path: Path) -> None:
    """numpy's BLAS is told before numpy is loaded: a pool of threads would wake for every small product."""
    code = (
        "import auricle.start, sys; assert 'numpy' not in sys.modules; import numpy, os; "
        "print(os.environ['OPENBLAS_NUM_THREADS'], len(os.listdir('/proc/self/task')))"
    )
    bare = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=bare)
    assert out.stdout.split() == ["1", "1"]
