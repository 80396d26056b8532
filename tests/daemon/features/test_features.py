"""What the front end refuses, what it survives, and the forms in which features may be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from auricle.features import extract, faults, front_end, width
from auricle.gate import NoiseGate, gated_sound
from helpers import sounds

RATE = 16_000
FRAMES = {"sample_rate": RATE, "n_fft": 512, "win_length": 400, "hop_length": 160}


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"kind": "mell"}, r"unknown feature kind 'mell'; did you mean 'mel'\?"),
        ({"kind": "wavelet"}, r"unknown feature kind 'wavelet'; use mel, log_mel, pcen"),
        ({"kind": "mel", "n_mel": 3}, r"feature mel: unknown parameter 'n_mel'; did you mean 'n_mels'\?"),
        ({"kind": "mel", "fmin": 4000.0, "fmax": 300.0}, r"fmin 4000 is not below fmax 300; use 0 <= fmin < fmax"),
        ({"kind": "mel", "fmax": 9000.0}, r"fmax 9000 is above half the sample rate; use at most 8000"),
        ({"kind": "mel", "n_mels": 200}, r"of 200 hold no bin of 31.25 Hz; use fewer n_mels, an n_fft above 512"),
        ({"kind": "mel", "n_mels": 0}, r"n_mels 0 cannot be; use at least 1"),
        ({"kind": "mel", "norm": "l2"}, r"norm 'l2' of mel bands is not known; use slaney or none"),
        ({"kind": "mel", "n_mels": 40, "power": 0.0}, r"power 0 must be above 0; use 2 for power, 1 for magnitude"),
        ({"kind": "mel", "win_length": 600}, r"win_length 600 does not fit n_fft 512; use 1 to 512, or a longer n_fft"),
        ({"kind": "log_mel", "n_mels": 40, "amin": 0.0}, r"amin 0 is no power; use a number above 0"),
        ({"kind": "mfcc", "n_mels": 40, "n_mfcc": 41}, r"n_mfcc 41 does not fit n_mels 40; use 1 to 40"),
        ({"kind": "mfcc", "n_mels": 40, "dct_type": 4}, r"dct_type 4 of 40 items is not known; use 1, 2 or 3"),
        ({"kind": "mfcc", "n_mels": 40, "lifter": -1}, r"lifter -1 cannot be; use 0 for none"),
        ({"kind": "delta"}, r"feature delta: of is None; use the feature to take the slope of"),
        ({"kind": "delta", "of": {"kind": "mfcc", "n_mels": 40}, "width": 4}, r"width 4 has no middle; use an odd"),
        ({"kind": "pcen", "n_mels": 40, "eps": 0.0}, r"pcen: eps 0 cannot be; use more than 0"),
        ({"kind": "pcen", "n_mels": 40, "b": 2.0}, r"pcen: b 2 cannot be; use 0 to 1"),
        ({"kind": "chroma_stft", "norm": 3}, r"norm 3 is not known; use inf, 1, 2 or none"),
        ({"kind": "chroma_cqt", "n_octaves": 8}, r"above half the sample rate of 16000 Hz; use n_octaves 7"),
        ({"kind": "chroma_cqt", "fmin": 0.0}, r"cqt: fmin 0, .* cannot be; use an fmin above 0"),
        ({"kind": "chroma_cqt", "n_chroma": 7}, r"bins_per_octave 36 is no multiple of n_chroma 7; use 21"),
        ({"kind": "chroma_cens", "win_len_smooth": 40}, r"win_len_smooth 40 has no middle; use an odd number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_it_is_built(feature: dict[str, Any], message: str) -> None:
    """An impossible parameter is one line, with its value and what to use instead, before any sound is heard."""
    with pytest.raises(ValueError, match=message) as error:
        front_end(**FRAMES, features=[feature])
    assert "\n" not in str(error.value)


def test_all_that_is_wrong_with_features_is_found_at_once() -> None:
    """A parameter each, in the order in which the stages would refuse them; what hangs on one that is told is not told
    of its default."""
    wrong = {"kind": "mfcc", "n_mels": 64, "fmin": -5, "lifter": -1, "n_mfc": 3, "power": "x"}
    assert [place for place, _ in faults([{"kind": "mel", "n_mels": 40}, wrong], FRAMES)] == [
        "[1].power", "[1].n_mfc", "[1].fmin", "[1].lifter",
    ]  # fmt: skip
    # Without its fmin the lowest of 64 bands would hold no bin.
    assert [place for place, _ in faults([{"kind": "mel", "basis": "tf", "n_mels": 64, "fmin": 9000}], FRAMES)] == [
        "[0].fmin"
    ]
    assert list(faults([], FRAMES)) == [("", "no feature; use at least one, as [{kind: log_mel}]")]
    good = [{"kind": "mel", "n_mels": 40}, {"kind": "delta", "of": {"kind": "mfcc", "n_mels": 40}}]
    assert list(faults(good, FRAMES)) == list(faults(good, None)) == []
    assert width(good, FRAMES) == front_end(**FRAMES, features=good).n_features == 60


def test_features_beyond_all_measure_are_refused_soon() -> None:
    """Thousands of parameters, features in features in features, bands that would take gigabytes: some of it is
    told."""
    many = {"kind": "mel", "n_mels": 40, **{f"p{i}": i for i in range(5_000)}}
    assert [place for place, _ in faults([many], FRAMES)] == [f"[0].p{i}" for i in range(20)]
    deep: dict[str, Any] = {"kind": "mell"}
    for _ in range(3_000):
        deep = {"kind": "delta", "of": deep}
    ((place, said),) = faults([deep], FRAMES)
    assert place.startswith("[0].of.of")
    assert "cannot be built (RecursionError" in said
    ((place, said),) = faults([{"kind": "mel", "n_mels": 1_000_000}], FRAMES)
    assert (place, said) == ("[0].n_mels", "1000000 of an n_fft of 512 are too many; use at most 32640")


def test_octaves_that_are_offered_instead_do_fit() -> None:
    """The number of octaves that a refusal names is accepted, and the next one is not."""
    for rate in (8_000, 16_000, 44_100):
        with pytest.raises(ValueError, match="use n_octaves") as error:
            front_end(**{**FRAMES, "sample_rate": rate}, features=[{"kind": "chroma_cqt", "n_octaves": 12}])
        fit = int(str(error.value).rsplit(" ", 1)[1])
        front_end(**{**FRAMES, "sample_rate": rate}, features=[{"kind": "chroma_cqt", "n_octaves": fit}])
        with pytest.raises(ValueError, match=f"use n_octaves {fit}"):
            front_end(**{**FRAMES, "sample_rate": rate}, features=[{"kind": "chroma_cqt", "n_octaves": fit + 1}])


@pytest.mark.parametrize(
    "feature",
    [
        {"kind": "mfcc", "n_mels": 40},
        {"kind": "delta", "of": {"kind": "log_mel", "n_mels": 40}},
        {"kind": "pcen", "n_mels": 40},
        {"kind": "chroma_stft"},
        {"kind": "chroma_cens", "fmin": 220.0, "n_octaves": 4, "win_len_smooth": 9},
    ],
    ids=lambda feature: feature["kind"],
)
def test_samples_that_are_no_numbers_pass(feature: dict[str, Any]) -> None:
    """NaN and infinity spoil the rows whose frames hold them and nothing after: no state keeps them."""
    sound = sounds.varied(3.0)
    sound[20_000:20_010] = [np.nan, np.inf, -np.inf] * 3 + [np.nan]
    gate = None if feature["kind"] == "chroma_cens" else {"start_up_s": 0.5, "adaptation_s": 5.0, "lookahead_frames": 2}
    pipeline = front_end(**FRAMES, features=[feature], gate=gate)
    with np.errstate(invalid="ignore", over="ignore"):
        rows = np.concatenate([pipeline.process(sound[i : i + 1600]) for i in range(0, len(sound), 1600)])
    # Row k hears the samples from k * 160 on, as many as the span.
    spoilt = slice((20_000 - pipeline.span) // 160 + 1, 20_010 // 160 + 1)
    assert len(rows) > spoilt.stop + 20
    assert np.isfinite(rows[: spoilt.start]).all()
    assert np.isfinite(rows[spoilt.stop :]).all()


def test_features_may_be_asked_for_by_name_mapping_or_list() -> None:
    """The three forms give the same rows; a sound shorter than a frame gives none, of the right width."""
    sound = sounds.varied(0.5)
    frames = {"n_fft": 512, "hop_length": 160}
    by_name = extract(sound, RATE, "mfcc", n_mels=40, **frames)
    by_mapping = extract(sound, RATE, {"kind": "mfcc", "n_mels": 40}, **frames)
    in_list = extract(sound, RATE, [{"kind": "mfcc", "n_mels": 40}], **frames)
    np.testing.assert_array_equal(by_name, by_mapping)
    np.testing.assert_array_equal(by_name, in_list)
    assert by_name.dtype == np.float32
    assert extract(sound[:100], RATE, "mfcc", n_mels=40, **frames).shape == (0, 20)
    with pytest.raises(ValueError, match="n_mels beside mappings; put a feature's parameters into its mapping"):
        extract(sound, RATE, ["mel"], n_mels=40)
    with pytest.raises(ValueError, match=r"one channel of shape \(n,\), not \(2, 4000\); mix it down first"):
        extract(sound.reshape(2, -1), RATE, "mel")
    with pytest.raises(ValueError, match="block 0 cannot be"):
        extract(sound, RATE, "mel", block=0)


def test_a_gate_hands_on_sound() -> None:
    """Gated sound for what takes waveforms: rows of a hop, in place, and the same in blocks."""
    room = (0.01 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)
    lengths = {"n_fft": 512, "hop_length": 128}

    def pipeline() -> Any:
        return gated_sound(NoiseGate(sample_rate=RATE, noise_profile=room, **lengths), **lengths)

    sound = sounds.varied(1.0)
    whole = pipeline()
    rows = whole.process(sound)
    assert rows.shape == ((len(sound) - whole.span) // 128 + 1, 128)
    assert whole.lead % 128 == 0
    parts = pipeline()
    in_parts = [parts.process(sound[i : i + 77]) for i in range(0, len(sound), 77)]
    np.testing.assert_array_equal(rows, np.concatenate(in_parts))
    loud = np.abs(sound[whole.lead : whole.lead + rows.size]) > 0.3
    assert np.corrcoef(rows.reshape(-1)[loud], sound[whole.lead : whole.lead + rows.size][loud])[0, 1] > 0.98
