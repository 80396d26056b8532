"""The stateful network gives what the whole-window network gives on every window, bit for bit in int8."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle import config
from auricle.capture.reader import Reader
from auricle.errors import ModelError
from auricle.hearing import pipeline
from auricle.model import bundle
from auricle.model.card import Affine, Card
from auricle.model.classifier import classifier, window_classifier
from auricle.model.streaming import StreamNetwork
from helpers import laws
from helpers.sounds import varied

HOPS = (4, 8, 12, 36, 200, 208)
"""Decision hops in frames: those that divide the window and those that do not, one as long and one longer than it."""


@pytest.fixture(scope="module")
def esc10() -> bundle.Bundle:
    """The default model."""
    return bundle.load("esc10")


@pytest.fixture(scope="module")
def rows(esc10: bundle.Bundle) -> np.ndarray:
    """Feature rows of sound that changes, with the extremes of int8 among them."""
    rows = pipeline.front_end_of(esc10, config.Gate()).process(varied(12.0))
    rows[300:340] = 1e6
    rows[500:520] = -1e6
    return rows


def compare(esc10: bundle.Bundle, rows: np.ndarray, hop: int) -> int:
    """Assert that both networks agree on every window; how many there were."""
    streamed = classifier(esc10, hop).process(rows)
    np.testing.assert_array_equal(streamed, window_classifier(esc10, hop).process(rows), strict=True)
    return len(streamed)


@pytest.mark.parametrize("hop", HOPS)
def test_every_window_gets_the_same_scores(esc10: bundle.Bundle, rows: np.ndarray, hop: int) -> None:
    """At any decision hop, score j is the int8 output of model.tflite on frames [jH, jH+T)."""
    timing = esc10.card.timing
    assert compare(esc10, rows, hop) == (len(rows) - timing.window_frames) // hop + 1


@pytest.mark.parametrize("hop", HOPS)
@given(sizes=st.lists(st.integers(0, 120), max_size=40))
@settings(max_examples=20, deadline=None)
def test_the_stateful_network_obeys_the_laws(
    esc10: bundle.Bundle, rows: np.ndarray, hop: int, sizes: list[int]
) -> None:
    """Cut, count and reset hold however the rows come; score j is there exactly when frame jH+T-1 is in."""
    laws.hold(lambda: classifier(esc10, hop), rows[:700], sizes)


def test_row_by_row_changes_nothing(esc10: bundle.Bundle, rows: np.ndarray) -> None:
    """Rows that come one by one, and none at all between them, give the same."""
    laws.hold(lambda: classifier(esc10, 8), rows[:300], [1, 0] * 150)


def test_sources_that_share_the_network_do_not_hear_each_other(esc10: bundle.Bundle, rows: np.ndarray) -> None:
    """Three sources in turn, in calls of different lengths and with a reset between, score as each would alone."""
    signals = [rows[:600], rows[100:700][::-1].copy(), rows[400:1000]]
    hops = (4, 8, 40)
    alone = [classifier(esc10, hop).process(signal) for hop, signal in zip(hops, signals, strict=True)]
    stages = [classifier(esc10, hop) for hop in hops]
    stages[1].process(signals[0])
    stages[1].reset()
    heard: list[list[np.ndarray]] = [[], [], []]
    rng = np.random.default_rng(6)
    at = [0, 0, 0]
    while min(at) < 600:
        i = int(rng.integers(3))
        n = int(rng.integers(0, 90))
        heard[i].append(stages[i].process(signals[i][at[i] : at[i] + n]))
        at[i] += n
    for parts, whole in zip(heard, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_real_clips_agree(esc10: bundle.Bundle, data: Path) -> None:
    """On recordings of every class of ESC-10, with the gate and without, after one another through one network."""
    by_label = {clip.parent.name: clip for clip in sorted((data / "esc10").glob("*/*.ogg"))}
    assert len(by_label) == 10
    for enabled in ("off", "on"):
        front = pipeline.front_end_of(esc10, config.Gate(enabled=enabled))
        for clip in by_label.values():
            front.reset()
            blocks = Reader(str(clip), esc10.card.front_end.sample_rate).blocks(pipeline.block_samples(esc10))
            heard = np.concatenate([front.process(block) for block in blocks])
            assert compare(esc10, heard, 16) > 15


@pytest.mark.soak
def test_an_hour_of_real_sound_agrees(esc10: bundle.Bundle, data: Path) -> None:
    """Over an hour without a reset nothing drifts: every window of it agrees, in calls of any length."""
    stream, window = classifier(esc10, 16), window_classifier(esc10, 16)
    front = pipeline.front_end_of(esc10, config.Gate(enabled="on"))
    clips = sorted((data / "esc10").glob("*/*.ogg")) + sorted((data / "ambient").rglob("*.ogg"))
    rng = np.random.default_rng(7)
    windows = frames = 0
    while frames < 360_000:
        clip = clips[int(rng.integers(len(clips)))]
        for block in Reader(str(clip), esc10.card.front_end.sample_rate).blocks(int(rng.integers(100, 9000))):
            rows = front.process(block)
            frames += len(rows)
            scores = stream.process(rows)
            windows += len(scores)
            np.testing.assert_array_equal(scores, window.process(rows), strict=True)
    assert windows > 22_000
    print(f"{windows} windows of {frames / 6000:.1f} minutes agree")


def test_without_a_stateful_network_whole_windows_are_scored(esc10: bundle.Bundle, rows: np.ndarray) -> None:
    """A model whose card says streaming: false is heard all the same, at any hop."""
    card = dataclasses.replace(esc10, stream=None)
    np.testing.assert_array_equal(classifier(card, 8).process(rows), classifier(esc10, 8).process(rows))


def _spoilt(esc10: bundle.Bundle, **stream: object) -> Card:
    assert esc10.card.stream is not None
    return msgspec.structs.replace(esc10.card, stream=msgspec.structs.replace(esc10.card.stream, **stream))


def test_a_graph_that_is_not_what_the_card_says_is_refused(esc10: bundle.Bundle) -> None:
    """Names, shapes and scales are compared before the first sample, and the error says which and where."""
    assert esc10.card.stream is not None
    assert esc10.stream is not None
    first, *others = esc10.card.stream.states
    wrong = {
        "differ in tensors: nothing": _spoilt(esc10, output="nothing"),
        "the card says": _spoilt(esc10, states=[msgspec.structs.replace(first, shape=[1, 3, 64, 1]), *others]),
        "differ in tensors: conv_0": _spoilt(esc10, states=others),
        "quantised with scale": msgspec.structs.replace(
            esc10.card,
            quantisation=msgspec.structs.replace(esc10.card.quantisation, output=Affine(0.5, 0)),
        ),
    }
    for message, card in wrong.items():
        with pytest.raises(ModelError, match=rf"^here: .*{message}"):
            StreamNetwork(card, esc10.stream, "here")
    with pytest.raises(ModelError, match=r"^here: not a TFLite model"):
        StreamNetwork(esc10.card, b"nothing", "here")


def test_a_stateful_network_that_disagrees_is_refused(esc10: bundle.Bundle, tmp_path: Path) -> None:
    """A stream.tflite of other weights is refused at loading, whatever its hash says."""
    assert esc10.stream is not None
    folder = tmp_path / "other"
    shutil.copytree(esc10.path, folder)
    content = bytearray(esc10.stream)
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    (folder / "stream.tflite").write_bytes(content)
    card = (folder / "card.yaml").read_text()
    was, now = (hashlib.sha256(c).hexdigest() for c in (esc10.stream, content))
    (folder / "card.yaml").write_text(card.replace(was, now))
    with pytest.raises(ModelError, match=r"stream.tflite does not give what model.tflite gives on window \d"):
        bundle.load(str(folder))
