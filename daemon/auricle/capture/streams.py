"""The streams of MP3 and Ogg in a file are found here, one after the other: where each lies, and how much sound it
holds."""

from __future__ import annotations

import io
import os
import struct
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

_KBIT = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""The bit rates of layer III, by whether it is MPEG 1 or one of its halved rates (ISO 11172-3, 13818-3)."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LOOK = 65_536
_NO_END = "the stream's last page is missing"


class Stitched(io.RawIOBase):
    """Reads pieces of a file, and bytes that are not in it, as one file.

    Args:
        path: of the file.
        pieces: bytes, offset and length in the file, or so many times ``fill``.
    """

    def __init__(self, path: str, pieces: Sequence[bytes | tuple[int, int] | int], *, fill: int = 0) -> None:
        self._fill = bytes((fill,))
        self._file = open(path, "rb")  # noqa: SIM115 - closed with this
        self._pieces: list[tuple[int, int, bytes | int | None]] = []
        end = 0
        for piece in pieces:
            what: bytes | int | None
            match piece:
                case bytes():
                    length, what = len(piece), piece
                case int():
                    length, what = piece, None
                case (at, length):
                    what = at
            if length:
                self._pieces.append((end, end + length, what))
            end += length
        self._size = end
        self._begins = [begin for begin, _, _ in self._pieces]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill the buffer over the pieces' edges: libsndfile takes less than it asked for as the end of the file."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and (data := self._within_a_piece(len(view) - filled)):
            view[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def _within_a_piece(self, most: int) -> bytes:
        if not self._at < self._size:
            return b""
        begin, end, what = self._pieces[bisect(self._begins, self._at) - 1]
        n = min(most, end - self._at)
        if isinstance(what, bytes):
            data = what[self._at - begin : self._at - begin + n]
        elif what is None:
            data = self._fill * n
        else:
            self._file.seek(what + self._at - begin)
            data = self._file.read(n)
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(slots=True)
class Stream:
    """Describes sound of one rate and number of channels.

    Args:
        pieces: what a decoder should be given.
        stated: samples that there should be where the file says so itself; else ``None``.
        broken_off: what shows that its end is missing; else empty.
        form: rate and channels, where FLAC or Speex in Ogg states them.
        samples: that its frames hold, where they were counted.
    """

    pieces: list[bytes | tuple[int, int]] = field(default_factory=list)
    stated: int | None = None
    broken_off: str = ""
    form: tuple[int, int] | None = None
    samples: int = 0


@dataclass(frozen=True, slots=True)
class _Frame:
    at: int
    size: int
    head: bytes

    @property
    def rate(self) -> int:
        return _RATES[self.head[1] >> 3 & 3][self.head[2] >> 2 & 3]

    @property
    def samples(self) -> int:
        return 1152 if self.head[1] >> 3 & 3 == 3 else 576

    @property
    def like(self) -> tuple[int, bool]:
        return self.rate, self.head[3] >> 6 == 3

    @property
    def tag_at(self) -> int:
        """Return where an encoder's own header (Xing, Info) lies in its frame: behind the side information."""
        mono = self.head[3] >> 6 == 3
        return 4 + ((17 if mono else 32) if self.samples == 1152 else (9 if mono else 17))


def _frame(file: BinaryIO, at: int) -> _Frame | None:
    file.seek(at)
    head = file.read(4)
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # eleven bits of sync, layer III
        return None
    version, kbit, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or not 0 < kbit < 15 or rate == 3:
        return None
    samples = 144_000 if version == 3 else 72_000
    size = samples * _KBIT[version == 3][kbit] // _RATES[version][rate] + (head[2] >> 1 & 1)
    return _Frame(at, size, head)


def _frames(file: BinaryIO, size: int) -> Iterator[_Frame]:
    """Yield the frames of an MP3 in order; tags and junk are passed over."""
    at, sure = 0, False
    while at + 4 <= size:
        frame = _frame(file, at)
        # Two bytes of sync are found in anything: a first frame must have another behind it, or the file's end.
        if frame is not None and (
            sure or at + frame.size == size or (_frame(file, at + frame.size) is not None and frame.size > 4)
        ):
            yield frame
            at, sure = at + frame.size, True
            continue
        sure = False
        file.seek(at)
        ahead = file.read(_LOOK)
        if ahead[:3] == b"ID3" and len(ahead) > 10:
            at += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(ahead[6:10], (21, 14, 7, 0), strict=True))
            continue
        sync = ahead.find(b"\xff", 1)
        at += sync if sync > 0 else max(1, len(ahead))


