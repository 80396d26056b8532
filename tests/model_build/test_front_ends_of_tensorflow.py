"""Front ends built of TensorFlow's own operations equal the daemon's stages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import yaml
from numpy.typing import NDArray

from auricle.features import front_end
from auricle.stages import filters
from auricle.stages.spectrum import Spectrum
from helpers import sounds

DOCS = Path(__file__).resolve().parents[2] / "docs" / "features.md"
RATE = 16_000
SOUND = sounds.varied(4.0, seed=6)


def documented() -> list[dict[str, Any]]:
    """The front ends of other networks, as the page shows them."""
    block = re.search(r"```yaml\n(front_end.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return [yaml.safe_load(part)["front_end"] for part in block[1].split("\n\n")]


def bands(n_mels: int, fmin: float, fmax: float) -> Any:
    """TensorFlow's mel weights over the 257 bins of an FFT of 512."""
    return tf.signal.linear_to_mel_weight_matrix(n_mels, 257, RATE, fmin, fmax)


@pytest.mark.parametrize(
    ("n_mels", "fmin", "fmax"), [(64, 125.0, 7500.0), (40, 20.0, 4000.0), (40, 0.0, 8000.0)], ids=str
)
def test_mel_bands(n_mels: int, fmin: float, fmax: float) -> None:
    """`basis: tf` is `tf.signal.linear_to_mel_weight_matrix`, weight by weight, within float32's rounding."""
    ours = filters.mel(sample_rate=RATE, n_fft=512, n_mels=n_mels, fmin=fmin, fmax=fmax, basis="tf")
    np.testing.assert_allclose(ours.T, bands(n_mels, fmin, fmax).numpy(), rtol=0, atol=2e-5)


@pytest.mark.parametrize("length", [400, 401])
def test_tapers(length: int) -> None:
    """Hann and Hamming, periodic and symmetric, are those of `tf.signal`."""
    for name, of in (("hann", tf.signal.hann_window), ("hamming", tf.signal.hamming_window)):
        for kind, periodic in ((name, True), (f"{name}_symmetric", False)):
            # TensorFlow's periodic tapers of odd lengths are the symmetric ones.
            if periodic and length % 2:
                continue
            np.testing.assert_allclose(filters.cosine_taper(kind, length), of(length, periodic), rtol=0, atol=1e-6)


def test_spectra_of_frames_at_the_start() -> None:
    """`align: start` is `tf.signal.stft`, with its phases."""
    frames = np.lib.stride_tricks.sliding_window_view(SOUND, 400)[::160]
    theirs = tf.signal.stft(SOUND, 400, 160, 512).numpy()
    ours = Spectrum(512, 400, align="start").process(frames)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


def yamnet(sound: NDArray[np.float32]) -> Any:
    """Log-mel rows as YAMNet's graph computes them."""
    return tf.math.log(tf.abs(tf.signal.stft(sound, 400, 160, 512)) @ bands(64, 125.0, 7500.0) + 0.001)


def keyword_mfcc(sound: NDArray[np.float32]) -> Any:
    """MFCC rows as the keyword model of MLPerf Tiny was trained on them."""
    mel = tf.abs(tf.signal.stft(sound, 480, 320, None, tf.signal.hann_window)) @ bands(40, 20.0, 4000.0)
    return tf.signal.mfccs_from_log_mel_spectrograms(tf.math.log(mel + 1e-6))[..., :10]


def keyword_lfbe(sound: NDArray[np.float32]) -> Any:
    """Its filter-bank rows: periodogram, dB, scaled, within 0 and 1."""
    emphasised = sound[1:] - (1 - 2**-5) * sound[:-1]
    spectra = tf.signal.stft(
        emphasised, 480, 320, None, lambda n, dtype: tf.signal.hamming_window(n, periodic=False, dtype=dtype)
    )
    mel = tf.square(tf.abs(spectra)) / 480.0 @ bands(40, 0.0, 8000.0)
    decibels = 10.0 * tf.math.log(tf.maximum(mel, 1e-30)) / tf.math.log(10.0)
    return tf.clip_by_value((decibels + 52.0) / 64.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("number", "reference", "bound"),
    [(1, yamnet, 2e-4), (2, keyword_mfcc, 2e-3), (3, keyword_lfbe, 1e-4)],
    ids=["yamnet", "keyword mfcc", "keyword filter banks"],
)
def test_the_front_ends_of_the_page(number: int, reference: Any, bound: float) -> None:
    """What docs/features.md offers for these networks gives the rows of TensorFlow's own operations."""
    theirs = reference(SOUND).numpy()
    ours = front_end(**documented()[number]).process(SOUND)
    assert ours.shape == theirs.shape
    assert len(ours) > 150
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


def test_the_front_end_inside_yamnet(data_folder: Path) -> None:
    """Within 1e-4 in ln of the tensor that YAMNet's own graph computes from the same samples, where it lies beside the
    checkout."""
    path = data_folder.parent / "models" / "yamnet.tflite"
    if not path.is_file():
        pytest.skip(f"missing here: the network {path.parent.name}/{path.name}")
    with pytest.warns(UserWarning, match="preserve_all_tensors|LiteRT"):
        graph = tf.lite.Interpreter(str(path), experimental_preserve_all_tensors=True)
    graph.allocate_tensors()
    samples = SOUND[:15_600]
    graph.set_tensor(graph.get_input_details()[0]["index"], samples)
    graph.invoke()
    (inside,) = (each["index"] for each in graph.get_tensor_details() if each["name"] == "log_mel_spectrogram")
    ours = front_end(**documented()[1]).process(samples)
    np.testing.assert_allclose(ours, graph.get_tensor(inside), rtol=0, atol=1e-4)
