"""Front ends that networks of others were trained on, each held to its formula, restated here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.features import extract, front_end
from auricle.gate import NoiseGate, gated_sound
from auricle.stages import filters
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


@pytest.mark.parametrize("align", ["start", "centre"])
def test_a_constant_offset_is_not_heard_where_it_is_removed(align: str) -> None:
    """Under a sound at -40 dBFS, an offset of 5 % changes no row by more than 1e-4 in ln with `remove_dc`. Pre-emphasis
    alone leaves 3 % of it: the lowest five bands (to 90 Hz) hear that by 1 to 9, the eighth and all above by less than
    0.5."""
    sound = 0.01 * np.random.default_rng(0).standard_normal(2 * RATE)
    for remove_dc in (False, True):
        pipeline = front_end(**MN04, align=align, remove_dc=remove_dc)
        without = pipeline.process(sound.astype(np.float32))
        pipeline.reset()
        change = np.abs(pipeline.process((sound + 0.05).astype(np.float32)) - without).max(axis=0)
        if remove_dc:
            assert change.max() < 1e-4
        else:
            assert change[:5].min() > 1.0
            assert 6.0 < change.max() < 9.0
            assert change[7:].max() < 0.5


def test_the_mean_of_a_frame_is_taken_under_its_taper() -> None:
    """Frames less their mean, as Kaldi takes it, whichever way they lie in the FFT's points; a sound without an offset
    keeps its rows from the sixth band on within 0.3 in ln on average."""
    sound = sounds.varied(2.0, seed=3)
    y = sound[1:].astype(float) - 0.97 * sound[:-1].astype(float)
    frames = np.lib.stride_tricks.sliding_window_view(y, 400)[::160]
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(frames * np.hanning(400), 512)) ** 2
    features = [{"kind": "mel", "basis": "kaldi", "n_mels": 40, "fmin": 20.0}]
    start = front_end(**{**MN04, "features": features}, align="start", remove_dc=True).process(sound)
    bank = filters.mel(sample_rate=RATE, n_fft=512, n_mels=40, fmin=20.0, basis="kaldi")
    np.testing.assert_allclose(start, power @ bank.T, rtol=1e-4, atol=1e-9)
    centre = front_end(**{**MN04, "features": features}, remove_dc=True).process(sound)
    start = front_end(**{**MN04, "features": features}, align="start", remove_dc=True).process(sound[56:])
    np.testing.assert_allclose(centre, start[: len(centre)], rtol=1e-4, atol=1e-9)
    kept = front_end(**MN04, remove_dc=True).process(sound) - front_end(**MN04).process(sound)
    assert np.abs(kept[:, 5:]).mean() < 0.3


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
    others: list[dict[str, Any]] = [{}, {"pre_emphasis": 0.97}, {"taper": "hamming"}, {"remove_dc": True}]
    gates = [NoiseGate(**frame, noise_profile=noise, **of) for of in others]
    for i, gate in enumerate(gates):
        for j, other in enumerate(gates):
            if i == j:
                gate.learned = other.learned
            else:
                with pytest.raises(ValueError, match="learn it anew for this model"):
                    gate.learned = other.learned
    with pytest.raises(ValueError, match=r"build it for sample_rate 16000, n_fft 512, win_length 400, pre_emphasis"):
        front_end(**MN04, gate=gates[0])
    with pytest.raises(ValueError, match=r"pre_emphasis=0.97.*; build it for n_fft 512 and a plain Hann taper"):
        gated_sound(gates[1], n_fft=512, hop_length=128, win_length=400)


YAMNET: dict[str, Any] = {
    "sample_rate": RATE,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "align": "start",
    "features": [
        {
            "kind": "log_mel",
            "power": 1.0,
            "basis": "tf",
            "n_mels": 64,
            "fmin": 125.0,
            "fmax": 7500.0,
            "offset": 0.001,
            "natural": True,
        }
    ],
}


def straight_bands(n_mels: int, fmin: float, fmax: float, n_fft: int) -> NDArray[np.float64]:
    """TensorFlow's bands ``(n_fft // 2 + 1, n_mels)``: triangles straight over mel, none of which hold 0 Hz."""
    edges = np.interp(np.arange(n_mels + 2), [0, n_mels + 1], 1127.0 * np.log1p(np.array([fmin, fmax]) / 700.0))
    mel = 1127.0 * np.log1p(np.arange(n_fft // 2 + 1) * RATE / n_fft / 700.0)
    bands = np.stack([np.interp(mel, edges[i : i + 3], [0.0, 1.0, 0.0]) for i in range(n_mels)], axis=1)
    bands[0] = 0.0
    return bands


def test_yamnet_equals_its_formula() -> None:
    """Magnitudes of 400 samples under a periodic Hann in an FFT of 512, 64 bands, ln(x + 0.001): within 1e-4 in ln."""
    sound = sounds.varied(4.0, seed=4)
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(float), 400)[::160]
    periodic = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(400) / 400)
    magnitude = np.abs(np.fft.rfft(frames * periodic, 512))
    expected = np.log(magnitude @ straight_bands(64, 125.0, 7500.0, 512) + 0.001)
    rows = front_end(**YAMNET).process(sound)
    assert rows.shape == expected.shape == ((len(sound) - 400) // 160 + 1, 64)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-4)


def test_scores_between_bounds_as_a_small_networks_front_end_has_them() -> None:
    """Periodogram under a symmetric Hamming, dB, (dB + 52) / 64 within 0 and 1, as of MLPerf Tiny's keyword model."""
    sound = sounds.varied(3.0, seed=5)
    emphasised = sound[1:].astype(float) - (1.0 - 2.0**-5) * sound[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, 480)[::320]
    power = np.abs(np.fft.rfft(frames * np.hamming(480), 512)) ** 2 / 480
    decibels = 10.0 * np.log10(np.maximum(power @ straight_bands(40, 0.0, 8000.0, 512), 1e-30))
    expected = np.clip((decibels + 52.0) / 64.0, 0.0, 1.0)
    bands = {"kind": "log_mel", "basis": "tf", "n_mels": 40, "scaling": "length", "amin": 1e-30}
    rows = extract(
        sound, RATE, {**bands, "mean": -52.0, "std": 64.0, "clip": [0.0, 1.0]}, n_fft=512, win_length=480,
        hop_length=320, pre_emphasis=1.0 - 2.0**-5, taper="hamming_symmetric", align="start",
    )  # fmt: skip
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5)
    assert (expected == 0.0).any()
    assert 0.2 < (expected > 0.0).mean() < 1.0


