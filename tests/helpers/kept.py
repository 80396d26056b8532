"""A scene of tones, a model that hears them, and the clips that a daemon keeps of them, for tests."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from auricle import messages
from auricle.client import Client, Clip, Event, Missed, Status
from auricle.clips.encode import encode
from auricle.clips.folder import name_of
from auricle.clips.keeper import Order
from auricle.clips.past import Cut, Run
from auricle.clips.reading import clip_of
from auricle.clips.writer import comment
from helpers.bundles import made_up, tone
from helpers.running import LIMIT_S
from helpers.sounds import RATE, varied

TONES = {"low": [400.0], "high": [3000.0]}


SOUND = np.rint(varied(1.0) * 2**15).astype(np.float32) / 2**15


def order(n: int = 0, seconds: float = 1.0, *, form: messages.ClipForm = "flac", label: str = "bell") -> Order:
    """Make an order for a clip of so much sound."""
    id, t = f"00000000-0000-7000-8000-{n:012d}", messages.rfc3339(n * 1_000_000)
    clip = Clip(
        node="n", instance="i", seq=0, source="s", model=None, t=t, sample=0, id=id, label=label, path=None, why=None,
        format=form, exact=False, sha256=None, rate=RATE if form == "flac" else 48_000, samples=0, duration_s=seconds,
        source_rate=RATE, onset=t, onset_s=0.2, offset_s=0.5,
    )  # fmt: skip
    return Order(clip, Cut(RATE, [Run(0, np.resize(SOUND, round(seconds * RATE)))]))


def lay(folder: Path, wanted: Order) -> Clip:
    """Write a clip as a daemon's writer would; return what is said of it."""
    clip = wanted.clip
    content, _ = encode(wanted.sound, clip.format, lambda facts: comment(clip, facts), "")
    path = folder / str(clip.source) / name_of(clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return clip_of(str(path))


def model(folder: Path) -> Path:
    """Write the model, which hears a low and a high tone."""
    return made_up(folder / "tones", TONES)


def scene(*, pause_s: float = 2.5, rounds: int = 1) -> NDArray[np.int16]:
    """Make so many rounds of a low and a high tone of one second each, with a quiet noise between and around them."""
    quiet = 0.001 * varied(pause_s, seed=5)
    sounds = [part for _ in range(rounds) for hz in (400.0, 3000.0) for part in (quiet, tone(hz))]
    return np.rint(np.concatenate([*sounds, quiet]) * 2**15).astype(np.int16)


def configuration(folder: Path, model: Path, clips: dict[str, Any], *sources: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a daemon that keeps clips, `RATE` and the scene in ``scene.wav`` unless told."""
    if not sources:
        soundfile.write(folder / "scene.wav", scene(), RATE)
        sources = ({"name": "porch", "recording": {"path": str(folder / "scene.wav"), "speed": 5, "loop": True}},)
    return {
        "model": str(model),
        "sources": list(sources),
        "gate": {"enabled": "off"},
        "publish": {"endpoint": "tcp://127.0.0.1:*", "query": "tcp://127.0.0.1:*"},
        "store": {"path": str(folder / "events.db")},
        "clips": {"enabled": True, "before_s": 1, "after_s": 0.5, **clips},
    }


def clips(client: Client, n: int, *, news: list[str] | None = None) -> list[Clip]:
    """Wait for so many messages about clips; what the daemon says of them meanwhile goes into ``news``."""
    found: list[Clip] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(found) < n:
        assert time.monotonic() < deadline_s, found
        item = client.receive(0.2)
        assert not isinstance(item, Missed)
        if isinstance(item, Clip):
            found.append(item)
        elif isinstance(item, Status) and item.state == "clips" and news is not None:
            news.append(item.detail)
    return found


def told(client: Client, words: str) -> str:
    """Wait until the daemon says something about clips that has these words in it."""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        assert time.monotonic() < deadline_s, words
        item = client.receive(0.2)
        if isinstance(item, Status) and item.state == "clips" and words in item.detail:
            return item.detail


def agrees(clip: Clip, recording: NDArray[np.int16]) -> None:
    """Hold a clip's file against what was said of it, and its sound against the recording's."""
    assert clip.path is not None
    path = Path(clip.path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    samples, rate = soundfile.read(path, dtype="int16")
    assert (len(samples), rate) == (clip.samples, clip.rate)
    assert clip.sample is not None
    np.testing.assert_array_equal(samples, recording[clip.sample : clip.sample + clip.samples])
    said = clip_of(clip.path)
    said.sha256, said.seq = clip.sha256, clip.seq
    assert said == clip


def events(items: list[Any]) -> list[Event]:
    """Pick the events that ended."""
    return [item for item in items if isinstance(item, Event) and item.phase == "offset"]
