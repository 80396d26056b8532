"""A `.tflite` file becomes a bundle among the models here, or everything that stands against that is said at once."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from auricle.adopt import child, golden, known, proof
from auricle.adopt.draft import Draft, draft
from auricle.adopt.facts import Facts
from auricle.adopt.labels import Labels, named
from auricle.adopt.wish import MOST_OF_CARD, Seen, Wish, impossible, look, name_of
from auricle.errors import ModelError
from auricle.model import bundle as bundles
from auricle.model import reading
from auricle.model.bundle import Bundle
from auricle.stored import plain

GOLDEN_STEPS = 8
"""Golden vectors of somebody's network may differ by so many steps: nobody knows how far another machine's kernels
go."""


@dataclass(frozen=True)
class Adopted:
    """Holds a bundle that was made of somebody's network, with the draft of its card."""

    bundle: Bundle
    draft: Draft
    proven: str = ""
    """What the recording proved."""


def add(wish: Wish, models_dir: Path) -> Adopted:
    """Write a bundle into a folder of models.

    Raises:
        ModelError: everything that stands against it; then nothing was written.
    """
    problems, target = impossible(wish), models_dir / name_of(wish)
    if not problems and target.exists():
        problems = [f"{target}: is there already; auricle models remove {target.name}, or give another --name"]
    seen = look(wish, problems)
    with _making(models_dir) as folder:
        adopted = _made(wish, seen, folder / target.name)
        try:
            (folder / target.name).rename(target)
        except OSError as e:
            raise ModelError(f"{target}: {e.strerror}") from None
    return replace(adopted, bundle=bundles.load(str(target)))


def check(wish: Wish) -> Adopted:
    """Make the bundle as `add` does, and keep nothing of it.

    Raises:
        ModelError: everything that stands against it.
    """
    seen = look(wish, impossible(wish))
    with tempfile.TemporaryDirectory(prefix="auricle-") as folder:
        return _made(wish, seen, Path(folder) / name_of(wish))


def _made(wish: Wish, seen: Seen, folder: Path) -> Adopted:
    """Make the bundle in a folder of its own: try it, and prove it where a recording was given.

    Raises:
        ModelError: everything that stands against it.
    """
    facts, labels = seen.facts, seen.labels
    graph = wish.path
    if wish.cut:
        graph = folder.with_suffix(".cut")
        child.cut(wish.path, graph)
        facts = msgspec.structs.replace(child.look(graph), told=facts.told)
    made = draft(folder.name, facts, labels, wish.like, seen.given, named=not seen.problems)
    against = [f"{wish.path}: {problem}" for problem in made.problems]
    if problems := [*seen.problems, *against, *_misfits(made, wish, seen)]:
        raise ModelError(*problems)
    bundle = _bundle(made, wish, folder, graph)
    if wish.cut:
        share, furthest = _agreement(wish, folder)
        made.found.append(
            f"cut where it quantises its features: the highest label is the whole graph's in {share:.1%} of windows, "
            f"no score is further off than {furthest:.3f}"
        )
    elif any(0 not in each.shape for each in known.alike(facts.cut)):
        made.found.append(
            f"it quantises {facts.cut[0]} x {facts.cut[1]} features that it makes of the sound itself; with --cut they "
            "are made once each, as they come, which costs less"
        )
    proven = ""
    if wish.clip is not None and wish.of is not None:
        labels = labels or named(bundle.labels, "its only score")
        proven = _proven(wish, (wish.clip, wish.of), facts, labels, bundle)
    return Adopted(bundle, made, proven)


def _misfits(made: Draft, wish: Wish, seen: Seen) -> list[str]:
    """Return what is wrong with a card, with its line where somebody wrote it himself.

    Where a card could not be written to its end, only what he wrote counts.
    """
    _, problems = reading.checked({**made.card, "golden_steps": GOLDEN_STEPS, "files": {}})
    own = [problem for problem in problems if re.split(r"[.:[]", problem, maxsplit=1)[0] in seen.given]
    others = [] if made.problems or seen.problems else [problem for problem in problems if problem not in own]
    found = [f"{wish.path}: {problem}" for problem in others]
    if wish.card is not None and own:
        found += reading.placed(own, plain.read(wish.card, MOST_OF_CARD), str(wish.card))
    return found


