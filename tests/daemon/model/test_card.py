"""What a card says of labels that contain each other."""

from __future__ import annotations

import pytest

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