def mp3(file: BinaryIO, *, anyway: bool = False) -> list[Stream] | None:
    """Find the streams of an MP3, each with a header that says how long it is; ``None`` where the file's own one is
    right.

    A decoder takes the length of an MP3 without such a header from its first frame's bit rate, and stops there.

    Args:
        anyway: also where it is right, because a decoder refuses what is left of a file that is cut short.
    """
    size = os.fstat(file.fileno()).st_size
    streams: list[Stream] = []
    counts: list[int] = []
    firsts: list[_Frame] = []
    own: int | None = None
    tagged = 0
    for frame in _frames(file, size):
        cut = frame.at + frame.size > size
        file.seek(frame.at + frame.tag_at)
        tag = file.read(12) if frame.tag_at + 12 <= frame.size else b""
        if tag[:4] in (b"Xing", b"Info"):
            tagged += 1
            if tagged == 1 and not streams and tag[7] & 1:
                own = int.from_bytes(tag[8:12], "big")
            continue
        if cut:
            continue
        if not streams or firsts[-1].like != frame.like:
            streams.append(Stream())
            counts.append(0)
            firsts.append(frame)
        counts[-1] += 1
        pieces = streams[-1].pieces
        last = pieces[-1] if pieces else None
        if isinstance(last, tuple) and last[0] + last[1] == frame.at:
            pieces[-1] = (last[0], last[1] + frame.size)
        else:
            pieces.append((frame.at, frame.size))
    if not streams:
        return None
    if own is not None and len(streams) == 1 and counts[0] <= own:
        if not anyway:
            return None
        streams[0].stated = own * firsts[0].samples
    for stream, count, first in zip(streams, counts, firsts, strict=True):
        stream.pieces.insert(0, _xing(first, count))
        stream.samples = count * first.samples
    return streams


def _xing(first: _Frame, count: int) -> bytes:
    """Make a silent frame that states how many follow it, like the first of them."""
    head = bytes((0xFF, first.head[1] | 1, 9 << 4 | first.head[2] & 0x0C, first.head[3]))
    kbit = _KBIT[first.samples == 1152][9]
    frame = bytearray(first.samples // 8 * 1000 * kbit // first.rate)
    frame[:4] = head
    frame[first.tag_at : first.tag_at + 12] = b"Xing" + struct.pack(">II", 1, count)
    return bytes(frame)


def ogg(file: BinaryIO) -> list[Stream]:
    """Find the logical streams chained in an Ogg file (RFC 3533), each with whether its last page is there."""
    size = os.fstat(file.fileno()).st_size
    streams: list[Stream] = []
    begin, at, sound, ended = 0, 0, False, False
    form: tuple[int, int] | None = None
    while at + 27 <= size:
        file.seek(at)
        head = file.read(27)
        if head[:4] != b"OggS":
            ahead = head + file.read(_LOOK)
            found = ahead.find(b"OggS", 1)
            at += found if found > 0 else max(1, len(ahead) - 3)
            continue
        table = file.read(head[26])
        end = at + 27 + len(table) + sum(table)
        if head[5] & 2 and sound:
            streams.append(Stream([(begin, at - begin)], None, "" if ended else _NO_END, form))
            begin, sound, ended = at, False, False
        if at == begin:
            form = _form(file.read(64))
        sound |= not head[5] & 2
        ended = bool(head[5] & 4) and len(table) == head[26] and end <= size
        at = end
    streams.append(Stream([(begin, size - begin)], None, "" if ended else _NO_END, form))
    return streams


def _form(packet: bytes) -> tuple[int, int] | None:
    """Read rate and channels from the first packet of FLAC or Speex in Ogg."""
    if packet[:5] == b"\x7fFLAC" and len(packet) >= 30:
        (packed,) = struct.unpack(">I", packet[26:30])
        rate = packed >> 4 & 0xFFFFF
        return (rate, (packed >> 1 & 7) + 1) if rate else None
    if packet[:5] == b"Speex" and len(packet) >= 52:
        rate, channels = struct.unpack("<I8xI", packet[36:52])
        return (rate, channels) if rate and channels else None
    return None
