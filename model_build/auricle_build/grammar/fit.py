"""The keys of a recipe have to fit together: each check here yields what does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from auricle.config import listed, nearest, shown
from auricle.features import front_end
from auricle_build.grammar.material import Data, Front, Label


class Fault(NamedTuple):
    """Says what is wrong with a key, or with an item of its value: a number in a list, a name among names."""

    path: str
    complaint: str
    item: int | str | None = None

    def place(self) -> str:
        """Return the path down to the item."""
        return {int: f"{self.path}[{self.item}]", str: f"{self.path}.{self.item}"}.get(type(self.item), self.path)


def unknown(word: str, known: Sequence[str], what: str) -> str:
    """Return the complaint of a word that is none of those it could be."""
    near = nearest(word, known)
    return f"{shown(word)} is {what}; " + (f"did you mean {near!r}?" if near else f"use {listed(known)}")


def labels(given: Sequence[Label], background: str | None) -> Iterator[Fault]:
    """Yield what is wrong with the labels: background is the last, and what labels include are others, in no circle."""
    names = [label.name for label in given]
    if background is not None and background not in names:
        yield Fault("background", unknown(background, names, "none of the labels"))
    elif background is not None and names[-1] != background:
        yield Fault(f"labels[{names.index(background)}].name", f"{shown(background)} is the background: put it last")
    events = [name for name in names if name != background]
    includes: dict[str, tuple[str, ...]] = {}
    for i, label in enumerate(given):
        at = f"labels[{i}].includes"
        if label.includes and label.name == background:
            yield Fault(at, "the background is what none of the labels is; leave it out")
            continue
        wrong = [name for name in label.includes if name not in events]
        yield from (
            Fault(at, unknown(name, events, "none of the labels"), label.includes.index(name)) for name in wrong
        )
        includes[label.name] = tuple(name for name in label.includes if name in events)
    try:
        TopologicalSorter(includes).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        at = f"labels[{names.index(circle[0])}].includes"
        yield Fault(at, f"labels include each other in a circle: {' -> '.join(circle)}; break it")


def front(given: Front) -> Iterator[Fault]:
    """Yield what is wrong with the front end: it must be possible to build each feature by itself, and all together."""
    if given.win_length is not None and given.win_length > given.n_fft:
        problem = f"'{given.win_length}' is more than n_fft, {given.n_fft}; use at most that, or null"
        yield Fault("front_end.win_length", problem)
        return
    params = given.params
    alone = [[feature] for feature in params["features"]]
    faults = [Fault("front_end.features", said, i) for i, f in enumerate(alone) if (said := _refusal(params, f))]
    if not faults and (said := _refusal(params, params["features"])):
        faults = [Fault("front_end.features", said)]
    yield from faults


def _refusal(params: dict[str, object], features: object) -> str | None:
    """Return what the front end has against these features; ``None`` if nothing."""
    try:
        front_end(**{**params, "features": features})  # type: ignore[arg-type]
    except ValueError as error:
        return " ".join(str(error).split())
    except (TypeError, LookupError, ArithmeticError, MemoryError) as error:
        # A parameter is whatever a person wrote, while the stages trust theirs to be of the right sort.
        return f"cannot be built: {' '.join(str(error).split())}; check the parameters' values: docs/features.md"
    return None


def teacher(data: Data, distil: float) -> Iterator[Fault]:
    """Yield what is wrong where something is to be learned of a teacher and there is none."""
    if distil and data.teacher is None:
        yield Fault("schedule.distil", "there is no teacher to learn of; give data.teacher, or leave it out")


def origins(data: Data, given: Iterable[str], path: str) -> Iterator[Fault]:
    """Yield what is wrong with each set that is drawn from and is none of the recipe's."""
    names = [each.name for each in data.sets]
    for name in given:
        if name not in names:
            yield Fault(path, unknown(name, names, "none of the sets"), name)
