"""The user's groups of labels are scored here: a group's score is the highest of its members', and one rule decides
upon it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from auricle import config
from auricle.model.card import Card, contained
from auricle.stages.stage import Block, RowStage


def groups(card: Card, decision: config.Decision) -> dict[str, tuple[str, ...]]:
    """Return the groups that the user made, each with the labels of this model in it, through other groups too.

    A group of which the model knows no label is left out: sources with other models may know some.
    """
    named = {label: rule.includes for label, rule in decision.labels.items() if rule.includes}
    within = contained(named)
    found = {group: tuple(label for label in card.labels if label in within[group]) for group in named}
    return {group: members for group, members in found.items() if members}


def raising(card: Card, decision: config.Decision) -> tuple[str, ...]:
    """Return the labels, then the groups, that may raise events.

    Members of a group raise none, unless they have a rule of their own or `decision.only` names them.
    """
    made = groups(card, decision)
    every = [*(label for label in card.labels if label != card.background), *made]
    if decision.only is not None:
        only = frozenset(decision.only)
        chosen = [label for label in every if label in only]
    else:
        named = {label: rule.includes for label, rule in decision.labels.items() if rule.includes}
        members = frozenset().union(*contained(named).values())
        chosen = [label for label in every if label not in members or _has_rule(decision, label)]
    return tuple(label for label in chosen if label not in decision.except_)


def _has_rule(decision: config.Decision, label: str) -> bool:
    """Return whether the user wrote a rule for a label, beyond that it is a group."""
    rule = decision.labels.get(label)
    if rule is None or not rule.includes:
        return rule is not None
    return any(getattr(rule, item.name) is not None for item in dataclasses.fields(rule) if item.name != "includes")


class Highest(RowStage):
    """Adds a column for every group: the highest of its members' scores.

    Args:
        columns: the columns of each group's members.

    Shape:
        in ``(n, n_labels)`` float32, out ``(n, n_labels + n_groups)`` float32.
    """

    def __init__(self, columns: Sequence[Sequence[int]]) -> None:
        self._columns = [np.asarray(each) for each in columns]

    def process(self, block: Block) -> Block:
        """Give every row with the groups' scores behind those of the labels."""
        return np.concatenate([block, *(block[:, each].max(axis=1, keepdims=True) for each in self._columns)], axis=1)
