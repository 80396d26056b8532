"""The noise gate: what it removes, what it learns, what it keeps, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.errors import AudioError
from auricle.features import front_end
from auricle.gate import NoiseGate, reduce_noise
from auricle.gate.mask import MaskSmoother
from auricle.gate.noise import load_profile, save_profile
from auricle.gate.overlap import OverlapAdd
from auricle.stages.spectrum import Spectrum
from auricle.stages.stage import Pipeline, Slices

RATE = 16_000
FRAME = {"sample_rate": RATE, "n_fft": 512, "win_length": 400, "hop_length": 160}


def noise(seconds: float, level: float = 0.01, seed: int = 0) -> NDArray[np.float32]:
    """White noise of a standard deviation."""
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def tone(seconds: float, hz: float = 1000.0, level: float = 0.3) -> NDArray[np.float32]:
    """A sine."""
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def gated(sound: NDArray[np.float32], **params: Any) -> tuple[NDArray[np.complex64], NDArray[np.complex64], NoiseGate]:
    """Spectra before and after a gate, each row of both about the same frame."""
    gate = NoiseGate(**FRAME, **params)
    spectra = Pipeline([Slices(512, 160), Spectrum(512, 400)]).process(sound)
    out = gate.process(spectra)
    return spectra[gate.lead : gate.lead + len(out)], out, gate


def level_db(spectra: NDArray[Any]) -> float:
    """Mean power in dB."""
    return float(10 * np.log10(np.mean(np.abs(spectra) ** 2) + 1e-30))


def test_noise_goes_and_sound_stays() -> None:
    """Noise like the profile's falls by more than 15 dB; a sound 30 dB over it keeps its level within 0.1 dB."""
    before, after, _ = gated(noise(2, seed=1), noise_profile=noise(3), sensitivity=2.0)
    assert level_db(after) < level_db(before) - 15
    before, after, _ = gated(noise(2, 0.3, seed=1), noise_profile=noise(3), sensitivity=2.0)
    assert abs(level_db(after[:, 20:-20]) - level_db(before[:, 20:-20])) < 0.1


def test_more_sensitivity_removes_more() -> None:
    """Sensitivity counts standard deviations above the noise: more of them leave less sound."""
    left = [level_db(gated(noise(1, seed=1), noise_profile=noise(3), sensitivity=s)[1]) for s in (0.0, 1.0, 2.0, 3.0)]
    assert left == sorted(left, reverse=True)
    assert left[0] - left[-1] > 10


def test_reduction_is_the_share_taken_away() -> None:
    """What is all noise comes out at 1 - reduction of its magnitude, away from the spectrum's ends."""
    for reduction in (1.0, 0.75, 0.5):
        before, after, _ = gated(noise(1, 0.0001, seed=1), noise_profile=noise(3), reduction=reduction)
        np.testing.assert_allclose(np.abs(after)[:, 20:-20], (1 - reduction) * np.abs(before)[:, 20:-20], atol=1e-5)


def test_reduction_of_nothing_changes_nothing() -> None:
    """With reduction 0 the spectra come out as they were, bit for bit, delayed by the look-ahead."""
    before, after, _ = gated(noise(1), noise_profile=noise(3), reduction=0.0, lookahead_frames=3)
    np.testing.assert_array_equal(after, before)


def test_power_is_weighted_as_the_square_of_the_spectrum() -> None:
    """Power spectra get the squared mask, so that features equal those of the gated sound's spectra."""
    params = {"noise_profile": noise(3), "lookahead_frames": 2, "reduction": 0.9}
    spectra = Pipeline([Slices(512, 160), Spectrum(512, 400)]).process(noise(1, 0.012, seed=2))
    of_sound = np.abs(NoiseGate(**FRAME, **params).process(spectra)) ** 2
    of_power = NoiseGate(**FRAME, **params).process(np.abs(spectra) ** 2)
    np.testing.assert_allclose(of_power, of_sound, rtol=1e-4, atol=1e-12)


def test_a_wide_smoothing_does_not_overflow() -> None:
    """The widest kernel that the configuration lets through still sums exactly: an open mask stays 1."""
    for n_freq, n_past, ahead in ((8, 5, 5), (128, 200, 0), (1024, 200, 200)):
        mask = np.ones((n_past + ahead + 30, 2 * n_freq + 41), bool)
        smooth = MaskSmoother(mask.shape[1], n_freq=n_freq, n_past=n_past, n_ahead=ahead).process(mask)
        np.testing.assert_allclose(smooth[:, n_freq:-n_freq], 1.0, rtol=1e-6)
        assert len(smooth) == n_past - ahead + 30


