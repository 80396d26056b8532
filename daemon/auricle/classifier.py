"""From feature rows to scores: the network on every decision hop."""

from __future__ import annotations

import numpy as np

from auricle.bundle import Bundle, Network, quantise
from auricle.stage import Block, Pipeline, RowStage, Slices


class _Quantise(RowStage):
    """Feature rows to the network's int8; before windows are cut, so that each row is quantised once."""

    def __init__(self, bundle: Bundle) -> None:
        self._affine = bundle.card.quantisation.input

    def process(self, block: Block) -> Block:
        """``(n, n_features)`` float32 to int8."""
        return quantise(block, self._affine)


class _Classify(RowStage):
    """Windows to scores."""

    def __init__(self, bundle: Bundle) -> None:
        self._network = Network(bundle)
        self._affine = bundle.card.quantisation.output
        self._n_labels = len(bundle.labels)

    def process(self, block: Block) -> Block:
        """``(n, frames, n_features)`` int8 to ``(n, n_labels)`` float32."""
        scores = np.empty((len(block), self._n_labels), np.int8)
        for row, window in zip(scores, block, strict=True):
            row[:] = self._network(window)
        return (scores.astype(np.float32) - np.float32(self._affine.zero_point)) * np.float32(self._affine.scale)


def window_classifier(bundle: Bundle, hop_frames: int) -> Pipeline:
    """Feature rows ``(n, n_features)`` float32 to scores ``(k, n_labels)`` float32, a whole window at every hop."""
    return Pipeline([_Quantise(bundle), Slices(bundle.card.timing.window_frames, hop_frames), _Classify(bundle)])
