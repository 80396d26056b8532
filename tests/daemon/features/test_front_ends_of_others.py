"""Front ends that networks of others were trained on, each held to its formula, restated here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.features import extract, front_end
from auricle.gate import NoiseGate
from auricle.stages.stage import count_out
from helpers import laws, sounds

RATE = 16_000
MN04: dict[str, Any] = {
    "sample_rate": RATE,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "pre_emphasis": 0.97,
    "taper": "hann_symmetric",
    "features": [
        {
            "kind": "log_mel",
            "basis": "kaldi",
            "n_mels": 128,
            "keep": 107,
            "fmin": 0.0,
            "fmax": 15_000.0,
            "offset": 1e-5,
            "natural": True,
        }
    ],
}


def mn04(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows ``(k, 107)`` of EfficientAT's front end at half its rate, in double precision."""
    y = x[1:].astype(float) - 0.97 * x[:-1].astype(float)
    frames = np.lib.stride_tricks.sliding_window_view(y, 400)[::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(400), 512)) ** 2
    mel_of_bin = 1127.0 * np.log(1.0 + np.arange(257) * RATE / 512 / 700.0)
    edges = np.linspace(0.0, 1127.0 * np.log(1.0 + 15_000.0 / 700.0), 130)
    rows = []
    for left, centre, right in zip(edges[:107], edges[1:108], edges[2:109], strict=True):
        weights = np.minimum((mel_of_bin - left) / (centre - left), (right - mel_of_bin) / (right - centre))
        weights[256] = 0.0
        rows.append(power @ np.maximum(weights, 0.0))
    return np.log(np.stack(rows, axis=1) + 1e-5)


