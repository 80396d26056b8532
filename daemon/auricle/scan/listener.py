"""A listener hears one unit of work after another; what comes of one does not depend on those before."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auricle.capture.conditioning import Resampler
from auricle.capture.decoder import CutShort
from auricle.capture.doubts import Doubts
from auricle.capture.folders import shown
from auricle.capture.reader import Reader
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Segment, Skipped, Sound, Status
from auricle.errors import AudioError
from auricle.hearing import pipeline
from auricle.hearing.decision import finite
from auricle.model.bundle import Bundle
from auricle.scan.work import Finding, Heard, Part, Result, Run, Settings, Told, Unit, hash_of
from auricle.stages.stage import Pipeline


def stages_of(settings: Settings, bundle: Bundle) -> tuple[Pipeline, pipeline.Scorer]:
    """Build the stages from samples to smoothed scores, and return them with the scorer that they begin with."""
    cfg = settings.cfg
    scorer = pipeline.scorer(bundle, cfg.decision, cfg.gate)
    grouping, smoother = pipeline.grouping(bundle, cfg.decision), pipeline.smoother(bundle, cfg.decision)
    return Pipeline([scorer.stages, *grouping, smoother]), scorer


class Listener:
    """Hears units of work.

    Args:
        settings: of the scan.
        bundle: the model.
    """

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        self._settings = settings
        self._stages, scorer = stages_of(settings, bundle)
        self._gate = scorer.front_end.gate
        self._learned = {} if self._gate is None else self._gate.learned
        self._rate = bundle.card.front_end.sample_rate
        self._block = pipeline.block_samples(bundle)
        detector = pipeline.detector(bundle, settings.cfg.decision, span=self._stages.span, hop=self._stages.hop)
        self._least = detector.least

    def hear(self, unit: Unit) -> Result:
        """Hear a unit; where a recording turns out to hold less than its header says, that is the result."""
        if self._gate is not None:
            self._gate.learned = self._learned
        return self._alone(unit) if unit.whole else self._stretch(unit)

    def _stretch(self, unit: Unit) -> Result:
        told = [Told(part.path) for part in unit.parts]
        self._stages.reset()
        sieve = _Sieve(self._least, unit.warm, unit.rows)
        try:
            for block in self._sound(unit, told):
                sieve.take(self._stages.process(block), len(block))
                if sieve.full:
                    break
        except _Short as short:
            return self._measured(short.part)
        for place in unit.ends:
            told[place].sha256 = hash_of(self._at(unit.parts[place].path))
        return Heard(unit.key, [sieve.run(0, unit.rate)], told)

    def _sound(self, unit: Unit, told: list[Told]) -> Iterator[NDArray[np.float32]]:
        """Yield the unit's sound at the model's rate, without what is passed over at first, in blocks for the stages.

        Raises:
            _Short: a recording cannot be read as its header says.
        """
        resampler, skip = Resampler(unit.rate, self._rate), unit.skip
        for block in self._read(unit, told, max(1, self._block * unit.rate // self._rate)):
            sound = resampler.process(block) if len(block) else resampler.flush()
            passed = min(skip, len(sound))
            skip -= passed
            for begin in range(passed, len(sound), self._block):
                yield sound[begin : begin + self._block]

    def _read(self, unit: Unit, told: list[Told], step: int) -> Iterator[NDArray[np.float32]]:
        """Yield the sound of all parts at their own rate, and an empty block at the end."""
        channel = self._settings.channel
        for part, each in zip(unit.parts, told, strict=True):
            doubts, read = Doubts(None if isinstance(channel, str) else channel - 1), part.begin
            try:
                reader = Reader(self._at(part.path), channel=channel, doubts=doubts)
            except AudioError:
                raise _Short(part) from None
            if not reader.exact or reader.rate != unit.rate:
                reader.close()
                raise _Short(part)
            for block in reader.samples(part.begin, part.end):
                read += len(block)
                for begin in range(0, len(block), step):
                    yield block[begin : begin + step]
            each.notes = [f"{shown(os.fsdecode(part.path))}: {doubt}" for doubt in doubts.take()]
            if read < part.end:
                raise _Short(part)
        yield np.empty(0, np.float32)

    def _measured(self, part: Part) -> Finding:
        """Find how much of a recording can be read from its start on."""
        heard, reason = 0, ""
        try:
            reader = Reader(self._at(part.path), channel=self._settings.channel, doubts=Doubts())
            reader.name = shown(os.fsdecode(part.path))
            for block in reader.blocks(self._block):
                heard += len(block)
        except CutShort as cut:
            reason = str(cut)
        except AudioError:
            heard = 0  # it is not what it was: whoever hears it by itself says what it is
        # One that can be read from its start on and not from its middle is heard from its start on.
        return Finding(part.path, part.stamp, heard if reason and heard < part.end else 0, reason)

    def _alone(self, unit: Unit) -> Heard:
        (part,) = unit.parts
        named = os.fsdecode(part.path)
        path, told = self._at(part.path), Told(part.path, sha256="")
        source = Recordings(
            "scan",
            [path],
            model_rate=self._rate,
            speed=None,
            block_samples=self._block,
            channel=self._settings.channel,
            local=self._settings.local,
        )
        runs: list[Run] = []
        reasons: list[str] = []
        source.open()
        try:
            self._hear_all(source, runs, reasons, told)
        except Exception as error:  # whatever it is: it is told as the recording's reason, and the others are heard
            reasons.append(f"{shown(named)}: {type(error).__name__}: {error}; the rest of it is not heard")
        source.close()
        told.reason = "; ".join(reason.replace(shown(path), shown(named)) for reason in reasons)
        told.notes = [note.replace(shown(path), shown(named)) for note in told.notes]
        told.state = "refused" if path not in source.heard else "cut" if reasons else "heard"
        told.seconds = round(source.heard.get(path, 0.0), 6)
        told.sha256 = hash_of(path)
        return Heard(unit.key, runs, [told])

    def _hear_all(self, source: Recordings, runs: list[Run], reasons: list[str], told: Told) -> None:
        sieve = _Sieve(self._least, 0, None)
        while not source.done:
            for piece in source.poll(0.0):
                match piece:
                    case Segment():
                        sieve = _Sieve(self._least, 0, None)
                        runs.append(sieve.run(piece.start, piece.rate))
                        told.start_us = piece.clock.utc_us(0) if piece.clock.known else None
                        self._stages.reset()
                    case Sound():
                        for begin in range(0, len(piece.samples), self._block):
                            block = piece.samples[begin : begin + self._block]
                            sieve.take(self._stages.process(block), len(block))
                    case End():
                        runs[-1] = sieve.run(runs[-1].begin, runs[-1].rate)
                    case Skipped():
                        reasons.append(piece.reason)
                    case Status() if piece.state == "questioned":
                        told.notes.append(piece.detail)

    def _at(self, path: bytes) -> str:
        return os.path.join(self._settings.folder, os.fsdecode(path))


class _Short(Exception):
    """A recording cannot be read as its header says."""

    def __init__(self, part: Part) -> None:
        self.part = part
        super().__init__()


class _Sieve:
    """Keeps the scores that count, of the decisions that are wanted, packed as they come: a chain may last for days.

    Args:
        least: by label, the score from which on one counts.
        warm: decisions passed over first.
        rows: decisions wanted behind them; ``None``: all.
    """

    def __init__(self, least: NDArray[np.float32], warm: int, rows: int | None) -> None:
        self._least, self._warm, self._wanted = least, warm, rows
        self._where, self._scores = _Packed("<i8"), _Packed("<f4")
        self._rows = 0
        self._samples = 0

    @property
    def full(self) -> bool:
        """Return whether there are all decisions that are wanted."""
        return self._rows == self._wanted

    def take(self, scores: NDArray[np.float32], samples: int) -> None:
        """Take the decisions ``(n, n_labels)`` that so many samples completed."""
        self._samples += samples
        passed = min(self._warm, len(scores))
        self._warm -= passed
        left = len(scores) if self._wanted is None else passed + self._wanted - self._rows
        scores, _ = finite(scores[passed:left])
        where = np.flatnonzero(scores >= self._least)
        if len(where):
            self._where.add(where + self._rows * len(self._least))
            self._scores.add(scores.reshape(-1)[where])
        self._rows += len(scores)

    def run(self, begin: int, rate: int) -> Run:
        """Return what was kept so far."""
        return Run(begin, rate, self._samples, self._rows, self._where.all(), self._scores.all())


class _Packed:
    """Compresses numbers that come one after the other.

    Args:
        form: of the numbers, as numpy names it.
    """

    def __init__(self, form: str) -> None:
        self._form, self._packer, self._packed = form, zlib.compressobj(1), bytearray()

    def add(self, numbers: NDArray[np.generic]) -> None:
        """Add numbers to those before."""
        self._packed += self._packer.compress(numbers.astype(self._form).tobytes())

    def all(self) -> bytes:
        """Return all of them so far, compressed."""
        return bytes(self._packed + self._packer.copy().flush())
