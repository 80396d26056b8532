"""Live sources against a scripted other side: losses, returns and restarts on a clock that the test moves."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.capture import child as capture
from auricle.capture import clock
from auricle.capture.live import Live
from auricle.capture.microphone import RecordFeed
from auricle.capture.poller import Feed
from auricle.capture.source import End, Gap, Piece, Segment, Sound, Status, Terms
from auricle.hearing.engine import TICK_S

RATE = 1000
START_S = 1000.0


class NoThread:
    """Stands for the poller: the test itself moves the sound."""

    def add(self, feed: Feed) -> None:
        pass

    def drop(self, feed: Feed) -> None:
        feed.ended = True


class Script(Live):
    """A source whose child is the test: it writes records, dies, hangs and comes back as it is told."""

    def __init__(self, **options: Any) -> None:
        terms = Terms(**{"model_rate": RATE, "ring_s": 0.5, **options})
        super().__init__("script", terms, poller=NoThread())  # type: ignore[arg-type]
        self.now_ns = round(START_S * 1e9)
        self.there = True
        self.launches = 0
        self.heard_from = 0  # the device's own count of what it gave since its start
        self.pieces: list[Piece] = []
        self._write_fd: int | None = None
        self._read_fds: list[int] = []

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes] | None]:
        self.launches += 1
        if not self.there:
            raise OSError("nothing is plugged in")
        self._shut()
        read_fd, self._write_fd = os.pipe()
        errors_read, errors_write = os.pipe()
        os.close(errors_write)
        self._read_fds += [read_fd, errors_read]
        self.heard_from = 0
        self._send(capture.HELLO, json.dumps({"device": "toy", "rate": RATE, "channels": 1}).encode())
        return RecordFeed(read_fd, ring_s=self.terms.ring_s, errors_fd=errors_read, before=before), None

    def _send(self, kind: int, payload: bytes, flags: int = 0, index: int = 0) -> None:
        assert self._write_fd is not None
        os.write(self._write_fd, capture.HEADER.pack(kind, flags, len(payload), 0, index, self.now_ns) + payload)
        if self._feed is not None and not self._feed.ended:
            self._feed.read(self.now_ns)

    def _shut(self) -> None:
        if self._write_fd is not None:
            os.close(self._write_fd)
            self._write_fd = None
        while self._read_fds:
            os.close(self._read_fds.pop())

    @property
    def running(self) -> bool:
        return self._feed is not None and not self._feed.ended

    def sounds(self, n: int, *, value: float = 0.5, dropped: int = 0, flags: int = 0) -> None:
        """The device gives ``dropped + n`` samples, of which the pipe takes the last ``n``; the time passes."""
        self.now_ns += (n + dropped) * 1_000_000_000 // RATE
        self.heard_from += dropped
        if self.running:
            self._send(capture.PCM, np.full(n, value, "<f4").tobytes(), flags, self.heard_from)
        self.heard_from += n

    def passes(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def waits(self, seconds: float) -> list[Piece]:
        """Time passes, and the consumer goes on asking; what it was given."""
        found: list[Piece] = []
        until_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < until_ns:
            self.now_ns = min(until_ns, self.now_ns + 50_000_000)
            found += self.polls()
        return found

    def dies(self) -> None:
        if self._feed is not None:
            self._feed.ended = True

    def polls(self) -> list[Piece]:
        found = list(self.poll(self.now_ns / 1e9))
        if self._feed is not None and self._feed.heard_ns is None and not self._feed.ended:
            self._feed.read(self.now_ns)  # the greeting, if there is one
        self.pieces += found
        return found

    def states(self) -> list[str]:
        return [piece.state for piece in self.pieces if isinstance(piece, Status)]

    def finish(self) -> None:
        self.close()
        self._shut()


@pytest.fixture
def script() -> Iterator[Script]:
    source = Script()
    source._retry.due_s = START_S
    yield source
    source.finish()


def kinds(pieces: list[Piece]) -> list[str]:
    """The pieces by name, sounds that follow each other as one."""
    found: list[str] = []
    for piece in pieces:
        name = piece.state if isinstance(piece, Status) else type(piece).__name__
        if not (name == "Sound" and found and found[-1] == "Sound"):
            found.append(name)
    return found


def comes_back(script: Script, after_s: float) -> Gap:
    """The first sound after a loss: found, the gap, and a new segment; the gap."""
    script.passes(after_s)
    script.polls()
    script.sounds(100)
    assert kinds(script.polls()) == ["found", "Gap", "Segment", "Sound"]
    return next(piece for piece in script.pieces if isinstance(piece, Gap))


def held(pieces: list[Piece], heard: int, lost: int) -> None:
    """Hold the order of pieces, and every sample's place, against the totals."""
    at, inside = 0, False
    seen_heard = seen_lost = 0
    told_us = 0
    for piece in pieces:
        if isinstance(piece, Segment | Gap):
            assert piece.clock.utc_us(piece.start) >= told_us
            told_us = piece.clock.utc_us(piece.start)
        match piece:
            case Segment():
                assert not inside
                inside = True
                assert piece.start == at
            case Sound():
                assert inside
                at += len(piece.samples)
                seen_heard += len(piece.samples)
            case End():
                assert inside
                inside = False
            case Gap():
                assert not inside
                assert piece.start == at
                assert piece.samples > 0
                at += piece.samples
                seen_lost += piece.samples
    assert (seen_heard, seen_lost) == (heard, lost)


