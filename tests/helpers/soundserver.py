"""A sound server without hardware serves tests: PipeWire with a null sink, whose monitor is the microphone.

What is played into the sink is what PortAudio's devices ``pipewire`` and ``pulse`` hear, bit for bit where the rates
agree.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

PROGRAMS = ("pipewire", "wireplumber", "pipewire-pulse", "pw-metadata", "pactl", "paplay", "dbus-run-session")
PACKAGES = (
    "pipewire pipewire-bin wireplumber pipewire-pulse pipewire-alsa "
    "pulseaudio-utils dbus libportaudio2 libasound2-plugins"
)


def missing() -> str:
    """Name the programs that are not installed, and the packages that bring them; empty if all are."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(absent)} (apt-get install {PACKAGES})" if absent else ""


def wait_for(ready: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    """Ask until it is so."""
    until_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > until_s:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(0.01)


class SoundServer:
    """Runs one server in a folder of its own; it can be killed, frozen, and come back.

    Args:
        folder: for its sockets and logs; a short path, as sockets need.
        rate: of the whole graph and of the sink, in Hz.
        channels: of the sink, 1 or 2.
    """

    def __init__(self, folder: Path, rate: int = 16000, channels: int = 1) -> None:
        self.folder = folder
        self.rate = rate
        self.channels = channels
        self.env = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder),
            "PIPEWIRE_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{folder}/pulse/native",
        }
        self._groups: list[subprocess.Popen[bytes]] = []
        self._players: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the server; the sink is there and the rate set when this returns."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for socket in ("pipewire-0", "pulse/native"):
            (self.folder / socket).unlink(missing_ok=True)
        self._spawn("pipewire")
        wait_for((self.folder / "pipewire-0").is_socket, "pipewire")
        self._spawn("dbus-run-session", "--", "wireplumber")
        self._spawn("pipewire-pulse")
        wait_for(lambda: self._tell("pactl", "info").returncode == 0, "pipewire-pulse")
        self._must(
            "pactl", "load-module", "module-null-sink", "sink_name=mic", f"rate={self.rate}",
            f"channels={self.channels}", f"channel_map={'mono' if self.channels == 1 else 'front-left,front-right'}",
        )  # fmt: skip
        self._must("pw-metadata", "-n", "settings", "0", "clock.force-rate", str(self.rate))
        self._must("pw-metadata", "-n", "settings", "0", "clock.force-quantum", str(self.rate // 25))
        wait_for(lambda: b"mic.monitor" in self._tell("pactl", "list", "short", "sources").stdout, "the null sink")
        # It may be the only one there is, and then cannot be chosen.
        self._tell("pactl", "set-default-source", "mic.monitor")
        self._tell("pactl", "set-default-sink", "mic")

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        for process in (*self._players, *reversed(self._groups)):
            with_group(process, signal.SIGKILL)
            process.wait()
        self._players.clear()
        self._groups.clear()

    def freeze(self) -> None:
        """Stop the server without ending it: every call into it hangs."""
        self._groups[0].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._groups[0].send_signal(signal.SIGCONT)

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Play a WAV file into the sink."""
        process = subprocess.Popen(["paplay", "--device=mic", str(path)], env=self.env, start_new_session=True)
        self._players.append(process)
        return process

    def _spawn(self, *command: str) -> None:
        with open(self.folder / f"{command[-1]}.log", "ab") as log:
            process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._groups.append(process)
        # A sound card does not wait for a processor, so neither should the one that stands for it.
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, process.pid, -10)

    def _tell(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, env=self.env, capture_output=True, timeout=10, check=False)

    def _must(self, *command: str) -> None:
        done = self._tell(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode().strip()}")


def with_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a process that leads a group of its own, and all of the group."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def write_wav(path: Path, samples: NDArray[np.int16], rate: int) -> Path:
    """Write a WAV file of one channel and 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, rate: int) -> Iterator[SoundServer]:
    """Run a sound server of the caller's own, and kill it at the end; this process and its children talk to it."""
    with tempfile.TemporaryDirectory() as folder:
        own = SoundServer(Path(folder) / "run", rate)
        for key, value in own.env.items():
            monkeypatch.setenv(key, value)
        own.start()
        yield own
        own.kill()
