"""A recipe holds everything that says how a model is made, checked and typed; there is one class for each kind of
network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

from auricle.config import REQUIRED, Choice, Flag, Name, Text, nearest, section, value
from auricle.errors import ConfigError
from auricle_build.grammar import fit
from auricle_build.grammar.fit import Fault
from auricle_build.grammar.kinds import Slug, count
from auricle_build.grammar.learning import Classic, Draw, Epochs, Plain, Schedule, Streaming
from auricle_build.grammar.material import Data, Front, Label
from auricle_build.grammar.pretrained import FineTuning, MobileNet, Scenery
from auricle_build.grammar.trunk import LayerError, Op, Reach, plan, reach

_LONGEST = 64
"""A name, as `Name` takes it, has at most so many characters."""
Check: TypeAlias = tuple[tuple[str, ...], Callable[[], Iterator[Fault]]]
"""The keys that a check looks at, and the check, which is made if all of them could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Holds what every recipe says, whatever its network."""

    name: str = value(
        REQUIRED,
        Name(),
        "Names the model, its folder of runs and its report.",
    )
    description: str | None = value(
        None,
        Text("a line"),
        "What the model is, for people.",
    )
    licence: str = value(
        "Apache-2.0",
        Text("a licence"),
        "Of the weights.",
    )
    seed: int = value(
        REQUIRED,
        count(2**31 - 1, 0),
        "The same seed gives the same model, on one machine.",
    )
    labels: tuple[Label, ...] = section(
        Label,
        many="list",
        fewest=1,
        noun="label",
        short=True,
    )
    background: str | None = value(
        None,
        Slug(),
        "The label of whatever is none of the others; it must be the last.",
    )
    head: str = value(
        "softmax",
        Choice(("softmax", "sigmoid")),
        "softmax: one label at a time; sigmoid: each by itself.",
    )
    behind_gate: bool = value(
        False,
        Flag(),
        "What the card says of how the model was trained: whether only behind the noise gate.",
    )
    front_end: Front = section(
        Front,
    )
    data: Data = section(
        Data,
    )

    @property
    def names(self) -> list[str]:
        """Return the labels' names, background the last."""
        return [label.name for label in self.labels]

    @property
    def events(self) -> list[str]:
        """Return the labels' names without background."""
        return [name for name in self.names if name != self.background]

    def without(self, labels: Sequence[str]) -> Self:
        """Return the recipe as if these labels were not, nor any recording of them: a network of it can be taught them
        as sounds that it never heard.

        Raises:
            ConfigError: the recipe has no such label, or no other.
        """
        if unknown := [label for label in labels if label not in self.events]:
            near = nearest(unknown[0], self.events)
            remedy = f"did you mean {near!r}?" if near else f"use one of {', '.join(self.events)}"
            raise ConfigError([f"--leave-out: {unknown[0]!r} is no label of {self.name}; {remedy}"])
        labels = sorted(set(labels))
        left = tuple(
            replace(label, includes=tuple(name for name in label.includes if name not in labels))
            for label in self.labels
            if label.name not in labels
        )
        if not any(label.name != self.background for label in left):
            raise ConfigError([f"--leave-out: {self.name} has no other label; leave one in"])
        sets = tuple(replace(each, leave_out=(*each.leave_out, *labels)) for each in self.data.sets)
        name = f"{self.name}-without-{'-'.join(labels)}"
        if len(name) > _LONGEST:
            name = f"{self.name[:32]}-without-labels-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        description = f"{self.description or self.name}, without {', '.join(labels)}"
        return replace(self, name=name, description=description, labels=left, data=replace(self.data, sets=sets))

    def window_frames(self) -> int:
        """Return how many frames a window has; each kind of network says so itself."""
        raise NotImplementedError

    def checks(self) -> list[Check]:
        """Return the checks of what has to fit together."""
        return [
            (("labels", "background"), lambda: fit.labels(self.labels, self.background)),
            (("front_end",), lambda: fit.front(self.front_end)),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingRecipe(Recipe):
    """Holds a recipe of a network that streams: what is trained to be shipped."""

    network: Streaming = section(
        Streaming,
    )
    batch: Draw = section(
        Draw,
    )
    schedule: Schedule = section(
        Schedule,
    )

    def shape(self) -> tuple[list[Op], Reach]:
        """Return the trunk and what it means in time. Raises LayerError where the layers do not fit."""
        ops = plan(self.network.layers, self.front_end.n_features)
        return ops, reach(ops, self.network.columns)

    def window_frames(self) -> int:
        return self.shape()[1].window_frames

    def checks(self) -> list[Check]:
        late = self.schedule.quantised_batch
        return [
            *Recipe.checks(self),
            (("front_end", "network"), self._check_layers),
            (("data.teacher", "schedule.distil"), lambda: fit.teacher(self.data, self.schedule.distil)),
            (("data.sets", "batch.origins"), lambda: fit.origins(self.data, self.batch.origins, "batch.origins")),
            (
                ("data.sets", "schedule.quantised_batch.origins"),
                lambda: fit.origins(self.data, late.origins, "schedule.quantised_batch.origins"),
            ),
        ]

    def _check_layers(self) -> Iterator[Fault]:
        if not any(fit.front(self.front_end)):
            try:
                self.shape()
            except LayerError as error:
                yield Fault("network.layers", error.complaint, error.layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicRecipe(Recipe):
    """Holds a recipe of the CNN that everybody begins with: a yardstick, judged and not shipped."""

    network: Classic = section(
        Classic,
    )
    batch: Plain = section(
        Plain,
    )
    schedule: Epochs = section(
        Epochs,
    )

    def window_frames(self) -> int:
        return self.network.window_frames

    def checks(self) -> list[Check]:
        return [*Recipe.checks(self), (("data.teacher",), self._check_teacher)]

    def _check_teacher(self) -> Iterator[Fault]:
        if self.data.teacher is not None:
            yield Fault("data.teacher", "a classic network learns of none; leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedRecipe(Recipe):
    """Holds a recipe of a network that knows AudioSet and learns labels."""

    network: MobileNet = section(
        MobileNet,
    )
    batch: Scenery = section(
        Scenery,
    )
    schedule: FineTuning = section(
        FineTuning,
    )

    def window_frames(self) -> int:
        return self.network.window_frames

    def checks(self) -> list[Check]:
        return [
            *Recipe.checks(self),
            (("labels",), self._check_labels),
            (("front_end",), self._check_features),
            (("background", "head"), self._check_head),
        ]

    def _check_labels(self) -> Iterator[Fault]:
        for i, label in enumerate(self.labels):
            if not label.audioset:
                yield Fault(f"labels[{i}].audioset", f"{label.name!r} rests on no class of AudioSet; name at least one")

    def _check_features(self) -> Iterator[Fault]:
        kinds = [feature.get("kind") for feature in self.front_end.features]
        if kinds != ["log_mel"] or not all(self.front_end.features[0].get(key) for key in ("natural", "offset")):
            yield Fault("front_end.features", "the network hears natural log_mel with an offset, and nothing else")

    def _check_head(self) -> Iterator[Fault]:
        if self.head != "sigmoid":
            yield Fault("head", "several of AudioSet's sounds may be there at once; use sigmoid")
        if self.background is not None:
            yield Fault("background", "where no label is heard, no score is high; leave it out")


RECIPES: dict[str, type[Recipe]] = {
    "streaming": StreamingRecipe,
    "mobilenet_v3": PretrainedRecipe,
    "classic": ClassicRecipe,
}
"""The recipe of each ``network.kind``."""
