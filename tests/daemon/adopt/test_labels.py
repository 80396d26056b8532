"""Labels are read as other people write them down."""

from __future__ import annotations

import codecs
import io
import zipfile
from pathlib import Path

import pytest

from auricle.adopt import labels
from auricle.adopt.facts import Told
from auricle.errors import ModelError


@pytest.mark.parametrize(
    ("content", "slugs", "display"),
    [
        (b"dog\ncat\n\n", ("dog", "cat"), ("dog", "cat")),
        (codecs.BOM_UTF8 + b"Dog\r\nCat\r\n", ("dog", "cat"), ("Dog", "Cat")),
        (b"0 Background Noise\n1 Clap\n", ("background_noise", "clap"), ("Background Noise", "Clap")),
        (b"1: yes\n2: no\n", ("yes", "no"), ("yes", "no")),
        (b"7 dwarfs\n101 dalmatians\n", ("7_dwarfs", "101_dalmatians"), ("7 dwarfs", "101 dalmatians")),
        (
            b'index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/0ytgt,"Child speech, kid speaking"\n',
            ("speech", "child_speech_kid_speaking"),
            ("Speech", "Child speech, kid speaking"),
        ),
        (
            b"Turdus merula_Eurasian Blackbird\nBubo bubo_Eurasian Eagle-Owl\n",
            ("eurasian_blackbird", "eurasian_eagle_owl"),
            ("Eurasian Blackbird", "Eurasian Eagle-Owl"),
        ),
        (
            b"Anas acuta_Duck\nAnas crecca_Duck\n",
            ("duck_anas_acuta", "duck_anas_crecca"),
            ("Duck (Anas acuta)", "Duck (Anas crecca)"),
        ),
        (
            "Turdus merula_Чёрный дрозд\nSiren_Siren\nHuman vocal_Human vocal\n".encode(),
            ("turdus_merula", "siren", "human_vocal"),
            ("Чёрный дрозд", "Siren", "Human vocal"),
        ),
        (b"dog_bark\ntap_tap\n", ("dog_bark", "tap_tap"), ("dog_bark", "tap_tap")),
        ("Grüße\nчай\n".encode(), ("grusse", "label_1"), ("Grüße", "чай")),
        (b"Dog\ndog!\n", ("dog", "dog_2"), ("Dog", "dog!")),
        (b'{"type": "micro", "wake_word": "Okay Nabu", "version": 2}', ("okay_nabu",), ("Okay Nabu",)),
    ],
)  # fmt: skip
def test_names_in_every_form(content: bytes, slugs: tuple[str, ...], display: tuple[str, ...]) -> None:
    """Lines, numbers before them, tables, two names in one, any script; each label gets a slug of its own."""
    found = labels.parsed(content, "labels.txt")
    assert (found.slugs, found.display) == (slugs, display)


LONG = "labels.txt: cannot be read as a table (field larger than field limit (131072)); write a label a line"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("dog\ncat\n".encode("utf-16"), "labels.txt: is written in UTF-16, or is no text; save it as UTF-8"),
        ("dög\n".encode("latin-1"), "labels.txt: is no UTF-8 at byte 1; save it as UTF-8"),
        (b"\n  \n", "labels.txt: is empty; write a label a line, in the order of the scores"),
        (b"dog\ncat\ndog\n", "labels.txt: 'dog' stands there twice; every label needs a name of its own"),
        (b"{not json", "labels.txt: begins like JSON, but is none"),
        (b"{}", "labels.txt: names no wake_word; write a label a line instead"),
        (b"index,display_name\n0," + b"x" * 200_000, LONG),
        (b'"' + b"x" * 200_000 + b"\ncat\n", LONG),
        (b"dog\x07\ncat\n", "labels.txt: holds what cannot be printed; write a label a line"),
    ],
)
def test_what_is_no_list_of_labels_is_one_line(content: bytes, said: str) -> None:
    """Each says what is wrong, and what to do."""
    with pytest.raises(ModelError) as found:
        labels.parsed(content, "labels.txt")
    assert found.value.lines() == [said]


def test_a_number_of_thousands_of_digits_counts_nothing() -> None:
    """What stands before a name counts the names only where it can be a number of theirs."""
    found = labels.parsed(b"1" * 5000 + b" dog\n2 cat\n", "labels.txt")
    assert found.display[1] == "2 cat"


def zipped(**files: str) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as tail:
        for name, text in files.items():
            tail.writestr(name.replace("__", "."), text)
    return out.getvalue()


def test_labels_lie_in_the_tail_before_they_lie_beside(tmp_path: Path) -> None:
    """The file that the metadata names goes first, then one that is called so, then files beside the network."""
    path, network = tmp_path / "ear.tflite", b"TFL3 and so on"
    (tmp_path / "labels.txt").write_text("outside\n")
    both = network + zipped(labels__txt="inside\n", other__txt="named\n")

    def found(content: bytes, *names: str) -> tuple[str, ...]:
        there = labels.beside(path, content, Told(label_files=list(names)))
        assert there is not None
        return there.slugs

    assert found(both, "other.txt") == ("named",)
    assert found(both, "gone.txt") == ("inside",)
    assert found(network + zipped(readme__txt="only\n")) == ("only",)
    assert found(network) == ("outside",)
    (tmp_path / "ear.json").write_text('{"wake_word": "Ear"}')
    assert found(network) == ("ear",)
    assert labels.beside(tmp_path / "none" / "ear.tflite", network, Told()) is None


def test_a_damaged_tail_is_told(tmp_path: Path) -> None:
    """A zip whose content does not hold is no reason to look for other labels."""
    content = bytearray(b"TFL3" + zipped(labels__txt="inside, and long enough to be hit\n" * 9))
    at = content.index(b"inside")
    content[at] ^= 1
    with pytest.raises(ModelError, match="the zip at its end, which holds its labels, is damaged"):
        labels.beside(tmp_path / "ear.tflite", bytes(content), Told())


def test_labels_are_found_as_people_name_them() -> None:
    """By slug, by name, in whatever letters."""
    found = labels.parsed(b"Child speech, kid speaking\nDog\n", "x")
    names = ("dog", "DOG", "child speech, Kid speaking", "Child-speech kid speaking", "cat")
    assert [found.at(name) for name in names] == [1, 1, 0, 0, None]
