"""The features equal librosa's, on real clips and on sounds made by code. One module, so that librosa compiles once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from auricle.features import extract, front_end, wavelets
from auricle.features.cens import ChromaCens
from auricle.features.pcen import Pcen
from auricle.stages import filters
from helpers import sounds

RATE = 22_050

CLIPS = (
    "esc10/baby_cry/4-59579-A.ogg", "esc10/chainsaw/4-165823-A.ogg", "esc10/clock_tick/4-181035-A.ogg",
    "esc10/fire_crackling/*", "esc10/dog_bark/4-182395-A.ogg", "esc10/rain/3-142005-A.ogg", "esc10/rooster/*",
    "ambient/moodist-places-church.ogg", "ambient/moodist-places-cafe.ogg", "fsdd/7_*",
)  # fmt: skip


def read(path: Path, seconds: float = 8.0) -> NDArray[np.float32]:
    """Mono sound at RATE."""
    y, rate = soundfile.read(
        path, dtype="float32", always_2d=True, frames=int(seconds * soundfile.info(path).samplerate)
    )
    return np.asarray(soxr.resample(y.mean(axis=1), rate, RATE), np.float32)


@pytest.fixture(scope="module")
def clips(data: Path) -> list[NDArray[np.float32]]:
    """The fixed list of real clips."""
    return [read(sorted(data.glob(pattern))[0]) for pattern in CLIPS]


def made() -> list[NDArray[np.float32]]:
    """Sounds made by code: of changing level, and a chord that swells and fades over 60 dB."""
    time = np.arange(6 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (110.0, 138.6, 164.8, 329.6, 1318.5))
    swell = 10.0 ** (-3.0 * np.abs(np.sin(0.7 * time)))
    noise = 1e-4 * np.random.default_rng(4).standard_normal(len(time))
    return [sounds.varied(3.0, rate=RATE, seed=2), (0.1 * chord * swell + noise).astype(np.float32)]


def mel(y: NDArray[np.float32], **params: Any) -> NDArray[np.float32]:
    """librosa's mel spectrum without centring, bands by frames."""
    return np.asarray(librosa.feature.melspectrogram(y=y, sr=RATE, center=False, **params))


MELS: list[dict[str, Any]] = [
    {},
    {"n_fft": 1024, "win_length": 800, "hop_length": 220, "n_mels": 64},
    {"n_fft": 1024, "hop_length": 256, "n_mels": 40, "htk": True, "norm": None, "fmin": 50.0, "fmax": 8000.0},
    {"power": 1.0, "n_mels": 80},
]


def check_mel(y: NDArray[np.float32], params: dict[str, Any]) -> None:
    """1e-4 relative down to 60 dB under the clip's peak, 3e-4 to 80 dB."""
    reference = mel(y, **params).T
    ours = extract(y, RATE, "mel", **params)
    assert ours.shape == reference.shape
    exponent = params.get("power", 2.0) / 2.0
    for down_db, bound in ((60, 1e-4), (80, 3e-4)):
        loud = reference > reference.max() * 10.0 ** (-down_db / 10.0 * exponent)
        np.testing.assert_allclose(ours[loud], reference[loud], rtol=bound)