steps = st.one_of(
    st.tuples(st.just("sounds"), st.integers(1, 200)),
    st.tuples(st.just("drops"), st.integers(1, 200), st.integers(1, 300)),
    st.tuples(st.just("overflows"), st.integers(1, 200), st.floats(0.0, 0.5)),
    st.tuples(st.just("stalls"), st.floats(2.1, 4.0)),
    st.tuples(st.just("skips"), st.floats(0.0, 0.3)),
    st.tuples(st.just("dies")),
    st.tuples(st.just("unplugged"), st.floats(0.1, 5.0)),
    st.tuples(st.just("polls")),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=60))
def test_heard_and_lost_are_all_that_has_elapsed(script_steps: list[tuple[Any, ...]]) -> None:
    """Any interleaving of sound, full pipes, overflows, deaths, silences and returns: heard + lost = elapsed."""
    source = Script()
    source._retry.due_s = START_S
    source.polls()
    for what, *arguments in script_steps:
        if what == "sounds":
            source.sounds(arguments[0])
        elif what == "drops":
            source.sounds(arguments[0], dropped=arguments[1])
        elif what == "overflows":
            source.passes(arguments[1])
            source.sounds(arguments[0], flags=capture.OVERFLOW)
        elif what == "stalls":
            source.waits(arguments[0])
        elif what == "skips":
            source.skip(arguments[0])
        elif what == "dies":
            source.dies()
        elif what == "unplugged":
            source.there = False
            source.dies()
            source.polls()
            source.passes(arguments[0])
            source.there = True
        source.polls()
    # However it stood: after a while it is heard again, and everything in between is counted.
    for _ in range(40):
        if source.running:
            break
        source.passes(1.0)
        source.polls()
    assert source.running
    source.sounds(100)
    source.polls()
    source.sounds(100)
    source.polls()
    counters = source.counters()
    held(source.pieces, counters.heard, counters.lost)
    first = next(piece for piece in source.pieces if isinstance(piece, Segment | Gap))
    begin_ns = first.clock.monotonic_ns(0)  # type: ignore[attr-defined]
    estimates = sum(isinstance(piece, Gap) and piece.estimated for piece in source.pieces)
    elapsed_s = (source.now_ns - begin_ns) / 1e9
    assert (counters.heard + counters.lost) / RATE == pytest.approx(elapsed_s, abs=0.0021 * (1 + estimates))
    source.finish()


def test_a_death_is_told_at_once_and_its_gap_at_the_return(script: Script) -> None:
    """End, lost; then, with the first sound: found, the gap as long as the clock says, and a new segment."""
    script.polls()
    script.sounds(300)
    script.polls()
    script.dies()
    assert kinds(script.polls()) == ["End", "lost"]
    gap = comes_back(script, 1.7)
    assert (gap.start, gap.samples, gap.cause, gap.estimated) == (300, 1700, "lost", True)
    held(script.pieces, 400, 1700)


def test_a_full_pipe_is_a_gap_of_exact_length(script: Script) -> None:
    """Records that the pipe refused show as a jump of the index: an overrun, counted, not estimated."""
    script.polls()
    script.sounds(100)
    script.sounds(50, dropped=77)
    assert kinds(script.polls()) == ["Segment", "Sound", "End", "Gap", "Segment", "Sound"]
    gap = next(piece for piece in script.pieces if isinstance(piece, Gap))
    assert (gap.start, gap.samples, gap.cause, gap.estimated) == (100, 77, "overrun", False)


