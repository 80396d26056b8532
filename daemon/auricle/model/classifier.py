"""Feature rows become scores here, by the network at every decision hop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.model.bundle import Bundle
from auricle.model.network import Network, dequantise, quantise, scores_of
from auricle.model.streaming import State
from auricle.stages.stage import BatchStage, Block, Memory, Pipeline, RowStage, Slices, Stage

_LONG_CALL = 32
"""A call takes so many frames when many wait: beyond this a frame costs no less."""
_SOURCES = (16, 8, 4, 2, 1)
"""A call takes so many sources: these are few numbers, since every one has a graph of its own in memory."""


class _Quantise(RowStage):
    """Turns feature rows into the network's own type, before windows are cut, so that each row is quantised once."""

    def __init__(self, bundle: Bundle) -> None:
        self._affine, self._dtype = bundle.card.quantisation.input, bundle.card.input.dtype

    def process(self, block: Block) -> Block:
        """Turn ``(n, n_features)`` float32 into the input's type."""
        return quantise(block, self._affine, self._dtype)


class _Classify(RowStage):
    """Scores windows by the whole-window network, and by heads behind its embedding where there are any."""

    def __init__(self, bundle: Bundle) -> None:
        self._network, self._card, self._heads = bundle.windows, bundle.card, bundle.heads
        self._n_labels = len(bundle.labels)

    def process(self, block: Block) -> Block:
        """Score ``(n, frames, n_features)`` of the input's type as ``(n, n_labels)`` float32."""
        scores = np.empty((len(block), self._n_labels), np.float32)
        for row, window in zip(scores, block, strict=True):
            if self._heads is None:
                row[:] = scores_of(self._network(window), self._card)
            else:
                given, embedding = self._network.with_embedding(window)
                row[: len(given)] = scores_of(given, self._card)
                row[len(given) :] = self._heads(embedding)
        return scores


