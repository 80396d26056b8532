"""Every mistake in a recipe gets one line that says where, what, and what to write instead; all at once."""

# ruff: noqa: E501 (each complaint stands whole beside what causes it)

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from auricle.config import keys_of, values
from auricle.errors import EXIT_CONFIG, ConfigError
from auricle.features import front_end
from auricle_build.grammar import fit, read
from auricle_build.grammar.learning import KINDS
from auricle_build.grammar.material import READERS, Front, Label
from auricle_build.grammar.recipes import RECIPES, ClassicRecipe, Recipe, StreamingRecipe
from auricle_build.grammar.table import table
from auricle_build.material import clips

ROOT = Path(__file__).resolve().parents[3]
PACKAGED = sorted(path.stem for path in read.PACKAGED.glob("*.yaml"))

RECIPE = """\
name: mine
seed: 1
labels: [dog, cat, background]
background: background
head: softmax
front_end:
  sample_rate: 16000
  n_fft: 512
  hop_length: 160
  features:
    - {kind: log_mel, n_mels: 20}
data:
  root: sounds
  sets:
    - {name: made, reader: folders, path: set, licence: CC0, source: code}
  held_out: [5]
  variants:
    - {speed: 1.1, band: [120, 5500]}
batch: {mix: 0.2, gain_db: [-10, 5], origins: {made: 2}}
network:
  kind: streaming
  columns: 6
  layers:
    - [conv, [4, 4], [2, 2], 8]
    - [separable, [3, 9], [1, 1], 16]
schedule: {steps: 100, learning_rate: 0.01, check_every: 50, quantised_batch: {mix: 0.1}}
"""
CLASSIC = """\
name: mine
seed: 1
labels: [dog, cat]
front_end: {sample_rate: 16000, n_fft: 512, hop_length: 160, features: [{kind: log_mel, n_mels: 20}]}
data: {sets: [{name: made, reader: folders, path: set, licence: CC0, source: code}]}
network: {kind: classic, window_frames: 62, channels: [16, 32], dense: 128}
schedule: {epochs: 12, learning_rate: 0.001}
"""


