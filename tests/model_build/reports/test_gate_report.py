"""The report on the gate: what it mixes, what it counts, what it writes."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from auricle_build.reports import gate_report
from auricle_build.reports.gate_report import Mixture, Steady


def test_a_mixture_has_its_snr_and_the_profile_its_noise() -> None:
    """The clip's level over the noise's under it is the SNR asked for; the profile is the same noise, as loud."""
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(20_000).astype(np.float32) * 0.1
    noise = rng.standard_normal(50_000).astype(np.float32) * 0.7
    for snr_db in (20.0, 0.0):
        heard, profile = gate_report.mix(clip, noise, snr_db)
        under = heard - clip
        assert abs(20 * math.log10(gate_report.level(clip) / gate_report.level(under)) - snr_db) < 0.01
        assert len(profile) == 30_000
        assert abs(20 * math.log10(gate_report.level(profile) / gate_report.level(under))) < 0.2


def test_silence_around_a_sound_does_not_lower_its_level() -> None:
    """Digital zeros at a clip's ends are no part of its level."""
    sound = np.full(1_600, 0.5, np.float32)
    assert abs(gate_report.level(np.concatenate((np.zeros(3_200, np.float32), sound))) - 0.5) < 1e-6


def test_the_report_shows_where_the_gate_hurts() -> None:
    """Right and wrong verdicts are counted by SNR and class, and a loss is written as a loss."""
    off, on, *more = gate_report.SETTINGS

    def mixture(label: str, snr: float | None, without: str, behind: str) -> Mixture:
        said = {off: without, on: behind, **dict.fromkeys(more, label)}
        return Mixture(label, snr, said, dict.fromkeys(said, label))

    mixtures = [
        mixture(*row)
        for snr in gate_report.SNRS_DB
        for row in (
            ("rain", snr, "rain", "rain"),
            ("rain", snr, "rain", "background"),
            ("dog_bark", snr, "rain", "dog_bark"),
        )
    ]
    assert gate_report.accuracy(mixtures, 5.0, on, label="rain") == 0.5
    assert gate_report.accuracy(mixtures, 5.0, on, label="rain", among_events=True) == 1.0
    assert gate_report.accuracy(mixtures, 5.0, off, label="dog_bark") == 0.0
    bundle = SimpleNamespace(hash="abc", card=SimpleNamespace(name="m", front_end=SimpleNamespace(behind_gate=False)))
    minutes = [Steady("rain", "adapting, 5 s", 0.02, 0.05, 13.57)]
    lines = gate_report.text(bundle, mixtures, minutes, 3, 1, [4], "Known.")  # type: ignore[arg-type]
    assert "| 5 dB | 66.7% (100.0%) | 66.7% (100.0%) | 100.0% (100.0%) | 100.0% (100.0%) |" in lines
    assert "| rain | 100 -> 50 | 100 -> 50 | 100 -> 50 | 100 -> 50 | 100 -> 50 |" in lines
    assert "| rain | adapting, 5 s | 2% | 0.05 | 13.6 dB |" in lines
    assert any("trained without the gate" in line and "Known." in line for line in lines)
