"""When a recording was made: every recorder's way to say it, in one order of trust."""

from __future__ import annotations

import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import soundfile

from auricle.capture.reader import Reader
from helpers.sounds import RATE, varied, write


def chunk(name: bytes, content: bytes) -> bytes:
    """A RIFF chunk."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def bext(date: str, clock: str) -> bytes:
    """A broadcast wave's chunk with these two fields."""
    return chunk(b"bext", bytes(320) + date.encode() + clock.encode() + bytes(264))


def guano(stamp: str) -> bytes:
    """A GUANO chunk."""
    return chunk(b"guan", f"GUANO|Version: 1.0\nMake: x\nTimestamp: {stamp}\nNote: none".encode())


def ixml(date: str, clock: str) -> bytes:
    """An iXML chunk."""
    fields = f"<BWF_ORIGINATION_DATE>{date}</BWF_ORIGINATION_DATE><BWF_ORIGINATION_TIME>{clock}</BWF_ORIGINATION_TIME>"
    return chunk(b"iXML", f"<BWFXML><BEXT>{fields}</BEXT></BWFXML>".encode())


def audiomoth(words: str) -> bytes:
    """An AudioMoth's comment."""
    note = f"Recorded at {words} by AudioMoth 248D9B055EF8B5E3 at medium gain setting".encode()
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", note))


def made(folder: Path, name: str, *chunks: bytes, local: bool = False, behind: bool = False) -> str | None:
    """When a file of this name with these chunks was made; they come before its sound, or behind it."""
    path = write(folder / name, varied(0.1))
    content = path.read_bytes()
    notes = b"".join(chunks)
    head, sound = content[:36], content[36:]
    path.write_bytes(head + sound + notes if behind else head + notes + sound)
    reader = Reader(str(path))
    us = reader.start_us(local=local)
    reader.close()
    return None if us is None else datetime.fromtimestamp(us / 1e6, UTC).isoformat().removesuffix("+00:00")


@pytest.mark.parametrize(
    ("name", "chunks", "expected"),
    [
        ("a.wav", [guano("2017-04-10T02:35:11-05:00")], "2017-04-10T07:35:11"),
        ("a.wav", [guano("2017-04-10 02:35:11.250Z")], "2017-04-10T02:35:11.250000"),
        ("a.wav", [guano("2017-04-10T02:35:11-05")], "2017-04-10T07:35:11"),
        ("a.wav", [guano("2017-04-10T02:35:11")], "2017-04-10T02:35:11"),
        ("a.wav", [audiomoth("19:17:30 26/10/2021 (UTC)")], "2021-10-26T19:17:30"),
        ("a.wav", [audiomoth("19:17:30 26/10/2021 (UTC+10)")], "2021-10-26T09:17:30"),
        ("a.wav", [audiomoth("19:17:30.500 26/10/2021 (UTC-3:30)")], "2021-10-26T22:47:30"),
        ("a.wav", [audiomoth("19:17:30 26/13/2021 (UTC)")], None),
        ("a.wav", [bext("2019-02-05", "14:04:00")], "2019-02-05T14:04:00"),
        ("a.wav", [bext("2019:02:05", "14-04-00")], "2019-02-05T14:04:00"),
        ("a.wav", [bext("2019-02-31", "14:04:00")], None),
        ("a.wav", [ixml("2019-02-05", "14:04:00")], "2019-02-05T14:04:00"),
        ("5C5A7F00.WAV", [], "2019-02-06T06:30:24"),
        ("DEADBEEF.WAV", [], "2088-05-20T21:55:59"),
        ("00000001.WAV", [], None),
        ("248D9B055EF8B5E3_20211026_191730.WAV", [], "2021-10-26T19:17:30"),
        ("20211026_191730T.WAV", [], "2021-10-26T19:17:30"),
        ("2023-05-14-birdnet-05:14:22.wav", [], "2023-05-14T05:14:22"),
        ("2023-05-14-birdnet-RTSP_1-05:14:22.wav", [], "2023-05-14T05:14:22"),
        ("Turdus_merula-91-2023-05-14-birdnet-05:14:22.wav", [], "2023-05-14T05:14:22"),
        ("SM4A10297_0+1_20190205_140400.wav", [], "2019-02-05T14:04:00"),
        ("SM3_0+1_20190205$140400.wav", [], "2019-02-05T14:04:00"),
        ("S4A10297_20190205_140400_+1000.wav", [], "2019-02-05T04:04:00"),
        ("20190205T140400+1000_REC.wav", [], "2019-02-05T04:04:00"),
        ("12345678_123456_20190205_140400.wav", [], "2019-02-05T14:04:00"),
    ],
)
def test_every_recorder_is_understood(tmp_path: Path, name: str, chunks: list[bytes], expected: str | None) -> None:
    """The time of the first sample is read from notes before and behind the sound, and from names."""
    assert made(tmp_path, name, *chunks) == expected
    assert made(tmp_path, name, *chunks, behind=True) == expected


