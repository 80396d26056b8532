"""No stored file ends the daemon: what cannot be read is told in a line and set aside, and hearing goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle.errors import ModelError
from auricle.gate import NoiseGate
from auricle.messages import Event
from auricle.model import bundle, litert
from auricle.model.bundle import Bundle
from auricle.model.card import Affine
from auricle.publish.store import Store
from auricle.service.state import Learned
from auricle.service.trial import Trials, Trying
from helpers import reloading, sounds
from helpers.bundles import made_up
from helpers.graphs import Graph
from helpers.wire import daemon

FRAME = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160}


ROWS = [
    'first = replace(first, \'"onset":"2\', \'"onset":"0000-13-40T00:00:00.000000Z","was":"2\')',
    'first = replace(first, \'"t":"2\', \'"t":"2026-02-30T00:00:00.000000Z","was":"2\')',
    'first = replace(first, \'"duration_s":\', \'"duration_s":1e300,"was":\')',
    "first = 7",
    "first = 'text'",
    "first = X'00ff'",
    "id = 7",
    "id = 'another'",
    "topic = X'ff'",
    "topic = 3.5",
    "topic = CAST(X'6576ff' AS TEXT)",
    "told_us = 'soon'",
]


@pytest.mark.parametrize("change", ROWS)
def test_a_row_that_cannot_be_read_is_set_aside(tmp_path: Path, change: str) -> None:
    """One damaged row: the other event is closed at the next start, it is told once, and new ones are kept."""
    with daemon(tmp_path) as one:
        one.event("onset")
        one.event("onset", "siren")
        one.kill()
    with sqlite3.connect(tmp_path / "state" / "events.db") as db:
        db.execute(f"UPDATE events SET {change} WHERE n = 1")
    db.close()
    for start in range(2):
        with daemon(tmp_path) as again:
            told = [m for _, m in again.sent if isinstance(m, Event)]
            assert start or "siren" in {m.label for m in told}
            assert all(m.phase == "offset" for m in told)
            assert again.store is not None
            assert again.store.trouble is None
            again.event("onset", "siren")
            again.event("offset", "siren")
            again.store.page(0, None, label=None, source=None)
            again.serve()
            assert len([m for _, m in again.sent if getattr(m, "state", "") == "store"]) <= 2
            assert again.store.report().events >= 2


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE events",
        "ALTER TABLE events DROP COLUMN first",
        "ALTER TABLE events RENAME TO others; CREATE TABLE events (n INTEGER PRIMARY KEY, id TEXT, topic TEXT, source "
        "TEXT, label TEXT, going_on INTEGER, told_us INTEGER, first BLOB, last BLOB)",
    ],
)
def test_a_database_that_is_not_ours_is_set_aside(tmp_path: Path, change: str) -> None:
    """Without the table, a column, or what makes ids unique: moved away, told, and a new history begins."""
    with daemon(tmp_path) as one:
        one.event("onset")
        one.event("offset")
    db = sqlite3.connect(tmp_path / "state" / "events.db")
    db.executescript(change)
    db.close()
    store = Store(tmp_path / "state" / "events.db", max_mb=1, max_days=1)
    left: list[tuple[str, Event]] = []
    store.open(lambda *event: left.append(event))
    assert left == []
    assert store.trouble is None
    store.close()
    assert (tmp_path / "state" / "events.db.broken").exists()


def test_a_schema_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    """Where the file names its tables in bytes that are no UTF-8, SQLite quotes them: moved away, told, begun anew."""
    with daemon(tmp_path) as one:
        one.event("onset")
        one.event("offset")
    path = tmp_path / "state" / "events.db"
    path.write_bytes(path.read_bytes().replace(b"tableeventsevents", b"table\x80ventsevents"))
    with daemon(tmp_path) as again:
        assert again.store is not None
        assert again.store.trouble is None
        again.event("onset")
        again.event("offset")
        assert again.store.report().events == 1
        again.store.serve()
        told = [m.detail for _, m in again.sent if getattr(m, "state", "") == "store"]
        assert "malformed database schema (\ufffdvents)" in told[0]
    assert path.with_name("events.db.broken").exists()


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "encrypted", "another", "endless", "wide", "wild", "folder", "loud"]
)
def test_a_learned_noise_that_is_none_is_learned_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with the file, or with a floor that would leave no sound to hear: one line, and learning."""
    learned, gate = Learned(tmp_path), NoiseGate(**FRAME)
    power = np.random.default_rng(0).exponential(1e-4, (2000, 257)).astype(np.float32)
    gate.process(power)
    learned.save("porch-0", gate)
    path = tmp_path / "porch-0.npz"
    content = bytearray(path.read_bytes())
    if damage == "empty":
        content = bytearray()
    elif damage == "cut":
        del content[-40:]
    elif damage == "encrypted":
        content[content.index(b"PK\x01\x02") + 8] |= 1
    elif damage == "another":
        np.savez(path, **{**gate.learned, "geometry": np.array(7.0)})
    elif damage == "endless":
        np.savez_compressed(path, **{**gate.learned, "geometry": np.zeros(20_000_000, np.int8)})
    elif damage == "wide":
        np.savez_compressed(path, **{**gate.learned, "mean_db": np.zeros(20_000_000, np.int8)})
    elif damage == "wild":  # one bin of 257 that deviates by what no threshold can be computed from
        np.savez(path, **{**gate.learned, "std_db": np.where(np.arange(257) == 7, 1e30, gate.learned["std_db"])})
    elif damage == "loud":
        np.savez(path, **{**gate.learned, "mean_db": np.full(257, 0.5)})
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage in ("empty", "cut", "encrypted"):
        path.write_bytes(content)
    anew = NoiseGate(**FRAME)
    learned.restore("porch-0", anew)
    assert not anew.learned
    (line,) = [record.getMessage() for record in caplog.records if "cannot be used" in record.getMessage()]
    assert "\n" not in line
    assert len(line) < 500
    assert "porch-0.npz" in line