def check_cepstra(y: NDArray[np.float32]) -> None:
    """MFCC and slopes within 1e-2 of librosa's without top_db, log-mel within 3e-3 dB down to 80 dB."""
    level = librosa.power_to_db(mel(y), top_db=None)
    loud = level.max() < level.T + 80
    np.testing.assert_allclose(extract(y, RATE, "log_mel")[loud], level.T[loud], atol=3e-3)
    for params in (
        {}, {"n_mfcc": 13, "dct_type": 3}, {"norm": None, "lifter": 22}, {"dct_type": 1, "norm": None}, {"dct_type": 1}
    ):  # fmt: skip
        reference = librosa.feature.mfcc(S=level, **params).T
        # Without orthonormal scaling the values reach tens of thousands, and float32 its seventh digit.
        bound = 1e-2 if params.get("norm", "ortho") else 1e-4 * np.abs(reference).max()
        np.testing.assert_allclose(extract(y, RATE, {"kind": "mfcc", **params}), reference, atol=bound)
    cepstra = librosa.feature.mfcc(S=level)
    for order, width in ((1, 9), (2, 11)):
        delta = extract(y, RATE, {"kind": "delta", "of": {"kind": "mfcc"}, "order": order, "width": width})
        reference = librosa.feature.delta(cepstra, order=order, width=width).T[width // 2 : -(width // 2)]
        np.testing.assert_allclose(delta, reference, atol=1e-2)


def check_pcen(y: NDArray[np.float32]) -> None:
    """PCEN within 1e-4, from librosa's initial state on: of equal rows, and of sound down to 60 dB under its peak."""
    magnitude = mel(y, power=1.0) * 2.0**31
    loud = 1e-3 * magnitude.max() < magnitude.T
    for params in ({}, {"power": 0.0}, {"bias": 0.0}, {"time_constant": 0.06}):
        with np.errstate(divide="ignore"):
            reference = librosa.pcen(magnitude, sr=RATE, **params).T
        ours = extract(y, RATE, {"kind": "pcen", **params})
        np.testing.assert_allclose(ours[loud], reference[loud], atol=1e-4, rtol=0)
        of_equal_rows = Pcen(sample_rate=RATE, hop_length=512, scale=1.0, **params).process(magnitude.T)
        np.testing.assert_allclose(of_equal_rows, reference, atol=1e-6, rtol=1e-6)


def check_chroma(y: NDArray[np.float32]) -> None:
    """chroma_stft within 1e-3 at the same tuning, of the whole when not normalised."""
    for params in ({"tuning": 0.0}, {"tuning": 0.2, "norm": 2}, {"tuning": -0.1, "norm": None, "n_chroma": 24}):
        reference = librosa.feature.chroma_stft(y=y, sr=RATE, center=False, **params).T
        ours = extract(y, RATE, {"kind": "chroma_stft", **params})
        scale = 1.0 if params.get("norm", np.inf) is not None else reference.max()
        np.testing.assert_allclose(ours / scale, reference / scale, atol=1e-3)


@pytest.mark.parametrize("params", MELS, ids=str)
def test_mel_on_sounds_made_by_code(params: dict[str, Any]) -> None:
    """Mel spectra equal librosa's in their stated bound."""
    for y in made():
        check_mel(y, params)


@pytest.mark.parametrize("params", MELS, ids=str)
def test_mel_on_real_clips(clips: list[NDArray[np.float32]], params: dict[str, Any]) -> None:
    """Mel spectra equal librosa's in their stated bound."""
    for y in clips:
        check_mel(y, params)


@pytest.mark.parametrize("check", [check_cepstra, check_pcen, check_chroma])
def test_features_on_sounds_made_by_code(check: Any) -> None:
    """Log-mel, MFCC, slopes, PCEN and chroma equal librosa's in their stated bounds."""
    for y in made():
        check(y)


@pytest.mark.parametrize("check", [check_cepstra, check_pcen, check_chroma])
def test_features_on_real_clips(clips: list[NDArray[np.float32]], check: Any) -> None:
    """Log-mel, MFCC, slopes, PCEN and chroma equal librosa's in their stated bounds."""
    for y in clips:
        check(y)


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Cosine similarity row by row."""
    return np.asarray((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)))


def cqt_cosines(y: NDArray[np.float32], **params: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Similarity to librosa of chroma_cqt and of CENS, on the frames that lie inside the clip and hold sound."""
    hop = params.setdefault("hop_length", 512)
    features = {name: value for name, value in params.items() if name != "hop_length"}
    pipeline = front_end(
        sample_rate=RATE, n_fft=2048, hop_length=hop, features=[{"kind": "chroma_cqt", "norm": None, **features}]
    )
    assert pipeline.lead % hop == 0
    first = pipeline.lead // hop
    ours = pipeline.process(y)
    raw = librosa.feature.chroma_cqt(y=y, sr=RATE, norm=None, **{"tuning": 0.0, **params}).T
    sound = raw.max(axis=1) > raw.max() * 1e-3
    # The kernels of the last frames inside the clip end with it: our rows are exactly those.
    reference, heard = raw[first : first + len(ours)], sound[first : first + len(ours)]
    assert abs(ours[heard].sum() / reference[heard].sum() - 1.0) < 0.03
    cens = librosa.feature.chroma_cens(y=y, sr=RATE, **{"tuning": 0.0, **params}).T
    smooth = ChromaCens().process(ours)
    middle = slice(first + 20, first + 20 + len(smooth))
    still_heard = heard[20 : 20 + len(smooth)]
    return cosines(ours[heard], reference[heard]), cosines(smooth[still_heard], cens[middle][still_heard])


def check_cqt(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> None:
    """At least 0.995 in 99 % of the pooled frames, of chroma and of CENS."""
    for pooled in map(np.concatenate, zip(*pairs, strict=True)):
        assert len(pooled) > 100
        assert np.mean(pooled >= 0.995) >= 0.99


def test_chroma_cqt_and_cens_on_real_clips(clips: list[NDArray[np.float32]]) -> None:
    """chroma_cqt and CENS agree with librosa's in direction, frame by frame, with librosa's defaults."""
    check_cqt([cqt_cosines(y) for y in clips if len(y) > 5 * RATE // 2])


@pytest.mark.parametrize(
    "params",
    [{"tuning": 0.3}, {"fmin": 65.4, "n_octaves": 6, "bins_per_octave": 24}, {"hop_length": 441, "n_octaves": 8}],
    ids=str,
)
def test_chroma_cqt_on_a_chord(params: dict[str, Any]) -> None:
    """The agreement holds at another tuning, range, resolution, up to the rate's half, and at a hop without factors of
    two."""
    noise = 0.01 * np.random.default_rng(1).standard_normal(6 * RATE).astype(np.float32)
    check_cqt([cqt_cosines(made()[1] + noise, **params)])


def test_filter_banks_equal_librosas() -> None:
    """Mel (Slaney, HTK), cosine transform, chroma and the folding of the CQT equal librosa's and scipy's, entry by
    entry."""
    from scipy.fft import dct
    from scipy.signal import savgol_coeffs

    for params in ({"htk": False, "norm": "slaney"}, {"htk": True, "norm": None}):
        for rate, n_fft, n_mels, fmin in ((16_000, 512, 64, 60.0), (22_050, 2048, 128, 0.0)):
            reference = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, **params)
            ours = filters.mel(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, **params)
            np.testing.assert_allclose(ours, reference, atol=1e-7)
    for kind in (1, 2, 3):
        for norm in ("ortho", None):
            np.testing.assert_allclose(
                filters.dct(20, dct_type=kind, norm=norm), dct(np.eye(20), kind, norm=norm).T, atol=1e-12
            )
    for tuning, n_chroma, base_c in ((0.0, 12, True), (0.3, 24, False)):
        reference = librosa.filters.chroma(sr=RATE, n_fft=2048, tuning=tuning, n_chroma=n_chroma, base_c=base_c)
        ours = filters.chroma(sample_rate=RATE, n_fft=2048, tuning=tuning, n_chroma=n_chroma, base_c=base_c)
        np.testing.assert_allclose(ours, reference, atol=1e-6)
    for bins, fmin in ((36, None), (12, 55.0), (24, 65.4)):
        reference = librosa.filters.cq_to_chroma(7 * bins, bins_per_octave=bins, fmin=fmin)
        ours = wavelets.fold(7 * bins, bins_per_octave=bins, n_chroma=12, fmin=fmin or wavelets.C1_HZ)
        np.testing.assert_array_equal(ours, reference)
    for width, order in ((9, 1), (11, 2)):
        reference = savgol_coeffs(width, order, deriv=order, use="dot")
        np.testing.assert_allclose(filters.savgol(width, order), reference, atol=1e-12)


def test_cqt_kernels_equal_librosas() -> None:
    """The kernels are librosa's wavelets, centred alike, and reach as high as librosa says."""
    frequencies = 440.0 * 2.0 ** (np.arange(12) / 12)
    q = wavelets.quality(12)
    reference, lengths = librosa.filters.wavelet(freqs=frequencies, sr=RATE, pad_fft=False)
    bank = wavelets.kernels(frequencies / RATE, q)
    ours = (bank[:, :12] + 1j * bank[:, 12:]).T
    np.testing.assert_allclose(q * RATE / frequencies, lengths, rtol=1e-9)
    shift = ours.shape[1] // 2 - reference.shape[1] // 2
    for mine, theirs in zip(ours, reference, strict=True):
        padded = np.zeros(len(mine), complex)
        padded[shift : shift + len(theirs)] = theirs
        # The padding of an odd length falls on either side: one sample.
        assert max(np.abs(np.vdot(np.roll(padded, k), mine)) / np.vdot(mine, mine).real for k in (-1, 0, 1)) > 0.99999
    _, cutoff = librosa.filters.wavelet_lengths(freqs=frequencies, sr=RATE)
    assert abs(wavelets.cutoff(float(frequencies[-1]), 12) - cutoff) < 1e-3


def test_the_half_band_filter_is_what_it_says() -> None:
    """Flat within 0.002 dB to a fifth of the rate, 78 dB down from three tenths."""
    gain = np.abs(np.fft.rfft(wavelets.halfband(), 4096))
    at = np.fft.rfftfreq(4096)
    assert np.abs(20 * np.log10(gain[at <= 0.2])).max() < 0.002
    assert 20 * np.log10(gain[at >= 0.3]).max() < -78
