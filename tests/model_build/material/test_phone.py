"""Scenes as phones record them: dull, driven and coded, and the truth still fits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from auricle.errors import ConfigError
from auricle.judge import truth
from auricle_build.cli import app
from auricle_build.grammar.material import Variant
from auricle_build.material import codec as opus
from auricle_build.material import phone, sound
from auricle_build.material.sound import Sound

RATE = 16000


@pytest.fixture
def codec(require: Callable[[bool, str], None]) -> None:
    """ffmpeg."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")


def bursts(seconds: float = 4.0) -> Sound:
    """Noise of 300 to 3,000 Hz, a quarter of a second on and a quarter off."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    noise = np.fft.irfft(spectrum * ((hz > 300) & (hz < 3000)), n)
    return np.asarray(0.1 * noise * (np.arange(n) // (RATE // 4) % 2), np.float32)


def late(sound: Sound, before: Sound) -> int:
    """Samples by which a sound is most like one before it."""
    size = 2 * len(before)
    likeness = np.fft.irfft(np.conj(np.fft.rfft(before, size)) * np.fft.rfft(sound, size))
    at = int(likeness.argmax())
    return at - size if at > len(before) else at


@pytest.mark.usefixtures("codec")
def test_the_codec_delays_nothing() -> None:
    """What comes out is as long as what went in, in its place to half a millisecond, and no copy of it."""
    given = bursts()
    heard = opus.coded(given, RATE, phone.BITS)
    assert heard.shape == given.shape
    assert abs(late(heard, given)) <= 8
    likeness = float(np.corrcoef(heard, given)[0, 1])
    assert 0.5 < likeness < 0.99


@pytest.mark.usefixtures("codec")
def test_a_variant_of_a_recipe_may_be_coded() -> None:
    """The codec comes after the band and the limiter, and the variant's rows are cached under its rate."""
    variant = Variant(overdriven_db=6.0, opus_bps=16000)
    expected = opus.coded(sound.overdriven(bursts(), 6.0), RATE, 16000)
    np.testing.assert_array_equal(sound.vary(bursts(), variant, 1, RATE), expected)
    assert variant.said() == {"overdriven_db": 6.0, "opus_bps": 16000}


def test_without_ffmpeg_a_coded_variant_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lacks is named, with how to get it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"^ffmpeg, which has the Opus codec, is not there; install it"):
        sound.vary(bursts(), Variant(opus_bps=16000), 1, RATE)