@pytest.mark.parametrize("ahead", [0, 2, 5])
def test_the_mask_is_noisereduces_kernel_cut_at_the_look_ahead(ahead: int) -> None:
    """The smoothed mask is the outer product of two triangles, its taps -n..L over their own sum, on any mask."""
    rng = np.random.default_rng(3)
    mask = rng.random((40, 65)) > 0.6
    smooth = MaskSmoother(65, n_freq=8, n_past=5, n_ahead=ahead).process(mask)
    time = np.concatenate((np.arange(1, 7), np.arange(5, 5 - ahead, -1))) / 6.0
    freq = np.convolve(np.ones(9), np.ones(9)) / 81.0
    over_freq = np.array([np.convolve(row, freq, "same") for row in mask.astype(float)])
    for row in range(40 - 2 * ahead):
        frame = row + ahead
        past = min(5, frame)
        weights = time[5 - past :]
        expected = weights @ over_freq[frame - past : frame + ahead + 1] / weights.sum()
        np.testing.assert_allclose(smooth[row], expected, atol=2e-7)
    assert len(smooth) == 40 - 2 * ahead


def test_a_sound_at_a_segments_start_is_not_faded_in() -> None:
    """The frames before a segment are missing, not silent: an open band is open from row 0."""
    before, after, _ = gated(tone(1), noise_profile=noise(3), lookahead_frames=0, frequency_smoothing_hz=0)
    np.testing.assert_allclose(np.abs(after[:8, 32]), np.abs(before[:8, 32]), rtol=1e-5)


def test_while_it_learns_the_gate_passes_sound_unchanged() -> None:
    """For `start_up_s` seconds, and only so long, the output is the input; `learned` says how far it is."""
    gate = NoiseGate(**FRAME, start_up_s=0.8, reduction=0.9)
    spectra = Pipeline([Slices(512, 160), Spectrum(512, 400)]).process(noise(3))
    assert gate.learned == {}
    first = gate.process(spectra[:15])
    assert gate.learning
    assert gate.learned == {}
    out = np.concatenate((first, gate.process(spectra[15:60])))
    assert gate.learning
    assert gate.learned["frames"] == 48
    out = np.concatenate((out, gate.process(spectra[60:])))
    assert not gate.learning
    assert gate.learned["frames"] == 80
    np.testing.assert_array_equal(out[:80], spectra[:80])
    assert level_db(out[90:]) < level_db(spectra[90:]) - 10


def test_what_was_learned_is_the_rooms_noise() -> None:
    """The floor's mean is the level of the noise in each bin, within 1 dB; its spread that of white noise, 5.6 dB."""
    _, _, gate = gated(noise(8), start_up_s=7.0)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    # The mean of the logarithm of an exponentially distributed power lies 2.51 dB under the logarithm of its mean.
    expected = 10 * np.log10(0.01**2 * (taper**2).sum() / taper.sum() ** 2) - 2.507
    assert np.abs(gate.learned["mean_db"][2:-2] - expected).mean() < 0.5
    assert abs(gate.learned["std_db"][2:-2].mean() - 5.57) < 0.3


def test_learned_noise_survives_reset_and_restart() -> None:
    """After `reset()`, and in a new gate given the same `learned`, the same noise is taken away from the first
    frame."""
    _, _, gate = gated(noise(3), start_up_s=1.0)
    new = NoiseGate(**FRAME, start_up_s=1.0)
    new.learned = {name: array.copy() for name, array in gate.learned.items()}
    assert not new.learning
    spectra = Pipeline([Slices(512, 160), Spectrum(512, 400)]).process(noise(1, seed=5))
    gate.reset()
    out = gate.process(spectra)
    np.testing.assert_array_equal(out, new.process(spectra))
    assert level_db(out) < level_db(spectra) - 8
    gate.learned = {}
    assert gate.learning
    assert gate.learned == {}


