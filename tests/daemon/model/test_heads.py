"""Labels behind the embedding are heard as the network's own, and change none of these."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle import config
from auricle.errors import ModelError
from auricle.hearing import pipeline
from auricle.hearing.hearer import Hearer
from auricle.hearing.whole import Classifier
from auricle.model import bundle, heads
from auricle.model.classifier import classifier
from helpers import laws, sounds
from helpers.bundles import made_up, tone, with_heads

TONES = {"siren": [1000.0], "whistle": [3000.0]}
OWN = {"gate": [1000.0], "pump": [5000.0]}


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    """A bundle with two labels of its own and two behind the embedding."""
    return with_heads(made_up(tmp_path / "house", TONES, embedding="embedding"), OWN)


def rows_of(of: bundle.Bundle, sound: np.ndarray) -> np.ndarray:
    """Feature rows."""
    return pipeline.front_end_of(of, config.Gate()).process(sound)


def test_the_networks_own_scores_are_the_same(tmp_path: Path, taught: Path) -> None:
    """With heads a bundle has more labels, and the scores of those before are the same to the bit."""
    plain = bundle.load(str(made_up(tmp_path / "plain", TONES, embedding="embedding")))
    house = bundle.load(str(taught))
    assert house.labels == (*TONES, *OWN)
    rows = rows_of(house, np.concatenate((tone(1000.0), sounds.varied(1.0), tone(5000.0))))
    given = classifier(house, 8).process(rows)
    np.testing.assert_array_equal(given[:, :2], classifier(plain, 8).process(rows))
    # This head is the network's own label again, but for the embedding's rounding to half a step of 0.5 dB.
    np.testing.assert_allclose(given[:, 2], given[:, 0], atol=0.02)
    assert given[:, 3].max() > 0.9 > 0.1 > given[:, 3].min()


@pytest.mark.parametrize("sizes", [[], [1] * 40, [7, 0, 100, 3]])
def test_the_laws_hold(taught: Path, sizes: list[int]) -> None:
    """However sound is cut, and whoever is heard beside it, a head's scores are the same to the bit."""
    house = bundle.load(str(taught))
    laws.hold(lambda: classifier(house, 8), rows_of(house, sounds.varied(2.0)), sizes)


def test_a_head_hangs_on_no_other(taught: Path) -> None:
    """A head alone scores as it does beside others."""
    held = bundle.load(str(taught)).heads
    assert held is not None
    alone = heads.Heads(held.weights[1:], held.steps[1:], held.biases[1:], held.embeddings, held.scores[:, 1:])
    for seed in range(50):
        embedding = np.random.default_rng(seed).integers(-128, 128, held.weights.shape[1]).astype(np.int8)
        assert alone(embedding)[0] == held(embedding)[1]


def test_its_events_are_reported(tmp_path: Path, taught: Path) -> None:
    """The daemon's rules decide upon it, and `classify` names it, as any label."""
    house = bundle.load(str(taught))
    sound = np.concatenate((tone(seconds=1.0), tone(5000.0, seconds=1.0), tone(seconds=1.0)))
    path = sounds.write(tmp_path / "pump.wav", sound)
    hearer = Hearer(house, config.Decision(), config.Gate())
    assert [event.label for event in hearer.decide(hearer.hear(str(path)))] == ["pump"]
    verdict = Classifier(house, config.Decision(), config.Gate()).verdict(str(path))
    assert verdict.label == "pump"


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Change the card, and return the line with which the bundle is refused."""
    raw = yaml.safe_load((folder / "card.yaml").read_text())
    change(raw)
    (folder / "card.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(ModelError) as caught:
        bundle.load(str(folder))
    (line,) = caught.value.lines()
    return line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw["heads"].update(labels=["pump", "gate"]), "are not the last of the labels"),
        (lambda raw: raw["heads"].update(labels=[]), "are not the last of the labels"),
        (lambda raw: raw["heads"].update(file="model.npz"), "'model.npz' is none of the files"),
        (lambda raw: raw.pop("embedding"), "there is no embedding for them"),
        (lambda raw: raw.update(keeps_state=True), "only whole windows have an embedding"),
        (
            lambda raw: raw.update(labels=[*TONES, "pump"], heads={"file": "heads.npz", "labels": ["pump"]}),
            "weights of",
        ),
    ],
)
def test_a_card_that_does_not_fit_is_refused(taught: Path, change: Any, said: str) -> None:
    """What a card says of heads must fit its labels, its network and its files."""
    assert said in changed(taught, change)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("weights", lambda a: a + np.int16(1), "golden embeddings are not scored as they were"),
        ("weights", lambda a: a.astype(np.int32), "must be int16"),
        ("biases", lambda a: a * np.nan, "biases that are no numbers"),
        ("embeddings", lambda a: a[:0], "scores of shape"),
        ("scores", lambda a: a.astype(np.int8), "not heads"),
    ],
)
def test_heads_that_do_not_hold_are_refused(taught: Path, name: str, value: Any, said: str) -> None:
    """Weights that give other scores than where they were taught, or are no weights, are refused though their hash is
    right."""
    with np.load(taught / "heads.npz") as held:
        arrays = {each: held[each] for each in held}
    file = io.BytesIO()
    np.savez(file, **{**arrays, name: value(arrays[name])})
    (taught / "heads.npz").write_bytes(file.getvalue())
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    assert said in changed(taught, lambda raw: raw["files"].update({"heads.npz": digest}))


def test_another_networks_embeddings_are_refused(taught: Path) -> None:
    """Heads that were taught on another network are refused: their answers to the golden windows are others."""
    held = heads.read(str(taught), (taught / "heads.npz").read_bytes(), bundle.card_of(str(taught)))
    others = [np.full(held.weights.shape[1], 127, np.int8)] * 2
    with pytest.raises(ModelError, match="scored otherwise than where it was taught"):
        heads.check_trunk("here", held, others, 2)
