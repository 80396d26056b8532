"""Every stage of the front end obeys the four laws, however its input is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.features import extract, front_end, mel
from auricle.features.cens import ChromaCens
from auricle.features.chroma import ChromaStft
from auricle.features.cqt import ChromaCqt, HalfRate
from auricle.features.mel import LogMel, MelSpectrogram
from auricle.features.mfcc import Delta, Mfcc
from auricle.features.pcen import Pcen
from auricle.features.stack import Stack
from auricle.gate import NoiseGate
from auricle.gate.overlap import OverlapAdd
from auricle.stages.pre_emphasis import PreEmphasis
from auricle.stages.spectrum import Power, Root, Spectrum, taper
from auricle.stages.stage import Pipeline, Slices, Stage
from helpers import laws

RATE = 16_000
RNG = np.random.default_rng(20)
SOUND = (0.1 * RNG.standard_normal(6_000) * np.repeat(RNG.random(60) ** 4, 100)).astype(np.float32)
FRAMES = np.lib.stride_tricks.sliding_window_view(SOUND, 512)[::64]
SPECTRA = Spectrum(512, 400).process(FRAMES)
POWERS = Power().process(SPECTRA)
ROWS = LogMel().process(MelSpectrogram(sample_rate=RATE, n_fft=512, n_mels=40).process(POWERS))
FRAME = {"sample_rate": RATE, "n_fft": 512, "win_length": 400, "hop_length": 64}
ROOM = 0.01 * RNG.standard_normal(8_000)

STAGES: dict[str, tuple[Callable[[], Stage], Any]] = {
    "pre-emphasis": (lambda: PreEmphasis(0.97), SOUND),
    "slices": (lambda: Slices(512, 160), SOUND),
    "slices with gaps": (lambda: Slices(100, 160), SOUND),
    "spectrum": (lambda: Spectrum(512, 400), FRAMES),
    "spectrum of short frames": (lambda: Spectrum(512, 400, kind="hamming", align="start"), FRAMES[:, :400]),
    "spectrum without its mean": (lambda: Spectrum(512, 400, remove_dc=True), FRAMES),
    "power": (Power, SPECTRA),
    "root": (lambda: Root(1.0), POWERS),
    "mel": (lambda: MelSpectrogram(sample_rate=RATE, n_fft=512, n_mels=40), POWERS),
    "kaldi's mel": (
        lambda: MelSpectrogram(sample_rate=RATE, n_fft=512, n_mels=64, basis="kaldi", keep=50, fmax=12_000.0),
        POWERS,
    ),
    "log mel": (lambda: LogMel(floor_db=-60.0), np.exp(ROWS / 10)),
    "natural log mel": (lambda: LogMel(natural=True), np.exp(ROWS / 10)),
    "log mel with an offset": (lambda: LogMel(natural=True, offset=1e-5), np.exp(ROWS / 10)),
    "log mel in bounds": (lambda: LogMel(mean=-30.0, std=10.0, clip=(-1.0, 1.0)), np.exp(ROWS / 10)),
    "mfcc": (lambda: Mfcc(n_mels=40, n_mfcc=13), ROWS),
    "delta": (lambda: Delta(width=5), ROWS),
    "pcen": (lambda: Pcen(sample_rate=RATE, hop_length=160), np.exp(ROWS / 10)),
    "chroma": (lambda: ChromaStft(sample_rate=RATE, n_fft=512), POWERS),
    "half rate": (HalfRate, SOUND),
    "cens": (lambda: ChromaCens(win_len_smooth=9), np.abs(ROWS[:, :12])),
    "overlap-add": (lambda: OverlapAdd(512, 64, 400), SPECTRA),
    "stack": (lambda: Stack([Pipeline([]), Delta(width=9), Pipeline([Delta(width=5), Delta(width=3)])]), ROWS),
}

CQT = {
    "cqt": {"hop_length": 160, "fmin": 220.0, "n_octaves": 3},
    "cqt of odd hop": {"hop_length": 147, "fmin": 220.0, "n_octaves": 4, "bins_per_octave": 24},
    "cqt up to the rate's half": {"hop_length": 200, "fmin": 950.0, "n_octaves": 3, "bins_per_octave": 12},
}

GATES = {
    "profile": {"noise_profile": ROOM},
    "part of the reduction": {"noise_profile": ROOM, "reduction": 0.7, "lookahead_frames": 3},
    "whole look-ahead": {"noise_profile": ROOM, "time_smoothing_ms": 20.0, "lookahead_frames": 5},
    "no smoothing": {"noise_profile": ROOM, "time_smoothing_ms": 0.0, "frequency_smoothing_hz": 0.0},
    "learning at the start": {"start_up_s": 0.1, "reduction": 0.9, "lookahead_frames": 2},
    "adapting": {"noise_profile": ROOM, "adaptation_s": 1.0},
    "adapting from nothing": {"start_up_s": 0.0, "adaptation_s": 0.5, "lookahead_frames": 1},
}

cuts = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 900)), max_size=60)
frame_cuts = st.lists(st.integers(0, 20), max_size=60)
several = settings(max_examples=12, deadline=None, derandomize=True)


@pytest.mark.parametrize("name", STAGES)
@several
@given(sizes=cuts)
def test_a_stage_obeys_the_laws(name: str, sizes: list[int]) -> None:
    """Cut, count and reset hold for every stage."""
    make, signal = STAGES[name]
    laws.hold(make, signal, sizes)


@pytest.mark.parametrize("name", CQT)
@several
@given(sizes=cuts)
def test_the_cqt_obeys_the_laws(name: str, sizes: list[int]) -> None:
    """The constant-Q chroma gives the same bits whatever the cut, at hops that no power of two divides as well."""
    laws.hold(lambda: ChromaCqt(sample_rate=RATE, **CQT[name]), SOUND, sizes)


@pytest.mark.parametrize("signal", [SPECTRA, POWERS], ids=["sound", "power"])
@pytest.mark.parametrize("name", GATES)
@several
@given(sizes=frame_cuts)
def test_the_gate_obeys_the_laws(name: str, signal: Any, sizes: list[int]) -> None:
    """The gate gives the same bits and learns the same floor whatever the cut; a reset keeps only the floor."""
    laws.hold_learning(lambda: NoiseGate(**FRAME, **GATES[name]), signal, sizes)


FRONT_ENDS = {
    "gated": [{"kind": "log_mel", "n_mels": 40}, {"kind": "mfcc", "n_mels": 40, "n_mfcc": 13}],
    "of several spans": [
        {"kind": "delta", "of": {"kind": "mfcc", "n_mels": 40}, "width": 5},
        {"kind": "chroma_cqt", "fmin": 400.0, "n_octaves": 2},
        {"kind": "chroma_stft", "n_fft": 1024},
        {"kind": "log_mel", "n_mels": 40},
        {"kind": "chroma_cens", "fmin": 400.0, "n_octaves": 2, "win_len_smooth": 5},
        {"kind": "pcen", "n_mels": 40},
    ],
}


@pytest.mark.parametrize("name", FRONT_ENDS)
@several
@given(sizes=cuts)
def test_a_front_end_obeys_the_laws(name: str, sizes: list[int]) -> None:
    """A whole front end, gate and stack included, is itself a stage."""
    gate = {"noise_profile": ROOM, "lookahead_frames": 2} if name == "gated" else None
    laws.hold(lambda: front_end(**FRAME, features=FRONT_ENDS[name], gate=gate), SOUND, sizes)


def test_a_stack_is_its_parts_side_by_side() -> None:
    """Each column of a stack is bit for bit the feature alone, at the frame about the same sample."""
    features = FRONT_ENDS["of several spans"]
    stacked = front_end(**FRAME, features=features)
    rows = stacked.process(SOUND)
    assert stacked.columns == (
        ("delta of mfcc", 20), ("chroma_cqt", 12), ("chroma_stft", 12),
        ("log_mel", 40), ("chroma_cens", 12), ("pcen", 40),
    )  # fmt: skip
    at = 0
    for feature, (_, width) in zip(features, stacked.columns, strict=True):
        alone = front_end(**FRAME, features=[feature])
        # The slower ones set the pace: the others begin so many samples later.
        part = alone.process(SOUND[stacked.lead - alone.lead :])
        np.testing.assert_array_equal(rows[:, at : at + width], part[: len(rows)])
        at += width
    assert at == stacked.n_features == rows.shape[1]
    assert len(rows) > 10


@pytest.mark.parametrize("n_fft", [512, 400, 401])
def test_a_spectrum_is_numpys(n_fft: int) -> None:
    """Asked directly or through numpy's function, the FFT gives the same bits."""
    frames = np.random.default_rng(1).standard_normal((9, n_fft)).astype(np.float32)
    expected = np.fft.rfft(frames * taper(n_fft).astype(np.float32)).astype(np.complex64)
    np.testing.assert_array_equal(Spectrum(n_fft).process(frames), expected, strict=True)
    short = Spectrum(n_fft, 300, kind="hamming_symmetric", align="start").process(frames[:, :300])
    expected = np.fft.rfft(frames[:, :300] * np.hamming(300).astype(np.float32), n_fft).astype(np.complex64)
    np.testing.assert_array_equal(short, expected, strict=True)


