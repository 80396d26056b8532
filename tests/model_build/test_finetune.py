"""A pretrained network, made up, learns sounds made by code; interrupted or not, it ships, and the daemon loads it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle import config
from auricle.errors import ConfigError, ModelError
from auricle.features import front_end
from auricle.hearing.whole import Classifier
from auricle.model import bundle as bundles
from auricle.model.classifier import embedder

pytest.importorskip("tensorflow", reason="missing here: the build extra")

from auricle_build import finetune, ship
from auricle_build.grammar import read
from auricle_build.grammar.recipes import PretrainedRecipe
from auricle_build.int8 import convert
from auricle_build.judge import calibration
from auricle_build.learn import mobilenet
from helpers import pretrained
from helpers.bundles import tone
from helpers.sounds import RATE, varied, write

EMBEDDED = 96
"""Numbers in the embedding of a network of a tenth of the width."""


def clip(label: str, seed: int) -> Any:
    """A second of a tone or of clicks, or three of a place."""
    rng = np.random.default_rng(seed)
    if label == "place":
        return varied(3.0, seed=seed)
    if label == "beep":
        return tone(rng.uniform(1500, 4000), seconds=1.0)
    clicks = np.zeros(RATE, np.float32)
    clicks[:: int(rng.integers(1200, 2400))] = 0.8
    return clicks


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of two folds in a table, places in a folder, weights and classes."""
    root = tmp_path_factory.mktemp("sounds")
    lines = ["file,fold,label"]
    for label in ("beep", "clicks"):
        for i in range(4):
            write(root / f"{label}{i}.wav", clip(label, i))
            lines.append(f"{label}{i}.wav,{1 + i % 2},{label}")
    (root / "clips.csv").write_text("\n".join(lines))
    (root / "places").mkdir()
    write(root / "places" / "street.wav", clip("place", 9))
    (root / "weights.sha256").write_text(pretrained.write(root, pretrained.drawn(0.1))[1])
    pretrained.class_table(root)
    return root


def recipe(root: Path, **changes: Any) -> PretrainedRecipe:
    """A recipe of three labels, one of them without recordings."""
    found = read.of(
        {
            "name": "tiny",
            "licence": "CC0",
            "seed": 3,
            "head": "sigmoid",
            "labels": [
                {"name": "beep", "audioset": ["Beep, bleep"]},
                {"name": "clicks", "audioset": ["Clicking", "Class 17"]},
                {"name": "siren", "audioset": ["Siren"], "includes": ["beep"]},
            ],
            "front_end": pretrained.FRONT_END,
            "data": {
                "sets": [
                    {"name": "made", "reader": "table", "path": "clips.csv", "licence": "CC0", "source": "code"},
                    {
                        "name": "places",
                        "reader": "folders",
                        "path": "places",
                        "folds": {"street": 1},
                        "place": True,
                        "licence": "CC0",
                        "source": "code",
                    },
                ],
                "variants": [{"speed": 1.1, "overdriven_db": 6}],
            },
            "network": {
                "kind": "mobilenet_v3",
                "weights": "weights.npz",
                "sha256": (root / "weights.sha256").read_text(),
                "classes": "classes.csv",
                "licence": "CC0",
                "source": "a generator of random numbers",
                "window_frames": 64,
                "frozen_blocks": 10,
            },
            "batch": {"size": 4},
            "schedule": {"steps": 3, "learning_rate": 0.01, "check_every": 1, "single": 0.5},
            **changes,
        },
        "tiny",
    )
    assert isinstance(found, PretrainedRecipe)
    return found


class Interrupted(Exception):
    """Somebody pressed a key."""