class _InARow:
    """Scores windows by a graph that remembers the windows before: every source has one of its own.

    Such a graph remembers in variables, which nothing but a new interpreter empties: LiteRT's `reset_all_variables`
    leaves those of TensorFlow as they are.

    Args:
        every: windows from one decision to the next.
    """

    def __init__(self, bundle: Bundle, every: int) -> None:
        self._bundle = bundle
        timing = bundle.card.timing
        self.hop = every
        self.span = max(1, -(-timing.receptive_frames // timing.window_frames))
        self.lead = self.span - 1
        self._network: Network | None = None
        self._left = self.span

    def process(self, block: Block) -> Block:
        """Score ``(n, frames, n_features)`` of the input's type as ``(k, n_labels)`` float32."""
        rows = []
        for window in block:
            if self._network is None:
                bundle = self._bundle
                self._network = Network(bundle.card, bundle.whole, f"{bundle.path}/model.tflite")
            given = self._network(window)
            self._left -= 1
            if not self._left:
                self._left = self.hop
                rows.append(scores_of(given, self._bundle.card))
                if not np.isfinite(rows[-1]).all():
                    self._network = None  # what it remembers may be spoilt for ever
        return np.stack(rows) if rows else np.empty((0, len(self._bundle.labels)), np.float32)

    def reset(self) -> None:
        """Forget what was heard; the next window finds a new interpreter."""
        self._network = None
        self._left = self.span


class _Embed(RowStage):
    """Turns windows into embeddings."""

    def __init__(self, bundle: Bundle) -> None:
        if bundle.card.embedding is None:
            raise ModelError(f"{bundle.path}: the model has no embedding: its card names no second output")
        self._network = Network(bundle.card, bundle.whole, f"{bundle.path}/model.tflite")
        self._affine = bundle.card.embedding

    def process(self, block: Block) -> Block:
        """Turn ``(n, frames, n_features)`` int8 into ``(n, size)`` float32."""
        embeddings = np.empty((len(block), self._affine.size), np.int8)
        for row, window in zip(embeddings, block, strict=True):
            row[:] = self._network.with_embedding(window)[1]
        return dequantise(embeddings, self._affine)


@dataclass
class _Heard(Memory):
    """Holds the rows that make no whole hop yet, the network's states, and how many scores are to be passed over
    first."""

    rows: Block
    states: list[State]
    unripe: int


class _Stream(BatchStage[_Heard]):
    """Scores rows by the stateful network, which sees every row once.

    The network is called with whole hops, so that a decision falls on the end of each. Where the window is no multiple
    of the hop, rows of zero points go before the first one: no window that counts reaches back to them.
    """

    def __init__(self, bundle: Bundle, hop_frames: int) -> None:
        assert bundle.network is not None
        self._network = bundle.network
        self.hop = hop_frames
        self.span = self.reach = bundle.card.timing.window_frames
        self.lead = self.span // 2
        self._long = max(1, _LONG_CALL // self.hop) * self.hop
        self._every = self.hop // self._network.stride
        shape = (1, -self.span % self.hop, bundle.card.input.shape[1])
        self._before = np.full(shape, bundle.card.quantisation.input.zero_point, np.int8)
        # What each int8 stands for, by its bits: one look-up in place of three passes.
        self._values = dequantise(np.arange(256, dtype=np.uint8).view(np.int8), bundle.card.quantisation.output)
        self._n_labels = len(bundle.labels)
        self.reset()

    def begin(self) -> _Heard:
        """Return a memory without frames; the scores that the network gives before its first whole window do not
        count."""
        unripe = (self.span + self._before.shape[1]) // self.hop - 1
        return _Heard(self._before, [self._network.begin()], unripe)

    def step(self, memory: _Heard, blocks: Block) -> Block:
        """Score ``(sources, n, n_features)`` int8 as ``(sources, k, n_labels)`` float32."""
        rows = np.concatenate((memory.rows, blocks), 1) if memory.rows.shape[1] else blocks
        n = rows.shape[1] // self.hop * self.hop
        memory.rows = rows[:, n:]
        if n < rows.shape[1]:
            memory.rows, rows = memory.rows.copy(), rows[:, :n]
        states, calls = memory.states, _calls(len(rows))
        if len(calls) == 1:
            scores = self._score(rows, states)
        else:
            scores = np.concatenate([self._score(rows[at:end], states[at:end]) for at, end in calls])
        if memory.unripe:
            unripe = min(memory.unripe, scores.shape[1])
            memory.unripe -= unripe
            scores = scores[:, unripe:]
        return scores

    def _score(self, rows: NDArray[np.int8], states: Sequence[State]) -> NDArray[np.float32]:
        """Score ``(sources, n, n_features)`` int8, whole hops, as ``(sources, n / hop, n_labels)`` float32."""
        n = rows.shape[1]
        at, parts = 0, []
        while at < n:
            size = self._long if n - at >= self._long else self.hop
            given = self._network(rows if size == n else rows[:, at : at + size], states)
            parts.append(given[:, self._every - 1 :: self._every])
            at += size
        if not parts:
            return np.empty((len(rows), 0, self._n_labels), np.float32)
        scores = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        values: NDArray[np.float32] = self._values.take(scores.view(np.uint8))
        return values


@cache
def _calls(sources: int) -> Sequence[tuple[int, int]]:
    """Divide so many sources into calls: where each begins and ends."""
    calls, at = [], 0
    while at < sources:
        end = at + next(size for size in _SOURCES if at + size <= sources)
        calls.append((at, end))
        at = end
    return calls


def classifier(bundle: Bundle, hop_frames: int) -> Pipeline:
    """Build the stages from feature rows ``(n, n_features)`` float32 to scores ``(k, n_labels)`` float32, one at every
    decision hop.

    The stateful network where the model has one, else a whole window at every hop, to the same bits; a graph that keeps
    state itself is given every window once.
    """
    if bundle.card.keeps_state:
        span = bundle.card.timing.window_frames
        return Pipeline([_Quantise(bundle), Slices(span, span), _InARow(bundle, hop_frames // span)])
    if bundle.network is None:
        return window_classifier(bundle, hop_frames)
    return Pipeline([_Quantise(bundle), _Stream(bundle, hop_frames)])


def window_classifier(bundle: Bundle, hop_frames: int) -> Pipeline:
    """Build the same stages as `classifier`, with a whole window at every hop."""
    return _windows(bundle, hop_frames, _Classify(bundle))


def windows_at(chain: Sequence[Stage]) -> int:
    """Return the place, in a chain of single stages, of the one that takes whole windows.

    Raises:
        StopIteration: there is none: the network is given frames in a stream.
    """
    return next(i for i, stage in enumerate(chain) if isinstance(stage, _Classify))


def embedder(bundle: Bundle, hop_frames: int) -> Pipeline:
    """Build the stages from feature rows ``(n, n_features)`` float32 to the network's embeddings ``(k, size)`` float32,
    row for row with `window_classifier`'s scores.

    Raises:
        ModelError: the model has no embedding.
    """
    return _windows(bundle, hop_frames, _Embed(bundle))


def _windows(bundle: Bundle, hop_frames: int, of_windows: Stage) -> Pipeline:
    return Pipeline([_Quantise(bundle), Slices(bundle.card.timing.window_frames, hop_frames), of_windows])