def test_a_consumer_that_is_too_slow_loses_what_it_is_told(script: Script) -> None:
    """A ring of half a second and a consumer away for two: what does not fit is one overrun, to the sample."""
    script.polls()
    script.sounds(10)
    script.polls()
    for _ in range(20):
        script.sounds(100)
    script.polls()
    script.sounds(10)
    script.polls()
    gap = next(piece for piece in script.pieces if isinstance(piece, Gap))
    assert (gap.start, gap.samples, gap.cause, gap.estimated) == (510, 1500, "overrun", False)
    assert script.counters().overruns == 1
    held(script.pieces, 520, 1500)


def test_a_poll_ends_though_the_sound_does_not(script: Script) -> None:
    """A consumer so slow that new sound comes while it hears the old: each poll gives what waited at its start."""
    script.polls()
    script.sounds(100)
    for piece in script.poll(script.now_ns / 1e9):
        if isinstance(piece, Sound):
            assert len(piece.samples) == 100
            script.sounds(100)
    assert script.waiting_s == pytest.approx(0.1)


def test_a_consumer_that_asks_rarely_still_finds_a_stall(script: Script) -> None:
    """Under load the daemon asks less often than twice a second: a child that hangs is given up all the same."""
    script.stretch = 20.0
    script.polls()
    script.sounds(100)
    script.polls()
    for _ in range(4):
        script.passes(0.8)
        script.polls()
    assert script.states() == ["lost"]


def test_losses_at_the_very_end_are_told(script: Script) -> None:
    """A ring that overran, an overflow after it, and then the child is dead: both are counted."""
    script.polls()
    script.sounds(100)
    script.polls()
    assert script._feed is not None
    assert script._feed.ring is not None
    script._feed.ring.lose(70, "overrun")
    script._feed.ring.lose(30, "overflow", estimated=True)
    script.dies()
    assert [(p.samples, p.cause) for p in script.polls() if isinstance(p, Gap)] == [(70, "overrun"), (30, "overflow")]
    assert script.counters().lost == 100


def test_the_consumer_may_drop_the_oldest(script: Script) -> None:
    """Under load the reader gives up the oldest sound: a gap by load, and the newest is kept."""
    script.polls()
    for i in range(4):
        script.sounds(100, value=i + 1)
    assert script.waiting_s == pytest.approx(0.4)
    script.skip(0.1)
    found = script.polls()
    assert kinds(found) == ["Gap", "Segment", "Sound"]
    assert isinstance(found[0], Gap)
    assert (found[0].samples, found[0].cause, found[0].estimated) == (300, "load", False)
    sound = found[-1]
    assert isinstance(sound, Sound)
    np.testing.assert_array_equal(sound.samples, np.full(100, 4.0))


def test_a_stall_is_a_loss_and_the_child_is_given_up(script: Script) -> None:
    """Without a block for two seconds the source is lost; a new child is started, again and again, until one speaks."""
    script.polls()
    script.sounds(100)
    script.polls()
    assert script.waits(1.95) == []
    assert kinds(script.waits(0.1)) == ["End", "lost"]
    assert not script.running
    script.waits(0.7)
    assert script.launches == 2


def test_a_consumer_that_was_held_up_blames_nobody(script: Script) -> None:
    """The whole daemon stood still for a minute: what the child has sent meanwhile is read before it is judged."""
    script.polls()
    script.sounds(100)
    script.polls()
    script.passes(60.0)
    assert script.polls() == []
    script.passes(0.1)
    script.sounds(100, dropped=59_000)
    script.polls()
    assert script.states() == []
    script.waits(1.9)
    assert kinds(script.waits(0.2)) == ["End", "lost"]


def test_absent_from_the_start_is_a_loss_told_once(script: Script) -> None:
    """A microphone that is not there: one status, retries that slow down, and it is heard when it is plugged in."""
    script.there = False
    script.polls()
    for _ in range(600):
        script.passes(0.1)
        script.polls()
    assert kinds(script.pieces) == ["lost"]
    assert 60 / (1.5 * 1.2 + 0.1) <= script.launches <= 60 / (1.5 * 0.8) + 3
    script.there = True
    script.passes(2.0)
    script.polls()
    script.sounds(100)
    assert kinds(script.polls()) == ["found", "Gap", "Segment", "Sound"]
    gap = next(piece for piece in script.pieces if isinstance(piece, Gap))
    assert gap.samples == pytest.approx(62 * RATE, abs=100)
    held(script.pieces, 100, gap.samples)


def test_the_first_retry_is_soon(script: Script) -> None:
    """A device that was heard for long is tried again half a second after it was lost, with jitter."""
    script.polls()
    for _ in range(110):
        script.sounds(100)
        script.polls()
    script.dies()
    script.polls()
    script.passes(0.39)
    script.polls()
    assert script.launches == 1
    script.passes(0.22)
    script.polls()
    assert script.launches == 2


