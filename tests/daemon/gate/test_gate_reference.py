"""`reduce_noise` equals noisereduce's stationary gate, on real clips and on sounds made by code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import noisereduce
import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from auricle.gate import reduce_noise
from helpers import sounds

RATE = 16_000
CLIPS = (
    "esc10/baby_cry/*", "esc10/chainsaw/*", "esc10/clock_tick/*", "esc10/dog_bark/*", "esc10/rain/*",
    "esc10/rooster/*", "esc10/sea_waves/*", "esc50/*/*",
)  # fmt: skip


def read(path: Path) -> NDArray[np.float32]:
    """Mono sound at RATE."""
    y, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(y.mean(axis=1), rate, RATE), np.float32)


def difference_db(
    y: NDArray[np.float32], noise: NDArray[np.float32] | None, n_fft: int, hop: int, **params: Any
) -> float:
    """Signal to difference of the two, away from the edges; noisereduce's chunks on multiples of the hop."""
    win_length = params.get("win_length")
    reference = noisereduce.reduce_noise(
        y=y,
        sr=RATE,
        # In double precision: of a float32 clip noisereduce takes float32 statistics, and bins at the threshold flip.
        y_noise=(y if noise is None else noise).astype(np.float64),
        stationary=True,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=hop,
        prop_decrease=params.get("reduction", 1.0),
        n_std_thresh_stationary=params.get("sensitivity", 1.5),
        freq_mask_smooth_hz=params.get("frequency_smoothing_hz", 500),
        time_mask_smooth_ms=params.get("time_smoothing_ms", 50),
        chunk_size=hop * 4000,
        padding=hop * 120 - n_fft // 2,
    )
    ours = reduce_noise(y, RATE, noise=noise, n_fft=n_fft, hop_length=hop, **params)
    inner = slice(2 * n_fft, -2 * n_fft)
    signal = reference[inner].astype(np.float64)
    assert ours.shape == reference.shape
    return float(10 * np.log10(np.sum(signal**2) / np.sum((signal - ours[inner]) ** 2)))


SETTINGS: list[tuple[int, int, dict[str, Any]]] = [
    (1024, 256, {}),
    (512, 128, {"reduction": 0.8, "sensitivity": 2.5}),
    (512, 64, {"frequency_smoothing_hz": 200, "time_smoothing_ms": 30}),
]


@pytest.mark.parametrize(("n_fft", "hop", "params"), SETTINGS, ids=str)
def test_it_is_noisereduce_on_sounds_made_by_code(n_fft: int, hop: int, params: dict[str, Any]) -> None:
    """At least 80 dB between the two and their difference, with a noise clip and with none."""
    y = sounds.varied(4.0, rate=RATE, seed=5)
    noise = (0.02 * np.random.default_rng(6).standard_normal(2 * RATE)).astype(np.float32)
    assert difference_db(y, noise, n_fft, hop, **params) >= 80
    assert difference_db(y, None, n_fft, hop, **params) >= 80


@pytest.mark.parametrize(("n_fft", "hop", "params"), SETTINGS, ids=str)
def test_it_is_noisereduce_on_real_clips(data: Path, n_fft: int, hop: int, params: dict[str, Any]) -> None:
    """At least 80 dB on clips alone and mixed with a café; 40 dB where a band lies more than 80 dB over the
    threshold."""
    cafe = read(data / "ambient" / "moodist-places-cafe.ogg")[: 12 * RATE]
    noise = cafe[: 3 * RATE]
    for pattern in CLIPS:
        y = read(sorted(data.glob(pattern))[0])
        mixed = (y + 0.3 * cafe[4 * RATE : 4 * RATE + len(y)]).astype(np.float32)
        assert difference_db(mixed, noise, n_fft, hop, **params) >= 80
        assert difference_db(y, noise, n_fft, hop, **params) >= (80 if _within_80_db(y, noise) else 40)


def _within_80_db(y: NDArray[np.float32], noise: NDArray[np.float32]) -> bool:
    """Whether no bin of the clip rises more than 80 dB over the noise's mean there."""
    level = [np.abs(np.fft.rfft(s[: len(s) // 512 * 512].reshape(-1, 512) * np.hanning(512))) for s in (y, noise)]
    return bool((level[0].max(axis=0) < 1e4 * level[1].mean(axis=0)).all())
