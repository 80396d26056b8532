"""The published spectrum: what it shows, that it changes nothing, and that it costs nothing while nobody looks."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle import config
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Gap, NominalClock, Segment, Sound
from auricle.features import bands
from auricle.hearing.lane import Lane
from auricle.hearing.spectrogram import Spectrogram
from auricle.hearing.together import Together
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.publish.subscriptions import Subscriptions
from auricle.service.viewers import Viewers
from auricle.stages.stage import Pipeline, Slices
from helpers.sounds import RATE, varied

GATES = {
    "off": config.Gate(enabled="off"),
    "on": config.Gate(enabled="on", start_up_s=0.5),
    "ahead": config.Gate(enabled="on", start_up_s=0.5, lookahead_frames=3),
}
CLOCK = NominalClock(RATE, 0)


class Heard:
    """Holds a lane, and what it has told."""

    def __init__(self, model: str = "home", gate: str = "off") -> None:
        cfg = config.load(None, environ={})
        self.told: list[dict[str, Any]] = []
        self.lane = Lane(
            Recordings("porch", [], model_rate=RATE),
            bundle.load(model),
            decision=cfg.decision,
            gate=GATES[gate],
            publish=cfg.publish,
            publisher=Publisher("node", [lambda topic, payload: self.told.append(json.loads(payload))]),
        )
        self.lane.take(Segment(0, RATE, CLOCK))

    def hear(self, samples: NDArray[np.float32], block: int = 1280) -> None:
        """Give the lane these samples, in blocks."""
        sounds = (Sound(samples[at : at + block], None) for at in range(0, len(samples), block))
        Together().feed(self.lane, sounds)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return what was told of a kind."""
        return [message for message in self.told if message["type"] == kind]

    def columns(self, name: str = "bands") -> dict[int, bytes]:
        """Return the columns by the samples at which they begin."""
        found: dict[int, bytes] = {}
        for message in self.of("spectrum"):
            step = round(message["column_s"] * RATE)
            rows = base64.b64decode(message[name])
            assert len(rows) == bands.BANDS * message["columns"]
            for n in range(message["columns"]):
                found[message["sample"] + n * step] = rows[n * bands.BANDS : (n + 1) * bands.BANDS]
        return found


def tone(hz: float, seconds: float = 2.0, amplitude: float = 0.5) -> NDArray[np.float32]:
    """Return a sine."""
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def dbfs(column: bytes) -> NDArray[np.float64]:
    """Return the levels of a column's bands."""
    return np.frombuffer(column, np.uint8) / 2 - 127.5


@pytest.mark.parametrize("model", ["home", "esc10"])
@pytest.mark.parametrize("hz", [250.0, 1000.0, 6000.0])
def test_a_tone_lies_where_it_sounds_and_is_as_loud(model: str, hz: float) -> None:
    """The loudest band is the one whose middle is nearest, and all bands add up to the sound's level to 0.5 dB, also
    where the frames are pre-emphasised."""
    heard = Heard(model)
    heard.lane.watch(12.5)
    heard.hear(tone(hz))
    middles = bands.edges_hz(RATE / 2)[1:-1]
    columns = heard.columns()
    assert len(columns) >= 20
    for column in columns.values():
        assert np.argmax(dbfs(column)) == np.argmin(np.abs(middles - hz))
        assert 10 * np.log10(np.sum(10 ** (dbfs(column) / 10))) == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.5)


def test_levels_are_bytes_of_half_a_decibel() -> None:
    """Silence is 0, full scale 255, and what is between is rounded; beyond full scale nothing turns over."""
    powers = np.array([[0.0, 1.0, 0.5, 1e-12, 100.0, np.nan, np.inf, 1e-13]], np.float32)
    assert list(bands.as_bytes(powers)) == [0, 255, 249, 15, 255, 0, 255, 0]