def problems(text: str, tmp_path: Path) -> list[str]:
    """What is said of a recipe, without the file's name."""
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read.load(path)
    assert caught.value.exit_code == EXIT_CONFIG
    return [line.removeprefix(f"{path}:") for line in caught.value.lines()]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        # unknown keys, wherever they are
        ("head: softmax", "behnd_gate: true", "5: unknown key 'behnd_gate'; did you mean 'behind_gate'?"),
        ("check_every: 50,", "check_every: 50, patiense: 3,", "26: schedule: unknown key 'patiense'; did you mean 'patience'?"),
        ("{mix: 0.2,", "{mixx: 0.2,", "19: batch: unknown key 'mixx'; did you mean 'mix'?"),
        ("{mix: 0.1}", "{mixx: 0.1}", "26: schedule.quantised_batch: unknown key 'mixx'; did you mean 'mix'?"),
        ("columns: 6", "columns: 6\n  drop_out: 1", "23: network: unknown key 'drop_out'; did you mean 'dropout'?"),
        ("columns: 6", "columns: 6\n  steps: 1", "23: network: unknown key 'steps'; did you mean 'schedule.steps'?"),
        ("n_fft: 512", "n_fft: 512\n  hop: 1", "9: front_end: unknown key 'hop'; did you mean 'hop_length'?"),
        ("{speed: 1.1", "{sped: 1.1", "18: data.variants[0]: unknown key 'sped'; did you mean 'speed'?"),
        ("licence: CC0", "license: x, licence: CC0", "15: data.sets[0]: unknown key 'license'; did you mean 'licence'?"),
        ("[dog,", "[{name: dog, include: cat},", "3: labels[0]: unknown key 'include'; did you mean 'includes'?"),
        # what is missing
        ("seed: 1\n", "", "1: seed: is missing; give 0 to 2147483647"),
        ("labels: [dog, cat, background]\nbackground: background\n", "", "1: labels: is missing; begin each label with '- '"),
        (", licence: CC0", "", "15: data.sets[0].licence: is missing; give a licence, such as CC BY 4.0"),
        ("  columns: 6\n", "", "21: network.columns: is missing; give 1 to 1000"),
        ("steps: 100, ", "", "26: schedule.steps: is missing; give 1 to 100000000"),
        ("{kind: log_mel,", "{", "11: front_end.features: a feature has no kind; use features, such as [{kind: log_mel, n_mels: 64}], or a list"),
        # what is empty
        ("labels: [dog, cat, background]", "labels:", "3: labels: is empty; name one"),
        ("labels: [dog, cat, background]", "labels: []", "3: labels: is empty; name one"),
        ("name: mine", "name:", "1: name: is empty; use letters, digits, '_' and '-'"),
        ("features:\n    - {kind: log_mel, n_mels: 20}", "features: []", "10: front_end.features: is empty; use features, such as [{kind: log_mel, n_mels: 64}], or a list"),
        ("{speed: 1.1, band: [120, 5500]}", "{}", "18: data.variants[0]: changes nothing; give speed, room, band, overdriven_db, opus_bps, gate or lead_s"),
        # of a wrong type
        ("seed: 1", "seed: one", "2: seed: 'one' is not a whole number; use 0 to 2147483647"),
        ("labels: [dog, cat, background]", "labels: {dog: 1}", "3: labels: is not a list; begin each label with '- '"),
        ("steps: 100", "steps: [1, 2]", "26: schedule.steps: a list cannot stand here; use 1 to 100000000"),
        ("steps: 100", "steps: 1.5", "26: schedule.steps: '1.5' is not a whole number; use 1 to 100000000"),
        ("batch: {mix: 0.2, gain_db: [-10, 5], origins: {made: 2}}", "batch: 3", "19: batch: '3' cannot stand here; put the keys below it, indented"),
        ("gain_db: [-10, 5]", "gain_db: 5", "19: batch.gain_db: '5' is not in brackets; use from and to, [-120 to 60 dB, -120 to 60 dB] (default [0, 0])"),
        ("gain_db: [-10, 5]", "gain_db: [1, 2, 3]", "19: batch.gain_db: are not two values in brackets; use from and to, [-120 to 60 dB, -120 to 60 dB] (default [0, 0])"),
        ("{made: 2}", "[made]", "19: batch.origins: are no names with values; use {SET: 0 to 1000} (default 1 for each)"),
        ("[2, 2], 8]", "8]", "24: network.layers: a layer is no list of four; use [conv or separable, [time, bands] of the kernel, [time, bands] of the step, channels], or a list"),
        ("path: set,", "path: set, judged: maybe,", "15: data.sets[0].judged: 'maybe' is not true or false; use true or false (default true)"),
        ("head: softmax", "head: softmx", "5: head: 'softmx' is not known; did you mean 'softmax'?"),
        ("reader: folders", "reader: folder", "15: data.sets[0].reader: 'folder' is not known; did you mean 'folders'?"),
        ("[conv,", "[recurrent,", "24: network.layers: 'recurrent' is not known; use [conv or separable, [time, bands] of the kernel, [time, bands] of the step, channels], or a list"),
        ("[dog,", "[Dog,", "3: labels[0].name: 'Dog' is no label; did you mean 'dog'?"),
        # out of range
        ("mix: 0.2", "mix: 2", "19: batch.mix: '2' is out of range; use 0 to 1 (default 0)"),
        ("speed: 1.1", "speed: 9", "18: data.variants[0].speed: '9' is out of range; use 0.25 to 4 (default 1)"),
        ("[120, 5500]", "[5500, 120]", "18: data.variants[0].band: begins above its end; use from and to, [1 to 192000 Hz, 1 to 192000 Hz], or null"),
        ("steps: 100", "steps: 0", "26: schedule.steps: '0' is out of range; use 1 to 100000000"),
        # what does not fit together
        ("[dog, cat, background]", "[dog, dog, background]", "3: labels[1].name: 'dog' is the name of labels[0] too; choose another"),
        ("[dog, cat, background]", "[background, dog, cat]", "3: labels[0].name: 'background' is the background: put it last"),
        ("background: background", "background: backgrond", "4: background: 'backgrond' is none of the labels; did you mean 'background'?"),
        ("{made: 2}", "{mode: 2}", "19: batch.origins.mode: 'mode' is none of the sets; did you mean 'made'?"),
        ("{mix: 0.1}", "{mix: 0.1, origins: {mode: 2}}", "26: schedule.quantised_batch.origins.mode: 'mode' is none of the sets; did you mean 'made'?"),
        ("steps: 100", "steps: 100, distil: 2", "26: schedule.distil: there is no teacher to learn of; give data.teacher, or leave it out"),
        ("n_fft: 512", "n_fft: 512\n  win_length: 1024", "9: front_end.win_length: '1024' is more than n_fft, 512; use at most that, or null"),
        ("[3, 9]", "[3, 10]", "25: network.layers[1]: a kernel of 10 bands does not fit the 9 that are left"),
        ("[3, 9]", "[3, 8]", "24: network.layers: 2 bands are left at the end; the head pools time only, leave 1"),
        ("[4, 4]", "[3, 4]", "24: network.layers: 3 frames seen at a stride of 2; make it a multiple of it"),
        # features, by what the front end says
        ("n_mels: 20", "n_mls: 20", "11: front_end.features[0]: feature log_mel: unknown parameter 'n_mls'; did you mean 'n_mels'?"),
        ("log_mel", "log_mell", "11: front_end.features[0]: unknown feature kind 'log_mell'; did you mean 'log_mel'?"),
        ("n_mels: 20", "fmin: x", "11: front_end.features[0]: feature log_mel: fmin 'x' is no number; use one"),
        ("{kind: log_mel, n_mels: 20}", "{kind: delta, of: {kind: mfcc}, order: 0.5}", "11: front_end.features[0]: feature delta: order 0.5 is no whole number; use one"),
        ("n_mels: 20", "n_mels: 10000000", "11: front_end.features: '10000000' is out of range; use at most 1000000; use features, such as [{kind: log_mel, n_mels: 64}], or a list"),
        # the kind of network
        ("kind: streaming", "kind: streamin", "21: network.kind: 'streamin' is not known; did you mean 'streaming'?"),
        ("kind: streaming", "kind: transformer", "21: network.kind: 'transformer' is not known; use streaming, mobilenet_v3 or classic"),
        ("kind: streaming", "kind:", "21: network.kind: is empty; use streaming, mobilenet_v3 or classic"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """One mistake, one line: its place, the value, and what to write instead."""
    assert RECIPE.count(old) == 1 or old in ("[dog,", "background: background")
    (said,) = problems(RECIPE.replace(old, new, 1), tmp_path)
    assert said.startswith(complaint) if complaint.endswith(": ") else said == complaint


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("relu", "gelu", "6: network.activation: 'gelu' is not known; did you mean 'relu'?"),
        ("kind: classic,", "kind: classic, columns: 3,", "6: network: unknown key 'columns'; known here: kind, window_frames, channels, dense, dropout, activation"),
        ("epochs: 12", "epochs: 12, warmup: 3", "7: schedule: unknown key 'warmup'; known here: epochs, learning_rate"),
        ("data: {", "batch: {mix: 0.1}\ndata: {", "5: batch: unknown key 'mix'; known here: size"),
        ("data: {", "data: {teacher: yamnet.tflite, ", "5: data.teacher: a classic network learns of none; leave it out"),
    ],
)  # fmt: skip
def test_the_kind_of_network_decides_its_keys(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """What one kind of network knows is unknown to another, in `network`, `batch` and `schedule`."""
    text = CLASSIC.replace("dense: 128", "dense: 128, activation: relu")
    (tmp_path / "good.yaml").write_text(text)
    assert isinstance(read.load(tmp_path / "good.yaml"), ClassicRecipe)
    assert problems(text.replace(old, new, 1), tmp_path) == [complaint]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Mistakes of every sort, in the order of their lines, several in one list and one line among them."""
    text = RECIPE.replace("head: softmax", "behnd_gate: true").replace("n_fft: 512", "n_fft: half")
    text = text.replace("mix: 0.2", "mixx: 0.2, noise: 7").replace("[conv, [4, 4]", "[cnv, [4]")
    text = text.replace("steps: 100", "patiense: 3").replace("speed: 1.1", "speed: fast")
    assert problems(text, tmp_path) == [
        "5: unknown key 'behnd_gate'; did you mean 'behind_gate'?",
        "8: front_end.n_fft: 'half' is not a whole number; use 16 to 65536",
        "18: data.variants[0].speed: 'fast' is not a number; use 0.25 to 4 (default 1)",
        "19: batch: unknown key 'mixx'; did you mean 'mix'?",
        "19: batch.noise: '7' is out of range; use 0 to 1 (default 0)",
        "24: network.layers: 'cnv' is not known; did you mean 'conv'?",
        "24: network.layers: are not two values in brackets; use [conv or separable, [time, bands] of the kernel, [time, bands] of the step, channels], or a list",
        "26: schedule.steps: is missing; give 1 to 100000000",
        "26: schedule: unknown key 'patiense'; did you mean 'patience'?",
    ]


def test_a_wrong_kind_hides_no_other_mistake(tmp_path: Path) -> None:
    """Of a network of no known kind only the kind is told, and of the rest of the recipe everything."""
    text = (
        RECIPE.replace("kind: streaming", "kind: dense").replace("seed: 1", "seed: x").replace("mix: 0.2", "mixx: 0.2")
    )
    assert problems(text, tmp_path) == [
        "2: seed: 'x' is not a whole number; use 0 to 2147483647",
        "21: network.kind: 'dense' is not known; use streaming, mobilenet_v3 or classic",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "{}: is empty; name a YAML file, or one of the package: audioset, classic, digits, esc10 or home"),
        ("[1, 2]\n", "{}:1: holds a list, not keys; begin with a key, such as 'name: mine'"),
        ("name: [\n", "{}:1: not valid YAML: "),
    ],
)
def test_what_is_no_recipe_says_so(text: str, complaint: str, tmp_path: Path) -> None:
    """An empty file, another document, and no YAML at all are one line each."""
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read.load(path)
    (line,) = caught.value.lines()
    assert line.startswith(complaint.format(path))


def test_a_name_that_is_none_is_told_the_one_that_was_meant() -> None:
    """A recipe of the package is found by name; a name beside it gets a suggestion."""
    with pytest.raises(ConfigError, match="esc1: no such file; did you mean 'esc10'"):
        read.load(Path("esc1"))


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_recipes_mean_what_they_say(name: str) -> None:
    """Every key of a recipe in the package has the value that is written, every other its default; it comes back whole."""
    rec = read.load(Path(name))
    written = yaml.safe_load((read.PACKAGED / f"{name}.yaml").read_text(encoding="utf-8"))
    late = written["schedule"].get("quantised_batch", {})
    found = values(rec)
    if isinstance(rec, StreamingRecipe):
        assert found["schedule"].pop("quantised_batch") == {**found["batch"], **late}
    written["schedule"].pop("quantised_batch", None)
    compare(type(rec), found, written)
    assert read.of(values(rec), "card") == rec


def compare(of: type, found: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Hold the values that were read against what is written and the defaults."""
    assert set(written) <= set(found)
    for name, about in keys_of(of).items():
        if name not in found:
            continue
        if about.section is None:
            expected = written[name] if name in written else json.loads(json.dumps(about.initial))
            assert found[name] == expected, name
        elif about.many:
            pairs = zip(found.get(name, ()), written.get(name, ()), strict=True)
            for one, other in pairs:
                if isinstance(one, str):
                    assert one == other
                else:
                    compare(about.section, one, other)
        else:
            compare(about.section, found[name], written.get(name, {}))


@pytest.mark.parametrize("name", PACKAGED)
def test_rows_that_were_kept_are_found_again(name: str) -> None:
    """Front end and variants are named as they are written, number for number: what a cache of rows goes by."""
    rec = read.load(Path(name))
    written = yaml.safe_load((read.PACKAGED / f"{name}.yaml").read_text(encoding="utf-8"))
    one, other = (json.dumps(params, sort_keys=True) for params in (rec.front_end.params, written["front_end"]))
    assert one == other
    said = [variant.said() for variant in rec.data.variants]
    assert json.dumps(said, sort_keys=True) == json.dumps(written["data"].get("variants", []), sort_keys=True)


def test_a_label_may_say_more_than_its_name(tmp_path: Path) -> None:
    """A name alone and a mapping stand side by side; what a label includes are others; written again they are the same."""
    labels = (
        "[dog, {name: pet, audioset: [Pets, 'Domestic animals, pets'], includes: [dog, cat]}, {name: cat}, background]"
    )
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("[dog, cat, background]", labels))
    rec = read.load(path)
    pet = Label(name="pet", audioset=("Pets", "Domestic animals, pets"), includes=("dog", "cat"))
    assert rec.labels == (Label(name="dog"), pet, Label(name="cat"), Label(name="background"))
    assert rec.names == ["dog", "pet", "cat", "background"]
    assert rec.events == ["dog", "pet", "cat"]
    said = values(rec)["labels"]
    assert said == [
        "dog",
        {"name": "pet", "audioset": [*pet.audioset], "includes": ["dog", "cat"]},
        "cat",
        "background",
    ]
    assert read.of(values(rec), "card") == rec


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("{name: dog, includes: [ct]}, cat", "labels[0].includes: 'ct' is none of the labels; did you mean 'cat'?"),
        (
            "{name: dog, includes: background}, cat",
            "labels[0].includes: 'background' is none of the labels; use dog or cat",
        ),
        (
            "{name: dog, includes: dog}, cat",
            "labels[0].includes: labels include each other in a circle: dog -> dog; break it",
        ),
        ("{name: dog, includes: cat}, {name: cat, includes: dog}", "labels include each other in a circle: "),
    ],
)
def test_what_labels_include_are_other_labels(labels: str, complaint: str, tmp_path: Path) -> None:
    """Unknown labels, the background and circles are refused, with their line."""
    (line,) = problems(RECIPE.replace("dog, cat,", f"{labels},"), tmp_path)
    assert line.startswith("3: ")
    assert complaint.replace("includes: '", "includes[0]: '") in line


