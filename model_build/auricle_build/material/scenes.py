"""Soundscapes with exact truth are composed here: events over real backgrounds, with foreign sounds between them, from
a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import yaml

from auricle.errors import AudioError, ConfigError
from auricle.judge import truth
from auricle.judge.truth import Event
from auricle_build.grammar import fit
from auricle_build.grammar.recipes import Recipe
from auricle_build.material import clips as clipping
from auricle_build.material import codec
from auricle_build.material import phone as phones
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip
from auricle_build.material.sound import Sound

FRAME_S = 0.02
BRIDGE_S = 1.2
"""The longest silence inside a sound that still belongs to the sound: a clock ticks once a second."""
LONGEST_S = 10.0
FADE_S = 0.01
ABOUT = "about.yaml"
"""The file beside scenes that says how they were made."""


@dataclass(frozen=True)
class Plan:
    """Says what a scene is like.

    Args:
        seconds: how long.
        sample_rate: in Hz.
        snr_db: an event's level over the background that it lies on, drawn between the two.
        every_s: seconds of scene for each event, on average.
        foreign_every_s: the same for distractors.
        overlap: share of events that may lie over another one of another label.
        room: share of events and distractors heard through a room.
        level_dbfs: of the background, drawn between the two for each piece of it.
    """

    seconds: float
    sample_rate: int = 16000
    snr_db: tuple[float, float] = (0.0, 20.0)
    every_s: float = 12.0
    foreign_every_s: float = 20.0
    overlap: float = 0.2
    room: float = 0.5
    level_dbfs: tuple[float, float] = (-50.0, -32.0)


def active(sound: Sound, sample_rate: int) -> list[tuple[int, int]]:
    """Find the stretches in which a clip sounds: its truth, without the padding and the pauses around it.

    A frame sounds if it is within 25 dB of the loudest one, or 10 dB above the clip's own noise (its lowest tenth)
    where that is more, but never asked to come nearer than 10 dB to the loudest: rain sounds throughout. Pauses of up
    to 1.2 s belong to the sound.

    Shape:
        sound ``(n,)``; pairs of first and last-plus-one sample, in order.
    """
    step = int(FRAME_S * sample_rate)
    n = len(sound) // step
    if n == 0:
        return []
    power = np.square(sound[: n * step].astype(np.float64)).reshape(n, step).mean(axis=1)
    level = 10 * np.log10(np.convolve(power, np.ones(3) / 3, mode="same") + 1e-12)
    top = float(level.max())
    if top < -90:
        return []
    sounding = level[level > -90]
    least = min(max(top - 25, float(np.percentile(sounding, 10)) + 10), top - 10)
    loud = np.flatnonzero(level >= least)
    breaks = np.flatnonzero(np.diff(loud) > BRIDGE_S / FRAME_S)
    firsts, lasts = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]]
    return [(int(a) * step, int(b + 1) * step) for a, b in zip(firsts, lasts, strict=True)]


def _power(sound: Sound) -> float:
    return float(np.mean(np.square(sound, dtype=np.float64))) + 1e-12


class Composer:
    """Places sounds into a scene; every draw comes from one generator.

    Args:
        plan: what the scene is like.
        rng: where chance comes from.
    """

    def __init__(self, plan: Plan, rng: np.random.Generator) -> None:
        self.plan = plan
        self._rng = rng
        self.sound: Sound = np.zeros(round(plan.seconds * plan.sample_rate), np.float32)
        self._background = self.sound
        self._taken: list[tuple[int, int, str]] = []

    def lay_background(self, pieces: Sequence[Sound]) -> None:
        """Lay pieces in a drawn order, each at its drawn level, faded into the next over a second."""
        rate = self.plan.sample_rate
        at, fade = 0, rate
        while at < len(self.sound):
            for index in self._rng.permutation(len(pieces)):
                if at >= len(self.sound):
                    break
                piece = np.array(pieces[index], np.float32)
                level = 10 ** (self._rng.uniform(*self.plan.level_dbfs) / 20)
                piece *= np.float32(level / np.sqrt(_power(piece)))
                ramp = min(fade, len(piece) // 2)
                if at:
                    piece[:ramp] *= np.sqrt(np.linspace(0, 1, ramp, dtype=np.float32))
                piece[len(piece) - ramp :] *= np.sqrt(np.linspace(1, 0, ramp, dtype=np.float32))
                heard = piece[: len(self.sound) - at]
                self.sound[at : at + len(heard)] += heard
                at += max(1, len(piece) - ramp)
        self._background = self.sound.copy()

    def place(self, sound: Sound, label: str, *, alone: bool) -> tuple[Event, float] | None:
        """Put the active part of a clip somewhere; return the event and its level over the background, or None if there
        is no place.

        Args:
            alone: whether nothing else may sound there; the same label never sounds twice within two seconds.
        """
        rate, rng = self.plan.sample_rate, self._rng
        stretches = [s for s in active(sound, rate) if s[1] - s[0] >= 0.1 * rate]
        if not stretches:
            return None
        first, last = stretches[rng.integers(len(stretches))]
        part = sound[first : min(last, first + round(LONGEST_S * rate))].copy()
        if len(part) + rate >= len(self.sound):
            return None
        fade = round(FADE_S * rate)
        part[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        part[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        in_room = rng.random() < self.plan.room
        response = sounds.room(int(rng.integers(2**31)), rate)
        snr_db = float(rng.uniform(*self.plan.snr_db))
        for _ in range(50):
            at = int(rng.integers(rate // 2, len(self.sound) - len(part) - rate // 2))
            if self._is_free(at, at + len(part), label, alone):
                break
        else:
            return None
        behind = _power(self._background[at : at + len(part)])
        # The tail rings on after the event, as rooms do; the truth is the sound itself, and its level the one there.
        heard = sounds.in_room(np.pad(part, (0, len(response))), response) if in_room else part
        gain = np.sqrt(behind / _power(heard[: len(part)])) * 10 ** (snr_db / 20)
        heard = heard[: len(self.sound) - at] * np.float32(gain)
        self.sound[at : at + len(heard)] += heard
        self._taken.append((at, at + len(part), label))
        return Event(at / rate, (at + len(part)) / rate, label), snr_db

    def _is_free(self, first: int, last: int, label: str, alone: bool) -> bool:
        apart = 2 * self.plan.sample_rate
        for other_first, other_last, other in self._taken:
            near = first < other_last + apart and last > other_first - apart
            if near and (alone or other == label):
                return False
        return True


@dataclass(frozen=True)
class Scene:
    """Holds a scene ``sound`` (n,) float32, its true events by onset, and beside them their levels over the
    background."""

    sound: Sound
    events: list[Event]
    snr_db: list[float]


def compose(
    seed: int,
    plan: Plan,
    events: Mapping[str, Sequence[Sound]],
    backgrounds: Sequence[Sound],
    foreign: Sequence[Sound],
) -> Scene:
    """Compose a scene from its material, the same for the same seed: labels take turns, so that each comes equally
    often.

    Never louder than full scale: the whole scene is turned down where it would be.
    """
    rng = np.random.default_rng(seed)
    composer = Composer(plan, rng)
    composer.lay_background(backgrounds)
    labels = sorted(label for label, found in events.items() if found)
    bags = {label: _Bag(events[label], rng) for label in labels}
    placed: list[tuple[Event, float]] = []
    for i in range(round(plan.seconds / plan.every_s) if labels else 0):
        label = labels[i % len(labels)]
        found = composer.place(bags[label].draw(), label, alone=rng.random() >= plan.overlap)
        if found is not None:
            placed.append(found)
    others = _Bag(foreign, rng) if foreign else None
    for i in range(round(plan.seconds / plan.foreign_every_s) if others else 0):
        assert others is not None
        composer.place(others.draw(), f"foreign {i}", alone=True)
    sound = composer.sound
    peak = float(np.abs(sound).max(initial=0.0))
    if peak > 0.99:
        sound = np.asarray(sound * np.float32(0.99 / peak), np.float32)
    placed.sort()
    return Scene(sound, [event for event, _ in placed], [round(snr, 2) for _, snr in placed])


class _Bag:
    """Draws without putting back until it is empty, then anew."""

    def __init__(self, items: Sequence[Sound], rng: np.random.Generator) -> None:
        self._items, self._rng = items, rng
        self._left: list[int] = []

    def draw(self) -> Sound:
        if not self._left:
            self._left = self._rng.permutation(len(self._items)).tolist()
        return self._items[self._left.pop()]


def medley(
    seed: int, foreign: Sequence[Sound], names: Sequence[str], sample_rate: int, level_dbfs: tuple[float, float]
) -> tuple[Sound, list[Event]]:
    """Play every foreign sound once, one after the other, each at a drawn level: negatives that are no repetition.

    Returns:
        the sound ``(n,)`` float32, and which sound is where.
    """
    rng = np.random.default_rng(seed)
    parts, what, at = [], [], 0
    fade = round(FADE_S * sample_rate)
    for index in rng.permutation(len(foreign)):
        first, last = sounds.sounding(foreign[index])
        part = np.array(foreign[index][first:last], np.float32)
        if len(part) <= 2 * fade:
            continue
        part *= np.float32(10 ** (rng.uniform(*level_dbfs) / 20) / np.sqrt(_power(part)))
        part[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        part[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        parts.append(np.clip(part, -1.0, 1.0))
        what.append(Event(at / sample_rate, (at + len(part)) / sample_rate, names[index]))
        at += len(part)
    return np.concatenate([np.zeros(0, np.float32), *parts]), what


@dataclass(frozen=True)
class Material:
    """Holds clips for scenes: of the labels, of backgrounds (minutes long), and of what is foreign.

    ``quiet``: those of the last two that the negatives are made of.
    """

    events: Mapping[str, Sequence[Clip]]
    backgrounds: Sequence[Clip]
    foreign: Sequence[Clip]
    quiet: frozenset[Clip]


def material(
    rec: Recipe, folds: Sequence[int], root: Path, labels: Sequence[str] = (), background_set: str = "ambient"
) -> Material:
    """Gather what a model trained without ``folds`` has never heard: these folds, and what its recipe holds out anyway.

    The negatives are of these folds alone where there are any, so that those of several models are different hours.

    Args:
        labels: the only ones that events are of; what the others are is foreign then. Without any, all of the recipe.
        background_set: the set whose recordings lie under everything; those of an event's label are left out.

    Raises:
        ConfigError: the material is not there, there is nothing to lie under the events, or a label is not known or has
            no recordings.
    """
    known = rec.events
    if wrong := [label for label in labels if label not in known]:
        raise ConfigError([f"--label: {fit.unknown(label, known, 'none of the labels')}" for label in wrong])
    _, kept, _ = clipping.split(clipping.read(rec.data.sets, root), {*folds, *rec.data.held_out})
    events: dict[str, list[Clip]] = {label: [] for label in labels or known}
    backgrounds, foreign = [], []
    for clip in kept:
        if clip.label in events:
            # Minutes of one place are no event.
            if clip.origin != background_set:
                events[clip.label].append(clip)
        elif clip.origin == background_set:
            backgrounds.append(clip)
        else:
            foreign.append(clip)
    if not backgrounds:
        raise ConfigError([f"scenes: no background among the folds {sorted(folds)} of the set {background_set!r}"])
    if deaf := [label for label in labels if not events[label]]:
        raise ConfigError([f"--label: no recordings of {', '.join(deaf)} among the folds {sorted(folds)}; give others"])
    quiet = frozenset(clip for clip in (*backgrounds, *foreign) if not folds or clip.fold in folds)
    return Material(events, backgrounds, foreign, quiet)


def _load(clips: Sequence[Clip], sample_rate: int, say: Callable[[str], None]) -> tuple[list[Sound], list[str]]:
    """Load the sounds that can be read, and what each is: label and file."""
    found, names = [], []
    for clip in clips:
        try:
            found.append(sounds.load(clip.path, sample_rate, clip.onset_s, clip.offset_s))
            names.append(f"{clip.label} {clip.path.stem}")
        except AudioError as error:
            say(f"skipped: {error}")
    return found, names


def write(
    out: Path,
    chosen: Material,
    plan: Plan,
    *,
    seed: int,
    number: int,
    negatives: bool,
    phone: bool = False,
    say: Callable[[str], None],
) -> list[Path]:
    """Write scenes as FLAC, each with its truth beside it (onset, offset, label), and negatives where wanted.

    The negatives are one recording of every foreign sound once (beside it, which is where), and the backgrounds as they
    are, in ``negatives``.

    Args:
        phone: whether all of it is as a phone would have recorded it: every scene and every background by one of its
            own, and every foreign sound.

    Returns:
        the recordings.

    Raises:
        ConfigError: for a phone there is no codec.
    """
    if phone:
        codec.require("scenes: --phone")
    rate = plan.sample_rate
    written: list[Path] = []

    def by_phone(heard: Sequence[Sound], *seeds: int) -> list[Sound]:
        rng = np.random.default_rng(seeds)
        return [phones.picked_up(each, rng, rate) if phone else each for each in heard]

    def save(path: Path, sound: Sound) -> None:
        stored = codec.coded(sound, rate, phones.BITS) if phone else sound
        soundfile.write(path, np.clip(stored, -1.0, 1.0), rate, subtype="PCM_16")
        written.append(path)

    events = {label: _load(clips, rate, say)[0] for label, clips in chosen.events.items()}
    backgrounds, _ = _load(chosen.backgrounds, rate, say)
    foreign, _ = _load(chosen.foreign, rate, say)
    out.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        scene = compose(seed + i, plan, events, backgrounds, foreign)
        path = out / f"scene-{seed + i:03d}.flac"
        save(path, *by_phone([scene.sound], seed + i, 1))
        truth.write(path.with_suffix(".txt"), scene.events)
        say(f"{path}: {plan.seconds / 60:.1f} min, {len(scene.events)} events")
    if negatives:
        folder = out / "negatives"
        folder.mkdir(exist_ok=True)
        places, place_names = _load([c for c in chosen.backgrounds if c in chosen.quiet], rate, say)
        others, names = _load([c for c in chosen.foreign if c in chosen.quiet], rate, say)
        places, others = by_phone(places, seed, 2), by_phone(others, seed, 3)
        mixed, what = medley(seed, others, names, rate, (-40.0, -18.0))
        # So that a false alarm can be traced to its clip, and the clip trained on.
        truth.write(folder / "foreign.txt", what)
        pieces = {"foreign": mixed, **dict(zip((n.split(" ", 1)[1] for n in place_names), places, strict=True))}
        for name, sound in pieces.items():
            if len(sound):
                save(folder / f"{name}.flac", sound)
        say(f"{folder}: {sum(map(len, pieces.values())) / rate / 60:.1f} min without events")
    return written


def state(out: Path, plan: Plan, **more: object) -> None:
    """Write beside scenes how they were made, so that a report on them can state it."""
    told = {**more, "minutes": plan.seconds / 60, "snr_db": [*plan.snr_db], "every_s": plan.every_s}
    told = {name: value for name, value in told.items() if value not in ([], False)}
    (out / ABOUT).write_text(yaml.safe_dump(told, sort_keys=False, default_flow_style=None), encoding="utf-8")