def train(root: Path, folder: Path, held_out: list[int], report: Any = None) -> finetune.Trained:
    return finetune.train(
        recipe(root), held_out, folder, root=root, cache=None, threads=1, say=lambda _: None, report=report
    )


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Fewer windows than a model that ships is looked at by."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "ASIDE_BATCHES", 3)
        patch.setattr(ship, "EXAMPLES", 12)
        patch.setattr(ship, "COMPARED", 12)
        yield


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory, few: None) -> tuple[Path, dict[str, finetune.Trained]]:
    """Trained without the second fold: in one go, and interrupted after two steps."""
    runs = tmp_path_factory.mktemp("runs")
    whole = train(root, runs / "tiny-without-2", [2])

    def stop(progress: Any) -> None:
        if progress.step == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(root, runs / "parts", [2], stop)
    return runs, {"whole": whole, "parts": train(root, runs / "parts", [2])}


def test_resumed_training_is_training_that_never_stopped(runs: tuple[Path, dict[str, finetune.Trained]]) -> None:
    """Interrupted after the second of three steps and started again, every weight is the same to the bit."""
    folder, trained = runs
    whole, parts = trained["whole"], trained["parts"]
    assert (whole.steps, parts.steps) == (3, 3)
    for one, other in zip(whole.network.trained, parts.network.trained, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), strict=True)
    assert whole.network.correction.numpy().any(), "something was learned"
    assert whole.taught == [True, True, False]
    assert {c.fold for c in whole.clips} == {1}
    assert {c.fold for c in whole.aside} == {2}
    assert len((folder / "parts" / "log.csv").read_text().splitlines()) == 4
    kept = [calibration.UnseenWindows.load(folder / name / "aside.npz") for name in ("tiny-without-2", "parts")]
    assert kept[0].logits.shape == (3 * 4, 3)
    np.testing.assert_array_equal(kept[0].logits, kept[1].logits)


def test_a_run_is_gone_on_from_by_its_own_recipe_alone(
    root: Path, runs: tuple[Path, dict[str, finetune.Trained]]
) -> None:
    """Another learning rate is another run."""
    other = recipe(root, schedule={"steps": 3, "learning_rate": 0.02, "check_every": 1, "single": 0.5})
    with pytest.raises(ConfigError, match=r"another recipe, schedule\.learning_rate differs"):
        finetune.train(other, [2], runs[0] / "parts", root=root, cache=None)


def test_what_ships_is_heard_by(root: Path, runs: tuple[Path, dict[str, finetune.Trained]], tmp_path: Path) -> None:
    """The daemon loads the bundle, reads its embedding, and classifies by it: a score for each label, near float's."""
    folder, trained = runs
    made = trained["parts"]
    rec = made.recipe
    others = ship.asides(rec, folder, [])
    assert others == [folder / "tiny-without-2" / "aside.npz"]
    assert ship.asides(rec, folder, [2]) == [], "not by what is held out itself"
    opened = ship.ship(made, tmp_path / "bundle", others)
    loaded = bundles.load(str(tmp_path / "bundle"))
    assert loaded.hash == opened.hash
    card, raw = loaded.card, loaded.raw
    assert list(loaded.labels) == ["beep", "clicks", "siren"]
    assert {label: list(parts) for label, parts in card.includes.items()} == {"siren": ["beep"]}
    assert list(card.input.shape) == [64, pretrained.BANDS]
    assert raw["measured"] == {"siren": "no recording: AudioSet's word"}
    assert [each["name"] for each in raw["trained_on"]] == ["AudioSet", "made", "places"]
    assert raw["figures"]["calibration"]["windows"] == 12
    assert raw["figures"]["int8_against_float"]["mean_difference"] < 0.02
    assert read.of(raw["recipe"], "card") == rec

    assert card.embedding is not None
    assert card.embedding.size == EMBEDDED
    sound = clip("beep", 77)
    path = write(tmp_path / "beep.wav", sound, subtype="FLOAT")
    verdict = Classifier(loaded, config.Decision(), config.Gate()).verdict(str(path))
    assert set(verdict.scores) == {"beep", "clicks", "siren"}
    assert all(0.0 <= score <= 1.0 for score in verdict.scores.values())
    heard = front_end(**pretrained.FRONT_END).process(sound)
    embedded = embedder(loaded, 16).process(heard)
    n = (len(heard) - 64) // 16 + 1
    assert embedded.shape == (n, EMBEDDED)
    windows = np.stack([heard[16 * i : 16 * i + 64] for i in range(n)])
    scores, embedding = (np.asarray(part) for part in made.network.outputs(windows))
    np.testing.assert_allclose(list(verdict.scores.values()), scores.mean(axis=0), rtol=0, atol=0.05)
    assert np.abs(embedded - embedding).mean() < 0.1 * embedding.std()


