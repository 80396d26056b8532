"""Everything that stands against the features of a front end is found here in one go, each with the parameter that it
hangs on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auricle.features.front_end import front_end
from auricle.features.kinds import Frames, chain
from auricle.features.micro import Missing

_ANY = Frames(sample_rate=16_000, n_fft=512, win_length=None, hop_length=160)
"""Frames that can be: what is wrong with a feature whatever its frames is found with them."""
_PLAIN = {"kind": "mel", "n_mels": 1}
MOST, TRIED, DEEPEST = 20, 50, 8
"""So many faults of a feature are told; the parameter to blame is looked for among so many; and features within
features are looked into so deep."""


def faults(features: Sequence[Mapping[str, Any]], frames: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what stands against these features, each with its place among them, as ``[0].n_mels``.

    Args:
        features: as `front_end` takes them.
        frames: its other arguments; ``None`` if those cannot be, and nothing can be built for that reason.
    """
    if not features:
        yield "", "no feature; use at least one, as [{kind: log_mel}]"
        return
    if frames is not None:
        whole = _refusal(lambda: front_end(**frames, features=features))
        if whole is None:
            return
    told = False
    for i, feature in enumerate(features):
        for place, said in _of_one(feature, frames):
            told = True
            yield f"[{i}]{place}", said
    if frames is not None and not told:
        assert whole is not None
        yield "", whole


def width(features: Sequence[Mapping[str, Any]], frames: Mapping[str, Any]) -> int:
    """Return how many numbers such features give a frame.

    Raises:
        ValueError: one of them cannot be.
    """
    return sum(chain(feature, Frames(**frames)).width for feature in features)


def _of_one(feature: Mapping[str, Any], frames: Mapping[str, Any] | None, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what stands against one feature.

    A stage refuses the first thing that it dislikes. So the parameter is looked for without which it says something
    else, or nothing; that one is told and left out, and the rest is tried again until nothing is left to refuse. What
    then speaks of a parameter that was left out may be no fault of those that are there, and is not told.
    """
    left, inner = dict(feature), feature.get("of")
    if feature.get("kind") == "delta" and isinstance(inner, Mapping) and depth < DEEPEST:
        of = list(_of_one(inner, frames, depth + 1))
        yield from ((f".of{place}", said) for place, said in of)
        left["of"] = _PLAIN if of else inner
    gone: list[str] = []
    while len(gone) < MOST and (said := _tried(left, frames)) is not None:
        named, unknown = _named(said), "unknown parameter" in said
        if not unknown and any(name in named for name in gone):
            return
        names = sorted((name for name in left if name != "kind"), key=lambda name: named.get(name, len(said)))
        name = next((name for name in names[:TRIED] if _tried(_without(left, name), frames) != said), None)
        bare = re.sub(r"^(feature )?\w+: ", "", said)
        if name is None:
            yield "", bare
            return
        yield f".{name}", bare.removeprefix(f"{name} ")
        left = _without(left, name)
        gone.append(name)


def _named(said: str) -> dict[str, int]:
    """Return where a message first names each word: the parameter that it names first is most likely to blame."""
    return {word[0]: word.start() for word in reversed(list(re.finditer(r"\w+", said)))}


def _without(feature: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in feature.items() if key != name}


def _tried(feature: Mapping[str, Any], frames: Mapping[str, Any] | None) -> str | None:
    """Return what is first said against a feature; ``None`` if nothing."""
    if frames is None:
        return _refusal(lambda: chain(feature, _ANY))
    return _refusal(lambda: front_end(**frames, features=[feature]))


def _refusal(build: Any) -> str | None:
    try:
        build()
    except Missing:  # that is of this machine
        return None
    except ValueError as e:
        return " ".join(str(e).split())
    except (TypeError, LookupError, ArithmeticError, AttributeError, MemoryError, RecursionError) as e:
        # A parameter is whatever a person wrote, while the stages trust theirs to be of the right sort.
        said = " ".join(str(e).split())
        return f"cannot be built ({type(e).__name__}: {said}); check its values: docs/features.md"
    return None
