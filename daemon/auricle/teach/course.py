"""This is the whole course from clips to a bundle: what it was given, what came of it, and how that is told."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle import messages
from auricle.config import nearest
from auricle.errors import ModelError, UsageError
from auricle.model import bundle as bundles
from auricle.model import card
from auricle.model.bundle import Bundle
from auricle.teach import bank, clips, heard, judged, lesson, shelf
from auricle.teach.bank import Background
from auricle.teach.clips import Clip
from auricle.teach.embedding import Room, Trunk
from auricle.teach.heard import Heard
from auricle.teach.lesson import Progress, Taught

NAMED = 3
"""So many of the hardest clips, and of the nearest labels, are told."""
MORE = 10
_SURE, _HEARD = 0.5, 0.05
"""A label of the network's own that scores so much in the clips hears them already; one that scores less than the
other does not."""


@dataclass(frozen=True)
class Material:
    """Names what a label is taught from.

    Args:
        clips, others: with the sound and without.
        room: a recording of the place.
        kind_of: labels of the model of which the sound is a kind: what the bank holds of them is no sign against it.
        rooms: the folder in which the daemon remembers its rooms, where it does.
    """

    clips: Sequence[str]
    others: Sequence[str]
    room: Path | None
    kind_of: Sequence[str] = ()
    rooms: Path | None = None


@dataclass(frozen=True, eq=False)
class Course:
    """Tells what came of teaching a label.

    Args:
        label: what it is called.
        bundle: which carries it now.
        taught: the head and its judgement.
        clips: what it was taught from.
        trunk: the network.
        room: what it was taught in.
        heard: what the daemon remembers of its rooms.
    """

    label: str
    bundle: Bundle
    taught: Taught
    clips: Sequence[Clip]
    trunk: Trunk
    room: Room
    heard: Heard | None

    @property
    def hardest(self) -> list[tuple[Clip, float]]:
        """Return the clips that heads which did not know them heard least, with their scores."""
        best = self.taught.judged.best
        return [(self.clips[i], float(best[i])) for i in best.argsort(kind="stable")[:NAMED]]

    @property
    def nearest(self) -> list[tuple[str, float]]:
        """Return the network's own labels that hear the clips, with their scores."""
        scores = self.taught.scores
        own = self.trunk.card.labels
        order = (-scores).argsort(kind="stable")[:NAMED]
        return [(own[i], float(scores[i])) for i in order if scores[i] >= _HEARD]

    def told(self) -> dict[str, Any]:
        """Return what there is to tell, for programs."""
        found = self.taught.judged
        return {
            "label": self.label,
            "model": self.bundle.card.name,
            "hash": self.bundle.hash,
            "path": str(self.bundle.path),
            "clips": len(self.clips),
            "recall_at_one_an_hour": round(found.recall, 4),
            "recall_interval_95": [round(end, 4) for end in share_interval(found.recall, len(self.clips))],
            "recall_at_one_a_day": round(found.recall_of_a_day, 4),
            "background_hours": round(found.hours, 3),
            "remembered": _remembered(self.heard, self.taught),
            "threshold": self.bundle.card.thresholds[self.label],
            "hardest": [{"file": str(clip.path), "score": round(score, 4)} for clip, score in self.hardest],
            "nearest": {label: round(score, 4) for label, score in self.nearest},
            "taken_for_it": judged.taken_for(found, self.taught.kinds),
            "learning_curve": [{"clips": n, "recall": round(recall, 4)} for n, recall in found.curve],
            "with_more": {"clips": MORE, "recall": round(judged.more(found.curve, len(self.clips) + MORE), 4)},
        }

    def lines(self) -> list[str]:
        """Return what there is to tell, for people."""
        found, n = self.taught.judged, len(self.clips)
        low, high = share_interval(found.recall, n)
        hardest = ", ".join(f"{clip.path.name} {score:.2f}" for clip, score in self.hardest)
        lines = [
            f"{self.label}: taught from {n} clips, in {self.bundle.path}",
            f"expected: {found.recall:.0%} of such sounds ({low:.0%} to {high:.0%}) at one false alarm an hour, "
            f"{found.recall_of_a_day:.0%} at one a day; by clips left out, 10 dB above the room, and "
            f"{found.hours:.1f} h of other sound",
            f"hardest: {hardest} (its threshold is {found.threshold:.2f})",
            f"taken for it first: {', '.join(judged.taken_for(found, self.taught.kinds))}",
        ]
        if self.heard is not None and self.taught.alike is not None:
            lines.append(self.heard.line(self.taught.alike))
        if self.nearest:
            own = ", ".join(f"{label} {score:.2f}" for label, score in self.nearest)
            already = self._already(*self.nearest[0])
            lines.append(f"the model's own labels hear in it: {own}{already}")
        steps = ", ".join(f"{some} clips {recall:.0%}" for some, recall in found.curve)
        then = judged.more(found.curve, n + MORE)
        enough = f"{MORE} more would give about {then:.0%}" if then - found.recall >= 0.02 else "more would hardly help"
        return [*lines, f"learning curve: {steps}; {enough}"]

    def _already(self, nearest: str, score: float) -> str:
        """Return what to do where a label of the network's own hears the clips."""
        if score < _SURE:
            return ""
        if nearest not in self.taught.kinds:
            return f"; {nearest} may be all you need"
        return f"; {nearest} may be all you need, and if this is a kind of it, teach it with --kind-of {nearest}"