@pytest.mark.parametrize(("scaling", "divisor"), [("sum", np.hanning(401)[:-1].sum() ** 2), ("length", 400.0)])
@pytest.mark.parametrize("power", [2.0, 1.0])
def test_spectra_may_be_scaled(scaling: str, divisor: float, power: float) -> None:
    """By the taper's sum, so that a tone's peak is half its amplitude, or by its length, as a periodogram."""
    sound, frames = sounds.varied(1.0), {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40}
    plain = extract(sound, RATE, "mel", power=power, **frames)
    scaled = extract(sound, RATE, "mel", power=power, scaling=scaling, **frames)
    np.testing.assert_allclose(scaled, plain / divisor ** (power / 2.0), rtol=1e-5)


def test_a_floor_and_a_mean_are_of_one_unit() -> None:
    """`floor_db` is a floor of the level in dB, whatever is done to it after."""
    sound, frames = sounds.varied(1.0), {"n_fft": 512, "hop_length": 160, "n_mels": 40}
    decibels = np.maximum(extract(sound, RATE, "log_mel", **frames), -40.0)
    for natural, unit in ((False, 1.0), (True, np.log(10.0) / 10.0)):
        rows = extract(sound, RATE, "log_mel", floor_db=-40.0, natural=natural, mean=-3.0, std=2.0, **frames)
        np.testing.assert_allclose(rows, (decibels * unit + 3.0) / 2.0, rtol=0, atol=2e-5)


def test_cepstra_may_be_tensorflows() -> None:
    """`norm: tf` is the orthonormal transform but for its first coefficient, the square root of 2 times it."""
    sound, frames = sounds.varied(1.0), {"n_fft": 512, "hop_length": 160, "n_mels": 40}
    ortho = extract(sound, RATE, "mfcc", **frames)
    tf = extract(sound, RATE, "mfcc", norm="tf", **frames)
    np.testing.assert_allclose(tf[:, 0], ortho[:, 0] * np.sqrt(2.0), rtol=1e-5)
    np.testing.assert_allclose(tf[:, 1:], ortho[:, 1:], rtol=0, atol=1e-4)


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
        ({"keep": 10.5}, r"keep 10.5 is no whole number; use one"),
        ({"keep": None}, r"fmax 15000 is above half the sample rate; use at most 8000"),
        ({"fmin": 9000.0}, r"fmin 9000 is not below"),
        ({"n_mels": 400, "keep": 300}, r"of 400 hold no bin of 31.25 Hz"),
        ({"offset": "1e-5"}, r"feature log_mel: offset '1e-5' is no number; write it with a point, as 1.0e-5"),
        ({"offset": 0.0}, r"offset 0 is no power; use a number above 0"),
        ({"amin": 1e-6}, r"amin 1e-06 and offset 1e-05 are two floors of one logarithm; use one of them"),
        ({"std": 0.0}, r"mean 0 and std 0 cannot be; use a number, and one above 0"),
        ({"clip": [1.0, 0.0]}, r"clip \(1.0, 0.0\) cannot be; use the least and the most, as \[0, 1\]"),
        ({"clip": "0 to 1"}, r"clip '0 to 1' cannot be"),
        ({"scaling": "peak"}, r"scaling 'peak' of spectra is not known; use sum, length or none"),
        ({"kind": "mfcc", "norm": "tf", "dct_type": 3}, r"norm 'tf' of dct_type 3 is not known; use dct_type 2"),
        ({"remove_dc": "on"}, r"remove_dc 'on' is no switch; use true or false"),
        ({"natural": "yes"}, r"feature log_mel: natural 'yes' is no switch; use true or false"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("gate", [None, {}], ids=["plain", "gated"])
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str, gate: dict[str, Any] | None) -> None:
    """Each parameter that cannot be is one line, with its value and what to use, with the gate and without."""
    of_frames = {
        name: value for name, value in change.items() if name in ("pre_emphasis", "taper", "align", "remove_dc")
    }
    of_feature = {name: value for name, value in change.items() if name not in of_frames}
    (feature,) = MN04["features"]
    with pytest.raises(ValueError, match=message) as error:
        front_end(**{**MN04, **of_frames, "features": [{**feature, **of_feature}]}, gate=gate)
    assert "\n" not in str(error.value)
