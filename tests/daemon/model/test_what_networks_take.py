"""A network may take and give what others' networks do: types, layouts, samples, logits, a state of its own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import End, NominalClock, Segment, Sound
from auricle.errors import AudioError, ConfigError, ModelError
from auricle.features import extract
from auricle.gate import NoiseGate, gated_sound
from auricle.hearing import pipeline
from auricle.hearing.hearer import Hearer
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.hearing.whole import Classifier
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle.model.card import Affine
from auricle.model.classifier import classifier
from auricle.model.network import HIGHEST, scores_of
from auricle.publish.publisher import Publisher
from helpers import graphs, laws
from helpers.foreign import WAVEFORM_FRONT_END, bundled, timing
from helpers.sounds import RATE, varied, write

FRAMES, BANDS = 12, 8
LABELS = ["low", "middle", "high"]
GRIDS = {"int8": Affine(0.5, 60), "uint8": Affine(0.5, 190)}
"""Of log-mel in dB."""
FRONT_END = {
    "sample_rate": RATE,
    "n_fft": 512,
    "hop_length": 160,
    "features": [{"kind": "log_mel", "n_mels": BANDS, "fmin": 100.0, "fmax": 7000.0}],
}
BIAS = [1.0, 0.5, -0.5]
RANDOM = np.random.default_rng(7)
WEIGHTS = np.rint(RANDOM.uniform(-2, 2, (3, FRAMES, BANDS))) * graphs.WEIGHT
"""``(labels, frames, bands)``; a network that had frames and bands the wrong way round would say something else."""
ROWS = RANDOM.uniform(-90, 0, (2 * FRAMES, BANDS)).astype(np.float32)


def told(logits: Any, head: str) -> Any:
    """The scores of logits ``(n, labels)``, in double precision."""
    if head == "softmax":
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    return 1 / (1 + np.exp(-logits))


def of_features(
    folder: Path, shape: tuple[int, ...], *, across: bool, dtype: str, head: str, logits: bool, **graph: Any
) -> Bundle:
    """A bundle whose network weighs every feature of a window by `WEIGHTS`, laid out as told."""
    weights = np.swapaxes(WEIGHTS, 1, 2) if across else WEIGHTS
    op = "" if logits else {"softmax": "SOFTMAX", "sigmoid": "LOGISTIC"}[head]
    flat = weights.reshape(3, -1)
    content = graphs.linear(shape, flat, BIAS, dtype=dtype, source=GRIDS.get(dtype), head=op, **graph)
    grids: dict[str, Any] = {}
    if dtype != "float32":
        given = (graphs.LOGITS if logits else graphs.SCORES)[dtype]
        pairs = (("input", GRIDS[dtype]), ("output", given))
        grids = {name: {"scale": grid.scale, "zero_point": grid.zero_point} for name, grid in pairs}
    bundled(
        folder,
        content,
        ROWS,
        labels=LABELS,
        head=head,
        input={
            "kind": "features",
            "shape": [FRAMES, BANDS],
            "dtype": dtype,
            "layout": "features_frames" if across else "frames_features",
        },
        output={"dtype": dtype, "logits": logits},
        quantisation=grids,
        front_end=FRONT_END,
        timing=timing(FRAMES),
    )
    return bundles.load(str(folder))


LAYOUTS = {
    "batch": ((1, FRAMES, BANDS), False),
    "channel": ((1, FRAMES, BANDS, 1), False),
    "bare": ((FRAMES, BANDS), False),
    "flat": ((1, FRAMES * BANDS), False),
    "across": ((1, BANDS, FRAMES), True),
    "across, channel": ((1, BANDS, FRAMES, 1), True),
    "across, flat": ((BANDS * FRAMES,), True),
}
STEP = {"float32": 1e-5, "int8": 0.02, "uint8": 0.02}
"""How near the scores are to those in double precision: a step of quantised logits is a 16th, a 64th of a score."""


MEET = [
    *itertools.product(LAYOUTS, ["float32"]),
    *itertools.product(("batch", "across"), ["int8"]),
    *itertools.product(("channel", "across, flat"), ["uint8"]),
]


@pytest.mark.parametrize(("head", "logits"), [*itertools.product(("sigmoid", "softmax"), (False, True))])
@pytest.mark.parametrize(("layout", "dtype"), MEET)
def test_features_in_every_layout_and_type(tmp_path: Path, layout: str, dtype: str, head: str, logits: bool) -> None:
    """Scores are those of the features in double precision, whatever types and axes; logits become scores."""
    shape, across = LAYOUTS[layout]
    bundle = of_features(tmp_path / "m", shape, across=across, dtype=dtype, head=head, logits=logits)
    stages = classifier(bundle, 5)
    given = stages.process(ROWS)
    windows = np.stack([ROWS[i : i + FRAMES] for i in range(0, FRAMES + 1, 5)]).astype(np.float64)
    if dtype != "float32":
        windows = np.rint(windows / 0.5) * 0.5  # as far as the grid tells them apart
    wanted = told(np.einsum("wfb,lfb->wl", windows, WEIGHTS) + BIAS, head)
    assert wanted.std() > 0.1, "else the test could not fail"
    np.testing.assert_allclose(given, wanted, atol=STEP[dtype])


@pytest.mark.parametrize("signature", [(-1, FRAMES, BANDS), (-1, -1, BANDS)])
def test_an_open_first_axis_is_a_batch_of_one(tmp_path: Path, signature: tuple[int, ...]) -> None:
    """A graph whose first axis is -1, or the frames' too, is resized to one window."""
    shape = tuple(max(1, n) for n in signature)
    options = {"across": False, "dtype": "float32", "head": "sigmoid", "logits": False}
    bundle = of_features(tmp_path / "m", shape, signature=signature, **options)  # type: ignore[arg-type]
    fixed = of_features(tmp_path / "fixed", (1, FRAMES, BANDS), **options)  # type: ignore[arg-type]
    given = [classifier(each, 3).process(ROWS) for each in (bundle, fixed)]
    np.testing.assert_array_equal(given[0], given[1], strict=True)


