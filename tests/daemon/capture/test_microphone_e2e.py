"""End to end: `auricle run` on a real sound server and a real subscriber, through losses of every kind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import zmq

from auricle import config
from auricle.capture.microphone import Microphone
from auricle.capture.poller import Poller
from auricle.capture.source import Gap, Piece, Sound, Terms
from auricle.commands.synth import scene
from auricle.hearing import engine
from auricle.hearing.lane import Lane
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from helpers import soundserver
from helpers.soundserver import SoundServer, write_wav

pytestmark = pytest.mark.alone

RATE = 16000
HOP_S = 0.08


class Daemon:
    """`auricle run` in a process of its own, and all its messages."""

    def __init__(self, folder: Path, env: dict[str, str], config: dict[str, Any], **options: Any) -> None:
        endpoint = f"ipc://{folder}/events"
        config = {
            "publish": {"endpoint": endpoint, "query": f"ipc://{folder}/query"},
            "store": {"enabled": False},
            **config,
        }
        (folder / "auricle.yaml").write_text(json.dumps(config))
        self.messages: list[dict[str, Any]] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.subscribe("")
        self._socket.reconnect_ivl = 5  # or the daemon has said its first words before it is heard
        self._socket.connect(endpoint)
        self._log = open(folder / "log", "wb")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auricle", "run", "-c", folder / "auricle.yaml"],
            env={**env, "STATE_DIRECTORY": str(folder)},
            stdout=self._log,
            stderr=self._log,
            **options,
        )

    def until(self, ready: Callable[[], bool], timeout_s: float = 20.0) -> float:
        """Take messages until it is so; the seconds that took."""
        began_s = time.monotonic()
        while not ready():
            assert time.monotonic() - began_s < timeout_s, self.messages[-3:]
            assert self.process.poll() is None, Path(self._log.name).read_text()
            if self._socket.poll(20):
                topic, payload = self._socket.recv_multipart()
                self.messages.append({"topic": topic.decode(), **json.loads(payload)})
        return time.monotonic() - began_s

    def of(self, prefix: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["topic"].startswith(prefix)]

    def states(self, source: str = "mic") -> list[str]:
        return [m["state"] for m in self.of(f"status.{source}.")]

    def is_lost(self, source: str = "mic") -> bool:
        """As `health` tells it, which also those hear who came after the change."""
        health = self.of("health.")
        return bool(health) and health[-1]["sources"][source]["state"] == "lost"

    def health(self, source: str = "mic") -> dict[str, Any]:
        """The next one."""
        seen = len(self.of("health."))
        self.until(lambda: len(self.of("health.")) > seen)
        return self.of("health.")[-1]["sources"][source]

    def scores(self, source: str = "mic") -> float:
        """Until the next scores; the seconds that took."""
        seen = len(self.of(f"score.{source}."))
        return self.until(lambda: len(self.of(f"score.{source}.")) > seen)

    def figures(self) -> tuple[int, int, int, int]:
        """Descriptors, threads, children and resident kB of the daemon."""
        root = Path(f"/proc/{self.process.pid}")
        fields = dict(line.split(":", 1) for line in (root / "status").read_text().splitlines())
        children = (root / "task" / str(self.process.pid) / "children").read_text().split()
        return len(os.listdir(root / "fd")), int(fields["Threads"]), len(children), int(fields["VmRSS"].split()[0])

    def close(self) -> str:
        """End it as systemd would; what it logged."""
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(10) == 0
        return Path(self._log.name).read_text()

    def abandon(self) -> None:
        """End it in any case, and let go of everything."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._socket.close(linger=0)
        self._context.term()
        self._log.close()


@pytest.fixture
def server(require: Callable[[bool, str], None]) -> Iterator[SoundServer]:
    """A sound server of the test's own, up and running."""
    require(not soundserver.missing(), soundserver.missing())
    with tempfile.TemporaryDirectory() as folder:
        own = SoundServer(Path(folder) / "run", RATE)
        own.start()
        yield own
        own.kill()


