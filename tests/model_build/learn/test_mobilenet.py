"""The pretrained network: AudioSet's words on recordings, the plain formula on random weights, errors in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle.errors import EXIT_CONFIG, ConfigError
from auricle.features import front_end

pytest.importorskip("tensorflow", reason="missing here: the build extra")

import tensorflow as tf

from auricle_build.grammar import read as recipes
from auricle_build.learn import mobilenet
from auricle_build.learn.mobilenet import BLOCKS, CENTRE, EPSILON, LAST, SPREAD
from auricle_build.learn.pretrained import classes
from auricle_build.material import sound
from helpers import pretrained

HOME = yaml.safe_load((recipes.PACKAGED / "home.yaml").read_text(encoding="utf-8"))["network"]

SAID = {
    "esc50/keyboard_typing/1-137-A.ogg": ("Computer keyboard", 0.92),
    "esc50/crow/1-39835-A.ogg": ("Crow", 0.83),
    "esc10/rain/1-21189-A.ogg": ("Rain", 0.52),
}
"""What was measured of a recording; a library of another version may resample a little differently."""


def logits(weights: dict[str, Any], x: Any, blocks: int) -> tuple[Any, Any]:
    """Embedding and AudioSet's logits of windows, the trunk parted after so many blocks."""
    below = mobilenet.lower(weights, x.shape[2], blocks)
    above = mobilenet.upper(weights, below.output, blocks)
    embedding = above(below(x))
    return embedding.numpy(), mobilenet.audioset(weights, embedding.shape[1])(embedding).numpy()


@pytest.fixture(scope="module")
def real(data_folder: Path, require: Callable[[bool, str], None]) -> tuple[dict[str, Any], list[str]]:
    """The weights that the recipe `home` begins from, with the names of the classes."""
    path, table = data_folder / HOME["weights"], data_folder / HOME["classes"]
    require(path.is_file() and table.is_file(), f"{path.name} and {table.name} in {path.parent.name}")
    return mobilenet.read(path, HOME["sha256"]), classes(table)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Random weights as PyTorch has them, and as they are read."""
    drawn = pretrained.drawn()
    return drawn, mobilenet.read(*pretrained.write(tmp_path_factory.mktemp("weights"), drawn))


@pytest.fixture(scope="module")
def windows() -> Any:
    """Windows of natural log-mel: from the offset, 1e-5, to what is loud."""
    rng = np.random.default_rng(1)
    return rng.uniform(np.log(1e-5), 5.0, (2, 64, pretrained.BANDS)).astype(np.float32)


def plain(weights: dict[str, Any], rows: Any) -> Any:
    """The network as its authors write it: (n, bands, time, channels), plain hard-swish, PyTorch's weights; AudioSet's
    logits."""

    def swish(y: Any) -> Any:
        return y * np.clip(y + 3.0, 0.0, 6.0) / 6.0

    def relu(y: Any) -> Any:
        return np.maximum(y, 0.0)

    def convolution(y: Any, where: str, step: int = 1) -> Any:
        kernel = weights[f"{where}.0.weight"].transpose(2, 3, 1, 0)
        side = kernel.shape[0] // 2
        y = np.pad(y, ((0, 0), (side, side), (side, side), (0, 0)))
        if kernel.shape[2] == 1 and y.shape[3] > 1:
            y = tf.nn.depthwise_conv2d(y, kernel.transpose(0, 1, 3, 2), [1, step, step, 1], "VALID").numpy()
        else:
            y = tf.nn.conv2d(y, kernel, step, "VALID").numpy()
        gamma, beta, mean, variance = (
            weights[f"{where}.1.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
        )
        return (y - mean) / np.sqrt(variance + EPSILON) * gamma + beta

    def dense(y: Any, where: str) -> Any:
        return y @ weights[f"{where}.weight"].T + weights[f"{where}.bias"]

    x = (rows.transpose(0, 2, 1)[..., None] - CENTRE) / SPREAD
    x = swish(convolution(x, "features.0", 2))
    for i, block in enumerate(BLOCKS, start=1):
        where, activation, before, part = f"features.{i}.block", swish if block.hard_swish else relu, x, 0
        if i > 1:
            x, part = activation(convolution(x, f"{where}.0")), 1
        x = activation(convolution(x, f"{where}.{part}", block.step))
        if block.squeezed:
            part += 1
            fc = f"{where}.{part}.conc_se_layers.0"
            narrow = relu(dense(x.mean(axis=(1, 2)), f"{fc}.fc1"))
            x = x * tf.sigmoid(dense(narrow, f"{fc}.fc2")).numpy()[:, None, None]
        x = convolution(x, f"{where}.{part + 1}")
        if block.step == 1 and x.shape == before.shape:
            x = x + before
    means = swish(convolution(x, f"features.{LAST}")).mean(axis=(1, 2))
    return dense(swish(dense(means, "classifier.2")), "classifier.5")


@pytest.mark.parametrize("path", SAID)
def test_it_says_what_audioset_says(path: str, data: Path, real: tuple[dict[str, Any], list[str]]) -> None:
    """Through Auricle's own front end a keyboard, a crow and rain are among the best three of 527, with the score that
    was measured, within 0.1."""
    weights, names = real
    rows = front_end(**pretrained.FRONT_END).process(sound.load(data / path, 16000))
    scores = 1.0 / (1.0 + np.exp(-logits(weights, rows[None], 0)[1][0]))
    best = [names[i] for i in scores.argsort()[:-4:-1]]
    name, score = SAID[path]
    assert name in best
    assert scores[names.index(name)] == pytest.approx(score, abs=0.1)


def test_made_up_weights_are_shaped_as_the_real(real: tuple[dict[str, Any], list[str]]) -> None:
    """What tests without the real weights draw has their names and shapes; labels of `home` rest on real classes."""
    weights, names = real
    assert {name: value.shape for name, value in weights.items()} == {
        name: mobilenet._turned(name, value).shape for name, value in pretrained.drawn().items()
    }
    labels = yaml.safe_load((recipes.PACKAGED / "home.yaml").read_text(encoding="utf-8"))["labels"]
    assert {name for label in labels for name in label["audioset"]} <= set(names)


def test_it_equals_the_plain_formula(
    made_up: tuple[dict[str, Any], dict[str, Any]], windows: Any, whole: tuple[Any, Any]
) -> None:
    """Scale of log-mel, sixths of hard-swish and normalisations folded into kernels change no logit by more than float
    rounding: 2e-4 of what the logits vary by."""
    expected = plain(made_up[0], windows)
    assert np.std(expected) > 0.3
    assert np.abs(expected[0] - expected[1]).max() > 0.01, "the windows are told apart"
    np.testing.assert_allclose(whole[1], expected, rtol=0, atol=2e-4 * np.std(expected))


@pytest.fixture(scope="module")
def whole(made_up: tuple[dict[str, Any], dict[str, Any]], windows: Any) -> tuple[Any, Any]:
    """Embedding and logits of the made-up network."""
    return logits(made_up[1], windows, 0)


@pytest.mark.parametrize("blocks", [1, 5, 12, 15])
def test_it_may_be_parted_anywhere(
    made_up: tuple[dict[str, Any], dict[str, Any]], windows: Any, whole: tuple[Any, Any], blocks: int
) -> None:
    """However many blocks stay frozen below, embedding and logits are the same, within float rounding (1e-5)."""
    _, weights = made_up
    for found, expected in zip(logits(weights, windows, blocks), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_some_classes_are_those_of_all(made_up: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The logits of a few classes by themselves are theirs among all 527."""
    _, weights = made_up
    embedding = np.random.default_rng(2).normal(0.0, 1.0, (3, 384)).astype(np.float32)
    head, used = mobilenet.audioset(weights, 384), np.asarray([0, 7, 526])
    found = mobilenet.classes_of(head, tf.constant(embedding), used)
    np.testing.assert_allclose(found, head(embedding).numpy()[:, used], rtol=0, atol=1e-5)


