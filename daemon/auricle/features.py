"""Which features there are, and the chain of stages that computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auricle.mel import Log, Mel
from auricle.spectrum import Power, Spectrum
from auricle.stage import Pipeline, Slices, Stage


def front_end(
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    features: Sequence[Mapping[str, Any]],
    win_length: int | None = None,
) -> Pipeline:
    """The pipeline from samples ``(n,)`` float32 to feature rows ``(k, n_features)`` float32.

    Args:
        features: the kinds to stack, each a mapping with ``kind`` and that kind's parameters.
    """
    (feature,) = features
    params = dict(feature)
    kind = params.pop("kind")
    if kind != "log_mel":
        raise ValueError(f"unknown feature kind {kind!r}; use log_mel")
    stages: list[Stage] = [
        Slices(n_fft, hop_length),
        Spectrum(n_fft, win_length),
        Power(),
        Mel(sample_rate=sample_rate, n_fft=n_fft, **params),
        Log(),
    ]
    return Pipeline(stages)