def test_the_int8_graph_that_is_closest_to_float_ships_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several conversions the closest is taken; where it, too, loses what float is sure of, nothing ships."""

    def graph_of(values: Any) -> Any:
        class Graph:
            scores = dataclasses.make_dataclass("Grid", ["scale", "zero_point"])(1 / 256, -128)
            told = iter(values)

            def __call__(self, window: Any) -> Any:
                return np.asarray(next(self.told))

        return Graph()

    exact = np.asarray([[0.9, 0.1]] * 40, np.float32)

    def outputs(x: Any) -> Any:
        return exact[: len(x)], None

    windows = np.zeros((32, 4, 4), np.float32)
    same = [[102, -102]] * 32
    graphs = {b"near": same, b"far": [*same[:30], [-128, -102], [-100, -102]]}
    monkeypatch.setattr(convert, "Converted", lambda content: graph_of(graphs[content]))
    content, _, found = ship.closest([b"far", b"near"], outputs, windows)
    said = found["int8_against_float"]
    assert (content, said["windows"], said["sure_labels_lost"], said["same_highest"]) == (b"near", 32, 0.0, 1.0)
    with pytest.raises(ModelError, match=r"int8 loses 6\.2% of the labels that float is sure of; at most 3% may be"):
        ship.closest([b"far"], outputs, windows)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("Sirn", "'Sirn' is no class of AudioSet; did you mean 'Siren'?"),
        ("Zzz", "'Zzz' is no class of AudioSet; use one of "),
    ],
)
def test_an_unknown_class_is_one_line(root: Path, named: str, said: str) -> None:
    """A label that rests on no class of the table is told with what was probably meant, or where the names are."""
    labels = [{"name": "beep", "audioset": ["Beep, bleep"]}, {"name": "siren", "audioset": ["Siren", named]}]
    with pytest.raises(ConfigError) as caught:
        finetune.network(recipe(root, labels=labels), root, [True, False])
    (line,) = caught.value.lines()
    assert line.startswith(f"labels[1].audioset: {said}")
    assert len(line) < 300


def test_the_steps_hear_what_is_below_the_offset(root: Path) -> None:
    """Rows are kept without the front end's offset, so that a gain may lift above it what lies below."""
    rec = recipe(root)
    faint = 1e-5 * clip("beep", 1)
    kept = finetune.features(rec, None).of(faint)
    assert kept.shape[1] == pretrained.BANDS
    assert kept.max() < np.log(1e-5)
    assert np.ptp(kept[:, :100].mean(axis=0)) > 5.0


def test_the_recipe_of_the_package_is_one_of_these() -> None:
    """`home` is a recipe of a pretrained network: its labels say what they rest on."""
    rec = read.load(Path("home"))
    assert isinstance(rec, PretrainedRecipe)
    assert len(yaml.safe_load((read.PACKAGED / "home.yaml").read_text(encoding="utf-8"))["labels"]) == len(rec.labels)
    assert all(label.audioset for label in rec.labels)


def test_the_recipe_of_all_classes_names_each_by_its_display_name() -> None:
    """`audioset` has a label for each of the 527 classes, resting on it alone, and takes no step."""
    rec = read.load(Path("audioset"))
    assert isinstance(rec, PretrainedRecipe)
    assert len(rec.labels) == mobilenet.N_AUDIOSET
    for label in rec.labels:
        (display_name,) = label.audioset
        assert label.name == re.sub("[^a-z0-9]+", "_", display_name.lower()).strip("_")
    assert rec.schedule.steps == 0
    assert not {each.label for each in rec.data.sets} & {None, *rec.names}, "what is recorded teaches nothing"