def test_a_flapping_device_is_no_storm(script: Script) -> None:
    """Lost again right after each return: retries become rare, and with them the messages."""
    for _ in range(3000):
        script.passes(0.1)
        script.polls()
        if script.running:
            script.sounds(10)
            script.polls()
            script.dies()
    assert script.launches < 25
    assert len([piece for piece in script.pieces if isinstance(piece, Status)]) < 50


def test_digital_silence_is_suspicious_once(script: Script) -> None:
    """Exact zeros for 30 s are told, once; so is the first sound after them."""
    script.polls()
    for _ in range(299):
        script.sounds(100, value=0.0)
        script.polls()
    assert "silent" not in kinds(script.pieces)
    for _ in range(100):
        script.sounds(100, value=0.0)
        script.polls()
    assert kinds(script.pieces).count("silent") == 1
    script.sounds(10, value=1e-9)
    assert kinds(script.polls())[0] == "running"
    script.terms = replace(script.terms, silence_alarm_s=0)
    for _ in range(400):
        script.sounds(100, value=0.0)
        script.polls()
    assert kinds(script.pieces).count("silent") == 1


def test_what_is_not_a_number_is_cleaned_and_counted(script: Script) -> None:
    """NaN and infinity become 0 and are counted."""
    script.polls()
    script.sounds(3, value=float("nan"))
    script.sounds(2, value=float("-inf"))
    script.polls()
    sounds = [piece.samples for piece in script.pieces if isinstance(piece, Sound)]
    np.testing.assert_array_equal(np.concatenate(sounds), np.zeros(5))
    assert script.cleaned == 5


def test_an_overflow_is_a_gap_that_the_clock_measures(script: Script) -> None:
    """PortAudio's flag tells that sound was lost, the clock how much; marked as estimated."""
    script.polls()
    for _ in range(20):
        script.sounds(100)
        script.polls()
    script.passes(0.25)
    script.sounds(100, flags=capture.OVERFLOW)
    script.polls()
    gap = next(piece for piece in script.pieces if isinstance(piece, Gap))
    assert (gap.start, gap.samples, gap.cause, gap.estimated) == (2000, 250, "overflow", True)


def test_a_splice_without_a_word_is_found_by_the_clock(script: Script) -> None:
    """Sound that falls a second behind and never makes up for it was lost; a delay that is made up for was not."""
    script.polls()
    for _ in range(300):
        script.sounds(100)
        script.polls()
    script.passes(1.0)  # late, ...
    script.sounds(100)
    script.now_ns -= 1_000_000_000  # ... but the rest comes in time
    for _ in range(300):
        script.sounds(100)
        script.polls()
    assert not any(isinstance(piece, Gap) for piece in script.pieces)
    script.passes(1.0)
    for _ in range(300):
        script.sounds(100)
        script.polls()
    gaps = [piece for piece in script.pieces if isinstance(piece, Gap)]
    assert [(gap.samples, gap.cause, gap.estimated) for gap in gaps] == [(1000, "lost", True)]


def test_small_splices_add_up_and_drift_does_not(script: Script) -> None:
    """Hiccups of 30 ms are a loss as soon as they come to 0.2 s; a card that is 300 ppm slow loses nothing."""
    script.polls()
    for i in range(6000):
        script.sounds(100)
        script.now_ns += 30_000  # 300 ppm
        if i % 4 == 0:
            script.polls()
    assert [piece for piece in script.pieces if isinstance(piece, Gap)] == []
    for i in range(1000):
        script.sounds(100)
        script.polls()
        if i % 100 == 0:
            script.passes(0.03)
    gaps = [piece for piece in script.pieces if isinstance(piece, Gap)]
    assert {(gap.cause, gap.estimated) for gap in gaps} == {("lost", True)}
    assert 0.2 * RATE <= sum(gap.samples for gap in gaps) <= 0.3 * RATE
    held(script.pieces, 700_000, sum(gap.samples for gap in gaps))


def test_sound_knows_when_it_was_delivered(script: Script) -> None:
    """The clock of the record that brought a block's last sample, not that of the poll."""
    script.polls()
    script.sounds(100)
    delivered_s = script.now_ns / 1e9
    script.passes(0.3)
    sound = script.polls()[-1]
    assert isinstance(sound, Sound)
    assert sound.delivered_s == pytest.approx(delivered_s, abs=1e-6)


