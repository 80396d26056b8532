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
    """Each with its line, what it is and what was meant; what does not need them is checked all the same."""
    told = problems(WRONG)
    assert told[13] == ["output.logit: unknown key; did you mean 'logits'?"]
    assert told[17] == ["front_end.hop_lenght: unknown key; did you mean 'hop_length'?"]
    assert told[22] == ["timing.onset_lag_samples: 'soon' is str; use int"]
    assert told[24] == ["tresholds: unknown key; did you mean 'thresholds'?"]


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
        "labels: each must be named once",
        "labels: 'Big Cat' is no slug; use a-z, 0-9 and _, and the name for people in display",
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
    assert told[-1].endswith(end)
    assert "XXX" in told[-1]


def test_a_line_break_in_what_is_quoted_makes_no_second_line() -> None:
    """A key, a name or a hash of a card may hold line breaks: a problem is one line all the same."""
    card = WRONG.replace("logit:", "logits:").replace("soon", "0").replace("tresholds", "thresholds")
    (told,) = problems(card.replace("  hop_lenght: 160", '  "hop\\n\\u2028size": 160'))[17]
    assert told.startswith("front_end.hop\\n\\nsize: unknown key")
    error = ModelError("a\r\nb", "c" * 9999)
    assert error.lines()[0] == "a\\nb"
    assert len(error.lines()[1]) <= LONGEST
    assert str(error).count("\n") == 1
