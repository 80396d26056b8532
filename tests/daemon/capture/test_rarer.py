"""Containers that hardly any recorder writes any more: whatever libsndfile reads is heard, or its loss is told."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.capture.reader import Reader
from auricle.errors import AudioError
from helpers.heard import heard
from helpers.sounds import RATE, varied, write

SOUND = varied(1.0)
COUNTED = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
KINDS = [
    *((form, "PCM_16", 2) for form in ("NIST", "AVR", "MAT4", "MAT5", "MPC2K", "VOC")),
    *((form, "PCM_16", 1) for form in ("HTK", "SVX")),
    ("NIST", "PCM_24", 1),
    ("NIST", "ULAW", 2),
    ("SVX", "PCM_S8", 1),
    ("MAT4", "DOUBLE", 1),
    ("MAT5", "PCM_U8", 1),
    ("MAT5", "FLOAT", 2),
    ("VOC", "ULAW", 2),
    ("WVE", "ALAW", 1),
]
PACKED = [
    ("WAV", "MS_ADPCM", 2),
    ("WAV", "GSM610", 1),
    ("WAV", "G721_32", 1),
    ("W64", "IMA_ADPCM", 1),
    ("AIFF", "IMA_ADPCM", 1),
    ("AIFF", "DWVW_16", 1),
    ("AU", "G723_24", 1),
    ("CAF", "ALAC_16", 2),
    ("CAF", "ALAC_24", 1),
]


def made(folder: Path, form: str, subtype: str, channels: int) -> Path:
    """A file as libsndfile writes it."""
    path = folder / "a.bin"
    rate = 8000 if form == "WVE" else RATE
    sound = SOUND[:-1]
    soundfile.write(path, np.stack([sound] * channels, 1) * 0.5, rate, subtype=subtype, format=form)
    return path


@pytest.mark.parametrize(("form", "subtype", "channels"), [*KINDS, *PACKED])
def test_what_a_cut_takes_away_is_told(
    tmp_path: Path, form: str, subtype: str, channels: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole, nothing is said; cut anywhere, it is heard up to there, and the rest that its header states is a gap, to
    the sample."""
    path = made(tmp_path, form, subtype, channels)
    reader = Reader(str(path))
    rate = reader.rate
    whole = np.concatenate(list(reader.blocks(999)))
    assert len(whole) >= len(SOUND) - 1
    assert (reader.cut, caplog.messages) == (None, [])
    content = path.read_bytes()
    chance = random.Random(form + subtype)
    for _ in range(4):
        path.write_bytes(content[: chance.randrange(len(content) // 3, len(content) - len(content) // 8)])
        result = heard(path, rate=rate)
        (line,) = result.said
        assert line.startswith(f"{path}: cut short: {len(result.sound)} of {len(whole)} samples")
        assert 0 < len(result.sound) == len(whole) - result.lost
        if subtype in COUNTED:
            np.testing.assert_array_equal(result.sound, whole[: len(result.sound)], strict=True)
    assert caplog.messages == []


@pytest.mark.parametrize(("form", "at", "size"), [("AVR", 26, ">I"), ("WVE", 18, ">I"), ("HTK", 0, ">I")])
@pytest.mark.parametrize("stated", [0, 2**32 - 1, 1000])
def test_a_length_that_is_open_or_old(
    tmp_path: Path, form: str, at: int, size: str, stated: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Left open, it means the file's end; smaller than the file, all is heard, and one line says so."""
    path = made(tmp_path, form, "ALAW" if form == "WVE" else "PCM_16", 1)
    content = bytearray(path.read_bytes())
    rate = 8000 if form == "WVE" else RATE
    whole = heard(path, rate=rate).sound
    struct.pack_into(size, content, at, stated)
    path.write_bytes(content)
    result = heard(path, rate=rate)
    np.testing.assert_array_equal(result.sound, whole, strict=True)
    assert (result.said, result.lost) == ([], 0)
    assert ["all of them are heard" in line for line in caplog.messages] == ([True] if stated == 1000 else [])


@pytest.mark.parametrize("suffix", ["avr", "8svx", "voc", "sph", "htk", "wve", "mat4", "mat5", "ircam", "paf", "pvf"])
def test_what_sox_writes(tmp_path: Path, require: Callable[[bool, str], None], suffix: str) -> None:
    """sox's own files of these kinds are heard whole without a word; cut, those that state a length are told."""
    require(shutil.which("sox") is not None, "sox")
    wav = write(tmp_path / "from.wav", SOUND, subtype="PCM_16")
    path = tmp_path / f"a.{suffix}"
    rate = 8000 if suffix == "wve" else RATE
    subprocess.run(["sox", "-D", wav, "-r", str(rate), path], check=True, timeout=60, capture_output=True)
    whole = heard(path, rate=rate)
    assert (whole.said, whole.lost) == ([], 0)
    assert len(whole.sound) == rate
    path.write_bytes(path.read_bytes()[:-1000])
    result = heard(path, rate=rate)
    if suffix in ("ircam", "paf", "pvf"):
        assert (result.said, result.lost) == ([], 0)
    else:
        assert len(result.said) == 1
        stated = rate - 4 if suffix == "voc" else rate  # sox states four samples less there than it writes
        assert len(result.sound) + result.lost == stated
    np.testing.assert_array_equal(result.sound, whole.sound[: len(result.sound)], strict=True)


def test_other_variables_of_a_mat_are_not_sound(tmp_path: Path) -> None:
    """What lies behind the sound in a MAT-file is another variable."""
    path = made(tmp_path, "MAT4", "PCM_16", 1)
    whole = heard(path).sound
    with path.open("ab") as file:
        file.write(struct.pack("<5I", 0, 1, 1, 0, 2) + b"x\0" + struct.pack("<d", 1.0))
    result = heard(path)
    np.testing.assert_array_equal(result.sound, whole, strict=True)
    assert (result.said, result.lost) == ([], 0)


def block(kind: int, content: bytes) -> bytes:
    """A block of a VOC."""
    return bytes((kind,)) + len(content).to_bytes(3, "little") + content


def sounding(sound: np.ndarray, rate: int) -> bytes:
    """A block of sound in 16 bits, with its own header."""
    return block(9, struct.pack("<IBBHI", rate, 16, 1, 4, 0) + sound.tobytes())


def test_every_block_of_a_voc_is_heard(tmp_path: Path) -> None:
    """Sound, a marker, a silence and more sound are one recording; where another block states another rate, a new
    segment begins; a cut within the header of a block, or in its sound, is told."""
    path = tmp_path / "a.voc"
    one, two = (SOUND[:8000] * 32767).astype("<i2"), (SOUND[8000:] * 32767).astype("<i2")
    blocks = [
        sounding(one, RATE),
        block(4, b"\1\0"),
        block(3, struct.pack("<HB", 999, 0)),
        block(2, two.tobytes()),
        sounding(one, RATE),
        sounding(two, 2 * RATE),
    ]
    begin = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x114, 0x111F)
    path.write_bytes(begin + b"".join(blocks) + b"\0")
    result = heard(path)
    assert (result.said, result.lost) == ([], 0)
    assert [segment.rate for segment in result.segments] == [RATE, 2 * RATE]
    expected = np.concatenate([one, np.zeros(1000, "<i2"), two, one]).astype(np.float32) / np.float32(32768)
    np.testing.assert_array_equal(np.concatenate(result.sounds[0])[: len(expected)], expected, strict=True)
    assert result.lengths() == [len(expected), len(two) // 2]
    for left in (5, 12):
        path.write_bytes((begin + b"".join(blocks[:5]))[: left - len(blocks[4])])
        result = heard(path)
        assert "cut short" in result.said[0]
        assert (len(result.sound), result.lost) == (1000 + len(SOUND), len(one))
    path.write_bytes(begin + block(1, b"\x83\0" + b"\x90" * 500) + block(3, b"\x63\0\x83") + b"\0")
    result = heard(path, rate=8000)
    np.testing.assert_array_equal(result.sound, np.repeat(np.array([0.125, 0], np.float32), [500, 100]), strict=True)


def test_a_voc_of_nothing_but_blocks_ends(tmp_path: Path) -> None:
    """Millions of empty blocks hold nobody up; what lies behind those that were looked at is told as lost."""
    path = tmp_path / "a.voc"
    begin = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x114, 0x111F)
    path.write_bytes(begin + sounding((SOUND * 32767).astype("<i2"), RATE) + bytes((4, 0, 0, 0)) * 2**21)
    result = heard(path)
    assert "cut short" in result.said[0]
    np.testing.assert_array_equal(len(result.sound), len(SOUND))
    assert result.lost > 2**20


EMPTY = [
    *((form, "PCM_16") for form in ("WAV", "RF64", "W64", "AIFF", "AU", "FLAC", "VOC", "NIST")),
    ("CAF", "ALAC_16"),
    ("WAV", "MS_ADPCM"),
]


@pytest.mark.parametrize(("form", "subtype"), EMPTY)
def test_a_file_that_ends_before_its_first_sample_is_a_gap(tmp_path: Path, form: str, subtype: str) -> None:
    """Where the header is there and no sound is, all that it states is told as lost."""
    path = made(tmp_path, form, subtype, 1)
    whole = heard(path)
    content = path.read_bytes()
    # In front of the first packet: behind the headers, whose lengths the containers tell.
    begins = {"FLAC": 86, "CAF": 300, "NIST": 1024, "VOC": 42, "AU": 24, "AIFF": 54, "RF64": 104, "W64": 104}
    at = begins.get(form, 110 if subtype == "MS_ADPCM" else 44)
    path.write_bytes(content[:at])
    result = heard(path)
    (line,) = result.said
    assert "0.000 s" in line
    assert (len(result.sound), result.lost, result.ends) == (0, len(whole.sound), ["gap"])


@pytest.mark.parametrize("at", [4, 24])
def test_a_matrix_larger_than_any_file_is_one_line(tmp_path: Path, at: int) -> None:
    """Rows and columns whose product is beyond what can be sought, of either matrix of a MAT4: refused, or heard up to
    the file's end."""
    path = tmp_path / "a.mat"
    soundfile.write(path, varied(0.5), RATE, "PCM_16", format="MAT4")
    content = bytearray(path.read_bytes())
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    with suppress(AudioError):
        assert sum(map(len, Reader(str(path), RATE).blocks(4096))) <= RATE