def refused(path: Path, sha256: str) -> str:
    """The one line that is said of a file of weights."""
    with pytest.raises(ConfigError) as caught:
        mobilenet.read(path, sha256)
    assert caught.value.exit_code == EXIT_CONFIG
    (line,) = caught.value.lines()
    assert str(path) in line
    return line


def test_other_weights_are_one_line(tmp_path: Path) -> None:
    """A file that is not there, another file, and one that lacks a weight: where, what, and what to use."""
    assert "cannot be read: No such file" in refused(tmp_path / "none.npz", "0" * 64)
    drawn = pretrained.drawn(0.1)
    del drawn["features.16.1.bias"], drawn["classifier.5.bias"]
    path, sha256 = pretrained.write(tmp_path, drawn)
    assert f"SHA-256 is {sha256}, the recipe's network.sha256 {'0' * 64}; use" in refused(path, "0" * 64)
    assert "holds no 'classifier.5.bias' (2 weights are missing); use mn04's" in refused(path, sha256)


def test_another_table_of_classes_is_one_line(tmp_path: Path) -> None:
    """Too few classes, another column, another kind of file, none: each names the file."""
    assert classes(pretrained.class_table(tmp_path))[:3] == ["Beep, bleep", "Clicking", "Siren"]
    path = tmp_path / "classes.csv"
    for content, said in (
        (b"index,display_name\n0,Speech\n", "1 classes; AudioSet's table has 527"),
        (b"index,name\n0,Speech\n", "cannot be read as the table of AudioSet's classes: "),
        (b"display_name\n\xff\xfe\n", "cannot be read as the table of AudioSet's classes: "),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            classes(path)
        (line,) = caught.value.lines()
        assert f"{path}: {said}" in line
    with pytest.raises(ConfigError, match="No such file"):
        classes(tmp_path / "none.csv")
