"""Every call to the system that Auricle's own files take is made to fail once: it is told, and hearing goes on."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from auricle import config, messages
from auricle.errors import AudioError, AuricleError, ModelError
from auricle.gate import NoiseGate
from auricle.gate.noise import load_profile, save_profile
from auricle.messages.questions import AskPause, AskThreshold
from auricle.messages.topics import topic_of
from auricle.model import bundle
from auricle.publish.store import Store
from auricle.service import overrides, pauses, trial
from auricle.service.overrides import Overrides
from auricle.service.pauses import Pauses
from auricle.service.state import Learned
from helpers import reloading, sounds
from helpers.bundles import made_up
from helpers.faults import Fault, failing_call, failing_line, failing_sqlite_call
from helpers.histories import Life
from helpers.wire import daemon

Failing = Callable[[int], AbstractContextManager[Fault]]
FAILING: dict[str, Failing] = {
    "python": failing_call,
    "sqlite": failing_sqlite_call,
    "sqlite, full": lambda k: failing_sqlite_call(k, errno.ENOSPC),
}
TESTS = Path(__file__).resolve().parents[2]
FRAME = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160}


def every(run: Callable[[int], Fault]) -> int:
    """Run with the first call that fails, the second and so on, until there are no more; how many there were."""
    k = 0
    while True:
        k += 1
        if not run(k).hit:
            return k - 1


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[messages.AnyMessage]]:
    """A history in which a crash left an event going on, and what another daemon could say."""
    folder = tmp_path_factory.mktemp("left")
    with daemon(folder) as one:
        one.event("onset", "siren")
        one.kill()
    (folder / "said").mkdir()
    with daemon(folder / "said", store=False) as one:
        one.event("onset")
        one.event("offset")
        one.query.answer([b'{"ask": "mark", "text": "here"}'])
        return folder / "state", [m for _, m in one.sent]


@pytest.mark.parametrize("kind", FAILING)
def test_history(
    tmp_path: Path, left: tuple[Path, list[messages.AnyMessage]], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever call fails: all is told to subscribers, the trouble too, in two lines at most (that it came, that it
    went); ten seconds later all of it is kept, and what a crash left going on is closed."""
    folder, said = left
    without = Life(folder, tmp_path / "0")
    without.open()
    without.live(said)
    wanted = without.kept()
    without.store.close()
    assert len(wanted) == 5

    def run(k: int) -> Fault:
        caplog.clear()
        life = Life(folder, tmp_path / str(k))
        with FAILING[kind](k) as fault:
            life.open()
            life.live(said)
        life.heal()
        assert {topic_of(m) for m in said} < {topic_of(m) for m in life.told}, fault.hit
        news = [m.detail for m in life.told if isinstance(m, messages.Status)]
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(lines) <= 2, (fault.hit, lines)
        assert [line.removeprefix("history: ") for line in lines] == news
        assert wanted <= life.kept() or "moved to" in news[0], (fault.hit, lines)
        life.store.close()
        shutil.rmtree(tmp_path / str(k))
        return fault

    assert every(run) >= 9


@pytest.mark.parametrize("kind", FAILING)
def test_history_at_its_end(tmp_path: Path, left: tuple[Path, list[messages.AnyMessage]], kind: str) -> None:
    """Whichever call fails while it is closed: it closes, and the next start finds all that was kept."""
    folder, said = left

    def run(k: int) -> Fault:
        life = Life(folder, tmp_path / str(k))
        life.open()
        life.live(said)
        wanted = life.kept()
        with FAILING[kind](k) as fault:
            life.store.close()
        again = Store(tmp_path / str(k) / "events.db", max_mb=1, max_days=10_000)
        again.open()
        assert again.trouble is None
        life.store = again
        assert wanted <= life.kept(), fault.hit
        again.close()
        shutil.rmtree(tmp_path / str(k))
        return fault

    every(run)


EVERY = [pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(0)]), 11]
"""All of them by hand, one in so many at every other time."""


