"""The noise gate: as a stage of a stream, and for a whole sound."""

from __future__ import annotations

from auricle.gate.gate import NoiseGate, gated_sound, reduce_noise

__all__ = [
    "NoiseGate",
    "gated_sound",
    "reduce_noise",
]