def test_one_sample_does_not_make_the_gate_deaf() -> None:
    """A frame with more power than full scale has, among those that teach: the floor is what it is without it."""
    quiet = np.random.default_rng(0).exponential(1e-4, (2000, 257)).astype(np.float32)
    struck = quiet.copy()
    struck[10] = 1e24
    one, other = NoiseGate(**FRAME), NoiseGate(**FRAME)
    one.process(quiet)
    other.process(struck)
    np.testing.assert_allclose(other.learned["mean_db"], one.learned["mean_db"], atol=1.5)
    assert np.median(other.learned["std_db"]) < 1.2 * np.median(one.learned["std_db"])


def test_a_graph_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    """A signal out of C++ ends a child, not the daemon: one line refuses the model; one that holds is tried once."""
    copy = Path(shutil.copytree(bundle.find("esc10"), tmp_path / "copy"))
    aborting = Trials(None, command=("/bin/sh", "-c", "kill -ABRT $$"))
    with pytest.raises(ModelError, match=r"copy: ends the process that runs it, by signal 6"):
        bundle.load(str(copy), first=aborting)
    with pytest.raises(ModelError, match=r"copy: changed while it was read"):
        Trials(None)(replace(bundle.load(str(copy)), hash="0"))
    good = Path(shutil.copytree(bundle.find("esc10"), tmp_path / "good"))
    record = tmp_path / "state" / "models"
    opened = bundle.load(str(good), first=Trials(record))
    assert record.read_text().split() == [f"{opened.hash}@{litert.version()}"]
    bundle.load(str(good), first=Trials(record, command=("/bin/false",)))
    bundle.load("esc10", first=Trials(None, command=("/bin/false",)))


def until_tried(trials: Trials, model: Bundle) -> None:
    """Ask whether it holds, as a reload does, until that is known."""
    deadline_s = time.monotonic() + 60
    with pytest.raises(Trying):
        trials.apart(model)
    while trials.busy:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    trials.apart(model)


