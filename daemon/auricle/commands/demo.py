"""`auricle demo` plays a synthesised scene, at real time, through the daemon in one process to a subscriber in
another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import soundfile
import typer

from auricle.client import Client, Event, Scores, Spectrum, Status
from auricle.commands import synth
from auricle.commands.synth import Part
from auricle.config.sections import DEFAULT_MODEL
from auricle.errors import EXIT_SKIPPED, AuricleError, UsageError
from auricle.model import bundle
from auricle.terminal import text
from auricle.terminal.spectrum import Picture

if TYPE_CHECKING:
    from rich.console import RenderableType

LABELS = ("siren", "rain", "whistle", "baby_cry")
LIMIT_S = 30.0
SOURCE = "demo"


def write_scene(path: Path, sample_rate: int) -> list[Part]:
    """Write the scene as a recording, and say what plays when."""
    samples, parts = synth.scene(LABELS, sample_rate)
    soundfile.write(path, samples, sample_rate, subtype="PCM_16")
    return parts


def command(
    out: Annotated[Path | None, typer.Option(help="Only write the scene to this WAV file.")] = None,
    spectrum: Annotated[bool, typer.Option("--spectrum", help="Draw what is heard, on a terminal.")] = False,
) -> int:
    """Run the scene through a daemon and judge what came; return the exit code.

    Raises:
        AuricleError: the daemon did not run.
        UsageError: a picture is wanted where none can be drawn.
    """
    if spectrum and not sys.stdout.isatty():
        raise UsageError("--spectrum: is drawn on a terminal; leave out what takes the output elsewhere")
    if out is not None:
        for part in write_scene(out, 16_000):
            print(f"{part.onset_s:5.1f} s  {part.label}")
        return 0
    began_s = time.monotonic()
    sample_rate = bundle.load(DEFAULT_MODEL).card.front_end.sample_rate
    with tempfile.TemporaryDirectory(prefix="auricle-demo-") as folder:
        parts = write_scene(Path(folder, "scene.wav"), sample_rate)
        endpoint = f"ipc://{folder}/events"
        config = {
            "sources": [{"name": SOURCE, "recording": {"path": f"{folder}/scene.wav", "speed": 1}}],
            "publish": {"endpoint": endpoint, "query": f"ipc://{folder}/query"},
            "store": {"enabled": False},
            "spectrum": {"enabled": spectrum},
        }
        # JSON is YAML, and quotes everything by itself.
        Path(folder, "demo.yaml").write_text(json.dumps(config))
        print("These sounds are synthetic: made by arithmetic, never heard by the model before.\n", flush=True)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "auricle", "run", "--config", f"{folder}/demo.yaml"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # What the gate learns of a scene is not to be kept.
            env={**os.environ, "STATE_DIRECTORY": folder},
        )
        try:
            with _drawn() if spectrum else nullcontext(_Plain()) as view:
                heard = _watch(endpoint, parts, daemon, LIMIT_S - (time.monotonic() - began_s), view)
        finally:
            daemon.terminate()
            _, complaints = daemon.communicate(timeout=5)
    # The daemon may be at its end by itself, past its own handlers, when the signal comes.
    if daemon.returncode not in (0, -signal.SIGTERM):
        raise AuricleError(f"the daemon ended with {daemon.returncode}: {complaints.strip().splitlines()[-1:]}")
    return _judge(heard)


class _Plain:
    """Prints lines, and draws nothing."""

    topics: Sequence[str] = ()

    def say(self, line: str) -> None:
        print(line, flush=True)

    def show(self, message: Spectrum | Event) -> None:
        """Do nothing: there is no picture."""


class _Drawn(_Plain):
    """Prints lines above a picture of what is heard."""

    topics = (f"spectrum.{SOURCE}.",)

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._picture, self._console = Picture(), Console()
        self.live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=5)

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def show(self, message: Spectrum | Event) -> None:
        if isinstance(message, Spectrum):
            self._picture.add(message)
        else:
            self._picture.mark(message)

    def _draw(self) -> RenderableType:
        console = self._console
        return self._picture.draw(console.width, console.height // 2, colours=console.color_system is not None)


@contextmanager
def _drawn() -> Iterator[_Plain]:
    view = _Drawn()
    with view.live:
        yield view


def _watch(
    endpoint: str, parts: Sequence[Part], daemon: subprocess.Popen[str], limit_s: float, view: _Plain
) -> list[str]:
    """Show events and top scores beside what is playing; return the labels in the order of their onsets."""
    heard: list[str] = []
    deadline_s = time.monotonic() + limit_s
    said_s = -1
    topics = [*(f"{kind}.{SOURCE}." for kind in ("event", "score", "status")), *view.topics]
    with Client(endpoint, topics=topics) as client:
        while time.monotonic() < deadline_s and daemon.poll() is None:
            match item := client.receive(0.25):
                case Status(state="stopped"):
                    break
                case Event(phase="onset" | "offset"):
                    if item.phase == "onset":
                        heard.append(item.label)
                        view.show(item)
                    view.say(f">>> {text.line(item)}".replace(str(item.file), "scene"))
                case Spectrum():
                    view.show(item)
                case Scores():
                    at_s = _seconds(item)
                    if int(at_s) > said_s:
                        said_s = int(at_s)
                        view.say(_beside(item, at_s, parts))
    return heard


def _seconds(message: Scores) -> float:
    """Return the place in the scene of a decision, in seconds; the scene's clock begins at 1970."""
    hours, minutes, seconds = message.t[11:-1].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _beside(message: Scores, at_s: float, parts: Sequence[Part]) -> str:
    playing = next((part.label for part in parts if part.onset_s <= at_s < part.offset_s), "-")
    top = sorted(message.scores.items(), key=lambda item: -item[1])[:2]
    scores = ", ".join(f"{label} {score:.2f}" for label, score in top)
    return f"    {at_s:5.1f} s  playing {playing:<15} {message.level_dbfs:6.1f} dBFS   {scores}"


def _judge(heard: Sequence[str]) -> int:
    order = [label for i, label in enumerate(heard) if i == 0 or heard[i - 1] != label]
    right = order == list(LABELS)
    print(f"\nplayed: {', '.join(LABELS)}\nheard:  {', '.join(order) or 'nothing'}")
    if not right:
        print("that is not what was played", file=sys.stderr)
        return EXIT_SKIPPED
    print("Every sound was recognised, in order. Your own recording: auricle replay FILE.wav")
    return 0
