"""This report asks whether the noise gate helps: a model is judged with and without it, on clips in noise and on
minutes of steady sound."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.errors import ConfigError
from auricle.features.kinds import Frames
from auricle.gate.noise import Floor, Geometry, floor_of
from auricle.hearing import pipeline
from auricle.hearing.afresh import Afresh
from auricle.model.bundle import Bundle
from auricle.stages.stage import Pipeline
from auricle_build.grammar import read as recipes
from auricle_build.material import clips as recordings
from auricle_build.material import sound as sounds
from auricle_build.material.clips import Clip
from auricle_build.material.sound import Sound

SNRS_DB: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0, 0.0)
PROFILE_S = 5.0
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "off": {"enabled": "off"},
    "on": {"enabled": "on"},
    "on, sensitivity 0": {"enabled": "on", "sensitivity": 0.0},
    "on, reduction 0.5": {"enabled": "on", "reduction": 0.5},
}
STEADY = ("rain", "sea_waves", "helicopter", "chainsaw")
STEADY_S = 60.0
ROOM_DBFS = -60.0


@dataclass(frozen=True)
class Mixture:
    """Holds one clip in one noise: what was said of it under each setting, among all labels and among the events
    alone."""

    label: str
    snr_db: float | None
    said: Mapping[str, str]
    among_events: Mapping[str, str]


@dataclass(frozen=True)
class Steady:
    """Holds a minute of a sound that does not stop, under one setting of the gate.

    Args:
        setting: how the gate came to its floor, or that it was off.
        share: of the decisions in which the label had the highest score.
        score: mean score of the label.
        taken_db: how much of the power the gate took away.
    """

    label: str
    setting: str
    share: float
    score: float
    taken_db: float


class GatedModel:
    """Hears with the gate off or on, from a floor that is set before every recording."""

    def __init__(self, bundle: Bundle, **gate: Any) -> None:
        self._bundle = bundle
        scorer = pipeline.scorer(bundle, config.Decision(), config.Gate(**gate))
        self.gate, self._span = scorer.front_end.gate, scorer.stages.span
        self._afresh = Afresh(scorer.stages, self.gate)

    def scores(self, sound: Sound, floor: Floor | None = None) -> NDArray[np.float32]:
        """Return the scores ``(n_windows, n_labels)`` of a recording, by the daemon's own stages, from a stated
        floor."""
        size = pipeline.block_samples(self._bundle)
        blocks = (sound[i : i + size] for i in range(0, len(sound), size))
        learned = {} if floor is None else floor.learned
        return self._afresh.hear(blocks, at_least=self._span, learned=learned)[0]

    def verdict(self, sound: Sound, floor: Floor | None = None) -> tuple[str, str]:
        """Return the label of a recording as `auricle classify` gives it, and the highest of those that are events."""
        labels, mean = self._bundle.labels, self.scores(sound, floor).mean(axis=0)
        events = [i for i, label in enumerate(labels) if label != self._bundle.card.background]
        return labels[int(mean.argmax())], labels[events[int(mean[events].argmax())]]


def geometry(bundle: Bundle) -> tuple[Geometry, int]:
    """Return the frames that a floor for this model belongs to, and their hop."""
    front = bundle.card.front_end
    lengths = (front.sample_rate, front.n_fft, front.win_length or front.n_fft)
    return Geometry(*lengths, front.pre_emphasis, front.taper, front.remove_dc), front.hop_length


def level(sound: Sound) -> float:
    """Return the root of the mean square, over the part that is not digital silence."""
    begin, end = sounds.sounding(sound)
    return float(np.sqrt(np.mean(np.square(sound[begin:end], dtype=np.float64)))) + 1e-9


def mix(clip: Sound, noise: Sound, snr_db: float) -> tuple[Sound, Sound]:
    """Mix the clip with noise of its own length at an SNR; with ``PROFILE_S`` of the same noise alone at the same
    level.

    Args:
        noise: at least as long as the clip and the profile together; the profile is its beginning.
    """
    profile, under = noise[: -len(clip)], noise[-len(clip) :]
    gain = level(clip) / level(under) * 10.0 ** (-snr_db / 20.0)
    return clip + np.float32(gain) * under, np.float32(gain) * profile


def in_noise(
    bundle: Bundle, clips: Sequence[Clip], noises: Sequence[Clip], told: Callable[[int, int], None]
) -> list[Mixture]:
    """Judge every clip alone and at every SNR, in one of the noises each, under every setting of the gate.

    The gate's floor is that of the noise just before the clip, as a room's would be; for a clip alone, of a quiet room.
    """
    rate = bundle.card.front_end.sample_rate
    places = [sounds.load(noise.path, rate, 0.0, 90.0) for noise in noises]
    ears = {name: GatedModel(bundle, **gate) for name, gate in SETTINGS.items()}
    frames = geometry(bundle)
    quiet = floor_of(_room(rate), *frames)
    found = []
    for number, clip in enumerate(clips):
        told(number + 1, len(clips))
        sound = sounds.load(clip.path, rate, clip.onset_s, clip.offset_s)
        rng = np.random.default_rng(zlib.crc32(clip.path.name.encode()))
        need = len(sound) + int(PROFILE_S * rate)
        place = sounds.wrap(places[int(rng.integers(len(places)))], need)
        begin = int(rng.integers(len(place) - need + 1))
        for snr_db in SNRS_DB:
            if snr_db is None:
                heard, floor = sound, quiet
            else:
                heard, profile = mix(sound, place[begin : begin + need], snr_db)
                floor = floor_of(profile, *frames)
            verdicts = {name: ear.verdict(heard, floor) for name, ear in ears.items()}
            said, among = ({name: pair[i] for name, pair in verdicts.items()} for i in (0, 1))
            found.append(Mixture(clip.label, snr_db, said, among))
    return found


def steady(bundle: Bundle, clips: Sequence[Clip]) -> list[Steady]:
    """Judge a minute of each steady sound, with the gate off, from a quiet room's floor, learned from the sound itself,
    adapting."""
    rate = bundle.card.front_end.sample_rate
    quiet = floor_of(_room(rate), *geometry(bundle))
    settings: dict[str, tuple[dict[str, Any], Floor | None]] = {
        "off": ({"enabled": "off"}, None),
        "floor of a quiet room": ({"enabled": "on"}, quiet),
        "learned from its first 2 s": ({"enabled": "on", "start_up_s": 2.0}, None),
        "adapting, 60 s": ({"enabled": "on", "adaptation_s": 60.0}, quiet),
        "adapting, 5 s": ({"enabled": "on", "adaptation_s": 5.0}, quiet),
    }
    found = []
    for label in STEADY:
        mine = [clip for clip in clips if clip.label == label]
        if label not in bundle.labels or not mine:
            continue
        sound = _minute(mine, rate)
        for name, (gate, floor) in settings.items():
            ear = GatedModel(bundle, **gate)
            scores = ear.scores(sound, floor)
            of_label = scores[:, bundle.labels.index(label)]
            share = float(np.mean(scores.argmax(axis=1) == bundle.labels.index(label)))
            found.append(Steady(label, name, share, float(of_label.mean()), _taken_db(bundle, ear, sound, floor)))
    return found


def _room(rate: int) -> Sound:
    """Make five seconds of faint white noise: a quiet room."""
    noise = np.random.default_rng(0).standard_normal(int(PROFILE_S * rate))
    return np.asarray(10.0 ** (ROOM_DBFS / 20.0) * noise, np.float32)


def _minute(clips: Sequence[Clip], rate: int) -> Sound:
    parts: list[Sound] = []
    # The longest recordings first: as few joints as there can be.
    loaded = sorted((sounds.load(c.path, rate, c.onset_s, c.offset_s) for c in clips), key=len, reverse=True)
    for part in loaded:
        begin, end = sounds.sounding(part)
        parts.append(part[begin:end] * np.float32(0.05 / level(part)))
        if sum(map(len, parts)) >= STEADY_S * rate:
            break
    return np.asarray(np.concatenate(parts)[: int(STEADY_S * rate)], np.float32)


def _taken_db(bundle: Bundle, ear: GatedModel, sound: Sound, floor: Floor | None) -> float:
    if ear.gate is None:
        return 0.0
    front = {name: value for name, value in bundle.card.front_end.params().items() if name != "features"}
    steps = Frames(**front).power(front["n_fft"], front["win_length"])
    frames = Pipeline([step.build() for step in steps])
    before = frames.process(sound)
    ear.gate.reset()
    ear.gate.learned = {} if floor is None else floor.learned
    after = ear.gate.process(before)
    return float(10.0 * np.log10(before.sum(dtype=np.float64) / (after.sum(dtype=np.float64) + 1e-30)))


def report(
    bundle: Bundle, root: Path | None, folds: Sequence[int], out: Path, told: Callable[[int, int], None]
) -> Path:
    """Judge the bundle on the clips of some folds and write ``gate-report.md`` and its picture.

    Args:
        root: the folder that the recipe's recordings lie in; the recipe's own unless given.
        folds: of the recipe's first set.
        out: the folder of the report.

    Raises:
        ConfigError: the card names no recordings, or none of these folds are there.
    """
    said = bundle.raw.get("recipe")
    if not isinstance(said, dict):
        raise ConfigError([f"{bundle.path}: its card names no recipe; use a bundle made by auricle-build train"])
    data = recipes.of(said, f"{bundle.path / 'card.yaml'}: recipe").data
    everything = recordings.read(data.sets, data.folder(root))
    events = frozenset(bundle.labels) - {bundle.card.background}
    first = data.sets[0].name
    clips = [c for c in everything if c.origin == first and c.fold in folds and c.label in events]
    noises = [c for c in everything if c.origin == "ambient" and c.label not in events]
    if not clips or not noises:
        raise ConfigError([f"{root}: no clips of folds {list(folds)}, or no ambient noise; use --data and --fold"])
    mixtures = in_noise(bundle, clips, noises, told)
    minutes = steady(bundle, [c for c in everything if c.label in events])
    out.joinpath("images").mkdir(parents=True, exist_ok=True)
    draw(mixtures, out / "images" / "gate-report.png")
    trained_on = next((entry["clips"] for entry in bundle.raw.get("trained_on", ()) if entry["name"] == first), 0)
    there = sum(c.origin == first for c in everything)
    known = f"The model was trained on {trained_on} of the {there} clips of {first} that are there"
    known += (
        ", these among them: read the differences between the columns, not the level." if trained_on >= there else "."
    )
    path = out / "gate-report.md"
    path.write_text("\n".join(text(bundle, mixtures, minutes, len(clips), len(noises), folds, known)) + "\n")
    return path


def accuracy(
    mixtures: Sequence[Mixture],
    snr_db: float | None,
    setting: str,
    *,
    label: str | None = None,
    among_events: bool = False,
) -> float:
    """Return the share of right verdicts, of one class or of all."""
    mine = [m for m in mixtures if m.snr_db == snr_db and label in (None, m.label)]
    right = [(m.among_events if among_events else m.said)[setting] == m.label for m in mine]
    return float(np.mean(right)) if right else float("nan")


def _name(snr_db: float | None) -> str:
    return "alone" if snr_db is None else f"{snr_db:g} dB"


def text(
    bundle: Bundle,
    mixtures: Sequence[Mixture],
    minutes: Sequence[Steady],
    n_clips: int,
    n_noises: int,
    folds: Sequence[int],
    known: str,
) -> list[str]:
    """Write the report's lines."""
    labels = sorted({m.label for m in mixtures})
    trained = "behind" if bundle.card.front_end.behind_gate else "without"
    lines = [
        "# Does the noise gate help?",
        "",
        "Written by `auricle-build gate-report`; do not edit.",
        "",
        f"Model `{bundle.card.name}` ({bundle.hash}), trained {trained} the gate, on {n_clips} clips (folds "
        f"{', '.join(map(str, folds))}), each mixed with one of {n_noises} real ambient recordings. {known} The gate "
        f"has its default settings; its floor is that of {PROFILE_S:g} s of the same noise before the clip, and for "
        f"clips alone that of a quiet room ({ROOM_DBFS:g} dBFS).",
        "",
        "Share of clips named right, background counting as wrong, and in brackets among the events alone:",
        "",
        "| SNR | " + " | ".join(f"gate {name}" for name in SETTINGS) + " |",
        "|-" * (len(SETTINGS) + 1) + "|",
    ]
    for snr_db in SNRS_DB:
        shares = [(accuracy(mixtures, snr_db, s), accuracy(mixtures, snr_db, s, among_events=True)) for s in SETTINGS]
        lines.append(f"| {_name(snr_db)} | " + " | ".join(f"{a:.1%} ({b:.1%})" for a, b in shares) + " |")
    lines += ["", "By class, gate off -> on, in per cent:", ""]
    lines += ["| | " + " | ".join(map(_name, SNRS_DB)) + " |", "|-" * (len(SNRS_DB) + 1) + "|"]
    for label in labels:
        pairs = [[100 * accuracy(mixtures, snr, s, label=label) for s in ("off", "on")] for snr in SNRS_DB]
        lines.append(f"| {label} | " + " | ".join(f"{off:.0f} -> {on:.0f}" for off, on in pairs) + " |")
    lines += [
        "",
        "![Accuracy over SNR, and the difference by class](images/gate-report.png)",
        "",
        "A minute of sound that does not stop, alone: share of the decisions in which its label has the highest score,",
        "its mean score, and how much of its power the gate takes away:",
        "",
        "| sound | gate | share | score | taken away |",
        "|-|-|-|-|-|",
    ]
    lines += [f"| {m.label} | {m.setting} | {m.share:.0%} | {m.score:.2f} | {m.taken_db:.1f} dB |" for m in minutes]
    return lines


