"""`auricle features` and `auricle noise`: what they write, and what they refuse in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from auricle.commands.cli import app
from auricle.commands.features import command as features_file
from auricle.commands.noise import command as noise_command
from auricle.commands.noise import noise_of_file, record_noise
from auricle.errors import AudioError, AuricleError, UsageError
from auricle.features import extract
from auricle.gate import NoiseGate
from auricle.gate.noise import load_profile
from helpers import sounds


def test_features_are_written_with_their_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file holds what `extract` gives, and when each row is."""
    sound = sounds.varied(2.0)
    wav = sounds.write(tmp_path / "a.wav", sound, subtype="FLOAT")
    features_file(
        str(wav), ["mfcc", "log_mel"], out=tmp_path / "a.npz", params=["mfcc.n_mfcc=13", "log_mel.n_mels=40"],
        n_fft=1024, hop_length=160,
    )  # fmt: skip
    with np.load(tmp_path / "a.npz") as file:
        rows = file["features"]
        expected = extract(
            sound,
            16_000,
            [{"kind": "mfcc", "n_mfcc": 13}, {"kind": "log_mel", "n_mels": 40}],
            n_fft=1024,
            hop_length=160,
        )
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(file["time_s"][:2], [512 / 16_000, 672 / 16_000])
        assert list(file["columns"][[0, 12, 13]]) == ["mfcc[0]", "mfcc[12]", "log_mel[0]"]
        assert json.loads(str(file["settings"]))["features"][1] == {"kind": "log_mel", "n_mels": 40}
    line = f"{wav}: {len(rows)} frames of 53 (mfcc, log_mel) at 16000 Hz -> {tmp_path / 'a.npz'}\n"
    assert capsys.readouterr().out == line


def test_frames_are_as_told(tmp_path: Path) -> None:
    """Pre-emphasis, taper and alignment are those of `extract`, and stand in the file's settings."""
    sound = sounds.varied(1.0)
    wav = sounds.write(tmp_path / "a.wav", sound, subtype="FLOAT")
    frames = {"n_fft": 512, "win_length": 400, "pre_emphasis": 0.97, "taper": "hamming_symmetric", "align": "start"}
    frames["remove_dc"] = True
    bands = ["basis=kaldi", "n_mels=40", "keep=30", "offset=1.0e-5", "natural=true"]
    features_file(str(wav), ["log_mel"], out=tmp_path / "a.npz", params=bands, hop_length=160, **frames)
    feature = {"kind": "log_mel", "basis": "kaldi", "n_mels": 40, "keep": 30, "offset": 1e-5, "natural": True}
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["features"], extract(sound, 16_000, feature, hop_length=160, **frames))
        assert json.loads(str(file["settings"])) == {**frames, "features": [feature]}
        assert file["time_s"][0] == 201 / 16_000


def test_one_channel_is_computed(tmp_path: Path) -> None:
    """The features of one channel are those of its sound alone."""
    sound = sounds.varied(1.0)
    wav = sounds.write(tmp_path / "a.wav", np.stack([-sound, sound], 1), subtype="FLOAT")
    features_file(str(wav), ["log_mel"], out=tmp_path / "a.npz", channel="2")
    with np.load(tmp_path / "a.npz") as file:
        expected = extract(sound, 16_000, {"kind": "log_mel"}, n_fft=2048, hop_length=512)
        np.testing.assert_array_equal(file["features"], expected)
    with pytest.raises(AudioError, match="has no channel 3"):
        features_file(str(wav), ["log_mel"], out=tmp_path / "a.npz", channel="3")


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    """A PNG with one panel a kind; features of a gated, resampled sound too."""
    pytest.importorskip("matplotlib")
    wav = sounds.write(tmp_path / "a.wav", sounds.varied(1.5))
    noise_of_file(str(wav), out=tmp_path / "room.npz")
    plot = tmp_path / "a.png"
    features_file(
        str(wav), ["chroma_stft", "mel"], plot=plot, sample_rate=22_050, params=["mel.norm=none"],
        noise_profile=tmp_path / "room.npz",
    )  # fmt: skip
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kinds", "params", "message"),
    [
        (["mfc"], [], r"--kind mfc: not known; use mel, log_mel"),
        (["mfcc"], ["n_mfcc"], r"--set n_mfcc: no value; use name=value"),
        (["mfcc"], ["n_mffc=3"], r"feature mfcc: unknown parameter 'n_mffc'; did you mean 'n_mfcc'\?"),
        (["mfcc", "mel"], ["n_mfcc=3"], r"of which kind\? use mfcc.n_mfcc=3"),
        (["mel"], ["pcen.gain=1"], r"there is no --kind pcen"),
        (["mel"], ["fmin=9000"], r"fmin 9000 is not below fmax 8000; use 0 <= fmin < fmax <= 8000"),
        (["mel"], ["n_mels=900"], r"of 900 hold no bin of 7.8125 Hz; use fewer n_mels, an n_fft above 2048"),
        (["chroma_cqt"], ["n_octaves=9"], r"above half the sample rate of 16000 Hz; use n_octaves 7"),
    ],
)
def test_what_cannot_be_computed_is_refused(tmp_path: Path, kinds: list[str], params: list[str], message: str) -> None:
    """A kind or parameter that cannot be is one line, with the value and the remedy; nothing is written."""
    wav = sounds.write(tmp_path / "a.wav", sounds.varied(1.0))
    with pytest.raises(UsageError, match=message):
        features_file(str(wav), kinds, out=tmp_path / "a.npz", params=params)
    assert not (tmp_path / "a.npz").exists()


