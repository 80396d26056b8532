"""The keys of recipes are written for people here, from their declarations."""

from __future__ import annotations

from auricle.config import keys_of, show
from auricle_build.grammar.recipes import RECIPES, Recipe


def table() -> str:
    """Write every key as Markdown: those of every recipe, then those that the network's kind decides, kind by kind."""
    parts = [show.table_of(Recipe)]
    for kind, recipe in RECIPES.items():
        parts.append(f"With `network.kind: {kind}`:\n\n{show.table_of(recipe, but=tuple(keys_of(Recipe)))}")
    return "\n".join(parts)