def test_where_a_frames_place_counts_frames_are_projected_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a BLAS that gives other bits at other places the mel bands are the same to rounding, and obey the laws."""
    power = np.random.default_rng(2).random((45, 257)).astype(np.float32)
    expected = MelSpectrogram(sample_rate=16_000, n_fft=512, n_mels=37).process(power)
    monkeypatch.setattr(mel, "_blind_to_place", lambda basis: False)
    monkeypatch.setattr(mel, "_projection", mel._projection.__wrapped__)  # what was found before is not asked again

    def make() -> MelSpectrogram:
        return MelSpectrogram(sample_rate=16_000, n_fft=512, n_mels=37)

    assert make()._at_once == 1
    np.testing.assert_allclose(make().process(power), expected, rtol=1e-5)
    laws.hold(make, power, [1, 0, 3, 7, 20])


def test_what_features_share_is_computed_once() -> None:
    """Log-mel and MFCC of the same bands have one framing, one FFT, one gate and one filter bank."""
    pipeline = front_end(**FRAME, features=FRONT_ENDS["gated"], gate={"noise_profile": ROOM})
    assert [type(stage).__name__ for stage in pipeline.stages] == [
        "Slices", "Spectrum", "Power", "NoiseGate", "MelSpectrogram", "LogMel", "Stack",
    ]  # fmt: skip
    assert pipeline.stages[3] is pipeline.gate


@pytest.mark.parametrize("block", [1, 7, 160, 5_000])
def test_extract_does_not_depend_on_the_block(block: int) -> None:
    """`extract` gives the same bits for every block size."""
    sound = SOUND[:3_000]
    whole = extract(sound, RATE, ["log_mel", {"kind": "mfcc", "n_mfcc": 13}], n_fft=1024, hop_length=160)
    parts = extract(sound, RATE, ["log_mel", {"kind": "mfcc", "n_mfcc": 13}], n_fft=1024, hop_length=160, block=block)
    np.testing.assert_array_equal(whole, parts, strict=True)
    assert whole.shape == ((3_000 - 1024) // 160 + 1, 141)
