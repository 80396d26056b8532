"""`auricle doctor`: each line is ok, or says what to do; and what it says is so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zmq

from auricle.commands import doctor
from auricle.config.sections import DEFAULT_MODEL
from helpers.sounds import varied, write


def examined(folder: Path, wanted: Mapping[str, Any] | str, **environ: str) -> tuple[dict[str, dict[str, Any]], int]:
    """What the command finds with this configuration, by what it looked at, and its exit code."""
    path = folder / "auricle.yaml"
    path.write_text(wanted if isinstance(wanted, str) else json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "doctor", "--json", "-c", path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "STATE_DIRECTORY": str(folder), **environ},
    )
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        assert line["ok"] or line["remedy"], "what is not well comes with what to do"
        assert set(line) == {"what", "ok", "found", "remedy", "note"}
    return {line["what"]: line for line in lines}, done.returncode


def configuration(folder: Path, **more: Any) -> dict[str, Any]:
    write(folder / "night.wav", varied(1.0))
    publish = {"endpoint": f"ipc://{folder}/events", "query": f"ipc://{folder}/query"}
    return {
        "sources": [{"name": "porch", "recording": {"path": str(folder / "night.wav")}}],
        "publish": publish,
        **more,
    }


def test_what_is_well_is_ok(tmp_path: Path) -> None:
    """With a recording as its source a machine that runs these tests is fit but, perhaps, for its clock."""
    found, code = examined(tmp_path, configuration(tmp_path))
    wrong = {what for what, line in found.items() if not line["ok"]}
    assert wrong <= {"clock"}
    assert code == bool(wrong)
    assert found["recordings of porch"]["found"] == "1 file(s)"
    assert "golden vectors hold" in found[f"model {DEFAULT_MODEL}"]["found"]
    assert "times as fast" in found["real-time headroom"]["found"]
    assert not (tmp_path / "events").exists(), "an endpoint that was tried is left as it was"


def test_what_is_not_well_is_named(tmp_path: Path) -> None:
    """An endpoint in use by another, a missing recording, a microphone that is not there, ffmpeg that is not installed:
    each is a line of its own, with the exit code 1."""
    wanted = configuration(tmp_path)
    wanted["sources"] = [
        {"name": "porch", "recording": {"path": str(tmp_path / "none.wav")}},
        {"name": "camera", "ffmpeg": {"url": "rtsp://camera.invalid/x"}},
        {"name": "desk", "microphone": {"device": "no such microphone"}},
    ]
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        wanted["publish"]["endpoint"] = f"tcp://127.0.0.1:{port}"
        found, code = examined(tmp_path, wanted, PATH="/nowhere")
    assert code == 1
    assert "in use" in found["publish.endpoint"]["found"]
    assert not found["recordings of porch"]["ok"]
    assert "none.wav" in found["recordings of porch"]["found"]
    assert "1 to 64 channels of 1000 to 768000 Hz" in found["recordings of porch"]["remedy"]
    assert not found["ffmpeg"]["ok"]
    microphone = found.get("microphone 'no such microphone'", found["microphones"])
    assert not microphone["ok"]


def test_a_broken_configuration_is_a_finding(tmp_path: Path) -> None:
    """Its problems are lines among the others, which are looked at all the same."""
    found, code = examined(tmp_path, "gate: {sensitivity: high}\n")
    assert code == 1
    assert "gate.sensitivity: 'high' is not a number" in found["configuration"]["found"]
    assert found[f"model {DEFAULT_MODEL}"]["ok"]


def test_a_daemon_that_runs_already_is_well(tmp_path: Path) -> None:
    """Endpoints that are bound by a living daemon are as they should be."""
    wanted = configuration(tmp_path)
    wanted["sources"][0]["recording"]["loop"] = True
    (tmp_path / "auricle.yaml").write_text(json.dumps(wanted))
    with subprocess.Popen(
        [sys.executable, "-m", "auricle", "run", "-c", tmp_path / "auricle.yaml"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
    ) as daemon:
        assert daemon.stderr is not None
        assert any("publishing on" in line for line in daemon.stderr)
        found, _ = examined(tmp_path, wanted)
        daemon.terminate()
        daemon.stderr.read()
    for key in ("publish.endpoint", "publish.query"):
        assert found[key]["ok"], found[key]
        assert "a daemon runs already" in found[key]["found"]


def test_a_clock_that_is_off_is_said() -> None:
    """The kernel's word decides, and the remedy names a command."""
    assert doctor.clock(True).ok
    off = doctor.clock(False)
    assert not off.ok
    assert str(off).startswith("MEND  clock: ")
    assert "timedatectl" in off.remedy


def test_a_card_of_another_group_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound card that this user may not open is named, with the group to join; a card that is open is not."""
    (tmp_path / "pcmC0D0c").touch()
    (tmp_path / "pcmC1D0c").touch()
    # Root, as who these tests may run, may open everything.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "pcmC1D0c")
    finding = next(iter(doctor.microphones([], tmp_path)))
    assert not finding.ok
    assert "pcmC1D0c" in finding.found
    assert "usermod -aG audio" in finding.remedy
