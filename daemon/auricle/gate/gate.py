"""The noise gate: spectral gating against a learned noise floor, as a stream (after Sainburg's noisereduce, 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.gate.mask import MaskMemory, MaskSmoother
from auricle.gate.noise import Floor, Geometry, floor_of, load_profile
from auricle.gate.overlap import OverlapAdd
from auricle.stages.spectrum import Spectrum
from auricle.stages.stage import BatchStage, Block, Memory, Pipeline, Slices

_GROUP = 16
"""Frames by which the floor is updated; of one fixed size, so that its bits do not depend on how the sound was cut."""


@dataclass
class _Held(Memory):
    """Holds the frames whose weights are not known yet; while ``count`` is below 0, so many frames are passed over
    first."""

    mask: MaskMemory
    frames: Block | None
    count: int
    gates: list[NoiseGate]
    """The gates of these sources, with whose floors the frames are compared."""


class NoiseGate(BatchStage[_Held]):
    """Lets through what is louder than the room's noise, bin by bin.

    Every bin of every frame is compared with a threshold, ``sensitivity`` standard deviations above the mean level of
    the noise in this bin. The mask of what is louder, smoothed over frequency and time, weights the spectrum.

    The gate works on what the features need anyway: on complex spectra, or on power spectra, which get the squared
    mask. Row 0 is about frame L = ``lookahead_frames``: the first L frames, whose past would be shorter than their
    future, are not given, so that ``span`` is 2 L + 1, ``lead`` L and the steady delay L frames.

    The noise is that of ``noise_profile``; else that of the first ``start_up_s`` seconds; and, with ``adaptation_s``,
    the floor follows whatever was heard in about that time. Until the floor is known every bin counts as louder, and
    sound passes unchanged (`learning` is true). Frames of digital silence or with a non-finite value teach nothing.

    Args:
        sample_rate, n_fft, win_length, hop_length, pre_emphasis, taper, remove_dc: of the frames that come in.
        sensitivity: standard deviations above the mean (noisereduce's ``n_std_thresh``): more removes more.
        reduction: share of the noise taken away, 0 to 1 (its ``prop_decrease``).
        frequency_smoothing_hz: half width of the mask's smoothing over frequency (its ``freq_mask_smooth_hz``); 0 for
            none.
        time_smoothing_ms: half width over time (its ``time_mask_smooth_ms``); 0 for none.
        lookahead_frames: frames ahead that the smoothing sees; at most its half width, which is noisereduce's own and
            what ``None`` stands for.
        noise_profile: a file made by ``auricle noise``, or samples ``(n,)`` of noise.
        start_up_s: seconds from which to learn the floor when none is given; 0 not to.
        adaptation_s: time constant of a floor that follows the room; 0 for one that stays.

    Shape:
        in ``(n, n_fft // 2 + 1)`` complex64 or float32 (power), out the same, with L frames' delay.

    Raises:
        ValueError: a parameter that cannot be.
        AudioError: the noise profile cannot be read.
    """

    hop = 1

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        win_length: int | None = None,
        pre_emphasis: float | None = None,
        taper: str = "hann",
        remove_dc: bool = False,
        sensitivity: float = 1.5,
        reduction: float = 1.0,
        frequency_smoothing_hz: float = 500.0,
        time_smoothing_ms: float = 50.0,
        lookahead_frames: int | None = 0,
        noise_profile: str | Path | ArrayLike | None = None,
        start_up_s: float = 2.0,
        adaptation_s: float = 0.0,
    ) -> None:
        win_length = n_fft if win_length is None else win_length
        self.geometry = Geometry(sample_rate, n_fft, win_length, pre_emphasis, taper, remove_dc)
        self._hop_s = hop_length / sample_rate
        for name, value in (
            ("frequency_smoothing_hz", frequency_smoothing_hz),
            ("time_smoothing_ms", time_smoothing_ms),
            ("start_up_s", start_up_s),
        ):
            if not 0 <= value < math.inf:
                raise ValueError(f"gate: {name} {value:g} cannot be; use 0 or more")
        # The two expressions are noisereduce's, twice the bin's width and rounding included, so that equal keys mean
        # equal kernels.
        n_freq = int(frequency_smoothing_hz / (sample_rate / (n_fft / 2)))
        n_time = int(time_smoothing_ms / ((hop_length / sample_rate) * 1000))
        if n_freq > n_fft // 4:
            raise ValueError(
                f"gate: frequency_smoothing_hz {frequency_smoothing_hz:g} is wider than the spectrum; "
                f"use at most {sample_rate / 2:g}"
            )
        if lookahead_frames is None:
            lookahead_frames = n_time
        if not 0 <= lookahead_frames <= n_time:
            raise ValueError(
                f"gate: lookahead_frames {lookahead_frames} does not fit time_smoothing_ms {time_smoothing_ms:g}; "
                f"use 0 to {n_time}, or a longer smoothing"
            )
        self.lead = lookahead_frames
        self.span = 2 * lookahead_frames + 1
        self._smoother = MaskSmoother(self.geometry.n_bins, n_freq=n_freq, n_past=n_time, n_ahead=lookahead_frames)
        self._start_up_frames = math.ceil(start_up_s / self._hop_s / _GROUP) * _GROUP
        self._needed = max(1, self._start_up_frames)
        self._floor = Floor(self.geometry)
        # No sound within full scale has more power in a frame: a frame that has more teaches nothing of the room.
        self._loudest = float(self.geometry.power(0.0))
        self.sensitivity = sensitivity
        self.reduction = reduction
        self.adaptation_s = adaptation_s
        if noise_profile is not None:
            noise = load_profile(noise_profile, sample_rate) if isinstance(noise_profile, str | Path) else noise_profile
            self._floor = floor_of(noise, self.geometry, hop_length)
            self._start_up_frames, self._needed = 0, 1
            self._set_threshold()
        self.reset()

    @property
    def sensitivity(self) -> float:
        """Return how many standard deviations above the mean noise the threshold lies; may change while running."""
        return self._sensitivity

    @sensitivity.setter
    def sensitivity(self, value: float) -> None:
        if not 0 <= value <= 10:
            raise ValueError(f"gate: sensitivity {value:g} cannot be; use 0 to 10 (default 1.5)")
        self._sensitivity = float(value)
        self._set_threshold()

    @property
    def reduction(self) -> float:
        """Return the share of the noise taken away; may change while running."""
        return self._reduction

    @reduction.setter
    def reduction(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"gate: reduction {value:g} cannot be; use 0 to 1 (default 1)")
        self._reduction = float(value)
        self._rest = np.float32(1.0 - self._reduction) * self._smoother.ends

    @property
    def adaptation_s(self) -> float:
        """Return the time constant with which the floor follows the room; 0 for one that stays; may change while
        running."""
        return self._adaptation_s

    @adaptation_s.setter
    def adaptation_s(self, value: float) -> None:
        if not 0 <= value < math.inf:
            raise ValueError(f"gate: adaptation_s {value:g} cannot be; use 0 for none, or seconds")
        self._adaptation_s = float(value)
        self._weight = -math.expm1(-_GROUP * self._hop_s / value) if value else 0.0

    @property
    def learned(self) -> dict[str, NDArray[np.float64]]:
        """Return the noise floor as arrays by name, to save and to set again; empty while none is known."""
        return self._floor.learned

    @learned.setter
    def learned(self, arrays: Mapping[str, ArrayLike]) -> None:
        self._floor.learned = arrays
        self._set_threshold()

    @property
    def learning(self) -> bool:
        """Return whether the floor is not known yet, so that sound passes unchanged."""
        return self._floor.frames < self._needed

    @property
    def reach(self) -> int | None:
        """Return how many frames a row depends on; ``None`` while the floor is learned, which never forgets."""
        return None if self._teachable or self._unsettled else self._smoother.reach

    def begin(self) -> _Held:
        """Return a memory without frames; those before the first one that a row is about are passed over."""
        return _Held(self._smoother.begin(), None, -self.lead, [self])

    def reset(self) -> None:
        """Forget the signal, and keep the floor, which is the room's."""
        super().reset()
        self._unchanged: int = 0
        """How many frames pass unchanged, from the one on that the next row is about."""
        self._group = np.empty((_GROUP, self.geometry.n_bins), np.float32)
        self._filled = 0

    def step(self, memory: _Held, blocks: Block) -> Block:
        """Weight the spectra whose look-ahead these blocks complete."""
        gates, sound = memory.gates, blocks.dtype.kind == "c"
        power = np.square(np.abs(blocks)) if sound else blocks
        thresholds = [gate._thresholds[power.dtype] for gate in gates]
        masks = np.greater(power, thresholds[0] if len(gates) == 1 else np.concatenate(thresholds))
        unsettled = [(i, gate) for i, gate in enumerate(gates) if gate._unsettled]
        for i, gate in unsettled:
            gate._learn(power[i], masks[i], memory.count)
        weights = self._smoother.step(memory.mask, masks)
        n = weights.shape[1]
        if [gate._reduction for gate in gates].count(self._reduction) == len(gates):
            self._weigh(weights)
        else:
            for gate, part in zip(gates, weights, strict=True):
                gate._weigh(part)
        for i, gate in unsettled:
            weights[i, : gate._unchanged] = 1.0
            gate._unchanged = max(0, gate._unchanged - n)
        if not sound:
            np.multiply(weights, weights, out=weights)
        if self.lead:
            blocks = self._hold(memory, blocks, n)
        # In place where that is allowed: one array less to fetch and to fill.
        return np.multiply(blocks, weights, out=None if sound else weights)

    def _hold(self, memory: _Held, blocks: Block, n: int) -> Block:
        """Return the ``n`` frames of every source whose weights are known now; those after them are held."""
        count = memory.count
        memory.count += blocks.shape[1] - n
        if count > 0 and memory.frames is not None:
            blocks = np.concatenate((memory.frames, blocks), 1)
        elif count:
            blocks = blocks[:, -count:]
        memory.frames = blocks[:, n:].copy()
        return blocks[:, :n]

    def _weigh(self, weights: NDArray[np.float32]) -> None:
        """Take from what is not louder than the noise its share, in place."""
        if self._reduction == 0.0:
            # Nothing taken away is nothing changed, at the spectrum's ends too, where noisereduce fades.
            weights.fill(1.0)
        elif self._reduction < 1.0:
            weights *= np.float32(self._reduction)
            weights += self._rest

    @property
    def _teachable(self) -> bool:
        return self._weight > 0.0 or self._floor.frames < self._start_up_frames

    @property
    def _unsettled(self) -> bool:
        """Return whether there is more to do than to compare with a threshold that stays."""
        return self._weight > 0.0 or self._unchanged > 0 or self._floor.frames < self._needed

    def _set_threshold(self) -> None:
        always = np.full((1, 1, self.geometry.n_bins), -1.0)
        threshold = always if self.learning else self._floor.threshold(self._sensitivity)[None, None]
        self._thresholds = {kind: threshold.astype(kind) for kind in (np.dtype(np.float32), np.dtype(np.float64))}

    def _learn(self, power: Block, mask: NDArray[np.bool_], before: int) -> None:
        """Learn from these frames, and compare those again that come after the threshold has changed.

        Args:
            mask: of these frames, as the threshold is now.
            before: frames that wait for their rows.
        """
        if not self._teachable:
            if self.learning:  # what it shall learn from is not set yet
                self._unchanged = before + len(power)
            return
        total = power.sum(axis=-1)
        useful = np.flatnonzero((total > 0) & (total <= self._loudest))
        begin = 0
        while begin < len(power):
            room = _GROUP - self._filled
            taken, useful = useful[:room], useful[room:]
            # The group's last frame is still judged by the floor that was before it.
            end = int(taken[-1]) + 1 if len(taken) == room else len(power)
            if begin:
                np.greater(power[begin:end], self._thresholds[power.dtype][0], out=mask[begin:end])
            if self.learning:
                self._unchanged = before + end
            self._group[self._filled : self._filled + len(taken)] = power[taken]
            self._filled += len(taken)
            if self._filled == _GROUP:
                self._filled = 0
                if self._teachable:
                    self._floor.add(self.geometry.decibels(self._group), None if self.learning else self._weight)
                    self._set_threshold()
            begin = end


def gated_sound(
    gate: NoiseGate, *, n_fft: int, hop_length: int, win_length: int | None = None, double: bool = False
) -> Pipeline:
    """Build the pipeline from samples ``(n,)`` to gated samples, in rows ``(k, hop_length)`` float32.

    It serves what takes a waveform, and listening. ``lead`` is the sample that row 0 begins with.

    Args:
        gate: built for these lengths.
        double: compute in double precision.

    Raises:
        ValueError: ``n_fft`` is no even multiple of ``hop_length``, or the gate was built for other frames.
    """
    if gate.geometry != Geometry(gate.geometry.sample_rate, n_fft, win_length or n_fft):
        raise ValueError(f"the gate was built for {gate.geometry}; build it for n_fft {n_fft} and a plain Hann taper")
    return Pipeline(
        [
            Slices(n_fft, hop_length),
            Spectrum(n_fft, win_length, double=double),
            gate,
            OverlapAdd(n_fft, hop_length, win_length),
        ]
    )


def reduce_noise(
    y: ArrayLike,
    sample_rate: int,
    *,
    noise: ArrayLike | None = None,
    sensitivity: float = 1.5,
    reduction: float = 1.0,
    n_fft: int = 1024,
    win_length: int | None = None,
    hop_length: int = 256,
    frequency_smoothing_hz: float = 500.0,
    time_smoothing_ms: float = 50.0,
    lookahead_frames: int | None = None,
    block: int = 8192,
) -> NDArray[np.float32]:
    """Take the noise out of a sound: the streaming gate run over an array, its delay removed.

    With the same noise and parameters this is ``noisereduce.reduce_noise(..., stationary=True)``, whose framing it
    shares where noisereduce's chunks fall on multiples of the hop.

    Args:
        y: samples ``(n,)``.
        noise: samples of noise alone ``(m,)`` at the same rate; unless given, the floor is that of the whole ``y``.
        lookahead_frames: as far as the smoothing reaches unless given, which is noisereduce's.
        block: samples given to the stream at a time; changes no bit of the result.

    Shape:
        in ``(n,)``, out ``(n,)`` float32.

    Raises:
        ValueError: a parameter that cannot be, or ``y`` is not one channel.
    """
    samples = np.asarray(y, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"reduce_noise takes one channel of shape (n,), not {samples.shape}; mix it down first")
    if lookahead_frames is None:
        lookahead_frames = int(time_smoothing_ms / ((hop_length / sample_rate) * 1000))
    gate = NoiseGate(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=hop_length,
        sensitivity=sensitivity,
        reduction=reduction,
        frequency_smoothing_hz=frequency_smoothing_hz,
        time_smoothing_ms=time_smoothing_ms,
        lookahead_frames=lookahead_frames,
        noise_profile=samples if noise is None else noise,
    )
    # Double precision, since here sound at the very threshold must fall on noisereduce's side of it.
    pipeline = gated_sound(gate, n_fft=n_fft, hop_length=hop_length, win_length=win_length, double=True)
    rows = -(-len(samples) // hop_length)
    # Zeros before, so that row 0 begins at sample 0, and behind, so that the last row comes.
    behind = pipeline.span + (rows - 1) * hop_length - pipeline.lead - len(samples)
    padded = np.pad(samples, (pipeline.lead, max(0, behind)))
    out = [pipeline.process(padded[at : at + block]) for at in range(0, len(padded), block)]
    return np.concatenate(out).reshape(-1)[: len(samples)]
