"""The bundles that ship: small, streaming bit for bit, and as good as their cards say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from auricle import config
from auricle.features import front_end
from auricle.hearing.whole import Classifier
from auricle.model import bundle as bundles
from auricle.model.network import Network
from auricle_build.grammar import read

LIMITS_KB = {"esc10": 250, "digits": 200}
LEAST = {"esc10": 0.8, "digits": 0.75}
NAMES = sorted(set(bundles.names()) & set(LIMITS_KB))
Int8 = NDArray[np.int8]


def test_the_default_ships() -> None:
    """`esc10` is there, with the ten and background."""
    assert "esc10" in NAMES
    assert len(bundles.load("esc10").labels) == 11


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_figures(name: str) -> None:
    """Within its size; the card names material with licences and states accuracy on what was kept aside, over a bar."""
    opened = bundles.load(name)
    assert len(opened.whole) <= LIMITS_KB[name] * 1000
    assert all(entry["licence"] and entry["clips"] for entry in opened.raw["trained_on"])
    figures = opened.raw["figures"]
    # Of other models of the same recipe, fold by fold; or, of one that was itself trained without a fold, its own.
    stated = figures.get("held_out") or figures["kept_aside"]
    assert stated["float"]["accuracy"] > LEAST[name]
    assert stated["int8"]["accuracy"] > LEAST[name]


def scores_of_windows(opened: bundles.Bundle, rows: Int8, hop: int) -> Int8:
    network = Network(opened.card, opened.whole, "here")
    span = opened.card.timing.window_frames
    return np.stack([network(rows[i : i + span]) for i in range(0, len(rows) - span + 1, hop)])


def scores_of_stream(opened: bundles.Bundle, rows: Int8, cuts: list[int]) -> Int8:
    card = opened.card
    assert card.stream is not None
    interpreter = Interpreter(model_content=opened.stream, num_threads=1)
    kept = {s.input: (s.output, np.full(s.shape, s.zero_point, np.int8)) for s in card.stream.states}
    out, begin = [], 0
    for n in cuts:
        inputs: dict[str, Any] = {d["name"]: d["index"] for d in interpreter.get_input_details()}
        interpreter.resize_tensor_input(inputs[card.stream.input], (1, n, rows.shape[1], 1))
        interpreter.allocate_tensors()
        interpreter.set_tensor(inputs[card.stream.input], rows[None, begin : begin + n, :, None])
        for name, (_, value) in kept.items():
            interpreter.set_tensor(inputs[name], value)
        interpreter.invoke()
        outputs = {d["name"]: d["index"] for d in interpreter.get_output_details()}
        out.append(interpreter.get_tensor(outputs[card.stream.output])[0, :, 0])
        kept = {name: (target, interpreter.get_tensor(outputs[target])) for name, (target, _) in kept.items()}
        begin += n
    return np.concatenate(out)


def held_to_the_definition(opened: bundles.Bundle, rows: Int8, seed: int) -> None:
    """DESIGN section 4: the score once frame jH+T-1 is in is that of the whole window on frames [jH, jH+T)."""
    timing = opened.card.timing
    step = timing.stride_frames
    rng = np.random.default_rng(seed)
    rows = rows[: len(rows) // step * step]
    cuts: list[int] = []
    while sum(cuts) < len(rows):
        cuts.append(min(step * int(rng.choice([1, 2, 5, 60])), len(rows) - sum(cuts)))
    streamed = scores_of_stream(opened, rows, cuts)[timing.window_frames // step - 1 :]
    np.testing.assert_array_equal(streamed, scores_of_windows(opened, rows, step), strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_stream_equals_whole_windows_on_golden_sounds(name: str) -> None:
    """On the bundle's own golden rows, in random cuts, int8 for int8."""
    opened = bundles.load(name)
    with np.load(opened.path / "golden.npz") as golden:
        rows = bundles.quantise(golden["frames"], opened.card.quantisation.input)
    held_to_the_definition(opened, rows, 1)


@pytest.mark.parametrize("name", NAMES)
def test_stream_equals_whole_windows_on_real_clips(name: str, data: Path) -> None:
    """On real recordings, one of each label, int8 for int8."""
    from auricle_build.material import sound

    opened = bundles.load(name)
    card = opened.card.front_end
    pipeline = front_end(**card.params())
    files = [sorted(folder.glob("*.ogg"))[0] for folder in sorted((data / "esc10").iterdir()) if folder.is_dir()]
    assert len(files) == 10
    for i, file in enumerate(files):
        pipeline.reset()
        rows = pipeline.process(sound.load(file, card.sample_rate))
        held_to_the_definition(opened, bundles.quantise(rows, opened.card.quantisation.input), i)


@pytest.mark.parametrize("name", NAMES)
def test_golden_windows_are_decided(name: str) -> None:
    """Golden vectors show more than one answer, or they would hold for a network that says the same to everything."""
    opened = bundles.load(name)
    with np.load(opened.path / "golden.npz") as golden:
        assert len(np.unique(golden["scores"], axis=0)) > 1
        assert (opened.path / "golden.npz").stat().st_size < 150_000


@pytest.mark.parametrize("name", NAMES)
def test_silence_and_noise_are_background(name: str) -> None:
    """Digital silence and white noise at several levels raise nothing: background has the highest mean score."""
    opened = bundles.load(name)
    card = opened.card.front_end
    rng = np.random.default_rng(0)
    for level in (0.0, 1e-3, 1e-2, 1e-1):
        pipeline = front_end(**card.params())
        rows = pipeline.process((level * rng.standard_normal(5 * card.sample_rate)).astype(np.float32))
        scores = scores_of_windows(opened, bundles.quantise(rows, opened.card.quantisation.input), 8)
        assert opened.labels[int(scores.astype(float).mean(axis=0).argmax())] == "background", level


def test_all_of_them_are_small() -> None:
    """What a user installs for the sake of models is 5 MB at most."""
    assert sum(file.stat().st_size for file in bundles.PACKAGED.rglob("*") if file.is_file()) <= 5_000_000


def test_audioset_is_as_its_recipe_says() -> None:
    """All 527 classes in order, each said to be unmeasured; pretrained weights and int8's loss are in the card."""
    opened = bundles.load("audioset")
    recipe = read.load(Path("audioset"))
    assert list(opened.labels) == recipe.names
    assert set(opened.card.measured) == set(opened.labels)
    assert opened.card.front_end.remove_dc
    assert opened.raw["trained_on"][0]["name"] == "AudioSet"
    assert opened.raw["figures"]["int8_against_float"]["sure_labels_lost"] <= 0.03


def test_audioset_knows_what_it_was_pretrained_on(data: Path) -> None:
    """Of five recordings each of barks, rain and helicopters, a class of it is among the five highest in four."""
    classifier = Classifier(bundles.load("audioset"), config.Decision(), config.Gate())
    wanted = {
        "dog_bark": {"bark", "dog", "bow_wow", "yip"},
        "rain": {"rain", "rain_on_surface", "raindrop"},
        "helicopter": {"helicopter"},
    }
    for label, classes in wanted.items():
        found = []
        for file in sorted((data / "esc10" / label).glob("*.ogg"))[:5]:
            scores = classifier.verdict(str(file)).scores
            found.append(bool(classes & set(sorted(scores, key=scores.__getitem__)[-5:])))
        assert sum(found) >= 4, label