def test_resampled_sound_keeps_its_count_and_its_tail() -> None:
    """At twice the rate a segment gives twice the samples, tail included, and indices stay the source's."""
    source = Script(model_rate=2 * RATE, ring_s=5.0)
    source._retry.due_s = START_S
    source.polls()
    source.sounds(700)
    source.sounds(300)
    source.polls()
    source.dies()
    source.polls()
    total = sum(len(piece.samples) for piece in source.pieces if isinstance(piece, Sound))
    assert total == 2000
    source.passes(1.0)
    source.polls()
    source.sounds(10)
    source.polls()
    assert [piece.start for piece in source.pieces if isinstance(piece, Segment)] == [0, 2000]
    source.finish()


def test_a_stepped_system_clock_is_told(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of UTC is a status of the source."""
    script.polls()
    script.sounds(100)
    script.polls()
    offset_ns = clock.utc_offset_ns() - 3_600_000_000_000
    monkeypatch.setattr(clock, "utc_offset_ns", lambda: offset_ns)
    found = script.polls()
    assert isinstance(found[0], Status)
    assert found[0].state == "clock"
    assert "-3600.0" in found[0].detail
    assert script.polls() == []


def test_on_a_beat_a_source_is_due_at_every_block(script: Script) -> None:
    """Asked at a beat, a source of 40 ms is due at the fourth beat of 10 ms after it, wherever the clock stands."""
    for beat in range(100_000, 10_000_000, 9_973):
        list(script.poll(TICK_S * beat))
        assert math.ceil(script.due_s(0.0) / TICK_S) == beat + 4
        assert script.due_s(0.0) <= TICK_S * (beat + 4)


def test_what_the_consumer_could_not_hear_is_lost(script: Script) -> None:
    """A failure is a loss from the sample that was heard last: told, tried again, its gap counted from there."""
    script.polls()
    script.sounds(300)
    script.polls()
    script.sounds(100)
    script.polls()
    script.fail("RuntimeError: a mistake", 350)
    (status,) = script.polls()
    assert isinstance(status, Status)
    assert (status.state, status.detail) == ("lost", "RuntimeError: a mistake")
    assert not script.running
    gap = comes_back(script, 1.6)
    assert (gap.start, gap.samples, gap.cause, gap.estimated) == (350, 1650, "lost", True)
    counters = script.counters()
    assert (counters.heard, counters.lost) == (450, 1650)


def test_a_pause_lets_go_of_the_device(script: Script) -> None:
    """A paused source ends its segment, gives up the other side and starts none; after it the gap says how long, by
    `pause`, and what came before and after is one count."""
    script.polls()
    script.sounds(100)
    script.polls()
    script.pause("by hand")
    assert kinds(script.polls()) == ["End", "paused"]
    assert not script.running
    launches = script.launches
    assert script.waits(60.0) == []
    assert script.launches == launches
    script.pause(None)
    assert kinds(script.polls()) == ["starting"]
    assert script.launches == launches + 1
    gap = comes_back(script, 0.0)
    assert (gap.cause, gap.samples, gap.estimated) == ("pause", 60 * RATE, True)
    held(script.pieces, 200, 60 * RATE)


def test_a_loss_and_a_pause_are_told_apart(script: Script) -> None:
    """Lost, then paused, then not there, then back: three gaps, each with its cause and length, and a device that is
    missing after a pause is news."""
    script.polls()
    script.sounds(100)
    script.polls()
    script.there = False
    script.dies()
    assert "lost" in kinds(script.polls())
    script.waits(5.0)
    script.pause("by hand")
    assert kinds(script.polls()) == ["paused"]
    script.waits(7.0)
    script.pause(None)
    assert kinds(script.polls()) == ["starting", "lost"]
    script.waits(3.0)
    script.there = True
    script.waits(2.0)
    script.sounds(100)
    assert kinds(script.polls()) == ["found", "Gap", "Gap", "Gap", "Segment", "Sound"]
    gaps = [(piece.cause, piece.samples) for piece in script.pieces if isinstance(piece, Gap)]
    assert gaps == [("lost", 5 * RATE), ("pause", 7 * RATE), ("lost", 5 * RATE)]
    held(script.pieces, 200, 17 * RATE)


def test_paused_from_the_start(script: Script) -> None:
    """A source that is paused before it was ever heard is not opened; the time of the pause is a gap all the same."""
    script.pause("since before the restart")
    assert kinds(script.polls()) == ["paused"]
    script.waits(4.0)
    assert script.launches == 0
    script.pause(None)
    script.polls()
    gap = comes_back(script, 0.0)
    assert (gap.cause, gap.samples) == ("pause", 4 * RATE)
