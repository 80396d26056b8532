"""Recordings are a source: they are streamed one after the other, at any pace."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from zlib import crc32

from auricle.capture.ahead import Ahead
from auricle.capture.decoder import CutShort
from auricle.capture.doubts import Doubts
from auricle.capture.folders import find
from auricle.capture.reader import LOOK_S, Reader, Stretch, size_of
from auricle.capture.source import End, Gap, NominalClock, Piece, Segment, Skipped, Sound, Status
from auricle.errors import AudioError

AHEAD_S, MOST_AHEAD_S = 1.0, 30.0
"""How far sound is read ahead of its pace: so many seconds of real time, and no more than so much sound."""
AGAIN_S, STALL_S = 0.01, 2.0
"""Where nothing has been read in time: how soon to ask again, and after how long to report it."""


class Recordings:
    """Plays recordings as a stream, as a `Source` of one segment a file, or of several where rate or channels change.

    At a pace they are read ahead: a disk that hangs holds up nobody else, and is reported as a loss; when it answers
    again the recording goes on where it was. At full speed a file is read when its sound is asked for.

    Args:
        name: of the source.
        paths: files, folders and globs.
        model_rate: in Hz, of the sound given.
        speed: 1 is real time, ``None`` as fast as the consumer takes it.
        loop: begin again after the last file, for ever.
        start_us: time of the first sample, microseconds since 1970 UTC; later files follow without a pause.
        block_samples: samples in a block at ``model_rate``.
        channel: the one to listen to, 1 is the first; ``mix``: the mean of all.
        local: whether a recorder's time without a zone is this machine's local one; else it is UTC.
        follow_s: hear on behind a file's end until it has not grown for so long; 0: what is there.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[str],
        *,
        model_rate: int,
        speed: float | None = 1.0,
        loop: bool = False,
        start_us: int | None = None,
        block_samples: int = 1280,
        channel: int | str = "mix",
        local: bool = False,
        follow_s: float = 0.0,
    ) -> None:
        self.name = name
        self.live: None = None
        self.cleaned = 0
        self.done = False
        self.with_own = False
        self._paths = tuple(paths)
        self._model_rate = model_rate
        self._speed = speed
        self._loop = loop
        self._next_us = start_us
        self._block = block_samples
        self._channel = channel
        self._local = local
        self._follow_s = follow_s
        self._following = False
        self._doubts = Doubts(None if isinstance(channel, str) else channel - 1)
        self._pieces: Iterator[Piece | None] = iter(())
        self._ahead: Ahead[Piece] | None = None
        self._starved_s: float | None = None
        self._lost = False
        self._again_s = 0.0
        self._began_s = 0.0
        self._given = 0
        self._share = (0.0, 1.0)
        self.progress = 0.0
        """How much of all files has been given, 0 to 1; of a loop, of this pass."""
        self.heard: dict[str, float] = {}
        """The seconds of every file whose sound is given, by its path, in order; once they are known, else 0."""

    def open(self) -> None:
        """Look for the files; what is missing or broken comes as `Skipped` when its turn is."""
        self._began_s = time.monotonic()
        if self._speed is None:
            self._pieces = self._read_all()
        else:
            ahead_s = min(AHEAD_S * self._speed, MOST_AHEAD_S)
            self._ahead = Ahead(self._patiently(), max(8, round(ahead_s * self._model_rate / self._block)))
            # Each name has its own place within a block: hundreds that begin at once would all be due at once for ever.
            place = crc32(self.name.encode()) / 2**32
            self._began_s += place * self._block / (self._model_rate * self._speed)
        self._given = 0

    def counters(self) -> None:
        """Return nothing: recordings lose nothing, since they wait for whoever hears them."""

    def due_s(self, now_s: float) -> float:
        """Return when the next block will have been 'recorded'."""
        return max(now_s, self._again_s) if self._ahead is None else max(self._recorded_s, self._again_s)

    def poll(self, now_s: float) -> Iterator[Piece]:
        """Yield the pieces that are due; at full speed one block."""
        if self._ahead is not None:
            yield from self._poll_ahead(self._ahead, now_s)
            return
        for piece in self._pieces:
            if piece is None:
                self._again_s = now_s + LOOK_S
                return
            yield piece
            if isinstance(piece, Sound):
                return
        self.done = True

    def fail(self, reason: str, at: int | None) -> None:
        """Give nothing more, and say why."""
        self._let_go()
        self._pieces = iter((Skipped(f"{self.name}: {reason}; the rest of its recordings is not heard"),))

    def close(self) -> None:
        """Close the file being read."""
        self._let_go()
        self.done = True

    def _let_go(self) -> None:
        self._pieces = iter(())
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    @property
    def _recorded_s(self) -> float:
        """Return when the next block will have been 'recorded'."""
        assert self._speed is not None
        return self._began_s + (self._given + self._block) / (self._model_rate * self._speed)

    def _poll_ahead(self, ahead: Ahead[Piece], now_s: float) -> Iterator[Piece]:
        while (due_s := self._recorded_s) <= now_s and self._ahead is ahead:
            if (piece := ahead.get()) is None:
                if ahead.ended:
                    self.done = True
                else:
                    yield from self._starve(now_s)
                return
            self._starved_s = None
            if self._lost:
                self._lost = False
                yield Status("found", "it can be read again")
            if isinstance(piece, Sound):
                self._given += len(piece.samples)
                piece.delivered_s = due_s
            yield piece

    def _starve(self, now_s: float) -> Iterator[Piece]:
        """Ask again soon, since nothing is there that should be, and report it when that lasts."""
        self._again_s = now_s + AGAIN_S
        if self._starved_s is None:
            self._starved_s = now_s
        if not self._lost and not self._following and now_s - self._starved_s > STALL_S:
            self._lost = True
            yield Status("lost", f"nothing could be read for {STALL_S:g} s; is its disk or share still there?")

    def _patiently(self) -> Generator[Piece]:
        """Yield all pieces, for the thread that reads ahead: it waits for a file that may still grow."""
        for piece in self._read_all():
            self._following = piece is None
            if piece is not None:
                yield piece
            elif self.done:
                return
            else:
                time.sleep(LOOK_S)

    def _read_all(self) -> Generator[Piece | None]:
        tell = True
        while True:
            files, faults = find(self._paths, tell=tell)
            tell = False
            yield from map(Skipped, faults)
            heard = 0
            for index, file in enumerate(files):
                self._share = (index / len(files), 1 / len(files))
                for piece in self._read(file):
                    heard += isinstance(piece, Sound)
                    yield piece
                self.progress = sum(self._share)
            if not self._loop:
                return
            if not heard:
                yield Skipped(f"{self.name}: nothing to loop over: none of its recordings can be read")
                return

    def _open(self, path: str) -> Generator[None, None, Reader]:
        """Make a reader for a file; one that is followed may not have begun yet."""
        until_s, size = time.monotonic() + self._follow_s, size_of(path)
        while True:
            if size_of(path) > size:
                until_s, size = time.monotonic() + self._follow_s, size_of(path)
            try:
                return Reader(
                    path, self._model_rate, channel=self._channel, doubts=self._doubts, follow_s=self._follow_s
                )
            except AudioError:
                if time.monotonic() >= until_s:
                    raise
            yield

    def _read(self, path: str) -> Iterator[Piece | None]:
        try:
            reader = yield from self._open(path)
        except AudioError as e:
            yield Skipped(str(e))
            return
        self.heard[path] = 0.0
        start = reader.start_us(local=self._local) if self._next_us is None else self._next_us
        rate, missing, begun = reader.rate, 0, False
        clock = NominalClock(rate, start or 0, start is not None)
        length, given, place = max(1, reader.frames * self._model_rate // rate), 0, 0
        try:
            for piece in reader.pieces(self._block):
                if piece is None:
                    yield None
                elif isinstance(piece, Stretch):
                    if begun:
                        yield End("end")
                    begun, rate = True, piece.rate
                    clock = NominalClock(rate, start or 0, start is not None)
                    place = round(piece.begin_s * rate)
                    yield Segment(place, rate, clock, reader.name)
                else:
                    given += len(piece.samples)
                    self.progress = self._share[0] + self._share[1] * min(1.0, given / length)
                    yield Sound(piece.samples, own=piece.own if self.with_own else None, start=place)
                    place += len(piece.own)
                    for doubt in self._doubts.take():
                        yield Status("questioned", f"{reader.name}: {doubt}")
        except CutShort as e:
            missing = e.missing
            yield Skipped(str(e))
        finally:
            self.cleaned += reader.cleaned
            reader.close()
        self.heard[path] = reader.duration_s
        for doubt in self._doubts.take():
            yield Status("questioned", f"{reader.name}: {doubt}")
        if self._next_us is not None:
            self._next_us += (reader.frames + missing) * 1_000_000 // reader.rate
        yield End("gap" if missing else "end")
        if missing:
            yield Gap(round(reader.duration_s * rate), missing, rate, "lost", False, clock)