def test_sound_that_is_too_short_and_places_that_are_not(tmp_path: Path) -> None:
    """A sound shorter than a row, a missing file, a folder that is not there: each is named."""
    wav = sounds.write(tmp_path / "a.wav", sounds.varied(0.1))
    with pytest.raises(UsageError, match=r"0.10 s are shorter than one row, which needs 0.13 s"):
        features_file(str(wav), ["mel"], out=tmp_path / "a.npz")
    with pytest.raises(AudioError, match=r"none.wav: No such file"):
        features_file(str(tmp_path / "none.wav"), ["mel"], out=tmp_path / "a.npz")
    with pytest.raises(AuricleError, match=r"gone/a.npz: No such file or directory"):
        features_file(str(wav), ["mel"], out=tmp_path / "gone" / "a.npz", n_fft=512)
    with pytest.raises(UsageError, match=r"nothing to write; use --out"):
        features_file(str(wav), ["mel"])


def test_a_recording_becomes_a_noise_profile(tmp_path: Path) -> None:
    """The first seconds are kept at the recording's rate, and a gate learns its floor from them."""
    hiss = (0.01 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    wav = sounds.write(tmp_path / "room.wav", hiss, rate=8_000, subtype="FLOAT")
    line, _ = noise_of_file(str(wav), out=tmp_path / "room.npz", seconds=3.0)
    assert line == f"{wav}: 3.0 s of noise at -40 dBFS -> {tmp_path / 'room.npz'}"
    np.testing.assert_array_equal(load_profile(tmp_path / "room.npz", 8_000), hiss[:24_000])
    gate = NoiseGate(sample_rate=16_000, n_fft=512, hop_length=160, noise_profile=tmp_path / "room.npz")
    assert not gate.learning


def test_the_noise_of_one_channel(tmp_path: Path) -> None:
    """One channel is kept as it is, and one that the recording has not is refused."""
    both = (0.01 * np.random.default_rng(0).standard_normal((8_000, 2))).astype(np.float32)
    wav = sounds.write(tmp_path / "room.wav", both, rate=8_000, subtype="FLOAT")
    noise_command(tmp_path / "room.npz", str(wav), channel="2")
    np.testing.assert_array_equal(load_profile(tmp_path / "room.npz", 8_000), both[:, 1])
    with pytest.raises(AudioError, match="has no channel 3; it has 2"):
        noise_command(tmp_path / "room.npz", str(wav), channel="3")


def test_noise_is_taken_from_any_stream_and_no_further_than_needed(tmp_path: Path) -> None:
    """Blocks of any length are read until there is enough; a bang among the noise is pointed out."""
    taken = []

    def blocks() -> object:
        for i in range(100):
            taken.append(i)
            block = np.full(1_000, 0.001, np.float32)
            yield block * 100 if i == 7 else block

    line = record_noise(blocks(), 10_000, out=tmp_path / "n.npz", seconds=2.0, where="porch")  # type: ignore[arg-type]
    assert len(taken) == 20
    assert len(load_profile(tmp_path / "n.npz", 10_000)) == 20_000
    assert line.endswith("louder by 40 dB at 0.7 s: if that was no noise, record again")


@pytest.mark.parametrize(
    ("samples", "seconds", "error", "message"),
    [
        (np.zeros(20_000), None, AudioError, "porch: digital silence; record the room"),
        (np.ones(2_000), None, AudioError, "porch: 0.20 s of sound where 0.5 are wanted"),
        (np.ones(20_000), 3.0, AudioError, "porch: 2.00 s of sound where 3 are wanted"),
        (np.full(20_000, np.nan), None, AudioError, "no numbers"),
        (np.ones(20_000), 0.0, UsageError, "--seconds 0 cannot be; use 0.5 to 60"),
    ],
)
def test_what_is_no_noise_is_refused(
    tmp_path: Path, samples: np.ndarray, seconds: float | None, error: type[Exception], message: str
) -> None:
    """Silence, too little, and what is no sound make no profile."""
    with pytest.raises(error, match=message):
        record_noise([samples.astype(np.float32)], 10_000, out=tmp_path / "n.npz", seconds=seconds, where="porch")
    assert not (tmp_path / "n.npz").exists()


def test_a_file_cut_short_is_taken_up_to_there(tmp_path: Path) -> None:
    """A noise profile and features are made of what there is, and what is missing is told, with exit 1; a profile of
    seconds that are there misses nothing."""
    whole = sounds.write(tmp_path / "a.wav", sounds.varied(3.0))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    for words in (
        ["noise", "--from", cut, "--out", tmp_path / "n.npz"],
        ["features", cut, "--kind", "mel", "--out", tmp_path / "f.npz"],
    ):
        done = CliRunner().invoke(app, [*map(str, words)])
        assert done.exit_code == 1, done.output
        assert "of what was heard" in done.stderr
        assert Path(words[-1]).exists()
    _, short = noise_of_file(str(cut), out=tmp_path / "n.npz", seconds=1.0)
    assert short is None
