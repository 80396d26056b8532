"""What a pretrained network knows is where labels begin, and what it is held to while it learns them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="missing here: the build extra")

import tensorflow as tf

from auricle_build.learn import mobilenet
from auricle_build.learn.pretrained import BELIEVED, DOUBTED, SHIFT, Pretrained
from auricle_build.learn.soundscapes import Windows
from helpers import pretrained

RESTING = [[3], [500, 7, 12], [7, 0]]
TAUGHT = [True, True, False]
N = 6


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Random ones, of a narrow network."""
    return mobilenet.read(*pretrained.write(tmp_path_factory.mktemp("weights"), pretrained.drawn(0.1)))


def network(weights: dict[str, Any], hold: float = 1.0, single: float = 0.0) -> Pretrained:
    """An untouched network of three labels, the last of them without recordings."""
    return Pretrained(
        weights, pretrained.BANDS, RESTING, TAUGHT, frozen_blocks=5, trunk_rate=0.15, hold=hold, single=single
    )


@pytest.fixture(scope="module")
def batch() -> Windows:
    """Windows of which the last two have one label, the first has none."""
    rng = np.random.default_rng(4)
    x = rng.uniform(np.log(1e-5), 5.0, (N, 48, pretrained.BANDS)).astype(np.float32)
    y = np.asarray([[0, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    weight = np.tile(np.asarray([1.0, 0.5, 0.25], np.float32), (N, 1))
    return Windows(x, y, weight)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


def loss(of: Pretrained, batch: Windows) -> float:
    return float(of.objective(batch, 0)[0])


def test_before_the_first_step_a_label_says_what_audioset_says(weights: dict[str, Any], batch: Windows) -> None:
    """Its logit is the highest of its classes' and SHIFT, to the bit: nothing of its own is in it yet."""
    made = network(weights)
    logits, known = (part.numpy() for part in made.logits(made.embedding(batch.x)))
    assert known.shape == (N, 527)
    expected = np.stack([known[:, mine].max(axis=1) for mine in RESTING], axis=1) + np.float32(SHIFT)
    np.testing.assert_array_equal(logits, expected, strict=True)


def test_what_was_not_moved_costs_nothing_to_hold(weights: dict[str, Any], batch: Windows) -> None:
    """Of an untouched network AudioSet's part of the loss is 0, whatever its weight; of one that has moved, it is the
    relative entropy of its outputs."""
    free, held = network(weights, hold=0.0), network(weights, hold=1000.0)
    assert loss(free, batch) == loss(held, batch)
    for made in (free, held):
        offset = made.audioset.get_layer("classes").offset
        offset.assign(offset + tf.one_hot(100, 527))  # a class that no label rests on
    moved = (loss(held, batch) - loss(free, batch)) / 1000.0
    before = network(weights)
    _, known = before.logits(before.embedding(batch.x))
    was, now = sigmoid(known[:, 100]), sigmoid(known[:, 100] + 1.0)
    entropy = was * np.log(was / now) + (1 - was) * np.log((1 - was) / (1 - now))
    assert moved == pytest.approx(entropy.mean(), rel=0.01)


def test_labels_without_recordings_learn_audiosets_word(weights: dict[str, Any], batch: Windows) -> None:
    """A label that has recordings is pulled to what is in the windows, one without to the untouched network's word."""
    made = network(weights)
    made.shift.assign([SHIFT, SHIFT, SHIFT + 2.0])
    with tf.GradientTape() as tape:
        told, _ = made.objective(batch, 0)
    found = tape.gradient(told, made.shift).numpy()
    logits, known = (part.numpy() for part in made.logits(made.embedding(batch.x)))
    word = sigmoid(np.stack([known[:, mine].max(axis=1) for mine in RESTING], axis=1) + SHIFT)
    target = np.where(TAUGHT, batch.y, word)
    doubted = np.where(TAUGHT & (batch.y < 0.5) & (word > BELIEVED), DOUBTED, 1.0)
    assert (doubted == DOUBTED).any(), "some absence is doubted"
    expected = ((sigmoid(logits) - target) * doubted * batch.weight).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found[2] > 0.0, "back to the word"
    otherwise = Windows(batch.x, batch.y + np.asarray([0, 0, 1], np.float32), batch.weight)
    assert loss(made, otherwise) == loss(made, batch), "no window teaches what has no recordings"


def test_an_only_label_is_told_from_those_that_have_recordings(weights: dict[str, Any], batch: Windows) -> None:
    """`single` adds a softmax over them, of windows with one label, as sure as the least sure of their labels."""
    made = network(weights)
    logits = np.asarray(made.logits(made.embedding(batch.x))[0], np.float64)[:, :2]
    among = np.log(np.exp(logits).sum(axis=1))
    expected = ((among[4] - logits[4, 0]) + (among[5] - logits[5, 1])) * 0.25 / N
    added = loss(network(weights, single=100.0), batch) - loss(made, batch)
    assert added / 100.0 == pytest.approx(expected, rel=1e-3)
    right = float(made.objective(batch, 0)[1])
    assert right == np.mean([logits[4].argmax() == 0, logits[5].argmax() == 1])


def learned(weights: dict[str, Any]) -> Pretrained:
    """A network with something of its own in every part of its labels."""
    made, rng = network(weights), np.random.default_rng(5)
    for v in (made.scale, made.shift, made.correction):
        v.assign_add(rng.normal(0.0, 0.3, v.shape).astype(np.float32))
    return made


def test_calibration_scales_and_shifts_the_logits(weights: dict[str, Any], batch: Windows) -> None:
    """Every label's logit becomes scale * logit + shift, correction and all, within float rounding."""
    made = learned(weights)
    embedding = made.embedding(batch.x)
    before, known = (part.numpy() for part in made.logits(embedding))
    scale, shift = np.asarray([0.5, 2.0, 1.0], np.float32), np.asarray([-1.0, 0.25, 0.0], np.float32)
    made.calibrate(scale, shift)
    after, same = (part.numpy() for part in made.logits(embedding))
    np.testing.assert_allclose(after, before * scale + shift, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(same, known)


def test_what_ships_is_what_was_trained(weights: dict[str, Any], batch: Windows) -> None:
    """Scores of the graph that ships, which computes no class that no label rests on, are the logits' sigmoids."""
    made = learned(weights)
    scores, embedding = made.outputs(batch.x)
    expected = made.embedding(batch.x)
    np.testing.assert_array_equal(embedding.numpy(), expected.numpy())
    np.testing.assert_allclose(scores, sigmoid(made.logits(expected)[0]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("blocks", [0, 15])
def test_frozen_blocks_are_not_trained(weights: dict[str, Any], blocks: int) -> None:
    """Only what lies above them changes, at the trunk's rate; the labels' own part at the full one; matrices decay."""
    made = Pretrained(
        weights, pretrained.BANDS, RESTING, TAUGHT, frozen_blocks=blocks, trunk_rate=0.15, hold=0.0, single=0.0
    )
    kernels = [v for v in made.trained if len(v.shape) == 4]
    assert len(kernels) == sum(3 - (i == 0) for i in range(blocks, 15)) + 1
    assert not made.lower.trainable_variables
    assert made.rates == [0.15] * (len(made.trained) - 3) + [1.0] * 3
    assert made.decayed[-3:] == [False, False, True]
    assert [len(v.shape) > 1 for v in made.trained] == made.decayed


def test_with_heads_alone_nothing_pretrained_changes(weights: dict[str, Any], batch: Windows) -> None:
    """What learns are the labels' scale, shift and correction; after steps the embedding and AudioSet's outputs are as
    they were, to the bit, and the loss is lower."""
    made = Pretrained(
        weights,
        pretrained.BANDS,
        RESTING,
        TAUGHT,
        frozen_blocks=5,
        head_only=True,
        trunk_rate=0.15,
        hold=1.0,
        single=0.5,
    )
    assert made.trained == [made.scale, made.shift, made.correction]
    assert (made.rates, made.decayed) == ([1.0] * 3, [False, False, True])
    embedding = made.embedding(batch.x)
    known = made.logits(embedding)[1]
    losses = []
    for step in range(5):
        with tf.GradientTape() as tape:
            loss, _ = made.objective(batch, step)
        losses.append(float(loss))
        for variable, gradient in zip(made.trained, tape.gradient(loss, made.trained), strict=True):
            variable.assign_sub(0.01 * gradient)
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(made.embedding(batch.x).numpy(), embedding.numpy())
    np.testing.assert_array_equal(made.logits(made.embedding(batch.x))[1].numpy(), known.numpy())