@pytest.fixture
def daemon(server: SoundServer, tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons that hear the server's microphone, and end them."""
    started: list[Daemon] = []

    def start(**config: Any) -> Daemon:
        sources = [{"name": "mic", "microphone": {"device": "pipewire"}}]
        started.append(Daemon(tmp_path, server.env, {"sources": sources, **config}))
        return started[-1]

    yield start
    for each in started:
        each.abandon()


LEAD_S = 2.0


def candidates(data: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Sounds of about three seconds that may well be recognised: real ones, where the recordings are there."""
    if not data.is_dir():
        for label in ("rain", "clock_tick", "sea_waves", "rooster"):
            yield label, scene([label], RATE, sound_s=3.0, pause_s=0.5)[0]
        return
    for label in ("rooster", "dog_bark", "baby_cry"):
        for path in sorted((data / "esc10" / label).glob("*.ogg"))[:3]:
            samples, rate = soundfile.read(path, dtype="float32")
            yield label, soxr.resample(samples, rate, RATE)[: 3 * RATE]


def replay(paths: list[Path], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The scores and events of `auricle replay`, file by file."""
    out = subprocess.run(
        [sys.executable, "-m", "auricle", "replay", *paths, "--speed", "max", "--json", "--no-publish"],
        capture_output=True,
        check=True,
        env={**os.environ, "STATE_DIRECTORY": str(folder)},
    ).stdout
    by_file: dict[str, list[dict[str, Any]]] = {str(path): [] for path in paths}
    for message in map(json.loads, out.splitlines()):
        if message["topic"].startswith(("event.", "score.")):
            by_file[message["file"]].append(message)
    return by_file


def onsets(messages: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Label and onset, in seconds of the source's own samples."""
    return [(m["label"], m["onset_sample"] / RATE) for m in messages if m.get("phase") == "onset"]


def decisive(sounds: Iterator[tuple[str, np.ndarray]], folder: Path) -> np.ndarray:
    """Two sounds, a pause after each, whose events do not depend on where in a hop they begin."""
    chosen: list[np.ndarray] = []
    labels: set[str] = set()
    for n, (label, samples) in enumerate(sounds):
        if label in labels:
            continue
        trial = [*chosen, samples, np.zeros(2 * RATE, np.float32)]
        files = []
        for phase in range(4):
            lead = np.zeros(round(LEAD_S * RATE) + 213 * phase, np.float32)
            whole = np.clip(np.concatenate([lead, *trial]), -1, 1)
            files.append(write_wav(folder / f"{n}-{phase}.wav", np.round(whole * 32767).astype(np.int16), RATE))
        heard = [onsets(messages) for messages in replay(files, folder).values()]
        same = len({tuple(label for label, _ in each) for each in heard}) == 1
        if same and len(heard[0]) > len(labels) and label in {found for found, _ in heard[0]}:
            chosen, labels = trial, labels | {label}
        if len(labels) == 2:
            return np.clip(np.concatenate(chosen), -1, 1)
    raise AssertionError("the model is sure of no two of these sounds")


def test_what_is_played_becomes_the_events_of_its_replay(
    daemon: Callable[..., Daemon], server: SoundServer, tmp_path: Path, data_folder: Path
) -> None:
    """Sounds through the sound card: the labels of their replay, each onset within one decision hop of its place."""
    sound = np.round(decisive(candidates(data_folder), tmp_path) * 32767).astype(np.int16)
    led = write_wav(tmp_path / "led.wav", np.concatenate([np.zeros(round(LEAD_S * RATE), np.int16), sound]), RATE)
    (replayed,) = replay([led], tmp_path).values()
    running = daemon()
    running.scores()
    player = server.play(write_wav(tmp_path / "played.wav", sound, RATE))
    running.until(lambda: player.poll() is not None, timeout_s=30)
    sample = running.of("score.")[-1]["sample"]
    running.until(lambda: running.of("score.")[-1]["sample"] > sample + 2 * RATE)
    assert running.of("gap.") == []
    assert running.health()["capture"]["overruns"] == 0
    live, expected = onsets(running.of("event.mic.")), onsets(replayed)
    assert [label for label, _ in live] == [label for label, _ in expected]
    moved = np.array([at - there for (_, at), (_, there) in zip(live, expected, strict=True)])
    assert np.ptp(moved) <= 2 * HOP_S + 1e-6, "no onset is more than one hop from where it would be"
    running.close()


class Tape:
    """A source that keeps what another one gives."""

    def __init__(self, source: Microphone) -> None:
        self._source = source
        self.pieces: list[Piece] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def poll(self, now_s: float) -> Iterator[Piece]:
        for piece in self._source.poll(now_s):
            self.pieces.append(Sound(piece.samples.copy()) if isinstance(piece, Sound) else piece)
            yield piece


def test_live_and_replay_are_one_thing(
    server: SoundServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_folder: Path
) -> None:
    """The samples that a microphone gave, replayed from a file: the same scores and events, bit for bit."""
    for key, value in server.env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    sounds = [samples for _, samples in candidates(data_folder)]
    sound = np.concatenate([sounds[0], sounds[-1]])
    wav = write_wav(tmp_path / "played.wav", np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16), RATE)
    messages: list[dict[str, Any]] = []

    def take(topic: str, payload: bytes) -> None:
        messages.append({"topic": topic, **json.loads(payload)})

    cfg = config.load(None)
    model = bundle.load(cfg.model, cfg.models_dir)
    publisher = Publisher("test", [take])
    stop = engine.Stop()
    with Poller() as poller:
        tape = Tape(Microphone("mic", Terms(model_rate=RATE, block_s=HOP_S), poller=poller, device="pipewire"))
        options = {"decision": cfg.decision, "gate": cfg.gate, "publish": cfg.publish}
        lane = Lane(tape, model, publisher=publisher, **options)
        tape.open()
        player: list[subprocess.Popen[bytes]] = []

        def progress() -> None:
            if tape.pieces and not player:
                player.append(server.play(wav))
            if player and player[0].poll() is not None:
                stop.ask()

        engine.run([lane], publisher, stop, progress=progress)
        tape.close()
    stop.close()
    assert [piece for piece in tape.pieces if isinstance(piece, Gap)] == []
    heard = np.concatenate([piece.samples for piece in tape.pieces if isinstance(piece, Sound)])
    soundfile.write(tmp_path / "tape.wav", heard, RATE, subtype="FLOAT")
    (replayed,) = replay([tmp_path / "tape.wav"], tmp_path).values()
    fields = (
        "type", "phase", "label", "score", "scores", "peak", "level_dbfs", "sample", "onset_sample", "offset_sample",
        "duration_s",
    )  # fmt: skip
    live = [{field: m.get(field) for field in fields} for m in messages if m["type"] in ("event", "score")]
    again = [{field: m.get(field) for field in fields} for m in replayed]
    assert len([m for m in live if m["type"] == "event"]) >= 2
    assert live == again


def losses(running: Daemon, server: SoundServer) -> list[float]:
    """The server killed and back, then frozen and going on; the seconds from each return to the next scores."""

    def lost() -> None:
        seen = running.states().count("lost")
        assert running.until(lambda: running.states().count("lost") > seen) < 2.5

    server.kill()
    lost()
    starter = threading.Thread(target=server.start)
    starter.start()
    running.until(lambda: not starter.is_alive())
    found = running.states().count("found")
    returns = [running.until(lambda: running.states().count("found") > found)]
    running.scores()
    server.freeze()
    lost()
    server.thaw()
    returns.append(running.until(lambda: running.states().count("found") > found + 1))
    running.scores()
    return returns


def adds_up(running: Daemon) -> None:
    """The daemon's own ledger, and every gap of it in its place."""
    at = 0
    for gap in running.of("gap.mic."):
        assert gap["sample"] >= at
        at = gap["sample"] + gap["samples"]
    health = running.health()
    capture = health["capture"]
    lost = sum(gap["samples"] for gap in running.of("gap.mic."))
    assert capture["lost_samples"] == lost
    last = running.of("score.mic.")[-1]["sample"]
    assert 0 <= capture["heard_samples"] + capture["lost_samples"] - last < 1.5 * RATE


def survives(daemon: Callable[..., Daemon], server: SoundServer, rounds: int) -> None:
    running = daemon()
    running.scores()
    returns = losses(running, server)
    before = running.figures()
    for _ in range(rounds - 1):
        returns += losses(running, server)
    after = running.figures()
    print(f"back after {max(returns):.2f} s at most; descriptors, threads, children, kB: {before} -> {after}")
    assert max(returns) < 3.0
    assert after[:3] == before[:3]
    assert after[3] - before[3] < 1000
    adds_up(running)
    # Whether the subscriber is there in time for the very first status is not said.
    states = [state for state in running.states() if state != "starting"]
    assert states == ["running", *["lost", "found"] * (2 * rounds)]
    log = running.close()
    assert "Traceback" not in log
    assert sum("mic: lost" in line for line in log.splitlines()) == 2 * rounds, log


def test_the_daemon_survives_its_sound_server(daemon: Callable[..., Daemon], server: SoundServer) -> None:
    """Killed and frozen, three times: no restart, nothing left behind, and the ledger adds up in what is published."""
    survives(daemon, server, 3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_rounds_of_losses(daemon: Callable[..., Daemon], server: SoundServer) -> None:
    """The same, fifty times."""
    survives(daemon, server, 50)


def test_a_daemon_that_starts_before_its_microphone(daemon: Callable[..., Daemon], server: SoundServer) -> None:
    """No sound server at start: lost, not an error; heard within 3 s of its start."""
    server.kill()
    running = daemon()
    running.until(running.is_lost)
    server.start()
    assert running.until(lambda: "found" in running.states()) < 3.0
    running.scores()
    assert running.of("gap.mic.")[0]["cause"] == "lost"
    assert running.of("gap.mic.")[0]["estimated"]
    adds_up(running)
    running.close()


def test_a_stopped_daemon_loses_what_it_says(daemon: Callable[..., Daemon], server: SoundServer) -> None:
    """The daemon itself is stopped for longer than pipe and ring hold, and goes on: exact overruns, all told."""
    running = daemon(capture={"ring_s": 1.0})
    running.scores()
    os.kill(running.process.pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    while time.monotonic() - stopped_s < 6.0:
        time.sleep(0.1)
    os.kill(running.process.pid, signal.SIGCONT)
    running.until(lambda: bool(running.of("gap.mic.")))
    running.scores()
    gaps = running.of("gap.mic.")
    assert {(gap["cause"], gap["estimated"]) for gap in gaps} == {("overrun", False)}
    adds_up(running)
    running.close()


def test_a_pipe_into_the_daemon(server: SoundServer, tmp_path: Path) -> None:
    """``... | auricle run``: raw samples on standard input become scores, and the daemon ends with them."""
    read_fd, write_fd = os.pipe()
    sources = [{"name": "mic", "stdin": {"rate": RATE, "format": "s16le"}}]
    running = Daemon(tmp_path, server.env, {"sources": sources}, stdin=read_fd)
    os.close(read_fd)
    block = np.random.default_rng(0).integers(-3000, 3000, 8000).astype("<i2").tobytes()
    os.set_blocking(write_fd, False)

    def heard() -> bool:
        with suppress(BlockingIOError):
            os.write(write_fd, block)
        return bool(running.of("score.mic."))

    running.until(heard)
    os.close(write_fd)
    running.close()
    assert running.of("gap.mic.") == []
    running.abandon()
