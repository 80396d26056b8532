"""A YAML file becomes a recipe here, or every problem in it at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auricle.config import (
    Branch,
    Choice,
    Expected,
    Leaf,
    Misfit,
    Node,
    Problems,
    Walk,
    Where,
    document,
    from_object,
    keys_of,
    listed,
    nearest,
    shown,
)
from auricle_build.grammar.material import Variant
from auricle_build.grammar.recipes import RECIPES, Recipe

PACKAGED = Path(__file__).parent.parent / "recipes"


def load(path: Path) -> Recipe:
    """Read a recipe: a file, or the name of one in the package.

    Raises:
        ConfigError: every problem in the recipe, each with its line.
    """
    known = sorted(file.stem for file in PACKAGED.glob("*.yaml"))
    if not path.exists() and str(path) in known:
        path = PACKAGED / f"{path}.yaml"
    near = nearest(str(path), known)
    remedy = f"did you mean {near!r}?" if near else f"name a YAML file, or one of the package: {listed(known)}"
    problems = Problems()
    tree = document(path, 1, problems, Expected("recipe", "name: mine", remedy))
    problems.raise_all()
    return _read(tree or Branch(Where(1, 1, name=str(path)), {}, {}), problems)


def of(said: Mapping[str, Any], name: str) -> Recipe:
    """Read a recipe that a bundle's card holds; ``name`` is what errors call the place.

    Raises:
        ConfigError: every problem in the recipe.
    """
    return _read(from_object(said, Where(1, name=name)), Problems())


def _read(tree: Node, problems: Problems) -> Recipe:
    kind, tree = _kind(tree, problems)
    reader = Reader(problems, RECIPES[kind] if kind else Recipe)
    found = reader.recipe(tree)
    problems.raise_all()
    return found


def _kind(tree: Node, problems: Problems) -> tuple[str | None, Node]:
    """Return the name of the network's kind, and what of the tree can be read: of an unknown kind, which is ``None``,
    the keys that no kind decides."""
    network = tree.entries.get("network") if isinstance(tree, Branch) else None
    node = network.entries.get("kind") if isinstance(network, Branch) else None
    if node is None:
        return "streaming", tree
    words = Choice(tuple(RECIPES))
    try:
        if isinstance(node, Leaf) and node.null:
            raise Misfit("is empty")
        return words.read(node), tree
    except Misfit as refusal:
        complaint = f"{shown(node.text)} {refusal}" if isinstance(node, Leaf) and not node.null else str(refusal)
        if not complaint.endswith("?"):
            complaint += f"; use {words.wants()}"
        problems.add(node.where, "network.kind", complaint)
    assert isinstance(tree, Branch)
    decided = {name for recipe in RECIPES.values() for name in keys_of(recipe)} - set(keys_of(Recipe))
    return None, Branch(tree.where, {k: v for k, v in tree.entries.items() if k not in decided}, tree.keys)


class Reader(Walk):
    """Reads a recipe along the declarations of its kind, and checks what in it has to fit together."""

    def __init__(self, problems: Problems, of_kind: type[Recipe]) -> None:
        super().__init__(problems, of_kind)
        self._of_kind = of_kind

    def recipe(self, tree: Node) -> Recipe:
        """Read the recipe; the result is of use only when no problem was found."""
        found = self._of_kind(**self.keys(tree))
        for needed, check in found.checks():
            if all(map(self.fine, needed)):
                for fault in check():
                    self.complain(self.where(fault.path, fault.item), fault.place(), fault.complaint)
        return found

    def check(self, section: Any, path: str, where: Where | None) -> None:
        if isinstance(section, Variant) and where is not None and self.fine(path) and not section.said():
            self.complain(where, path, f"changes nothing; give {listed(tuple(keys_of(Variant)))}")
