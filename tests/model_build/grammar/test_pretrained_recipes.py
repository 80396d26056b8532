"""A recipe of a pretrained network: each mistake is one line, with its place, and what to write instead."""

# ruff: noqa: E501 (each complaint stands whole beside what causes it)

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.config import values
from auricle.errors import ConfigError
from auricle_build.grammar import read
from auricle_build.grammar.recipes import PretrainedRecipe

RECIPE = """\
name: mine
seed: 1
head: sigmoid
labels:
  - {name: dog, audioset: [Bark, Dog]}
  - {name: pet, audioset: [Cat]}
front_end:
  sample_rate: 16000
  n_fft: 512
  hop_length: 160
  features:
    - {kind: log_mel, n_mels: 20, natural: true, offset: 1.0e-5}
data:
  root: sounds
  sets:
    - {name: made, reader: folders, path: set, licence: CC0, source: code, place: true}
  variants:
    - {overdriven_db: 9}
batch: {size: 8, snr_db: [-2, 25]}
network:
  kind: mobilenet_v3
  weights: weights.npz
  sha256: 00ff
  classes: classes.csv
  licence: MIT
  source: code
  window_frames: 64
schedule: {steps: 3, learning_rate: 0.001, check_every: 1}
"""


def said_of(text: str, tmp_path: Path) -> list[str]:
    """What is said of a recipe, each line with the file's place."""
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read.load(path)
    for line in caught.value.lines():
        assert line.startswith(f"{path}:")
    return [line.removeprefix(f"{path}:") for line in caught.value.lines()]


def test_it_is_read(tmp_path: Path) -> None:
    """What is written is there, the rest has its default; a card's recipe is the same again."""
    (tmp_path / "r.yaml").write_text(RECIPE)
    rec = read.load(tmp_path / "r.yaml")
    assert isinstance(rec, PretrainedRecipe)
    assert (rec.window_frames(), rec.names, rec.batch.snr_db, rec.batch.second) == (64, ["dog", "pet"], (-2, 25), 0.25)
    assert rec.labels[0].audioset == ("Bark", "Dog")
    assert (rec.data.sets[0].place, rec.data.variants[0].overdriven_db) == (True, 9.0)
    assert (rec.network.frozen_blocks, rec.schedule.hold, rec.schedule.single) == (0, 1.0, 0.0)
    assert read.of(values(rec), "card") == rec


NATURAL = "the network hears natural log_mel with an offset, and nothing else"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        # what has to fit together
        (", audioset: [Cat]", "", "6: labels[1].audioset: 'pet' rests on no class of AudioSet; name at least one"),
        ("audioset: [Cat]", "audioset: []", "6: labels[1].audioset: 'pet' rests on no class of AudioSet; name at least one"),
        ("head: sigmoid", "head: softmax", "3: head: several of AudioSet's sounds may be there at once; use sigmoid"),
        ("head: sigmoid\n", "", "1: head: several of AudioSet's sounds may be there at once; use sigmoid"),
        ("head: sigmoid", "head: sigmoid\nbackground: pet", "4: background: where no label is heard, no score is high; leave it out"),
        (", natural: true", "", f"12: front_end.features: {NATURAL}"),
        (", offset: 1.0e-5", "", f"12: front_end.features: {NATURAL}"),
        ("{kind: log_mel, n_mels: 20, natural: true, offset: 1.0e-5}", "{kind: mfcc}", f"12: front_end.features: {NATURAL}"),
        ("offset: 1.0e-5}", "offset: 1.0e-5}\n    - {kind: mfcc}", f"12: front_end.features: {NATURAL}"),
        # keys of its own
        ("  sha256: 00ff\n", "", "21: network.sha256: is missing; give a SHA-256"),
        ("  licence: MIT\n", "", "21: network.licence: is missing; give a licence"),
        ("window_frames: 64", "window_frames: 16", "27: network.window_frames: '16' is out of range; use 32 to 4096"),
        ("window_frames: 64", "window_frames: 64\n  frozen_blocks: 16", "28: network.frozen_blocks: '16' is out of range; use 0 to 15 (default 0)"),
        ("window_frames: 64", "window_frames: 64\n  columns: 4", "28: network: unknown key 'columns'; known here: kind, weights, sha256, classes, licence, source, window_frames, frozen_blocks, trunk_rate, head_only"),
        ("size: 8", "size: 8, mixx: 1", "19: batch: unknown key 'mixx'; known here: size, events, noise, second, behind, snr_db, begun, begun_share, variants, levelled, level_db, equalised_db, dulled, masked"),
        ("[-2, 25]", "[25, -2]", "19: batch.snr_db: begins above its end; use from and to, [-60 to 120 dB, -60 to 120 dB] (default [-2, 25])"),
        ("size: 8", "size: 8, begun: 2", "19: batch.begun: '2' is out of range; use 0 to 1 (default 0.35)"),
        ("steps: 3,", "steps: 3, patience: 1,", "28: schedule: unknown key 'patience'; known here: steps, learning_rate, warmup, weight_decay, average, check_every, hold, single"),
        ("overdriven_db: 9", "overdriven_db: 99", "18: data.variants[0].overdriven_db: '99' is out of range; use 0 to 60 dB, or null"),
        ("place: true", "place: maybe", "16: data.sets[0].place: 'maybe' is not true or false; use true or false (default false)"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """One mistake, one line: file and line, the value, and what to write instead."""
    assert RECIPE.count(old) == 1
    assert said_of(RECIPE.replace(old, new), tmp_path) == [complaint]


def test_they_are_told_at_once(tmp_path: Path) -> None:
    """Labels, features and head are checked together, in the order of their lines."""
    text = RECIPE.replace("head: sigmoid", "head: softmax").replace(", audioset: [Cat]", "")
    text = text.replace(", natural: true", "")
    assert said_of(text, tmp_path) == [
        "3: head: several of AudioSet's sounds may be there at once; use sigmoid",
        "6: labels[1].audioset: 'pet' rests on no class of AudioSet; name at least one",
        f"12: front_end.features: {NATURAL}",
    ]
