"""There are sounds to teach here, and a bundle with a bank to teach them to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.teach import bank
from auricle.teach.embedding import Trunk
from helpers import sounds
from helpers.bundles import made_up, tone

TONES = {"siren": [1000.0], "whistle": [3000.0]}


def burst(seed: int, hz: float = 5000.0, seconds: float = 0.4) -> np.ndarray:
    """A short sound of two tones, never twice the same, with a little noise around it."""
    rng = np.random.default_rng(seed)
    sound = tone(hz * rng.uniform(0.98, 1.02), 2000.0, seconds=seconds * rng.uniform(0.8, 1.2), amplitude=0.2)
    quiet = 1e-3 * rng.standard_normal(len(sound) + 4000)
    quiet[2000 : 2000 + len(sound)] += sound
    return quiet.astype(np.float32)


def pump(seed: int) -> np.ndarray:
    """Another such sound."""
    return burst(seed, 3900.0)


def clips(folder: Path, n: int, make: Callable[[int], np.ndarray] = burst) -> Path:
    """A folder of so many clips."""
    folder.mkdir(parents=True)
    for seed in range(n):
        sounds.write(folder / f"{seed + 1:02d}.wav", make(seed), subtype="FLOAT")
    return folder


def house(folder: Path) -> Bundle:
    """A bundle of two labels with a bank: noises of all kinds, and tones."""
    path = made_up(folder, TONES, embedding="embedding")
    trunk = Trunk(bundle.load(str(path)))
    rng = np.random.default_rng(0)
    windows = [sounds.varied(1.0, seed=seed)[: trunk.span] for seed in range(200)]
    windows += [
        tone(rng.uniform(200, 7000), seconds=1.0, amplitude=rng.uniform(0.01, 0.3))[: trunk.span] for _ in range(200)
    ]
    with_bank(
        path, np.concatenate([trunk.windows(window)[0] for window in windows]), ["noises"] * 200 + ["tones"] * 200
    )
    return bundle.load(str(path))


def with_bank(path: Path, embeddings: np.ndarray, of: list[str]) -> None:
    """Put a bank into a bundle."""
    kinds = sorted(set(of))
    content = bank.packed(embeddings, [kinds.index(kind) for kind in of])
    (path / "bank.npz").write_bytes(content)
    raw = yaml.safe_load((path / "card.yaml").read_text())
    raw["bank"] = {"file": "bank.npz", "kinds": kinds}
    raw["files"]["bank.npz"] = hashlib.sha256(content).hexdigest()
    (path / "card.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