SAMPLES = 1000
"""No multiple of the hop of 160."""
LOUDER = np.linspace(0.1, 2.0, SAMPLES) / SAMPLES
"""Newest samples weigh the most, so that the order shows."""


def of_waveform(folder: Path, *, samples: int = SAMPLES, signature: Any = None, bias: float = -2.0) -> Bundle:
    """A bundle that hears how loud its window of samples is."""
    weights = np.stack([200 * LOUDER, -200 * LOUDER])
    shape = (1, SAMPLES) if signature is None else tuple(max(1, n) for n in signature)
    content = graphs.linear(shape, weights, [bias, -bias], head="LOGISTIC", squared=True, signature=signature)
    bundled(
        folder,
        content,
        varied(14 * 160 / RATE).reshape(14, 160),
        labels=["loud", "quiet"],
        input={"kind": "waveform", "shape": [samples], "dtype": "float32"},
        output={"dtype": "float32"},
        front_end=WAVEFORM_FRONT_END,
        timing=timing(7),
    )
    return bundles.load(str(folder))


def loudness(samples: Any) -> Any:
    """What such a network says of windows ``(n, samples)``, in double precision."""
    logits = 200 * (samples.astype(np.float64) ** 2 @ LOUDER) - 2.0
    return told(np.stack([logits, -logits], axis=-1), "sigmoid")


@pytest.mark.parametrize("signature", [None, (-1,)])
@pytest.mark.parametrize("hop_frames", [1, 3, 8])
def test_a_waveform_is_heard_window_by_window(tmp_path: Path, signature: Any, hop_frames: int) -> None:
    """Whole windows of samples, though no multiple of a hop, at hops within a window and beyond it."""
    bundle = of_waveform(tmp_path / "m", signature=signature)
    sound = varied(1.0)
    stages = pipeline.scorer(bundle, config.Decision(hop_ms=10 * hop_frames), config.Gate()).stages
    assert stages.span == 7 * 160
    scores = stages.process(sound)
    ends = range(7 * 160, len(sound) + 1, 160 * hop_frames)
    wanted = loudness(np.stack([sound[end - SAMPLES : end] for end in ends]))
    assert wanted.std() > 0.1
    np.testing.assert_allclose(scores, wanted, atol=1e-5)


@pytest.mark.parametrize("enabled", ["off", "on"])
def test_a_waveform_keeps_the_laws(tmp_path: Path, enabled: str) -> None:
    """Cut, count, reset and batch hold from samples to scores, with the gate and without."""
    bundle = of_waveform(tmp_path / "m")
    gate = config.Gate(enabled=enabled, start_up_s=0.2)

    def make() -> Any:
        return pipeline.scorer(bundle, config.Decision(hop_ms=20), gate).stages

    sizes = [1, 159, 160, 161, 700, 2000, 3, 1, 5000]
    if enabled == "off":
        laws.hold(make, varied(1.5), sizes)
    else:
        laws.hold_batch(make, varied(1.5), sizes)


