"""What a card says of labels that contain each other, and all that can be wrong with one, told at once."""

from __future__ import annotations

import re

import pytest

from auricle.errors import LONGEST, ModelError
from auricle.model import reading
from auricle.model.card import contained


def test_what_is_contained_is_contained_through_others_too() -> None:
    """An alarm that contains sirens contains the kinds of them; a label may lie in several."""
    includes = {
        "sound_of_a_house": ["alarm", "doorbell"],
        "alarm": ["siren", "smoke_alarm"],
        "siren": ["police", "ambulance"],
        "vehicle": ["police"],
    }
    assert contained(includes) == {
        "siren": {"police", "ambulance"},
        "alarm": {"siren", "smoke_alarm", "police", "ambulance"},
        "sound_of_a_house": {"alarm", "doorbell", "siren", "smoke_alarm", "police", "ambulance"},
        "vehicle": {"police"},
    }
    assert contained({}) == {}


@pytest.mark.parametrize(
    "includes",
    [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"a": ["b"], "b": ["c"], "c": ["a"]}, {"x": ["a"], "a": ["b", "a"]}],
)
def test_a_circle_is_named(includes: dict[str, list[str]]) -> None:
    """A label that contains itself, however many lie between."""
    with pytest.raises(ValueError, match=r"(\w) in (.* in )?\1"):
        contained(includes)


WRONG = """\
format: 1
name: ear
licence: CC0
labels: [dog, Big Cat, dog]
background: silence
head: argmax
streaming: false
files: {}
input:
  kind: waveform
  shape: [16000]
  dtype: float16
output: {dtype: float32, logit: true}
front_end:
  sample_rate: 16000
  n_fft: 512
  hop_lenght: 160
  hop_length: 160
  features: [{kind: log_mel}]
timing:
  window_frames: 96
  onset_lag_samples: soon
  offset_lag_samples: 0
tresholds: {dog: 0.5}
"""


def problems(card: str) -> dict[int, list[str]]:
    """What is wrong in a card, by line; where there is none, by 0."""
    with pytest.raises(ModelError) as found:
        reading.read(card.encode(), "card.yaml")
    told: dict[int, list[str]] = {}
    for line in found.value.lines():
        place = re.fullmatch(r"card\.yaml:(?:(\d+):)? (.*)", line)
        assert place is not None, line
        told.setdefault(int(place[1] or 0), []).append(place[2])
    return told


def test_keys_that_cannot_be_read_are_told_at_once() -> None:
    """Each with its line, what it is and what was meant; what does not need them is checked all the same: nothing is
    left for a second run but what hangs on them."""
    told = problems(WRONG)
    assert told[13] == ["output.logit: unknown key; did you mean 'logits'?"]
    assert told[17] == ["front_end.hop_lenght: unknown key; did you mean 'hop_length'?"]
    assert told[22] == ["timing.onset_lag_samples: 'soon' is str; use int"]
    assert told[24] == ["tresholds: unknown key; did you mean 'thresholds'?"]
    whole = problems(
        WRONG.replace("logit:", "logits:")
        .replace("hop_lenght", "hop_length", 1)
        .replace("soon", "0")
        .replace("tresholds", "thresholds")
        .replace("  hop_length: 160\n", "", 1)
    )
    whole = {line + (line > 16): said for line, said in whole.items()}
    assert told == whole | {line: told[line] for line in (13, 17, 22, 24)}


NUMBERS = """\
format: 1
name: ear
licence: CC0
labels:
  - dog
  - Big Cat
  - dog
background: null
head: sigmoid
streaming: false
files: {}
input:
  kind: features
  shape: [96, 64]
front_end:
  sample_rate: 16000
  n_fft: 512
  hop_length: 160
  features:
    - kind: log_mel
      n_mels: 40.5
      fmin: 5000
      fmax: 4000
      amin: -1
      n_mel: 64
    - kind: mfcc
      n_mels: 40
      n_mfcc: 60
      dct_type: 9
    - {kind: melt, n_mels: 3}
    - kind: delta
      of: {kind: pcen, n_mels: 40, eps: 0}
      width: 4
timing: {window_frames: 95, onset_lag_samples: 0, offset_lag_samples: 0, lags: {cow: [1, 1]}}
thresholds:
  dog: 0.5
  cat: 2
"""


