"""A network may give an embedding of every window as a second output, which costs nobody who does not ask for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle import config
from auricle.errors import ModelError
from auricle.hearing import pipeline
from auricle.model import bundle
from auricle.model.classifier import classifier, embedder, window_classifier
from auricle.model.network import Network, dequantise, quantise
from helpers import laws
from helpers.bundles import BANDS, FRAMES, made_up, tone
from helpers.sounds import varied

TONES = {"siren": [1000.0], "whistle": [3000.0]}


def rows_of(of: bundle.Bundle, sound: np.ndarray) -> np.ndarray:
    """Feature rows."""
    return pipeline.front_end_of(of, config.Gate()).process(sound)


@pytest.mark.parametrize("named", ["embedding", "output_embedding", 0])
def test_it_is_found_by_name_signature_or_place(tmp_path: Path, named: str | int) -> None:
    """However the card names the second output, scores are the other one, to the bit those of a network without it."""
    house = bundle.load(str(made_up(tmp_path / "house", TONES, embedding=named)))
    plain = bundle.load(str(made_up(tmp_path / "plain", TONES)))
    assert house.card.embedding is not None
    rows = rows_of(house, np.concatenate((tone(1000.0), varied(2.0))))
    np.testing.assert_array_equal(window_classifier(house, 8).process(rows), window_classifier(plain, 8).process(rows))
    scores, embedding = Network(house.card, house.whole, "here").with_embedding(
        quantise(rows[:FRAMES], house.card.quantisation.input)
    )
    assert (scores.shape, embedding.shape, embedding.dtype) == ((2,), (BANDS,), np.int8)
    # This network's embedding is the mean of each band; int8 rounds it by half a step.
    given = dequantise(embedding, house.card.embedding)
    np.testing.assert_allclose(given, np.clip(rows[:FRAMES], -98, 29.5).mean(axis=0), atol=0.5)


@pytest.mark.parametrize("sizes", [[], [1] * 40, [7, 0, 100, 3]])
def test_embeddings_come_row_for_row_with_scores(tmp_path: Path, sizes: list[int]) -> None:
    """The stage of embeddings obeys the laws, and has a row for each of the scores."""
    house = bundle.load(str(made_up(tmp_path / "house", TONES, embedding="embedding")))
    rows = rows_of(house, varied(2.0))
    laws.hold(lambda: embedder(house, 8), rows, sizes)
    assert embedder(house, 8).process(rows).shape == (len(classifier(house, 8).process(rows)), BANDS)


def test_the_classifier_reads_scores_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearing costs nothing for the embedding: one run a window, and nothing but the scores is fetched."""
    house = bundle.load(str(made_up(tmp_path / "house", TONES, embedding="embedding")))
    stages = classifier(house, 8)
    network = stages.stages[-1]._network  # type: ignore[attr-defined]
    asked: list[int] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(network_interpreter, name)

        def get_tensor(self, index: int) -> Any:
            asked.append(index)
            return network_interpreter.get_tensor(index)

    network_interpreter = network._interpreter
    monkeypatch.setattr(network, "_interpreter", Watched())
    n = len(stages.process(rows_of(house, varied(1.0))))
    assert n > 5
    assert asked == [network._out] * n


def test_a_model_without_one_says_so(tmp_path: Path) -> None:
    """Asking for what is not there is one line."""
    plain = bundle.load(str(made_up(tmp_path / "plain", TONES)))
    with pytest.raises(ModelError, match="has no embedding"):
        embedder(plain, 8)
    with pytest.raises(ModelError, match="has no embedding"):
        Network(plain.card, plain.whole, "here").with_embedding(np.zeros((FRAMES, BANDS), np.int8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e.update(output="bottleneck"), "there is no output 'bottleneck'; use one of embedding, output_emb"),
        (lambda e: e.update(output=2), "there is no output 2; use 0 to 1, or a name"),
        (lambda e: e.update(output="scores"), "gives an embedding of 2; the card says 40"),
        (lambda e: e.update(size=384), "gives an embedding of 40; the card says 384"),
        (lambda e: e.update(size=0), "are not both above 0"),
        (lambda e: e.update(scale=0.25), "tensor 'embedding' is quantised with scale 0.5, zero point 68; the card"),
        (lambda e: e.update(zero_point=0), "tensor 'embedding' is quantised with scale 0.5, zero point 68; the card"),
        (lambda e: e.update(name="x"), "unknown key"),
    ],
)
def test_what_the_card_says_of_it_is_checked(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """Name, place, size and grid are compared with the graph before the first sample."""
    folder = made_up(tmp_path / "house", TONES, embedding="embedding")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    change(card["embedding"])
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(ModelError, match=rf"house/.*{said}"):
        bundle.load(str(folder))


def test_a_second_output_that_the_card_does_not_name_is_refused(tmp_path: Path) -> None:
    """Which of two outputs are scores is never guessed."""
    folder = made_up(tmp_path / "house", TONES, embedding="embedding")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    del card["embedding"]
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(ModelError, match="takes 1 and gives 2 tensors; use one of each, name an embedding in the card"):
        bundle.load(str(folder))