def test_behind_the_gate_a_waveform_is_gated_sound(tmp_path: Path) -> None:
    """The window's samples are those of the gate's own overlap-add, and the gate does take something away."""
    given: dict[str, Any] = {"sample_rate": RATE, "n_fft": 640, "hop_length": 160}
    gate = NoiseGate(**given, start_up_s=0.3)
    sound = varied(2.0)
    rows = extract(sound, RATE, "sound", n_fft=640, hop_length=160, gate=gate)
    other = NoiseGate(**given, start_up_s=0.3)
    wanted = gated_sound(other, n_fft=640, hop_length=160, win_length=None, double=False).process(sound)
    np.testing.assert_array_equal(rows, wanted)
    plain = extract(sound, RATE, "sound", hop_length=160)
    np.testing.assert_array_equal(plain, sound[: len(plain) * 160].reshape(-1, 160))
    bundle = of_waveform(tmp_path / "m")
    on = pipeline.scorer(bundle, config.Decision(hop_ms=80), config.Gate(enabled="on", start_up_s=0.3))
    off = pipeline.scorer(bundle, config.Decision(hop_ms=80), config.Gate())
    quieter = on.stages.process(sound)[-5:, 0].mean()
    assert on.front_end.gate is not None
    assert quieter < off.stages.process(sound)[-5:, 0].mean()


def of_state(folder: Path, receptive: int = 0) -> Bundle:
    """A bundle whose graph adds up what it was ever given: two rows of one band, each with a label."""
    bundled(
        folder,
        graphs.counting(1, 2),
        np.asarray([[0.5], [-0.25], [1.0], [0.0]], np.float32),
        labels=["first", "second"],
        input={"kind": "features", "shape": [2, 1], "dtype": "float32"},
        output={"dtype": "float32"},
        keeps_state=True,
        front_end={**FRONT_END, "features": [{"kind": "mel", "n_mels": 1, "norm": None}]},
        timing=timing(2, receptive_frames=receptive),
    )
    return bundles.load(str(folder))


@pytest.mark.parametrize(("receptive", "skipped"), [(0, 0), (5, 2)])
def test_a_graph_with_a_state_hears_every_window_once(tmp_path: Path, receptive: int, skipped: int) -> None:
    """What it says is of all that went before in the segment; what it says before it has heard enough is not told."""
    bundle = of_state(tmp_path / "m", receptive)
    rows = np.random.default_rng(1).normal(0, 0.3, (41, 1)).astype(np.float32)
    sums = np.cumsum(rows[:40].reshape(20, 2).astype(np.float64), axis=0)
    for every in (1, 3):
        wanted = told(sums, "sigmoid")[skipped::every]
        stages = classifier(bundle, 2 * every)
        np.testing.assert_allclose(stages.process(rows), wanted, atol=1e-6)
        stages.reset()
        np.testing.assert_allclose(stages.process(rows), wanted, atol=1e-6, err_msg="a segment begins anew")
        laws.hold(lambda every=every: classifier(bundle, 2 * every), rows, [1, 2, 3, 1, 7, 11])


def test_a_state_that_is_spoilt_is_given_up(tmp_path: Path) -> None:
    """What is no number stays none in a graph that adds up; after such a decision it begins anew, and so is heard."""
    stages = classifier(of_state(tmp_path / "m"), 2)
    rows = np.asarray([[1.0], [2.0], [np.inf], [0.0], [-np.inf], [0.0], [0.5], [0.0], [0.5], [1.0]], np.float32)
    given = stages.process(rows)
    assert np.isfinite(given).all(axis=1).tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(given[3:], told(np.asarray([[0.5, 0.0], [1.0, 1.0]]), "sigmoid"), atol=1e-6)


def test_a_hop_that_would_hear_a_window_twice_is_refused(tmp_path: Path) -> None:
    """The decision hop of a graph with a state is a multiple of what it takes at a time."""
    with pytest.raises(ConfigError, match=r"10 is no multiple of 20"):
        pipeline.scorer(of_state(tmp_path / "m"), config.Decision(hop_ms=10), config.Gate())


def test_what_the_card_says_of_a_tensor_must_be_so(tmp_path: Path) -> None:
    """Another type, another order of axes, another number of samples: each one line."""
    folder = tmp_path / "m"
    options = {"across": False, "dtype": "float32", "head": "sigmoid", "logits": False}
    of_features(folder, (1, FRAMES, BANDS), **options)  # type: ignore[arg-type]
    card = (folder / "card.yaml").read_text()

    def refused(old: str, new: str) -> str:
        assert old in card
        (folder / "card.yaml").write_text(card.replace(old, new, 1))
        with pytest.raises(ModelError) as found:
            bundles.load(str(folder))
        assert len(found.value.lines()) == 1
        return str(found.value)

    assert "tensor 'input' is float32; use int8, or say so in the card" in refused("dtype: float32", "dtype: int8")
    assert "takes windows of (12, 8); the card says (8, 12)" in refused("frames_features", "features_frames")
    assert "input.dtype: 'float16' is not known" in refused("dtype: float32", "dtype: float16")
    assert "input.layout: 'rows' is not known" in refused("layout: frames_features", "layout: rows")


