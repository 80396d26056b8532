"""With clips off no sound leaves memory: the daemon's system calls are watched while it hears a known noise."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.client import AskEvents, Event, History, ask
from helpers import kept
from helpers.kept import configuration, scene
from helpers.running import Running, running, wait_for
from helpers.sounds import RATE

CALLS = (
    "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,splice,tee,vmsplice,copy_file_range,"
    "process_vm_writev,execve"
)
_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)\(([^,]*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})+)"')
RUN = 16
"""So many bytes of the noise in a row are no chance."""


def writes(trace: Path) -> Iterator[tuple[int, str, str, bytes]]:
    """Every write and send that was seen: the process, the call, its first argument, and the bytes."""
    with trace.open() as lines:
        for line in lines:
            if (call := _CALL.match(line)) is not None:
                for text in _TEXT.findall(line):
                    yield int(call[1]), call[2], call[3], bytes.fromhex(text.replace("\\x", ""))


def known(noise: np.ndarray) -> set[bytes]:
    """Every run of the noise, at any sample, as int16 and as float32."""
    found = set()
    for form in (noise.astype("<i2"), (noise / 2**15).astype("<f4")):
        content, step = form.tobytes(), form.itemsize
        found |= {content[at : at + RUN] for at in range(0, len(content) - RUN, step)}
    return found


def holds(content: bytes, runs: set[bytes]) -> bool:
    return any(content[at : at + RUN] in runs for at in range(len(content) - RUN + 1))


@contextmanager
def ended(one: Running) -> Iterator[None]:
    """End the daemon, which is a child of strace."""
    (daemon,) = wait_for(one.children, "the daemon under strace")
    try:
        yield
    finally:
        os.kill(daemon, signal.SIGTERM)
        one.process.wait(60)


@pytest.fixture
def noise() -> np.ndarray:
    """Noise that is nowhere twice, and the tones that make events."""
    sound = scene().astype(int) + np.random.default_rng(7).integers(-900, 900, len(scene()))
    return sound.clip(-(2**15), 2**15 - 1).astype(np.int16)


def test_no_sound_leaves_memory(
    tmp_path: Path,
    noise: np.ndarray,
    require: Callable[[bool, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A noise that comes as int16 by a pipe, and as float32 by ffmpeg, is in no write and no send but ffmpeg's own into
    its pipe, while events are told and kept."""
    strace = shutil.which("strace")
    require(strace is not None and shutil.which("ffmpeg") is not None, "strace, ffmpeg")
    trace = tmp_path / "trace"
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    wanted = configuration(
        tmp_path,
        kept.model(tmp_path),
        {"enabled": False},
        {"name": "pipe", "stdin": {"rate": RATE}},
        {"name": "camera", "ffmpeg": {"url": str(tmp_path / "noise.wav")}},
    )
    watched = [str(strace), "-f", "-qq", "-v", "-xx", "-s", "4000000", "-e", f"trace={CALLS}", "-e", "signal=none"]
    monkeypatch.setattr("helpers.running.PROGRAM", [*watched, "-o", str(trace), sys.executable, "-m", "auricle"])
    with running(tmp_path, wanted, stdin=subprocess.PIPE) as one, ended(one):
        assert one.process.stdin is not None
        one.process.stdin.write(noise.tobytes() + bytes(2 * RATE))
        one.process.stdin.flush()

        def both() -> bool:
            told = ask(one.query, AskEvents(), History, timeout_s=30).messages
            return len({(m.source, m.label) for m in told if isinstance(m, Event) and m.phase == "offset"}) == 4

        wait_for(both, "both tones from both sources", 100)
        one.process.stdin.close()
    runs = known(noise)
    ffmpegs: set[int] = set()
    elsewhere, capture = [], 0
    for pid, call, first, content in writes(trace):
        if call == "execve":
            if b"ffmpeg" in content and content.endswith(b"ffmpeg"):
                ffmpegs.add(pid)
        elif holds(content, runs):
            if pid in ffmpegs and first == "1":
                capture += len(content)
            else:
                elsewhere.append((call, first, len(content)))
    assert capture >= 4 * len(noise), "the look itself finds the noise where it must be"
    assert not elsewhere