def draw(mixtures: Sequence[Mixture], path: Path) -> None:
    """Draw accuracy over SNR under every setting, and what the gate gains or costs by class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    for setting, style in zip(SETTINGS, ("o--", "s-", "^:", "v:"), strict=True):
        line = [100 * accuracy(mixtures, snr_db, setting) for snr_db in SNRS_DB]
        left.plot(range(len(SNRS_DB)), line, style, label=f"gate {setting}")
    left.set_xticks(range(len(SNRS_DB)), [_name(snr_db) for snr_db in SNRS_DB])
    left.set(ylim=(0, 100), ylabel="clips named right / %", xlabel="sound over noise")
    left.legend()
    labels = sorted({m.label for m in mixtures})
    off, on = (
        np.array([[accuracy(mixtures, snr, setting, label=label) for snr in SNRS_DB] for label in labels])
        for setting in ("off", "on")
    )
    gains = on - off
    image = right.imshow(100 * gains, cmap="RdBu", vmin=-60, vmax=60, aspect="auto")
    for (row, column), gain in np.ndenumerate(gains):
        right.text(column, row, f"{100 * gain:+.0f}", ha="center", va="center", fontsize=8)
    right.set_xticks(range(len(SNRS_DB)), [_name(snr_db) for snr_db in SNRS_DB])
    right.set_yticks(range(len(labels)), labels)
    right.set_title("what the gate changes / points", fontsize=10)
    figure.colorbar(image, ax=right)
    figure.savefig(path, dpi=110)
