"""A tiny set of sounds made by code goes all the way: trained, quantised, exported, recognised by the daemon."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from auricle import config
from auricle.errors import ConfigError, ModelError
from auricle.features import front_end
from auricle.hearing.hearer import Hearer
from auricle.model import bundle

pytest.importorskip("tensorflow", reason="missing here: the build extra")

from auricle_build import build, export, recipe
from auricle_build.grammar import read
from auricle_build.grammar.material import Variant
from auricle_build.grammar.recipes import ClassicRecipe, StreamingRecipe
from auricle_build.judge import evaluate
from auricle_build.judge.evaluate import Judgement
from auricle_build.learn import training
from auricle_build.learn.batches import Batches, warped
from auricle_build.learn.network import Network
from auricle_build.learn.teacher import HOP_MS, Taught, taught_by
from auricle_build.material.clips import Clip
from auricle_build.material.rows import Features
from auricle_build.reports import classic, crossval

RATE = 16000


def sound(kind: str, seed: int, seconds: float = 1.2) -> Any:
    """A tone, clicks, a siren or noise, each with a pitch, a rate and a level of its own."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    if kind == "beep":
        wave = np.sin(2 * np.pi * rng.uniform(2500, 5000) * t)
    elif kind == "clicks":
        wave = (np.sin(2 * np.pi * rng.uniform(6, 12) * t) > 0.97) * rng.standard_normal(len(t))
    elif kind == "siren":
        wave = np.sin(2 * np.pi * (900 * t - 400 / (2 * np.pi * 2) * np.cos(2 * np.pi * rng.uniform(1.5, 2.5) * t)))
    else:
        wave = rng.standard_normal(len(t)).cumsum() * 0.02 if seed % 2 else rng.standard_normal(len(t))
    return (10 ** rng.uniform(-1.5, -0.5) * wave + 1e-3 * rng.standard_normal(len(t))).clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A recipe of four kinds of sound, ten of each, in a folder a class."""
    root = tmp_path_factory.mktemp("sounds")
    for k, kind in enumerate(("beep", "clicks", "siren", "hum")):
        for i in range(12):
            path = root / "set" / kind / f"{kind}{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound(kind, 100 * k + i), RATE)
    rec = yaml.safe_load(
        """
        name: tiny
        licence: Apache-2.0
        seed: 3
        labels: [beep, clicks, siren, background]
        background: background
        front_end:
          {sample_rate: 16000, n_fft: 512, win_length: 400, hop_length: 160,
           features: [{kind: log_mel, n_mels: 20, fmin: 50.0, fmax: 7200.0}]}
        data:
          sets: [{name: made, reader: folders, path: set, licence: CC0, source: code}]
          variants: [{speed: 1.1}, {room: true}]
        batch: {size: 32, positives: 0.7, mix: 0.2, gain_db: [-10.0, 5.0], gain: 0.5, tilt_db: 2.0, noise: 0.2,
                partial: 0.1, masks: 0.3}
        network:
          dropout: 0.1
          columns: 6
          layers:
            - [conv, [4, 4], [2, 2], 8]
            - [separable, [3, 3], [2, 1], 16]
            - [separable, [5, 3], [1, 1], 16]
            - [conv, [1, 5], [1, 1], 24]
        schedule: {steps: 160, learning_rate: 0.01, warmup: 10, weight_decay: 0.01, average: 0.95, check_every: 80,
                   distil: 0.0, auxiliary: 0.0, quantised_steps: 30, quantised_learning_rate: 0.001}
        """
    )
    return rec, root


def streaming(rec: dict[str, Any]) -> StreamingRecipe:
    """The recipe as it is read from a file."""
    found = read.of(rec, "tiny")
    assert isinstance(found, StreamingRecipe)
    return found


def held_fold(rec: dict[str, Any], root: Path) -> int:
    """A fold that has clips of every label."""
    return crossval.folds_of(read.of(rec, "tiny"), root)[0]


def test_from_sounds_to_a_bundle_that_the_daemon_recognises(tiny: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """Sounds never trained on are named by the exported bundle, float and int8 alike, through `auricle classify`."""
    rec, root = tiny
    said: list[str] = []
    made = build.make(streaming(rec), [held_fold(rec, root)], tmp_path / "run", root=root, cache=None, say=said.append)
    assert made.float_judgement is not None
    assert made.int8_judgement is not None
    assert made.float_judgement.accuracy() >= 0.8
    opened = build.ship(made, tmp_path / "bundle")
    assert opened.raw["figures"]["kept_aside"]["int8"]["accuracy"] >= 0.8
    assert opened.raw["trained_on"][0]["clips"] == len(made.loaded.train_clips)
    assert read.of(opened.raw["recipe"], "card") == streaming(rec)
    paths = {}
    for k, kind in enumerate(("beep", "clicks", "siren")):
        for i in range(4):
            paths[tmp_path / f"{kind}{i}.wav"] = kind
            soundfile.write(tmp_path / f"{kind}{i}.wav", sound(kind, 5000 + 100 * k + i), RATE)
    command = [sys.executable, "-c", "from auricle.start import main; main()", "classify", "--json"]
    command += ["--model", str(tmp_path / "bundle"), *map(str, paths)]
    verdicts = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    right = 0
    for verdict, kind in zip(map(json.loads, verdicts), paths.values(), strict=True):
        scores = verdict["scores"]
        right += max(("beep", "clicks", "siren"), key=scores.__getitem__) == kind
    assert right >= 10
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 3
    # As a stream: each sound is an event of its label, where it lies in a recording.
    quiet = 1e-4 * np.random.default_rng(9).standard_normal(3 * RATE).astype(np.float32)
    parts = [quiet, *(part for kind in ("beep", "clicks", "siren") for part in (sound(kind, 6000, 2.0), quiet))]
    soundfile.write(tmp_path / "scene.wav", np.concatenate(parts), RATE)
    command[command.index("classify") :] = ["replay", "--speed", "max", "--no-publish", "--json"]
    command += ["--model", str(tmp_path / "bundle"), str(tmp_path / "scene.wav")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    onsets = {e["label"]: e["sample"] for e in map(json.loads, told) if e.get("phase") == "onset"}
    for kind, true_s in (("beep", 3.0), ("clicks", 8.0), ("siren", 13.0)):
        assert true_s <= onsets[kind] / RATE <= true_s + 1.0
    # What int8 made of the weights is compared with float also where every clip was trained on.
    ruined = dataclasses.replace(made, compared=(made.compared[0], judged(0.1)))
    with pytest.raises(ModelError, match="int8 accuracy"):
        build.ship(ruined, tmp_path / "ruined")
    assert not (tmp_path / "ruined").exists()
    # The folder is this recipe's.
    with pytest.raises(ConfigError, match=r"another recipe, schedule\.learning_rate differs"):
        build.claim(tmp_path / "run", streaming({**rec, "schedule": {**rec["schedule"], "learning_rate": 0.5}}))
    build.claim(tmp_path / "run", streaming({**rec, "description": "what people read"}))


def test_a_run_belongs_to_what_its_recipe_means(tiny: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """A default written out is no other recipe, another value is; what is no recipe any more is none to go on from."""
    rec, _ = tiny
    stored = tmp_path / "recipe.yaml"
    stored.write_text(yaml.safe_dump(rec, sort_keys=False))
    assert build.differing(tmp_path, streaming({**rec, "head": "softmax"})) is None
    assert build.differing(tmp_path, streaming({**rec, "batch": {**rec["batch"], "mix": 0.3}})) == "batch.mix"
    build.claim(tmp_path, streaming(rec))
    assert read.load(stored) == streaming(rec)
    stored.write_text(yaml.safe_dump({**rec, "behnd_gate": True}))
    assert build.differing(tmp_path, streaming(rec)) == "recipe.yaml"


def weights_after(rec: dict[str, Any], root: Path, folder: Path, stops: list[int]) -> list[Any]:
    """Weights after training with interruptions at the given steps, each time in a new network."""
    loaded = recipe.prepare(read.of(rec, "tiny"), [], root=root)
    ops, shape = streaming(rec).shape()
    batches = Batches(
        loaded.train, streaming(rec).batch, window_frames=shape.window_frames, n_labels=4, seed=int(rec["seed"])
    )

    for stop in stops:
        batches.mistaken = batches.mistaken[:0]
        training.repeatable(int(rec["seed"]), 1)
        network = Network(ops, shape.columns, [4, batches.n_original, 1], 0.1, int(rec["seed"]))

        def mistakes(of: Network = network) -> Any:
            # Depends on the weights, so that what a checkpoint forgets would show.
            first = float(of.weights[0].numpy().sum() * 1e6) % 7
            return np.asarray([[int(batches.background_clips[int(first)]), 3]])

        objective = training.labelled(network, streaming(rec))
        schedule = streaming(rec).schedule
        training.train(network, batches, schedule, folder, objective=objective, mistakes=mistakes, stop_at=stop)
    return [v.numpy() for v in (*network.trained, *network.moments)]


def test_a_model_of_two_labels_at_once_ships_and_hears_both(tiny: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """With sigmoid outputs and no background, the exported bundle gives each label a score of its own."""
    rec, root = tiny
    rec = {**rec, "labels": rec["labels"][:3], "background": None, "head": "sigmoid"}
    # Silence is learnt from the few windows of it: so many that these steps see enough.
    rec["batch"] = {**rec["batch"], "silence": 0.1, "noise_alone": 0.1}
    rec["schedule"] = {**rec["schedule"], "steps": 320}
    made = build.make(
        streaming(rec), [held_fold(rec, root)], tmp_path / "run", root=root, cache=None, say=lambda _: None
    )
    opened = build.ship(made, tmp_path / "bundle")
    scorer = evaluate.int8_scorer(
        opened.whole,
        window_frames=made.reach.window_frames,
        hop_frames=build.default_hop_frames(streaming(rec).front_end),
    )
    features = Features(rec["front_end"], made.reach.window_frames)
    both = sound("beep", 7001) + sound("clicks", 7101)
    beep, clicks, siren = scorer(features.of(both.clip(-1, 1).astype(np.float32))).mean(axis=0)
    assert beep > 0.5
    assert clicks > 0.5
    assert siren < 0.5
    nothing = scorer(features.of(np.zeros(2 * RATE, np.float32))).mean(axis=0)
    assert (nothing < 0.5).all()


def test_what_is_mistaken_comes_back(tiny: tuple[dict[str, Any], Path]) -> None:
    """Places that a scorer takes for a label are found, and batches then draw from them."""
    rec, root = tiny
    loaded = recipe.prepare(read.of(rec, "tiny"), [], root=root)
    _, shape = streaming(rec).shape()
    options = dataclasses.replace(streaming(rec).batch, mix=0.0, partial=0.0, noise_alone=0.0, silence=0.0)

    def batches(share: float) -> Batches:
        made = Batches(
            loaded.train,
            dataclasses.replace(options, mistaken=share, positives=1.0),
            window_frames=shape.window_frames,
            n_labels=4,
            seed=1,
        )
        first = int(made.background_clips[0])

        def scorer(rows: Any) -> Any:
            mine = len(rows) == len(loaded.train.rows[first][0]) and np.array_equal(rows, loaded.train.rows[first][0])
            windows = np.zeros(((len(rows) - shape.window_frames) // 8 + 1, 4), np.float32)
            windows[1:3, 0] = 0.9 if mine else 0.0
            return windows

        made.mistaken = evaluate.mistakes(
            scorer, loaded.train.rows, made.background_clips, 3, shape.window_frames, 8, above=0.2
        )
        assert made.mistaken.tolist() == [[first, 8], [first, 16]]
        return made

    assert batches(0.0)(0).y[:, -1].sum() == 0.0
    assert batches(1.0)(0).y[:, -1].sum() == options.size


def test_a_teacher_is_heard_where_it_spoke() -> None:
    """Between two of its windows a teacher's scores are in proportion, beyond them those of the nearest."""
    taught = Taught(np.asarray([[0.0], [2.0], [4.0]], np.float16), np.asarray([0.25, 0.5, 0.75]))
    assert [float(taught.at(share)[0]) for share in (0.0, 0.25, 0.3125, 0.5, 0.9)] == [0.0, 0.0, 0.5, 2.0, 4.0]


