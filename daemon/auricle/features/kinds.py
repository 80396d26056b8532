"""The kinds of features: which chain of stages computes each, and which parameters it takes."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from auricle.features import micro
from auricle.features.cens import ChromaCens
from auricle.features.chroma import ChromaStft
from auricle.features.cqt import ChromaCqt
from auricle.features.mel import LogMel, MelSpectrogram
from auricle.features.mfcc import Delta, Mfcc
from auricle.features.micro import Micro
from auricle.features.pcen import Pcen
from auricle.gate.overlap import OverlapAdd
from auricle.stages.pre_emphasis import PreEmphasis
from auricle.stages.spectrum import Power, Root, Spectrum, frame_length, taper
from auricle.stages.stage import Slices, Stage

SOUND = "sound"
"""The kind that is no feature but the sound itself, behind the gate if there is one, a hop of samples a row."""
KINDS = ("mel", "log_mel", "pcen", "mfcc", "delta", "chroma_stft", "chroma_cqt", "chroma_cens", "micro", SOUND)


@dataclass(frozen=True)
class Step:
    """A step is a stage yet to be built; chains that begin with equal steps share them."""

    make: Callable[..., Stage]
    params: tuple[tuple[str, Any], ...] = ()

    def build(self) -> Stage:
        """Build the stage."""
        return self.make(**dict(self.params))


@dataclass(frozen=True)
class Chain:
    """Holds the steps from samples to one kind of feature, and how many columns come out."""

    kind: str
    steps: tuple[Step, ...]
    width: int


@dataclass(frozen=True)
class Frames:
    """Holds what all features of a front end share: how its frames are cut, tapered and gated."""

    sample_rate: int
    n_fft: int
    win_length: int | None
    hop_length: int
    pre_emphasis: float | None = None
    taper: str = "hann"
    align: str = "centre"
    remove_dc: bool = False
    gate: Step | None = None

    @property
    def before(self) -> tuple[Step, ...]:
        """Return the steps that the samples go through first, whatever the feature."""
        if self.pre_emphasis is None:
            return ()
        return (Step(PreEmphasis, (("coefficient", self.pre_emphasis),)),)

    def power(self, n_fft: int, win_length: int | None) -> list[Step]:
        """Return the steps from samples to power spectra, of frames of the front end's own lengths or of a
        feature's."""
        lengths = (("n_fft", n_fft), ("win_length", win_length))
        how = (("kind", self.taper), ("align", self.align), ("remove_dc", self.remove_dc))
        return [
            *self.before,
            Step(Slices, (("span", frame_length(n_fft, win_length, self.align)), ("hop", self.hop_length))),
            Step(Spectrum, (*lengths, *how)),
            Step(Power),
        ]

    def gain(self, scaling: str | None, n_fft: int, win_length: int | None, exponent: float) -> float:
        """Return the factor of a spectrum's ``|X| ** exponent`` where that is to be scaled.

        Raises:
            ValueError: the scaling is not known.
        """
        if scaling is None:
            return 1.0
        if scaling == "sum":
            return float(taper(n_fft, win_length, self.taper).sum() ** -exponent)
        if scaling == "length":
            return float((win_length or n_fft) ** (-exponent / 2.0))
        raise ValueError(f"scaling {scaling!r} of spectra is not known; use sum, length or none")


