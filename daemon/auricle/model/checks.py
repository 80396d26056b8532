"""The keys of a card must fit together, which is checked before its network is opened; the rules of its labels and of
what it proposes are here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auricle.model import fitting
from auricle.model.card import BY_LABEL, Card, contained
from auricle.model.check import Check, holds, told

_FURTHEST = 2**31
"""No lag is of more samples than this."""
_LONGEST_TEXT = 1000
"""What is said of a label is no longer."""
_BOUNDS = {"smoothing_ms": 10_000.0, "threshold": 1.0, "hysteresis": 1.0, "min_duration_ms": 60_000.0}
"""Keys and the most that each may be; the least is 0."""


def faults(card: Card) -> Iterator[str]:
    """Yield everything in a card that does not fit together, each as ``key: what is wrong``."""
    yield from told((*fitting.CHECKS, *_CHECKS), card)


def _names(card: Card) -> Iterator[str]:
    """Yield which labels are none, or are there twice."""
    if not card.labels:
        yield "labels: there are none; name one for each score"
    known: set[str] = set()
    for i, label in enumerate(card.labels):
        if re.fullmatch("[a-z0-9_]+", label) is None:
            yield f"labels[{i}]: {label!r} is no slug; use a-z, 0-9 and _, and the name for people in display"
        elif label in known:
            yield f"labels[{i}]: {label!r} is there twice; each must be named once"
        known.add(label)


def _background(card: Card) -> Iterator[str]:
    if card.background is not None and card.background not in card.labels:
        yield f"background: {card.background!r} is none of the labels"


def _head(card: Card) -> Iterator[str]:
    if card.head not in ("softmax", "sigmoid"):
        yield f"head: {card.head!r} is not known; use softmax or sigmoid"


def _padding(card: Card) -> Iterator[str]:
    if card.padding != "wrap":
        yield f"padding: {card.padding!r} is not known; use wrap"


def _golden_steps(card: Card) -> Iterator[str]:
    if not 0 <= card.golden_steps <= 64:
        yield f"golden_steps: {card.golden_steps} is no tolerance; use 0 to 64"


def _lags(card: Card) -> Iterator[str]:
    timing = card.timing
    for key in ("onset_lag_samples", "offset_lag_samples"):
        if abs(getattr(timing, key)) > _FURTHEST:
            yield f"timing.{key}: a lag of more than {_FURTHEST} samples"


def _lags_of_labels(card: Card) -> Iterator[str]:
    known = frozenset(card.labels)
    for label, pair in card.timing.lags.items():
        if label not in known:
            yield f"timing.lags.{label}: {label!r} is none of the labels"
        if any(abs(lag) > _FURTHEST for lag in pair):
            yield f"timing.lags.{label}: a lag of more than {_FURTHEST} samples"


def _hop(card: Card) -> Iterator[str]:
    if card.decision.hop_ms is None or not holds(card, (*fitting.FRAMES, *fitting.EXTENTS)):
        return
    step_ms = 1000 * card.step_samples / card.front_end.sample_rate
    hops = round(card.decision.hop_ms / step_ms)
    if hops < 1 or abs(card.decision.hop_ms - hops * step_ms) > 1e-6:
        yield f"decision.hop_ms: {card.decision.hop_ms:g} is no multiple of {step_ms:g}, the step of the network"


def _rule(name: str, most: float) -> tuple[Check, Check]:
    """Return the rules of a key of `decision` that the card proposes: for all labels, and for single ones."""
    # A threshold of 0 would be passed by everything.
    least, span = (1e-9, "above 0, at most 1") if name == "threshold" else (0.0, f"0 to {most:g}")

    def proposed(card: Card) -> Iterator[str]:
        value = getattr(card.decision, name)
        if value is not None and not least <= value <= most:
            yield f"decision.{name}: {value:g} is not {span}"

    def of_labels(card: Card) -> Iterator[str]:
        known = frozenset(card.labels)  # of thousands a list is searched for seconds
        given: dict[str, float] = getattr(card, BY_LABEL[name])
        for label, value in given.items():
            if label not in known:
                yield f"{BY_LABEL[name]}.{label}: {label!r} is none of the labels"
            if not least <= value <= most:
                yield f"{BY_LABEL[name]}.{label}: {value:g} is not {span}"

    return proposed, of_labels


def _hystereses(card: Card) -> Iterator[str]:
    for label, hysteresis in card.hystereses.items():
        threshold = card.proposes("threshold", label)
        if threshold is not None and hysteresis >= threshold:
            yield f"hystereses.{label}: {hysteresis:g} is not below its threshold {threshold:g}; none would end"


def _includes(card: Card) -> Iterator[str]:
    known = frozenset(card.labels)
    for label, parts in card.includes.items():
        for name in (label, *parts):
            if name not in known or name == card.background:
                yield f"includes.{label}: {name!r} is none of the labels that raise events"
        if not parts or len(set(parts)) != len(parts):
            yield f"includes.{label}: must name the labels that it contains, each once"
    try:
        contained(card.includes)
    except ValueError as e:
        yield f"includes: a label cannot contain itself: {e}"


def _texts(key: str) -> Check:
    """Return the rule of what is said of single labels for people."""

    def check(card: Card) -> Iterator[str]:
        known = frozenset(card.labels)
        texts: dict[str, str] = getattr(card, key)
        for label, text in texts.items():
            if label not in known:
                yield f"{key}.{label}: {label!r} is none of the labels"
            if not text.strip() or not text.isprintable() or len(text) > _LONGEST_TEXT:
                yield f"{key}.{label}: what is said of it is not one line of text, of {_LONGEST_TEXT} letters at most"

    return check


def _heads(card: Card) -> Iterator[str]:
    """Yield what is wrong with labels behind the embedding."""
    if card.heads is None:
        return
    labels = card.heads.labels
    if not labels or len(labels) >= len(card.labels) or card.labels[-len(labels) :] != labels:
        yield f"heads.labels: {labels} are not the last of the labels, or all of them"
    if card.background in labels:
        yield f"heads.labels: {card.background!r} is the background, which no head scores"


def _heads_rest(card: Card) -> Iterator[str]:
    if card.heads is not None and card.embedding is None:
        yield "heads: there is no embedding for them; name the network's second output in embedding"


def _heads_step(card: Card) -> Iterator[str]:
    if card.heads is not None and (card.streaming or card.keeps_state):
        yield "heads: only whole windows have an embedding; use streaming: false, without keeps_state"


def _heads_lie(card: Card) -> Iterator[str]:
    if card.heads is not None and card.heads.file not in card.files:
        yield f"heads.file: {card.heads.file!r} is none of the files"


def _bank(card: Card) -> Iterator[str]:
    if card.bank is not None and (card.embedding is None or card.bank.file not in card.files):
        yield f"bank: {card.bank.file!r} is none of the files, or there is no embedding"


_CHECKS: tuple[Check, ...] = (
    *(_names, _background, _head, _padding, _golden_steps),
    *(_heads, _heads_rest, _heads_step, _heads_lie, _bank),
    *(_lags, _lags_of_labels, _hop),
    *(check for name, most in _BOUNDS.items() for check in _rule(name, most)),
    *(_hystereses, _includes, _texts("measured"), _texts("display")),
)
