"""A keeper cuts out what belongs to an event, once it was heard, and nothing that must not be kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from auricle import messages
from auricle.clips.keeper import MARGIN_S, STALL_S, Keeper, Order, Rules, longest_mb
from auricle.messages import Clip, Event, Mark
from helpers.sounds import varied

RATE = 1000
MODEL = messages.Model("tones", "0" * 12)
SOUND = varied(60.0, rate=RATE)


class Kept:
    """A keeper of a source at 1 kHz, and what it has given."""

    def __init__(self, *, live: bool = True, file: str | None = None, **rules: object) -> None:
        self.orders: list[Order] = []
        self.missed: list[Clip] = []
        wanted = Rules(**{"before_s": 2.0, "after_s": 1.0, "most_s": 10.0, **rules})  # type: ignore[arg-type]
        self.keeper = Keeper(wanted, back_s=0.5, live=live, give=self.orders.append, miss=self.missed.append)
        self.at, self.now_s, self.file = 0, 0.0, file
        self.begin()

    def begin(self, start: int = 0, rate: int = RATE, file: str | None = None) -> None:
        self.at = start
        file = file or self.file
        self.keeper.begin(start, rate, lambda sample: sample * 1_000_000 // rate, file, known=True)

    def hear(self, until: int, *, judged: bool = False) -> None:
        """Sound up to a sample, 40 at a time; where it is judged, nothing private is in it."""
        while self.at < until:
            n = min(40, until - self.at)
            self.now_s += n / RATE
            self.keeper.hear(self.at, SOUND[self.at : self.at + n], self.now_s)
            self.at += n
            if judged:
                self.keeper.judge(max(0, self.at - 200), self.at, 0.1)

    def tell(self, phase: messages.Phase, onset: int, offset: int | None = None, label: str = "bell") -> None:
        time = messages.rfc3339(onset * 1000)
        self.keeper.told(
            Event(
                node="n", instance="i", seq=1, source="s", model=None, t=time, sample=self.at, latency_ms=None,
                phase=phase, id=f"id-{label}", label=label, score=0.5, peak=0.5, onset=time, onset_sample=onset,
                offset=None if offset is None else messages.rfc3339(offset * 1000), offset_sample=offset,
                duration_s=1.0,
            )
        )  # fmt: skip

    def sound(self, n: int = 0) -> np.ndarray:
        return np.concatenate(list(self.orders[n].sound.blocks(333)))


def test_the_sound_around_an_event() -> None:
    """What was there before the onset, the event, and what came after the offset: as soon as that is there."""
    kept = Kept()
    kept.hear(5400)
    kept.tell("onset", 5000)
    kept.hear(7000)
    kept.tell("offset", 5000, 6800)
    kept.hear(7799)
    assert not kept.orders
    kept.hear(7840)
    np.testing.assert_array_equal(kept.sound(), SOUND[3000:7800])
    clip = kept.orders[0].clip
    assert (clip.sample, clip.t, clip.onset_s, clip.offset_s) == (3000, messages.rfc3339(3_000_000), 2.0, 3.8)
    assert (clip.id, clip.label, clip.source, clip.duration_s, clip.gaps) == ("id-bell", "bell", "s", 4.8, [])


def test_an_onset_told_late_still_has_its_past() -> None:
    """However late an onset is told, up to what the rules allow: all of `before_s` is there."""
    kept = Kept()
    kept.hear(10_000)
    kept.tell("onset", 10_000 - 500 - round(MARGIN_S * RATE))
    kept.tell("offset", 8000, 8500)
    assert kept.orders[0].sound.first == 6000


def test_memory_is_bounded() -> None:
    """While nothing happens what is held is the look-back and a block more; with a long event, the longest clip."""
    kept = Kept()
    held = []
    for until in range(400, 20_000, 400):
        kept.hear(until)
        past = kept.keeper._past
        held.append(past.end - past.begin)
    assert max(held) <= kept.keeper.look_back_s * RATE + 40
    kept.tell("onset", 20_000)
    for until in range(20_400, 50_000, 400):
        kept.hear(until)
        held.append(past.end - past.begin)
    idle_mb, most_mb = longest_mb(kept.keeper.rules, 0.5, RATE)
    assert idle_mb == pytest.approx(4e-6 * kept.keeper.look_back_s * RATE)
    assert 4e-6 * max(held) <= most_mb
    assert held[-1] <= kept.keeper.look_back_s * RATE + 40


def test_a_long_event_has_its_beginning() -> None:
    """A clip ends at `max_s` though the event goes on, and says so; later phases change nothing any more."""
    kept = Kept()
    kept.hear(5000)
    kept.tell("onset", 5000)
    kept.hear(20_000)
    kept.tell("update", 5000)
    kept.tell("offset", 5000, 19_000)
    kept.hear(30_000)
    assert len(kept.orders) == 1
    np.testing.assert_array_equal(kept.sound(), SOUND[3000:13_000])
    assert kept.orders[0].clip.offset_s is None


def test_labels() -> None:
    """Only the labels that are named have clips; events that overlap have one each."""
    kept = Kept(labels=frozenset({"bell", "dog"}))
    kept.hear(5000)
    for label in ("bell", "rain", "dog"):
        kept.tell("onset", 4000, label=label)
        kept.tell("offset", 4000, 4500, label=label)
    kept.hear(6000)
    assert [order.clip.label for order in kept.orders] == ["bell", "dog"]


def test_a_gap_is_told() -> None:
    """Sound that was not heard in the midst of a clip is a gap of it, at its place."""
    kept = Kept()
    kept.hear(4000)
    kept.tell("onset", 3900)
    kept.keeper.end("gap")
    kept.tell("offset", 3900, 4000)
    kept.begin(4300)
    kept.hear(6000)
    assert kept.orders[0].clip.gaps == [messages.Silence(4000, 300)]
    np.testing.assert_array_equal(kept.sound(), np.concatenate((SOUND[1900:4000], np.zeros(300), SOUND[4300:5000])))


def test_a_source_that_is_gone_is_not_waited_for() -> None:
    """What comes after an event is waited for so long; then the clip is what there is."""
    kept = Kept()
    kept.hear(4000)
    kept.tell("onset", 3900)
    kept.keeper.end("gap")
    kept.tell("offset", 3900, 4000)
    kept.keeper.tick(kept.now_s + STALL_S - 0.1)
    assert not kept.orders
    kept.keeper.tick(kept.now_s + STALL_S + 0.1)
    np.testing.assert_array_equal(kept.sound(), SOUND[1900:4000])


def test_the_end_of_a_recording() -> None:
    """Clips end with their recording, and the next one's sound, which counts from 0 again, is in none of them; so it is
    with another rate."""
    kept = Kept(live=False, file="a.wav")
    kept.hear(4000)
    kept.tell("onset", 3000)
    kept.tell("offset", 3000, 3800)
    kept.keeper.end("end")
    np.testing.assert_array_equal(kept.sound(), SOUND[1000:4000])
    kept.begin(0, file="b.wav")
    kept.hear(1000)
    kept.tell("onset", 500, label="dog")
    kept.begin(2000, 2 * RATE, file="b.wav")
    np.testing.assert_array_equal(kept.sound(1), SOUND[:1000])
    assert kept.orders[1].clip.file == "b.wav"


def test_an_event_whose_sound_is_not_there() -> None:
    """An event of which nothing is held is told to have no clip."""
    kept = Kept()
    kept.tell("onset", 0)
    kept.tell("offset", 0, 100)
    kept.keeper.end("end")
    assert [(clip.why, clip.path, clip.duration_s) for clip in kept.missed] == [("gone", None, 0.0)]


def test_a_keeper_that_comes_in_the_midst() -> None:
    """Before it knows of a segment there is no past and no clip; an event that had begun before has none."""
    keeper = Keeper(Rules(before_s=1, after_s=1, most_s=10), back_s=0, live=True, give=pytest.fail, miss=pytest.fail)
    keeper.hear(0, SOUND[:100], 0.0)
    assert keeper._past.end == 0
    keeper.close()


PRIVATE = {"privacy": ("speech",), "privacy_score": 0.3}


def test_private_sound_vetoes_the_clip() -> None:
    """A clip within whose bounds a window scored too high for speech is none; one that ends before it is kept."""
    kept = Kept(**PRIVATE)
    kept.hear(5000, judged=True)
    kept.tell("onset", 4000, label="early")
    kept.tell("offset", 4000, 4500, label="early")
    kept.tell("onset", 4600, label="late")
    kept.tell("offset", 4600, 4900, label="late")
    kept.hear(5600, judged=True)
    kept.keeper.judge(5550, 5750, 0.3)
    kept.hear(8000, judged=True)
    assert [order.clip.label for order in kept.orders] == ["early"]
    assert [(clip.label, clip.why) for clip in kept.missed] == [("late", "privacy")]
    kept.tell("onset", 7900, label="after")
    kept.tell("offset", 7900, 8000, label="after")
    kept.hear(9500, judged=True)
    assert [order.clip.label for order in kept.orders] == ["early", "after"]


def test_what_nobody_judged_is_in_no_clip() -> None:
    """Where speech may not be kept, a clip waits for the last decision about its end, and sound without a decision,
    such as the last before a gap, is left out."""
    kept = Kept(**PRIVATE)
    kept.hear(4000, judged=True)
    kept.tell("onset", 3000)
    kept.tell("offset", 3000, 3100)
    kept.hear(4200, judged=True)
    assert not kept.orders, "windows from 4001 on are still to come"
    kept.hear(4400, judged=True)
    np.testing.assert_array_equal(kept.sound(), SOUND[1000:4100])
    kept.tell("onset", 4390, label="dog")
    kept.hear(4600)
    kept.keeper.end("gap")
    kept.tell("offset", 4390, 4600, label="dog")
    kept.begin(5000)
    kept.hear(6000, judged=True)
    assert list(kept.orders[1].sound.gaps()) == [(4400, 600)]


@pytest.mark.parametrize("cut", [7, 40, 41, 400])
def test_the_same_clip_however_sound_is_cut(cut: int) -> None:
    """Blocks of any length give the same clip, to the sample."""
    kept = Kept()
    for start, until in pairwise([*range(0, 9000, cut), 9000]):
        kept.keeper.hear(start, SOUND[start:until], 0.0)
        if start <= 5000 < until:
            kept.tell("onset", 4800)
        if start <= 6000 < until:
            kept.tell("offset", 4800, 5900)
    np.testing.assert_array_equal(kept.sound(), SOUND[2800:6900])


def test_the_sound_around_what_was_missed() -> None:
    """Of a moment that was marked, what `missed_s` says of before it, and what comes after; less where less is held;
    nothing of what is gone, or yet to come; and never what must not be kept."""

    def mark(at: int, id: str = "mark") -> Mark:
        when = messages.rfc3339(at * 1000)
        return Mark(
            node="n", instance="i", seq=1, source="s", model=None, t=when, sample=None, id=id, text="", label="bell",
            kind="missed", at=when,
        )  # fmt: skip

    kept = Kept(missed_s=5.0)
    assert not kept.keeper.missed(mark(0), "bell", MODEL)
    kept.hear(2000)
    assert kept.keeper.missed(mark(1000), "bell", MODEL)
    np.testing.assert_array_equal(kept.sound(), SOUND[:2000])
    kept.hear(20_000)
    assert kept.keeper.missed(mark(20_000), "bell", MODEL)
    kept.hear(20_960)
    assert len(kept.orders) == 1
    kept.hear(21_000)
    np.testing.assert_array_equal(kept.sound(1), SOUND[15_000:21_000])
    clip = kept.orders[1].clip
    assert (clip.id, clip.label, clip.model, clip.onset_s, clip.offset_s) == ("mark", "bell", MODEL, 5.0, 5.0)
    assert clip.onset == messages.rfc3339(20_000_000)
    for gone in (5000, 40_000):
        assert not kept.keeper.missed(mark(gone), "bell", MODEL)
    private = Kept(missed_s=5.0, privacy=("speech",))
    private.hear(8000, judged=True)
    private.keeper.judge(7000, 8000, 0.9)
    assert private.keeper.missed(mark(7000), "bell", MODEL)
    private.hear(10_000, judged=True)
    assert [missed.why for missed in private.missed] == ["privacy"]
    assert not private.orders