@pytest.mark.parametrize("step", EVERY)
def test_history_without_memory(
    tmp_path: Path, left: tuple[Path, list[messages.AnyMessage]], step: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever line of what publishes, keeps and remembers has no memory: a line or two say so, and whatever was
    published all the same is kept and can be asked for."""
    folder, said = left
    k = lines = 0
    while True:
        k += step
        caplog.clear()
        life = Life(folder, tmp_path / str(k))
        with failing_line(k, "auricle/publish/") as fault:
            life.round(said)
        found = warned(caplog)
        assert len(found) <= 2, (fault.hit, found)
        assert found or len(life.told) == len(said) + 1, fault.hit
        lines += bool(found)
        life.agrees()
        life.store.close()
        shutil.rmtree(tmp_path / str(k))
        if not fault.hit:
            break
    print(f"{k // step - 1} lines, {lines} of them told")
    assert k > 300


@pytest.mark.parametrize("step", EVERY)
def test_history_without_memory_in_sqlite(
    tmp_path: Path, left: tuple[Path, list[messages.AnyMessage]], step: int
) -> None:
    """The same for SQLite's own allocations, which there are hundreds of."""
    folder, said = left
    shutil.copytree(folder, tmp_path / "state")
    (tmp_path / "said.jsonl").write_bytes(b"".join(messages.encode(m) + b"\n" for m in said))
    done = subprocess.run(
        [sys.executable, "-m", "helpers.short_of_memory", tmp_path, str(step)],
        cwd=TESTS, capture_output=True, text=True, timeout=None if step == 1 else 60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert json.loads(done.stdout)["failed"] * step > 500


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the log since this was last asked."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    assert not [line for line in lines if "\n" in line]
    return lines


def gate() -> NoiseGate:
    """One that has learned."""
    one = NoiseGate(**FRAME)
    one.process(np.random.default_rng(0).exponential(1e-4, (2000, 257)).astype(np.float32))
    return one


def test_learned_noise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever call fails while it is saved or read: one line, or it did not matter; the next time it is there."""
    known = gate()

    def run(k: int) -> Fault:
        learned = Learned(tmp_path / str(k))
        with failing_call(k) as fault:
            learned.save("porch-0", known)
            learned.tick("hall-0", known, 0.0)
            learned.save("hall-0", known)
            anew = NoiseGate(**FRAME)
            learned.restore("porch-0", anew)
        lines = warned(caplog)
        assert len(lines) <= 1, (fault.hit, lines)
        assert lines or not fault.hit or anew.learned, fault.hit
        learned.save("porch-0", known)
        learned.restore("porch-0", again := NoiseGate(**FRAME))
        np.testing.assert_array_equal(again.learned["mean_db"], known.learned["mean_db"])
        warned(caplog)
        return fault

    assert every(run) > 20


def test_learned_noise_without_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever line has no memory: one line, or it did not matter; the next time the noise is there."""
    known = gate()
    known_before = known.learned

    def run(k: int) -> Fault:
        learned = Learned(tmp_path / str(k))
        anew = NoiseGate(**FRAME)
        with failing_line(k, "auricle/service/") as fault:
            learned.save("porch-0", known)
            learned.restore("porch-0", anew)
        lines = warned(caplog)
        assert len(lines) <= 1, (fault.hit, lines)
        assert lines or anew.learned, fault.hit
        learned.save("porch-0", known)
        learned.restore("porch-0", again := NoiseGate(**FRAME))
        np.testing.assert_array_equal(again.learned["mean_db"], known_before["mean_db"])
        warned(caplog)
        return fault

    assert every(run) > 10


@pytest.mark.parametrize("failing", [failing_call, lambda k: failing_line(k, "auricle/service/pauses")])
def test_pauses(tmp_path: Path, failing: Failing, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever call fails, or line has no memory, while a pause is kept or read again: a line or the answer says so,
    or it did not matter, a start begins all the same, and the next pause is kept."""
    live = SimpleNamespace(can_pause=True, pause=lambda reason: None)
    lanes: list[Any] = [SimpleNamespace(name="hall", live=live)]
    who = {"node": "n", "instance": "i"}

    def run(k: int) -> Fault:
        path = tmp_path / str(k) / "paused.json"
        held, told = Pauses(lanes, path), ""
        with failing(k) as fault:
            try:
                told = held.answer(AskPause(), who).trouble or ""
                Pauses(lanes, path)
            except MemoryError:  # the engine tells it, as any of a round
                told = "no memory"
        lines = warned(caplog)
        assert len(lines) <= 1, (fault.hit, lines)
        assert told or lines or pauses.read(path) == {"hall": None}, fault.hit
        assert held.answer(AskPause(), who).trouble is None
        assert pauses.read(path) == {"hall": None}, fault.hit
        return fault

    assert every(run) > 8


@pytest.mark.parametrize("failing", [failing_call, lambda k: failing_line(k, "auricle/service/overrides")])
def test_thresholds_that_were_set(
    tmp_path: Path, model: Path, failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever call fails, or line has no memory, while a threshold is kept or read again: a line or the answer says
    so, or it did not matter, a start begins all the same, and the next one is kept."""
    (tmp_path / "auricle.yaml").write_text(
        json.dumps({"model": str(model), "sources": [{"name": "hall", "stdin": {"rate": 16000}}]})
    )
    cfg = config.load(tmp_path / "auricle.yaml", environ={})
    models = {str(model): bundle.load(str(model))}
    who = {"node": "n", "instance": "i"}

    def run(k: int) -> Fault:
        path = tmp_path / str(k) / overrides.FILE
        held, told, found = Overrides(path, lambda token: None), "", None
        held.over(cfg, models)
        held.take_over(cfg)
        with failing(k) as fault:
            try:
                told = held.answer(AskThreshold(label="low", threshold=0.25), who).overrides.trouble or ""
                found = Overrides(path, lambda token: None)
            except MemoryError:  # the engine tells it, as any of a round
                told = "no memory"
        lines = warned(caplog)
        assert len(lines) <= 1, (fault.hit, lines)
        assert told or lines or (found is not None and found.report().thresholds == {"hall": {"low": 0.25}}), fault.hit
        assert held.answer(AskThreshold(label="low", threshold=0.75), who).overrides.trouble is None
        assert overrides.read(path).thresholds == {"hall": {"low": 0.75}}, fault.hit
        return fault

    assert every(run) > 8


def test_noise_profile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever call fails while a profile is read: it is read once more, or one line says what was wrong."""
    path = tmp_path / "room.npz"
    noise = sounds.varied(2.0)
    save_profile(path, noise, 16_000)

    def run(k: int) -> Fault:
        with failing_call(k) as fault:
            try:
                np.testing.assert_array_equal(load_profile(path, 16_000), noise)
            except AudioError as e:
                assert "Input/output error" in str(e)  # noqa: PT017
                assert len(e.lines()) == 1  # noqa: PT017
            else:
                assert len(warned(caplog)) == (1 if fault.hit else 0)
        return fault

    assert every(run) > 3


def test_noise_profile_without_memory(tmp_path: Path) -> None:
    """Whichever line has no memory while a profile is read: our own error in one line."""
    path = tmp_path / "room.npz"
    save_profile(path, sounds.varied(2.0), 16_000)

    def run(k: int) -> Fault:
        with failing_line(k, "auricle/gate/noise") as fault:
            try:
                load_profile(path, 8_000)
            except AuricleError as e:
                assert len(e.lines()) == 1  # noqa: PT017
                assert "memory" in str(e)  # noqa: PT017
        return fault

    assert every(run) >= 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model from outside, which is quickly loaded."""
    return made_up(tmp_path_factory.mktemp("models") / "tones", {"low": [400.0], "high": [3000.0]})


def test_bundle(tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call fails while a model is tried and loaded: one line, of the log or of our own error."""

    monkeypatch.setattr(trial, "Child", lambda *_: Mock())  # what a child does is its own

    def run(k: int) -> Fault:
        trials = trial.Trials(tmp_path / str(k) / "models")
        with failing_call(k) as fault:
            try:
                bundle.load(str(model), first=trials)
            except ModelError as e:
                assert len(e.lines()) == 1  # noqa: PT017
                assert warned(caplog) == []
            else:
                assert len(warned(caplog)) <= (1 if fault.hit else 0), fault.hit
        bundle.load(str(model), first=trials)
        return fault

    assert every(run) > 15


@pytest.fixture
def here(tmp_path: Path, model: Path) -> Iterator[reloading.Daemon]:
    """A daemon that hears a recording with it, behind a gate with a noise profile."""
    sounds.write(tmp_path / "noise.wav", sounds.varied(seconds=20.0))
    save_profile(tmp_path / "room.npz", sounds.varied(2.0), sounds.RATE)
    one = reloading.Daemon(tmp_path, wanted(tmp_path, model, 1.0))
    yield one
    one.close()


def wanted(folder: Path, model: Path, sensitivity: float) -> dict[str, object]:
    """A configuration, with one value that changes."""
    return {
        "model": str(model),
        "sources": [{"name": "porch", "recording": {"path": str(folder / "noise.wav"), "speed": "max", "loop": True}}],
        "gate": {"enabled": "on", "noise_profile": str(folder / "room.npz"), "sensitivity": sensitivity},
    }


def test_reload(tmp_path: Path, model: Path, here: reloading.Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever call fails in a reload: it is done or refused in a line, and hearing goes on; then it is done."""

    def run(k: int) -> Fault:
        here.write(wanted(tmp_path, model, 1.0 + k % 7 / 10))
        with failing_call(k) as fault:
            problems = here.reload.now()
        assert len(problems) <= 1
        assert not [line for line in problems if "fault of our own" in line or "OSError" in line], problems
        states = [m["state"] for m in here.of("status.")]
        assert states[-1] in ("reloaded", "reload_refused")
        here.listen(1600)
        warned(caplog)
        return fault

    assert every(run) > 20
    assert here.change(wanted(tmp_path, model, 2.0)) == []


def test_start(tmp_path: Path, model: Path, here: reloading.Daemon) -> None:
    """Whichever call fails while a start loads what it is to hear with: our own error in one line, or none."""

    def run(k: int) -> Fault:
        with failing_call(k) as fault:
            try:
                here.start()
            except AuricleError as e:
                assert len(e.lines()) == 1  # noqa: PT017
        return fault

    assert every(run) > 15


@pytest.mark.parametrize("where", ["auricle/stored/", "auricle/model/bundle"])
def test_reload_without_memory(
    tmp_path: Path, model: Path, here: reloading.Daemon, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever line of what reads and checks profiles and models has no memory: the reload is refused in a line, or
    done, and hearing goes on."""

    def run(k: int) -> Fault:
        here.write(wanted(tmp_path, model, 1.0 + k % 7 / 10))
        with failing_line(k, where) as fault:
            problems = here.reload.now()
        assert problems is not None
        assert len(problems) <= 1
        assert not [line for line in warned(caplog) if "fault of our own" in line], fault.hit
        here.listen(1600)
        return fault

    assert every(run) > 10
