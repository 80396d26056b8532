"""The wheel, installed alone in a new environment without the model side, is a working Auricle."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_both_packages_and_the_model(wheel: Path) -> None:
    """Both packages under their names, the default model, and nothing of tests or configuration."""
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert "auricle/model/packaged/esc10/model.tflite" in names
    assert "auricle/messages/messages.schema.json" in names
    assert "auricle/messages/examples.jsonl" in names
    assert "auricle/py.typed" in names
    assert "auricle_build/__init__.py" in names
    assert "auricle_build/recipes/esc10.yaml" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"auricle", "auricle_build"}


@pytest.mark.timeout(240)
def test_it_runs_the_demo_in_a_new_environment(wheel: Path, tmp_path: Path) -> None:
    """With only what the wheel asks for, `auricle demo` hears every sound in order, in a place without the checkout."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True, capture_output=True)
    installed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True, text=True).stdout.lower()
    assert not {"tensorflow", "librosa", "scipy", "numba"} & set(installed.split())
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "auricle", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every sound was recognised, in order." in done.stdout