def share_interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share of so many (Wilson 1927)."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def run(
    base: Bundle, label: str, given: Material, models_dir: Path, *, again: bool, anyway: bool, progress: Progress
) -> Course:
    """Teach a label, and write the bundle that carries it.

    Args:
        base: the bundle to teach; where the label is taught again, the one that carries it.
        again: the label is there already; what is not given is what it was taught from.
        anyway: take clips that are nothing like the others, too.

    Raises:
        UsageError, AudioError, ModelError: it cannot be taught so; then what was there is as it was.
    """
    own = shelf.labels(base)
    if label in base.labels and (label not in own or not again):
        remedy = f"auricle teach {label} --again, or auricle forget {label}" if label in own else "use another name"
        raise UsageError(f"teach: {label!r} is a label of {base.card.name} already; {remedy}")
    if again and label not in own:
        raise UsageError(f"teach: {label!r} was not taught yet; leave --again out, and name --clips")
    target = models_dir / shelf.name_of(base.card.name)
    renewed = shelf.newer(base) if again else None
    if renewed is not None and len(own) > 1:
        others = ", ".join(name for name in own if name != label)
        raise UsageError(
            f"teach: {renewed} ships with another network, on which {others} would have to be taught anew too; "
            f"auricle forget {others.replace(', ', ', auricle forget ')}, then teach them again"
        )
    upon = bundles.load(str(bundles.PACKAGED / renewed)) if renewed is not None else base
    given = _completed(given, base.raw["taught"]["labels"].get(label, {}) if again else {})
    trunk = Trunk(upon)
    sounds = clips.read(given.clips, trunk.rate)
    others_read = clips.read(given.others, trunk.rate, "--not", fewest=1) if given.others else []
    around = [piece for clip in (*sounds, *others_read) for piece in clip.around]
    room = Room(trunk, given.room, lambda share: progress(0.3 * share), around)
    background = _of_other_kinds(bank.of(upon), upon, given.kind_of)
    remembered = None if given.rooms is None else heard.read(given.rooms, upon)
    taught = lesson.teach(
        trunk, sounds, others_read, room, background, lambda share: progress(0.3 + 0.7 * share), remembered
    )
    if (odd := taught.judged.odd) and not anyway:
        raise UsageError(_nothing_alike(odd, sounds))
    bundle = shelf.put(upon, label, taught, _about(given, sounds, others_read, taught, remembered), target)
    return Course(label, bundle, taught, sounds, trunk, room, remembered)


def _completed(given: Material, before: Mapping[str, Any]) -> Material:
    """Return the material with what is not given as it was the last time."""
    if not given.clips and not before:
        raise UsageError("teach: which clips? --clips FOLDER, with twenty recordings of the sound or so")
    files = given.clips or [each["file"] for each in before["clips"]]
    others = given.others or [each["file"] for each in before.get("not", [])]
    room = given.room or (Path(before["room"]["file"]) if "room" in before else None)
    return Material(files, others, room, given.kind_of or before.get("kind_of", []), given.rooms)


def _of_other_kinds(background: Background, bundle: Bundle, kind_of: Sequence[str]) -> Background:
    """Return the background without what is of these labels, or of labels that they contain.

    Raises:
        UsageError: there is nothing of one.
    """
    contained = card.contained(bundle.card.includes)
    for label in kind_of:
        kinds = {label, *contained.get(label, ())}
        if not kinds & set(background.kinds):
            near = nearest(label, sorted(set(background.kinds)))
            remedy = f"did you mean {near!r}?" if near else "leave --kind-of out"
            raise UsageError(f"--kind-of: the bank of {bundle.card.name} holds nothing of {label!r}; {remedy}")
        background = background.without(*kinds)
    return background


def _nothing_alike(odd: Sequence[int], sounds: Sequence[Clip]) -> str:
    numbers = [f"{i + 1} ({sounds[i].path.name})" for i in odd]
    named = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    clips_are = f"clip {named} is" if len(odd) == 1 else f"clips {named} are"
    return f"--clips: {clips_are} nothing like the others; leave out what is another sound, or take them --anyway"


def _remembered(heard: Heard | None, taught: Taught) -> dict[str, Any] | None:
    """Return of how many windows of a remembered room a label was taught, since when, and how many were left out."""
    if heard is None or taught.alike is None:
        return None
    since = messages.rfc3339(int(heard.times_us.min()))
    return {"windows": len(heard), "since": since, "left_out": int(taught.alike.sum())}


def _about(
    given: Material, sounds: Sequence[Clip], others: Sequence[Clip], taught: Taught, remembered: Heard | None
) -> dict[str, Any]:
    """Return what the card says of a label: its clips by place and hash, and what was expected."""
    found = taught.judged
    about: dict[str, Any] = {"clips": [_named(clip) for clip in sounds]}
    if others:
        about["not"] = [_named(clip) for clip in others]
    if given.room is not None:
        about["room"] = {"file": str(given.room.absolute()), "sha256": _sha256(given.room)}
    if remembered is not None:
        about["remembered"] = _remembered(remembered, taught)
    if given.kind_of:
        about["kind_of"] = list(given.kind_of)
    about["expected"] = {
        "recall_at_one_an_hour": round(found.recall, 4),
        "recall_at_one_a_day": round(found.recall_of_a_day, 4),
        "background_hours": round(found.hours, 3),
    }
    return about


def _named(clip: Clip) -> dict[str, str]:
    return {"file": str(clip.path.absolute()), "sha256": _sha256(clip.path)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise ModelError(f"{path}: {e.strerror or e}") from None
