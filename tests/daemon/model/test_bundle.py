"""A bundle that does not hold is refused before the first sample, in one line that says why."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle import config
from auricle.errors import ModelError
from auricle.features import front_end
from auricle.hearing import pipeline
from auricle.model import bundle, litert
from auricle.model.card import Affine
from auricle.model.network import Network, quantise
from auricle.service import state
from helpers import sounds


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The default bundle, to be spoilt."""
    return Path(shutil.copytree(bundle.find("esc10"), tmp_path / "esc10"))


def spoil_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the card in place."""
    card = yaml.safe_load((folder / "card.yaml").read_text())
    change(card)
    (folder / "card.yaml").write_text(yaml.safe_dump(card))


def spoil_file(folder: Path, name: str, content: bytes) -> None:
    """Put another file in a file's place, and its hash into the card: only what is in it can give it away."""
    (folder / name).write_bytes(content)
    spoil_card(folder, lambda card: card["files"].update({name: hashlib.sha256(content).hexdigest()}))


def refused(folder: Path) -> str:
    """The lines with which a bundle is refused: each names the place."""
    with pytest.raises(ModelError) as caught:
        bundle.load(str(folder))
    lines = caught.value.lines()
    assert all(line.startswith(str(folder)) and "\n" not in line for line in lines)
    return "\n".join(lines)


def test_the_default_bundle_holds() -> None:
    """The packaged default is whole: ten labels and background, at most 250 KB, and its golden vectors hold."""
    esc10 = bundle.load("esc10")
    assert len(esc10.labels) == 11
    assert esc10.card.background == "background"
    assert len(esc10.whole) <= 250_000


def test_its_card_states_accuracy_over_the_bar() -> None:
    """The card gives float and int8 clip accuracy on a fold that the same recipe never saw, both over 80 %."""
    figures = bundle.load("esc10").raw["figures"]["held_out"]
    assert figures["float"]["accuracy"] > 0.80
    assert figures["int8"]["accuracy"] > 0.80


