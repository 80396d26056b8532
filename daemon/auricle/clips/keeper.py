"""A keeper holds the past of one source and cuts the sound around each event out of it, once all of it was heard."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle import messages
from auricle.clips.past import Cut, Past
from auricle.messages import Clip, Event, Mark

MARGIN_S = 1.5
"""Sound comes ahead of the decisions on it: at most this much is taken from a source at once."""
STALL_S = 5.0
"""What comes after an event is waited for no longer, once a live source has given no sound for so long."""
OPUS_HZ = 48_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Says which events have clips, and what is in them.

    Args:
        before_s, after_s: sound before the onset and after the offset.
        most_s: the longest clip; of a longer event its beginning.
        labels: those whose events have clips; all where that is ``None``.
        form: how they are written.
        privacy: labels of sound that no clip may hold, and the score from which it counts as held.
        privacy_score: that score.
        missed_s: sound before a moment at which something was missed.
    """

    before_s: float
    after_s: float
    most_s: float
    labels: frozenset[str] | None = None
    form: messages.ClipForm = "flac"
    privacy: tuple[str, ...] = ()
    privacy_score: float = 0.5
    missed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """Asks for a file: what is to be said of it, and its sound."""

    clip: Clip
    sound: Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """Stands where an event would: somebody missed one there."""

    node: str
    instance: str
    source: str | None
    model: messages.Model | None
    id: str
    label: str
    onset: str
    onset_sample: int
    offset_sample: int


@dataclass(slots=True)
class _Wanted:
    """Holds an event whose clip is still to come: its newest message, and the clip's bounds in samples."""

    event: Event | _Moment
    first: int
    until: int
    utc_us: Callable[[int], int]
    ended: bool = False