def test_a_bundle_teaches_what_it_hears(tmp_path: Path) -> None:
    """Its logits are those of the daemon's scores, unsmoothed and standardised; they are kept, and found again."""
    rng = np.random.default_rng(5)
    clips = []
    for i, seconds in enumerate((3.0, 0.2)):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, rng.standard_normal(int(seconds * RATE)) * 0.1, RATE, subtype="FLOAT")
        clips.append(Clip(path, "x", f"g{i}", 1))
    teacher = bundle.find("esc10")
    long, short = taught_by(teacher, clips, tmp_path)
    hearer = Hearer(bundle.load("esc10"), config.Decision(hop_ms=HOP_MS, smoothing_ms=0.0), config.Gate())
    scores = hearer.hear(str(clips[0].path)).scores.astype(np.float64)
    assert len(long.scores) == len(scores) > 1
    assert len(short.scores) == 1, "a short clip is repeated up to a window"
    said = np.log(scores / (1 - scores))
    for column in range(scores.shape[1]):
        if np.ptp(said[:, column]) > 0.1:
            likeness = np.corrcoef(said[:, column], long.scores[:, column].astype(np.float64))[0, 1]
            assert likeness > 0.999
    assert long.centres[0] == hearer.span / 2 / (3.0 * RATE)
    again, _ = taught_by(teacher, clips, tmp_path)
    np.testing.assert_array_equal(again.scores, long.scores)
    with pytest.raises(ConfigError, match="no teacher there"):
        taught_by(tmp_path / "nobody", clips)