def test_a_phone_is_dull_and_driven() -> None:
    """Beyond its band hardly anything is left, loud and soft come nearer, and the direct sound stays where it was."""
    given = np.zeros(2 * RATE, np.float32)
    given[RATE // 2 : RATE] = 0.02 * np.random.default_rng(1).standard_normal(RATE // 2)
    given[RATE:] = 0.2 * np.random.default_rng(2).standard_normal(RATE)
    heard = phone.picked_up(given, np.random.default_rng(0), RATE)
    assert heard.shape == given.shape
    assert np.abs(heard).max() <= phone.LOUDEST + 1e-6
    power = np.square(np.abs(np.fft.rfft(heard.astype(np.float64))))
    hz = np.fft.rfftfreq(len(heard), 1 / RATE)
    inside = power[(hz > 500) & (hz < 4000)].mean()
    # A limiter makes overtones, some of them outside.
    assert power[hz > 7600].mean() < 0.05 * inside
    assert power[(hz > 10) & (hz < 80)].mean() < 0.05 * inside

    def level(sound: Sound, first: float, last: float) -> float:
        return float(np.sqrt(np.mean(np.square(sound[round(first * RATE) : round(last * RATE)], dtype=np.float64))))

    assert level(heard, 0.3, 0.495) < 0.01 * level(heard, 0.6, 1.0), "before the sound there is none"

    def contrast(sound: Sound) -> float:
        return level(sound, 1.2, 2.0) / level(sound, 0.6, 1.0)

    phones = [phone.picked_up(given, np.random.default_rng(seed), RATE) for seed in range(6)]
    assert np.mean([contrast(each) for each in phones]) < 0.9 * contrast(given)
    again = phone.picked_up(given, np.random.default_rng(0), RATE)
    np.testing.assert_array_equal(heard, again)
    assert not np.array_equal(heard, phone.picked_up(given, np.random.default_rng(1), RATE))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe with a beep, a foreign sound and places."""
    (tmp_path / "data" / "places").mkdir(parents=True)
    t = np.arange(RATE) / RATE
    soundfile.write(tmp_path / "data" / "1-1-0.wav", 0.3 * np.sin(2 * np.pi * 1000.0 * t), RATE)
    soundfile.write(tmp_path / "data" / "1-2-0.wav", 0.1 * np.random.default_rng(99).standard_normal(RATE), RATE)
    (tmp_path / "data" / "t.csv").write_text("file,fold,label\n1-1-0.wav,1,beep\n1-2-0.wav,1,foreign\n")
    for i in range(10):
        noise = 0.03 * np.random.default_rng(i).standard_normal(3 * RATE)
        soundfile.write(tmp_path / "data" / "places" / f"p{i}.wav", noise, RATE, subtype="FLOAT")
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "name: mini\nlabels: [beep, background]\nbackground: background\nseed: 1\n"
        "front_end: {sample_rate: 16000, n_fft: 512, hop_length: 160, features: [{kind: log_mel, n_mels: 8}]}\n"
        f"data:\n  root: {tmp_path}/data\n  held_out: [1, 2, 3, 4, 5]\n  sets:\n"
        "    - {name: clips, reader: table, path: t.csv, licence: x, source: y}\n"
        "    - {name: ambient, reader: folders, path: places, licence: x, source: y}\n"
        "network: {columns: 4, layers: [[conv, [4, 8], [2, 1], 4]]}\n"
        "schedule: {steps: 10, check_every: 10, learning_rate: 0.001}\n"
    )
    return file


@pytest.mark.usefixtures("codec")
def test_everything_is_written_through_a_phone(recipe: Path, tmp_path: Path) -> None:
    """Scenes and negatives; the beep is louder than what is around it where the truth says that it is, to 40 ms."""
    out = tmp_path / "out"
    arguments = ["scenes", str(recipe), "--out", str(out), "--minutes", "0.3", "--every", "6", "--snr", "25", "25"]
    result = CliRunner().invoke(app, [*arguments, "--negatives", "--phone"])
    assert result.exit_code == 0, result.output
    (path,) = out.glob("*.flac")
    sound, _ = soundfile.read(path, dtype="float32")
    step = RATE // 50
    hz = np.fft.rfftfreq(2 * step, 1 / RATE)
    beep = np.asarray(
        [
            np.abs(np.fft.rfft(sound[i : i + 2 * step] * np.hanning(2 * step)))[np.abs(hz - 1000) < 60].sum()
            for i in range(0, len(sound) - 2 * step, step)
        ]
    )
    events = truth.read(path.with_suffix(".txt"))
    assert events
    for event in events:
        first, last = round(event.onset_s / 0.02), round(event.offset_s / 0.02)
        middle = float(np.median(beep[first + 2 : last - 2]))
        assert beep[first - 5 : first - 2].max() < 0.4 * middle
        assert beep[first + 2 : first + 6].min() > 0.4 * middle
    negatives = sorted((out / "negatives").glob("*.flac"))
    assert [path.stem for path in negatives] == ["foreign", *sorted(f"p{i}" for i in range(10))]
    for path in negatives:  # white noise before
        sound, _ = soundfile.read(path, dtype="float32")
        power = np.square(np.abs(np.fft.rfft(sound)))
        hz = np.fft.rfftfreq(len(sound), 1 / RATE)
        assert power[hz < 50].mean() < 0.2 * power[(hz > 400) & (hz < 4000)].mean()


def test_without_the_codec_nothing_is_written(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing ffmpeg is one line with the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["scenes", str(recipe), "--out", str(tmp_path / "out"), "--phone"])
    assert isinstance(result.exception, ConfigError)
    (line,) = result.exception.lines()
    assert "--phone needs ffmpeg" in line
    assert "apt-get install ffmpeg" in line
    assert not (tmp_path / "out").exists()
