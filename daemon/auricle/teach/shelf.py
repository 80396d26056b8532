"""Bundles with labels of somebody's own stand in the folder of models: a new label is on it whole, or not at all.

The card is what counts: it names the file of the heads by its hash, so that a new one lies beside the old one until a
new card takes the place of the old card, in one step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from auricle.adopt.golden import write_card
from auricle.errors import ModelError
from auricle.model import bundle as bundles
from auricle.model import heads
from auricle.model.bundle import Bundle
from auricle.model.heads import Heads
from auricle.teach.embedding import Trunk
from auricle.teach.lesson import Taught

_BY_LABEL = ("thresholds", "hystereses", "measured")
ENDING = "-taught"


def name_of(model: str) -> str:
    """Return the name of the bundle that carries the labels taught upon a model."""
    return model if model.endswith(ENDING) else model + ENDING


def labels(bundle: Bundle) -> tuple[str, ...]:
    """Return the labels that were taught."""
    return () if bundle.card.heads is None else tuple(bundle.card.heads.labels)


def trunk_of(bundle: Bundle) -> tuple[str, str]:
    """Return the model upon which labels were taught, and the hash of its network."""
    told = bundle.raw.get("taught", {})
    return str(told.get("trunk", bundle.card.name)), bundle.card.files["model.tflite"]


def newer(bundle: Bundle) -> str | None:
    """Return the model that labels were taught upon if it ships with another network by now."""
    name, network = trunk_of(bundle)
    shipped = bundles.PACKAGED / name
    if not labels(bundle) or not (shipped / "card.yaml").is_file():
        return None
    return name if bundles.card_of(str(shipped)).files["model.tflite"] != network else None


def put(bundle: Bundle, label: str, taught: Taught, about: Mapping[str, Any], target: Path) -> Bundle:
    """Put a label that was taught behind a bundle's network, in place of one of the same name.

    Args:
        bundle: which it was taught upon.
        about: what the card says of it, for people and to teach it again.
        target: the bundle's folder; if it is there, it holds the same network.

    Raises:
        ModelError: it cannot be written, or does not hold; then what was there is as it was.
    """
    left = _without(bundle, [label])
    golden = Trunk(bundle).golden()
    kept = _kept(bundle, left["heads"]["labels"] if "heads" in left else [])
    rows, steps = heads.on_a_grid(taught.weights[None])
    parts = [kept] if kept is not None else []
    own = Heads(rows, steps, np.array([taught.bias]), golden, np.empty((0, 1), np.float32))
    held = [*parts, own]
    clips = taught.golden if kept is None else np.concatenate((kept.embeddings[len(golden) :], taught.golden))
    joined = _scored(held, np.concatenate((golden, clips)))
    names = [*(left["heads"]["labels"] if kept is not None else []), label]
    rules = {
        "thresholds": round(taught.judged.threshold, 4),
        "hystereses": round(taught.hysteresis, 4),
        "measured": f"taught from {len(about['clips'])} clips; {taught.judged.recall:.0%} at one false alarm an hour",
    }
    card = {**left, "labels": [*left["labels"], label]}
    card |= {key: {**card.get(key, {}), label: value} for key, value in rules.items()}
    lags = {**card["timing"].get("lags", {}), label: list(taught.lags)}
    card["timing"] = {**card["timing"], "lags": lags}
    told = card.get("taught", {"trunk": bundle.card.name, "labels": {}})
    card["taught"] = {**told, "labels": {**told["labels"], label: dict(about)}}
    return _write(bundle, card, names, joined, target)


def forget(bundle: Bundle, label: str) -> Bundle | None:
    """Take a label away; with the last one the bundle goes, and `None` is returned.

    Raises:
        ModelError: it cannot be written; then what was there is as it was.
    """
    card = _without(bundle, [label])
    names = [name for name in labels(bundle) if name != label]
    if not names:
        try:
            shutil.rmtree(bundle.path)
        except OSError as e:
            raise ModelError(f"{e.filename or bundle.path}: {e.strerror}") from None
        return None
    kept = _kept(bundle, names)
    assert kept is not None
    return _write(bundle, card, names, kept, bundle.path)


def _without(bundle: Bundle, gone: Sequence[str]) -> dict[str, Any]:
    """Return a card without these labels among the taught ones."""
    card = {**bundle.raw}
    names = [name for name in labels(bundle) if name not in gone]
    gone = [name for name in labels(bundle) if name in gone]
    card["labels"] = [name for name in card["labels"] if name not in gone]
    for key in _BY_LABEL:
        card[key] = {name: value for name, value in card.get(key, {}).items() if name not in gone}
    lags = {name: value for name, value in card["timing"].get("lags", {}).items() if name not in gone}
    card["timing"] = {**card["timing"], "lags": lags}
    if "taught" in card:
        told = {name: value for name, value in card["taught"]["labels"].items() if name not in gone}
        card["taught"] = {**card["taught"], "labels": told}
    if bundle.card.heads is not None:
        card["files"] = {name: value for name, value in card["files"].items() if name != bundle.card.heads.file}
        card["heads"] = {"labels": names}
    return card


def _kept(bundle: Bundle, names: Sequence[str]) -> Heads | None:
    """Return the heads of these labels alone."""
    if bundle.heads is None or not names:
        return None
    held, places = bundle.heads, [labels(bundle).index(name) for name in names]
    scores = np.ascontiguousarray(held.scores[:, places])
    return Heads(held.weights[places], held.steps[places], held.biases[places], held.embeddings, scores)


def _scored(parts: Sequence[Heads], embeddings: np.ndarray[Any, np.dtype[np.int8]]) -> Heads:
    """Join heads, and give them their golden answers."""
    joined = Heads(
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.biases for part in parts]),
        embeddings,
        np.empty((0, 0), np.float32),
    )
    return dataclasses.replace(joined, scores=np.stack([joined(each) for each in embeddings]))


def _write(bundle: Bundle, card: dict[str, Any], names: Sequence[str], held: Heads, target: Path) -> Bundle:
    content = heads.packed(held)
    digest = hashlib.sha256(content).hexdigest()
    file = f"heads-{digest[:12]}.npz"
    card["heads"] = {"file": file, "labels": list(names)}
    card["files"] = {**card["files"], file: digest}
    card["name"] = target.name
    with _beside(target) as folder:
        new = folder / target.name
        new.mkdir()
        for name in card["files"]:
            if name != file:
                shutil.copyfile(bundle.path / name, new / name)
        (new / file).write_bytes(content)
        write_card(new, card)
        bundles.load(str(new))
        for path in new.iterdir():
            with path.open("rb") as written:
                os.fsync(written.fileno())
        _take_the_place(new, target, file)
    return bundles.load(str(target))


def _take_the_place(new: Path, target: Path, file: str) -> None:
    """Let a bundle take the place of another, or of nothing."""
    if not target.exists():
        new.rename(target)
        return
    old = bundles.card_of(str(target))
    if old.files["model.tflite"] != bundles.card_of(str(new)).files["model.tflite"]:
        aside = new.with_name("before")
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        return
    (new / file).replace(target / file)
    (new / "card.yaml").replace(target / "card.yaml")
    if old.heads is not None and old.heads.file != file:
        with suppress(OSError):  # it is in nobody's way
            (target / old.heads.file).unlink()


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Lend a folder on the disk where the bundle is to stay; it is gone afterwards."""
    folder: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".teaching-", dir=target.parent))
        yield folder
    except OSError as e:
        raise ModelError(f"{target}: cannot be written: {e.strerror or e}; what was there is as it was") from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