def _agreement(wish: Wish, folder: Path) -> tuple[float, float]:
    try:
        return child.agree(folder, wish.path)
    except ModelError as e:
        raise ModelError(*(line.replace(str(folder), str(wish.path)) for line in e.lines())) from None


def _bundle(made: Draft, wish: Wish, folder: Path, graph: Path) -> Bundle:
    """Write the bundle with its graph, and let children look at it before this process does."""
    folder.mkdir(parents=True)
    shutil.copyfile(graph, folder / "model.tflite")
    golden.write_card(folder, {**made.card, "golden_steps": GOLDEN_STEPS, "files": {}})
    try:
        child.hear(folder)
        return bundles.load(str(folder))
    except ModelError as e:
        # Nobody knows the folder.
        lines = (line.replace(f"{folder}/model.tflite", str(wish.path)) for line in e.lines())
        raise ModelError(*(line.replace(str(folder), str(wish.path)) for line in lines)) from None


def _proven(wish: Wish, claim: tuple[Path, str], facts: Facts, labels: Labels, bundle: Bundle) -> str:
    """Tell what a recording proves.

    Raises:
        ModelError: the network does not hear in it what is in it; with what it would hear otherwise.
    """
    clip, of = claim
    scores = proof.highest(bundle, clip)
    here, sorted_here = proof.order_of(scores, labels, of)
    if here.held:
        told = f"{clip}: {here}"
        if len(labels.slugs) > 1 and labels.slugs != labels.in_order().slugs:
            told += "; in the order of the alphabet " + (
                "the same is among the best, so that it does not tell the two orders apart"
                if sorted_here.held
                else f"it would be {sorted_here}: the file's order is right"
            )
        return told
    lines = [f"{clip}: the network hears {here} where {of} is said to be; it was not added"]
    if sorted_here.held:
        lines.append(
            f"{clip}: with the labels in the order of the alphabet it hears {sorted_here}: its list is in the "
            "wrong order; try --order alphabet"
        )
    lines += list(_otherwise(wish, claim, facts, labels, bundle))
    raise ModelError(*lines)


def _otherwise(wish: Wish, claim: tuple[Path, str], facts: Facts, labels: Labels, bundle: Bundle) -> Iterator[str]:
    """Yield what the network would hear behind each other front end that fits its input."""
    clip, of = claim
    for each in known.alike(bundle.card.input.shape):
        if each.of(bundle.card.n_features) == draft("", facts, labels, wish.like).card.get("front_end"):
            continue
        with tempfile.TemporaryDirectory(prefix="auricle-") as folder:
            other = draft(bundle.card.name, facts, labels, each.name)
            if other.problems:
                continue
            try:
                heard = _bundle(other, wish, Path(folder) / bundle.card.name, bundle.path / "model.tflite")
            except ModelError as e:
                yield f"{clip}: with --like {each.name} it cannot be tried: {e.lines()[0]}"
                continue
            found, _ = proof.order_of(proof.highest(heard, clip), labels, of)
            yield f"{clip}: with --like {each.name} ({each.what}) it hears {found}"


@contextmanager
def _making(models_dir: Path) -> Iterator[Path]:
    """Lend a folder to make a bundle in, on the disk where it is to stay; it is gone afterwards."""
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".adding-", dir=models_dir))
    except OSError as e:
        raise ModelError(f"{models_dir}: {e.strerror}; make the folder, or set models_dir to another") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove(name: str, models_dir: Path) -> Path:
    """Take a bundle away from a folder of models; return where it was.

    Raises:
        ModelError: there is none of this name.
    """
    folder = models_dir / name
    if Path(name).name != name or not (folder / "card.yaml").is_file():
        there = ", ".join(sorted(card.parent.name for card in models_dir.glob("*/card.yaml"))) or "none"
        raise ModelError(f"{models_dir}: holds no model {name!r}; there: {there}")
    try:
        shutil.rmtree(folder)
    except OSError as e:
        raise ModelError(f"{e.filename or folder}: {e.strerror}") from None
    return folder