def silent(folder: Path) -> Bundle:
    """A bundle whose network takes the logarithm of how loud it is, which silence has none of."""
    weights = np.stack([np.full(1600, 1e-3), np.full(1600, 2e-3)])
    bundled(
        folder,
        graphs.linear((1600,), weights, [0.0, 0.0], head="LOG", squared=True),
        varied(20 * 160 / RATE).reshape(20, 160),
        labels=["one", "two"],
        input={"kind": "waveform", "shape": [1600], "dtype": "float32"},
        output={"dtype": "float32", "logits": True},
        front_end=WAVEFORM_FRONT_END,
        timing=timing(10),
    )
    return bundles.load(str(folder))


@pytest.mark.parametrize(("head", "logits"), [*itertools.product(("sigmoid", "softmax"), (False, True))])
def test_no_score_is_as_high_as_one(tmp_path: Path, head: str, logits: bool) -> None:
    """However sure a network is, a threshold of 1 silences its label."""
    made = of_features(
        tmp_path / "m", (1, FRAMES, BANDS), across=False, dtype="float32", head=head, logits=logits
    )  # fmt: skip
    sure = scores_of(np.asarray([500.0, 0.0, -500.0] if logits else [1.0, 0.25, 0.0], np.float32), made.card)
    assert sure[0] == HIGHEST < 1
    assert sure[2] >= 0
    assert logits or sure[1:].tolist() == [0.25, 0.0]


def test_scores_that_are_no_numbers_are_an_error_of_the_recording(tmp_path: Path) -> None:
    """Whoever judges a recording is told that the model gave no numbers for it."""
    bundle, decision, gate = silent(tmp_path / "m"), config.Decision(), config.Gate()
    loud = write(tmp_path / "loud.wav", varied(1.0), RATE)
    quiet = write(tmp_path / "quiet.wav", np.zeros(RATE, np.float32), RATE)
    classify, hear = Classifier(bundle, decision, gate).verdict, Hearer(bundle, decision, gate).hear
    assert classify(str(loud)).label == "two"
    assert np.isfinite(hear(str(loud)).scores).all()
    for act in (classify, hear):
        with pytest.raises(AudioError, match=r"quiet\.wav: model m gives scores that are no numbers"):
            act(str(quiet))


def test_scores_that_are_no_numbers_are_told_and_counted(tmp_path: Path) -> None:
    """Such decisions raise no event and end those that go on; the other source goes on, and so does this one after."""
    bundle, messages = silent(tmp_path / "m"), []
    decision = config.Decision(hop_ms=100, smoothing_ms=0, threshold=0.5, min_duration_ms=0)
    publisher = Publisher("node", [lambda topic, payload: messages.append(json.loads(payload))])
    lanes = [
        Lane(Recordings(name, [], model_rate=RATE), bundle, decision=decision, gate=config.Gate(),
             publish=config.Publish(), publisher=publisher)
        for name in ("dead", "fine")
    ]  # fmt: skip
    noise = np.full(RATE, 0.9, np.float32)
    dead = np.concatenate([noise, np.zeros(RATE, np.float32), noise])
    together, pieces = Together(), []
    for sound in (dead, np.tile(noise, 3)):
        whole = [Segment(start=0, rate=RATE, clock=NominalClock(RATE)), Sound(sound)]
        pieces.append(iter([*whole, End("end")]))
    drawn = [True]
    while any(drawn):
        drawn = [lane.draw(each) for lane, each in zip(lanes, pieces, strict=True)]
        assert not together.hear(lanes, 0.0)
    of = {name: [message for message in messages if message["source"] == name] for name in ("dead", "fine")}
    status = [
        message["detail"] for message in of["dead"] if message["type"] == "status" and "model m" in message["detail"]
    ]
    assert status == [
        "model m gives scores that are no numbers; no event until it gives such",
        "model m gives numbers again",
    ]
    unsound = [lane.health(0.0).unsound for lane in lanes]
    assert unsound == [10, 0], "the windows in which all is silent"
    scores = [message["scores"]["two"] for message in of["dead"] if message["type"] == "score"]
    assert scores.count(0.0) == 10
    phases = {
        name: [message["phase"] for message in told if message["type"] == "event" and message["phase"] != "update"]
        for name, told in of.items()
    }
    assert phases == {
        "dead": ["onset", "onset", "offset", "offset"] * 2,
        "fine": ["onset", "onset", "offset", "offset"],
    }