def test_every_parameter_of_the_features_is_told_with_its_line() -> None:
    """Types, names, ranges, what two of them do to each other: all in the run that tells the rest of the card."""
    told = problems(NUMBERS)
    assert told == {
        6: ["labels[1]: 'Big Cat' is no slug; use a-z, 0-9 and _, and the name for people in display"],
        7: ["labels[2]: 'dog' is there twice; each must be named once"],
        21: ["front_end.features[0].n_mels: 40.5 is no whole number; use one"],
        22: ["front_end.features[0].fmin: 5000 is not below fmax 4000; use 0 <= fmin < fmax <= 8000"],
        24: ["front_end.features[0].amin: -1 is no power; use a number above 0"],
        25: ["front_end.features[0].n_mel: unknown parameter 'n_mel'; did you mean 'n_mels'?"],
        28: ["front_end.features[1].n_mfcc: 60 does not fit n_mels 40; use 1 to 40"],
        29: ["front_end.features[1].dct_type: 9 of 40 items is not known; use 1, 2 or 3"],
        30: ["front_end.features[2]: unknown feature kind 'melt'; did you mean 'mel'?"],
        32: ["front_end.features[3].of.eps: 0 cannot be; use more than 0"],
        33: ["front_end.features[3].width: 4 has no middle; use an odd number of rows, at least 3"],
        34: ["timing.window_frames: 95 is not input.shape's 96", "timing.lags.cow: 'cow' is none of the labels"],
        37: ["thresholds.cat: 'cat' is none of the labels", "thresholds.cat: 2 is not above 0, at most 1"],
    }


def test_features_are_looked_at_where_their_frames_cannot_be() -> None:
    """Of a sample rate that is none nothing can be built: names and types of parameters are told all the same."""
    told = problems(NUMBERS.replace("sample_rate: 16000", "sample_rate: fast"))
    assert told[16] == ["front_end.sample_rate: 'fast' is str; use int"]
    # Ranges, and what hangs on the frames, come when those are known.
    assert {line for line in told if 20 <= line < 34} == {21, 25, 30}
    assert {line: said for line, said in told.items() if line not in (16, 34)} == {
        line: said for line, said in problems(NUMBERS).items() if line in (6, 7, 21, 25, 30, 37)
    }


def test_of_thousands_of_faults_of_a_kind_some_are_told() -> None:
    """A list of labels of which none is a slug is not thousands of lines."""
    labels = "".join(f"  - Label {i}\n" for i in range(6_000))
    told = problems(NUMBERS.replace("  - dog\n  - Big Cat\n  - dog\n", labels))
    assert told[24][0].startswith("labels[19]: 'Label 19' is no slug")
    assert told[25] == ["labels[20]: and 5980 more such from here on"]
    assert not [line for line in told if 25 < line < 6_000]


def test_rows_of_another_width_than_the_network_takes_are_refused() -> None:
    """Once its parameters are right, the front end must give what the network takes."""
    card = NUMBERS[: NUMBERS.index("    - kind: log_mel")] + "    - {kind: log_mel, n_mels: 40}\n"
    told = problems(card + NUMBERS[NUMBERS.index("timing:") :])
    assert told[19] == [
        "front_end.features: give 40 numbers a frame, and input.shape has 64; give the front end of the training"
    ]


