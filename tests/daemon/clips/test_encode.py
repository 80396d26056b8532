"""A clip's file holds the sound to the sample, or says that it does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from auricle.clips.encode import MAX_FLAC_HZ, Facts, NoRate, encode
from auricle.clips.past import Cut, Run
from helpers.sounds import RATE, varied


def cut(*blocks: NDArray[np.float32], rate: int = RATE) -> Cut:
    """These blocks, one after the other."""
    starts = np.cumsum([1000, *map(len, blocks)])
    return Cut(rate, [Run(int(start), block) for start, block in zip(starts, blocks, strict=False)])


def read(content: bytes, dtype: str) -> tuple[NDArray[np.generic], soundfile.SoundFile]:
    file = soundfile.SoundFile(io.BytesIO(content))
    return file.read(dtype=dtype), file


@pytest.mark.parametrize("rate", [1000, 8000, 16_000, 44_100, 48_000, 192_000, 384_000, MAX_FLAC_HZ])
def test_16_bits_are_kept_to_the_bit(rate: int) -> None:
    """Every value that 16 bits have, extremes too, at any rate that FLAC has, comes back as it was."""
    words = np.random.default_rng(0).integers(-(2**15), 2**15, 3 * rate // 2, dtype=np.int16)
    words[:2] = -(2**15), 2**15 - 1
    sound = words.astype(np.float32) / 2**15
    content, facts = encode(cut(sound[:777], sound[777:], rate=rate), "flac", lambda facts: "said")
    found, file = read(content, "int16")
    np.testing.assert_array_equal(found, words)
    assert (file.samplerate, file.subtype, file.comment) == (rate, "PCM_16", "said")
    assert facts == Facts(rate, len(words), exact=True)


def test_24_bits_are_kept_to_the_bit() -> None:
    """So are samples of 24 bits, and the means of two channels of 16."""
    words = np.random.default_rng(0).integers(-(2**23), 2**23, 20_000, dtype=np.int32)
    stereo = np.random.default_rng(1).integers(-(2**15), 2**15, (20_000, 2)).astype(np.float32) / 2**15
    for sound in ((words / 2**23).astype(np.float32), (stereo[:, 0] + stereo[:, 1]) / np.float32(2)):
        content, facts = encode(cut(sound), "flac", lambda facts: "")
        found, file = read(content, "float32")
        np.testing.assert_array_equal(found, sound)
        assert (file.subtype, facts.exact) == ("PCM_24", True)


def test_what_flac_cannot_hold_is_said() -> None:
    """Finer sound is right to half a step of 24 bits, louder sound is clipped, and neither is said to be exact."""
    fine = varied(1.0)
    fine[5] = 1e-9
    loud = np.concatenate((fine, [1.5, -3.0])).astype(np.float32)
    content, facts = encode(cut(loud), "flac", lambda facts: "")
    found, _ = read(content, "float64")
    assert not facts.exact
    np.testing.assert_allclose(found[:-2], np.clip(loud[:-2], -1, 1), atol=2**-23)
    assert found[-2:].tolist() == [1 - 2**-23, -1]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_opus_is_at_48_khz_and_lossy(rate: int) -> None:
    """Opus says its rate and that it is not exact; a tone of 1 kHz is there, as long as it was and where it was."""
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    sound = np.concatenate((np.zeros(rate), tone)).astype(np.float32)
    content, facts = encode(cut(sound, rate=rate), "opus", lambda facts: str(facts.samples))
    found, file = read(content, "float32")
    assert facts == Facts(48_000, len(found), exact=False)
    assert (file.format, file.subtype, file.comment) == ("OGG", "OPUS", str(len(found)))
    assert abs(len(found) - 3 * 48_000) <= 1
    assert np.abs(found[: 48_000 - 2400]).max() < 0.01
    spectrum = np.abs(np.fft.rfft(found[60_000:130_000] * np.hanning(70_000)))
    assert abs(spectrum.argmax() * 48_000 / 70_000 - 1000) < 1
    assert np.sqrt(np.mean(found[60_000:130_000] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.03)


def test_a_rate_that_flac_does_not_have_is_refused() -> None:
    """Beyond FLAC's highest rate there is an error of our own; Opus takes it."""
    sound = cut(varied(0.2, rate=700_000), rate=700_000)
    with pytest.raises(NoRate, match="700000 Hz"):
        encode(sound, "flac", lambda facts: "")
    assert encode(sound, "opus", lambda facts: "")[1].samples == pytest.approx(9600, abs=1)


def test_gaps_are_silence() -> None:
    """What was not heard between two runs is zeros of the same length."""
    sound = Cut(RATE, [Run(0, np.full(10, 0.5, np.float32)), Run(40, np.full(5, 0.25, np.float32))])
    content, facts = encode(sound, "flac", lambda facts: "")
    assert read(content, "float32")[0].tolist() == [0.5] * 10 + [0.0] * 30 + [0.25] * 5
    assert facts.samples == 45
