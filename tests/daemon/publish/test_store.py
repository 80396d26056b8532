"""The history: kept before it is told, closed after a crash, bounded, and no trouble of its own stops the daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from auricle.client import AskEvents, AskSnapshot, Event, History, Snapshot, ask
from auricle.commands.events import history
from auricle.commands.synth import scene
from auricle.publish.store import Store
from helpers.processes import subscriber
from helpers.sounds import RATE, write
from helpers.wire import Daemon, daemon

TESTS = Path(__file__).resolve().parents[2]


def kept(store: Store) -> list[Event]:
    """All that the history gives, page by page."""
    found, after = store.page(0, None, label=None, source=None)
    while after is not None:
        more, after = store.page(0, after, label=None, source=None)
        found += more
    return [m for m in found if isinstance(m, Event)]


def test_what_is_told_is_kept_already(tmp_path: Path) -> None:
    """When the next outlet gets a message, another connection can read it from the database."""
    seen = []
    with daemon(tmp_path) as one:
        assert one.store is not None
        path = one.store.path

        def look(name: str, payload: bytes) -> None:
            with sqlite3.connect(path) as db:
                seen.append(payload in db.execute("SELECT coalesce(last, first) FROM events").fetchone())
            db.close()

        one.publisher._outlets = (one.store, look)
        for phase in ("onset", "update", "offset"):
            one.event(phase)
    assert seen == [True] * 3


def run_config(folder: Path, path: Path) -> Path:
    """A daemon that hears rain and dogs again and again, and keeps its history there."""
    if not (folder / "scene.wav").exists():
        samples, _ = scene(["rain", "dog_bark"], RATE, sound_s=4.0, pause_s=1.0)
        write(folder / "scene.wav", samples)
    recording = {"path": str(folder / "scene.wav"), "speed": 4, "loop": True}
    config = {
        "sources": [{"name": "porch", "recording": recording}],
        "decision": {"threshold": 0.3, "hysteresis": 0.2},
        "publish": {"endpoint": f"ipc://{folder}/events", "query": f"ipc://{folder}/query", "update_interval_s": 0.2},
        "store": {"path": str(path)},
    }
    (folder / "auricle.yaml").write_text(json.dumps(config))
    return folder / "auricle.yaml"


def listen_until(process: subprocess.Popen[str], enough: Any) -> list[dict[str, Any]]:
    """What the subscriber hears until that is true of the newest message."""
    heard: list[dict[str, Any]] = []
    assert process.stdout is not None
    for line in process.stdout:
        heard.append(json.loads(line))
        if enough(heard[-1]):
            return heard
    raise AssertionError(f"not heard; the last was {heard[-1:]}")


def is_phase(phase: str) -> Any:
    """Whether a message is an event's onset, update or offset."""
    return lambda m: m.get("phase") == phase


