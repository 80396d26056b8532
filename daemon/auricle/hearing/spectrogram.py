"""A spectrogram makes columns for those who look, out of the frames that are computed for the model anyway.

Nobody looks as a rule: then nothing of this is there. While somebody does, taps lie in the chain of a source's stages,
before the gate and behind it, and take note of the frames that pass. A column is the mean of the frames that are due to
it, counted from the segment's start: whoever comes later sees the same columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.features import bands
from auricle.gate import NoiseGate
from auricle.stages.pre_emphasis import PreEmphasis
from auricle.stages.spectrum import Power, Spectrum
from auricle.stages.stage import Block, Pipeline, Slices, Stage, count_out

MESSAGE_S = 0.25
"""Columns are told a few at a time, those of about so long together."""
_OWN_FRAME_S = 0.025
"""The least length of a frame where the model hears sound itself and no frames of it are computed."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Holds columns that follow each other, a byte a band as `bands.as_bytes` writes them.

    Args:
        at: where the first begins, in samples at the model's rate from the segment's start.
        n: how many.
        gated: the same behind the gate, where there is one.
    """

    at: int
    n: int
    bands: bytes
    gated: bytes | None


class Tap:
    """Takes note of the spectra that pass, as power, and is a stage that changes nothing."""

    hop = 1
    span = 1
    lead = 0

    def __init__(self) -> None:
        self._skip = 0
        self._frames: Block | None = None

    def process(self, block: Block) -> Block:
        """Let the block pass."""
        self.take(block)
        return block

    def reset(self) -> None:
        """Do nothing: when a segment begins the spectrogram says from where on frames count."""

    def begin(self, skip: int) -> None:
        """Pass over so many frames first; what was taken note of is forgotten."""
        self._skip, self._frames = skip, None

    def take(self, block: Block) -> None:
        """Take note of frames ``(n, n_bins)``, of spectra or of power."""
        skip = min(self._skip, len(block))
        self._skip -= skip
        power = np.square(np.abs(block[skip:])) if block.dtype.kind == "c" else block[skip:].copy()
        self._frames = power if self._frames is None else np.concatenate((self._frames, power))

    def __len__(self) -> int:
        return 0 if self._frames is None else len(self._frames)

    def give(self, n: int) -> Block:
        """Return the oldest ``n`` frames, which are there, and forget them."""
        assert self._frames is not None
        given, self._frames = self._frames[:n], self._frames[n:].copy()
        return given


class _SoundTap(Tap):
    """Makes frames of its own out of the samples that pass."""

    def __init__(self, frames: Pipeline) -> None:
        super().__init__()
        self._made = frames
        self._passed_over = 0

    def begin_at(self, samples: int) -> None:
        """Begin with the first whole frame after so many samples."""
        self._made.reset()
        self._passed_over = -samples % self._made.hop

    def take(self, block: Block) -> None:
        over = min(self._passed_over, len(block))
        self._passed_over -= over
        super().take(self._made.process(block[over:]))


class Spectrogram:
    """Makes the columns of one source.

    Args:
        chain: the stages of the source, one after the other.
        gate: the noise gate among them, if there is one.
        sample_rate: the model's.
        columns_per_s: at most so many; the frames of a column are whole ones.
    """

    def __init__(self, chain: Sequence[Stage], gate: NoiseGate | None, sample_rate: int, columns_per_s: float) -> None:
        found = next(((i, stage) for i, stage in enumerate(chain) if isinstance(stage, Spectrum)), None)
        self._tap, self._gated = Tap(), None
        self._lead = 0
        if found is None:
            spectrum = Spectrum(1 << math.ceil(math.log2(_OWN_FRAME_S * sample_rate)))
            self._made = Pipeline([Slices(spectrum.n_fft, spectrum.n_fft // 2), spectrum, Power()])
            self._tap = _SoundTap(self._made)
            self.chain = [self._tap, *chain]
            """The stages with the taps among them."""
        else:
            at, spectrum = found
            behind = at + 2 if isinstance(chain[at + 1], Power) else at + 1
            self._made = Pipeline(chain[:behind])
            self.chain = [*chain[:behind], self._tap, *chain[behind:]]
            if gate is not None and chain[behind] is gate:
                self._gated, self._lead = Tap(), gate.lead
                self._behind_gate = Pipeline(chain[: behind + 1])
                self.chain.insert(behind + 2, self._gated)
        emphasis = next((each.coefficient for each in self._made.stages if isinstance(each, PreEmphasis)), None)
        self._weights = bands.weights(sample_rate, spectrum.n_fft, spectrum.energy, emphasis)
        frames_per_s = sample_rate / self._made.hop
        self._frames = max(1, math.ceil(frames_per_s / columns_per_s - 1e-9))
        self.column_s = self._frames / frames_per_s
        """From the beginning of one column to that of the next, in seconds."""
        self.top_hz = sample_rate / 2
        """The upper end of the bands."""
        self._together = max(1, round(MESSAGE_S / self.column_s))
        self.begin()

    def begin(self, samples: int = 0) -> None:
        """Begin with the first whole column after so many samples of a segment."""
        if isinstance(self._tap, _SoundTap):
            self._tap.begin_at(samples)
            come = come_gated = -(-samples // self._made.hop)
        else:
            come = count_out(samples, span=self._made.span, hop=self._made.hop)
            come_gated = come
        if self._gated is not None:
            rows = count_out(samples, span=self._behind_gate.span, hop=self._behind_gate.hop)
            come_gated = rows + self._lead
        first = -(-max(come, come_gated) // self._frames)
        self._next = first
        self._tap.begin(first * self._frames - come)
        if self._gated is not None:
            self._gated.begin(first * self._frames - come_gated)

    def taken(self, *, all_of_them: bool = False) -> Iterator[Columns]:
        """Yield the columns that are complete and not told yet, as many at a time as go into a message.

        Args:
            all_of_them: also those that are too few for a message, because the segment ends.
        """
        while True:
            ready = len(self._tap) if self._gated is None else min(len(self._tap), len(self._gated))
            n = min(ready // self._frames, self._together)
            if n < (1 if all_of_them else self._together):
                return
            middle = self._made.lead + self._next * self._frames * self._made.hop
            gated = None if self._gated is None else self._columns(self._gated, n)
            yield Columns(max(0, middle - self._made.hop // 2), n, self._columns(self._tap, n), gated)
            self._next += n

    def _columns(self, tap: Tap, n: int) -> bytes:
        # One column after the other, so that no bit depends on how many are made at once.
        frames = tap.give(n * self._frames).reshape(n, self._frames, -1)
        rows: list[NDArray[np.float32]] = [column.mean(axis=0) @ self._weights for column in frames]
        return bands.as_bytes(np.array(rows))