@pytest.mark.parametrize(("rate", "n_fft"), [(8000, 256), (16000, 400), (16000, 512), (44100, 1103), (48000, 2048)])
def test_no_power_is_counted_twice(rate: int, n_fft: int) -> None:
    """White noise of any frames: between the first band's middle and the last one's the bands add up to its power."""
    share = bands.weights(rate, n_fft, energy=1.0) * n_fft
    middles = bands.edges_hz(rate / 2)[1:-1]
    hz = np.arange(n_fft // 2 + 1) * rate / n_fft
    within = (hz >= middles[0]) & (hz <= middles[-1])
    assert np.allclose(share.sum(axis=1)[within], 2.0, rtol=1e-5)
    assert (share.sum(axis=0) > 0).all()


@pytest.mark.parametrize("gate", GATES)
def test_who_comes_later_sees_the_same(gate: str) -> None:
    """Whenever somebody begins to look, and however the sound is cut, every column is the same, bit for bit."""
    samples = varied(4.0, seed=3)
    first = Heard("esc10", gate)
    first.lane.watch(12.5)
    first.hear(samples)
    for begin, block in ((1, 1280), (5003, 777), (32000, 4096)):
        later = Heard("esc10", gate)
        later.hear(samples[:begin], 160)
        later.lane.watch(12.5)
        later.hear(samples[begin:], block)
        for name in ("bands",) if gate == "off" else ("bands", "gated"):
            whole, part = first.columns(name), later.columns(name)
            assert part
            assert {at: whole[at] for at in part if at in whole} == {at: part[at] for at in part if at in whole}
            missing = [at for at in whole if at > begin + 3 * 1280 and at not in part]
            assert len([at for at in part if at not in whole]) + len(missing) <= 4, "but for an unfinished message"


@pytest.mark.parametrize("gate", GATES)
def test_decisions_are_the_same_while_somebody_looks(gate: str) -> None:
    """Scores and events of a source that is looked at, now and then, are those of one that never was."""
    samples = varied(5.0, seed=4)
    alone, seen = Heard("esc10", gate), Heard("esc10", gate)
    alone.hear(samples)
    for at, columns_per_s in ((0, 12.5), (16000, None), (40000, 25.0), (60000, None)):
        seen.lane.watch(columns_per_s)
        seen.hear(samples[at : {0: 16000, 16000: 40000, 40000: 60000, 60000: len(samples)}[at]])
    assert [m["scores"] for m in alone.of("score")] == [m["scores"] for m in seen.of("score")]
    assert seen.of("spectrum")
    assert seen.lane.ear.spectrogram is None
    assert (seen.lane.ear.kind, len(seen.lane.ear.chain)) == (alone.lane.ear.kind, len(alone.lane.ear.chain))


def test_sources_seen_and_unseen_are_heard_together() -> None:
    """Of several sources one is looked at: each scores as alone, and the columns are those that it has alone."""
    signals = [varied(3.0, seed=seed) for seed in range(3)]
    alone = [Heard("esc10", "on") for _ in signals]
    alone[1].lane.watch(12.5)
    for each, signal in zip(alone, signals, strict=True):
        each.hear(signal)
    among = [Heard("esc10", "on") for _ in signals]
    among[1].lane.watch(12.5)
    together = Together()
    for at in range(0, len(signals[0]), 1280):
        for each, signal in zip(among, signals, strict=True):
            each.lane.take(Sound(signal[at : at + 1280], None))
        assert not together.hear([each.lane for each in among], at / RATE)
    for one, other in zip(alone, among, strict=True):
        assert [m["scores"] for m in one.of("score")] == [m["scores"] for m in other.of("score")]
    assert alone[1].columns("gated") == among[1].columns("gated") != {}
    assert not among[0].of("spectrum")


def test_behind_a_gate_that_takes_nothing_away_is_the_same() -> None:
    """Gated columns stand beside those of the same moment, however far the gate looks ahead: a gate with `reduction: 0`
    gives the same bits."""
    for ahead in (0, 3):
        heard = Heard("esc10", "on")
        heard.lane.replace(
            type(heard.lane.ear)(
                heard.lane.bundle,
                config.load(None, environ={}).decision,
                dataclasses.replace(GATES["on"], lookahead_frames=ahead, reduction=0.0),
                config.load(None, environ={}).publish,
            )
        )
        heard.lane.watch(12.5)
        heard.hear(varied(3.0, seed=5))
        assert heard.columns("bands") == heard.columns("gated") != {}


def test_a_steady_noise_is_gone_behind_the_gate() -> None:
    """What the gate takes away is seen beside what came: noise falls by over 10 dB, a tone in it by under 4."""
    rng = np.random.default_rng(6)
    samples = (0.01 * rng.standard_normal(4 * RATE)).astype(np.float32)
    samples[3 * RATE :] += tone(1000.0, 1.0)
    heard = Heard("esc10", "on")
    heard.lane.watch(12.5)
    heard.hear(samples)
    plain, gated = heard.columns("bands"), heard.columns("gated")
    high = slice(40, 60)
    quiet = [at for at in plain if RATE < at < 2.5 * RATE]
    assert np.mean([dbfs(plain[at])[high].mean() - dbfs(gated[at])[high].mean() for at in quiet]) > 10
    loud = [at for at in plain if 3.3 * RATE < at < 3.8 * RATE]
    assert max(dbfs(plain[at]).max() - dbfs(gated[at]).max() for at in loud) < 4


def test_no_column_spans_a_gap() -> None:
    """Columns lie whole in one segment, and begin anew behind a gap, at their samples; none is lost before it but what
    is no whole column."""
    heard = Heard("esc10")
    heard.lane.watch(12.5)
    heard.hear(tone(500.0, 1.0))
    heard.lane.take(End("gap"))
    heard.lane.take(Gap(RATE, 3 * RATE, RATE, "overrun", False, CLOCK))
    heard.lane.take(Segment(4 * RATE, RATE, CLOCK))
    heard.hear(tone(2000.0, 1.0))
    heard.lane.close()
    columns = heard.columns()
    middles = bands.edges_hz(RATE / 2)[1:-1]
    for at, column in columns.items():
        assert at + 1280 <= RATE or 4 * RATE <= at <= 5 * RATE - 1280
        assert np.argmax(dbfs(column)) == np.argmin(np.abs(middles - (500.0 if at < RATE else 2000.0)))
    starts = sorted(columns)
    assert [len([at for at in starts if at < RATE]), len([at for at in starts if at > RATE])] == [12, 12]
    seconds = [message["t"] for message in heard.of("spectrum") if message["sample"] >= 4 * RATE]
    assert seconds[0].startswith("1970-01-01T00:00:04.0")


def test_a_model_of_samples_is_seen_by_frames_made_for_it() -> None:
    """Where no spectrum is computed for the model, frames are made while somebody looks, the same for who comes
    later."""
    samples = tone(1000.0)

    def look(begin: int) -> Iterator[tuple[int, bytes]]:
        chain = Pipeline([Slices(160, 160, lead=0)])
        seen = Spectrogram(chain.stages, None, RATE, 12.5)
        seen.begin(begin)
        for at in range(begin, len(samples), 999):
            block = samples[at : at + 999]
            for stage in seen.chain:
                block = stage.process(block)
            for columns in seen.taken():
                for n in range(columns.n):
                    yield columns.at + n * 1280, columns.bands[n * bands.BANDS : (n + 1) * bands.BANDS]

    whole, part = dict(look(0)), dict(look(7001))
    assert len(whole) >= 20
    assert part
    assert all(whole[at] == column for at, column in part.items() if at in whole)
    assert len([at for at in part if at not in whole]) <= 2
    middles = bands.edges_hz(RATE / 2)[1:-1]
    assert {int(np.argmax(dbfs(column))) for column in whole.values()} == {int(np.argmin(np.abs(middles - 1000)))}


def test_never_faster_than_allowed() -> None:
    """Columns come as often as is asked for at most, in whole frames; more of them are shorter."""
    for columns_per_s, longest in ((12.5, 0.08), (9.0, 0.12), (50.0, 0.02), (1.0, 1.0)):
        heard = Heard("esc10")
        heard.lane.watch(columns_per_s)
        heard.hear(tone(1000.0, 3.0))
        column_s = heard.of("spectrum")[0]["column_s"]
        assert 1 / columns_per_s <= column_s + 1e-9
        assert column_s == pytest.approx(longest, abs=0.0101)


def subscribed(*prefixes: str) -> Subscriptions:
    """Return subscriptions of one connection, which is number 7."""
    made = Subscriptions()
    for prefix in prefixes:
        made.note(7, b"\x01" + prefix.encode(), 0.0)
    return made


@pytest.mark.parametrize(
    ("prefixes", "asked"),
    [
        ((), False), (("",), False), (("score.", "s", "spectrum"), False), (("spectrum.",), True),
        (("spectrum.porch.",), True), (("spectrum.po",), True), (("spectrum.porch.x",), False),
        (("spectrum.hall.", ""), False),
    ],
)  # fmt: skip
def test_who_asks_for_everything_asks_for_no_spectrum(prefixes: Sequence[str], asked: bool) -> None:
    """Only a subscription that begins with `spectrum.` asks for it, for the sources that it is a prefix of; when its
    connection goes, nobody does."""
    subscriptions = subscribed(*prefixes)
    assert subscriptions.asks("spectrum.porch.") == asked
    subscriptions.forget(7)
    assert not subscriptions.asks("spectrum.porch.")


def test_nothing_is_there_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane has a spectrogram while it is allowed and asked for, and none before and after: no stage of it is in its
    chain."""
    now_s = [0.0]
    monkeypatch.setattr("auricle.service.viewers.time.monotonic", lambda: now_s[0])
    heard = Heard("esc10", "on")
    subscriptions = Subscriptions()
    viewers = Viewers([heard.lane], subscriptions, config.Spectra())
    plain = list(heard.lane.ear.chain)

    def watched() -> bool:
        now_s[0] += 1.0
        viewers.tick()
        assert (list(heard.lane.ear.chain) == plain) == (heard.lane.ear.spectrogram is None)
        return heard.lane.ear.spectrogram is not None

    assert not watched()
    subscriptions.note(7, b"\x01spectrum.porch.", 0.0)
    assert not watched(), "it is not enabled"
    viewers.spectra = config.Spectra(enabled=True)
    assert watched()
    subscriptions.note(8, b"\x01spectrum.porch.", 0.0)
    subscriptions.forget(7)
    assert watched(), "another one still looks"
    subscriptions.note(8, b"\x00spectrum.porch.", 0.0)
    assert not watched()
    subscriptions.note(8, b"\x01spectrum.", 0.0)
    assert watched()
    viewers.spectra = config.Spectra(enabled=False)
    assert not watched()


def test_a_new_model_is_seen_as_the_one_before() -> None:
    """A reload that changes the ear goes on telling the spectrum."""
    heard, cfg = Heard("esc10"), config.load(None, environ={})
    heard.lane.watch(12.5)
    heard.hear(tone(1000.0, 1.0))
    before = len(heard.columns())
    ear = type(heard.lane.ear)(bundle.load("home"), cfg.decision, GATES["on"], cfg.publish)
    heard.lane.replace(ear)
    heard.hear(tone(1000.0, 2.0))
    columns = heard.columns()
    assert len(columns) > before + 15
    assert heard.of("spectrum")[-1]["model"]["name"] == "home"
    assert ["gated" in message for message in heard.of("spectrum")] == [
        message["model"]["name"] == "home" for message in heard.of("spectrum")
    ], "the gate came with it"