def test_warping_moves_what_is_heard_and_no_further_than_told() -> None:
    """A click and a tone move by at most what was asked for; asked for nothing, nothing changes."""
    x = np.zeros((200, 60, 40), np.float32)
    x[:, 30, :] = 10.0
    x[:, :, 20] = 20.0
    np.testing.assert_array_equal(warped(x, np.random.default_rng(1), 0.0, 0.0), x)
    other = warped(x, np.random.default_rng(1), 0.2, 3.0)
    bands = other[:, 5].argmax(axis=1)
    assert bands.min() == 17
    assert bands.max() == 23
    frames = other[:, :, 0].argmax(axis=1)
    assert frames.min() >= 30 - 0.2 * 60
    assert frames.max() <= 30 + 0.25 * 60
    assert len(set(frames.tolist())) > 5


def test_a_gated_variant_is_the_daemons_own_gate(tmp_path: Path) -> None:
    """Rows of `gate: true` are bit for bit those of the front end with the gate in it."""
    noise = np.random.default_rng(2).standard_normal(3 * RATE).astype(np.float32) * 0.01
    soundfile.write(tmp_path / "noise.wav", noise, RATE, subtype="FLOAT")
    params = {"sample_rate": RATE, "n_fft": 512, "hop_length": 160, "features": [{"kind": "log_mel", "n_mels": 20}]}
    rows = Features(params, 40).load(Clip(tmp_path / "noise.wav", "noise", "noise", 1), Variant(gate=True))
    np.testing.assert_array_equal(rows, front_end(**params, gate={}).process(noise).astype(np.float16))
    assert rows.mean() < Features(params, 40).of(noise).mean() - 3.0