class _Params:
    """Hands out the parameters of one feature: each stage takes its own, and none may be left."""

    def __init__(self, kind: str, params: Mapping[str, Any]) -> None:
        self._kind = kind
        self._left = dict(params)
        self._known: set[str] = set()

    def take(self, name: str, default: Any, wanted: str = "") -> Any:
        self._known.add(name)
        value = self._left.pop(name, default)
        self._check(name, value, wanted)
        return value

    def step(self, make: Callable[..., Stage], *, renamed: Mapping[str, str] | None = None, **given: Any) -> Step:
        renamed = renamed or {}
        for name, parameter in inspect.signature(make).parameters.items():
            if name not in given:
                outer = renamed.get(name, name)
                self._known.add(outer)
                if outer in self._left:
                    given[name] = self._left.pop(outer)
                    self._check(outer, given[name], str(parameter.annotation))
        # Steps are compared and looked up: a list is kept as what can be.
        return Step(make, tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in sorted(given.items())))

    def _check(self, name: str, value: Any, wanted: str) -> None:
        """Refuse what is no number, or no switch, where the stage's signature wants one."""
        if value is None and "None" in wanted:
            return
        if wanted.startswith(("float", "int")) and (isinstance(value, bool) or not isinstance(value, int | float)):
            # YAML 1.1, which PyYAML reads, takes 1e-5 for a word.
            point = "; write it with a point, as 1.0e-5" if isinstance(value, str) and "e" in value else ""
            raise ValueError(f"feature {self._kind}: {name} {value!r} is no number{point or '; use one'}")
        if wanted.startswith("int") and value % 1 != 0:
            raise ValueError(f"feature {self._kind}: {name} {value!r} is no whole number; use one")
        if wanted.startswith("bool") and not isinstance(value, bool):
            raise ValueError(f"feature {self._kind}: {name} {value!r} is no switch; use true or false")

    def done(self) -> None:
        for name in self._left:
            near = difflib.get_close_matches(name, self._known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"use {', '.join(sorted(self._known))}"
            raise ValueError(f"feature {self._kind}: unknown parameter {name!r}; {remedy}")


def chain(feature: Mapping[str, Any], frames: Frames) -> Chain:
    """Return the chain of steps for a feature ``{"kind": ..., **parameters}``.

    Raises:
        ValueError: the kind or one of its parameters is not known.
    """
    kind = feature.get("kind")
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        raise ValueError(f"unknown feature kind {kind!r}; " + (f"did you mean {near[0]!r}?" if near else _use()))
    params = _Params(str(kind), {name: value for name, value in feature.items() if name != "kind"})
    if kind == "delta":
        of = params.take("of", None)
        if not isinstance(of, Mapping):
            raise ValueError(f"feature delta: of is {of!r}; use the feature to take the slope of, as {{kind: mfcc}}")
        base = chain(of, frames)
        made = Chain(f"delta of {base.kind}", (*base.steps, params.step(Delta)), base.width)
    elif kind == "micro":
        made = _micro(frames)
    elif kind == SOUND:
        made = _sound(frames)
    elif kind in ("chroma_cqt", "chroma_cens"):
        made = _cqt(str(kind), params, frames)
    else:
        made = _stft(str(kind), params, frames)
    params.done()
    return made


def _use() -> str:
    return f"use {', '.join(KINDS)}"


def _micro(frames: Frames) -> Chain:
    """Return the chain of the micro front end, which has its own frames, tapers and filters."""
    if (frames.sample_rate, frames.hop_length) != (micro.RATE, micro.HOP):
        raise ValueError(
            f"feature micro: sample_rate {frames.sample_rate} and hop_length {frames.hop_length} cannot be; "
            f"use {micro.RATE} and {micro.HOP}"
        )
    return Chain("micro", (*frames.before, Step(Micro)), micro.WIDTH)


def _sound(frames: Frames) -> Chain:
    """Return the chain of rows of ``hop_length`` samples: as they are, or put together again from the spectra that the
    gate let through."""
    hop = frames.hop_length
    if frames.remove_dc or frames.taper != "hann" or frames.align != "centre":
        raise ValueError("feature sound: remove_dc, taper and align are of frames, which sound has none of; leave them")
    if frames.gate is None:
        return Chain(SOUND, (*frames.before, Step(Slices, (("hop", hop), ("lead", 0), ("span", hop)))), hop)
    lengths = (("n_fft", frames.n_fft), ("win_length", frames.win_length))
    steps = (
        *frames.before,
        Step(Slices, (("span", frames.n_fft), ("hop", hop))),
        Step(Spectrum, lengths),
        frames.gate,
        Step(OverlapAdd, (*lengths, ("hop_length", hop))),
    )
    return Chain(SOUND, steps, hop)


def _cqt(kind: str, params: _Params, frames: Frames) -> Chain:
    given: dict[str, Any] = {"sample_rate": frames.sample_rate, "hop_length": frames.hop_length}
    width = int(params.take("n_chroma", 12, "int"))
    if kind == "chroma_cqt":
        return Chain(kind, (*frames.before, params.step(ChromaCqt, n_chroma=width, **given)), width)
    cens = params.step(ChromaCens)
    return Chain(kind, (*frames.before, params.step(ChromaCqt, n_chroma=width, norm=None, **given), cens), width)


def _stft(kind: str, params: _Params, frames: Frames) -> Chain:
    n_fft = int(params.take("n_fft", frames.n_fft, "int"))
    win_length = params.take("win_length", frames.win_length if n_fft == frames.n_fft else None, "int | None")
    steps = frames.power(n_fft, win_length)
    if frames.gate is not None:
        if (n_fft, win_length) != (frames.n_fft, frames.win_length):
            raise ValueError(
                f"feature {kind}: n_fft {n_fft}, win_length {win_length} of its own, but the gate works on frames of "
                f"{frames.n_fft}, {frames.win_length}; leave them out, or turn the gate off"
            )
        steps.append(frames.gate)
    spectrum: dict[str, Any] = {"sample_rate": frames.sample_rate, "n_fft": n_fft}
    if kind == "chroma_stft":
        width = int(params.take("n_chroma", 12, "int"))
        return Chain(kind, (*steps, params.step(ChromaStft, n_chroma=width, **spectrum)), width)
    # PCEN has a `power` of its own, and the cosine transform a `norm`: there the mel's are called mel_power and
    # mel_norm.
    exponent = float(params.take("mel_power", 1.0, "float") if kind == "pcen" else params.take("power", 2.0, "float"))
    if exponent != 2.0:
        steps.append(Step(Root, (("exponent", exponent),)))
    gain = frames.gain(params.take("scaling", None), n_fft, win_length, exponent)
    n_mels = int(params.take("n_mels", 128, "int"))
    renamed = {"norm": "mel_norm"} if kind == "mfcc" else {}
    steps.append(params.step(MelSpectrogram, renamed=renamed, n_mels=n_mels, gain=gain, **spectrum))
    keep = dict(steps[-1].params).get("keep")
    width = n_mels if keep is None else keep
    if kind == "pcen":
        steps.append(params.step(Pcen, sample_rate=frames.sample_rate, hop_length=frames.hop_length))
    if kind in ("log_mel", "mfcc"):
        steps.append(params.step(LogMel))
    if kind == "mfcc":
        n_mfcc = int(params.take("n_mfcc", 20, "int"))
        steps.append(params.step(Mfcc, n_mels=width, n_mfcc=n_mfcc))
        width = n_mfcc
    return Chain(kind, tuple(steps), width)