class Keeper:
    """Keeps the clips of one source, as its lane says what happens; samples at the source's own rate.

    Where sound of some kind must not be kept (`Rules.privacy`), no sound enters the past before a decision was made on
    it, and a clip waits until no later decision is about its end. So what nobody judged, such as the last instant
    before a gap, is in no clip.

    Args:
        rules: may be replaced at any time, but for whether there is a ``privacy``.
        back_s: how far the onset of an event may lie before the decision that tells it.
        live: whether the sound may stop coming without an end.
        give: takes what is to be written.
        miss: takes what is to be said of an event that has no clip.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        back_s: float,
        live: bool,
        give: Callable[[Order], None],
        miss: Callable[[Clip], None],
    ) -> None:
        self.rules = rules
        self.back_s = back_s
        self._live, self._give, self._miss = live, give, miss
        self._past = Past()
        self._wanted: dict[str, _Wanted] = {}
        self._rate = 0
        self._file: str | None = None
        self._known = True
        self._utc_us: Callable[[int], int] = lambda sample: 0
        self._heard_s = 0.0
        self._unjudged: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._private: deque[tuple[int, int]] = deque()
        """First and last sample of the windows in which sound was heard that must not be kept."""
        self._judged = 0
        """No decision to come is about sound before this."""

    @property
    def look_back_s(self) -> float:
        """Return how much sound is held while nothing happens."""
        return _look_back_s(self.rules, self.back_s)

    def begin(self, start: int, rate: int, utc_us: Callable[[int], int], file: str | None, *, known: bool) -> None:
        """Take note of a segment: its first sample, its rate, the time of a sample, and of a recording its name."""
        if (rate, file) != (self._rate, self._file) or (file is not None and start < self._past.end):
            self.close()
        self._rate, self._file, self._utc_us, self._known = rate, file, utc_us, known

    def hear(self, start: int, samples: NDArray[np.float32], now_s: float) -> None:
        """Take sound ``(n,)`` float32 as it was heard; it must stay as it is from now on."""
        if not self._rate:
            return  # of a segment that began before there was a keeper
        self._heard_s = now_s
        if self.rules.privacy:
            self._unjudged.append((start, samples))
            return
        self._past.add(start, samples)
        self._go_on()

    def judge(self, first: int, last: int, score: float) -> None:
        """Take the highest score of a private label in the decision on these samples, the last excluded."""
        self._judged = first
        if score >= self.rules.privacy_score:
            self._private.append((first, last))
        while self._unjudged and self._unjudged[0][0] < last:
            start, samples = self._unjudged.popleft()
            now = last - start
            self._past.add(start, samples[:now])
            if now < len(samples):
                self._unjudged.appendleft((last, samples[now:]))
        self._go_on()

    def told(self, event: Event) -> None:
        """Take note that an event began, goes on or ended."""
        rules, wanted = self.rules, self._wanted.get(event.id)
        if event.phase == "onset" and self._rate and (rules.labels is None or event.label in rules.labels):
            first = event.onset_sample - round(rules.before_s * self._rate)
            self._wanted[event.id] = _Wanted(event, first, first + round(rules.most_s * self._rate), self._utc_us)
        elif wanted is not None:
            wanted.event = event
            if event.offset_sample is not None:
                wanted.ended = True
                wanted.until = min(wanted.until, event.offset_sample + round(rules.after_s * self._rate))
        self._go_on()

    def missed(self, mark: Mark, label: str, model: messages.Model) -> bool:
        """Keep the sound around a moment at which somebody missed something, as far as it is held; return whether any
        is."""
        if not self._rate:
            return False
        newest = self._past.end
        at_us = messages.microseconds(mark.at or mark.t)
        at = newest + round((at_us - self._utc_us(newest)) * 1e-6 * self._rate)
        rules = self.rules
        first, until = at - round(rules.missed_s * self._rate), at + round(rules.after_s * self._rate)
        if not (self._past.begin < min(until, newest) and first < newest):
            return False
        first = max(first, until - round(rules.most_s * self._rate))
        moment = _Moment(
            node=mark.node,
            instance=mark.instance,
            source=mark.source,
            model=model,
            id=mark.id,
            label=label,
            onset=messages.rfc3339(at_us),
            onset_sample=at,
            offset_sample=at,
        )
        self._wanted[mark.id] = _Wanted(moment, first, until, self._utc_us, ended=True)
        self._go_on()
        return True

    def end(self, cause: messages.OffsetCause) -> None:
        """Take note that the segment has ended; after a gap there may be more of the same sound."""
        self._unjudged.clear()
        self._judged = self._past.end
        if cause == "end":
            self.close()

    def tick(self, now_s: float) -> None:
        """Wait no longer for a live source that has stopped giving sound."""
        if self._wanted and self._live and now_s - self._heard_s > STALL_S:
            for wanted in [each for each in self._wanted.values() if each.ended]:
                self._finish(wanted)

    def close(self) -> None:
        """Give what there is: no more sound comes that belongs to this."""
        for wanted in list(self._wanted.values()):
            self._finish(wanted)
        self._past.clear()
        self._unjudged.clear()
        self._private.clear()
        self._rate = self._judged = 0

    def _go_on(self) -> None:
        """Finish what can be, and let go of what is not needed."""
        past = self._past
        keep = past.end - math.ceil(self.look_back_s * self._rate)
        if self._wanted:
            heard = self._judged if self.rules.privacy else past.end
            for wanted in [each for each in self._wanted.values() if each.until <= heard]:
                self._finish(wanted)
            keep = min([keep, *(wanted.first for wanted in self._wanted.values())])
        past.forget(keep)
        while self._private and self._private[0][1] <= past.begin:
            self._private.popleft()

    def _finish(self, wanted: _Wanted) -> None:
        del self._wanted[wanted.event.id]
        sound = self._past.cut(wanted.first, wanted.until, self._rate)
        if sound is None:
            self._miss(self._clip(wanted, max(0, wanted.first), 0, (), why="gone"))
            return
        gaps, length = list(sound.gaps()), sound.end - sound.first
        if any(first < sound.end and sound.first < last for first, last in self._private):
            self._miss(self._clip(wanted, sound.first, 0, (), why="privacy"))
            return
        self._give(Order(self._clip(wanted, sound.first, length, gaps), sound))

    def _clip(
        self,
        wanted: _Wanted,
        first: int,
        samples: int,
        gaps: Sequence[tuple[int, int]],
        why: messages.ClipLoss | None = None,
    ) -> Clip:
        event, rate = wanted.event, self._rate
        clip = Clip(
            node=event.node,
            instance=event.instance,
            seq=0,
            source=event.source,
            model=event.model,
            t=messages.rfc3339(wanted.utc_us(first)),
            sample=first,
            id=event.id,
            label=event.label,
            path=None,
            why=why,
            format=self.rules.form,
            exact=False,
            sha256=None,
            rate=rate if self.rules.form == "flac" else OPUS_HZ,
            samples=0,
            duration_s=round(samples / rate, 6),
            source_rate=rate,
            onset=event.onset,
            onset_s=round((event.onset_sample - first) / rate, 6),
            offset_s=None,
            gaps=[messages.Silence(*gap) for gap in gaps],
        )
        if event.offset_sample is not None:
            offset_s = (event.offset_sample - first) / rate
            clip.offset_s = round(offset_s, 6) if why is not None or offset_s <= clip.duration_s else None
        if self._file is not None:
            clip.file, clip.t_known = self._file, self._known
        return clip


def longest_mb(rules: Rules, back_s: float, rate: int) -> tuple[float, float]:
    """Return the megabytes that a source at this rate holds while nothing happens, and while its longest clip comes."""
    held_s = _look_back_s(rules, back_s)
    return (4e-6 * rate * held_s, 4e-6 * rate * (max(held_s, rules.most_s) + MARGIN_S))


def _look_back_s(rules: Rules, back_s: float) -> float:
    return max(rules.before_s + back_s, rules.missed_s) + MARGIN_S