def test_a_floor_of_other_frames_is_refused() -> None:
    """A floor learned at another rate or n_fft, or one that is broken, is refused with both values, and changes
    nothing."""
    _, _, gate = gated(noise(3), start_up_s=1.0)
    other = NoiseGate(sample_rate=RATE, n_fft=1024, hop_length=160)
    with pytest.raises(ValueError, match=r"\(16000, 512, 400\), not \(16000, 1024, 1024\); learn it anew"):
        other.learned = gate.learned
    broken = gate.learned
    broken["mean_db"][3] = np.nan
    before = gate.learned
    with pytest.raises(ValueError, match="mean_db is not 257 finite numbers"):
        gate.learned = broken
    with pytest.raises(ValueError, match="std_db missing"):
        gate.learned = {name: array for name, array in gate.learned.items() if name != "std_db"}
    np.testing.assert_array_equal(gate.learned["mean_db"], before["mean_db"])


def test_an_adapting_floor_follows_and_a_still_one_stays() -> None:
    """After a step of 20 dB an adapting gate closes again within a few time constants; one that does not adapt stays
    open."""
    sound = np.concatenate((noise(4, 0.003), noise(16, 0.03, seed=1)))
    for adaptation_s, closes in ((2.0, True), (0.0, False)):
        before, after, _ = gated(sound, noise_profile=noise(3, 0.003, seed=2), adaptation_s=adaptation_s)
        end = slice(-200, None)
        assert (level_db(after[end]) < level_db(before[end]) - 6) is closes


def test_what_is_no_sound_teaches_nothing() -> None:
    """Non-finite frames and digital silence leave the floor finite, and as it would be without them."""
    power = np.abs(Pipeline([Slices(512, 160), Spectrum(512, 400)]).process(noise(2))) ** 2
    bad = power.copy()
    bad[10:20] = np.nan
    bad[30:40] = np.inf
    bad[50:60] = 0.0
    keep = np.r_[0:10, 20:30, 40:50, 60 : len(power)]
    with np.errstate(invalid="ignore"):
        gates = [NoiseGate(**FRAME, start_up_s=0.8, adaptation_s=5.0) for _ in range(2)]
        gates[0].process(bad)
        gates[1].process(power[keep])
        np.testing.assert_array_equal(gates[0].learned["mean_db"], gates[1].learned["mean_db"])
        assert np.isfinite(gates[0].learned["mean_db"]).all()
        # Once the smoothing has passed, nothing of it is left in the output either.
        assert np.isfinite(gates[0].process(power)).all()


def test_settings_change_while_running() -> None:
    """Sensitivity and reduction act from the next frame on; the gate's shape and its state stay."""
    spectra = Pipeline([Slices(512, 160), Spectrum(512, 400)]).process(noise(2, seed=1))
    gate = NoiseGate(**FRAME, noise_profile=noise(3), sensitivity=0.0, time_smoothing_ms=0.0)
    first = gate.process(spectra[:50])
    gate.sensitivity = 3.0
    second = gate.process(spectra[50:100])
    gate.reduction = 0.0
    third = gate.process(spectra[100:])
    assert level_db(first) - level_db(spectra[:50]) > -6
    assert level_db(second) - level_db(spectra[50:100]) < -15
    np.testing.assert_array_equal(third, spectra[100:])


def test_overlap_add_gives_the_sound_back() -> None:
    """Spectra that nobody touched come back as the sound, within float32, from sample `lead` on."""
    sound = noise(0.5, 0.1)
    for n_fft, hop, win in ((1024, 256, None), (512, 64, 400), (512, 256, None)):
        pipeline = Pipeline([Slices(n_fft, hop), Spectrum(n_fft, win), OverlapAdd(n_fft, hop, win)])
        out = pipeline.process(sound).reshape(-1)
        np.testing.assert_allclose(out, sound[pipeline.lead : pipeline.lead + len(out)], atol=1e-6)
        assert len(out) > 4000


def test_reduce_noise_keeps_length_and_place() -> None:
    """The delay is removed: a click comes out at its sample; any length goes in; the block size changes no bit."""
    sound = noise(0.7, 0.0005)[:11_111]
    sound[5_000] = 0.9
    out = reduce_noise(sound, RATE, noise=noise(2, 0.0005, seed=9), sensitivity=3.0)
    assert out.shape == sound.shape
    assert out.dtype == np.float32
    assert int(np.argmax(np.abs(out))) == 5_000
    for block in (1_000, 11):
        again = reduce_noise(sound, RATE, noise=noise(2, 0.0005, seed=9), sensitivity=3.0, block=block)
        np.testing.assert_array_equal(again, out)
    assert reduce_noise(sound[:700], RATE, noise=noise(2)).shape == (700,)