def test_faults_of_labels_by_themselves() -> None:
    """A longer circle is told in its order, beginning where it is written; a tree of labels is none."""
    circle = [Label(name=name, includes=(other,)) for name, other in ("ab", "bc", "ca")]
    (fault,) = fit.labels(circle, None)
    told = fault.complaint.split(": ")[1].split("; ")[0].split(" -> ")
    assert told[0] == told[-1]
    assert all((one, other) in zip("abc", "bca", strict=True) for one, other in itertools.pairwise(told))
    tree = [Label(name="a", includes=("b", "c")), Label(name="b", includes=("c",)), Label(name="c")]
    assert not list(fit.labels(tree, None))


def test_what_is_drawn_late_lies_over_what_is_drawn(tmp_path: Path) -> None:
    """`schedule.quantised_batch` takes from `batch` whatever it does not say itself."""
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    rec = read.load(path)
    assert isinstance(rec, StreamingRecipe)
    late = rec.schedule.quantised_batch
    assert (late.mix, late.gain_db, late.origins) == (0.1, (-10.0, 5.0), {"made": 2.0})
    assert rec.batch.mix == 0.2


def test_the_front_end_is_declared_whole() -> None:
    """Whatever the daemon's front end takes, a recipe may say; but for the gate, which is a variant of the sound."""
    assert set(inspect.signature(front_end).parameters) - {"gate"} == set(keys_of(Front))