def test_mn04_equals_its_formula() -> None:
    """Pre-emphasis, symmetric Hann at the FFT's start, Kaldi's bands, ln(m + 1e-5): within 3e-5 of double precision,
    in ln. What lies beyond 8 kHz, the last two of the 107 bands, holds the offset alone."""
    sound = sounds.varied(4.0, seed=3)
    expected = mn04(sound)
    rows = front_end(**MN04, align="start").process(sound)
    assert rows.shape == expected.shape == ((len(sound) - 401) // 160 + 1, 107)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=3e-5)
    assert np.std(expected[:, :105], axis=0).min() > 0.5
    np.testing.assert_array_equal(rows[:, 105:], np.log(np.float32(1e-5)))


def test_where_the_taper_stands_moves_rows_and_no_more() -> None:
    """A taper in the FFT's centre gives the rows of the start's, 56 samples later; its power differs by rounding."""
    sound = sounds.varied(2.0, seed=3)
    start, centre = front_end(**MN04, align="start"), front_end(**MN04)
    assert (start.span, start.lead) == (401, 201)
    assert (centre.span, centre.lead) == (513, 257)
    rows = centre.process(sound)
    np.testing.assert_allclose(rows, start.process(sound[56:])[: len(rows)], rtol=0, atol=3e-6)


def test_decibels_are_the_same_logarithm() -> None:
    """Without `natural` the rows are 10 log10(m + offset)."""
    sound = sounds.varied(1.0)
    (feature,) = MN04["features"]
    natural = front_end(**MN04).process(sound)
    decibels = front_end(**{**MN04, "features": [{**feature, "natural": False}]}).process(sound)
    np.testing.assert_allclose(decibels, natural * 10.0 / np.log(10.0), rtol=0, atol=2e-5)


@pytest.mark.parametrize("gate", [None, {"start_up_s": 0.2, "lookahead_frames": 1}], ids=["plain", "gated"])
def test_it_obeys_the_laws(gate: dict[str, Any] | None) -> None:
    """Cut, count and reset hold for the whole of it, sample by sample too, with and without the gate."""
    sound = sounds.varied(0.6)
    for sizes in ([1] * 700, [0, 400, 1, 1, 159, 160, 0, 3000], [401]):
        if gate is None:
            laws.hold(lambda: front_end(**MN04, align="start"), sound, sizes)
        else:
            laws.hold(lambda: _taught(), sound, sizes)


def _taught() -> Any:
    """Behind a gate that knows its room, which `reset` keeps."""
    hush = (0.003 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)
    return front_end(**MN04, align="start", gate={"noise_profile": hush, "lookahead_frames": 1})


def test_pre_emphasis_comes_first_whatever_the_feature() -> None:
    """Every feature of a front end hears the emphasised sound, as if it had been given it."""
    sound = sounds.varied(2.5)
    emphasised = sound[1:] - np.float32(0.9) * sound[:-1]
    frames = {"n_fft": 512, "hop_length": 160}
    kinds = [{"kind": "log_mel", "n_mels": 40}, {"kind": "chroma_cqt", "fmin": 220.0, "n_octaves": 4}]
    for kind in (*kinds, kinds):
        expected = extract(emphasised, RATE, kind, **frames)
        given = extract(sound, RATE, kind, pre_emphasis=0.9, **frames)
        assert len(given) == count_out(len(sound) - 1, hop=160, span=(len(sound) - 1) - (len(expected) - 1) * 160)
        np.testing.assert_array_equal(given, expected)


def test_the_gate_hears_the_emphasised_sound() -> None:
    """Steady noise is taken away behind pre-emphasis as without it, by a profile of the noise itself and by what the
    start teaches; what is 20 dB louder stays, but for the two ends of the spectrum, where the mask fades."""
    noise = (0.01 * np.random.default_rng(5).standard_normal(6 * RATE)).astype(np.float32)
    sound = noise * np.where(np.arange(len(noise)) < 4 * RATE, 1, 10).astype(np.float32)
    plain = front_end(**MN04).process(sound)
    for gate in ({"noise_profile": noise[: 2 * RATE]}, {"start_up_s": 2.0}):
        taken = plain - front_end(**MN04, gate=gate).process(sound)
        assert taken[220:380, :105].mean() > 1.5
        assert taken[420:, 20:95].mean() < 0.15


def test_a_floor_belongs_to_its_emphasis_and_taper() -> None:
    """What a gate learned of emphasised sound, or under another taper, is refused by a gate of other frames."""
    frame = {"sample_rate": RATE, "n_fft": 512, "win_length": 400, "hop_length": 160}
    noise = sounds.varied(1.0)
    gates = [NoiseGate(**frame, noise_profile=noise, **of) for of in ({}, {"pre_emphasis": 0.97}, {"taper": "hamming"})]
    for i, gate in enumerate(gates):
        for j, other in enumerate(gates):
            if i == j:
                gate.learned = other.learned
            else:
                with pytest.raises(ValueError, match="learn it anew for this model"):
                    gate.learned = other.learned
    with pytest.raises(ValueError, match=r"build it for sample_rate 16000, n_fft 512, win_length 400, pre_emphasis"):
        front_end(**MN04, gate=gates[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pre_emphasis": 1.5}, r"pre_emphasis 1.5 cannot be; use a number above 0, at most 1, as 0.97"),
        ({"pre_emphasis": "0.97"}, r"pre_emphasis '0.97' cannot be"),
        ({"taper": "han"}, r"taper 'han' is not known; use hann, hann_symmetric, hamming, hamming_symmetric"),
        ({"align": "center"}, r"align 'center' is not known; use centre or start"),
        ({"basis": "kaldy"}, r"basis 'kaldy' of mel bands is not known; use librosa, kaldi, tf"),
        ({"norm": "slaney"}, r"basis kaldi are in HTK's mel and of unit height; leave htk and norm out"),
        ({"htk": False}, r"leave htk and norm out"),
        ({"keep": 129}, r"keep 129 of 128 mel bands cannot be; use 1 to 128"),
        ({"keep": 0}, r"keep 0 of 128 mel bands cannot be"),
        ({"keep": 10.5}, r"keep 10.5 of 128 mel bands cannot be"),
        ({"keep": None}, r"fmax 15000 is above half the sample rate; use at most 8000"),
        ({"fmin": 9000.0}, r"fmin 9000 is not below"),
        ({"n_mels": 400, "keep": 300}, r"of 400 hold no bin of 31.25 Hz"),
        ({"offset": "1e-5"}, r"feature log_mel: offset '1e-5' is no number; write it with a point, as 1.0e-5"),
        ({"offset": 0.0}, r"offset 0 is no power; use a number above 0"),
        ({"amin": 1e-6}, r"amin 1e-06 and offset 1e-05 are two floors of one logarithm; use one of them"),
        ({"natural": "yes"}, r"feature log_mel: natural 'yes' is no switch; use true or false"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("gate", [None, {}], ids=["plain", "gated"])
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str, gate: dict[str, Any] | None) -> None:
    """Each parameter that cannot be is one line, with its value and what to use, with the gate and without."""
    of_frames = {name: value for name, value in change.items() if name in ("pre_emphasis", "taper", "align")}
    of_feature = {name: value for name, value in change.items() if name not in of_frames}
    (feature,) = MN04["features"]
    with pytest.raises(ValueError, match=message) as error:
        front_end(**{**MN04, **of_frames, "features": [{**feature, **of_feature}]}, gate=gate)
    assert "\n" not in str(error.value)