def test_resumed_training_is_training_that_never_stopped(
    tiny: tuple[dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted twice, once between two checks, or not at all, the weights are the same to the bit."""
    rec, root = tiny
    rec = {**rec, "schedule": {**rec["schedule"], "steps": 24, "check_every": 8}}
    rec["batch"] = {**rec["batch"], "mistaken": 0.2}
    whole = weights_after(rec, root, tmp_path / "whole", [24])
    parts = weights_after(rec, root, tmp_path / "parts", [8, 16, 24])
    monkeypatch.setattr(training, "SAVED_EVERY", 5)
    between = weights_after(rec, root, tmp_path / "between", [10, 24])
    for one, *others in zip(whole, parts, between, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("decayed", [False, True])
def test_each_variable_learns_at_its_own_rate(decayed: bool) -> None:
    """A share of the rate is that share of the step, decay and all, within float rounding; 1 for all is none at all."""
    tf = pytest.importorskip("tensorflow")
    start, slope = np.asarray([1.0, -2.0, 3.0], np.float32), np.asarray([0.3, -0.1, 0.02], np.float32)

    def after(rates: list[float] | None) -> list[Any]:
        variables = [tf.Variable(start), tf.Variable(start)]
        optimizer = training.AdamW(variables, [decayed] * 2, [], 0.1, 0.9, rates)
        for step in range(3):
            optimizer.apply([tf.constant(slope)] * 2, tf.constant(step), tf.constant(0.01 * (step == 0), tf.float32))
        return [v.numpy() for v in variables]

    full, part = after([1.0, 0.15])
    assert np.abs(full - start).min() > 0.005
    np.testing.assert_allclose(part - start, 0.15 * (full - start), rtol=0, atol=2e-6)
    for one, other in zip(after(None), after([1.0, 1.0]), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        np.testing.assert_array_equal(one, full, strict=True)
    np.testing.assert_array_equal(after([0.0, 1.0])[0], start, strict=True)


def test_what_stopped_early_stays_stopped(tiny: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """Training without a better check ends with the weights of the best; started again, it gives the same."""
    rec, root = tiny
    rec = {**rec, "schedule": {**rec["schedule"], "steps": 40, "check_every": 4, "patience": 2}}
    loaded = recipe.prepare(read.of(rec, "tiny"), [], root=root)
    ops, shape = streaming(rec).shape()
    batches = Batches(loaded.train, streaming(rec).batch, window_frames=shape.window_frames, n_labels=4, seed=1)
    found = []
    for _ in "ab":
        losses = iter([0.5, 0.4, 0.6, 0.7, 0.1])
        network = Network(ops, shape.columns, [4, batches.n_original, 1], 0.1, 1)
        told = {"judge": lambda: {"loss": next(losses)}}  # noqa: B023
        told["objective"] = training.labelled(network, streaming(rec))
        schedule = streaming(rec).schedule
        step = training.train(network, batches, schedule, tmp_path / "run", patience=schedule.patience, **told)
        found.append((step, [v.numpy() for v in network.trained]))
    assert found[0][0] == found[1][0] == 8
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_a_short_sound_is_heard_by_a_gate_that_has_learned(tmp_path: Path) -> None:
    """A sound that ends before the gate knows the room passes it unchanged; after a lead of faint noise it does not."""
    soundfile.write(tmp_path / "beep.wav", sound("beep", 1, 0.5), RATE, subtype="FLOAT")
    clip = Clip(tmp_path / "beep.wav", "beep", "beep", 1)
    params = {"sample_rate": RATE, "n_fft": 512, "hop_length": 160, "features": [{"kind": "log_mel", "n_mels": 20}]}
    features = Features(params, 100)
    plain, gated, led = (features.load(clip, v) for v in (None, Variant(gate=True), Variant(gate=True, lead_s=2.5)))
    np.testing.assert_array_equal(plain, gated, strict=True)
    assert led.shape == plain.shape
    assert led.mean() < plain.mean() - 3.0
    assert abs(float(led.max()) - float(plain.max())) < 2.0, "the loudest is left, but for the mask's smoothing"


def test_cross_validation_judges_as_classify_does(tiny: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """A fold's page, its bundle, and scores that are those of `auricle classify` for the clips kept aside."""
    from auricle import config
    from auricle.hearing.whole import Classifier
    from auricle.model import bundle as bundles

    rec, root = tiny
    rec = {**rec, "schedule": {**rec["schedule"], "steps": 40, "check_every": 40, "quantised_steps": 0}}
    fold = held_fold(rec, root)
    told: list[str] = []
    again: dict[str, Any] = {"root": root, "runs": tmp_path / "runs", "out": tmp_path, "threads": 1, "say": told.append}
    page = crossval.run(streaming(rec), [fold], None, **again)
    assert page.read_text().startswith("# The model `tiny`, cross-validated")
    folder = tmp_path / "runs" / f"tiny-without-{fold}"
    (kept,) = crossval.measured(streaming(rec), [fold], tmp_path / "runs")
    classifier = Classifier(bundles.load(str(folder / "bundle")), config.Decision(), config.Gate())
    loaded = recipe.prepare(read.of(rec, "tiny"), [fold], root=root)
    for clip, mine in zip(loaded.kept_clips, kept.int8.scores, strict=True):
        verdict = classifier.verdict(str(clip.path))
        # Half precision of the kept rows may move a score by a step of int8 and its like.
        np.testing.assert_allclose([verdict.scores[name] for name in rec["labels"]], mine, atol=0.02)
    crossval.run(streaming(rec), [fold], None, **again)
    assert f"fold {fold}: judged before, in {folder}" in told
    other = streaming({**rec, "seed": 4})
    assert crossval.measured(other, [fold], tmp_path / "runs") == []
    with pytest.raises(ConfigError, match="another recipe, seed differs"):
        crossval.run(other, [fold], None, **again)
    with pytest.raises(ConfigError, match="no streaming network"):
        crossval.run(read.load(Path("classic")), [fold], None, **again)


@pytest.mark.parametrize(("activation", "head"), [("relu", "softmax"), ("tanh", "sigmoid")])
def test_the_classic_learns(tiny: tuple[dict[str, Any], Path], activation: str, head: str) -> None:
    """The yardstick, on stacked features, is judged on a fold that it never saw; without one it is refused."""
    rec, root = tiny
    rec = {**rec, "labels": rec["labels"][:3], "background": None, "head": head, "batch": {"size": 16}}
    front = {**rec["front_end"], "hop_length": 512, "n_fft": 1024, "win_length": 1024}
    front["features"] = [{"kind": "log_mel", "n_mels": 20}, {"kind": "chroma_stft"}, {"kind": "mfcc", "n_mfcc": 13}]
    network = {
        "kind": "classic",
        "window_frames": 16,
        "channels": [8],
        "dense": 16,
        "dropout": 0.1,
        "activation": activation,
    }
    rec |= {"front_end": front, "network": network, "schedule": {"epochs": 12, "learning_rate": 0.005}}
    told: list[str] = []
    plain = read.of(rec, "classic")
    assert isinstance(plain, ClassicRecipe)
    judgement = classic.run(plain, [held_fold(rec, root)], root=root, cache=None, say=told.append)
    assert judgement.accuracy() >= 0.6
    assert any(line.startswith("epoch 12 of 12") for line in told)
    with pytest.raises(ConfigError, match="hold out a fold"):
        classic.run(plain, [], root=root, cache=None)


def test_batches_depend_on_seed_and_step_alone(tiny: tuple[dict[str, Any], Path]) -> None:
    """Asked in any order, a step's batch is the same; another step's is another; targets are shares of one."""
    rec, root = tiny
    loaded = recipe.prepare(read.of(rec, "tiny"), [], root=root)
    _, shape = streaming(rec).shape()
    make = [
        Batches(loaded.train, streaming(rec).batch, window_frames=shape.window_frames, n_labels=4, seed=1) for _ in "ab"
    ]
    later, first = make[0](5), make[0](0)
    np.testing.assert_array_equal(make[1](0).x, first.x, strict=True)
    np.testing.assert_array_equal(make[1](5).x, later.x, strict=True)
    assert not np.array_equal(first.x, later.x)
    np.testing.assert_allclose(later.y.sum(axis=1), 1.0, atol=1e-5)
    assert np.isfinite(later.x).all()
    assert later.x.min() >= -100.0


def judged(right: float, n: int = 20) -> Judgement:
    """Ten clips each of two labels, a share of them right."""
    truth = np.repeat([0, 1], n)
    found = truth.copy()
    wrong = round(n * (1.0 - right))
    found[:wrong] = 1
    found[n : n + wrong] = 0
    return Judgement(("a", "b"), None, truth, np.eye(2, dtype=np.float32)[found], ())


def test_an_int8_model_that_collapses_is_refused() -> None:
    """Falling behind float is refused over all and for one label alone; keeping up is not."""
    export.refuse(judged(0.95), judged(0.95))
    with pytest.raises(ModelError, match=r"int8 accuracy 0\.350"):
        export.refuse(judged(0.95), judged(0.35))
    one = judged(0.95, 100)
    scores = one.scores.copy()
    scores[:25] = [0.0, 1.0]
    scores[100:] = [0.0, 1.0]
    with pytest.raises(ModelError, match="label 'a'"):
        export.refuse(one, Judgement(one.labels, None, one.truth, scores, ()), margin=0.2)


def test_a_set_may_be_learnt_from_and_not_judged_by(tiny: tuple[dict[str, Any], Path]) -> None:
    """Of a set with `judged: false` no event is among what is kept aside; its background still is."""
    rec, root = tiny
    fold = held_fold(rec, root)
    sets = [{**rec["data"]["sets"][0], "judged": False}]
    whole = recipe.prepare(read.of(rec, "tiny"), [fold], root=root)
    part = recipe.prepare(streaming({**rec, "data": {**rec["data"], "sets": sets}}), [fold], root=root)
    assert {c.label for c in whole.kept_clips} == {"beep", "clicks", "siren", "hum"}
    assert {c.label for c in part.kept_clips} == {"hum"}
    assert len(part.train_clips) == len(whole.train_clips)


def test_figures_of_a_judgement() -> None:
    """Accuracy among events ignores background; with it, a clip that is called background is wrong."""
    scores = np.asarray([[0.3, 0.1, 0.6], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]], np.float32)
    found = Judgement(("a", "b", "background"), "background", np.asarray([0, 1, 2]), scores, ())
    assert found.accuracy() == 1.0
    assert found.accuracy(with_background=True) == 0.5
    assert evaluate.summary(found)["background_kept"] == 1.0
    assert found.confusion().tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert found.per_label()["background"]["precision"] == 0.5


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A recipe whose recordings are not there says so, and what to give."""
    with pytest.raises(ConfigError, match="not there; give the folder of the recordings with --data"):
        recipe.prepare(read.load(Path("esc10")), [4], root=tmp_path / "nowhere")


def test_two_labels_at_once_and_none(tiny: tuple[dict[str, Any], Path]) -> None:
    """Multi-label: mixed sounds are both there. Without background, noise alone has no label instead of one of them."""
    rec, root = tiny
    loaded = recipe.prepare(streaming({**rec, "labels": rec["labels"][:3], "background": None}), [], root=root)
    options = dataclasses.replace(streaming(rec).batch, mix=1.0, noise_alone=0.2, partial=0.0, silence=0.0)
    kinds = {
        multi: Batches(
            loaded.train, options, window_frames=40, n_labels=3, seed=1, background=False, multi_label=multi
        )(0).y
        for multi in (True, False)
    }
    assert kinds[True].shape == (32, 3)
    assert (kinds[True].sum(axis=1) > 1.5).any()
    assert (kinds[False].sum(axis=1) < 1.01).all()
    assert (kinds[True].sum(axis=1) == 0.0).any()