def test_keys_that_are_no_words_are_told() -> None:
    """YAML takes `7:`, `yes:` and `2026-01-01:` for other things than words; in a card none of them is a key."""
    card = WRONG.replace("logit:", "logits:").replace("  hop_lenght: 160\n", "").replace("soon", "0")
    told = problems(card.replace("tresholds: {dog: 0.5}", "7: x\nyes: 1") + "2026-01-01: y\n")
    assert told[23] == ["7: a key is a word; put it in quotes"]
    assert told[0] == [
        "True: a key is a word; put it in quotes",
        "datetime.date(2026, 1, 1): a key is a word; put it in quotes",
    ]


def test_every_contradiction_is_told_at_once() -> None:
    """Labels, head, types, extents: one run names them all, in the order of the card."""
    card = WRONG.replace("logit:", "logits:").replace("  hop_lenght: 160\n", "").replace("soon", "0")
    told = problems(card.replace("tresholds", "thresholds"))
    assert told[4] == [
        "labels[1]: 'Big Cat' is no slug; use a-z, 0-9 and _, and the name for people in display",
        "labels[2]: 'dog' is there twice; each must be named once",
    ]
    assert told[5] == ["background: 'silence' is none of the labels"]
    assert told[6] == ["head: 'argmax' is not known; use softmax or sigmoid"]
    assert told[12] == ["input.dtype: 'float16' is not known; use int8, uint8, float32"]
    assert told[18] == ["front_end.features: a waveform is made of [{kind: sound}]; use that"]
    assert told[20] == ["timing.window_frames: 96 hops do not hold 16000 samples; use 100"]
    assert list(told) == sorted(told)
    assert len(told) == 6


def test_what_is_missing_is_named() -> None:
    """A card that breaks off says which keys are to come."""
    told = problems("format: 1\nname: ear\ntiming: {window_frames: 9}\n")
    assert {"labels: is missing", "front_end: is missing", "files: is missing"} <= set(told[0])
    assert told[3] == ["timing.onset_lag_samples: is missing", "timing.offset_lag_samples: is missing"]
    assert problems("name: ear\n") == {0: ["format is missing; this version reads format 1"]}
    assert problems("- a\n") == {0: ["holds no keys; a card begins with format: 1"]}
    assert problems("format: 1\ntiming: never\n")[2] == [
        "timing: 'never' cannot stand here; put the keys below it, indented"
    ]


@pytest.mark.parametrize(
    ("wrong", "line", "end"),
    [
        ("argmax", 6, "is not known; use softmax or sigmoid"),
        ("float16", 12, "is not known; use int8, uint8, float32"),
        ("Big Cat", 4, "is no slug; use a-z, 0-9 and _, and the name for people in display"),
        ("format: 1", 0, "is not known; this version reads format 1"),
    ],
)
def test_a_value_of_thousands_of_characters_is_cut(wrong: str, line: int, end: str) -> None:
    """What is said of it can still be read, and ends with the remedy."""
    card = WRONG.replace("logit:", "logits:").replace("  hop_lenght: 160\n", "").replace("soon", "0")
    told = problems(
        card.replace("tresholds", "thresholds").replace(wrong, ("format: " if line == 0 else "") + "X" * 5000)
    )[line]
    assert max(map(len, told)) <= 1000
    (cut,) = (line for line in told if line.endswith(end))
    assert "XXX" in cut


def test_a_line_break_in_what_is_quoted_makes_no_second_line() -> None:
    """A key, a name or a hash of a card may hold line breaks: a problem is one line all the same."""
    card = WRONG.replace("logit:", "logits:").replace("soon", "0").replace("tresholds", "thresholds")
    (told,) = problems(card.replace("  hop_lenght: 160", '  "hop\\n\\u2028size": 160'))[17]
    assert told.startswith("front_end.hop\\n\\nsize: unknown key")
    error = ModelError("a\r\nb", "c" * 9999)
    assert error.lines()[0] == "a\\nb"
    assert len(error.lines()[1]) <= LONGEST
    assert str(error).count("\n") == 1