def test_every_kind_and_reader_is_there() -> None:
    """The words that a recipe may say are those that something stands behind."""
    assert tuple(RECIPES) == KINDS
    assert tuple(clips.READERS) == READERS
    assert all(issubclass(recipe, Recipe) for recipe in RECIPES.values())


def test_the_docs_hold_the_keys() -> None:
    """docs/models.md holds every key as `auricle-build keys` prints it."""
    assert table() in (ROOT / "docs" / "models.md").read_text(encoding="utf-8"), "run: make docs"


def test_a_recipe_without_a_label_is_a_recipe_without_its_recordings(tmp_path: Path) -> None:
    """What is left out is no label, nor in one that included it, and of no set is anything taken that bears its name by
    then; the recipe has another name, the same in whatever order labels are named, and is still one, though they be
    many. What is no label is refused with the one that was meant."""
    path = tmp_path / "r.yaml"
    path.write_text(
        RECIPE.replace("[dog, cat, background]", "[dog, {name: pet, includes: [dog, cat]}, cat, background]")
    )
    rec = read.load(path)
    left = rec.without(["cat"])
    assert left.names == ["dog", "pet", "background"]
    assert left.labels[1].includes == ("dog",)
    assert left.name == f"{rec.name}-without-cat"
    assert all("cat" in each.leave_out for each in left.data.sets)
    assert read.of(values(left), "card") == left
    assert rec.without(["pet", "cat", "pet"]) == rec.without(["cat", "pet"])
    home = read.load(Path("home"))
    many, more = home.without(home.names[:20]), home.without(home.names[:21])
    assert read.of(values(many), "card") == many
    assert many.name != more.name
    for labels, complaint in ((["ct"], "'ct' is no label of .*; did you mean 'cat'"), (rec.events, "no other label")):
        with pytest.raises(ConfigError, match=complaint):
            rec.without(labels)