def test_what_states_its_zone_is_trusted_first(tmp_path: Path) -> None:
    """GUANO, AudioMoth, name, iXML, bext: the first with a zone; where none has one, the first of all."""
    zoneless = [bext("2001-01-01", "01:00:00"), ixml("2002-01-01", "01:00:00"), guano("2003-01-01T01:00:00")]
    assert made(tmp_path, "a.wav", zoneless[0]) == "2001-01-01T01:00:00"
    assert made(tmp_path, "a.wav", *zoneless[:2]) == "2002-01-01T01:00:00"
    assert made(tmp_path, "20040101_010000.wav", *zoneless[:2]) == "2004-01-01T01:00:00"
    assert made(tmp_path, "20040101_010000.wav", *zoneless) == "2003-01-01T01:00:00"
    assert made(tmp_path, "20040101_010000+0100.wav", *zoneless) == "2004-01-01T00:00:00"
    moth = audiomoth("01:00:00 01/01/2005 (UTC)")
    assert made(tmp_path, "20040101_010000+0100.wav", *zoneless, moth) == "2005-01-01T01:00:00"


def test_a_time_without_a_zone_is_utc_or_local_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is UTC unless told to be this machine's local time, with summer time; what has a zone keeps it."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert made(tmp_path, "20240131_120000.wav") == "2024-01-31T12:00:00"
        assert made(tmp_path, "20240131_120000.wav", local=True) == "2024-01-31T11:00:00"
        assert made(tmp_path, "20240731_120000.wav", local=True) == "2024-07-31T10:00:00"
        assert made(tmp_path, "20240731_120000Z.wav", local=True) == "2024-07-31T12:00:00"
        assert made(tmp_path, "a.wav", audiomoth("19:17:30 26/10/2021 (UTC)"), local=True) == "2021-10-26T19:17:30"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_tags_are_read_in_other_containers(tmp_path: Path) -> None:
    """The comment of an AudioMoth outlives its conversion to FLAC; a date among the tags is the last that is asked."""
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        file.comment = "Recorded at 19:17:30 26/10/2021 (UTC+2) by AudioMoth 248D9B055EF8B5E3"
        file.date = "2024-01-31 12:00:00"
        file.write(varied(0.1))
    reader = Reader(str(path))
    assert reader.start_us() == 1_635_268_650_000_000
    reader.close()


def test_no_note_can_hold_it_up(tmp_path: Path) -> None:
    """Chunks of any length, long texts without an end, and a file that stops in a note: an answer, and no error."""
    assert made(tmp_path, "a.wav", chunk(b"guan", b"Timestamp: " + b"9" * 300_000)) is None
    assert made(tmp_path, "a.wav", chunk(b"iXML", b"<BWF_ORIGINATION_DATE>" * 20_000)) is None
    assert made(tmp_path, "a.wav", bext("\0" * 10, "\xff" * 4)) is None
    assert made(tmp_path, "a.wav", b"bext" + struct.pack("<I", 2**31), behind=True) is None
    assert made(tmp_path, "a.wav", *[chunk(b"junk", b"")] * 5_000, behind=True) is None
    path = write(tmp_path / "a.rf64", varied(0.1))
    content = path.read_bytes()
    path.write_bytes(content[:28] + b"\xff" * 8 + content[36:])
    assert content[12:16] == b"ds64"
    reader = Reader(str(path))
    assert reader.start_us() is None
    reader.close()