def test_a_killed_daemon_forgets_nothing(tmp_path: Path) -> None:
    """kill -9 in the middle of an event, three times: every event heard of is kept, closed once, ids are unique."""
    config = run_config(tmp_path, tmp_path / "state" / "events.db")
    query = f"ipc://{tmp_path}/query"
    heard: list[dict[str, Any]] = []
    command = [sys.executable, "-m", "auricle", "run", "-c", str(config)]
    for start in range(3):
        with subscriber(f"ipc://{tmp_path}/events") as listening:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            try:
                heard += listen_until(listening, is_phase("offset"))
                heard += listen_until(listening, is_phase("onset"))
                if start == 2:
                    snapshot = ask(query, AskSnapshot(), Snapshot, timeout_s=10)
                    past = [m for m in history(query) if isinstance(m, Event)]
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
    phases = defaultdict(list)
    for m in heard:
        if m["type"] == "event":
            phases[m["id"]].append(m)
    by_id = {m.id: m for m in past}
    assert len(by_id) == len(past)
    assert set(phases) <= set(by_id)  # every event anyone heard of
    for id, told in phases.items():
        offsets = [m for m in told if m["phase"] == "offset"]
        assert len([m for m in told if m["phase"] == "onset"]) == 1
        if offsets and offsets[-1]["cause"] == "score":
            assert by_id[id].offset == offsets[-1]["offset"]
    instances = list(dict.fromkeys(m["instance"] for m in heard))
    assert len(instances) == 3
    stale = [m for m in past if m.cause == "restart"]
    assert len(stale) >= 2
    for m in stale:
        assert m.estimated is True
        assert m.offset is not None
        assert m.offset == m.t >= m.onset
        assert m.instance in instances[1:]
    going_on = {m.id for m in past if m.phase != "offset"}
    assert all(by_id[id].instance == instances[2] for id in going_on)
    assert all(m.instance == instances[2] for m in snapshot.open)


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """On a full tmpfs the daemon says so once and hears on; with room again, all that waited is kept."""
    unshare = shutil.which("unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m tmpfs {disk} && exec "
    wrap = [str(unshare), "-rm", "sh", "-c"]
    if unshare is None or subprocess.run([*wrap, f"{mount} true"], capture_output=True).returncode != 0:
        pytest.skip("missing here: the right to mount a tmpfs (unshare -rm)")
    child = f"{sys.executable} -m helpers.full_disk {disk} {tmp_path}"
    done = subprocess.run([*wrap, mount + child], cwd=TESTS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["before"] == 2
    assert "full" in said["trouble"]
    assert len(said["status"]) == 2  # the trouble, and its end
    assert "tried again" in said["status"][0]
    assert "kept again" in said["status"][1]
    assert said["sent_while_full"] == 400
    assert said["kept"] == said["events"]
    assert said["lost"] == 0


def test_a_broken_file_is_moved_aside(tmp_path: Path) -> None:
    """`auricle run` over a file that is no database: it is kept for rescue, a new history begins, and it is told."""
    path = tmp_path / "events.db"
    garbage = os.urandom(20_000)
    path.write_bytes(garbage)
    config = run_config(tmp_path, path)
    with subscriber(f"ipc://{tmp_path}/events") as listening:
        process = subprocess.Popen(
            [sys.executable, "-m", "auricle", "run", "-c", str(config)], stderr=subprocess.PIPE, text=True
        )
        heard = listen_until(listening, is_phase("offset"))
        past = history(f"ipc://{tmp_path}/query")
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert (tmp_path / "events.db.broken").read_bytes() == garbage
    assert {m["id"] for m in heard if m["type"] == "event"} <= {m.id for m in past}
    assert log.count("moved to") == 1
    assert "Traceback" not in log


def test_a_file_that_breaks_while_it_runs(tmp_path: Path) -> None:
    """Overwritten under the daemon's hands: it is moved aside, and what is told from then on is kept in a new one."""
    with daemon(tmp_path) as one:
        store = one.store
        assert store is not None
        for _ in range(50):
            one.event("onset")
            one.event("offset")
        assert store.database.connection is not None
        store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.database.connection.execute("PRAGMA cache_size=0")
        size = store.path.stat().st_size
        with store.path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        for _ in range(30):
            one.event("onset", "siren")
            one.event("offset", "siren")
            one.serve()
        assert store.trouble is None
        found = {m.id for m in kept(store)}
        told = [m for _, m in one.sent if isinstance(m, Event) and m.label == "siren"]
        assert told[-1].id in found
        assert len([m for _, m in one.sent if getattr(m, "state", "") == "store"]) >= 1
        anew = store.report().anew
        assert anew is not None
        assert "was broken; moved to" in anew.why
    assert (tmp_path / "state" / "events.db.broken").exists()


def test_two_daemons_do_not_share_a_history(tmp_path: Path) -> None:
    """The second says so and keeps none; it does not close the events of the first."""
    with daemon(tmp_path) as one:
        one.event("onset")
        assert one.store is not None
        other = Store(one.store.path, max_mb=10, max_days=10)
        said: list[str] = []
        other.report_to(lambda state, detail: said.append(detail))
        left: list[tuple[str, Event]] = []
        other.open(lambda *event: left.append(event))
        assert left == []
        other.serve()
        other.close()
        assert "another auricle keeps its history there" in said[0]
        assert [m.phase for m in kept(one.store)] == ["onset"]


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    """A database of a newer Auricle is neither written nor moved."""
    db = sqlite3.connect(tmp_path / "events.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    before = (tmp_path / "events.db").read_bytes()
    store = Store(tmp_path / "events.db", max_mb=10, max_days=10)
    store.open()
    assert "newer auricle" in str(store.trouble)
    store.close()
    assert (tmp_path / "events.db").read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be: told as a trouble, and events go out all the same."""
    (tmp_path / "state").write_text("a file")
    with daemon(tmp_path) as one:
        one.event("onset")
        one.serve()
        assert [name for name, _ in one.sent] == ["event.porch.rain.", "status."]
        report = one.query.answer([b'{"ask": "status"}'])
        assert "history: " in report.reasons[0]  # type: ignore[union-attr]


def test_the_history_is_bounded(tmp_path: Path) -> None:
    """Neither size nor age grows beyond the bounds, whatever is written; the newest stay, what goes on stays."""
    with daemon(tmp_path) as one:
        store = one.store
        assert store is not None
        store.bounds.max_mb = 0.3
        first = one.event("onset", "siren")
        for _ in range(700):
            one.event("onset")
            one.event("offset")
        found = kept(store)
        assert store.database.connection is not None
        assert store.bounds.used_bytes(store.database.connection) < 0.3e6 + 8 * 4096
        assert found[-1].id == one.sent[-1][1].id  # type: ignore[union-attr]
        assert first.id in {m.id for m in found}
        n = len({m.id for m in found})
        assert 20 < n < 500
        store.bounds.max_days = -1.0  # everything is too old now
        for _ in range(n):
            one.event("onset")
            one.event("offset")
        assert len({m.id for m in kept(store)}) <= 10


def test_replays_write_no_history(tmp_path: Path) -> None:
    """`auricle replay` leaves the state folder as it was: not there."""
    samples, _ = scene(["rain"], RATE, sound_s=3.0, pause_s=0.5)
    write(tmp_path / "scene.wav", samples)
    subprocess.run(
        [sys.executable, "-m", "auricle", "replay", "--speed", "max", "--no-publish", tmp_path / "scene.wav"],
        check=True, capture_output=True, env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
    )  # fmt: skip
    assert not (tmp_path / "state").exists()


def test_pages_give_each_event_once(tmp_path: Path) -> None:
    """200 events in pages: every one, filtered by label and source and time, and none after the end."""
    with daemon(tmp_path) as one:
        for n in range(200):
            one.event("onset", "rain" if n % 2 else "siren", "porch" if n % 3 else "hall")
            one.event("offset", "rain" if n % 2 else "siren", "porch" if n % 3 else "hall")
        told = {m.id: m for _, m in one.sent if isinstance(m, Event)}
        assert one.store is not None
        assert {m.id for m in kept(one.store)} == set(told)

        def asked(**what: Any) -> set[str]:
            ids, after = set(), None
            while True:
                page = one.query.answer([json.dumps({"ask": "events", "after": after, **what}).encode()])
                assert isinstance(page, History)
                ids |= {m.id for m in page.messages if isinstance(m, Event)}
                after = page.next
                if after is None:
                    return ids

        assert asked(label="rain") == {id for id, m in told.items() if m.label == "rain"}
        assert asked(source="hall", label="siren") == {
            id for id, m in told.items() if (m.source, m.label) == ("hall", "siren")
        }
        assert asked(since="2999-01-01T00:00:00Z") == set()
        assert AskEvents(since=None).label is None


def test_a_store_that_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be written only so many messages wait; the oldest are lost, and that is counted."""
    monkeypatch.setattr("auricle.publish.waiting.WAITING", 10)
    (tmp_path / "state").write_text("a file")
    with daemon(tmp_path) as one:
        assert isinstance(one, Daemon)
        for _ in range(20):
            one.event("onset")
            one.event("offset")
        assert one.store is not None
        assert (len(one.store._waiting), one.store.lost) == (10, 30)
