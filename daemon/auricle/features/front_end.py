"""The front end turns samples into feature rows: one feature or several, with the noise gate or without, as a stream or
over an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.features.kinds import Chain, Frames, Step, chain
from auricle.features.stack import Stack
from auricle.gate import NoiseGate
from auricle.gate.noise import Geometry
from auricle.stages.stage import Block, Pipeline, RowStage, Stage

_PIECE_HOPS = 32


class FrontEnd(Pipeline):
    """Runs samples ``(n,)`` float32 through to feature rows ``(k, n_features)`` float32.

    Attributes:
        gate: the noise gate inside, or ``None``.
        columns: the kinds in order, each with its number of columns.
        n_features: columns in all.
    """

    def __init__(self, stages: Sequence[Stage], *, gate: NoiseGate | None, columns: Sequence[tuple[str, int]]) -> None:
        super().__init__(stages)
        self.gate = gate
        self.columns = tuple(columns)
        self.n_features = sum(width for _, width in columns)
        self._piece = _PIECE_HOPS * self.hop
        self._calls = [stage.process for stage in self.stages]

    def process(self, block: Block) -> Block:
        """Run the block through every stage; a long one in pieces that stay in the processor's cache."""
        if len(block) > self._piece:
            pieces = range(0, len(block), self._piece)
            return np.concatenate([self.process(block[i : i + self._piece]) for i in pieces])
        for process in self._calls:
            block = process(block)
        return block


class _Columns(RowStage):
    """Puts columns into the order that was asked for."""

    def __init__(self, order: NDArray[np.intp]) -> None:
        self._order = order

    def process(self, block: Block) -> Block:
        return np.asarray(block[:, self._order])


def front_end(
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    features: Sequence[Mapping[str, Any]],
    win_length: int | None = None,
    pre_emphasis: float | None = None,
    taper: str = "hann",
    align: str = "centre",
    remove_dc: bool = False,
    gate: NoiseGate | Mapping[str, Any] | None = None,
) -> FrontEnd:
    """Build the pipeline from samples ``(n,)`` float32 to feature rows ``(k, n_features)`` float32.

    What features have in common, framing, FFT, gate, mel bands, is computed once. Several features are stacked, each
    row about the same moment. The gate weights the spectra that mel and chroma_stft features are made of; chroma_cqt
    and chroma_cens hear the sound as it is.

    Args:
        features: the kinds to stack, each a mapping with ``kind`` and that kind's parameters; ``n_fft`` and
            ``win_length`` among
            them give a feature frames of its own.
        pre_emphasis: ``y[n] = x[n + 1] - pre_emphasis * x[n]`` before everything else, as `PreEmphasis`; none unless
            told.
        taper: hann, hann_symmetric, hamming or hamming_symmetric; those not symmetric are periodic.
        align: where a taper shorter than ``n_fft`` stands, ``centre`` (librosa) or ``start`` (TensorFlow, Kaldi); at
            the start frames are of ``win_length`` samples, so that a row comes sooner.
        remove_dc: take its mean from every frame, as Kaldi does, so that a constant offset is not heard; the CQT hears
            it as it is.
        gate: a gate built for these frames, or its parameters (those of `NoiseGate`), or ``None`` for none.

    Raises:
        ValueError: a feature, a parameter or a combination that cannot be.
        AudioError: the gate's noise profile cannot be read.
    """
    if not features:
        raise ValueError("no feature; use at least one, as {kind: log_mel}")
    if hop_length < 1 or n_fft < 2 or sample_rate < 1:
        raise ValueError(
            f"sample_rate {sample_rate}, n_fft {n_fft}, hop_length {hop_length} cannot be; use more than 0"
        )
    if not isinstance(remove_dc, bool):
        raise ValueError(f"remove_dc {remove_dc!r} is no switch; use true or false")
    heard: dict[str, Any] = {"pre_emphasis": pre_emphasis, "taper": taper, "remove_dc": remove_dc}
    if isinstance(gate, Mapping):
        gate = NoiseGate(
            sample_rate=sample_rate, n_fft=n_fft, win_length=win_length, hop_length=hop_length, **heard, **dict(gate)
        )
    if gate is not None and gate.geometry != Geometry(sample_rate, n_fft, win_length or n_fft, **heard):
        told = ", ".join(f"{name} {value}" for name, value in {"win_length": win_length, **heard}.items())
        raise ValueError(
            f"the gate was built for {gate.geometry}; build it for sample_rate {sample_rate}, n_fft {n_fft}, {told}"
        )
    step = None if gate is None else Step(partial(_same, gate))
    frames = Frames(sample_rate, n_fft, win_length, hop_length, pre_emphasis, taper, align, remove_dc, step)
    chains = [chain(feature, frames) for feature in features]
    if step is not None and not any(step in each.steps for each in chains):
        raise ValueError(f"{', '.join(c.kind for c in chains)} does not pass through the gate; turn the gate off")
    stages, order = _grow([(i, each.steps) for i, each in enumerate(chains)])
    if order != sorted(order):
        stages.append(_Columns(_column_order(chains, order)))
    return FrontEnd(stages, gate=gate, columns=[(each.kind, each.width) for each in chains])