def test_a_changed_file_is_refused(copy: Path) -> None:
    """One flipped bit in the network is noticed by its hash."""
    content = bytearray((copy / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.tflite").write_bytes(content)
    assert "SHA-256" in refused(copy)


@pytest.mark.parametrize("content", [b"", b"this is no model", b"\0" * 5000])
def test_a_foreign_network_is_refused(copy: Path, content: bytes) -> None:
    """What is no TFLite file is refused though its hash is right."""
    spoil_file(copy, "model.tflite", content)
    assert "not a TFLite model" in refused(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    """A file that the card names and the folder lacks."""
    (copy / "golden.npz").unlink()
    assert "No such file" in refused(copy)


def test_other_golden_vectors_are_refused(copy: Path) -> None:
    """A network that answers the golden frames otherwise is another network."""
    with np.load(copy / "golden.npz") as golden:
        other = {name: golden[name] for name in golden.files}
    other["scores"] = np.roll(other["scores"], 1, axis=1)
    np.savez(copy / "other.npz", **other)
    spoil_file(copy, "golden.npz", (copy / "other.npz").read_bytes())
    assert "the network answers window 0" in refused(copy)


def test_golden_vectors_are_equal_on_this_class_of_machine() -> None:
    """Here, where they were made, the golden answers are equal to the bit."""
    esc10 = bundle.load("esc10")
    if os.uname().machine != "x86_64" or "ai_edge_litert" not in type(litert.load(esc10.whole)).__module__:
        pytest.skip("the golden vectors were made with LiteRT on x86-64")
    with np.load(esc10.path / "golden.npz") as golden:
        frames, hop, scores = golden["frames"], int(golden["hop_frames"]), golden["scores"]
    rows = quantise(frames, esc10.card.quantisation.input)
    network = Network(esc10.card, esc10.whole, "here")
    span = esc10.card.timing.window_frames
    given = np.stack([network(rows[j * hop : j * hop + span]) for j in range(len(scores))])
    np.testing.assert_array_equal(given, scores)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card.update(format=2), "format 2 is not known"),
        (lambda card: card.update(labels=card["labels"][:-1]), "background"),
        (lambda card: card.update(labels=[*card["labels"], "extra"]), "the card names 12 labels"),
        (lambda card: card.update(labels=[card["labels"][0]] * 11), "each must be named once"),
        (lambda card: card.update(labels="many"), "labels"),
        (lambda card: card.update(background="silence"), "background: 'silence' is none of the labels"),
        (lambda card: card.update(head="argmax"), "head: 'argmax' is not known"),
        (lambda card: card["input"].update(shape=[100, 64]), "timing.window_frames"),
        (lambda card: card["input"].update(kind="pictures"), "input.kind"),
        (lambda card: card["quantisation"]["input"].update(scale=0.75), "the card says 0.75"),
        (lambda card: card["quantisation"]["output"].update(scale=-1.0), "quantis"),
        (lambda card: card["files"].pop("golden.npz"), "golden.npz is not listed"),
        (lambda card: card["front_end"].update(hop="x"), "front_end"),
        (
            lambda card: card["front_end"].update(pre_emphasis=1.5),
            "front_end.pre_emphasis: 1.5 cannot be; use a number",
        ),
        (
            lambda card: card["front_end"].update(taper="box"),
            "front_end.taper: 'box' is not known; use hann, hann_symm",
        ),
        (
            lambda card: card["front_end"].update(align="end"),
            "front_end.align: 'end' is not known; use centre or start",
        ),
        (lambda card: card.pop("timing"), "timing"),
        (lambda card: card.update(thresholds={"rain": 0.0}), "thresholds.rain: 0 is not above 0"),
        (lambda card: card.update(min_durations_ms={"owl": 300}), "min_durations_ms.owl: 'owl' is none of the labels"),
        (lambda card: card.update(min_durations_ms={"rain": -1}), "min_durations_ms.rain: -1 is not 0 to 60000"),
        (lambda card: card.update(smoothings_ms={"rain": 20_000}), "smoothings_ms.rain: 20000 is not 0 to 10000"),
        (lambda card: card.update(hystereses={"owl": 0.1}), "hystereses.owl: 'owl' is none of the labels"),
        (
            lambda card: card.update(hystereses={"rain": 0.985}),
            "hystereses.rain: 0.985 is not below its threshold 0.985",
        ),
        (
            lambda card: card.update(thresholds={}, decision={"threshold": 0.3}, hystereses={"rain": 0.4}),
            "hystereses.rain: 0.4 is not below its threshold 0.3",
        ),
        (lambda card: card.update(decision={"hop_ms": 90}), "decision.hop_ms: 90 is no multiple of 40"),
        (lambda card: card.update(decision={"hop_ms": 0}), "decision.hop_ms: 0 is no multiple of 40"),
        (lambda card: card.update(decision={"threshold": 0}), "decision.threshold: 0 is not above 0, at most 1"),
        (lambda card: card.update(decision={"smoothing_ms": -1}), "decision.smoothing_ms: -1 is not 0 to 10000"),
        (lambda card: card.update(decision={"smooth": 1}), "smooth"),
        (lambda card: card.update(includes={"sea": ["rain"]}), "includes.sea: 'sea' is none of the labels that raise"),
        (lambda card: card.update(includes={"rain": ["sea"]}), "includes.rain: 'sea' is none of the labels that raise"),
        (
            lambda card: card.update(includes={"rain": ["background"]}),
            "includes.rain: 'background' is none of the labels",
        ),
        (lambda card: card.update(includes={"rain": ["rain"]}), "a label cannot contain itself: rain in rain"),
        (
            lambda card: card.update(includes={"rain": ["sneeze"], "sneeze": ["rooster"], "rooster": ["rain"]}),
            "a label cannot contain itself: ",
        ),
        (lambda card: card.update(includes={"rain": ["sneeze", "sneeze"]}), "includes.rain: must name the labels"),
        (lambda card: card.update(includes={"rain": []}), "includes.rain: must name the labels"),
        (lambda card: card.update(measured={"owl": "on nothing"}), "measured.owl: 'owl' is none of the labels"),
        (
            lambda card: card.update(measured={"rain": "a line\nand another"}),
            "measured.rain: what is said of it is not one line of text",
        ),
        (lambda card: card["timing"].update(stride_frames=0), "timing"),
    ],
)
def test_a_card_that_disagrees_is_refused(copy: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    """Every claim of the card that the network does not bear out is named, with the value."""
    spoil_card(copy, change)
    assert said in refused(copy)


@pytest.mark.parametrize("enabled", ["off", "on"])
def test_a_cards_front_end_is_what_is_heard(copy: Path, enabled: str) -> None:
    """Pre-emphasis, taper and alignment of a card reach the stages, before the gate and within it."""
    given = {"pre_emphasis": 0.97, "taper": "hann_symmetric", "align": "start", "remove_dc": True}
    bands = {"kind": "log_mel", "basis": "kaldi", "n_mels": 70, "keep": 64, "fmax": 9000.0, "offset": 1e-5}
    spoil_card(copy, lambda card: card["front_end"].update(given, features=[bands]))
    opened = bundle.load(str(copy))
    wanted = front_end(
        sample_rate=16_000, n_fft=512, win_length=400, hop_length=160, features=[bands],
        gate={} if enabled == "on" else None, **given,
    )  # fmt: skip
    heard = pipeline.front_end_of(opened, config.Gate(enabled=enabled))
    sound = sounds.varied(3.0)
    np.testing.assert_array_equal(heard.process(sound), wanted.process(sound), strict=True)


def test_a_front_end_of_other_rows_is_refused(copy: Path) -> None:
    """A card whose front end gives more features than its network takes is told before any sound, with the file."""
    spoil_card(copy, lambda card: card["front_end"].update(features=card["front_end"]["features"] * 2))
    with pytest.raises(
        ModelError, match=r"card\.yaml:\d+: front_end\.features: give 128 numbers a frame, and input\.shape has 64"
    ):
        bundle.card_of(str(copy))


def test_a_room_is_known_by_how_it_is_heard(copy: Path) -> None:
    """What a gate learned is kept apart by the card's pre-emphasis and taper, else by what it was before these were."""
    source = config.Source(name="porch", microphone=config.Microphone())
    rooms = {state.room(source, bundle.load(str(copy)))}
    for change in ({"pre_emphasis": 0.97}, {"taper": "hamming"}, {"remove_dc": True}):
        spoil_card(copy, lambda card, change=change: card["front_end"].update(change))
        rooms.add(state.room(source, bundle.load(str(copy))))
    assert len(rooms) == 4


@pytest.mark.parametrize("text", ["", "labels: [", "- a\n- list\n", "a: b: c"])
def test_a_card_that_is_none_is_refused(copy: Path, text: str) -> None:
    """An empty, broken or foreign card."""
    (copy / "card.yaml").write_text(text)
    assert str(copy / "card.yaml") in refused(copy)


def test_an_unknown_model_is_named_with_those_that_are_known() -> None:
    """A typo in the name is answered with the names there are."""
    with pytest.raises(ModelError, match=r"'esc11' is not known; use .*esc10"):
        bundle.load("esc11")


def test_a_folder_without_a_card_is_no_bundle(tmp_path: Path) -> None:
    """A folder that holds something else is said to be no bundle."""
    with pytest.raises(ModelError, match=r"holds no card\.yaml"):
        bundle.load(str(tmp_path))


def test_quantisation_saturates() -> None:
    """Values beyond the range stop at its ends; int8 would wrap them to the other side."""
    affine = Affine(scale=0.5, zero_point=10)
    values = np.array([-1e9, -70.0, -69.0, 0.0, 0.25, 0.26, 58.5, 59.0, 1e9], np.float32)
    assert quantise(values, affine).tolist() == [-128, -128, -128, 10, 10, 11, 127, 127, 127]