def test_nobody_waits_for_a_trial_while_sound_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload asks again when the child has ended: what holds is remembered, what does not, or never answers, is
    refused in the same line as at a start; a trial that is given up leaves no process behind."""
    copy = bundle.load(str(shutil.copytree(bundle.find("esc10"), tmp_path / "copy")))
    record = tmp_path / "models"
    until_tried(Trials(record), copy)
    assert record.read_text().split() == [f"{copy.hash}@{litert.version()}"]
    Trials(record, command=("/bin/false",)).apart(copy)
    with pytest.raises(ModelError, match=r"copy: ends the process that runs it, by signal 6"):
        until_tried(Trials(None, command=("/bin/sh", "-c", "kill -ABRT $$")), copy)
    given_up = Trials(None, command=("/bin/sh", "-c", "exec sleep 600"))
    with pytest.raises(Trying):
        given_up.apart(copy)
    given_up.close()
    assert not given_up.busy
    with pytest.raises(ModelError, match=r"copy: computes for more than 30 s when it is tried"):
        until_tried(Trials(None, command=("/bin/sh", "-c", "kill -XCPU $$")), copy)
    monkeypatch.setattr("auricle.service.apart.PATIENCE_S", 0.1)
    with pytest.raises(ModelError, match=r"copy: did not answer within 0\.1 s when it was tried"):
        until_tried(Trials(None, command=("/bin/sh", "-c", "exec sleep 600")), copy)


def aborting() -> bytes:
    """A graph that is well-formed, and upon which LiteRT aborts: its sum has steps so small that none fits."""
    graph, coarse = Graph(), Affine(1.0, 0)
    source = graph.tensor("features", (1, 4), "int8", coarse)
    other = graph.tensor("other", (1, 4), "int8", coarse, np.ones((1, 4), np.int8))
    scores = graph.tensor("scores", (1, 4), "int8", Affine(1e-12, 0))
    graph.op("ADD", [source, other], [scores], "AddOptions", 2)
    return graph.content([source], [scores])


def tampered(folder: Path) -> Path:
    """Return a model whose graph was tampered with, hash and all."""
    path = made_up(folder / "tampered", {"low": [400.0], "high": [3000.0]})
    before = hashlib.sha256((path / "model.tflite").read_bytes()).hexdigest()
    (path / "model.tflite").write_bytes(aborting())
    after = hashlib.sha256((path / "model.tflite").read_bytes()).hexdigest()
    card = (path / "card.yaml").read_text()
    (path / "card.yaml").write_text(card.replace(before, after))
    return path


COMMANDS = {
    "run -c CONFIG": 78,
    "config check -c CONFIG": 78,
    "classify -c CONFIG noise.wav": 78,
    "replay --no-publish -c CONFIG noise.wav": 78,
    "bench -c CONFIG --seconds 1": 78,
    "models show tampered -c CONFIG": 78,
    "models -c CONFIG": 1,
    "record --out heard.wav -c CONFIG": 78,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_is_ended_by_a_graph(tmp_path: Path, command: str) -> None:
    """With that model every command that would run it says so in a line, with the exit code of its kind."""
    tampered(tmp_path)
    sounds.write(tmp_path / "noise.wav", sounds.varied(seconds=2.0))
    wanted = reloading.configuration(tmp_path / "noise.wav", model="tampered", models_dir=str(tmp_path))
    (tmp_path / "auricle.yaml").write_text(json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-m", "auricle", *command.replace("CONFIG", "auricle.yaml").split()],
        cwd=tmp_path, env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == COMMANDS[command], done.stderr
    said = [line for line in done.stderr.splitlines() if "tampered" in line]
    assert len(said) == 1, done.stderr
    assert "ends the process that runs it, by signal 6: its graph is damaged; build it anew" in said[0]
    assert "Traceback" not in done.stderr


def test_a_graph_upon_which_the_runtime_aborts(tmp_path: Path) -> None:
    """A real SIGABRT, out of a model that was tampered with, hash and all: a reload is refused in a line that says so,
    and the daemon hears on."""
    recording = tmp_path / "noise.wav"
    sounds.write(recording, sounds.varied(seconds=20.0))
    here = reloading.Daemon(tmp_path, reloading.configuration(recording))
    model = tampered(tmp_path)
    here.reload._first = Trials(None)
    (problem,) = here.change(reloading.configuration(recording, model=str(model)))
    assert f"{model}: ends the process that runs it, by signal {signal.SIGABRT:d}: its graph is damaged" in problem
    here.listen(16_000)
    assert "reload_refused" in {m["state"] for m in here.of("status.")}
    here.close()


def test_another_runtime_tries_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has held with one version of the TFLite runtime is tried once more with another."""
    copy = str(shutil.copytree(bundle.find("esc10"), tmp_path / "copy"))
    record = tmp_path / "models"
    bundle.load(copy, first=Trials(record, command=("/bin/true",)))
    bundle.load(copy, first=Trials(record, command=("/bin/false",)))
    monkeypatch.setattr(sys.modules[litert.version().partition("-")[0]], "__version__", "99.0")
    with pytest.raises(ModelError, match="with status 1"):
        bundle.load(copy, first=Trials(record, command=("/bin/false",)))
    bundle.load(copy, first=Trials(record, command=("/bin/true",)))
    assert len(record.read_text().split()) == 2


