"""When a recording was made is read here, from what its recorder wrote beside the sound and in the file's name, in an
order of trust."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import BinaryIO

from auricle.capture.dates import microseconds, moment_in

_MOST_NOTES, _MOST_CHUNKS = 65_536, 1_000
"""Of a note at most so many bytes are read, and of a file at most so many chunks looked at."""
_NOTES = (b"bext", b"guan", b"iXML", b"LIST")
_GUANO = re.compile(r"^Timestamp:[ \t]*(.+)$", re.MULTILINE)
_AUDIOMOTH = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4}) \(UTC(?:([+-])(\d{1,2})(?::(\d\d))?)?\)"
)
_IXML = re.compile(r"<BWF_ORIGINATION_(DATE|TIME)>\s*([^<]{1,40}?)\s*</")
_BIRDNET = re.compile(r"-birdnet-(?:[^-]+-)?(?=\d\d:\d\d:\d\d)")
_UNIX = re.compile(r"([0-9A-F]{8})T?")
_FIRST_UNIX = 1_483_228_800
"""The year 2017, of the first AudioMoths, which named files by the seconds since 1970, in hexadecimal digits."""


def start_us(path: str, tags: Mapping[str, str], *, local: bool = False) -> int | None:
    """Return the microseconds since 1970 UTC of a recording's first sample; ``None`` if nothing tells.

    Asked are, in this order: the GUANO note, the comment of an AudioMoth, the file's name, iXML, bext, and the date
    among the tags. The first that states its zone counts; if none does, the first of all.

    Args:
        path: of the file.
        tags: as libsndfile reads them: ``comment`` and ``date`` are looked at.
        local: whether a time without a zone is this machine's local one; else it is UTC.
    """
    moments = list(_moments(path, tags))
    moment = next((moment for moment in moments if moment.tzinfo is not None), moments[0] if moments else None)
    return None if moment is None else microseconds(moment, local=local)


def _moments(path: str, tags: Mapping[str, str]) -> Iterator[datetime]:
    with open(path, "rb") as file:
        notes = _notes(file)
    guano = _GUANO.search(_text(notes.get(b"guan", b"")))
    found = [
        _iso(guano[1].strip()) if guano else None,
        _audiomoth(_text(notes.get(b"LIST", b"")) or tags.get("comment", "")),
        _named(os.path.basename(path)),
        _ixml(_text(notes.get(b"iXML", b""))),
        _bext(notes.get(b"bext", b"")),
        moment_in(tags.get("date", "")),
    ]
    return (moment for moment in found if moment is not None)


def _notes(file: BinaryIO) -> dict[bytes, bytes]:
    """Read what a WAV or RF64 keeps beside its sound, by chunk."""
    head = file.read(12)
    notes: dict[bytes, bytes] = {}
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return notes
    at, long, size = 12, 0, os.fstat(file.fileno()).st_size
    for _ in range(_MOST_CHUNKS):
        if at >= size:  # a length of 64 bits may lie behind what can be sought
            break
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        (length,) = struct.unpack("<I", head[4:8])
        if head[:4] == b"ds64":
            long = int.from_bytes(file.read(8), "little")
        elif head[:4] == b"data" and length == 0xFFFF_FFFF:
            length = long
        elif head[:4] in _NOTES:
            file.seek(at + 8)
            notes.setdefault(head[:4], file.read(min(length, _MOST_NOTES)))
        at += 8 + length + length % 2
    return notes


def _text(note: bytes) -> str:
    return note.decode("utf-8", "replace")


def _iso(text: str) -> datetime | None:
    """Read a time as ISO 8601 has it, also with a zone of whole hours (``-05``), which in a name would be a counter."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return moment_in(text)


def _audiomoth(text: str) -> datetime | None:
    if (match := _AUDIOMOTH.search(text)) is None:
        return None
    hour, minute, second, day, month, year = (int(part) for part in match.groups()[:6])
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone(-offset if match[7] == "-" else offset))
    except ValueError:
        return None


def _named(name: str) -> datetime | None:
    """Read a name as AudioMoth, Song Meter, BirdNET-Pi and most others give them."""
    if unix := _UNIX.fullmatch(os.path.splitext(name)[0]):
        seconds = int(unix[1], 16)
        return datetime.fromtimestamp(seconds, UTC) if seconds >= _FIRST_UNIX else None
    return moment_in(_BIRDNET.sub("T", name))


def _ixml(text: str) -> datetime | None:
    stated = dict(_IXML.findall(text))
    return moment_in(f"{stated.get('DATE', '')} {stated.get('TIME', '')}")


def _bext(note: bytes) -> datetime | None:
    """Read the origination date and time of a broadcast wave (EBU Tech 3285): any of ``-_:. `` between the numbers."""
    fields = (note[at : at + n].decode("ascii", "replace") for at, n in ((320, 10), (330, 8)))
    date, time = (re.sub(r"[-_:. ]", "", field) for field in fields)
    return moment_in(f"{date}T{time}")