def test_a_profile_is_kept_in_a_file(tmp_path: Path) -> None:
    """A recorded noise is read back as it was, at another rate resampled, and gives the gate its floor."""
    path = tmp_path / "room.npz"
    save_profile(path, noise(2), RATE)
    np.testing.assert_array_equal(load_profile(path, RATE), noise(2))
    assert len(load_profile(path, 8_000)) == RATE
    gates = [NoiseGate(**FRAME, noise_profile=profile) for profile in (path, str(path), noise(2))]
    for gate in gates:
        assert not gate.learning
        np.testing.assert_array_equal(gate.learned["mean_db"], gates[2].learned["mean_db"])


def test_what_is_no_profile_is_named_and_refused(tmp_path: Path) -> None:
    """A missing or a broken profile is one line: its path, what it is not, and how to make one."""
    with pytest.raises(AudioError, match=r"none.npz: no such noise profile; make one with `auricle noise"):
        NoiseGate(**FRAME, noise_profile=tmp_path / "none.npz")
    for content in (b"", b"RIFFsomething", b"PK\x03\x04broken"):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(AudioError, match=r"bad.npz: not a noise profile; make one"):
            NoiseGate(**FRAME, noise_profile=tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", mean=np.zeros(3))
    with pytest.raises(AudioError, match=r"other.npz: not a noise profile"):
        NoiseGate(**FRAME, noise_profile=tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sensitivity": -1.0}, r"gate: sensitivity -1 cannot be; use 0 to 10"),
        ({"sensitivity": float("nan")}, r"gate: sensitivity nan cannot be"),
        ({"reduction": 1.5}, r"gate: reduction 1.5 cannot be; use 0 to 1"),
        ({"adaptation_s": -2.0}, r"gate: adaptation_s -2 cannot be; use 0 for none"),
        ({"start_up_s": float("inf")}, r"gate: start_up_s inf cannot be"),
        ({"time_smoothing_ms": -5.0}, r"gate: time_smoothing_ms -5 cannot be"),
        ({"frequency_smoothing_hz": 9000.0}, r"wider than the spectrum; use at most 8000"),
        ({"lookahead_frames": 6}, r"lookahead_frames 6 does not fit time_smoothing_ms 50; use 0 to 5"),
        ({"lookahead_frames": -1}, r"use 0 to 5"),
        ({"noise_profile": np.zeros(8000)}, r"digital silence; record the room"),
        ({"noise_profile": np.ones(10)}, r"a noise clip of shape \(10,\) cannot be; use one channel of at least 400"),
        ({"win_length": 600}, r"win_length 600 does not fit n_fft 512"),
    ],
)
def test_what_cannot_be_is_refused(params: dict[str, Any], message: str) -> None:
    """An impossible gate is refused when it is built, with the value and what to use instead."""
    with pytest.raises(ValueError, match=message):
        NoiseGate(**{**FRAME, **params})


def test_a_gate_that_nothing_passes_is_refused() -> None:
    """CQT features alone do not hear the gate, and a gate for other frames fits none: errors, not silence."""
    other = NoiseGate(sample_rate=RATE, n_fft=1024, hop_length=160)
    with pytest.raises(
        ValueError, match=r"the gate was built for .*n_fft=1024.*; build it for sample_rate 16000, n_fft 512"
    ):
        front_end(**FRAME, features=[{"kind": "mel", "n_mels": 40}], gate=other)
    with pytest.raises(ValueError, match="chroma_cqt does not pass through the gate; turn the gate off"):
        front_end(**FRAME, features=[{"kind": "chroma_cqt", "n_octaves": 5}], gate={})
    with pytest.raises(ValueError, match="n_fft 1024, win_length None of its own, but the gate works on frames of 512"):
        front_end(**FRAME, features=[{"kind": "chroma_stft", "n_fft": 1024}], gate={})


def test_overlap_add_refuses_lengths_that_do_not_fit() -> None:
    """Sound needs n_fft to be an even multiple of the hop."""
    with pytest.raises(ValueError, match="not 512 and 160; use a hop_length of 128"):
        OverlapAdd(512, 160)