CARDS: dict[str, Callable[[str], str]] = {
    "a date that is none": lambda text: text + "\nmade: 2026-13-41\n",
    "an integer of 5,000 digits": lambda text: text + f"\nmade: {'9' * 5000}\n",
    "a front end of 8 GB": lambda text: text.replace("n_fft: 512", "n_fft: 1073741824"),
    "a device": lambda text: text.replace("  golden.npz:", "  /dev/zero: abc\n  golden.npz:"),
    "a file beside it": lambda text: text.replace("  golden.npz:", "  ../secret: abc\n  golden.npz:"),
    "nothing": lambda text: "",
    "a list": lambda text: "[1, 2]",
    "a deep list": lambda text: "[" * 30_000,
    "aliases": lambda text: "a: &a {x: 1}\nb: {<<: *a}\n",
    "half": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_bad_card_is_refused_in_a_line(tmp_path: Path, kind: str) -> None:
    """Whatever YAML and the card's types cannot read: one line that names the card, and the model is not opened."""
    folder = Path(shutil.copytree(bundle.find("esc10"), tmp_path / "esc10"))
    before = (folder / "card.yaml").read_text()
    (folder / "card.yaml").write_text(CARDS[kind](before))
    assert (folder / "card.yaml").read_text() != before
    with pytest.raises(ModelError, match=r"card\.yaml(:\d+)?: [^\n]+$"):
        bundle.load(str(folder))


def test_a_reload_that_fails_otherwise_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is none of ours, in the midst of a reload: told as refused, and the old configuration goes on."""
    recording = tmp_path / "noise.wav"
    sounds.write(recording, sounds.varied(seconds=4.0))
    here = reloading.Daemon(tmp_path, reloading.configuration(recording))

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(here.reload, "_load", broken)
    before = here.reload.cfg
    assert here.reload.now() == ["ZeroDivisionError: by nothing"]
    assert here.reload.cfg is before


def test_a_hangup_before_there_is_something_to_reload_waits(tmp_path: Path) -> None:
    """SIGHUP from the first moment on: the daemon starts, and reloads once it has."""
    recording = tmp_path / "noise.wav"
    sounds.write(recording, sounds.varied(seconds=4.0))
    (tmp_path / "auricle.yaml").write_text(
        yaml.safe_dump(
            {
                "publish": {"endpoint": f"ipc://{tmp_path}/events", "query": f"ipc://{tmp_path}/query"},
                "sources": [{"name": "porch", "recording": {"path": str(recording)}}],
            }
        )
    )
    script = "import os, signal\nfrom auricle import start\n" + (
        "block = signal.pthread_sigmask\n"
        "def hang_up(*given):\n"
        "    was = block(*given)\n"
        "    signal.pthread_sigmask = block\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return was\n"
        "signal.pthread_sigmask = hang_up\n"
        "import sys\nsys.argv = ['auricle', 'run', '-c', sys.argv[1]]\nstart.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "auricle.yaml")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")},
    )
    assert process.stderr is not None
    seen, until = "", time.monotonic() + 30
    for line in process.stderr:
        seen += line
        if "reloaded in" in line or time.monotonic() > until:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert "reloaded in" in seen, seen
    assert process.returncode == 0
