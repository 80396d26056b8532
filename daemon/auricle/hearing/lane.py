"""A lane is one source on its way through the engine: its pieces in, decisions out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

import numpy as np
import zmq
from numpy.typing import NDArray

from auricle import config, messages
from auricle.capture.source import End, Gap, Piece, Segment, Skipped, Sound, Source, Status
from auricle.clips.keeper import Keeper
from auricle.errors import one_line
from auricle.gate import NoiseGate
from auricle.hearing import pipeline
from auricle.hearing.counters import Counters
from auricle.hearing.decision import Change, finite
from auricle.hearing.ear import Ear
from auricle.hearing.recall import Recall
from auricle.hearing.reporter import Reporter
from auricle.hearing.room import Room
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from auricle.secrecy import mask

log = logging.getLogger("auricle")

THRESHOLDS_S = 2.0
"""How often the thresholds in force are published, in seconds of sound: who joins late has them soon, at little cost.
"""


SHARED = (OSError, zmq.ZMQError)
"""Errors of these kinds while publishing are those of an outlet, which all sources share; any other is one source's."""


class Lane:
    """Leads one source through its stages to its decisions.

    What a piece asks for is done when the piece is taken; sound waits, a block at a time, until all lanes are computed
    (`auricle.hearing.together`), and the scores come back by `heard`.

    Args:
        source: gives the pieces.
        bundle: the model.
        decision: the rules.
        gate: the noise gate.
        publish: how often scores and updates are published.
        publisher: takes the messages.
        tell_scores: whether anybody may listen to scores; events are published in any case.
    """

    def __init__(
        self,
        source: Source,
        bundle: Bundle,
        *,
        decision: config.Decision,
        gate: config.Gate,
        publish: config.Publish,
        publisher: Publisher,
        tell_scores: bool = True,
    ) -> None:
        self.source = source
        self.name, self.live = source.name, source.live
        self._tell_scores = tell_scores
        self.counters = Counters()
        self.state: messages.SourceState = "starting"
        self.processed_s: float | None = None
        self.reporter = Reporter(source.name, bundle, publisher, pipeline.labels(bundle, decision))
        self._level_dbfs: float | None = None
        self.ear = Ear(bundle, decision, gate, publish)
        """The stages, level meter and rules in use now; `replace` sets others for the next decision."""
        self._next_ear: Ear | None = None
        self.keeper: Keeper | None = None
        """Keeps the clips of the source, if it has any."""
        self.recall: Recall | None = None
        """Remembers the last minutes of decisions, where somebody may ask for them."""
        self.room: Room | None = None
        """Remembers the last hours, where that is allowed; `remember` sets it."""
        self._tell_gate()
        self._hearing = False
        self._samples = 0
        self._rows = 0
        self._next_score = self._next_thresholds = 0
        self._delivered_s: float | None = None
        self.waiting: NDArray[np.float32] | None = None
        """The block to be heard next, no longer than `Ear.block`; no piece is taken while one waits."""
        self._left: NDArray[np.float32] | None = None
        """The rest of the same sound, which follows that block."""
        self._failure = ""
        self._unsound = False
        self.columns_per_s: float | None = None
        """Columns of the spectrum a second, at most; ``None`` while nobody looks. `watch` sets it."""
        self.score_interval_s = 0.0
        """At most one score message in this time, however often the configuration wants one."""

    def draw(self, pieces: Iterator[Piece]) -> bool:
        """Take pieces until a block waits to be heard; return whether one does."""
        while self.waiting is None:
            try:
                piece = next(pieces, None)
            except Exception as error:
                self.fail(error)
                return False
            if piece is None:
                return False
            try:
                self.take(piece)
            except SHARED:
                raise
            except Exception as error:
                self.fail(error)
                return False
        return True

    def take(self, piece: Piece) -> None:
        """Do what the piece asks for; nothing may wait to be heard."""
        assert self.waiting is None, "a piece was taken before the one before it was heard"
        match piece:
            case Sound():
                self._delivered_s = piece.delivered_s
                if self.keeper is not None and piece.own is not None:
                    self.keeper.hear(piece.start, piece.own, time.monotonic())
                self._wait(piece.samples)
            case Segment():
                self._begin(piece)
                self._show(piece)
            case End():
                self._end(piece.cause)
                if self.keeper is not None:
                    self.keeper.end(piece.cause)
                if self._next_ear is not None:
                    self._change_ears()
            case Gap():
                self._lose(piece)
            case Status():
                self.tell(piece.state, piece.detail)
            case Skipped():
                self.counters.skipped += 1
                log.warning("%s: skipped: %s", self.name, piece.reason)

    def heard(self, scores: NDArray[np.float32], levels: NDArray[np.float32]) -> None:
        """Decide on the scores and levels of the block that waited; the next block of the same sound waits then."""
        assert self.waiting is not None
        self._samples += len(self.waiting)
        if len(scores):
            self._decide(scores, levels)
        self._tell_spectrum()
        self.processed_s = time.monotonic()
        self._wait(self._left)

    @property
    def done(self) -> bool:
        """Return whether nothing will ever come again."""
        return self.source.done

    @property
    def model(self) -> messages.Model:
        """Return the model that hears, as messages name it."""
        return self.reporter.model

    @property
    def labels(self) -> Sequence[str]:
        """Return the labels that may have events."""
        return self.ear.labels

    @property
    def coming(self) -> Ear:
        """Return the ear that hears from the next decision on."""
        return self.ear if self._next_ear is None else self._next_ear

    @property
    def bundle(self) -> Bundle:
        """Return the model that hears."""
        return self.ear.bundle

    @property
    def gate(self) -> NoiseGate | None:
        """Return the noise gate, if there is one."""
        return self.ear.gate

    def configure(self, decision: config.Decision, gate: config.Gate, publish: config.Publish) -> None:
        """Decide by other rules from the next sample on, within the segment."""
        self.ear.configure(decision, gate, publish)
        if self._next_ear is not None:
            self._next_ear.configure(decision, gate, publish)
        self._next_score = self._next_thresholds = 0

    def replace(self, ear: Ear) -> None:
        """Hear with another ear from the next decision on, in a new segment; no sample is lost between the two."""
        if ear.bundle.card.front_end.sample_rate != self._model_rate:
            raise ValueError("the ear takes another sample rate than the source gives")
        self._next_ear = ear
        if not self._hearing:
            self._change_ears()

    def watch(self, columns_per_s: float | None) -> None:
        """Tell the spectrum from now on, at most so many columns a second; ``None``: no more."""
        self.columns_per_s = columns_per_s
        self.ear.watch(columns_per_s, self._samples if self._hearing else 0)

    def remember(self, room: Room | None) -> None:
        """Let this room be remembered from now on, or none; to be called again after `replace`."""
        self.room = room
        self.ear.remember(room is not None)
        self.watch(self.columns_per_s)

    def keep(self, keeper: Keeper | None) -> None:
        """Keep clips by this keeper from now on, or none; those of the one before end here."""
        if self.keeper is not None and self.keeper is not keeper:
            self.keeper.close()
        self.keeper = keeper
        self.source.with_own = keeper is not None
        if self._hearing and (place := self.reporter.place) is not None:
            self._show(place[0])

    def fail(self, error: Exception) -> None:
        """End the segment of this source, in which something went wrong; the other sources hear on."""
        reason = one_line(mask(f"{type(error).__name__}: {error}"))
        # The same traceback again at every try would fill the log.
        level = logging.DEBUG if reason == self._failure else logging.ERROR
        log.log(level, "%s: failed, the other sources go on", self.name, exc_info=error)
        self._failure = reason
        self.waiting = self._left = None
        at = None
        if self._hearing:
            at = self.reporter.sample(self._samples)
            try:
                self._end("gap")
            except SHARED:
                raise
            except Exception as again:
                log.error("%s: its events could not be ended: %s", self.name, again)
                self._hearing = False
            if self.keeper is not None:
                self.keeper.end("gap" if self.live is not None else "end")
        self.source.fail(reason, at)

    def close(self, cause: messages.OffsetCause = "stop") -> None:
        """End the open segment and its events."""
        if self._hearing:
            self._end(cause)
        if self.keeper is not None:
            self.keeper.end("end")

    def tell(self, state: messages.SourceNews, detail: str = "") -> None:
        """Publish and log a change of the source's state, or other news of it."""
        if state != "clock" and state != "questioned":  # such news leave a lost source lost
            self.state = state
        level = logging.WARNING if state in ("lost", "questioned") else logging.INFO
        log.log(level, "%s: %s%s", self.name, state, f": {detail}" if detail else "")
        told = self.reporter.status(state, detail, self._samples)
        if self.recall is not None:
            self.recall.news.append(told)

    def health(self, now_s: float) -> messages.SourceHealth:
        """Return the counters for the `health` message, the open segment included."""
        under_way = 0, 0.0
        if self._hearing:
            under_way = self.reporter.own_rate(self._samples), self._samples / self._model_rate
        return self.counters.health(
            state=self.state,
            under_way=under_way,
            cleaned=self.source.cleaned,
            gate=self.ear.gate_state,
            level_dbfs=self._level_dbfs,
            age_s=None if self.processed_s is None else now_s - self.processed_s,
            live=self.source.counters(),
        )

    def _begin(self, segment: Segment, before: int = 0) -> None:
        self.reporter.begin(segment, before)
        self._hearing = True
        self._samples = self._rows = self._next_score = self._next_thresholds = 0
        self.ear.reset()
        if self.room is not None:
            self.room.begin()
        if self.state not in messages.UNDER_WAY:
            self.tell("running", segment.file or "")

    def _show(self, segment: Segment) -> None:
        """Let the keeper know the segment whose sound comes."""
        if self.keeper is not None:
            clock = segment.clock
            self.keeper.begin(segment.start, segment.rate, clock.utc_us, segment.file, known=clock.known)

    def _wait(self, sound: NDArray[np.float32] | None) -> None:
        """Let the next block of this sound wait, if there is any; a new ear takes over at a decision."""
        most = self.ear.block
        if self._next_ear is not None:
            until = self.ear.until_decision(self._samples)
            if not until:
                self._change_ears()
            most = min(until or most, self.ear.block)
        self.waiting, self._left = sound, None
        if sound is not None and len(sound) > most:
            self.waiting, self._left = sound[:most], sound[most:]

    def _change_ears(self) -> None:
        assert self._next_ear is not None
        ear, self._next_ear = self._next_ear, None
        place, samples = self.reporter.place, self._samples
        if self._hearing:
            self._end("reload")
        self.ear = ear
        self.ear.watch(self.columns_per_s, 0)
        self.reporter.use(ear.bundle, ear.labels)
        self._tell_gate()
        if place is not None:
            segment, before = place
            self._begin(segment, before + samples)
            self.tell("running", f"reload: a new segment with model {ear.bundle.card.name}")

    def _decide(self, scores: NDArray[np.float32], levels: NDArray[np.float32]) -> None:
        if self.ear.doubtful:
            scores = self._finite(scores)
        if self.keeper is not None and self.keeper.rules.privacy:
            self._judge(self.keeper, scores)
        changes = self.ear.detector.process(scores)
        if self.recall is not None:
            self.recall.add(self.ear, self.ear.gate_state, self.reporter.place_of, self._rows, scores, levels)
        first = self._rows
        self._rows += len(scores)
        if self.room is not None:
            at = self.ear.stages.span + (self._rows - 1) * self.ear.stages.hop
            self.room.hear(self.ear, scores, self.reporter.place_of(at)[1])
        self.counters.decisions += len(scores)
        self._level_dbfs = float(levels[-1])
        if self._delivered_s is not None and time.monotonic() - self._delivered_s > self.ear.hop_s:
            self.counters.late += len(scores)
        if not self._tell_scores:
            for change in changes:
                self._tell_change(change)
            return
        told = 0
        # Scores and events leave in the order of their decisions.
        for row in range(len(scores)):
            at = self.ear.stages.span + (first + row) * self.ear.stages.hop
            if at >= self._next_score:
                least = round(self.score_interval_s * self._model_rate)
                self._next_score = at + max(self.ear.score_interval, least)
                detector, thresholds = self.ear.detector, None
                if at >= self._next_thresholds:
                    self._next_thresholds = at + round(THRESHOLDS_S * self._model_rate)
                    thresholds = detector.thresholds
                self.reporter.scores(
                    at,
                    scores[row],
                    float(levels[row]),
                    self._delivered_s,
                    held_back=detector.held_back.get(at),
                    thresholds=thresholds,
                    top=self.ear.top,
                )
            while told < len(changes) and changes[told].at == at:
                self._tell_change(changes[told])
                told += 1

    def _judge(self, keeper: Keeper, scores: NDArray[np.float32]) -> None:
        """Tell the keeper in which windows there was sound that it must not keep."""
        stages, labels = self.ear.stages, self.ear.labels
        private = [labels.index(label) for label in keeper.rules.privacy if label in labels]
        for row in range(len(scores)):
            first = (self._rows + row) * stages.hop
            bounds = self.reporter.sample(first), self.reporter.sample(first + stages.span)
            # What a model does not know, until a reload brings the one that does, may be in any sound.
            unknown = len(private) < len(keeper.rules.privacy)
            keeper.judge(*bounds, 1.0 if unknown else float(scores[row, private].max()))

    def _finite(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores without what is no number; that is counted, and told when it begins and when it is over."""
        scores, unsound = finite(scores)
        self.counters.unsound += unsound
        if (unsound > 0) != self._unsound:
            self._unsound = unsound > 0
            name = self.bundle.card.name
            said = f"model {name} gives scores that are no numbers; no event until it gives such"
            if not self._unsound:
                said = f"model {name} gives numbers again"
            log.warning("%s: %s", self.name, said)
            self.reporter.status(self.state, said, self._samples)
        return scores

    def _tell_change(self, change: Change) -> None:
        self.counters.events += change.phase == "onset"
        event = self.reporter.change(change, self._delivered_s)
        if self.keeper is not None:
            self.keeper.told(event)

    def _tell_spectrum(self, *, all_of_it: bool = False) -> None:
        if (spectrogram := self.ear.spectrogram) is not None:
            for columns in spectrogram.taken(all_of_them=all_of_it):
                self.reporter.spectrum(columns, spectrogram.column_s, spectrogram.top_hz, self._delivered_s)

    def _end(self, cause: messages.OffsetCause) -> None:
        self._tell_spectrum(all_of_it=True)
        for change in self.ear.detector.close(self._samples, cause):
            self._tell_change(change)
        self.counters.heard += self.reporter.own_rate(self._samples)
        self.counters.heard_s += self._samples / self._model_rate
        judged = self.ear.stages.span + (self._rows - 1) * self.ear.stages.hop if self._rows else 0
        self.counters.tail += self._samples - judged
        self.reporter.end(self._samples)
        self._hearing = False

    def _lose(self, gap: Gap) -> None:
        wanted = self.counters.lose(gap)
        level = logging.INFO if wanted else logging.WARNING
        log.log(level, "%s: gap of %.3f s (%s)", self.name, gap.samples / gap.rate, gap.cause)
        told = self.reporter.gap(gap, self.ear.stages.span / self._model_rate)
        if self.recall is not None:
            self.recall.news.append(told)

    @property
    def _model_rate(self) -> int:
        return self.ear.bundle.card.front_end.sample_rate

    def _tell_gate(self) -> None:
        if (doubt := self.ear.gate_doubt) is not None:
            log.warning("%s: %s", self.name, doubt)
