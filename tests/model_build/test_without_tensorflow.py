"""A machine without TensorFlow: what trains says so in one line, everything else works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.errors import EXIT_CONFIG

_RUN = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # importing them fails, as where they are not installed
sys.argv = ["auricle-build", *sys.argv[1:]]
from auricle_build.cli import main
main()
"""


def auricle_build(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process that cannot import TensorFlow."""
    return subprocess.run(
        [sys.executable, "-c", _RUN, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", ["train", "crossval"])
def test_what_trains_says_what_it_lacks(command: str, tmp_path: Path) -> None:
    """One line with the remedy, and the exit code of a configuration."""
    done = auricle_build(command, "esc10", cwd=tmp_path)
    remedy = "TensorFlow is not installed; pip install 'auricle[build]'"
    assert done.stderr == f"auricle-build: error: {command}: {remedy}\n"
    assert done.returncode == EXIT_CONFIG
    assert not done.stdout


def test_a_mistake_in_the_recipe_is_told_first(tmp_path: Path) -> None:
    """A recipe is checked on any machine."""
    (tmp_path / "r.yaml").write_text("name: mine\nbehnd_gate: true\n")
    done = auricle_build("train", "r.yaml", cwd=tmp_path)
    assert "r.yaml:2: unknown key 'behnd_gate'; did you mean 'behind_gate'?" in done.stderr
    assert "TensorFlow" not in done.stderr
    assert done.returncode == EXIT_CONFIG


def test_scenes_need_none(tmp_path: Path) -> None:
    """`auricle-build scenes` writes its recordings."""
    rng = np.random.default_rng(1)
    for label in ("beep", "place"):
        for i in range(12):
            path = tmp_path / "data" / label / f"{label}{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal(16000 if label == "beep" else 64000), 16000)
    (tmp_path / "r.yaml").write_text(
        "name: mini\nlabels: [beep, background]\nbackground: background\nseed: 1\n"
        "front_end: {sample_rate: 16000, n_fft: 512, hop_length: 160, features: [{kind: log_mel, n_mels: 8}]}\n"
        "data:\n  root: data\n  held_out: [1, 2, 3, 4, 5]\n  sets:\n"
        "    - {name: clips, reader: folders, path: beep, licence: CC0, source: code}\n"
        "    - {name: ambient, reader: folders, path: place, licence: CC0, source: code}\n"
        "network: {columns: 4, layers: [[conv, [4, 8], [2, 1], 4]]}\n"
        "schedule: {steps: 10, check_every: 10, learning_rate: 0.001}\n"
    )
    done = auricle_build("scenes", "r.yaml", "--out", "out", "--minutes", "0.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "out" / "scene-001.flac").duration == 30.0


def test_what_judges_bundles_needs_none(tmp_path: Path) -> None:
    """`thresholds`, `gate-report` and `scene-report` come as far as the bundle that is not there."""
    for command in (
        ["thresholds", "none", "--judge", "j", "--scenes", "s"],
        ["gate-report", "none"],
        ["scene-report", "--model", "it=none", "--scenes", "s"],
    ):
        done = auricle_build(*command, cwd=tmp_path)
        assert done.returncode == EXIT_CONFIG, done.stderr
        assert "model 'none' is not known" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_what_writes_a_yardstick_says_what_it_lacks(tmp_path: Path) -> None:
    """`yamnet`."""
    done = auricle_build("yamnet", "y.tflite", "home", "--out", "y", cwd=tmp_path)
    assert done.stderr.startswith("auricle-build: error: yamnet: TensorFlow is not installed")
    assert done.returncode == EXIT_CONFIG


def test_the_keys_are_printed(tmp_path: Path) -> None:
    """`auricle-build keys` prints the table of the docs."""
    from auricle_build.grammar.table import table

    done = auricle_build("keys", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, table(), "")
