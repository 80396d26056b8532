"""Front ends that well-known networks were trained on are listed here, each by the shape that its networks take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SOUND: list[dict[str, Any]] = [{"kind": "sound"}]


@dataclass(frozen=True)
class Known:
    """Describes a front end that others trained on.

    Args:
        name: what ``--like`` calls it.
        what: whose it is, for people.
        shape: ``(frames, features)`` of its usual network; 0 for any number.
        front_end: as a card has it; ``n_mels`` is added where the shape leaves the features open.
    """

    name: str
    what: str
    shape: tuple[int, int]
    front_end: dict[str, Any]

    def fits(self, extents: Sequence[int]) -> bool:
        """Return whether features of these extents ``(frames, features)`` may be its."""
        return len(extents) == 2 and all(mine in (0, n) for mine, n in zip(self.shape, extents, strict=True))

    def of(self, n_features: int) -> dict[str, Any]:
        """Return the front end for so many features."""
        (feature,) = self.front_end["features"]
        if feature["kind"] == "micro":
            return self.front_end
        width = "n_mfcc" if feature["kind"] == "mfcc" else "n_mels"
        return {**self.front_end, "features": [{**feature, width: n_features}]}


_TF = {"sample_rate": 16000, "n_fft": 512, "align": "start"}
KNOWN = (
    Known(
        "yamnet",
        "YAMNet's log-mel",
        (96, 64),
        {
            **_TF,
            "win_length": 400,
            "hop_length": 160,
            "features": [
                {"kind": "log_mel", "basis": "tf", "fmin": 125.0, "fmax": 7500.0, "power": 1.0, "offset": 0.001,
                 "natural": True}
            ],
        },
    ),
    Known(
        "kws",
        "the MFCC of TensorFlow's keyword networks (MLPerf Tiny)",
        (49, 10),
        {
            **_TF,
            "win_length": 480,
            "hop_length": 320,
            "features": [
                {"kind": "mfcc", "basis": "tf", "n_mels": 40, "fmin": 20.0, "fmax": 4000.0, "power": 1.0,
                 "offset": 1.0e-6, "natural": True, "norm": "tf"}
            ],
        },
    ),
    Known(
        "micro",
        "the fixed-point front end of wake words for small chips (microWakeWord)",
        (0, 40),
        {"sample_rate": 16000, "n_fft": 512, "win_length": 480, "hop_length": 160, "features": [{"kind": "micro"}]},
    ),
    Known(
        "mel",
        "librosa's log-mel in dB, 25 ms every 10 ms at 16 kHz",
        (0, 0),
        {
            "sample_rate": 16000,
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "features": [{"kind": "log_mel", "fmin": 0.0, "fmax": 8000.0}],
        },
    ),
)  # fmt: skip
LIKE = ("yamnet", "kws", "mel", "micro", "birdnet")
"""What ``--like`` may name; of these BirdNET takes sound itself."""
BIRDNET = {"sample_rate": 48000, "samples": 144_000}
RATES = {15_600: 16000, 15_360: 16000, 16_000: 16000, 44_032: 44100, 144_000: 48000, 160_000: 32000, 96_000: 32000}
"""Sample rates of well-known networks that take sound, by how many samples they take: YAMNet, keywords, Teachable
Machine, BirdNET, Perch."""


def waveform(sample_rate: int) -> dict[str, Any]:
    """Return the front end of a network that takes sound at this rate: decisions fall on a raster of about 10 ms.

    Frames are of four hops, as the noise gate needs them to put its sound together again.
    """
    hop = next((sample_rate // n for n in (100, 50, 40, 25, 20, 10) if sample_rate % n == 0), sample_rate // 100)
    return {"sample_rate": sample_rate, "n_fft": 4 * hop, "hop_length": hop, "features": SOUND}


def alike(extents: Sequence[int]) -> list[Known]:
    """Return the front ends that may have made features of these extents, the most special first."""
    return sorted((each for each in KNOWN if each.fits(extents)), key=lambda each: each.shape.count(0))
