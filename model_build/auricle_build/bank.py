"""The bank of a bundle is made here: embeddings of many sounds, from which `auricle teach` learns the difference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray

from auricle.errors import AudioError, ConfigError
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle.teach import bank
from auricle.teach.embedding import Trunk
from auricle_build.grammar.recipes import Recipe
from auricle_build.material import clips as material
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip

Embedding: TypeAlias = NDArray[np.int8]

VECTORS = 2000
_FILE = "bank.npz"
_GAINS_DB = (-20.0, 6.0)


def made(
    trunk: Trunk, clips: Iterable[Clip], places: Collection[str], vectors: int, *, say: Callable[[str], None] = print
) -> tuple[Embedding, list[str]]:
    """Return embeddings ``(vectors, size)`` of windows of these clips, and of what each is.

    Every label has as many as any other, and so has every recording that is minutes long; each window is taken
    somewhere in its clip, at another level. A clip shorter than a window stands in digital silence.

    Args:
        places: sets whose recordings are minutes long, each a kind of its own.
    """
    rng = np.random.default_rng(0)
    of: dict[str, list[Clip]] = {}
    for clip in clips:
        of.setdefault(clip.path.stem if clip.origin in places else clip.label, []).append(clip)
    if not of:
        raise ConfigError(["bank: there are no recordings"])
    each_has = -(-vectors // len(of))
    embeddings: list[Embedding] = []
    kinds: list[str] = []
    for kind, each in sorted(of.items()):
        order = [each[i] for i in rng.permutation(len(each))]
        # Recordings are minutes long, some of them: each is read once, for all of its windows.
        for turn, clip in enumerate(order[:each_has]):
            try:
                sound = sounds.load(clip.path, trunk.rate, clip.onset_s, clip.offset_s)
            except AudioError as e:
                say(str(e))
                continue
            for _ in range(turn, each_has, len(order)):
                embeddings.append(_window(trunk, sound, rng))
                kinds.append(kind)
    if not embeddings:
        raise ConfigError(["bank: none of the recordings can be read"])
    kept = rng.permutation(len(kinds))[:vectors]
    return np.stack([embeddings[i] for i in kept]), [kinds[i] for i in kept]


def _window(trunk: Trunk, sound: NDArray[np.float32], rng: np.random.Generator) -> Embedding:
    """Return the embedding of a window somewhere in what sounds of a recording, at some level."""
    begin, end = sounds.sounding(sound)
    window = np.zeros(trunk.span, np.float32)
    part = sound[begin:end]
    first = int(rng.integers(max(1, len(part) - trunk.span + 1)))
    part = part[first : first + trunk.span]
    at = int(rng.integers(trunk.span - len(part) + 1))
    window[at : at + len(part)] = part * np.float32(10 ** (rng.uniform(*_GAINS_DB) / 20))
    embedding: Embedding = trunk.windows(np.clip(window, -1, 1))[0][0]
    return embedding


def write(
    recipe: Recipe, path: Path, *, root: Path, vectors: int = VECTORS, say: Callable[[str], None] = print
) -> Bundle:
    """Make a bank of what a recipe trains on, nothing of what it holds out, and put it into a bundle.

    Raises:
        ConfigError: the recordings are not there.
        ModelError: the bundle has no embedding.
    """
    opened = bundles.load(str(path))
    train, _, _ = material.split(material.read(recipe.data.sets, root), recipe.data.held_out)
    places = {each.name for each in recipe.data.sets if each.place}
    embeddings, of = made(Trunk(opened), train, places, vectors, say=say)
    kinds = sorted(set(of))
    content = bank.packed(embeddings, [kinds.index(kind) for kind in of])
    (opened.path / _FILE).write_bytes(content)
    files = {**opened.raw["files"], _FILE: hashlib.sha256(content).hexdigest()}
    card = {**opened.raw, "bank": {"file": _FILE, "kinds": kinds}, "files": files}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (opened.path / "card.yaml").write_text(text, encoding="utf-8")
    return bundles.load(str(path))
