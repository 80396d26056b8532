"""Mutated models and arrays are read here: cards, bundles, graphs, learned noise, noise profiles and
rooms."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from auricle import config
from auricle.errors import StoredError
from auricle.gate import NoiseGate
from auricle.gate.noise import load_profile, save_profile
from auricle.hearing.ear import Ear
from auricle.hearing.room import MEMBERS, Room
from auricle.model import bundle
from auricle.service import overrides, pauses, rooms
from auricle.service.kept import UNUSABLE, Kept
from auricle.service.state import Learned
from auricle.service.trial import Trials
from auricle.teach import bank, heard
from helpers.bundles import made_up, with_heads
from helpers.fuzz import mutate
from helpers.fuzz.kind import Kind
from helpers.lessons import with_bank
from helpers.sounds import RATE, varied


def _model(folder: Path) -> tuple[Path, dict[str, Any], str]:
    """Copy a bundle; return where it is, its card, and the card as it is written."""
    path = folder / "esc10"
    shutil.copytree(bundle.find("esc10"), path)
    card = (path / "card.yaml").read_text(encoding="utf-8")
    return path, yaml.safe_load(card), card


def _linked(path: Path, folder: Path) -> Path:
    """Link the bundle's files into the case's own folder."""
    copy = folder / path.name
    copy.mkdir()
    for file in path.iterdir():
        os.link(file, copy / file.name)
    return copy


def _put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _load(path: Path) -> str:
    """Do all that is done with a model up to its first decision."""
    opened = bundle.load(str(path))
    Ear(opened, config.Decision(), config.Gate(), config.Publish()).warm()
    return opened.hash


def _card(chance: random.Random, folder: Path, seeds: tuple[Path, dict[str, Any], str]) -> str:
    path, card, text = seeds
    copy = _linked(path, folder)
    if chance.random() < 0.7:
        written = yaml.safe_dump(mutate.tree(chance, card), sort_keys=False).encode("utf-8", "surrogatepass")
    elif chance.random() < 0.8:
        written = mutate.text(chance, text).encode("utf-8", "surrogatepass")
    else:
        written = mutate.content(chance, text.encode(), len(text))
    _put(copy / "card.yaml", written)
    return _load(copy)


def _with_hashes(copy: Path, card: dict[str, Any], changed: str) -> None:
    digest = hashlib.sha256((copy / changed).read_bytes()).hexdigest()
    _put(copy / "card.yaml", yaml.safe_dump({**card, "files": {**card["files"], changed: digest}}).encode())


def _bundle(chance: random.Random, folder: Path, seeds: tuple[Path, dict[str, Any], str]) -> str:
    """Load a bundle with golden vectors or files that are none, links, pipes, folders, and names that lead
    elsewhere."""
    path, card, _ = seeds
    copy = _linked(path, folder)
    victim = chance.choice(list(card["files"]))
    match chance.randrange(6):
        case 0 | 1 | 2:
            _put(copy / "golden.npz", _arrays(chance, (copy / "golden.npz").read_bytes()))
            _with_hashes(copy, card, "golden.npz")
        case 3:
            (copy / victim).unlink()
            match chance.randrange(4):
                case 0:
                    (copy / victim).symlink_to(chance.choice(("/dev/zero", "/etc/passwd", victim, path / victim)))
                case 1:
                    os.mkfifo(copy / victim)
                case 2:
                    (copy / victim).mkdir()
        case 4:
            _put(copy / victim, mutate.content(chance, (copy / victim).read_bytes()))
        case 5:
            name = chance.choice(
                ("../x", "/dev/zero", ".", "..", "", "a/b", "a\x00b", "x" * 300, "\udcff", "card.yaml")
            )
            _put(copy / "card.yaml", yaml.safe_dump({**card, "files": {**card["files"], name: "0" * 64}}).encode())
    return _load(copy)


def _taught(folder: Path) -> tuple[Path, dict[str, Any], str]:
    """Make a bundle with labels behind its embedding."""
    path = with_heads(made_up(folder / "house", {"siren": [1000.0]}, embedding=0), {"gate": [2000.0], "pump": [500.0]})
    return path, yaml.safe_load((path / "card.yaml").read_text()), ""


def _heads(chance: random.Random, folder: Path, seeds: tuple[Path, dict[str, Any], str]) -> str:
    path, card, _ = seeds
    copy = _linked(path, folder)
    _put(copy / "heads.npz", _arrays(chance, (copy / "heads.npz").read_bytes()))
    _with_hashes(copy, card, "heads.npz")
    return _load(copy)


def _with_bank(folder: Path) -> tuple[Path, dict[str, Any], str]:
    """Make a bundle with background to teach the difference from."""
    path = made_up(folder / "house", {"siren": [1000.0]}, embedding=0)
    size = bundle.card_of(str(path)).embedding.size  # type: ignore[union-attr]
    embeddings = np.random.default_rng(0).integers(-128, 128, (30, size)).astype(np.int8)
    with_bank(path, embeddings, ["rain", "wind", "tones"] * 10)
    return path, yaml.safe_load((path / "card.yaml").read_text()), ""


def _bank(chance: random.Random, folder: Path, seeds: tuple[Path, dict[str, Any], str]) -> str:
    path, card, _ = seeds
    copy = _linked(path, folder)
    _put(copy / "bank.npz", _arrays(chance, (copy / "bank.npz").read_bytes()))
    _with_hashes(copy, card, "bank.npz")
    held = bank.of(bundle.load(str(copy)))
    assert held.embeddings.shape[0] == len(held.kinds)
    return f"{len(held.kinds)} of background"


def _graph(chance: random.Random, folder: Path, seeds: tuple[Path, dict[str, Any], str]) -> str:
    """Let a mutated graph be read by C++, as the daemon does it: in a child, under its limits."""
    path, card, _ = seeds
    copy = _linked(path, folder)
    name = chance.choice(("model.tflite", "stream.tflite"))
    _put(copy / name, mutate.content(chance, (copy / name).read_bytes(), chance.choice((64, 2000, 10**6))))
    _with_hashes(copy, card, name)
    return _load(copy)


def _arrays(chance: random.Random, good: bytes) -> bytes:
    """Return an ``.npz`` with bytes struck, or with other members, shapes and types."""
    if chance.random() < 0.5:
        return mutate.content(chance, good, chance.choice((mutate.HEAD, len(good))))
    with np.load(io.BytesIO(good)) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    name = chance.choice(list(arrays))
    array = arrays[name]
    match chance.randrange(8):
        case 0:
            arrays[name] = array.astype(chance.choice(("<f2", ">f8", "?", "U3", "i1", "u8", "c8", "O", "M8[s]")))
        case 1:
            arrays[name] = array.reshape(chance.choice(((-1,), (1, -1), (-1, 1, 1))))
        case 2:
            arrays[name] = array[..., :0] if array.ndim else np.empty(0)
        case 3:
            special = np.array(chance.choice((0, -1, 1e30, np.nan, np.inf, -(2.0**63))))
            with np.errstate(invalid="ignore"):
                arrays[name] = np.where(
                    np.random.default_rng(chance.randrange(99)).random(array.shape) < 0.5, special, array
                )
        case 4:
            arrays[name] = np.zeros((20_000_000,), np.int8) if chance.random() < 0.3 else np.repeat(array, 3)
        case 5:
            del arrays[name]
        case 6:
            arrays[chance.choice(("x", "../x", "é"))] = array
        case 7:
            arrays = {name: np.array(chance.choice((0, 1.5, "x", None)), dtype=object) for name in arrays}
    out = io.BytesIO()
    (np.savez_compressed if chance.random() < 0.5 else np.savez)(out, **arrays)
    if chance.random() < 0.2:
        with warnings.catch_warnings(), zipfile.ZipFile(out, "a") as archive:
            warnings.simplefilter("ignore")  # of a name that is there already
            archive.writestr(chance.choice(("a.npy", "mean_db.npy", "noise.npy")), chance.randbytes(40))
    return out.getvalue()


def _learned_gate() -> NoiseGate:
    return NoiseGate(sample_rate=RATE, n_fft=512, hop_length=160)


def _states(folder: Path) -> tuple[bytes, bytes]:
    """Write a learned noise and a noise profile; return the bytes of both."""
    gate = _learned_gate()
    gate.process(np.random.default_rng(0).exponential(1e-4, (2000, 257)).astype(np.float32))
    Learned(folder).save("x-0", gate)
    save_profile(folder / "profile.npz", varied(1.0) * np.float32(0.01), RATE)
    return (folder / "x-0.npz").read_bytes(), (folder / "profile.npz").read_bytes()


def _state(chance: random.Random, folder: Path, seeds: tuple[bytes, bytes]) -> str:
    learned, profile = seeds
    gate = _learned_gate()
    if chance.random() < 0.4:
        (folder / "profile.npz").write_bytes(_arrays(chance, profile))
        noise = load_profile(folder / "profile.npz", RATE)
        gate = NoiseGate(sample_rate=RATE, n_fft=512, hop_length=160, noise_profile=noise)
    elif chance.random() < 0.2:
        (folder / "models").write_bytes(mutate.content(chance, b"0123456789ab\n" * 20))
        opened = bundle.load("esc10")
        Trials(folder / "models")._keep([*Trials(folder / "models")._known(), opened.hash])
        assert opened.hash in Trials(folder / "models")._known()
    elif chance.random() < 0.2:
        (folder / "paused.json").write_bytes(mutate.content(chance, b'{"hall": 1772346600000000, "porch": null}'))
        return f"{len(pauses.read(folder / 'paused.json'))} paused"
    elif chance.random() < 0.2:
        overrides.write(folder / "set.yaml", overrides.Kept({"porch": {"rain": 0.7}}, {"porch": {}}))
        (folder / "set.yaml").write_bytes(mutate.content(chance, (folder / "set.yaml").read_bytes()))
        return f"{len(overrides.read(folder / 'set.yaml').thresholds)} sources with thresholds"
    else:
        (folder / "x-0.npz").write_bytes(_arrays(chance, learned))
        Learned(folder).restore("x-0", gate)
        Learned(folder).save("x-0", gate)
    power = np.random.default_rng(1).exponential(1e-4, (50, 257)).astype(np.float32)
    assert np.isfinite(gate.process(power)).all()
    return "learned" if gate.learned else "nothing learned"


def _with_room(folder: Path) -> tuple[Path, bytes]:
    """Make a bundle, and a room that was heard through it; return where the one is, and the bytes of the other."""
    path = made_up(folder / "house", {"siren": [1000.0]}, embedding=0)
    size = bundle.card_of(str(path)).embedding.size  # type: ignore[union-attr]
    file = io.BytesIO()
    embeddings = np.random.default_rng(0).integers(-128, 128, (30, size)).astype(np.int8)
    np.savez(file, embeddings=embeddings, times=1_772_346_600_000_000 + np.arange(30))
    return path, file.getvalue()


def _room(chance: random.Random, folder: Path, seeds: tuple[Path, bytes]) -> str:
    """Read a room as the daemon does at its start, and as `auricle teach` does."""
    path, content = seeds
    opened = bundle.load(str(path))
    assert opened.trunk is not None
    assert opened.card.embedding is not None
    name = rooms.name_of("porch", opened.trunk)
    (folder / f"{name}.npz").write_bytes(_arrays(chance, content))
    kept, room = Kept(folder, "remembered room"), Room(opened.trunk)
    try:
        known = kept.read(name, MEMBERS)
        assert known is not None
        room.restore(known, opened.card.embedding.size)
    except UNUSABLE as e:
        kept.refuse(name, e)
        assert heard.read(folder, opened) is None
        raise StoredError(str(e)) from None
    kept.write(name, room.known)
    found = heard.read(folder, opened)
    assert found is not None
    assert len(found) == len(room)
    return found.line(np.ones(len(found), np.bool_))[:20]


CARD = Kind(_model, _card)
BUNDLE = Kind(_model, _bundle)
HEADS = Kind(_taught, _heads)
BANK = Kind(_with_bank, _bank)
GRAPH = Kind(_model, _graph, may_die=True)
STATE = Kind(_states, _state)
ROOM = Kind(_with_room, _room)