def _same(stage: NoiseGate) -> NoiseGate:
    return stage


def _grow(chains: list[tuple[int, tuple[Step, ...]]]) -> tuple[list[Stage], list[int]]:
    """Build the stages of all chains, shared as far as the chains agree; with the chains in the order in which their
    columns come."""
    stages: list[Stage] = []
    while all(steps for _, steps in chains) and len({steps[0] for _, steps in chains}) == 1:
        stages.append(chains[0][1][0].build())
        chains = [(i, steps[1:]) for i, steps in chains]
    if len(chains) == 1:
        return stages, [chains[0][0]]
    groups: dict[Step | int, list[tuple[int, tuple[Step, ...]]]] = {}
    for i, steps in chains:
        # A chain that ends here is a branch of its own, even when another ends here too.
        groups.setdefault(steps[0] if steps else i, []).append((i, steps))
    branches, order = [], []
    for group in groups.values():
        branch, columns = _grow(group)
        branches.append(Pipeline(branch))
        order += columns
    stages.append(Stack(branches))
    return stages, order


def _column_order(chains: Sequence[Chain], order: Sequence[int]) -> NDArray[np.intp]:
    begins = dict(zip(order, np.cumsum([0, *(chains[i].width for i in order)]), strict=False))
    return np.concatenate([begins[i] + np.arange(each.width) for i, each in enumerate(chains)])


def extract(
    y: ArrayLike,
    sample_rate: int,
    kind: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
    *,
    block: int | None = None,
    n_fft: int = 2048,
    win_length: int | None = None,
    hop_length: int = 512,
    pre_emphasis: float | None = None,
    taper: str = "hann",
    align: str = "centre",
    remove_dc: bool = False,
    gate: NoiseGate | Mapping[str, Any] | None = None,
    **params: Any,
) -> NDArray[np.float32]:
    """Compute the features of a whole sound, by the stages that the daemon runs.

    Args:
        y: samples ``(n,)``.
        kind: a kind (mel, log_mel, pcen, mfcc, delta, chroma_stft, chroma_cqt, chroma_cens; sound, which is the sound
            itself in rows of ``hop_length`` samples), a mapping with ``kind`` and its parameters, or a list of these
            to stack.
        block: samples given to the stream at a time, all unless given; changes no bit of the result.
        n_fft, win_length, hop_length: librosa's, with librosa's defaults.
        pre_emphasis, taper, align, remove_dc, gate: as for `front_end`.
        params: of the kind, when one is given by its name.

    Shape:
        in ``(n,)``, out ``(n_frames, n_features)`` float32. Row k is about sample ``lead + k * hop_length`` of the
        pipeline that `front_end` builds; with mel features, row k is frame k of librosa with ``center=False``.

    Raises:
        ValueError: a kind or a parameter that cannot be, or ``y`` is not one channel.
    """
    if isinstance(kind, str):
        features: list[Mapping[str, Any]] = [{"kind": kind, **params}]
    else:
        if params:
            raise ValueError(f"{', '.join(params)} beside mappings; put a feature's parameters into its mapping")
        kinds = [kind] if isinstance(kind, Mapping) else kind
        features = [{"kind": each} if isinstance(each, str) else each for each in kinds]
    samples = np.asarray(y, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"extract takes one channel of shape (n,), not {samples.shape}; mix it down first")
    if block is not None and block < 1:
        raise ValueError(f"block {block} cannot be; use at least 1 sample")
    pipeline = front_end(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=hop_length,
        features=features,
        pre_emphasis=pre_emphasis,
        taper=taper,
        align=align,
        remove_dc=remove_dc,
        gate=gate,
    )
    size = block or max(1, len(samples))
    rows = [pipeline.process(samples[i : i + size]) for i in range(0, len(samples), size)]
    return np.concatenate([np.zeros((0, pipeline.n_features), np.float32), *rows])
